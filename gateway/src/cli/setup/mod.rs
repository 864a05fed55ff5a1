//! `ringfence setup`: settings, keys, an activated line and the account for a phone, in one command.
//!
//! Each answer is checked and kept when it is given (`answers.rs`). Settings and keys (see `activate`) are on the disk before the code is
//! sent, so that an interrupted setup continues when it is run again.

mod answers;
mod invitation;
mod prompter;
mod service;
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
use crate::state::keystore::{Keystore, KeystoreError, LineFile};
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use prompter::Prompter;
use settings::{PhoneNetwork, RingsFrom};

#[derive(Debug, Default, Args)]
pub(super) struct SetupArgs {
    #[arg(
        value_name = "LINK",
        conflicts_with_all = ["phonebook", "code"],
        help = "The invitation that you were sent: https://book.example.org/#CODE"
    )]
    link: Option<String>,
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
    /// Show a notification on this desktop for missed calls and texts
    #[arg(long)]
    notifications: bool,
    /// Install a service of this user (systemd), which starts the engine now and with the machine
    #[arg(long, conflicts_with = "passphrase")]
    service: bool,
    /// Write new settings even if there are some; the old file is kept beside them
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// An engine that the user wants to run now.
pub(super) struct Start {
    pub(super) paths: PathArgs,
    pub(super) secret: Option<Secret>,
}

/// Runs the command. Its answer is the engine that the user wants to run now, if any.
pub(super) async fn run(args: SetupArgs) -> Result<Option<Start>, CommandError> {
    let file = args.paths.config.clone().or_else(paths::usual_file);
    let file = file.ok_or(ConfigError::NoHome)?;
    let prompter = Prompter::at_terminal(&file);
    let kept = settings::kept(&args, &file, &prompter)?;
    let state = state_folder(&args, kept.as_ref())?;
    // Fails before the first question if an engine runs or the folder cannot be used.
    if let Err(error) = Keystore::open(&state, None) {
        return Err(match error {
            KeystoreError::InUse { .. } => CommandError::Running,
            error => error.into(),
        });
    }
    let mut secret = passphrase::find(&state, false)?;
    let mut lines = Keystore::look(&state, secret.clone())?;
    let config = if wants_a_line(&args, &lines, &prompter)? {
        let outbound = outbound(&args, kept.as_ref())?;
        let known = lines.first().map(|line| line.book_url.as_str());
        let (client, network, mut code) =
            invitation::find(&args, known, &outbound, &prompter).await?;
        let config = match kept {
            Some(kept) => kept,
            None => settings::write(&args, &file, &state, (&network, &outbound), &prompter).await?,
        };
        if lines.is_empty() && secret.is_none() {
            secret = new_passphrase(&args, &prompter)?;
        }
        let mut store = Keystore::open(&state, secret.clone())?;
        let line = redeem(&args, &mut store, (&client, &network), &mut code, &prompter).await?;
        if let Some(rings_from) = args.rings_from {
            let mut saved_state = store.saved_state();
            let mut saved = saved_state.read()?;
            let of_line = saved.settings.entry(Number::new(line.number)).or_default();
            of_line.contacts_only = rings_from == RingsFrom::Contacts;
            saved_state.write(&saved)?;
        }
        lines.retain(|other| other.number != line.number);
        lines.push(line);
        config
    } else {
        kept.ok_or(CommandError::Missing(invitation::OPTION))?
    };
    finish(&args, &file, &config, &lines)?;
    let start = starting(&args, &file, secret, &prompter)?;
    prompter.finish();
    Ok(start)
}

fn state_folder(args: &SetupArgs, kept: Option<&Config>) -> Result<PathBuf, CommandError> {
    let state = args.paths.state.clone();
    let state = state.or_else(|| kept.map(|kept| kept.state.to_path_buf()));
    let state = state.or_else(paths::usual_state);
    Ok(state.ok_or(ConfigError::NoHome)?)
}

/// The way to the phone book, with the options or the settings that are there.
fn outbound(args: &SetupArgs, kept: Option<&Config>) -> Result<Outbound, CommandError> {
    let ca_file = args.ca_file.clone();
    let ca_file = ca_file.or_else(|| kept.and_then(|kept| kept.ca_file.clone()));
    let proxy = args.proxy.clone();
    let proxy = proxy.or_else(|| kept.and_then(|kept| kept.proxy.clone()));
    let tls = tls::client(ca_file.as_deref()).map_err(BookError::from)?;
    Ok(Outbound::new(tls, proxy))
}

/// Whether to redeem a code: always for the first line, for another one only if the user has a code.
fn wants_a_line(
    args: &SetupArgs,
    present: &[LineFile],
    prompter: &Prompter,
) -> Result<bool, CommandError> {
    if present.is_empty() || args.code.is_some() || args.link.is_some() || args.replace {
        return Ok(true);
    }
    if !prompter.has_terminal() {
        return Ok(false);
    }
    let there = match present.len() {
        1 => "There is a line already".to_owned(),
        many => format!("There are {many} lines already"),
    };
    prompter.insists(
        &format!("{there}. Redeem an invitation for another one"),
        "another line",
    )
}

fn new_passphrase(args: &SetupArgs, prompter: &Prompter) -> Result<Option<Secret>, CommandError> {
    if args.no_passphrase {
        return Ok(None);
    }
    match passphrase::given()? {
        Some(secret) => Ok(Some(secret)),
        None if args.passphrase => passphrase::ask_twice().map(Some),
        None => prompter.ask_passphrase(),
    }
}

/// Redeems the code. If the phone book refuses it, the user may type another one.
async fn redeem(
    args: &SetupArgs,
    store: &mut Keystore,
    (client, network): (&BookClient, &NetworkSettings),
    code: &mut ActivationCode,
    prompter: &Prompter,
) -> Result<LineFile, CommandError> {
    let is_given = args.code.is_some() || args.link.is_some();
    loop {
        let progress = ProgressLine::begin();
        progress.show("Redeeming the code");
        let outcome = activate(store, client, code, args.name.clone()).await;
        drop(progress);
        match outcome {
            Err(error @ LineError::Book(BookError::CodeRefused))
                if prompter.has_terminal() && !is_given =>
            {
                prompter.forget(invitation::OPTION);
                prompter.forget("--code");
                prompter.print(&format!("{}\n", CommandError::Activate(error).text()))?;
                *code = invitation::code(network, prompter)?;
            }
            other => return Ok(other?),
        }
    }
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
        say(&format!("\n{}", lines::ready_lines(line, config)))?;
    }
    let run = if args.paths.config.is_some() {
        format!("ringfence run --config {}", file.display())
    } else {
        "ringfence run".to_owned()
    };
    say(&format!(
        "\nThe settings are in {}. Start the engine with: {run}\nThe page that it prints sets up a phone and shows calls, texts and contacts; `ringfence status --page` prints its address again.\nA new number can be called within two minutes. Everyone who has your number can ring: dial *77 to let only contacts ring. Emergency calls do not work: use another phone. `ringfence doctor` checks everything that a call needs.",
        file.display()
    ))
}

/// Installs the service that the user wants, or answers with the engine to run now.
fn starting(
    args: &SetupArgs,
    file: &Path,
    secret: Option<Secret>,
    prompter: &Prompter,
) -> Result<Option<Start>, CommandError> {
    if args.service && secret.is_none() {
        service::install(file, prompter)?;
        return Ok(None);
    }
    if args.json || !prompter.has_terminal() {
        return Ok(None);
    }
    if secret.is_none() && service::is_possible() {
        let question = "Start it now, and with this machine, as a service of your user";
        if prompter.agrees(question, "--service")? && service::install(file, prompter)? {
            return Ok(None);
        }
    }
    if !prompter.agrees("Start it in this terminal now", "--no-start")? {
        return Ok(None);
    }
    Ok(Some(Start {
        paths: PathArgs {
            config: Some(file.to_owned()),
            state: args.paths.state.clone(),
        },
        secret,
    }))
}
