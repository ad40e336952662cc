//! The tools that count: each runs the broker's own program and writes a total when that ends.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::stop;

/// The longest that a tool may take to write its total after the broker's end.
const LIMIT: Duration = Duration::from_secs(60);

/// What counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// valgrind's callgrind: instructions in user space, of all threads.
    Instructions,
    /// strace: system calls, of all threads.
    Calls,
    /// valgrind's memcheck: how often heap memory was asked for.
    Allocations,
}

impl Tool {
    /// The command line before the broker's; the total is to go to `out`.
    pub fn command(self, out: &Path) -> Vec<String> {
        let out = out.display();
        let words = match self {
            Tool::Instructions => {
                format!("valgrind -q --tool=callgrind --callgrind-out-file={out}")
            }
            // -D: the tool is the grandchild, and the process that was started is the broker.
            Tool::Calls => format!("strace -D -f -c -U calls,name -o {out}"),
            Tool::Allocations => {
                format!("valgrind --leak-check=no --undef-value-errors=no --log-file={out}")
            }
        };
        words.split(' ').map(String::from).collect()
    }

    /// The total of a broker that has ended.
    pub fn total(self, out: &Path) -> Result<u64, String> {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(out).unwrap_or_default();
            if let Some(total) = self.find(&text) {
                return Ok(total);
            }
            if began.elapsed() > LIMIT {
                return Err(format!("{} has no total", out.display()));
            }
            stop::check()?;
            std::thread::yield_now();
        }
    }

    fn find(self, text: &str) -> Option<u64> {
        text.lines().rev().find_map(|line| {
            let number = match self {
                Tool::Instructions => line.strip_prefix("totals: ")?,
                Tool::Calls => line.trim().strip_suffix(" total")?,
                Tool::Allocations => {
                    let (_, rest) = line.split_once("total heap usage: ")?;
                    rest.split_once(" allocs")?.0
                }
            };
            number.replace(',', "").trim().parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_where_the_tools_write_them() {
        let callgrind = "fn=(1)\n1 2\n\ntotals: 38123456\n";
        assert_eq!(Tool::Instructions.find(callgrind), Some(38_123_456));
        assert_eq!(Tool::Instructions.find("fn=(1)\n1 2\n"), None);
        let strace = "  calls syscall\n--- ---\n   20 read\n--- ---\n       29 total\n";
        assert_eq!(Tool::Calls.find(strace), Some(29));
        let memcheck = "==7==   total heap usage: 1,234 allocs, 1,200 frees, 9 bytes allocated\n";
        assert_eq!(Tool::Allocations.find(memcheck), Some(1234));
    }
}
