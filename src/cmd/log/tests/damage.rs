//! `--verify`: what is damaged is told, and what only looks so is not.

use super::*;
use crate::store::journal::scan::RECORD_HEADER;

#[test]
fn a_log_that_is_fine_is_told_so_with_a_line_for_each_segment() {
    let folder = Folder::new();
    let mut maker = Maker::new(&folder);
    let topic = vec![b't'; 400_000];
    for _ in 0..5 {
        maker.append(&Record::Cleared { topic: &topic });
    }
    maker.write();
    // What lies beside the segments does not count.
    let others = [
        "spare-1.log",
        "midge.lock",
        "00000001.log.bad",
        "1.log",
        "00000001-0.log",
    ];
    for name in others {
        folder.write(name, b"\xd7\x3a nonsense");
    }
    fs::create_dir(folder.path("00000009.log")).expect("a folder");
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Fine);
    let each = RECORD_HEADER + topic.len();
    let expected = format!(
        "00000001.log: segment 1, 1048576 bytes, 2 records\n\
         00000002.log: segment 2, 1048576 bytes, 2 records\n\
         00000003.log: segment 3, 1048576 bytes, 1 record\n\
         3 files of 3145728 bytes, 5 records of {} bytes, salt 5a170000c0ffee00: nothing is \
         damaged\n",
        5 * each
    );
    assert_eq!(out, expected);
}

#[test]
fn every_flipped_byte_is_found_where_it_is() {
    let folder = Folder::new();
    let placed = small_log(&folder);
    let name = "00000001.log";
    let mut good = folder.read(name);
    let end = placed[placed.len() - 1].end().offset();
    good.truncate(end as usize + 100);
    for at in 0..end {
        let mut bytes = good.clone();
        bytes[at as usize] ^= 0x41;
        folder.write(name, &bytes);
        let (verdict, out) = run_well(&[&folder.path("")]);
        let hit = (placed.iter()).position(|p| p.place.offset() <= at && at < p.end().offset());
        let is_torn = hit == Some(placed.len() - 1);
        let expected = match hit {
            None => "one copy of the header is damaged\n".to_owned(),
            Some(hit) => {
                let (offset, len) = (placed[hit].place.offset(), placed[hit].len);
                match is_torn {
                    true => format!("torn tail of {len} bytes at {offset}\n"),
                    false => format!("damaged at {offset} ({len} bytes)\n"),
                }
            }
        };
        assert!(out.contains(&expected), "byte {at}: {out}");
        assert_eq!(verdict, Verdict::damaged_if(!is_torn), "byte {at}");
    }
}

#[test]
fn a_file_that_was_cut_has_a_torn_tail_and_no_damage() {
    let folder = Folder::new();
    let placed = small_log(&folder);
    let name = "00000001.log";
    let good = folder.read(name);
    for at in HEADER_LEN..placed[placed.len() - 1].end().offset() {
        folder.write(name, &good[..at as usize]);
        let (verdict, out) = run_well(&[&folder.path("")]);
        assert_eq!(verdict, Verdict::Fine, "cut at {at}: {out}");
        let whole = placed.iter().filter(|p| p.end().offset() <= at).count();
        let told = format!("{at} bytes, {whole} record");
        assert!(out.contains(&told), "cut at {at}: {out}");
        let is_between = placed.iter().any(|p| p.place.offset() == at);
        assert_eq!(out.contains("torn tail"), !is_between, "cut at {at}: {out}");
    }
}

#[test]
fn only_the_end_of_the_newest_segment_may_be_torn() {
    let folder = Folder::new();
    let placed = small_log(&folder);
    let last = placed[placed.len() - 1];
    folder.flip("00000001.log", last.place.offset() + 5);
    // A file without a header was never written to: what is torn is still the newest.
    folder.write("00000002.log", &[0; 4096]);
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Fine);
    let told = "00000002.log: segment 2, nothing was written to it yet\n";
    assert!(out.contains(told), "{out}");
    folder.write("00000003.log", &header(3, 0).encode());
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Damaged);
    let told = format!("damaged at {} ({} bytes)\n", last.place.offset(), last.len);
    assert!(out.contains(&told), "{out}");
    let told = "2, has nothing but zeros although the log goes on";
    assert!(out.contains(told), "{out}");
}

#[test]
fn the_salt_comes_from_another_segment_or_from_the_user() {
    let folder = Folder::new();
    small_log(&folder);
    let dir = folder.path("");
    folder.flip("00000001.log", 3);
    folder.flip("00000001.log", 70);
    let (done, _) = run(&[&dir]);
    assert!(done.expect_err("no salt").contains("--salt"));
    let (verdict, out) = run_well(&["--salt", "5a170000c0ffee00", &dir]);
    assert_eq!(verdict, Verdict::Damaged);
    let told = "1048576 bytes, 9 records, both copies of the header are damaged\n";
    assert!(out.contains(told), "{out}");
    // A wrong one leaves nothing that can be believed.
    let (_, out) = run_well(&["--salt", "1", &dir]);
    assert!(out.contains("0 records"), "{out}");
    folder.write("00000002.log", &header(2, 0).encode());
    let (verdict, out) = run_well(&[&dir]);
    assert_eq!(verdict, Verdict::Damaged);
    assert!(out.contains(told), "{out}");
}

#[test]
fn a_header_of_another_segment_or_log_is_told() {
    let folder = Folder::new();
    small_log(&folder);
    folder.write("00000002.log", &header(5, 0).encode());
    let stranger = Header {
        salt: 1,
        ..header(3, 0)
    };
    folder.write("00000003.log", &stranger.encode());
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Damaged);
    let told = [
        "the header says that it is segment 5 from 0 on\n",
        "the header has another salt, 0000000000000001\n",
        "2 files with problems",
    ];
    for told in told {
        assert!(out.contains(told), "{out}");
    }
}

#[test]
fn a_newer_format_is_refused_and_the_rest_is_read() {
    let folder = Folder::new();
    small_log(&folder);
    let mut newer = header(2, 0).encode();
    for copy in newer.chunks_mut(64) {
        copy[8] = 9;
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
    }
    folder.write("00000002.log", &newer);
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Damaged);
    let told = "00000002.log: segment 2, has format 9, which";
    assert!(out.contains(told), "{out}");
    assert!(out.contains("9 records"), "{out}");
}

/// A log whose file was given up in front of record `at`: the rest is in a continuation.
fn continued(folder: &Folder, at: usize) -> (Vec<Placed>, String) {
    let placed = small_log(folder);
    let start = placed[at].place.offset();
    let good = folder.read("00000001.log");
    let mut rest = header(1, start).encode().to_vec();
    rest.extend_from_slice(&good[start as usize..]);
    let name = files::name_of(1, start);
    assert_eq!(name, format!("00000001-{start:08x}.log"));
    folder.write(&name, &rest);
    // What the file that failed has there is anything.
    let mut first = good;
    first[start as usize..][..9].copy_from_slice(b"leftovers");
    folder.write("00000001.log", &first);
    (placed, name)
}

#[test]
fn what_lies_behind_the_start_of_a_continuation_does_not_count() {
    let folder = Folder::new();
    let (placed, name) = continued(&folder, 4);
    let (verdict, out) = run_well(&[&folder.path("")]);
    assert_eq!(verdict, Verdict::Fine, "{out}");
    let start = placed[4].place.offset();
    let told = [
        "00000001.log: segment 1, 1048576 bytes, 4 records\n",
        &format!("{name}: segment 1 from {start} on, "),
        "2 files of ",
        " 9 records ",
    ];
    for told in told {
        assert!(out.contains(told), "{told}: {out}");
    }
    // Damage has the same offset as in one file.
    let (offset, len) = (placed[5].place.offset(), placed[5].len);
    folder.flip(&name, HEADER_LEN + offset - start + 3);
    let (_, out) = run_well(&[&folder.path("")]);
    let told = format!("damaged at {offset} ({len} bytes)\n");
    assert!(out.contains(&told), "{out}");
}

#[test]
fn a_file_that_was_kept_aside_can_be_looked_at() {
    let folder = Folder::new();
    let (placed, name) = continued(&folder, 4);
    let bad = format!("{name}.bad");
    fs::rename(folder.path(&name), folder.path(&bad)).expect("is there");
    let (verdict, out) = run_well(&[&folder.path(&bad)]);
    assert_eq!(verdict, Verdict::Fine);
    let start = placed[4].place.offset();
    let told = format!("{bad}: segment 1 from {start} on, ");
    assert!(out.contains(&told), "{out}");
    // Its name still tells what it is when its header does not; so does a header without a name.
    for at in [0, 64] {
        folder.flip(&bad, at);
    }
    let (_, out) = run_well(&["--salt", "5a170000c0ffee00", &folder.path(&bad)]);
    assert!(out.contains(" 5 records"), "{out}");
    fs::rename(folder.path("00000001.log"), folder.path("saved")).expect("is there");
    let (_, out) = run_well(&[&folder.path("saved"), &folder.path(&bad)]);
    let told = "\"saved\": segment 1, 1048576 bytes, 4 records\n";
    assert!(out.contains(told), "{out}");
    assert!(out.contains(" 9 records"), "{out}");
}

#[test]
fn of_two_folders_it_is_told_whose_file_is_left_out() {
    let folders = [Folder::new(), Folder::new()];
    for folder in &folders {
        small_log(folder);
    }
    let sources = folders.each_ref().map(|folder| folder.path("").into());
    let log = Log::find(&sources, None).expect("two logs are there");
    let [first, second] = folders.each_ref().map(|folder| folder.path("00000001.log"));
    let told = format!(
        "\"{second}\" is left out: it is the same part of the log as \"{first}\", which was named \
         first."
    );
    assert_eq!(log.warnings, [told]);
}

#[test]
fn strangers_bytes_end_in_an_answer() {
    let folder = Folder::new();
    let mut rng = fastrand::Rng::with_seed(11);
    folder.write("00000001.log", &header(1, 0).encode());
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..rng.usize(0..600)).map(|_| rng.u8(..)).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, header(2, 0).encode());
        }
        folder.write("00000002.log", &bytes);
        for task in ["--verify", "--list", "--stats"] {
            run_well(&[task, &folder.path("")]);
        }
    }
    // Offsets at the end of what can be said.
    let end = header(u32::MAX, u32::MAX).encode();
    folder.write("4294967295-ffffffff.log", &end);
    folder.write("4294967295-00000001.log", &header(u32::MAX, 1).encode());
    for task in ["--verify", "--list", "--stats"] {
        run_well(&[task, &folder.path("")]);
    }
}
