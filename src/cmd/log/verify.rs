//! `--verify`: a line for each file, and a summary.

use std::convert::Infallible;
use std::io;

use super::files::{Content, Loaded, Log, Piece};
use super::walk::{Item, Tally};
use super::{Failure, Verdict};

/// Damaged stretches that a line names.
const STRETCHES_MAX: usize = 16;

/// Everything that was read, in sums.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    pub(super) tally: Tally,
    /// Files with something wrong besides records.
    pub(super) problems: u64,
    /// Files that are gone.
    pub(super) vanished: u64,
}

impl Sum {
    /// Counts what is in a file.
    pub(super) fn add(&mut self, content: &Content, tally: Tally) {
        self.files += 1;
        self.file_bytes += content.file_bytes;
        self.tally.add(tally);
        self.problems += u64::from(!content.problems.is_empty());
    }

    /// Whether something is damaged.
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::damaged_if(self.tally.damaged + self.problems > 0)
    }

    /// What is damaged, in words.
    pub(super) fn damage(&self) -> String {
        let tally = &self.tally;
        let mut parts = Vec::new();
        if tally.damaged > 0 {
            parts.push(format!(
                "{} of {} bytes",
                plural(tally.damaged, "damaged stretch", "damaged stretches"),
                tally.damaged_bytes
            ));
        }
        if self.problems > 0 {
            parts.push(plural(
                self.problems,
                "file with problems",
                "files with problems",
            ));
        }
        if parts.is_empty() {
            parts.push("nothing is damaged".into());
        }
        if tally.torn_bytes > 0 {
            parts.push(format!("torn tail of {} bytes", tally.torn_bytes));
        }
        if self.vanished > 0 {
            parts.push(format!(
                "{} vanished meanwhile",
                plural(self.vanished, "file", "files")
            ));
        }
        parts.join(", ")
    }
}

/// A number of things.
pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

/// Does what the flag says.
pub(super) fn verify(log: &Log, out: &mut dyn io::Write) -> Result<Verdict, Failure> {
    let mut sum = Sum::default();
    for piece in &log.pieces {
        let told = match piece.load(log.salt) {
            Loaded::Content(content) => describe(&content, &mut sum),
            Loaded::Vanished => {
                sum.vanished += 1;
                continue;
            }
            Loaded::Unused => "nothing was written to it yet".into(),
            Loaded::Failed(what) => {
                sum.problems += 1;
                what
            }
        };
        writeln!(out, "{}: {}, {told}", piece.name, title(piece))?;
    }
    writeln!(
        out,
        "{} of {} bytes, {} of {} bytes, salt {:016x}: {}",
        plural(sum.files, "file", "files"),
        sum.file_bytes,
        plural(sum.tally.records, "record", "records"),
        sum.tally.record_bytes,
        log.salt,
        sum.damage(),
    )?;
    Ok(sum.verdict())
}

/// Which part of the log a file is.
fn title(piece: &Piece) -> String {
    match piece.start {
        0 => format!("segment {}", piece.segment),
        start => format!("segment {} from {start} on", piece.segment),
    }
}

fn describe(content: &Content, sum: &mut Sum) -> String {
    let mut stretches = Vec::new();
    let mut torn = None;
    let Ok(tally) = content.walk(|placed, item| {
        match item {
            Item::Record(_) => {}
            Item::Torn => torn = Some(placed),
            Item::Unknown(_) | Item::Damage if stretches.len() < STRETCHES_MAX => {
                stretches.push(format!("{} ({} bytes)", placed.place.offset(), placed.len));
            }
            Item::Unknown(_) | Item::Damage => {}
        }
        Ok::<(), Infallible>(())
    });
    sum.add(content, tally);
    let records = plural(tally.records, "record", "records");
    let mut parts = vec![format!("{} bytes", content.file_bytes), records];
    parts.extend(content.problems.iter().cloned());
    if !stretches.is_empty() {
        let more = tally.damaged - stretches.len() as u64;
        if more > 0 {
            stretches.push(format!("and {more} more places"));
        }
        parts.push(format!("damaged at {}", stretches.join(", ")));
    }
    if let Some(torn) = torn {
        let (len, at) = (torn.len, torn.place.offset());
        parts.push(format!("torn tail of {len} bytes at {at}"));
    }
    parts.join(", ")
}
