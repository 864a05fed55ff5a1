//! The settings of a setup: those that are there, or new ones from options and answers, each checked before it is written.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ringfence_phonebook::NetworkSettings;

use super::prompter::{Clerk, TRIES};
use super::settings_file::Paper;
use super::{Failure, SetupArgs};
use crate::cli::progress::Progress;
use crate::clock;
use crate::config::{Config, TurnLogin};
use crate::net::audit::ConnectionAudit;
use crate::net::ports::{network_address, taken};
use crate::run::assemble::lobby;
use crate::state::keystore::{make_folder, write_private};
use crate::turn::probe::probe;
use crate::turn::{TurnEndpoint, TurnUrlError};

/// Where the phones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Phones {
    /// On this machine alone.
    Here,
    /// In the network of this machine.
    Lan,
    /// In the network in which it has this address.
    At(IpAddr),
}

impl FromStr for Phones {
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

/// The settings that are there and stay; `None` when new ones are to be written.
pub(super) fn kept(
    args: &SetupArgs,
    file: &Path,
    clerk: &Clerk,
) -> Result<Option<Config>, Failure> {
    if !file.exists() || args.replace {
        return Ok(None);
    }
    let config = Config::read(file)?;
    let is_other_state = |state: &PathBuf| *state != config.state;
    let changes = args.phones.is_some()
        || args.sip_port.is_some()
        || args.tls_port.is_some()
        || !args.relays.is_empty()
        || !args.turn.is_empty()
        || args.turn_secret.is_some()
        || args.allow_private
        || args.place.state.as_ref().is_some_and(is_other_state);
    if !changes {
        return Ok(Some(config));
    }
    let question = format!(
        "There are settings in {} already. Write new ones, and keep the old file beside them (y/n)",
        file.display()
    );
    if clerk.is_there()
        && clerk
            .ask(&question, Some("n"), "--replace")?
            .eq_ignore_ascii_case("y")
    {
        return Ok(None);
    }
    Err(Failure::SettingsExist(file.to_owned()))
}

/// Answers become a file. It may hold a secret, so that nobody else may read it.
pub(super) async fn write(
    args: &SetupArgs,
    file: &Path,
    state: &Path,
    network: &NetworkSettings,
    clerk: &Clerk,
) -> Result<Config, Failure> {
    let mut paper = Paper {
        state: std::path::absolute(state).unwrap_or_else(|_| state.to_owned()),
        relays: args.relays.clone(),
        listen: listen(args, clerk)?,
        udp_and_tcp: args.sip_port.unwrap_or(5060),
        tls: args.tls_port.unwrap_or(5061),
        turn: args.turn.clone(),
        turn_secret: args.turn_secret.clone().unwrap_or_default(),
        turn_ca: args.ca_file.clone(),
        allow_private: args.allow_private,
        book_ca: args.ca_file.clone(),
    };
    free_ports(args, &mut paper, clerk)?;
    servers(args, &mut paper, network, clerk)?;
    let config = paper.config()?;
    check_way_out(&config, network, clerk).await?;
    if file.exists() {
        keep_old(file)?;
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        make_folder(folder)?;
    }
    write_private(file, paper.text().as_bytes())?;
    Ok(config)
}

/// The old file under a name that says when.
fn keep_old(file: &Path) -> Result<(), Failure> {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(format!(".{}.old", clock::unix_seconds()));
    let old = std::fs::read(file).map_err(|error| Failure::System(error.kind()))?;
    Ok(write_private(Path::new(&name), &old)?)
}

fn listen(args: &SetupArgs, clerk: &Clerk) -> Result<Vec<IpAddr>, Failure> {
    let phones = match args.phones {
        Some(phones) => phones,
        None => {
            let question = "Where are the phones: on this machine (here), in its network (lan), or in that of one of its addresses";
            ask(clerk, question, Some("here"), "--phones")?
        }
    };
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    Ok(match phones {
        Phones::Here => vec![here],
        Phones::Lan => vec![here, network_address().ok_or(Failure::NoNetwork)?],
        Phones::At(ip) if ip == here => vec![here],
        Phones::At(ip) => vec![here, ip],
    })
}

/// Ports that somebody has are told now, not at the first start.
fn free_ports(args: &SetupArgs, paper: &mut Paper, clerk: &Clerk) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let Some(error) = taken(&paper.config()?.sip) else {
            return Ok(());
        };
        let is_port = error.error.kind() == std::io::ErrorKind::AddrInUse;
        let is_given = args.sip_port.is_some() || args.tls_port.is_some();
        let fault = Failure::Listen(error);
        if !clerk.is_there() || !is_port || is_given {
            return Err(fault);
        }
        clerk.tell(&format!("{}\n", fault.text()))?;
        let port: u16 = ask(
            clerk,
            "UDP and TCP port for phones",
            Some("5070"),
            "--sip-port",
        )?;
        (paper.udp_and_tcp, paper.tls) = (port, port.saturating_add(1));
    }
    Ok(())
}

/// A phone book that names none, or whose servers are not wanted.
fn servers(
    args: &SetupArgs,
    paper: &mut Paper,
    network: &NetworkSettings,
    clerk: &Clerk,
) -> Result<(), Failure> {
    if args.relays.is_empty() && (network.relays.is_empty() || clerk.is_there()) {
        let usual = (!network.relays.is_empty()).then_some("those of the phone book");
        let typed = clerk.ask("Nostr relays, with spaces between them", usual, "--relay")?;
        if Some(typed.as_str()) != usual {
            paper.relays = typed.split_whitespace().map(str::to_owned).collect();
        }
    }
    if args.turn.is_empty() && (network.turn.is_empty() || clerk.is_there()) {
        let usual = (!network.turn.is_empty()).then_some("those of the phone book");
        let typed = clerk.ask("TURN servers, with spaces between them", usual, "--turn")?;
        if Some(typed.as_str()) != usual {
            let read: Result<Vec<TurnEndpoint>, TurnUrlError> =
                typed.split_whitespace().map(str::parse).collect();
            paper.turn =
                read.map_err(|why| crate::config::ConfigError::TurnUrl { url: typed, why })?;
            if args.turn_secret.is_none() {
                let question = "Secret shared with them; empty: logins come from the phone book";
                paper.turn_secret = clerk.ask(question, Some(""), "--turn-secret")?;
            }
        }
    }
    Ok(())
}

/// A login that the TURN server refuses is told now. One that the phone book is to give cannot be tried before there is a line.
async fn check_way_out(
    config: &Config,
    network: &NetworkSettings,
    clerk: &Clerk,
) -> Result<(), Failure> {
    if matches!(config.turn.login, TurnLogin::None) {
        return Ok(());
    }
    let progress = Progress::begin();
    progress.say("Asking the TURN server for a relayed address");
    let outcome = probe(&lobby(&config.turn, network, &ConnectionAudit::default()).await?).await;
    drop(progress);
    match outcome {
        Err(fault) if fault.is_final() => Err(fault.into()),
        Err(fault) => clerk.tell(&format!(
            "ringfence: calls will have no sound yet: {fault}. To do: {}.\n",
            fault.remedy()
        )),
        Ok(_) => Ok(()),
    }
}

/// An answer that can be read.
fn ask<T: FromStr>(
    clerk: &Clerk,
    question: &str,
    usual: Option<&str>,
    option: &'static str,
) -> Result<T, Failure> {
    for _ in 0..TRIES {
        if let Ok(answer) = clerk.ask(question, usual, option)?.parse() {
            return Ok(answer);
        }
    }
    Err(Failure::Missing(option))
}
