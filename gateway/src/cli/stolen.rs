//! `ringfence stolen`: for a person whose machine or disk was stolen, run where a backup was restored. It replaces what can be replaced,
//! and says what the thief could read and can still do.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use serde_json::json;

use super::progress::ProgressLine;
use super::{CommandError, PathArgs, begin_log, open_store, say};
use crate::lines::stolen::{Replaced, replace};
use crate::net::book::BookError;

/// What a thief has, and what ends it. The README's table of observers and THREATS say the same.
const SAYS: &str = "What the thief could read\n\
  with a passphrase that the thief does not know: times and sizes of files, the addresses at which phones register, and the file of settings\n\
  \u{20} (with turn.secret, if it is set). A thief can try passphrases, at 64 MiB of memory and three passes over it for each: a short one falls.\n\
  without one: everything. Keys, numbers, contacts, texts and past calls of these lines.\n\
What a thief who has the keys can still do\n\
  call, answer and write as you, and renew the ring keys again: for as long as your numbers have these identity keys.\n\
  read texts and notes sealed to the old ring keys: relays keep them for a week.\n\
What ends it: a new identity\n\
  ringfence deactivate NUMBER gives the number back; with a new code from the phone book's operator, ringfence activate makes another\n\
  line. Contacts see a number that they do not know, or a changed key if the operator gives you the same number: their calls to you are\n\
  refused until they have compared the new safety number with you and accepted it. Tell them over another channel.";

#[derive(Debug, Args)]
pub(super) struct StolenArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: &StolenArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    begin_log(&config.log, config.log_format);
    let mut store = open_store(&config, false)?;
    if !args.yes && !confirmed()? {
        return Err(CommandError::NotConfirmed);
    }
    let progress = ProgressLine::begin();
    progress.show("Replacing keys and passwords");
    let outbound = config.outbound().map_err(BookError::from)?;
    let replaced = replace(&mut store, &outbound).await?;
    drop(progress);
    if args.json {
        let numbers: Vec<u32> = replaced.lines.iter().map(|line| line.number).collect();
        let remains = replaced.ring_keys.err().map(|error| error.unnamed());
        return say(
            &json!({ "lines": numbers, "ring_keys": remains.is_none(), "remains": remains })
                .to_string(),
        );
    }
    say(&format!("{}\n\n{SAYS}", done(&replaced)))
}

fn done(replaced: &Replaced) -> String {
    let ring_keys = match &replaced.ring_keys {
        Ok(()) => "The ring keys are new: what is sealed to you from the next epoch of the phone book on, the thief cannot open with the old ones.".to_owned(),
        Err(error) => format!(
            "The ring keys are NOT new yet: {error}. To do: {}; the engine renews them at its next start, or run this again.",
            error.remedy()
        ),
    };
    format!(
        "{ring_keys}\nThe passwords of phones are new (ringfence lines --passwords), and so are the authority of their certificate and the path of desk\nphones: start the engine, set phones up again and give them the new phones-ca.pem. The status page has a new key at each start.\nTURN logins end by themselves within days; a turn.secret in the settings must be changed at the TURN server."
    )
}

/// The user types a word. Without a terminal, nothing is confirmed.
fn confirmed() -> Result<bool, CommandError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    say(
        "All phones of this engine must be set up again afterwards. Type the word stolen to go on:",
    )?;
    let mut typed = String::new();
    let read = stdin.lock().read_line(&mut typed);
    Ok(read.is_ok() && typed.trim() == "stolen")
}
