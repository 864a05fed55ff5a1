//! `ringfence doctor`: the table of what was found, as it is found.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::progress::Progress;
use super::{Failure, Place, passphrase, say};
use crate::doctor::{Finding, Listener, Patient, Verdict, examine};

/// Log of the doctor: the table is the answer.
const LOG: &str = "off";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not place the call to itself
    #[arg(long)]
    no_call: bool,
    /// Print JSON, when all is looked at
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command. Exit status 1 if anything fails.
pub(super) async fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    super::begin_log(LOG, ringfence_phonebook::duty::log::Format::Text);
    let config = args.place.config()?;
    let mut table = Table {
        is_json: args.json,
        progress: Progress::begin(),
        findings: Vec::new(),
        outcome: Ok(()),
    };
    let settings = args.place.file().map_or_else(
        || "no file, the defaults".to_owned(),
        |file| format!("{} is in order", file.display()),
    );
    table.found(Finding::ok("settings", settings));
    let patient = Patient {
        passphrase: passphrase(&config, false)?,
        config: &config,
        with_call: !args.no_call,
    };
    examine(&patient, &mut table).await;
    table.end()
}

struct Table {
    is_json: bool,
    progress: Progress,
    findings: Vec<Finding>,
    outcome: Result<(), Failure>,
}

impl Listener for Table {
    fn begins(&mut self, what: &str) {
        self.progress.say(what);
    }

    fn found(&mut self, finding: Finding) {
        self.progress.clear();
        if !self.is_json && self.outcome.is_ok() {
            self.outcome = say(&row(&finding));
        }
        self.findings.push(finding);
    }
}

impl Table {
    fn end(self) -> Result<ExitCode, Failure> {
        drop(self.progress);
        self.outcome?;
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|found| found.verdict == verdict)
                .count()
        };
        let (warnings, failures) = (count(Verdict::Warn), count(Verdict::Fail));
        if self.is_json {
            let findings: Vec<Value> = self.findings.iter().map(as_value).collect();
            say(&json!({ "ok": failures == 0, "findings": findings }).to_string())?;
        } else {
            say(&match (warnings, failures) {
                (0, 0) => "\nAll is well.".to_owned(),
                (_, 0) => format!("\nCalls work; {warnings} to look at."),
                _ => format!("\n{failures} failed, {warnings} to look at."),
            })?;
        }
        Ok(if failures == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn row(finding: &Finding) -> String {
    let Finding {
        area,
        verdict,
        says,
        remedy,
        ..
    } = finding;
    let mut text = format!("{:<5} {area}: {says}", verdict.word());
    if !remedy.is_empty() {
        text.push_str(&format!("\n      To do: {remedy}."));
    }
    text
}

fn as_value(finding: &Finding) -> Value {
    json!({
        "area": finding.area,
        "verdict": finding.verdict.word(),
        "says": finding.says,
        "remedy": Some(&finding.remedy).filter(|remedy| !remedy.is_empty()),
        "ms": finding.took.map(|took| took.as_millis() as u64),
    })
}
