//! The settings of a setup: those of an existing file, or new ones from options and answers, checked before they are written.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ringfence_book::NetworkSettings;

use super::prompter::Prompter;
use super::settings_file::SettingsFile;
use super::{CommandError, SetupArgs};
use crate::cli::progress::ProgressLine;
use crate::clock;
use crate::config::{Config, ConfigError, TurnLogin, raw};
use crate::net::network::is_own;
use crate::net::outbound::Outbound;
use crate::net::ports::{network_address, taken};
use crate::net::relay::check_url;
use crate::run::assemble::resolve_turn;
use crate::run::desktop;
use crate::state::keystore::{make_folder_of, write_private};
use crate::turn::probe::probe;
use crate::turn::{TurnEndpoint, TurnUrlError};

/// The copy of `--ca-file` in the state folder.
const AUTHORITIES: &str = "authorities.pem";

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
        || args.notifications
        || args.paths.state.as_ref().is_some_and(is_other_state);
    if !changes {
        return Ok(Some(config));
    }
    let question = format!(
        "There are settings in {} already. Write new ones, and keep the old file beside them",
        file.display()
    );
    if prompter.has_terminal() && prompter.insists(&question, "--replace")? {
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
        ca_file: authorities(args, state)?,
        proxy: args.proxy.clone(),
        notifications: args.notifications,
        allow_private: args.allow_private,
    };
    free_ports(args, &mut draft, prompter)?;
    if args.relays.is_empty() && network.relays.is_empty() {
        let question = "Nostr relays, with spaces between them (the phone book names none)";
        draft.relays = prompter.ask(question, None, "--relay", relays)?;
    }
    let is_asked = args.turn.is_empty() && network.turn.is_empty();
    let config = loop {
        if is_asked {
            ask_turn(args, &mut draft, prompter)?;
        }
        let config = draft.config()?;
        match check_way_out(&config, network, outbound, prompter).await {
            Err(error) if is_asked && prompter.has_terminal() => {
                prompter.forget("--turn");
                prompter.forget("--turn-secret");
                prompter.print(&format!("{}\n", error.text()))?;
            }
            outcome => {
                outcome?;
                break config;
            }
        }
    };
    let config = if prompter.has_terminal() && desktop::is_there() && !draft.notifications {
        let question = "Show a notification on this desktop for missed calls and texts";
        draft.notifications = prompter.agrees(question, "--notifications")?;
        draft.config()?
    } else {
        config
    };
    if file.exists() {
        keep_old(file)?;
    }
    make_folder_of(file)?;
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

/// The file of authorities, copied beside the keys: so it is in every backup, and no path of this machine is in the settings.
fn authorities(args: &SetupArgs, state: &Path) -> Result<Option<PathBuf>, CommandError> {
    let Some(file) = &args.ca_file else {
        return Ok(None);
    };
    let copy = state.join(AUTHORITIES);
    let text = std::fs::read(file).map_err(|error| CommandError::System(error.kind()))?;
    write_private(&copy, &text)?;
    Ok(Some(copy))
}

fn listen(args: &SetupArgs, prompter: &Prompter) -> Result<Vec<IpAddr>, CommandError> {
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    let other = match args.phones {
        Some(phones) => address(phones).map_err(|_| CommandError::NoNetwork)?,
        None => {
            let question = "Where are the phones: on this machine (here), in its network (lan), or in that of one of its addresses";
            prompter.ask(question, Some("here"), "--phones", |text| {
                let phones = text.parse().map_err(|is: &str| format!("Answer {is}."))?;
                match address(phones)? {
                    Some(ip) if !is_own(ip) => Err(format!("{ip} is no address of this machine.")),
                    other => Ok(other),
                }
            })?
        }
    };
    let other = other.filter(|ip| *ip != here);
    Ok([here].into_iter().chain(other).collect())
}

/// The address for phones elsewhere.
fn address(phones: PhoneNetwork) -> Result<Option<IpAddr>, String> {
    match phones {
        PhoneNetwork::Here => Ok(None),
        PhoneNetwork::At(ip) => Ok(Some(ip)),
        PhoneNetwork::Lan => match network_address() {
            Some(ip) => Ok(Some(ip)),
            None => Err(CommandError::NoNetwork.text()),
        },
    }
}

/// Reports ports that are taken now rather than at the first start.
fn free_ports(
    args: &SetupArgs,
    draft: &mut SettingsFile,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    let is_given = args.sip_port.is_some() || args.tls_port.is_some();
    while let Some(error) = taken(&draft.config()?.sip) {
        let is_port = error.error.kind() == std::io::ErrorKind::AddrInUse;
        let error = CommandError::Listen(error);
        if !prompter.has_terminal() || !is_port || is_given {
            return Err(error);
        }
        prompter.forget("--sip-port");
        prompter.print(&format!("{}\n", error.text()))?;
        let question = "UDP and TCP port for phones; TLS gets the next one";
        let port: u16 = prompter.ask(question, Some("5188"), "--sip-port", |text| {
            let port = text.parse().ok().filter(|port| *port < u16::MAX);
            port.ok_or_else(|| "A port is a number from 1 to 65534.".to_owned())
        })?;
        (draft.udp_and_tcp, draft.tls) = (port, port + 1);
    }
    Ok(())
}

fn relays(text: &str) -> Result<Vec<String>, String> {
    let urls: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match urls.iter().find(|url| check_url(url).is_err()) {
        Some(wrong) => Err(CommandError::from(ConfigError::Relay(wrong.clone())).text()),
        None if urls.is_empty() => {
            Err("A relay is, for example: wss://relay.example.org".to_owned())
        }
        None => Ok(urls),
    }
}

/// Asks for TURN servers where the phone book names none.
fn ask_turn(
    args: &SetupArgs,
    draft: &mut SettingsFile,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    let question = "TURN servers, with spaces between them (the phone book names none)";
    draft.turn = prompter.ask(question, None, "--turn", |text| {
        let read: Result<Vec<TurnEndpoint>, TurnUrlError> =
            text.split_whitespace().map(str::parse).collect();
        let url = text.to_owned();
        match read {
            Ok(read) if read.is_empty() => {
                Err("A TURN server is, for example: turns:turn.example.org:5349".to_owned())
            }
            Ok(read) => Ok(read),
            Err(why) => Err(CommandError::from(ConfigError::TurnUrl { url, why }).text()),
        }
    })?;
    if args.turn_secret.is_none() {
        let question = "Secret shared with them; empty: logins come from the phone book";
        draft.turn_secret = prompter.ask(question, Some(""), "--turn-secret", |text| {
            Ok(text.to_owned())
        })?;
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
