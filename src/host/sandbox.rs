//! A sandbox of the kernel's (Landlock) around the running broker.
//!
//! It is closed once everything is open and root is left behind, and holds for good, for every
//! thread. Whoever finds a fault that lets him run code of his own in the broker can then start no
//! other program, and write nothing but what the broker itself writes: what it stores, its log,
//! its pid file, its sockets. Reading stays as the file permissions have it, because a reload may
//! name other files. That the kernel has no such thing is worth a notice and no more.
//!
//! A [`Place`] is where the broker writes. A reload that brings another one cannot be carried out;
//! [`Sandbox::admits`] says so before anything has changed.

use super::access::folder_above;
use landlock::{
    ABI, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus,
};
use std::fs;
use std::path::{Path, PathBuf};

/// What the broker does to a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything, in this folder and below: what is stored.
    Store,
    /// Writes it, moves it aside and begins it anew: a log.
    Log,
    /// Removes it at the end: the pid file.
    Pid,
    /// Makes a socket of it, and removes that.
    Socket,
}

/// A path that the broker writes, and the directive that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// For messages.
    pub directive: &'static str,
    /// As it is configured.
    pub path: PathBuf,
    /// What for.
    pub purpose: Purpose,
}

/// A closed sandbox: what may be written in it.
#[derive(Debug)]
pub struct Sandbox {
    open: Vec<(PathBuf, Purpose)>,
}

impl Place {
    /// What is opened for it: the folder, since the file comes and goes, but for a device or a
    /// pipe, which stays.
    fn target(&self) -> PathBuf {
        let real = fs::canonicalize(&self.path);
        let path = real.as_deref().unwrap_or(&self.path);
        let is_special = fs::metadata(path).is_ok_and(|is| !is.is_file() && !is.is_dir());
        if self.purpose == Purpose::Store || self.purpose == Purpose::Log && is_special {
            return path.to_path_buf();
        }
        let folder = folder_above(path);
        // The folder may come later: then it will be below what is there. Who may write a log may
        // write any file, so for one it is the folder above, but not all there is.
        let levels = match self.purpose {
            Purpose::Socket => usize::MAX,
            Purpose::Log => 1,
            Purpose::Store | Purpose::Pid => 0,
        };
        let mut found = folder;
        for _ in 0..levels {
            match found.parent() {
                Some(above) if !found.exists() => found = above,
                _ => break,
            }
        }
        if self.purpose == Purpose::Log && found == Path::new("/") {
            found = folder;
        }
        fs::canonicalize(found).unwrap_or_else(|_| folder.to_path_buf())
    }
}

impl Purpose {
    fn rights(self, is_folder: bool) -> BitFlags<AccessFs> {
        match self {
            Purpose::Store => AccessFs::from_write(VERSION),
            Purpose::Log if !is_folder => AccessFs::WriteFile | AccessFs::Truncate,
            Purpose::Log => {
                AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
            }
            Purpose::Pid => AccessFs::RemoveFile.into(),
            Purpose::Socket => AccessFs::MakeSock | AccessFs::RemoveFile,
        }
    }
}

/// The version of Landlock whose rights are asked for: newer ones add none that matter here, on an
/// older kernel it does what it can.
const VERSION: ABI = ABI::V3;

/// Closes the sandbox around this thread and those that it starts from now on: to be called before
/// there are any.
///
/// Places that do not exist stay closed. `/dev/null` is open to all.
///
/// # Errors
/// Why there is no sandbox, for a notice.
pub fn close(places: &[Place]) -> Result<Sandbox, String> {
    let told = |error: landlock::RulesetError| error.to_string();
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_write(VERSION) | AccessFs::Execute)
        .and_then(Ruleset::create)
        .map_err(told)?;
    let nowhere = Place {
        directive: "",
        path: "/dev/null".into(),
        purpose: Purpose::Log,
    };
    let mut open = Vec::new();
    for place in places.iter().chain([&nowhere]) {
        let target = place.target();
        let Ok(handle) = PathFd::new(&target) else {
            continue;
        };
        let rights = place.purpose.rights(target.is_dir());
        rules = rules
            .add_rule(PathBeneath::new(handle, rights))
            .map_err(told)?;
        open.push((target, place.purpose));
    }
    let status = rules.restrict_self().map_err(told)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_string()),
        _ => Ok(Sandbox { open }),
    }
}

impl Sandbox {
    /// Whether these places may be written.
    ///
    /// # Errors
    /// Which may not, and what to do about it.
    pub fn admits(&self, places: &[Place]) -> Result<(), String> {
        let is_open = |place: &Place| {
            let target = place.target();
            self.open.iter().any(|(open, purpose)| {
                let is_wide = *purpose == Purpose::Store || *purpose == place.purpose;
                is_wide && target.starts_with(open)
            })
        };
        match places.iter().find(|place| !is_open(place)) {
            None => Ok(()),
            Some(Place {
                directive, path, ..
            }) => Err(format!(
                "{directive} {}: the broker has a sandbox since its start and cannot write there: \
                 start it again (or set sandbox false and start it again)",
                path.display()
            )),
        }
    }

    /// The folders and files that may be written, for the log.
    pub fn describe(&self) -> String {
        let mut names: Vec<_> = (self.open.iter())
            .filter(|(path, _)| path != Path::new("/dev/null"))
            .map(|(path, _)| path.display().to_string())
            .collect();
        names.sort_unstable();
        names.dedup();
        match names.is_empty() {
            true => "nothing".to_string(),
            false => format!("only {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::{TempDir, expect_pass, pass, role};
    use std::io::ErrorKind;
    use std::process::Command;

    fn place(path: PathBuf, purpose: Purpose) -> Place {
        let directive = "log_dest file";
        Place {
            directive,
            path,
            purpose,
        }
    }

    #[test]
    fn a_sandbox_lets_out_what_it_is_told_to() {
        const NAME: &str = "host::sandbox::tests::a_sandbox_lets_out_what_it_is_told_to";
        let Some(dir) = role().map(PathBuf::from) else {
            let dir = TempDir::new();
            return expect_pass(NAME, &dir.path().display().to_string());
        };
        let at = |name: &str| dir.join(name);
        for folder in ["store", "logs", "run", "else"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("run/pid"), "1").unwrap();
        fs::write(at("else/passwords"), "x").unwrap();
        // Outside of the sandbox: a thread that was there before.
        fs::create_dir(at("disk")).unwrap();
        let late = at("disk/late");
        let (come, comes) = std::sync::mpsc::channel::<()>();
        let owner = std::thread::spawn(move || {
            comes.recv().unwrap();
            fs::create_dir(late).unwrap();
        });
        let places = [
            place(at("disk/late/log"), Purpose::Log),
            place(at("store"), Purpose::Store),
            place(at("logs/log"), Purpose::Log),
            place(at("run/pid"), Purpose::Pid),
            place("/dev/null".into(), Purpose::Log),
        ];
        let sandbox = match close(&places) {
            Ok(sandbox) => sandbox,
            Err(what) => {
                eprintln!("\n\nSKIPPED: {NAME}: {what}\n\n");
                pass();
            }
        };
        fs::create_dir(at("store/new")).unwrap();
        fs::write(at("store/new/file"), "x").unwrap();
        fs::rename(at("store/new/file"), at("store/file")).unwrap();
        fs::write(at("logs/log"), "x").unwrap();
        fs::rename(at("logs/log"), at("logs/log.1")).unwrap();
        fs::write("/dev/null", "x").unwrap();
        fs::remove_file(at("run/pid")).unwrap();
        assert_eq!(fs::read_to_string(at("else/passwords")).unwrap(), "x");
        let denied = |what: std::io::Result<()>| {
            assert_eq!(what.unwrap_err().kind(), ErrorKind::PermissionDenied);
        };
        denied(fs::write(at("else/passwords"), "y"));
        denied(fs::write(at("else/new"), "y"));
        denied(fs::remove_file(at("else/passwords")));
        denied(fs::write(at("run/new"), "y"));
        denied(Command::new("/bin/true").status().map(|_| ()));
        let new = at("else/new");
        let thread = std::thread::spawn(move || fs::write(new, "y"));
        denied(thread.join().unwrap());
        assert_eq!(sandbox.admits(&places), Ok(()));
        come.send(()).unwrap();
        owner.join().unwrap();
        fs::write(at("disk/late/log"), "x").unwrap();
        assert_eq!(sandbox.admits(&places), Ok(()));
        let elsewhere = place(at("else/log"), Purpose::Log);
        let what = sandbox.admits(&[elsewhere]).unwrap_err();
        let is_told = what.contains("else/log: the broker has a sandbox");
        assert!(is_told, "{what}");
        let open = sandbox.describe();
        assert!(open.contains("/logs, "), "{open}");
        pass();
    }
}
