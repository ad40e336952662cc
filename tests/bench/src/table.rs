//! What the runs yielded, and the table made of it: medians, and ratios to the first column.

use std::fmt::Write;

/// How a figure is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Messages each second.
    Rate,
    /// Microseconds of CPU for each message.
    Micros,
    Millis,
    Bytes,
    Megabytes,
    /// Of something for each something else.
    Each,
    Percent,
}

/// All figures of all runs.
#[derive(Default)]
pub struct Results {
    /// In the order in which they first came.
    rows: Vec<Row>,
    pub failures: Vec<String>,
}

struct Row {
    scenario: String,
    figure: String,
    unit: Unit,
    /// Broker and value, one for each run.
    values: Vec<(String, f64)>,
}

/// Takes the figures of one run of one broker.
pub struct Sink<'a> {
    pub results: &'a mut Results,
    pub scenario: String,
    pub broker: String,
}

impl Sink<'_> {
    /// Adds a figure of this run.
    pub fn add(&mut self, figure: &str, unit: Unit, value: f64) {
        self.part("", figure, unit, value);
    }

    /// Adds a figure of a part of this scenario.
    pub fn part(&mut self, part: &str, figure: &str, unit: Unit, value: f64) {
        let scenario = match part {
            "" => self.scenario.clone(),
            _ => format!("{} {part}", self.scenario),
        };
        let rows = &mut self.results.rows;
        let place = rows
            .iter()
            .position(|row| row.scenario == scenario && row.figure == figure);
        let place = place.unwrap_or_else(|| {
            rows.push(Row {
                scenario,
                figure: figure.to_string(),
                unit,
                values: Vec::new(),
            });
            rows.len() - 1
        });
        rows[place].values.push((self.broker.clone(), value));
    }
}

impl Results {
    /// The table as Markdown. A ratio is the first broker's figure as a share of another's.
    pub fn table(&self, brokers: &[String]) -> String {
        let others = brokers.get(1..).unwrap_or_default();
        let mut head = vec!["scenario".to_string(), "figure".into()];
        head.extend(brokers.iter().cloned());
        head.extend(others.iter().map(|other| format!("share of {other}")));
        let mut lines = vec![head];
        for row in &self.rows {
            let mut line = vec![row.scenario.clone(), row.figure.clone()];
            line.extend(brokers.iter().map(|broker| row.cell(broker)));
            line.extend(others.iter().map(|other| row.ratio(&brokers[0], other)));
            lines.push(line);
        }
        layout(&lines)
    }
}

impl Row {
    fn median(&self, broker: &str) -> Option<(f64, f64, f64)> {
        let runs = self.values.iter().filter(|(name, _)| name == broker);
        let mut values: Vec<f64> = runs.map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            n if n % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some((median, values[0], values[values.len() - 1]))
    }

    /// The median; with its range where that is wide.
    fn cell(&self, broker: &str) -> String {
        let Some((median, least, most)) = self.median(broker) else {
            return "-".into();
        };
        let text = self.unit.text(median);
        if most - least <= median.abs() * 0.25 {
            return text;
        }
        format!(
            "{text} ({}..{})",
            self.unit.plain(least),
            self.unit.plain(most)
        )
    }

    fn ratio(&self, first: &str, other: &str) -> String {
        match (self.median(first), self.median(other)) {
            (Some((first, ..)), Some((other, ..))) if other > 0.0 => {
                let share = first / other * 100.0;
                match share {
                    1000.0.. => format!("{:.0} times", share / 100.0),
                    10.0.. => format!("{share:.0} %"),
                    _ => format!("{share:.1} %"),
                }
            }
            _ => "-".into(),
        }
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        let plain = self.plain(value);
        match self {
            Self::Rate => format!("{plain}/s"),
            Self::Micros => format!("{plain} us"),
            Self::Millis => format!("{plain} ms"),
            Self::Bytes => format!("{plain} B"),
            Self::Megabytes => format!("{plain} MB"),
            Self::Each => plain,
            Self::Percent => format!("{plain} %"),
        }
    }

    fn plain(self, value: f64) -> String {
        match value.abs() {
            100.0.. => format!("{value:.0}"),
            10.0.. => format!("{value:.1}"),
            0.0 => "0".into(),
            _ if self == Self::Percent => format!("{value:.1}"),
            1.0.. => format!("{value:.2}"),
            _ => format!("{value:.3}"),
        }
    }
}

fn layout(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if at == 0 {
            for width in &widths {
                let _ = write!(text, "|-{}-", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let mut results = Results::default();
        for (broker, value) in [("a", 1.0), ("b", 4.0), ("a", 3.0), ("b", 4.0), ("a", 2.0)] {
            Sink {
                results: &mut results,
                scenario: "s".into(),
                broker: broker.into(),
            }
            .add("f", Unit::Micros, value);
        }
        let table = results.table(&["a".into(), "b".into()]);
        let row = table.lines().last().unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let expected = ["", "s", "f", "2.00 us (1.00..3.00)", "4.00 us", "50 %", ""];
        assert_eq!(cells, expected);
    }
}
