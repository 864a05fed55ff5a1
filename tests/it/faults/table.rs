//! The results: a table, and JSON for programs.

use std::fs;

use ringfence_tests::{fault_lab::FaultLab, program::target_folder};
use serde_json::{Value, json};

use super::{Fault, Seen};

/// Lines of an engine's log that are shown.
const LOGGED: usize = 60;

/// A fault with all its tries.
pub(super) struct Row {
    pub(super) fault: Fault,
    seen: Vec<Seen>,
}

impl Row {
    pub(super) const fn new(fault: Fault) -> Self {
        Self {
            fault,
            seen: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    fn good(&self) -> usize {
        self.seen
            .iter()
            .filter(|seen| seen.wrong.is_empty())
            .count()
    }

    /// What was not as expected; `None` if all was.
    pub(super) fn complaint(&self) -> Option<String> {
        let wrong = self.seen.iter().flat_map(|seen| &seen.wrong);
        let mut wrong: Vec<_> = wrong.cloned().collect();
        wrong.sort();
        wrong.dedup();
        let name = self.fault.name;
        (!wrong.is_empty()).then(|| format!("{name}: {}", wrong.join("; ")))
    }

    /// Each figure's name, and its values in order; those that never came count as infinite.
    fn figures(&self) -> Vec<(&'static str, Vec<f64>)> {
        let mut figures: Vec<(&str, Vec<f64>)> = Vec::new();
        for (name, value) in self.seen.iter().flat_map(|seen| &seen.figures) {
            let value = value.unwrap_or(f64::INFINITY);
            match figures.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => figures.push((name, vec![value])),
            }
        }
        for (_, values) in &mut figures {
            values.sort_by(f64::total_cmp);
        }
        figures
    }

    fn to_json(&self) -> Value {
        let figures = self.figures().into_iter().map(|(name, values)| {
            let never = values.iter().filter(|value| value.is_infinite()).count();
            let seconds: Vec<_> = values
                .into_iter()
                .filter(|value| value.is_finite())
                .collect();
            (
                name.to_owned(),
                json!({ "seconds": seconds, "never": never }),
            )
        });
        json!({
            "fault": self.fault.name,
            "expected": self.fault.expected,
            "tries": self.seen.len(),
            "good": self.good(),
            "figures": figures.collect::<serde_json::Map<_, _>>(),
            "wrong": self.complaint(),
        })
    }
}

/// One try, as soon as it is over: a whole round takes long.
#[expect(clippy::print_stdout, reason = "shows how far the round is")]
pub(super) fn print_try(fault: &Fault, seen: &Seen) {
    println!(
        "{}: {:?}, wrong: {:?}",
        fault.name, seen.figures, seen.wrong
    );
}

/// What the engines have logged, after a try that went wrong; `RUST_LOG` makes it more.
#[expect(clippy::print_stdout, reason = "tells why")]
pub(super) fn print_logs(lab: &FaultLab) {
    for engine in &lab.engines {
        let log = engine.output();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.len().saturating_sub(LOGGED);
        println!("    LOG {}", lines[last..].join("\n    LOG "));
    }
}

/// A line for each fault and one for each figure, in seconds.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub(super) fn print(rows: &[Row]) {
    let shown = |seconds: f64| match seconds.is_finite() {
        true => format!("{seconds:.2}"),
        false => "never".to_owned(),
    };
    println!("\nfault, expected: good tries; figures in seconds, median / max");
    for row in rows.iter().filter(|row| !row.seen.is_empty()) {
        let (name, expected) = (row.fault.name, row.fault.expected);
        println!("{name}, {expected}: {} of {}", row.good(), row.seen.len());
        for (name, values) in row.figures() {
            let (Some(median), Some(most)) = (values.get(values.len() / 2), values.last()) else {
                continue;
            };
            println!("    {name}: {} / {}", shown(*median), shown(*most));
        }
        if let Some(complaint) = row.complaint() {
            println!("    WRONG {complaint}");
        }
    }
}

/// `faults.json` in the target folder.
pub(super) fn store(rows: &[Row]) {
    let tried = rows.iter().filter(|row| !row.seen.is_empty());
    let all: Vec<_> = tried.map(Row::to_json).collect();
    let text = serde_json::to_string_pretty(&all).expect("texts and numbers become JSON");
    fs::write(target_folder().join("faults.json"), text)
        .expect("the target folder can be written to");
}
