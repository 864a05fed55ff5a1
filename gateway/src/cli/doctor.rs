//! `ringfence doctor`: prints each finding as soon as it is there.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::progress::ProgressLine;
use super::{CommandError, PathArgs, say, unlock};
use crate::doctor::{Examination, Finding, FindingSink, Severity, examine};

/// Log filter: nothing, because the table is the output.
const LOG: &str = "off";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not place the test call
    #[arg(long)]
    no_call: bool,
    /// Print JSON, after the last check
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command. Exit status 1 if anything fails.
pub(super) async fn run(args: &DoctorArgs) -> Result<ExitCode, CommandError> {
    super::begin_log(LOG, ringfence_daemon::log::Format::Text);
    let mut config = args.paths.config()?;
    let mut table = FindingTable {
        is_json: args.json,
        progress: ProgressLine::begin(),
        findings: Vec::new(),
        outcome: Ok(()),
    };
    let settings = args.paths.file().map_or_else(
        || "no file; defaults are used".to_owned(),
        |file| format!("{} is valid", file.display()),
    );
    table.found(Finding::ok("settings", settings));
    let passphrase = unlock(&mut config)?;
    let examination = Examination {
        passphrase,
        config: &config,
        with_call: !args.no_call,
    };
    examine(&examination, &mut table).await;
    table.end()
}

struct FindingTable {
    is_json: bool,
    progress: ProgressLine,
    findings: Vec<Finding>,
    outcome: Result<(), CommandError>,
}

impl FindingSink for FindingTable {
    fn begins(&mut self, what: &str) {
        self.progress.show(what);
    }

    fn found(&mut self, finding: Finding) {
        self.progress.clear();
        if !self.is_json && self.outcome.is_ok() {
            self.outcome = say(&row(&finding));
        }
        self.findings.push(finding);
    }
}

impl FindingTable {
    fn end(self) -> Result<ExitCode, CommandError> {
        drop(self.progress);
        self.outcome?;
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|found| found.verdict == verdict)
                .count()
        };
        let (warnings, failures) = (count(Severity::Warn), count(Severity::Fail));
        if self.is_json {
            let findings: Vec<Value> = self.findings.iter().map(as_value).collect();
            say(&json!({ "ok": failures == 0, "findings": findings }).to_string())?;
        } else {
            say(&match (warnings, failures) {
                (0, 0) => "\nEverything is in order.".to_owned(),
                (_, 0) => format!("\nCalls work. Warnings: {warnings}."),
                _ => format!("\nFailures: {failures}. Warnings: {warnings}."),
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
