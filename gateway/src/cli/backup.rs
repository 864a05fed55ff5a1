//! `ringfence backup` and `ringfence restore`: everything of an engine in one file under a passphrase.

mod restored;

use std::path::PathBuf;

use clap::Args;
use ringfence_engine::time::UnixTime;
use serde_json::json;

use super::progress::ProgressLine;
use super::{CommandError, PathArgs, passphrase, say};
use crate::calendar::local_moment;
use crate::clock;
use crate::state::backup::{Backup, BackupError, PreviousState, restore};
use crate::state::keystore::{ContactsFile, Keystore, SavedStateFile, write_private};
use crate::state::secret::Secret;

/// Has precedence over `RINGFENCE_PASSPHRASE`, because the keys may have another passphrase than the backup.
const VARIABLE: &str = "RINGFENCE_BACKUP_PASSPHRASE";

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    /// Write over a file that is there already
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Restore even if there are lines; the old folder is kept beside the new one
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs `backup`. An engine may run meanwhile.
pub(super) fn backup(args: &BackupArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    if args.file.exists() && !args.replace {
        return Err(BackupError::Exists(args.file.clone()).into());
    }
    let progress = ProgressLine::begin();
    let keys = passphrase(&config, false)?;
    progress.show("Reading lines, contacts and calls");
    // What cannot be read now could not be read after a restore either.
    let lines = Keystore::look(&config.state, keys.clone())?;
    ContactsFile::open(&config.state, keys.clone()).read()?;
    SavedStateFile::open(&config.state, keys.clone()).read()?;
    let settings = match args.paths.file() {
        Some(file) => Some(
            std::fs::read_to_string(file).map_err(|error| CommandError::System(error.kind()))?,
        ),
        None => None,
    };
    let numbers: Vec<u32> = lines.iter().map(|line| line.number).collect();
    let now = clock::unix_seconds();
    let archive = Backup::collect(&config.state, settings, now, numbers.clone())?;
    drop(progress);
    let secret = match (from_environment(), keys) {
        (Some(secret), _) | (None, Some(secret)) => secret,
        (None, None) => passphrase::ask_twice()?,
    };
    let progress = ProgressLine::begin();
    progress.show("Sealing the backup");
    let sealed = archive.seal(secret)?;
    write_private(&args.file, &sealed)?;
    drop(progress);
    if args.json {
        return say(
            &json!({ "file": args.file, "bytes": sealed.len(), "lines": numbers }).to_string(),
        );
    }
    say(&format!(
        "{} holds {} with contacts, calls and settings. Keep it away from this machine, and make a new one every month or so, because ring keys change. The file and its passphrase are enough to call and answer in your name.",
        args.file.display(),
        counted(lines.len())
    ))
}

/// Runs `restore`.
pub(super) fn restore_backup(args: &RestoreArgs) -> Result<(), CommandError> {
    let open = |secret| Ok(Backup::open(&args.file, secret)?);
    let archive = match from_environment().map_or_else(passphrase::given, |own| Ok(Some(own)))? {
        Some(secret) => open(secret)?,
        None => passphrase::ask_until("Passphrase of the backup: ", open)?
            .ok_or(CommandError::NoPassphrase)?,
    };
    let progress = ProgressLine::begin();
    progress.show("Writing");
    let state = restored::state_folder(&args.paths, &archive)?;
    let kept = restore(&archive, &state, args.replace, clock::unix_seconds())?;
    let settings = restored::write_settings(&args.paths, &archive, &state)?;
    drop(progress);
    let numbers = &archive.numbers;
    if args.json {
        let kept = match &kept {
            PreviousState::Nothing => None,
            PreviousState::At(path) => Some(path),
        };
        let value = json!({ "state": state, "lines": numbers, "kept": kept, "settings": settings, "made": archive.made });
        return say(&value.to_string());
    }
    let mut text = format!(
        "{} of {} {} back in {}.",
        counted(numbers.len()),
        local_moment(UnixTime::from_seconds(archive.made)),
        if numbers.len() == 1 { "is" } else { "are" },
        state.display()
    );
    if let PreviousState::At(path) = kept {
        text.push_str(&format!("\nWhat was there is now in {}.", path.display()));
    }
    if let Some(path) = settings {
        text.push_str(&format!(
            "\nThe settings of the backup are in {}.",
            path.display()
        ));
    }
    text.push_str(
        "\nNo other engine may run with these lines: stop it before this one starts. At its first start the engine draws new ring keys; until the phone book has published them, within two minutes, calls may not reach it.",
    );
    say(&text)
}

fn from_environment() -> Option<Secret> {
    let text = std::env::var(VARIABLE).ok();
    text.filter(|text| !text.is_empty()).map(Secret::new)
}

fn counted(lines: usize) -> String {
    match lines {
        1 => "1 line".to_owned(),
        many => format!("{many} lines"),
    }
}
