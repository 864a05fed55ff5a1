//! `ringfence call NUMBER`: the phones of a line ring, and the one that is picked up calls the number, as by the button of the status page.

use clap::Args;
use ringfence_book::Number;
use serde_json::json;

use super::contacts::own_line;
use super::{CommandError, PathArgs, say, unlock};
use crate::page::client::{self, PageClientError};
use crate::page::key;
use crate::state::keystore::Keystore;

#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// The number to call
    number: Number,
    /// Your line that calls; needed when you have several
    #[arg(long, value_name = "NUMBER")]
    line: Option<Number>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: &CallArgs) -> Result<(), CommandError> {
    let mut config = args.paths.config()?;
    // Without an engine there is nothing to ask the passphrase for.
    if !key::file(&config.state).exists() {
        return Err(PageClientError::NotRunning.into());
    }
    let secret = unlock(&mut config)?;
    let line = own_line(&Keystore::look(&config.state, secret)?, args.line)?;
    let number = args.number;
    client::line_command(&config.state, line, "call", number).await?;
    if args.json {
        return say(&json!({ "line": line.value(), "number": number.value() }).to_string());
    }
    say(&format!(
        "The phones of line {line} ring. Pick one up: it calls {number}, and is silent until that answers."
    ))
}
