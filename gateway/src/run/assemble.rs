//! Makes the parts of a gateway from settings, lines and a copy of the phone book.
//!
//! What may fail at a start fails here, and the error names it: no line, no relay, no TURN server. Host names are resolved here,
//! ahead of calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ringfence_book::{BookKey, NetworkSettings, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::line::saved_state::SavedState;
use ringfence_engine::restart::RestartState;
use ringfence_engine::sealed::bucket::bucket;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::trust::directory::Directory;
use ringfence_engine::{Config as EngineConfig, Line};
use ringfence_sip::{Account, Password, User};

use crate::config::{Config, TurnLogin, TurnSettings};
use crate::net::audit::AuditEntry;
use crate::net::book::BookSnapshot;
use crate::net::outbound::Outbound;
use crate::net::phone::Listen;
use crate::net::phone::certificate::{self, CertificateError};
use crate::net::relay::{RelayInbox, RelayListError, Relays};
use crate::run::parts::{GatewayParts, SettingsChange};
use crate::state::keystore::LineFile;
use crate::turn::servers::TurnServers;
use crate::turn::{TurnDialError, TurnEndpoint, TurnTarget};

/// Why a gateway cannot be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The state folder has no line.
    #[error("there is no line in the state folder")]
    NoLine,
    /// A line file could be decrypted and parsed, but its keys are malformed.
    #[error("the keys of line {0} are damaged")]
    BadLine(u32),
    /// Lines of two phone books lie in one state folder.
    #[error("the lines in the state folder belong to more than one phone book")]
    TwoBooks,
    /// The relays cannot be used.
    #[error(transparent)]
    Relay(#[from] RelayListError),
    /// Neither the settings nor the phone book name a TURN server.
    #[error("no TURN server is named, neither in the settings nor by the phone book")]
    NoTurn,
    /// No login for the TURN server is configured, and the phone book gives none.
    #[error("there is no secret and no account for the TURN server")]
    NoTurnLogin,
    /// None of the TURN servers' names has an address.
    #[error(transparent)]
    Turn(#[from] TurnDialError),
    /// There is no certificate for phones.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl AssembleError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoLine => "ask a phone book's operator for an invitation and run: ringfence setup LINK".to_owned(),
            Self::BadLine(_) => "restore its file from a backup, or move it away and activate again".to_owned(),
            Self::TwoBooks => "run one engine per phone book, each with its own --state".to_owned(),
            Self::Relay(_) => "correct the setting `relays`; when it is empty, ask the phone book's operator for relays".to_owned(),
            Self::NoTurn => "set turn.urls, for example urls = [\"turn:turn.example.org:3478?transport=udp\"]".to_owned(),
            Self::NoTurnLogin => "set turn.secret (coturn: static-auth-secret), or turn.user and turn.password; this phone book gives no logins of its own".to_owned(),
            Self::Turn(_) => "check turn.urls and this machine's name server".to_owned(),
            Self::Certificate(error) => error.remedy(),
        }
    }
}

/// Makes the parts of a gateway, which reaches its servers by `outbound`; its relays begin to connect.
///
/// # Errors
/// [`AssembleError`].
pub async fn assemble(
    config: &Config,
    files: &[LineFile],
    book: &BookSnapshot,
    outbound: &Outbound,
) -> Result<GatewayParts, AssembleError> {
    let network = &book.network;
    let lines = lines(files, &network.book_key)?;
    let turn = resolve_turn(&config.turn, network, outbound).await?;
    let relays = relays(config, network, &buckets_of(&lines, network), outbound)?;
    let at = |port: u16| {
        config
            .sip
            .addresses
            .iter()
            .map(move |ip| SocketAddr::new(*ip, port))
            .collect()
    };
    Ok(GatewayParts {
        listen: Listen {
            udp: at(config.sip.udp_port),
            tcp: at(config.sip.tcp_port),
            tls: at(config.sip.tls_port),
            certificate: certificate::server(&config.certificate())?,
        },
        engine: EngineConfig {
            work_bits: work_bits(config, network),
            bucket_bits: network.bucket_bits,
            no_answer: config.no_answer,
            max_calls: config.max_calls,
            phone_calls: config.sip.calls,
            emergency_numbers: config.sip.emergency_numbers.clone(),
            srtp: config.sip.srtp,
            video: config.sip.video,
            phone_addresses: config.sip.addresses.clone(),
            unsolicited_mwi: config.sip.unsolicited_mwi,
            ..EngineConfig::default()
        },
        redundancy: config.sound_rate.saturating_sub(1),
        lines,
        book_key: network.book_key,
        directory: directory(book),
        relays,
        turn,
        outbound: outbound.clone(),
        contacts: Contacts::default(),
        saved_state: SavedState::default(),
        restart: RestartState::default(),
        notifications: config.notifications,
        writer: None,
    })
}

/// What a running gateway takes over when its settings, or those of the phone book's network, become `new`. Only parts that differ are
/// replaced; all go on to use `outbound`, the way out that was made at the start.
///
/// # Errors
/// [`AssembleError`]; nothing has changed then.
pub async fn change(
    (old, old_network): (&Config, &NetworkSettings),
    (new, network): (&Config, &NetworkSettings),
    buckets: &BTreeSet<u16>,
    outbound: &Outbound,
) -> Result<SettingsChange, AssembleError> {
    let servers = turn_servers(&old.turn, old_network);
    let turn = if old.turn == new.turn && servers == turn_servers(&new.turn, network) {
        None
    } else {
        Some(resolve_turn(&new.turn, network, outbound).await?)
    };
    let relays = if relay_urls(old, old_network) == relay_urls(new, network) {
        None
    } else {
        Some(relays(new, network, buckets, outbound)?)
    };
    Ok(SettingsChange {
        work_bits: work_bits(new, network),
        no_answer: new.no_answer,
        relays,
        turn,
    })
}

fn work_bits(config: &Config, network: &NetworkSettings) -> u8 {
    config.work_bits.unwrap_or(network.work_bits)
}

/// The buckets to which these lines subscribe.
///
/// # Errors
/// [`AssembleError`] of the lines.
pub fn buckets(
    files: &[LineFile],
    network: &NetworkSettings,
) -> Result<BTreeSet<u16>, AssembleError> {
    Ok(buckets_of(&lines(files, &network.book_key)?, network))
}

fn buckets_of(lines: &[Line], network: &NetworkSettings) -> BTreeSet<u16> {
    let keys = lines.iter().map(|line| line.identity.key());
    keys.map(|key| bucket(&key, network.bucket_bits)).collect()
}

fn relays(
    config: &Config,
    network: &NetworkSettings,
    buckets: &BTreeSet<u16>,
    outbound: &Outbound,
) -> Result<(Relays, RelayInbox), AssembleError> {
    let urls = relay_urls(config, network);
    let connected = Relays::connect(urls, network.bucket_bits, buckets, outbound);
    Ok(connected?)
}

/// The phone book in the form that the engine uses.
#[must_use]
pub fn directory(book: &BookSnapshot) -> Directory {
    Directory::of(&book.book, book.roots.iter().cloned())
}

fn lines(files: &[LineFile], book: &BookKey) -> Result<Vec<Line>, AssembleError> {
    if files.is_empty() {
        return Err(AssembleError::NoLine);
    }
    if files.iter().any(|file| file.book_key != *book.as_bytes()) {
        return Err(AssembleError::TwoBooks);
    }
    files
        .iter()
        .map(|file| line(file).ok_or(AssembleError::BadLine(file.number)))
        .collect()
}

fn line(file: &LineFile) -> Option<Line> {
    let identity = Identity::from_bytes(&file.identity).ok()?;
    let account = Account {
        user: User::new(file.account.user.clone()),
        password: Password::new(file.account.password.expose()),
    };
    Some(Line {
        number: Number::new(file.number),
        identity,
        account,
    })
}

/// The TURN servers in use: those of the settings, or, if there are none, those that the phone book names.
#[must_use]
pub fn turn_servers(settings: &TurnSettings, network: &NetworkSettings) -> Vec<TurnEndpoint> {
    if settings.urls.is_empty() {
        // A later version of the phone book may use URIs that this version cannot parse: those are left out.
        let urls = network.turn.iter();
        urls.filter_map(|url| url.parse().ok()).collect()
    } else {
        settings.urls.clone()
    }
}

/// The relays in use: those of the settings, or, if there are none, those that the phone book names.
#[must_use]
pub fn relay_urls<'a>(config: &'a Config, network: &'a NetworkSettings) -> &'a [String] {
    if config.relays.is_empty() {
        &network.relays
    } else {
        &config.relays
    }
}

/// The TURN servers in use, with their names resolved.
///
/// # Errors
/// [`AssembleError`]: no server, no login, or no server whose name has an address.
pub async fn resolve_turn(
    settings: &TurnSettings,
    network: &NetworkSettings,
    outbound: &Outbound,
) -> Result<TurnServers, AssembleError> {
    let named = turn_servers(settings, network);
    if named.is_empty() {
        return Err(AssembleError::NoTurn);
    }
    if matches!(settings.login, TurnLogin::None) && settings.secrets.is_empty() {
        return Err(AssembleError::NoTurnLogin);
    }
    let servers = resolve(&named, outbound).await?;
    let servers = TurnServers::new(servers, settings.login.clone(), settings.allow_private)
        .with_secrets(settings.secrets.clone())
        .audited(outbound.audit().clone());
    Ok(match &settings.memory {
        Some(pool) => servers.remembered(pool.clone()),
        None => servers,
    })
}

/// The servers whose names have an address.
async fn resolve(
    named: &[TurnEndpoint],
    outbound: &Outbound,
) -> Result<Vec<TurnTarget>, AssembleError> {
    let (mut found, mut error) = (Vec::new(), None);
    for (position, endpoint) in (1_usize..).zip(named) {
        if endpoint.host.parse::<std::net::IpAddr>().is_err() {
            outbound
                .audit()
                .note(|| AuditEntry::Name(endpoint.host.clone()));
        }
        match endpoint.resolve(outbound.tls()).await {
            Ok(target) => found.push(target),
            Err(failed) => {
                tracing::debug!(%failed, "a TURN server is left out");
                let (all, why) = (named.len(), failed.unnamed());
                tracing::warn!("TURN server {position} of {all} is left out: {why}");
                error = Some(failed);
            }
        }
    }
    match error {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}
