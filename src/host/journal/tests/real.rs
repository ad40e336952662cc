//! A folder of the file system: modes, room that is set aside, the lock.

use super::*;
use crate::host::journal::{Folder, lock};
use crate::host::testing::TempDir;
use crate::store::journal::writer::SEGMENT_BYTES;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn a_log_in_a_real_folder_survives_and_is_its_owners_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("kept");
    let (mut files, mut known) = fresh(Folder::open(&path).expect("it is made"));
    assert_eq!(mode(&path), 0o700);
    make_spares(&mut files).expect("there is room");
    put(&mut files, &mut known, b"kept");
    make_spares(&mut files).expect("there is room");
    for entry in fs::read_dir(&path).expect("it is there") {
        let entry = entry.expect("nobody else is here").path();
        let found = fs::metadata(&entry).expect("it is there");
        assert_eq!(mode(&entry), 0o600, "{entry:?}");
        assert_eq!(found.len(), u64::from(SEGMENT_BYTES), "{entry:?}");
        assert!(
            found.blocks() * 512 >= found.len(),
            "{entry:?} has no room set aside"
        );
    }
    known.append(&vec![9; 3_000_000]);
    let batch = known.batch();
    files
        .perform(&batch, Sync::Every(10))
        .expect("there is room");
    drop(files);
    let (_, opened, found) = open_all(Folder::open(&path).expect("it is there")).expect("it opens");
    assert_eq!((found, opened.damaged), (known.log, 0));
    assert_eq!(opened.segments.len(), 2);
}

#[test]
fn damage_in_a_real_folder_is_linked_aside() {
    let dir = TempDir::new();
    let (mut files, mut known) = fresh(Folder::open(dir.path()).expect("it is there"));
    put(&mut files, &mut known, b"one");
    put(&mut files, &mut known, b"two");
    drop(files);
    let file = dir.path().join("00000001.log");
    let mut bytes = fs::read(&file).expect("it is there");
    bytes[140] ^= 1;
    fs::write(&file, &bytes).expect("it is ours");
    let (_, opened, found) =
        open_all(Folder::open(dir.path()).expect("it is there")).expect("opens");
    assert_eq!(found.len(), 1);
    assert!(opened.damaged > 0);
    assert_eq!(mode(&dir.path().join("00000001.log.bad")), 0o600);
}

#[test]
fn two_brokers_never_share_a_folder() {
    let dir = TempDir::new();
    let held = lock::take(dir.path()).expect("nobody has it");
    assert_eq!(mode(&dir.path().join("midge.lock")), 0o600);
    let error = lock::take(dir.path())
        .err()
        .expect("it is held")
        .to_string();
    let holder = format!("process {}", std::process::id());
    assert!(error.contains(&holder), "{error}");
    drop(held);
    lock::take(dir.path()).expect("it is free again");
}

#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let dir = TempDir::new();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").expect("the folder is ours");
    std::os::unix::fs::symlink(&victim, dir.path().join("midge.lock")).expect("it is ours");
    lock::take(dir.path()).err().expect("it is refused");
    assert_eq!(fs::read(&victim).expect("it is there"), b"precious");
}

#[test]
fn folders_in_the_place_of_files_make_way() {
    let dir = TempDir::new();
    for name in ["00000001.log", "spare-1.log"] {
        fs::create_dir_all(dir.path().join(name).join("within")).expect("it is ours");
    }
    let open_here = || open_all(Folder::open(dir.path()).expect("it is there")).expect("it opens");
    let (mut files, opened, _) = open_here();
    assert_eq!(opened.damaged, 1);
    make_spares(&mut files).expect("nothing is in the way");
    let mut known = Known::new(&opened);
    put(&mut files, &mut known, b"kept");
    drop(files);
    let (_, opened, found) = open_here();
    assert_eq!((found, opened.damaged), (known.log, 0));
    for name in ["00000001.log.bad", "spare-1.log.bad"] {
        assert!(dir.path().join(name).join("within").is_dir(), "{name}");
    }
}
