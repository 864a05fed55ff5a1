//! `ringfence activate`: redeems an activation code, which adds a line to an engine that is set up.

use clap::Args;
use ringfence_book::ActivationCode;

use super::clock_warning::ClockWarning;
use super::{CommandError, PathArgs, begin_log, lines, open_store, say};
use crate::lines::activate::activate;
use crate::net::book::{BookClient, BookError};

#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    /// URL of the phone book
    #[arg(long, value_name = "URL")]
    phonebook: String,
    /// The activation code, as its operator gave it to you
    #[arg(long, value_name = "CODE")]
    code: String,
    /// A name for the line; stays on this machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Encrypt the keys with a passphrase and ask for it (or set RINGFENCE_PASSPHRASE)
    #[arg(long)]
    passphrase: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: ActivateArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    begin_log(&config.log, config.log_format);
    let code: ActivationCode = args.code.parse()?;
    let client = BookClient::new(
        &args.phonebook,
        &config.outbound().map_err(BookError::from)?,
    )?;
    let _warning = ClockWarning(client.clone());
    let mut store = open_store(&config, args.passphrase)?;
    let line = activate(&mut store, &client, &code, args.name).await?;
    if args.json {
        return say(&lines::as_value(&line, &config, true).to_string());
    }
    say(&format!(
        "Line {} is yours.\n\n{}",
        line.number,
        lines::table(std::slice::from_ref(&line), &config, true)
    ))
}
