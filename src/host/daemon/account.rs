//! Accounts and their groups, out of /etc/passwd and /etc/group.
//!
//! The system's own look-up asks whatever nsswitch.conf names. It loads libraries for that, 0.6 MB
//! of memory which stay, and may wait for a network that is not up yet. So the two files are read
//! first, and the system is asked about those only who are not in them. Lines that are damaged are
//! passed over.

use std::io;

use nix::unistd::{Gid, Uid};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A user of this machine.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: Uid,
    /// The group that it always has.
    pub gid: Gid,
    /// All its groups.
    pub groups: Vec<Gid>,
}

impl Account {
    /// One without a name: user and group have this number.
    pub fn numbered(id: u32) -> Self {
        let gid = Gid::from_raw(id);
        Self {
            name: id.to_string(),
            uid: Uid::from_raw(id),
            gid,
            groups: vec![gid],
        }
    }
}

/// The account of a name; the system is asked if `everywhere` is set.
pub fn named(name: &str, everywhere: bool) -> io::Result<Option<Account>> {
    let text = read(USERS);
    match users(&text).find(|&(user, ..)| user == name) {
        Some((name, uid, gid)) => Ok(Some(Account {
            name: name.to_string(),
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: groups_of(name, gid, &read(GROUPS)),
        })),
        None if everywhere => system::account(name),
        None => Ok(None),
    }
}

/// Whether there is a user of this name.
pub fn is_user(name: &str) -> bool {
    named(name, true).is_ok_and(|account| account.is_some())
}

/// The name of a user id, or the number.
pub fn user_name(uid: Uid) -> String {
    let text = read(USERS);
    let found = users(&text).find(|&(_, id, _)| id == uid.as_raw());
    let name = found.map(|(name, ..)| name.to_string());
    name.or_else(|| system::user_name(uid))
        .unwrap_or_else(|| uid.to_string())
}

/// The name of a group id, or the number.
pub fn group_name(gid: Gid) -> String {
    let text = read(GROUPS);
    let found = groups(&text).find(|&(_, id, _)| id == gid.as_raw());
    let name = found.map(|(name, ..)| name.to_string());
    name.or_else(|| system::group_name(gid))
        .unwrap_or_else(|| gid.to_string())
}

#[cfg(not(target_env = "musl"))]
mod system {
    use super::Account;
    use nix::errno::Errno;
    use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
    use std::{ffi::CString, io};

    pub fn account(name: &str) -> io::Result<Option<Account>> {
        let user = match User::from_name(name) {
            // Where there is no file of accounts at all, some systems call that an error.
            Err(Errno::ENOENT | Errno::ESRCH) => None,
            answer => answer?,
        };
        let Some(user) = user else {
            return Ok(None);
        };
        let name = CString::new(user.name.as_str())?;
        Ok(Some(Account {
            groups: getgrouplist(&name, user.gid)?,
            name: user.name,
            uid: user.uid,
            gid: user.gid,
        }))
    }

    pub fn user_name(uid: Uid) -> Option<String> {
        Some(User::from_uid(uid).ok()??.name)
    }

    pub fn group_name(gid: Gid) -> Option<String> {
        Some(Group::from_gid(gid).ok()??.name)
    }
}

/// This C library would read the same two files.
#[cfg(target_env = "musl")]
mod system {
    use super::Account;
    use nix::unistd::{Gid, Uid};
    use std::io;

    #[allow(clippy::unnecessary_wraps)] // as where there is something to ask
    pub fn account(_: &str) -> io::Result<Option<Account>> {
        Ok(None)
    }

    pub fn user_name(_: Uid) -> Option<String> {
        None
    }

    pub fn group_name(_: Gid) -> Option<String> {
        None
    }
}

/// A file's text. One that cannot be read says nothing: then the system is asked.
fn read(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Name, user id and group id of each line.
fn users(text: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, number(fields.next())?, number(fields.next())?))
    })
}

/// Name, id and members of each line.
fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let id = number(fields.next())?;
        Some((name, id, fields.next().unwrap_or_default()))
    })
}

fn number(field: Option<&str>) -> Option<u32> {
    field?.parse().ok()
}

fn groups_of(name: &str, own: u32, text: &str) -> Vec<Gid> {
    let mut ids = vec![own];
    for (_, id, members) in groups(text) {
        if !ids.contains(&id) && members.split(',').any(|member| member == name) {
            ids.push(id);
        }
    }
    ids.into_iter().map(Gid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::User;

    #[test]
    fn the_files_say_what_the_system_says() {
        for (name, uid, gid) in users(&read(USERS)) {
            let user = User::from_name(name).expect("the system answers");
            let user = user.expect("the system knows it");
            assert_eq!((user.uid.as_raw(), user.gid.as_raw()), (uid, gid), "{name}");
            let account = named(name, false).expect("nothing was asked");
            let account = account.expect("it is in the file");
            let c_name = std::ffi::CString::new(name).expect("no NUL");
            let mut theirs = nix::unistd::getgrouplist(&c_name, user.gid).expect("its groups");
            let mut ours = account.groups;
            theirs.sort_by_key(|gid| gid.as_raw());
            ours.sort_by_key(|gid| gid.as_raw());
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(user_name(Uid::from_raw(0)), "root");
        assert_eq!(group_name(Gid::from_raw(0)), "root");
        assert_eq!(user_name(Uid::from_raw(3_999_999_999)), "3999999999");
        assert!(named("no-such-user", true).is_ok_and(|account| account.is_none()));
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let text = "\n+::::::\nnobody\nnobody:x\nnobody:x:y:1:::\nmidge:x:7:8:a:b:c\n";
        assert_eq!(users(text).collect::<Vec<_>>(), [("midge", 7, 8)]);
        let text = "dialout:x:20:me,midge\nbroken:x:no:midge\n\ntty:x:5:\nmidge:x:8:midge\nx:y:9";
        let ids = groups_of("midge", 8, text);
        assert_eq!(ids, [8, 20].map(Gid::from_raw));
    }
}
