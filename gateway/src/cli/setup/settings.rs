//! The settings of a setup: those of an existing file, or new ones from options and answers, checked before they are written.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ringfence_book::NetworkSettings;

use super::prompter::{Prompter, TRIES};
use super::settings_file::SettingsFile;
use super::{CommandError, SetupArgs};
use crate::cli::progress::ProgressLine;
use crate::clock;
use crate::config::{Config, TurnLogin, raw};
use crate::net::outbound::Outbound;
use crate::net::ports::{network_address, taken};
use crate::run::assemble::resolve_turn;
use crate::state::keystore::{make_folder, write_private};
use crate::turn::probe::probe;
use crate::turn::{TurnEndpoint, TurnUrlError};

/// Where the phones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum PhoneNetwork {
    /// Only on this machine.
    Here,
    /// In the network of this machine.
    Lan,
    /// In the network in which this machine has this address.
    At(IpAddr),
}

impl FromStr for PhoneNetwork {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "here" => Ok(Self::Here),
            "lan" => Ok(Self::Lan),
            text => text
                .parse()
                .map(Self::At)
                .map_err(|_| "`here`, `lan` or an IP address of this machine"),
        }
    }
}

/// Whose calls ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum RingsFrom {
    /// Those of any number.
    #[default]
    Everyone,
    /// Those of contacts.
    Contacts,
}

impl FromStr for RingsFrom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "everyone" => Ok(Self::Everyone),
            "contacts" => Ok(Self::Contacts),
            _ => Err("`everyone` or `contacts`"),
        }
    }
}

/// Asks at a terminal; elsewhere, everyone rings unless told otherwise.
pub(super) fn rings_from(args: &SetupArgs, prompter: &Prompter) -> Result<RingsFrom, CommandError> {
    match args.rings_from {
        None if prompter.has_terminal() => {
            let question = "Who may ring: everyone, or only contacts and numbers that you called (everyone, contacts)";
            ask(prompter, question, Some("everyone"), "--rings-from")
        }
        given => Ok(given.unwrap_or_default()),
    }
}

/// The existing settings, if they stay; `None` if new ones are to be written.
pub(super) fn kept(
    args: &SetupArgs,
    file: &Path,
    prompter: &Prompter,
) -> Result<Option<Config>, CommandError> {
    if !file.exists() || args.replace {
        return Ok(None);
    }
    let config = Config::read(file)?;
    let is_other_state = |state: &PathBuf| **state != *config.state;
    let changes = args.phones.is_some()
        || args.sip_port.is_some()
        || args.tls_port.is_some()
        || !args.relays.is_empty()
        || !args.turn.is_empty()
        || args.turn_secret.is_some()
        || args.allow_private
        || args.proxy.is_some()
        || args.paths.state.as_ref().is_some_and(is_other_state);
    if !changes {
        return Ok(Some(config));
    }
    let question = format!(
        "There are settings in {} already. Write new ones, and keep the old file beside them (y/n)",
        file.display()
    );
    if prompter.has_terminal()
        && prompter
            .ask(&question, Some("n"), "--replace")?
            .eq_ignore_ascii_case("y")
    {
        return Ok(None);
    }
    Err(CommandError::SettingsExist(file.to_owned()))
}

/// Writes the answers to a file that only this user may read, because it may hold a secret.
pub(super) async fn write(
    args: &SetupArgs,
    file: &Path,
    state: &Path,
    (network, outbound): (&NetworkSettings, &Outbound),
    prompter: &Prompter,
) -> Result<Config, CommandError> {
    let mut draft = SettingsFile {
        state: std::path::absolute(state).unwrap_or_else(|_| state.to_owned()),
        relays: args.relays.clone(),
        listen: listen(args, prompter)?,
        udp_and_tcp: args.sip_port.unwrap_or(raw::SIP_PORT),
        tls: args.tls_port.unwrap_or(raw::SIP_TLS_PORT),
        turn: args.turn.clone(),
        turn_secret: args.turn_secret.clone().unwrap_or_default(),
        ca_file: args.ca_file.clone(),
        proxy: args.proxy.clone(),
        allow_private: args.allow_private,
    };
    free_ports(args, &mut draft, prompter)?;
    servers(args, &mut draft, network, prompter)?;
    let config = draft.config()?;
    check_way_out(&config, network, outbound, prompter).await?;
    if file.exists() {
        keep_old(file)?;
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        make_folder(folder)?;
    }
    write_private(file, draft.text().as_bytes())?;
    Ok(config)
}

/// Keeps the old file under a name with the time.
fn keep_old(file: &Path) -> Result<(), CommandError> {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(format!(".{}.old", clock::unix_seconds()));
    let old = std::fs::read(file).map_err(|error| CommandError::System(error.kind()))?;
    Ok(write_private(Path::new(&name), &old)?)
}

fn listen(args: &SetupArgs, prompter: &Prompter) -> Result<Vec<IpAddr>, CommandError> {
    let phones = match args.phones {
        Some(phones) => phones,
        None => {
            let question = "Where are the phones: on this machine (here), in its network (lan), or in that of one of its addresses";
            ask(prompter, question, Some("here"), "--phones")?
        }
    };
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    Ok(match phones {
        PhoneNetwork::Here => vec![here],
        PhoneNetwork::Lan => vec![here, network_address().ok_or(CommandError::NoNetwork)?],
        PhoneNetwork::At(ip) if ip == here => vec![here],
        PhoneNetwork::At(ip) => vec![here, ip],
    })
}

/// Reports ports that are taken now rather than at the first start.
fn free_ports(
    args: &SetupArgs,
    draft: &mut SettingsFile,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    for _ in 0..TRIES {
        let Some(error) = taken(&draft.config()?.sip) else {
            return Ok(());
        };
        let is_port = error.error.kind() == std::io::ErrorKind::AddrInUse;
        let is_given = args.sip_port.is_some() || args.tls_port.is_some();
        let error = CommandError::Listen(error);
        if !prompter.has_terminal() || !is_port || is_given {
            return Err(error);
        }
        prompter.print(&format!("{}\n", error.text()))?;
        let port: u16 = ask(
            prompter,
            "UDP and TCP port for phones",
            Some("5188"),
            "--sip-port",
        )?;
        (draft.udp_and_tcp, draft.tls) = (port, port.saturating_add(1));
    }
    Ok(())
}

/// Asks for relays and TURN servers if the phone book names none, or the user wants others.
fn servers(
    args: &SetupArgs,
    draft: &mut SettingsFile,
    network: &NetworkSettings,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    if args.relays.is_empty() && (network.relays.is_empty() || prompter.has_terminal()) {
        let usual = (!network.relays.is_empty()).then_some("those of the phone book");
        let typed = prompter.ask("Nostr relays, with spaces between them", usual, "--relay")?;
        if Some(typed.as_str()) != usual {
            draft.relays = typed.split_whitespace().map(str::to_owned).collect();
        }
    }
    if args.turn.is_empty() && (network.turn.is_empty() || prompter.has_terminal()) {
        let usual = (!network.turn.is_empty()).then_some("those of the phone book");
        let typed = prompter.ask("TURN servers, with spaces between them", usual, "--turn")?;
        if Some(typed.as_str()) != usual {
            let read: Result<Vec<TurnEndpoint>, TurnUrlError> =
                typed.split_whitespace().map(str::parse).collect();
            draft.turn =
                read.map_err(|why| crate::config::ConfigError::TurnUrl { url: typed, why })?;
            if args.turn_secret.is_none() {
                let question = "Secret shared with them; empty: logins come from the phone book";
                draft.turn_secret = prompter.ask(question, Some(""), "--turn-secret")?;
            }
        }
    }
    Ok(())
}

/// Tries the TURN login of the settings. Logins of the phone book cannot be tried before there is a line.
async fn check_way_out(
    config: &Config,
    network: &NetworkSettings,
    outbound: &Outbound,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    if matches!(config.turn.login, TurnLogin::None) {
        return Ok(());
    }
    let progress = ProgressLine::begin();
    progress.show("Asking the TURN server for a relayed address");
    let outcome = probe(&resolve_turn(&config.turn, network, outbound).await?).await;
    drop(progress);
    match outcome {
        Err(error) if error.is_final() => Err(error.into()),
        Err(error) => prompter.print(&format!(
            "ringfence: calls will have no sound yet: {error}. To do: {}.\n",
            error.remedy()
        )),
        Ok(_) => Ok(()),
    }
}

/// Repeats a question until the answer can be parsed.
fn ask<T: FromStr>(
    prompter: &Prompter,
    question: &str,
    usual: Option<&str>,
    option: &'static str,
) -> Result<T, CommandError> {
    for _ in 0..TRIES {
        if let Ok(answer) = prompter.ask(question, usual, option)?.parse() {
            return Ok(answer);
        }
    }
    Err(CommandError::Missing(option))
}
