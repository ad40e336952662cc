//! Puts a new text in the place of a file in one step.
//!
//! The new file is written beside the old one, synced, given the owner and mode of the old one, and
//! renamed over it; then the folder is synced. A crash leaves the old file or the new one, never a
//! part. Symbolic links are followed first, so that the link stays and what it points to changes.
//! A lock on the old file keeps two runs of this command from losing each other's change.
//!
//! Three kinds of file are written in place instead, with the finished copy beside it until that
//! is done: a mount point (a single file given to a container), which cannot be renamed over, a
//! file of another owner, whom only root could give the copy to, and a file with several names
//! (hard links), of which the others would go on to let in who was deleted. Such a file is
//! overwritten in one go and cut then: at no time is it empty.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::host::access::folder_above;

/// Bytes of the largest file that is read: a hundred thousand users have a tenth of it.
const FILE_MAX: u64 = 128 * 1024 * 1024;
/// Links that are followed; the kernel follows as many.
const LINKS_MAX: usize = 40;

/// The file to replace.
pub(super) struct Target {
    /// As the user wrote it, for messages.
    name: String,
    /// With links followed.
    path: PathBuf,
    /// Of the old file, if there is one.
    metadata: Option<Metadata>,
    /// Held until the new file is in place.
    _lock: Option<Flock<File>>,
    text: Vec<u8>,
}

impl Target {
    /// Opens, locks and reads a file that must be there.
    pub(super) fn open(name: &str) -> Result<Target, String> {
        let told = |error: io::Error| format!("cannot open the password file {name}: {error}");
        loop {
            let path = follow_links(name).map_err(told)?;
            // Looked at before it is opened: opening a FIFO would wait for a writer.
            check_regular(name, &fs::metadata(&path).map_err(told)?)?;
            let file = File::open(&path).map_err(told)?;
            // Some file systems have no locks; one user at a time is then all there is.
            let (lock, file) = match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => {
                    let file = lock.try_clone().map_err(told)?;
                    (Some(lock), file)
                }
                Err((file, _)) => (None, file),
            };
            let metadata = file.metadata().map_err(told)?;
            check_regular(name, &metadata)?;
            let now = fs::metadata(&path).map_err(told)?;
            if (now.dev(), now.ino()) != (metadata.dev(), metadata.ino()) {
                // Another run replaced the file while this one waited for the lock.
                continue;
            }
            if metadata.len() > FILE_MAX {
                return Err(format!("{name} is too large for a password file."));
            }
            let mut text = Vec::new();
            file.take(FILE_MAX).read_to_end(&mut text).map_err(told)?;
            return Ok(Target {
                name: name.to_owned(),
                path,
                metadata: Some(metadata),
                _lock: lock,
                text,
            });
        }
    }

    /// A file that is made new, or overwritten without a look at what is in it.
    pub(super) fn create(name: &str) -> Result<Target, String> {
        let told = |error: io::Error| format!("cannot create the password file {name}: {error}");
        let path = follow_links(name).map_err(told)?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(told(error)),
        };
        if let Some(metadata) = &metadata {
            check_regular(name, metadata)?;
        }
        Ok(Target {
            name: name.to_owned(),
            path,
            metadata,
            _lock: None,
            text: Vec::new(),
        })
    }

    /// What was in the file.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Puts `text` in its place. The mode of a file that is new is 0600.
    pub(super) fn replace(self, text: &[u8]) -> Result<(), String> {
        let folder = folder_above(&self.path);
        let told = |what: &str, error: io::Error| {
            format!("cannot {what} for the password file {}: {error}", self.name)
        };
        let mut copy = Copy::create(folder).map_err(|error| told("write a new copy", error))?;
        let same_file = copy
            .fill(text, self.metadata.as_ref())
            .map_err(|error| told("write a new copy", error))?;
        let renamed = if same_file {
            fs::rename(&copy.path, &self.path)
        } else {
            Err(ErrorKind::ResourceBusy.into())
        };
        match renamed {
            Ok(()) => copy.keep = true,
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                self.write_in_place(text, &mut copy)?;
            }
            Err(error) => return Err(told("put the new copy in place", error)),
        }
        drop(copy);
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems cannot sync a folder.
            Err(error) if error.kind() != ErrorKind::InvalidInput => {
                Err(told("sync the folder", error))
            }
            _ => Ok(()),
        }
    }

    /// The copy stays where this fails half way.
    fn write_in_place(&self, text: &[u8], copy: &mut Copy) -> Result<(), String> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(|error| format!("cannot write the password file {}: {error}", self.name))?;
        copy.keep = true;
        // Blank lines over what is left of a longer text, should nobody be there to cut it off.
        let old_len = self.metadata.as_ref().map_or(0, Metadata::len) as usize;
        let mut padded = text.to_vec();
        padded.resize(text.len().max(old_len), b'\n');
        file.write_all(&padded)
            .and_then(|()| file.set_len(text.len() as u64))
            .and_then(|()| file.sync_all())
            .map_err(|error| {
                format!(
                    "cannot write the password file {}: {error}; what it should hold is in {}.",
                    self.name,
                    copy.path.display()
                )
            })?;
        copy.keep = false;
        Ok(())
    }
}

/// A file beside the old one, removed when it is dropped unless it is kept.
struct Copy {
    path: PathBuf,
    file: File,
    keep: bool,
}

impl Copy {
    fn create(folder: &Path) -> io::Result<Copy> {
        loop {
            let number = getrandom::u64().map_err(io::Error::other)?;
            let path = folder.join(format!(".passwd-{number:016x}.new"));
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match file {
                Ok(file) => {
                    return Ok(Copy {
                        path,
                        file,
                        keep: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `false`: all was written, but the copy cannot have the old file's owner or all its names.
    fn fill(&mut self, text: &[u8], old: Option<&Metadata>) -> io::Result<bool> {
        self.file.write_all(text)?;
        if let Some(old) = old {
            if old.nlink() > 1 {
                return self.file.sync_all().map(|()| false);
            }
            let new = self.file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                match fchown(&self.file, Some(old.uid()), Some(old.gid())) {
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        return self.file.sync_all().map(|()| false);
                    }
                    given => given?,
                }
            }
            let mode = Permissions::from_mode(old.mode() & 0o7777);
            self.file.set_permissions(mode)?;
        }
        self.file.sync_all().map(|()| true)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.keep {
            // Best effort: what failed before is what the user is told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn check_regular(name: &str, metadata: &Metadata) -> Result<(), String> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(format!("{name} is not a regular file."))
}

/// Where a name leads when its last part is a link, even to a file that is not there.
fn follow_links(name: &str) -> io::Result<PathBuf> {
    let mut path = PathBuf::from(name);
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            // An absolute target takes the place of the whole path.
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::cmd::passwd::tests::Folder;

    #[test]
    fn a_new_file_is_the_owners_alone_and_an_old_one_keeps_its_mode() {
        let folder = Folder::new();
        let name = folder.path("pw");
        Target::create(&name)
            .expect("can")
            .replace(b"a")
            .expect("can");
        assert_eq!(folder.read("pw"), "a");
        assert_eq!(
            fs::metadata(&name).expect("is there").mode() & 0o7777,
            0o600
        );

        for mode in [0o640, 0o644, 0o600, 0o400] {
            fs::set_permissions(&name, Permissions::from_mode(mode)).expect("own file");
            let old = fs::metadata(&name).expect("is there");
            let target = Target::open(&name).expect("can");
            let text = [target.text(), b"b"].concat();
            target.replace(&text).expect("can");
            let new = fs::metadata(&name).expect("is there");
            assert_eq!(new.mode() & 0o7777, mode);
            assert_eq!((new.uid(), new.gid()), (old.uid(), old.gid()));
            assert_ne!(new.ino(), old.ino());
        }
        assert_eq!(folder.read("pw"), "abbbb");
        Target::create(&name)
            .expect("can")
            .replace(b"c")
            .expect("can");
        assert_eq!(
            fs::metadata(&name).expect("is there").mode() & 0o7777,
            0o400
        );
        assert_eq!(folder.names(), ["pw"]);
    }

    #[test]
    fn links_stay_and_what_they_point_to_changes() {
        let folder = Folder::new();
        fs::create_dir(folder.path("real")).expect("own folder");
        symlink("real/two", folder.path("one")).expect("own folder");
        symlink("pw", folder.path("real/two")).expect("own folder");
        // The first time it leads nowhere.
        for text in ["x", "y"] {
            let target = Target::create(&folder.path("one")).expect("can");
            target.replace(text.as_bytes()).expect("can");
            assert_eq!(folder.read("real/pw"), text);
        }
        let target = Target::open(&folder.path("one")).expect("can");
        assert_eq!(target.text(), b"y");
        target.replace(b"z").expect("can");
        assert_eq!(folder.read("real/pw"), "z");
        assert_eq!(folder.names(), ["one", "real"]);
        assert!(
            fs::symlink_metadata(folder.path("one"))
                .expect("is there")
                .is_symlink()
        );

        symlink("round", folder.path("round")).expect("own folder");
        assert!(Target::create(&folder.path("round")).is_err());
    }

    /// Who is deleted is gone under every name of the file, which nobody ever sees empty.
    #[test]
    fn a_file_with_several_names_is_one_file() {
        let folder = Folder::new();
        let (name, other) = (folder.path("pw"), folder.path("other"));
        fs::write(&name, "ann:x\n").expect("own folder");
        fs::hard_link(&name, &other).expect("own folder");
        let ready = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !ready.load(Ordering::Relaxed) {
                    let text = fs::read_to_string(&other).expect("is there");
                    assert!(text.starts_with("ann:x\n"), "{text:?}");
                }
            });
            for round in 0..200 {
                let text = ["ann:x\nbob:y\n", "ann:x\n"][round % 2];
                let target = Target::open(&name).expect("can");
                target.replace(text.as_bytes()).expect("can");
                assert_eq!(folder.read("other"), text);
            }
            ready.store(true, Ordering::Relaxed);
            reader.join().expect("sees a whole file");
        });
        assert_eq!(folder.names(), ["other", "pw"]);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = Folder::new();
        let error = |result: Result<Target, String>| result.err().expect("refused");
        let nowhere = folder.path("no/where");
        assert!(error(Target::open(&nowhere)).contains("No such file or directory"));
        let target = Target::create(&nowhere).expect("not looked at yet");
        assert!(
            target
                .replace(b"x")
                .expect_err("refused")
                .contains("No such file")
        );
        let folder_name = folder.path("");
        assert!(error(Target::open(&folder_name)).ends_with("is not a regular file."));
        assert!(error(Target::create(&folder_name)).ends_with("is not a regular file."));
        assert!(error(Target::create("/dev/null")).ends_with("is not a regular file."));
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn changes_made_at_the_same_time_are_all_there() {
        let folder = Folder::new();
        let name = folder.path("pw");
        fs::write(&name, "").expect("own folder");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let target = Target::open(&name).expect("can");
                        let text = [target.text(), b"x"].concat();
                        target.replace(&text).expect("can");
                    }
                });
            }
        });
        assert_eq!(folder.read("pw"), "x".repeat(40));
    }
}
