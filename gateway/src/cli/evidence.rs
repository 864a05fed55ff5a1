//! `ringfence evidence`: lists the evidence against the phone book that lies in this state folder.

use std::path::PathBuf;

use clap::Args;

use super::{CommandError, PathArgs, say, unlock};
use crate::calendar::day_text;
use crate::state::keystore::{EvidenceFolder, make_folder, write_private};

#[derive(Debug, Args)]
pub(super) struct EvidenceArgs {
    /// Write each proof into a file in this folder, as others can read it: under a passphrase those of the state folder are sealed
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) fn run(args: &EvidenceArgs) -> Result<(), CommandError> {
    let mut config = args.paths.config()?;
    unlock(&mut config)?;
    let folder = EvidenceFolder::of(&config.state);
    let mut files = folder.list()?;
    if let Some(to) = &args.to {
        make_folder(to)?;
        for file in &mut files {
            let proof = folder.content(&file.path)?;
            file.path = to.join(file.path.file_name().unwrap_or_default());
            write_private(&file.path, &proof)?;
        }
    }
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
    let readable = if config.state.is_sealed() && args.to.is_none() {
        "These files are sealed: ringfence evidence --to FOLDER writes them for others. Each is then proof by itself."
    } else {
        "Each file is proof by itself."
    };
    say(&format!(
        "{}\n\n{readable} Show it to the operator of the phone book and to others who use it, and trust no number that you have not verified (ringfence contacts verify).",
        lines.join("\n")
    ))
}
