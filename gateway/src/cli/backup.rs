//! `ringfence backup` and `ringfence restore`: everything of an engine in one file under a passphrase.

use std::path::{Path, PathBuf};

use clap::Args;
use ringfence_engine::time::UnixTime;
use serde_json::json;

use super::progress::Progress;
use super::{Failure, Place, passphrase, paths, say};
use crate::calendar::moment;
use crate::clock;
use crate::config::{Config, raw};
use crate::state::backup::{Backup, BackupError, PreviousState, restore};
use crate::state::keystore::{ContactsFile, Keystore, LedgerFile, write_private};
use crate::state::secret::Secret;

/// Goes before everything else, because the passphrase of the keys may be another one.
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
    place: Place,
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
    place: Place,
}

/// Runs `backup`. An engine may run beside.
pub(super) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    if args.file.exists() && !args.replace {
        return Err(BackupError::Exists(args.file.clone()).into());
    }
    let progress = Progress::begin();
    let keys = passphrase(&config, false)?;
    progress.say("Reading lines, contacts and calls");
    // What cannot be read now could not be read after a restore either.
    let lines = Keystore::look(&config.state, keys.clone())?;
    ContactsFile::open(&config.state, keys.clone()).read()?;
    LedgerFile::open(&config.state, keys.clone()).read()?;
    let settings = match args.place.file() {
        Some(file) => {
            Some(std::fs::read_to_string(file).map_err(|error| Failure::System(error.kind()))?)
        }
        None => None,
    };
    let archive = Backup::collect(&config.state, settings, clock::unix_seconds())?;
    drop(progress);
    let secret = match (from_environment(), keys) {
        (Some(secret), _) | (None, Some(secret)) => secret,
        (None, None) => passphrase::ask_twice()?,
    };
    let progress = Progress::begin();
    progress.say("Sealing the backup");
    let sealed = archive.seal(secret)?;
    write_private(&args.file, &sealed)?;
    drop(progress);
    if args.json {
        let numbers: Vec<u32> = lines.iter().map(|line| line.number).collect();
        return say(
            &json!({ "file": args.file, "bytes": sealed.len(), "lines": numbers }).to_string(),
        );
    }
    say(&format!(
        "{} holds {} with contacts, calls and settings. Keep it away from this machine, and make a new one every month or so: ring keys change. Whoever has the file and its passphrase is you.",
        args.file.display(),
        counted(lines.len())
    ))
}

/// Runs `restore`.
pub(super) fn bring_back(args: &RestoreArgs) -> Result<(), Failure> {
    let secret = match from_environment() {
        Some(secret) => secret,
        None => passphrase::find(true, false)?.ok_or(Failure::NoPassphrase)?,
    };
    let progress = Progress::begin();
    progress.say("Opening the backup");
    let archive = Backup::open(&args.file, secret)?;
    let state = state(args, &archive)?;
    progress.say("Writing");
    let kept = restore(&archive, &state, args.replace, clock::unix_seconds())?;
    let settings = put_settings(args, &archive)?;
    drop(progress);
    let numbers = archive.numbers();
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
        moment(UnixTime::from_seconds(archive.made)),
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
        "\nNobody else may run an engine with these lines: stop the other one before this one starts. At its first start the engine draws new ring keys; until the phone book has published them, within ten minutes, calls may not reach it.",
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

/// Where the backup goes: what was typed, what the settings here say, what those in the backup say.
fn state(args: &RestoreArgs, archive: &Backup) -> Result<PathBuf, Failure> {
    if let Some(state) = &args.place.state {
        return Ok(state.clone());
    }
    if let Some(file) = args.place.file().filter(|file| file.exists()) {
        return Ok(Config::read(&file)?.state);
    }
    let theirs = archive
        .settings
        .as_deref()
        .and_then(|text| raw::parse(text).ok());
    let theirs = theirs.and_then(|raw| Config::try_from(raw).ok());
    Ok(theirs.map_or_else(Config::defaults, Ok)?.state)
}

/// Settings go where there are none; beside others that differ. Where they are, if they were written.
fn put_settings(args: &RestoreArgs, archive: &Backup) -> Result<Option<PathBuf>, Failure> {
    let place = match (&args.place.config, &args.place.state) {
        (Some(file), _) => Some(file.clone()),
        (None, None) => paths::usual_file(),
        (None, Some(_)) => None,
    };
    let Some((mut file, text)) = place.zip(archive.settings.as_deref()) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&file) {
        Ok(present) if present == text => return Ok(None),
        Ok(_) => {
            let mut name = file.into_os_string();
            name.push(".from-backup");
            file = name.into();
        }
        Err(_) => {}
    }
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        crate::state::keystore::make_folder(folder)?;
    }
    write_private(&file, text.as_bytes())?;
    Ok(Some(file))
}
