//! What the targets begin with: made of `tests/data`, so that it is not stored twice. What lies in
//! `corpus/` comes on top.

use super::common::hex::{Entry, read_below};
use super::common::packet::Version;
use super::world::{World, disk};
use std::fs;
use std::path::Path;

/// The seeds of a target; `root` is the repository.
pub fn of(target: &str, root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = files(&root.join("tests/fuzz/corpus").join(target), "");
    match target {
        "decode" => seeds.extend(packets(root).map(|(_, entry)| entry.bytes)),
        "receive" => seeds.extend(scripts(root)),
        "client" => seeds.extend(server_scripts(root)),
        "conf" => seeds.extend(files(&root.join("tests/data/conf"), ".conf")),
        "mosquitto_db" => seeds.extend(files(&root.join("tests/data/mosquitto-db"), ".db")),
        "journal" => seeds.extend(journals(root)),
        _ => {}
    }
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

/// Writes the seeds of a target into the folder that `FUZZ_SEEDS` names, if it names one, and ends.
pub fn hand_out(target: &str) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS") else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (n, seed) in of(target, &root).iter().enumerate() {
        fs::write(Path::new(&folder).join(n.to_string()), seed).expect("a folder to write to");
    }
    std::process::exit(0);
}

/// What the files of a folder hold, in the order of their names.
fn files(folder: &Path, extension: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.retain(|path| path.to_string_lossy().ends_with(extension));
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

fn packets(root: &Path) -> impl Iterator<Item = (Version, Entry)> {
    let kinds = Version::ALL
        .into_iter()
        .flat_map(|v| [(v, "valid"), (v, "malformed")]);
    kinds.flat_map(move |(version, kind)| {
        let entries = read_below(root, version, kind);
        entries.into_iter().map(move |entry| (version, entry))
    })
}

/// A piece of a script: its length, then its bytes.
fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

/// For each version some clients that come and say everything that there is to say.
fn scripts(root: &Path) -> Vec<Vec<u8>> {
    let mut scripts = Vec::new();
    for (number, version) in Version::ALL.into_iter().enumerate() {
        let good = read_below(root, version, "valid");
        let good: Vec<Entry> = good
            .into_iter()
            .filter(|entry| entry.is_from_client)
            .collect();
        // The steps of `receive`: a client of this version with one of four names comes.
        let come = |name: u8| 1 | ((number as u8) << 2 | name) << 4;
        for (n, part) in good.chunks(6).enumerate() {
            let mut script = vec![n as u8 & 3, come(0), come(1)];
            for (k, entry) in part.iter().enumerate() {
                let is_connect = entry.bytes[0] >> 4 == 1;
                if is_connect {
                    script.push(0);
                }
                let which = if is_connect { 2 + k } else { k % 2 };
                script.push(if k == 3 { 14 } else { 3 } | (which as u8) << 4);
                script.extend(piece(&entry.bytes));
            }
            script.extend([12, 50, 0, 13, 10, 15, come(0), come(2), 13]);
            scripts.push(script);
        }
    }
    scripts
}

/// For each version a server that says what it may, and some of what it may not.
fn server_scripts(root: &Path) -> Vec<Vec<u8>> {
    let mut scripts = Vec::new();
    for (number, version) in Version::ALL.into_iter().enumerate() {
        let kinds = ["valid", "malformed"].map(|kind| read_below(root, version, kind));
        for (n, part) in kinds.concat().chunks(5).enumerate() {
            let flags = number as u8 | 4 | (n as u8 & 3) << 3;
            let mut script = vec![flags, 0, 0, 0, 0x12, 0, 0, 0x22, 0, 0];
            for entry in part {
                script.push(if n % 3 == 0 { 4 } else { 15 });
                script.extend(piece(&entry.bytes));
            }
            scripts.push(script);
        }
    }
    scripts
}

/// What a broker records while the scripts run, each with and without a change behind it.
fn journals(root: &Path) -> Vec<Vec<u8>> {
    let mut journals = Vec::new();
    for mut script in scripts(root) {
        script[0] = 1;
        let mut world = World::new(Some(disk()));
        super::receive::play(&mut world, &script[1..]);
        let disk = world.disk().expect("it was given one");
        let mut journal = Vec::new();
        for &number in disk.segments.keys() {
            disk.scan(number, |_, record| {
                let mut body = Vec::new();
                record.encode(&mut body);
                journal.push(record.kind());
                journal.extend(piece(&body));
            });
        }
        let damaged = [&journal[..], &[0, 0, 200, 0], &piece(&[0x55; 9])].concat();
        journals.push(journal);
        journals.push(damaged);
    }
    journals
}
