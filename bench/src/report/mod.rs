//! What was found, as JSON and as tables.

pub mod packets;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::machine::{self, Machine};
use crate::peers::Peer;
use crate::stats::Spread;

/// Everything of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report<Line> {
    /// What was measured on.
    pub machine: Machine,
    /// The command.
    pub command: String,
    /// Rounds of each figure.
    pub rounds: usize,
    /// Results.
    pub results: Vec<Line>,
}

impl<Line: Serialize> Report<Line> {
    /// A report of this machine, without results yet.
    #[must_use]
    pub fn new(command: &str, rounds: usize) -> Self {
        Self { machine: machine::look(), command: command.to_owned(), rounds, results: Vec::new() }
    }

    /// The beginning of the report in Markdown. `anchor` is of the section of the documentation
    /// that says what the figures mean.
    #[must_use]
    pub fn heading(&self, title: &str, anchor: &str) -> String {
        let machine = &self.machine;
        format!(
            "# {title}\n\nWritten by `{}`. What it means: [performance](../performance.md#{anchor}).\n\n\
             {} ({} CPUs), Linux {}, commit {}, {}. {}.\n",
            self.command,
            machine.cpu,
            machine.cpus,
            machine.kernel,
            machine.commit,
            machine.date,
            machine.versions.join(", "),
        )
    }

    /// What its figures are, in a sentence.
    #[must_use]
    pub fn figures(&self) -> String {
        format!(
            "Each figure is the median of {} rounds with the smallest and the largest.\n",
            self.rounds
        )
    }

    /// Writes it as JSON and Markdown.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str, markdown: &str) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        save(folder, &format!("{name}.json"), &format!("{json}\n"))?;
        save(folder, &format!("{name}.md"), markdown)
    }
}

/// Writes a file, and says where.
///
/// # Errors
/// Where it cannot be written.
pub fn save(folder: &Path, name: &str, content: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, content).with_context(|| format!("{} not written", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// A number of nanoseconds or a ratio, with as many digits as it deserves.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.1}"),
        ..10_000.0 => format!("{value:.0}"),
        _ => {
            let text = format!("{:.0}", value.abs());
            let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
            for (place, digit) in text.chars().enumerate() {
                if place > 0 && (text.len() - place).is_multiple_of(3) {
                    grouped.push(' ');
                }
                grouped.push(digit);
            }
            grouped
        }
    }
}

/// A median with its spread; nothing of nothing.
#[must_use]
pub fn spread(spread: Option<Spread>) -> String {
    with_digits(spread, number)
}

/// A ratio with its spread, both to a hundredth.
#[must_use]
pub fn ratio(spread: Option<Spread>) -> String {
    with_digits(spread, |value| format!("{value:.2}"))
}

fn with_digits(spread: Option<Spread>, number: impl Fn(f64) -> String) -> String {
    spread.map_or_else(String::new, |Spread { median, low, high }| {
        // A floor over itself.
        if low == 0.0 && high == 0.0 {
            return "0".to_owned();
        }
        format!("{} ({} to {})", number(median), number(low), number(high))
    })
}

/// A table with columns of words, then columns of figures.
#[must_use]
pub fn with_columns(words: &[&str], figures: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(words.iter().chain(figures));
    for column in words.len()..words.len() + figures.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Why filters were not measured: reasons and names, those with the same reason together.
#[must_use]
pub fn absent<'a>(skipped: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (reason, filter) in skipped {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, filters)) => filters.push(filter),
            None => reasons.push((reason, vec![filter])),
        }
    }
    let mut text = String::new();
    for (reason, filters) in reasons {
        let _ = writeln!(text, "- not measured: {}: {reason}", filters.join(", "));
    }
    text
}

/// The section that says what each filter is.
#[must_use]
pub fn filters(peers: &[Box<dyn Peer>]) -> String {
    let mut text = String::from("\n## Filters\n\n");
    for peer in peers {
        let _ = writeln!(text, "- **{}**: {}.", peer.name(), peer.about());
    }
    text
}

/// A number with its thousands apart.
#[must_use]
pub fn number_of(count: usize) -> String {
    if count < 10_000 { count.to_string() } else { number(count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_they_deserve() {
        assert_eq!(number(2.06), "2.1");
        assert_eq!(number(-41.6), "-42");
        assert_eq!(number(27_700.4), "27 700");
        assert_eq!(number_of(100_000), "100 000");
    }
}
