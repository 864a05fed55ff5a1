//! `ringfence setup`: from nothing to a line and the account for a phone.
//!
//! Each answer is checked at once. The settings are on the disk before the code is sent, the keys too (see `activate`), so that a
//! setup that is interrupted goes on when it is run again.

mod prompter;
mod settings_file;
mod settings;

use std::path::{Path, PathBuf};

use clap::Args;
use ringfence_phonebook::{ActivationCode, NetworkSettings};
use serde_json::{Value, json};

use super::progress::Progress;
use super::{Failure, Place, lines, passphrase, paths, say};
use crate::config::{Config, ConfigError};
use crate::lines::LineError;
use crate::lines::activate::activate;
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{Keystore, LineFile};
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use prompter::{Clerk, TRIES};
use settings::Phones;

#[derive(Debug, Default, Args)]
pub(super) struct SetupArgs {
    /// URL of the phone book, for example https://book.example.org
    #[arg(long, value_name = "URL")]
    phonebook: Option<String>,
    /// The activation code, as its operator gave it to you
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// A name for the line; stays on this machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Encrypt the keys with a passphrase and ask for it (or set RINGFENCE_PASSPHRASE)
    #[arg(long, conflicts_with = "no_passphrase")]
    passphrase: bool,
    /// Keep the keys without a passphrase
    #[arg(long)]
    no_passphrase: bool,
    /// Where the phones are: on this machine (`here`), in its network (`lan`), or in that of one of its addresses
    #[arg(long, value_name = "here|lan|ADDRESS")]
    phones: Option<Phones>,
    /// UDP and TCP port for phones [default: 5060]
    #[arg(long, value_name = "PORT")]
    sip_port: Option<u16>,
    /// TLS port for phones [default: 5061]
    #[arg(long, value_name = "PORT")]
    tls_port: Option<u16>,
    /// Use this Nostr relay instead of those of the phone book; may be repeated
    #[arg(long = "relay", value_name = "URL")]
    relays: Vec<String>,
    /// Use this TURN server instead of those of the phone book: turn:HOST:PORT?transport=udp|tcp or turns:HOST:PORT; may be repeated
    #[arg(long = "turn", value_name = "URL")]
    turn: Vec<TurnEndpoint>,
    /// Secret shared with the TURN servers (coturn: static-auth-secret); without it, logins come from the phone book
    #[arg(long, value_name = "SECRET")]
    turn_secret: Option<String>,
    /// Accept TURN servers that relay at loopback and private addresses, for a network without the internet
    #[arg(long)]
    allow_private: bool,
    /// Trust the certificates in this PEM file too, for the phone book and TURN servers
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Write new settings even if there are some; the old file is kept beside them
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(super) async fn run(args: SetupArgs) -> Result<(), Failure> {
    let clerk = Clerk::at_the_terminal();
    let file = args.place.config.clone().or_else(paths::usual_file);
    let file = file.ok_or(ConfigError::NoHome)?;
    let kept = settings::kept(&args, &file, &clerk)?;
    let state = state_folder(&args, kept.as_ref())?;
    // An engine that runs, or a folder that cannot be used, is told before anything is asked.
    drop(Keystore::open(&state, None)?);
    let encrypted = Keystore::is_encrypted(&state)?;
    let mut secret = if encrypted {
        passphrase::find(true, false)?
    } else {
        None
    };
    let present = Keystore::look(&state, secret.clone())?;
    let ca = args.ca_file.clone();
    let ca = ca.or_else(|| {
        kept.as_ref()
            .and_then(|kept| kept.phonebook.ca_file.clone())
    });
    let mut ready = present.clone();
    if wants_a_line(&args, &present, &clerk)? {
        let (client, network) = book(&args, &present, ca.as_deref(), &clerk).await?;
        let mut code = code(&args, &clerk)?;
        if present.is_empty() {
            secret = new_passphrase(&args, &clerk)?;
        }
        let config = match &kept {
            Some(kept) => kept.clone(),
            None => settings::write(&args, &file, &state, &network, &clerk).await?,
        };
        let mut store = Keystore::open(&state, secret)?;
        let line = redeem(&args, &mut store, &client, &mut code, &clerk).await?;
        ready.retain(|other| other.number != line.number);
        ready.push(line);
        return finish(&args, &file, &config, &ready);
    }
    let config = kept.ok_or(Failure::Missing("--code"))?;
    finish(&args, &file, &config, &ready)
}

fn state_folder(args: &SetupArgs, kept: Option<&Config>) -> Result<PathBuf, Failure> {
    let state = args.place.state.clone();
    let state = state.or_else(|| kept.map(|kept| kept.state.clone()));
    let state = state.or_else(paths::usual_state);
    Ok(state.ok_or(ConfigError::NoHome)?)
}

/// A first line is always wanted; another one if there is a code for it.
fn wants_a_line(args: &SetupArgs, present: &[LineFile], clerk: &Clerk) -> Result<bool, Failure> {
    if present.is_empty() || args.code.is_some() || args.replace {
        return Ok(true);
    }
    if !clerk.is_there() {
        return Ok(false);
    }
    let question = match present.len() {
        1 => "There is a line already. Redeem a code for another one (y/n)".to_owned(),
        many => format!("There are {many} lines already. Redeem a code for another one (y/n)"),
    };
    Ok(clerk
        .ask(&question, Some("n"), "--code")?
        .eq_ignore_ascii_case("y"))
}

/// A phone book that can be reached and whose signature is right.
async fn book(
    args: &SetupArgs,
    present: &[LineFile],
    ca: Option<&Path>,
    clerk: &Clerk,
) -> Result<(BookClient, NetworkSettings), Failure> {
    let usual = present.first().map(|line| line.book_url.as_str());
    if let Some(url) = args
        .phonebook
        .as_deref()
        .or(usual.filter(|_| !clerk.is_there()))
    {
        return introduce(url, ca, clerk).await;
    }
    for _ in 1..TRIES {
        let url = clerk.ask("Address of the phone book", usual, "--phonebook")?;
        match introduce(&url, ca, clerk).await {
            Ok(found) => return Ok(found),
            Err(fault) => clerk.tell(&format!("{}\n", fault.text()))?,
        }
    }
    let url = clerk.ask("Address of the phone book", usual, "--phonebook")?;
    introduce(&url, ca, clerk).await
}

async fn introduce(
    url: &str,
    ca: Option<&Path>,
    clerk: &Clerk,
) -> Result<(BookClient, NetworkSettings), Failure> {
    let client = BookClient::new(url, ca)?;
    let progress = Progress::begin();
    progress.say("Asking the phone book who it is");
    let (network, root) = client.introduce().await?;
    drop(progress);
    if clerk.is_there() {
        let key = hex::encode(network.book_key.as_bytes());
        clerk.tell(&format!(
            "The phone book answers; its signature over epoch {} is right. Its key, if its operator told it to you: {key}\n",
            root.states().epoch
        ))?;
    }
    Ok((client, network))
}

/// A code that can be one. Nothing is sent yet.
fn code(args: &SetupArgs, clerk: &Clerk) -> Result<ActivationCode, Failure> {
    if let Some(code) = &args.code {
        return Ok(code.parse()?);
    }
    for _ in 1..TRIES {
        match clerk.ask("Activation code", None, "--code")?.parse() {
            Ok(code) => return Ok(code),
            Err(error) => clerk.tell(&format!("{}\n", Failure::Code(error).text()))?,
        }
    }
    Ok(clerk.ask("Activation code", None, "--code")?.parse()?)
}

fn new_passphrase(args: &SetupArgs, clerk: &Clerk) -> Result<Option<Secret>, Failure> {
    if args.no_passphrase {
        return Ok(None);
    }
    match passphrase::find(false, args.passphrase)? {
        Some(secret) => Ok(Some(secret)),
        None => clerk.ask_passphrase(),
    }
}

/// Redeems the code. One that the book does not take may be typed again.
async fn redeem(
    args: &SetupArgs,
    store: &mut Keystore,
    client: &BookClient,
    code: &mut ActivationCode,
    clerk: &Clerk,
) -> Result<LineFile, Failure> {
    for _ in 1..TRIES {
        let progress = Progress::begin();
        progress.say("Redeeming the code");
        let outcome = activate(store, client, code, args.name.clone()).await;
        drop(progress);
        match outcome {
            Err(LineError::Book(fault @ BookError::CodeRefused))
                if clerk.is_there() && args.code.is_none() =>
            {
                clerk.tell(&format!("{}\n", Failure::Book(fault).text()))?;
                *code = self::code(args, clerk)?;
            }
            other => return Ok(other?),
        }
    }
    Ok(activate(store, client, code, args.name.clone()).await?)
}

/// The accounts, and what to do next.
fn finish(
    args: &SetupArgs,
    file: &Path,
    config: &Config,
    lines: &[LineFile],
) -> Result<(), Failure> {
    if args.json {
        let accounts: Vec<Value> = lines
            .iter()
            .map(|line| lines::as_value(line, config, true))
            .collect();
        let value = json!({ "config": file, "state": config.state, "lines": accounts });
        return say(&value.to_string());
    }
    say(&lines::table(lines, config, true))?;
    for line in lines {
        let (ready, picture) = (
            lines::ready_lines(line, config),
            lines::picture(line, config),
        );
        say(&format!("\n{ready}\n\n{picture}"))?;
    }
    let run = if args.place.config.is_some() {
        format!("ringfence run --config {}", file.display())
    } else {
        "ringfence run".to_owned()
    };
    say(&format!(
        "\nThe settings are in {}. Start the engine with: {run}\nWhile it runs, `ringfence lines --qr` shows a code that sets a phone up.\nOthers can call a new number within ten minutes. `ringfence doctor` looks whether all is well.",
        file.display()
    ))
}
