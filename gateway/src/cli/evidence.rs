//! `ringfence evidence`: lists the evidence against the phone book that lies in this state folder.

use clap::Args;

use super::{CommandError, PathArgs, say};
use crate::calendar::day_text;
use crate::state::keystore::EvidenceFolder;

#[derive(Debug, Args)]
pub(super) struct EvidenceArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) fn run(args: &EvidenceArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    let files = EvidenceFolder::of(&config.state).list()?;
    if args.json {
        let json = serde_json::to_string(&files).expect("texts always become JSON");
        return say(&json);
    }
    if files.is_empty() {
        return say("There is no evidence against the phone book.");
    }
    let lines: Vec<String> = files
        .iter()
        .map(|file| {
            format!(
                "{}  {}\n            {}",
                day_text(file.day),
                file.says,
                file.path.display()
            )
        })
        .collect();
    say(&format!(
        "{}\n\nEach file is proof by itself. Show it to the operator of the phone book and to others who use it, and trust no number that you have not verified (ringfence contacts verify).",
        lines.join("\n")
    ))
}
