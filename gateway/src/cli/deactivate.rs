//! `ringfence deactivate`: gives a number back to the phone book, and destroys the line's keys.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use ringfence_book::wire::{Base64, Deactivate};
use ringfence_book::{BookKey, Challenge, Number};
use ringfence_engine::line::identity::Identity;
use serde_json::json;

use super::clock_warning::ClockWarning;
use super::progress::ProgressLine;
use super::{CommandError, PathArgs, begin_log, open_store, say};
use crate::net::book::{BookClient, BookError};
use crate::run::assemble::AssembleError;
use crate::state::keystore::LineFile;

#[derive(Debug, Args)]
pub(super) struct DeactivateArgs {
    /// The number
    number: Number,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command. The keys are destroyed only after the phone book has accepted: a line that it still lists is kept.
pub(super) async fn run(args: &DeactivateArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    begin_log(&config.log, config.log_format);
    let mut store = open_store(&config, false)?;
    let lines = store.lines()?;
    let line = lines
        .iter()
        .find(|line| line.number == args.number.value())
        .ok_or(CommandError::NoSuchLine)?;
    if !args.yes && !confirmed(args.number)? {
        return Err(CommandError::NotConfirmed);
    }
    let progress = ProgressLine::begin();
    progress.show("Giving the number back");
    let client = BookClient::new(&line.book_url, &config.outbound().map_err(BookError::from)?)?;
    let _warning = ClockWarning(client.clone());
    let form = form(&client, line).await?;
    client.deactivate(&form).await?;
    store.remove(line.number)?;
    drop(progress);
    if args.json {
        return say(&json!({ "number": args.number.value(), "deactivated": true }).to_string());
    }
    say(&format!(
        "Line {} is no longer yours. The phone book removes its keys with one of its next epochs, and does not assign the number for a year.",
        args.number
    ))
}

async fn form(client: &BookClient, line: &LineFile) -> Result<Deactivate, CommandError> {
    let damaged = || AssembleError::BadLine(line.number);
    let key = BookKey::from_bytes(&line.book_key).map_err(|_| damaged())?;
    let identity = Identity::from_bytes(&line.identity).map_err(|_| damaged())?;
    let asked = client.challenge().await?;
    let challenge = Challenge::new(key, asked.nonce.0);
    let number = Number::new(line.number);
    Ok(Deactivate {
        number: number.to_string(),
        challenge_id: asked.challenge_id,
        signature: Base64(identity.sign_deactivation(number, &challenge)),
    })
}

/// The user types the number again. Without a terminal, nothing is confirmed.
fn confirmed(number: Number) -> Result<bool, CommandError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    say(&format!(
        "{number} will no longer be reachable, and its keys will be destroyed. Type the number again to go on:"
    ))?;
    let mut typed = String::new();
    let read = stdin.lock().read_line(&mut typed);
    Ok(read.is_ok() && typed.trim() == number.to_string())
}
