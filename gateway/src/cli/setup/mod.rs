//! `ringfence setup`: settings, keys, an activated line and the account for a phone, in one command.
//!
//! Each answer is checked at once. Settings and keys (see `activate`) are on the disk before the code is sent, so that an interrupted
//! setup continues when it is run again.

mod prompter;
mod settings;
mod settings_file;

use std::path::{Path, PathBuf};

use clap::Args;
use ringfence_book::{ActivationCode, NetworkSettings, Number};
use serde_json::{Value, json};

use super::progress::ProgressLine;
use super::{CommandError, PathArgs, lines, passphrase, paths, say};
use crate::config::{Config, ConfigError};
use crate::lines::LineError;
use crate::lines::activate::activate;
use crate::net::book::{BookClient, BookError};
use crate::net::outbound::Outbound;
use crate::net::socks::SocksProxy;
use crate::net::tls;
use crate::state::keystore::{Keystore, LineFile};
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use prompter::{Prompter, TRIES};
use settings::{PhoneNetwork, RingsFrom};

#[derive(Debug, Default, Args)]
pub(super) struct SetupArgs {
    #[arg(
        long,
        value_name = "URL",
        help = "URL of the phone book, for example https://book.example.org"
    )]
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
    /// Whose calls ring the line's phones; those of others are listed [default: everyone]
    #[arg(long, value_name = "everyone|contacts")]
    rings_from: Option<RingsFrom>,
    /// Where the phones are: on this machine (`here`), in its network (`lan`), or in that of one of its addresses
    #[arg(long, value_name = "here|lan|ADDRESS")]
    phones: Option<PhoneNetwork>,
    /// UDP and TCP port for phones [default: 5088]
    #[arg(long, value_name = "PORT")]
    sip_port: Option<u16>,
    /// TLS port for phones [default: 5089]
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
    /// Accept TURN servers whose relayed addresses are loopback or private ones, for a network without the internet
    #[arg(long)]
    allow_private: bool,
    /// Trust the authorities in this PEM file too, for the phone book, relays and TURN servers
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Reach the phone book and relays through this SOCKS5 proxy: socks5h://HOST:PORT, for Tor socks5h://127.0.0.1:9050
    #[arg(long, value_name = "URL")]
    proxy: Option<SocksProxy>,
    /// Write new settings even if there are some; the old file is kept beside them
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: SetupArgs) -> Result<(), CommandError> {
    let prompter = Prompter::at_terminal();
    let file = args.paths.config.clone().or_else(paths::usual_file);
    let file = file.ok_or(ConfigError::NoHome)?;
    let kept = settings::kept(&args, &file, &prompter)?;
    let state = state_folder(&args, kept.as_ref())?;
    // Fails before the first question if an engine runs or the folder cannot be used.
    drop(Keystore::open(&state, None)?);
    let encrypted = Keystore::is_encrypted(&state)?;
    let mut secret = if encrypted {
        passphrase::find(true, false)?
    } else {
        None
    };
    let present = Keystore::look(&state, secret.clone())?;
    let ca_file = args.ca_file.clone();
    let ca_file = ca_file.or_else(|| kept.as_ref().and_then(|kept| kept.ca_file.clone()));
    let proxy = args.proxy.clone();
    let proxy = proxy.or_else(|| kept.as_ref().and_then(|kept| kept.proxy.clone()));
    let outbound = Outbound::new(
        tls::client(ca_file.as_deref()).map_err(BookError::from)?,
        proxy,
    );
    let mut ready = present.clone();
    if wants_a_line(&args, &present, &prompter)? {
        let (client, network) = book(&args, &present, &outbound, &prompter).await?;
        let mut code = code(&args, &prompter)?;
        let rings_from = settings::rings_from(&args, &prompter)?;
        if present.is_empty() {
            secret = new_passphrase(&args, &prompter)?;
        }
        let config = match &kept {
            Some(kept) => kept.clone(),
            None => settings::write(&args, &file, &state, (&network, &outbound), &prompter).await?,
        };
        let mut store = Keystore::open(&state, secret)?;
        let line = redeem(&args, &mut store, &client, &mut code, &prompter).await?;
        let mut saved_state = store.saved_state();
        let mut saved = saved_state.read()?;
        let of_line = saved.settings.entry(Number::new(line.number)).or_default();
        of_line.contacts_only = rings_from == RingsFrom::Contacts;
        saved_state.write(&saved)?;
        ready.retain(|other| other.number != line.number);
        ready.push(line);
        return finish(&args, &file, &config, &ready);
    }
    let config = kept.ok_or(CommandError::Missing("--code"))?;
    finish(&args, &file, &config, &ready)
}

fn state_folder(args: &SetupArgs, kept: Option<&Config>) -> Result<PathBuf, CommandError> {
    let state = args.paths.state.clone();
    let state = state.or_else(|| kept.map(|kept| kept.state.to_path_buf()));
    let state = state.or_else(paths::usual_state);
    Ok(state.ok_or(ConfigError::NoHome)?)
}

/// Whether to redeem a code: always for the first line, for another one only if the user has a code.
fn wants_a_line(
    args: &SetupArgs,
    present: &[LineFile],
    prompter: &Prompter,
) -> Result<bool, CommandError> {
    if present.is_empty() || args.code.is_some() || args.replace {
        return Ok(true);
    }
    if !prompter.has_terminal() {
        return Ok(false);
    }
    let question = match present.len() {
        1 => "There is a line already. Redeem a code for another one (y/n)".to_owned(),
        many => format!("There are {many} lines already. Redeem a code for another one (y/n)"),
    };
    Ok(prompter
        .ask(&question, Some("n"), "--code")?
        .eq_ignore_ascii_case("y"))
}

/// A phone book that answers with a valid signature.
async fn book(
    args: &SetupArgs,
    present: &[LineFile],
    outbound: &Outbound,
    prompter: &Prompter,
) -> Result<(BookClient, NetworkSettings), CommandError> {
    let usual = present.first().map(|line| line.book_url.as_str());
    if let Some(url) = args
        .phonebook
        .as_deref()
        .or(usual.filter(|_| !prompter.has_terminal()))
    {
        return introduce(url, outbound, prompter).await;
    }
    for _ in 1..TRIES {
        let url = prompter.ask("Address of the phone book", usual, "--phonebook")?;
        match introduce(&url, outbound, prompter).await {
            Ok(found) => return Ok(found),
            Err(error) => prompter.print(&format!("{}\n", error.text()))?,
        }
    }
    let url = prompter.ask("Address of the phone book", usual, "--phonebook")?;
    introduce(&url, outbound, prompter).await
}

async fn introduce(
    url: &str,
    outbound: &Outbound,
    prompter: &Prompter,
) -> Result<(BookClient, NetworkSettings), CommandError> {
    let client = BookClient::new(url, outbound)?;
    let progress = ProgressLine::begin();
    progress.show("Asking the phone book for its key and its network");
    let (network, root) = client.introduce().await?;
    drop(progress);
    if prompter.has_terminal() {
        let key = hex::encode(network.book_key.as_bytes());
        prompter.print(&format!(
            "The phone book answers; its signature of epoch {} is valid. If its operator gave you its key, compare: {key}\n",
            root.states().epoch
        ))?;
    }
    Ok((client, network))
}

/// A well-formed activation code. Nothing is sent yet.
fn code(args: &SetupArgs, prompter: &Prompter) -> Result<ActivationCode, CommandError> {
    if let Some(code) = &args.code {
        return Ok(code.parse()?);
    }
    for _ in 1..TRIES {
        match prompter.ask("Activation code", None, "--code")?.parse() {
            Ok(code) => return Ok(code),
            Err(error) => prompter.print(&format!("{}\n", CommandError::Code(error).text()))?,
        }
    }
    Ok(prompter.ask("Activation code", None, "--code")?.parse()?)
}

fn new_passphrase(args: &SetupArgs, prompter: &Prompter) -> Result<Option<Secret>, CommandError> {
    if args.no_passphrase {
        return Ok(None);
    }
    match passphrase::find(false, args.passphrase)? {
        Some(secret) => Ok(Some(secret)),
        None => prompter.ask_passphrase(),
    }
}

/// Redeems the code. If the phone book refuses it, the user may type another one.
async fn redeem(
    args: &SetupArgs,
    store: &mut Keystore,
    client: &BookClient,
    code: &mut ActivationCode,
    prompter: &Prompter,
) -> Result<LineFile, CommandError> {
    for _ in 1..TRIES {
        let progress = ProgressLine::begin();
        progress.show("Redeeming the code");
        let outcome = activate(store, client, code, args.name.clone()).await;
        drop(progress);
        match outcome {
            Err(
                error @ (LineError::Book(BookError::CodeRefused) | LineError::CodeOfOtherBook(_)),
            ) if prompter.has_terminal() && args.code.is_none() => {
                prompter.print(&format!("{}\n", CommandError::Activate(error).text()))?;
                *code = self::code(args, prompter)?;
            }
            other => return Ok(other?),
        }
    }
    Ok(activate(store, client, code, args.name.clone()).await?)
}

/// Prints the accounts and what to do next.
fn finish(
    args: &SetupArgs,
    file: &Path,
    config: &Config,
    lines: &[LineFile],
) -> Result<(), CommandError> {
    if args.json {
        let accounts: Vec<Value> = lines
            .iter()
            .map(|line| lines::as_value(line, config, true))
            .collect();
        let value = json!({ "config": file, "state": &*config.state, "lines": accounts });
        return say(&value.to_string());
    }
    say(&lines::table(lines, config, true))?;
    for line in lines {
        let (ready, code) = (
            lines::ready_lines(line, config),
            lines::address_code(line, config),
        );
        say(&format!("\n{ready}\n\n{code}"))?;
    }
    let run = if args.paths.config.is_some() {
        format!("ringfence run --config {}", file.display())
    } else {
        "ringfence run".to_owned()
    };
    say(&format!(
        "\nThe settings are in {}. Start the engine with: {run}\nWhile it runs, `ringfence lines --qr` shows a code that sets a phone up.\nA new number can be called within two minutes. Emergency calls do not work: use another phone. `ringfence doctor` checks everything that a call needs.",
        file.display()
    ))
}
