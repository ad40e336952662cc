//! Leaving root behind, and saying why a file cannot be read afterwards.
//!
//! Only a process started as root has anything to leave. It becomes the user of the `user`
//! directive, `mosquitto` by default, with that user's groups; where there is no such account it
//! becomes `nobody`, and where there are no accounts at all, as in a container of one program, the
//! number that `nobody` has elsewhere. Real, effective and saved ids all change, and we try to come
//! back before we believe it.

use super::account::{self, Account, group_name, user_name};
use crate::host::access::folder_above;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

/// The account that packages for Mosquitto create.
const DEFAULT_USER: &str = "mosquitto";

/// The account that every system has.
const FALLBACK_USER: &str = "nobody";

/// Its user and group id, where it is not named.
const FALLBACK_ID: u32 = 65_534;

/// Who the broker is to be, if it was started as root.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserSettings<'a> {
    /// The `user` directive; none means `mosquitto`, `root` means to stay root.
    pub user: Option<&'a str>,
    /// A numeric user id that goes before the account's, as containers set it (`PUID`).
    pub uid: Option<u32>,
    /// A numeric group id that goes before the account's (`PGID`).
    pub gid: Option<u32>,
}

/// Who the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's name, or the number where there is no account.
    pub name: String,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
}

impl Identity {
    /// Who we are now.
    pub fn current() -> Self {
        Self::of(unistd::geteuid(), unistd::getegid())
    }

    /// Who [`drop_privileges`] would make of us.
    pub fn future(settings: &UserSettings) -> io::Result<Self> {
        if !unistd::geteuid().is_root() {
            return Ok(Self::current());
        }
        let target = Target::choose(settings)?;
        Ok(target.map_or_else(Self::current, |target| Self::of(target.uid, target.gid)))
    }

    fn of(uid: Uid, gid: Gid) -> Self {
        Self {
            name: user_name(uid),
            uid: uid.as_raw(),
            gid: gid.as_raw(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {}, gid {})", self.name, self.uid, self.gid)
    }
}

/// Becomes another user for good, if we are root, and tells who we are then.
///
/// Not being root is no error, whatever the settings say: there is nothing to drop. An unknown
/// `user` is an error, except for the default, which gives way to `nobody`. After an error the
/// process may have half changed its ids: it must end. Warnings are logged.
pub fn drop_privileges(settings: &UserSettings) -> io::Result<Identity> {
    drop_privileges_with(settings, [], [])
}

/// Like [`drop_privileges`]; those of the `folders` that are not there are made before, in this
/// order, for the new user alone, and the sockets and folders in `given`, which are fresh, become
/// that user's and group's.
///
/// A folder that is there stays as it is: whose it is is for its owner to say.
pub fn drop_privileges_with<'a>(
    settings: &UserSettings,
    folders: impl IntoIterator<Item = &'a Path>,
    given: impl IntoIterator<Item = &'a Path>,
) -> io::Result<Identity> {
    if !unistd::geteuid().is_root() {
        return Ok(Identity::current());
    }
    if let Some(target) = Target::choose(settings)? {
        for folder in folders {
            target.give(folder).map_err(|error| {
                let name = folder.display();
                io::Error::new(
                    error.kind(),
                    format!("persistence_location: {name} cannot be made: {error}"),
                )
            })?;
        }
        let (uid, gid) = (target.uid.as_raw(), target.gid.as_raw());
        for path in given {
            if let Err(error) = lchown(path, Some(uid), Some(gid)) {
                log::warn!("Warning: {} stays root's: {error}.", path.display());
            }
        }
        target.enter()?;
    }
    if unistd::geteuid().is_root() {
        log::warn!("Warning: the broker should not be run as root.");
    }
    Ok(Identity::current())
}

/// Where a file has no folder, but its folder would have one: both. (A link to nothing is in the
/// way of a folder.)
///
/// Such a folder is made at the start: what is in `/run` is gone after each boot. More than one
/// level that is missing is rather a mistake in the path.
pub fn missing_folder(file: &Path) -> Option<(&Path, &Path)> {
    let folder = folder_above(file);
    let above = folder_above(folder);
    let is_missing = !folder.exists() && !folder.is_symlink();
    (is_missing && above.is_dir()).then_some((folder, above))
}

/// Makes the [`missing_folder`] of a file, for everybody to look into, and returns it.
///
/// What stands in the way is for whoever opens the file to tell.
pub fn make_folder_of(file: &Path) -> Option<&Path> {
    let (folder, _) = missing_folder(file)?;
    fs::create_dir(folder).ok()?;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    Some(folder)
}

/// A path as one word of a command: those that we tell are there to be copied, also by root.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    match text.bytes().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Says why `path` could not be opened, and what would help, in one line.
///
/// For "permission denied" it adds who owns what is in the way, its mode, and who is asking:
/// the usual case is a file that only root may read.
pub fn explain_denied(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("{shown}: {error}");
    }
    let me = Identity::current();
    let Some((obstacle, meta)) = nearest_visible(path) else {
        return format!("{shown}: {error} (running as {me})");
    };
    let owner = user_name(Uid::from_raw(meta.uid()));
    let group = group_name(Gid::from_raw(meta.gid()));
    let mode = meta.permissions().mode() & 0o7777;
    let user = &me.name;
    let (way_in, word) = (obstacle.display(), quoted(obstacle));
    if meta.is_dir() {
        return format!(
            "{shown}: {error} (directory {way_in}: owner {owner}, group {group}, mode {mode:04o}; \
             running as {me}); let {user} enter it, for instance: chmod o+x {word}"
        );
    }
    format!(
        "{shown}: {error} (owner {owner}, group {group}, mode {mode:04o}; running as {me}); \
         for instance: chown {user} {word}"
    )
}

/// The account to become.
struct Target {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Target {
    /// Finds the account; `None` means to stay root.
    fn choose(settings: &UserSettings) -> io::Result<Option<Self>> {
        let wanted = settings.user.unwrap_or(DEFAULT_USER);
        if wanted == "root" || settings.uid == Some(0) {
            return Ok(None);
        }
        if let (Some(uid), Some(gid)) = (settings.uid, settings.gid) {
            return Ok(Some(Self::numeric(uid, gid)));
        }
        // The default is an account of this machine or none; nobody waits for a directory service.
        let account = match account::named(wanted, wanted != DEFAULT_USER)? {
            Some(account) => account,
            None if wanted == DEFAULT_USER => fallback()?,
            None => {
                return Err(invalid(format!(
                    "user: Invalid user '{wanted}': no such account"
                )));
            }
        };
        if account.uid.is_root() {
            return Ok(None);
        }
        if settings.uid.is_some() || settings.gid.is_some() {
            let uid = settings.uid.unwrap_or(account.uid.as_raw());
            let gid = settings.gid.unwrap_or(account.gid.as_raw());
            return Ok(Some(Self::numeric(uid, gid)));
        }
        Ok(Some(Self {
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
        }))
    }

    fn numeric(uid: u32, gid: u32) -> Self {
        let gid = Gid::from_raw(gid);
        Self {
            uid: Uid::from_raw(uid),
            gid,
            groups: vec![gid],
        }
    }

    /// Groups first, the user last: after that there is no right left to change anything.
    fn enter(&self) -> io::Result<()> {
        let (uid, gid) = (self.uid, self.gid);
        let failed = |what: &str, error: Errno| {
            let kind = io::Error::from(error).kind();
            io::Error::new(
                kind,
                format!("Unable to {what} when dropping privileges: {error}"),
            )
        };
        unistd::setgroups(&self.groups).map_err(|error| failed("set the groups", error))?;
        unistd::setresgid(gid, gid, gid).map_err(|error| failed("set the group", error))?;
        unistd::setresuid(uid, uid, uid).map_err(|error| failed("set the user", error))?;
        self.verify()
    }

    /// Makes a folder that is not there. Those above it are root's, and may be passed through.
    fn give(&self, folder: &Path) -> io::Result<()> {
        let is_missing = |at: &&Path| !at.as_os_str().is_empty() && !at.exists();
        let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
        for at in missing.iter().rev() {
            let mode = if *at == folder { 0o700 } else { 0o755 };
            fs::create_dir(at)?;
            fs::set_permissions(at, fs::Permissions::from_mode(mode))?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        unistd::chown(folder, Some(self.uid), Some(self.gid))?;
        Ok(())
    }

    fn verify(&self) -> io::Result<()> {
        let users = unistd::getresuid()?;
        let groups = unistd::getresgid()?;
        let all_users = [users.real, users.effective, users.saved];
        let all_groups = [groups.real, groups.effective, groups.saved];
        let changed = all_users == [self.uid; 3] && all_groups == [self.gid; 3];
        let back =
            unistd::setuid(Uid::from_raw(0)).is_ok() || unistd::seteuid(Uid::from_raw(0)).is_ok();
        if !changed || back {
            return Err(io::Error::other(
                "Dropping privileges did not hold: root could be had back",
            ));
        }
        Ok(())
    }
}

/// The account to become where there is no default one.
fn fallback() -> io::Result<Account> {
    let account = account::named(FALLBACK_USER, true)?;
    let account = account.unwrap_or_else(|| Account::numbered(FALLBACK_ID));
    let instead = &account.name;
    log::warn!(
        "Warning: Unable to drop privileges to '{DEFAULT_USER}' because this user does not exist. \
         Trying '{instead}' instead."
    );
    Ok(account)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// The file itself, or the first directory above it that can be looked at.
fn nearest_visible(path: &Path) -> Option<(&Path, fs::Metadata)> {
    path.ancestors()
        .map(|at| {
            if at.as_os_str().is_empty() {
                Path::new(".")
            } else {
                at
            }
        })
        .find_map(|at| Some((at, fs::metadata(at).ok()?)))
}
