//! The results: a table, and JSON for programs.

use std::{collections::BTreeMap, fmt, fs};

use ringfence_tests::{program::target_folder, real_phone::PhoneModel, tone::ToneMeasurement};
use serde_json::{Value, json};

use super::{pair::Way, scenes::Feature};

/// The result of one feature.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It worked, with a remark.
    Fine(&'static str),
    /// It worked; what the caller and the callee heard.
    Measured(ToneMeasurement, ToneMeasurement),
    /// The phone does not support it.
    PhoneCannot(&'static str),
    /// It failed.
    Failed(String),
}

/// One feature of two phones.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) caller: PhoneModel,
    pub(super) callee: PhoneModel,
    pub(super) way: Way,
    pub(super) feature: Feature,
    pub(super) outcome: Outcome,
}

impl Cell {
    pub(super) const fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn pair(&self) -> String {
        format!("{:?} > {:?}", self.caller, self.callee)
    }

    /// The text in the table; remarks are numbered in `notes`.
    fn shown(&self, notes: &mut Vec<String>) -> String {
        let mut note = |text: &str| {
            let place = notes.iter().position(|known| known == text);
            place.unwrap_or_else(|| {
                notes.push(text.to_owned());
                notes.len() - 1
            }) + 1
        };
        match &self.outcome {
            Outcome::Fine("") => "ok".to_owned(),
            Outcome::Fine(remark) => format!("ok({})", note(remark)),
            Outcome::Measured(caller, callee) => {
                let gap = caller.longest_gap.max(callee.longest_gap);
                let [caller, callee] = [caller, callee].map(|heard| heard.tone.as_secs_f64());
                format!("{caller:.2}/{callee:.2} s {} ms", gap.as_millis())
            }
            Outcome::PhoneCannot(why) => format!("phone cannot({})", note(why)),
            Outcome::Failed(why) => {
                format!("FAILED({})", note(why.lines().next().unwrap_or_default()))
            }
        }
    }

    fn to_json(&self) -> Value {
        let heard = |heard: &ToneMeasurement| {
            json!({
                "tone_s": heard.tone.as_secs_f64(),
                "longest_gap_ms": heard.longest_gap.as_millis(),
            })
        };
        let (outcome, more) = match &self.outcome {
            Outcome::Fine(remark) => ("ok", json!({ "remark": remark })),
            Outcome::Measured(caller, callee) => (
                "ok",
                json!({ "caller_heard": heard(caller), "callee_heard": heard(callee) }),
            ),
            Outcome::PhoneCannot(why) => ("phone cannot", json!({ "why": why })),
            Outcome::Failed(why) => ("failed", json!({ "why": why })),
        };
        json!({
            "caller": format!("{:?}", self.caller),
            "callee": format!("{:?}", self.callee),
            "transport": self.way.transport,
            "srtp": self.way.srtp,
            "codec": self.way.codec,
            "digits": self.way.digits,
            "feature": self.feature.name(),
            "outcome": outcome,
            "more": more,
        })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pair, name) = (self.pair(), self.feature.name());
        write!(f, "{pair}, {}, {name}: ", self.way)?;
        match &self.outcome {
            Outcome::Failed(why) => f.write_str(why),
            fine => write!(f, "{fine:?}"),
        }
    }
}

/// Prints a table of the features over UDP, and one of the other settings.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub(super) fn print(cells: &[Cell], fully: Way) {
    let mut notes = Vec::new();
    let (first, others): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| cell.way == fully);
    println!("\n{fully}: tone that the caller/callee heard, and the longest gap");
    grid(&first, &mut notes, |cell| cell.feature.name().to_owned());
    println!("\nthe other ways");
    grid(&others, &mut notes, |cell| match cell.feature {
        Feature::Digits => format!(
            "{}: {} by {}",
            cell.way,
            cell.feature.name(),
            cell.way.digits
        ),
        _ => cell.way.to_string(),
    });
    println!();
    for (place, note) in notes.iter().enumerate() {
        println!("({}) {note}", place + 1);
    }
    let failed = cells.iter().filter(|cell| cell.has_failed()).count();
    let beyond = |cell: &&Cell| matches!(cell.outcome, Outcome::PhoneCannot(_));
    let beyond = cells.iter().filter(beyond).count();
    println!(
        "{} cells: {} ok, {beyond} beyond a phone, {failed} failed",
        cells.len(),
        cells.len() - beyond - failed
    );
}

/// A row for each pair of phones, a column for each name that `column` gives.
#[expect(clippy::print_stdout, reason = "a part of the table")]
fn grid(cells: &[&Cell], notes: &mut Vec<String>, column: impl Fn(&Cell) -> String) {
    let mut rows: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    let mut columns: Vec<String> = Vec::new();
    for cell in cells {
        let name = column(cell);
        let known = columns.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            columns.push(name);
            columns.len() - 1
        });
        let row = rows.entry(cell.pair()).or_default();
        row.insert(place, cell.shown(notes));
    }
    let width = |place: usize, name: &String| {
        let shown = rows.values().filter_map(|row| row.get(&place));
        let widths = shown.chain([name]).map(|text| text.chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(place, name)| width(place, name))
        .collect();
    let line = |pair: &str, texts: &dyn Fn(usize) -> String| {
        let texts: Vec<_> = widths
            .iter()
            .enumerate()
            .map(|(place, width)| format!("{:<width$}", texts(place)))
            .collect();
        println!("  {pair:<20} {}", texts.join("  ").trim_end());
    };
    line("", &|place| columns[place].clone());
    for (pair, row) in &rows {
        line(pair, &|place| row.get(&place).cloned().unwrap_or_default());
    }
}

/// `phones.json` in the target folder.
pub(super) fn store(cells: &[Cell]) {
    let all: Vec<_> = cells.iter().map(Cell::to_json).collect();
    let text = serde_json::to_string_pretty(&all).expect("texts and numbers become JSON");
    fs::write(target_folder().join("phones.json"), text)
        .expect("the target folder can be written to");
}
