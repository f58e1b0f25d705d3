//! Rows: what was measured, against what, and whether the goal is met.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::samples::Samples;

/// One line of the table and one entry of a results file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    /// The baseline's value, in the same unit.
    against: Option<f64>,
    /// `value / against`.
    ratio: Option<f64>,
    goal: String,
    met: bool,
    /// What else a reader of the table should know: rounds and spread.
    #[serde(skip)]
    note: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn words(self, unit: &str) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least} {unit}"),
            Self::AtMost(most) => format!("≤ {most} {unit}"),
        }
    }
}

impl Row {
    /// Compares a value with the baseline's; the goal is about their ratio.
    pub(crate) fn ratio(name: &str, unit: &'static str, value: f64, against: f64, goal: Goal) -> Self {
        let ratio = value / against;
        Self {
            name: name.to_owned(),
            value: rounded(value),
            unit,
            against: Some(rounded(against)),
            ratio: Some(rounded(ratio)),
            goal: goal.words("×"),
            // The exact ratio decides, not the printed one.
            met: goal.met(ratio),
            note: String::new(),
        }
    }

    /// A value with a goal of its own.
    pub(crate) fn value(name: &str, unit: &'static str, value: f64, goal: Goal) -> Self {
        Self {
            name: name.to_owned(),
            value: rounded(value),
            unit,
            against: None,
            ratio: None,
            goal: goal.words(unit),
            met: goal.met(value),
            note: String::new(),
        }
    }

    /// The medians of rounds, with their number and spread.
    pub(crate) fn of_rounds(
        name: &str,
        unit: &'static str,
        value: &Samples,
        against: &Samples,
        goal: Goal,
    ) -> Self {
        let spread = format!(
            "{} rounds, {} against {}",
            value.len(),
            spread(value),
            spread(against)
        );
        Self::ratio(name, unit, value.median(), against.median(), goal).noting(spread)
    }

    /// With a note.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        Self {
            note: note.into(),
            ..self
        }
    }
}

/// The smallest and the largest, as `3.1–4.7`.
pub(crate) fn spread(samples: &Samples) -> String {
    format!("{}–{}", number(samples.min()), number(samples.max()))
}

/// Writes a group's rows to `bench/results/<group>.json`.
pub(crate) fn write(group: &str, rows: &[Row]) -> Result<()> {
    let broken = rows
        .iter()
        .find(|row| !row.value.is_finite() || row.ratio.is_some_and(|r| !r.is_finite()));
    ensure!(broken.is_none(), "nothing was measured for {broken:?}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{group}.json"));
    let text = serde_json::to_string_pretty(rows)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) -> Result<()> {
    let mut cells = vec![["what", "value", "against", "ratio", "goal", "met", ""].map(str::to_owned)];
    cells.extend(rows.iter().map(Row::cells));
    let mut widths = [0; 7];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = std::io::stdout().lock();
    for row in &cells {
        let padded: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let with_unit = |value| format!("{} {}", number(value), self.unit);
        [
            self.name.clone(),
            with_unit(self.value),
            self.against.map_or_else(|| "–".to_owned(), with_unit),
            self.ratio
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            self.goal.clone(),
            if self.met { "yes" } else { "NO" }.to_owned(),
            self.note.clone(),
        ]
    }
}

/// Three decimals; more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_ratio_decides_whether_a_goal_is_met() {
        let missed = Row::ratio("x", "ms", 1.000_04, 1.0, Goal::AtMost(1.0));
        assert_eq!((missed.ratio, missed.met), (Some(1.0), false));
        assert!(Row::ratio("x", "/s", 2.0, 2.0, Goal::AtLeast(1.0)).met);
        assert!(!Row::value("x", "ms", 100.1, Goal::AtMost(100.0)).met);
    }

    #[test]
    fn a_result_has_the_seven_documented_fields() {
        let row = Row::ratio("cold", "ms", 1.0, 2.0, Goal::AtMost(1.0)).noting("7 rounds");
        let written = serde_json::to_value(row).unwrap();
        let expected = serde_json::json!({
            "name": "cold", "value": 1.0, "unit": "ms", "against": 2.0, "ratio": 0.5, "goal": "≤ 1 ×", "met": true,
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn a_row_without_a_measurement_meets_nothing() {
        assert!(!Row::value("x", "ms", Samples::default().median(), Goal::AtMost(1.0)).met);
        assert!(!Row::ratio("x", "ms", f64::NAN, 1.0, Goal::AtLeast(1.0)).met);
    }
}
