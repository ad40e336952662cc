//! Password and ACL files, from disk to the tables of the auth room; the files of the
//! configuration, with the reason why one cannot be read.

use super::daemon::explain_denied;
use crate::auth::{Acl, Passwords, Problem};
use crate::conf::{self, Source};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files beyond this are refused: a password file of a million users has 100 MB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Files of a folder that a [`Stamp`] looks at.
const FOLDER_MAX: usize = 1024;

/// What files look like from outside: who finds another stamp later reads them anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<[i64; 6]>);

impl Stamp {
    /// What these files, and those in folders among them, look like now.
    pub fn of<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Stamp {
        let mut stamp = Stamp::default();
        for path in paths {
            stamp.add(path);
            let inside = fs::read_dir(path).into_iter().flatten().flatten();
            let mut inside: Vec<_> = inside.take(FOLDER_MAX).map(|entry| entry.path()).collect();
            inside.sort_unstable();
            for path in &inside {
                stamp.add(path);
            }
        }
        stamp
    }

    /// Permissions count, too: they may be what kept a file from being read.
    fn add(&mut self, path: &Path) {
        let about = |is: Metadata| {
            let times = [is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()];
            [
                is.ino() as i64,
                is.size() as i64,
                times[0],
                times[1],
                times[2],
                times[3],
            ]
        };
        self.0
            .push(fs::metadata(path).map(about).unwrap_or_default());
    }
}

/// The configuration's files; of one that we may not read it is told whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        conf::Disk.read(path).map_err(|error| denied(path, error))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let listed = conf::Disk.list(directory);
        listed.map_err(|error| denied(directory, error))
    }
}

/// The error with what is in the way, but without the name, which the reader says itself.
fn denied(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let what = explain_denied(path, &error);
    let name = format!("{}: ", path.display());
    io::Error::new(error.kind(), what.strip_prefix(&name).unwrap_or(&what))
}

/// Reads a password file; lines that are no good are told with it and left out.
///
/// # Errors
/// What to tell the owner when the file cannot be read.
pub fn passwords(path: &Path) -> Result<(Passwords, Vec<Problem>), String> {
    let text = read("password_file", path, FILE_BYTES_MAX)?;
    Ok(Passwords::parse(&text, &path.display().to_string()))
}

/// Reads an ACL file, with what is odd about it.
///
/// # Errors
/// What to tell the owner when the file cannot be read or a line of it is wrong.
pub fn acl(path: &Path) -> Result<(Acl, Vec<Problem>), String> {
    let text = read("acl_file", path, FILE_BYTES_MAX)?;
    Acl::parse(&text, &path.display().to_string()).map_err(|error| error.to_string())
}

/// The folder that a file is in.
pub fn folder_above(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Reads a file that a directive names.
///
/// # Errors
/// What to tell the owner when it cannot be read, or is larger than `bytes_max`.
pub fn read(directive: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let explain = |error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => explain_denied(path, error),
        _ => format!("{}: {error}", path.display()),
    };
    let size =
        std::fs::metadata(path).map_err(|error| format!("{directive}: {}", explain(&error)))?;
    if size.len() > bytes_max {
        return Err(format!(
            "{directive}: {}: larger than {} MiB",
            path.display(),
            bytes_max >> 20
        ));
    }
    std::fs::read(path).map_err(|error| format!("{directive}: {}", explain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Config;
    use crate::host::daemon::{UserSettings, drop_privileges};
    use crate::host::testing::{TempDir, expect_pass, pass, role};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_configuration_that_may_not_be_read_says_whose_it_is() {
        const NAME: &str =
            "host::access::tests::a_configuration_that_may_not_be_read_says_whose_it_is";
        // It ends as a stranger, who could not remove the folder.
        let Some(dir) = role().map(PathBuf::from) else {
            let dir = TempDir::new();
            return expect_pass(NAME, &dir.path().display().to_string());
        };
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(&dir, 0o755);
        let (main, folder) = (dir.join("m.conf"), dir.join("d"));
        fs::create_dir(&folder).unwrap();
        fs::write(&main, format!("include_dir {}\n", folder.display())).unwrap();
        fs::write(folder.join("x.conf"), "").unwrap();
        set_mode(&main, 0o644);
        set_mode(&folder.join("x.conf"), 0o000);
        drop_privileges(&UserSettings {
            user: Some("nobody"),
            ..UserSettings::default()
        })
        .unwrap();
        let error = Config::load(Some(&main), &[], &Disk)
            .unwrap_err()
            .to_string();
        let x = folder.join("x.conf").display().to_string();
        let says = format!("'{x}' cannot be read: Permission denied (os error 13) (owner ");
        assert!(error.contains(&says), "{error}");
        assert!(error.contains("mode 0000; running as "), "{error}");
        assert!(error.ends_with(&format!(" {x}")), "{error}");
        pass();
    }
}
