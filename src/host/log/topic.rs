//! Lines on their way to `$SYS/broker/log`, until the poll loop comes to publish them.

use super::LogType;

/// The most bytes of lines that wait. Beyond, new lines are dropped and counted: the loop drains at
/// every turn, so this many mean that something has gone wrong, and the first lines tell what.
const BYTES_MAX: usize = 64 * 1024;

/// Lines in their order, in one text: no allocation per line.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    /// The class of each line and where it ends in `text`.
    ends: Vec<(LogType, usize)>,
    /// Lines that found no room.
    dropped: u64,
}

impl Batch {
    pub(super) fn push(&mut self, class: LogType, line: &str) {
        if class.topic().is_none() {
            return;
        }
        // A line of nothing costs an entry too.
        if self.text.len() + line.len() > BYTES_MAX || self.ends.len() >= BYTES_MAX / 16 {
            self.dropped += 1;
            return;
        }
        self.text.push_str(line);
        self.ends.push((class, self.text.len()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.dropped = 0;
    }

    pub(super) fn each(&self, act: &mut impl FnMut(LogType, &str)) {
        let mut start = 0;
        for &(class, end) in &self.ends {
            act(class, &self.text[start..end]);
            start = end;
        }
        if self.dropped > 0 {
            let dropped = self.dropped;
            act(
                LogType::Warning,
                &format!("{dropped} more log lines were not published: too many at once."),
            );
        }
    }
}
