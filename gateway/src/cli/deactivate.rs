//! `ringfence deactivate`: gives a number back to the phone book, and destroys the line's keys.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use ringfence_engine::line::identity::Identity;
use ringfence_phonebook::wire::{Base64, Deactivate};
use ringfence_phonebook::{BookKey, Challenge, Number};
use serde_json::json;

use super::progress::Progress;
use super::{Failure, Place, begin_log, open_store, say};
use crate::net::book::BookClient;
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
    place: Place,
}

/// Runs the command. The book first: a line whose number the book still lists is kept.
pub(super) async fn run(args: &DeactivateArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    begin_log(&config.log, config.log_format);
    let mut store = open_store(&config, false)?;
    let lines = store.lines()?;
    let line = lines
        .iter()
        .find(|line| line.number == args.number.value())
        .ok_or(Failure::NoSuchLine)?;
    if !args.yes && !confirmed(args.number)? {
        return Err(Failure::NotConfirmed);
    }
    let progress = Progress::begin();
    progress.say("Giving the number back");
    let client = BookClient::new(&line.book_url, config.phonebook.ca_file.as_deref())?;
    let form = form(&client, line).await?;
    client.deactivate(&form).await?;
    store.remove(line.number)?;
    drop(progress);
    if args.json {
        return say(&json!({ "number": args.number.value(), "deactivated": true }).to_string());
    }
    say(&format!(
        "Line {} is no longer yours. The phone book forgets its keys with one of its next epochs, and nobody gets the number for a year.",
        args.number
    ))
}

async fn form(client: &BookClient, line: &LineFile) -> Result<Deactivate, Failure> {
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

/// The person at the terminal types the number once more. Where there is none, nothing is confirmed.
fn confirmed(number: Number) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    say(&format!(
        "Nobody will be able to call {number} any more, and its keys are destroyed. Type the number again to go on:"
    ))?;
    let mut typed = String::new();
    let read = stdin.lock().read_line(&mut typed);
    Ok(read.is_ok() && typed.trim() == number.to_string())
}
