//! The limits that `make check-perf` holds: a table of four columns with tabs between.
//!
//! `name`, as `exact` measures it; `limit`, what was reached (`-`: reported, never failed);
//! `goal`, what is wanted; `peer`, what Debian's mosquitto has (`-` where unknown).

use std::path::Path;

/// How much above its limit a figure may be: tools and libraries differ a little.
const SLACK: f64 = 1.03;

/// One line of the table.
#[derive(Debug)]
pub struct Limit {
    pub name: String,
    pub most: Option<f64>,
    pub goal: String,
    pub peer: String,
}

/// The whole table.
#[derive(Debug)]
pub struct Limits(Vec<Limit>);

impl Limits {
    /// Reads the table; an error names file and line.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        Self::parse(&text).map_err(|e| format!("{}:{e}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, limit, goal, peer] = columns[..] else {
                return Err(format!("{}: not four columns", at + 1));
            };
            let limit = match limit {
                "-" => None,
                number => {
                    let number = number.parse();
                    Some(number.map_err(|_| format!("{}: {limit}: no number", at + 1))?)
                }
            };
            limits.push(Limit {
                name: name.to_string(),
                most: limit,
                goal: goal.to_string(),
                peer: peer.to_string(),
            });
        }
        Ok(Self(limits))
    }

    /// The line of this figure.
    pub fn of(&self, name: &str) -> Result<&Limit, String> {
        let found = self.0.iter().find(|limit| limit.name == name);
        found.ok_or_else(|| format!("the table of limits has no line for {name}"))
    }
}

impl Limit {
    /// Whether this is too much. A limit of 0 leaves room for what one run does and another does
    /// not, such as a table that grows: one in fifty messages at most.
    pub fn is_broken(&self, value: f64) -> bool {
        self.most
            .is_some_and(|limit| value > (limit * SLACK).max(0.02))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_breaks_its_limit_above_three_percent() {
        let text = "# name\tlimit\tgoal\tpeer\na\t100\t90\t-\nb\t0\t0\t6\nc\t-\t1\t2\n";
        let limits = Limits::parse(text).unwrap();
        let broken = |name: &str, value: f64| limits.of(name).unwrap().is_broken(value);
        assert!(!broken("a", 102.9) && broken("a", 103.1));
        assert!(!broken("b", 0.019) && broken("b", 0.021));
        assert!(!broken("c", 1e9));
        assert!(limits.of("d").is_err());
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(Limits::parse("a\t1\t2\n").unwrap_err().starts_with("1: "));
        let problem = Limits::parse("# x\na\tb\t2\t3\n").unwrap_err();
        assert!(problem.starts_with("2: b"));
    }
}
