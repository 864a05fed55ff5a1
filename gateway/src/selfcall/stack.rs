//! Everything that a private call needs, in one process on loopback: phone book, Nostr relay, TURN server, two engines.
//!
//! The engines are real: each redeems its own activation code over HTTP, keeps its keys in its own folder, downloads the whole
//! book and listens for phones on its own ports. Only the servers are small embedded ones, and external servers can take their place.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use rand::RngExt;
use ringfence_book::NumberPlan;
use ringfence_box::relay::EmbeddedRelay;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_phonebook::config::Database;
use ringfence_phonebook::service::PhoneBook;
use tempfile::TempDir;
use tokio::sync::watch;

use super::report::{LineReport, SipReport, StackReport};
use super::servers::{Around, listed};
use super::{NetworkServers, StackError, StackOptions};
use crate::config::{Config, SipListen};
use crate::lines::LineError;
use crate::lines::activate::activate;
use crate::net::book::{BookClient, BookCopy};
use crate::net::outbound::Outbound;
use crate::net::phone::authority::authority_file;
use crate::net::relay::RelayState;
use crate::page::{RegistrarInfo, StatusPage};
use crate::run::assemble::assemble;
use crate::run::gateway::Gateway;
use crate::state::keystore::{Keystore, LineFile};
use crate::turn::probe::probe;

/// Tries for a port that is free for UDP and TCP alike.
const PORT_TRIES: usize = 16;
/// Linux hands out ports from 32,768 on, others from 49,152 (RFC 6335 section 6).
const OWN_PORTS: std::ops::Range<u16> = 16_384..32_768;
/// The book has few numbers, so that it is made and downloaded in a moment.
const FIRST_NUMBER: u32 = 20_000;
const TILES: u16 = 2;

/// One engine with one line.
#[derive(Debug)]
pub struct StackEnd {
    /// The line.
    pub line: LineFile,
    /// The running engine.
    pub gateway: Gateway,
    /// Its relays.
    pub relays: watch::Receiver<RelayState>,
    /// Its status page.
    pub page: StatusPage,
    /// Holds the lock of its state folder.
    _keystore: Keystore,
    /// The certificate authority that phones must trust.
    ca: PathBuf,
}

/// The running stack.
#[derive(Debug)]
pub struct Stack {
    /// The caller's engine and the callee's.
    pub ends: [StackEnd; 2],
    /// Addresses and accounts, to be printed.
    pub report: StackReport,
    book: PhoneBook,
    relay: Option<EmbeddedRelay>,
    turn: Option<EmbeddedTurn>,
    /// Keys of the demo; removed at its end.
    _folder: TempDir,
}

impl Stack {
    /// Starts everything.
    ///
    /// # Errors
    /// [`StackError`] naming the part that failed.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        let folder = TempDir::with_prefix("ringfence-demo-").map_err(StackError::Folder)?;
        let around = match &options.outside {
            Some(outside) => Around::real(outside.clone()),
            None => Around::start(options).await?,
        };
        let book = PhoneBook::start(ringfence_phonebook::config::Config {
            listen: options.any_port(),
            database: Database::Memory,
            plan: NumberPlan::new(FIRST_NUMBER, TILES)
                .expect("two tiles end far below the last number"),
            relays: around.servers.relays.clone(),
            work_bits: around.servers.work_bits,
            bucket_bits: around.servers.bucket_bits,
            ..Default::default()
        })
        .await?;
        let outbound = around
            .servers
            .outbound
            .clone()
            .audited(options.watch.clone());
        let activate_line = |name: &str, port| {
            let servers = &around.servers;
            let at = SocketAddr::new(options.loopback(), port);
            let config = settings(&folder.path().join(name), at, servers);
            activate_line(config, &book, &outbound)
        };
        // Both numbers are in the book before an engine downloads it.
        let free_port = || free_port(options.loopback());
        let first = activate_line("a", options.sip_port.or_else(free_port).unwrap_or(0)).await?;
        let second = activate_line("b", free_port().unwrap_or(0)).await?;
        book.close_epoch_now().await?;
        let (first, second) = (
            start_end(first, &book, &outbound, options.any_port()).await?,
            start_end(second, &book, &outbound, options.any_port()).await?,
        );
        let report = StackReport {
            lines: vec![first.report(), second.report()],
            relay: around.servers.relays.join(", "),
            turn: listed(&around.servers.turn.urls),
            phonebook: book.url(),
        };
        Ok(Self {
            ends: [first, second],
            report,
            book,
            relay: around.relay,
            turn: around.turn,
            _folder: folder,
        })
    }

    /// Hangs up calls and stops everything, engines first.
    pub async fn stop(self) {
        let [first, second] = self.ends;
        tokio::join!(first.gateway.stop(), second.gateway.stop());
        if let Some(turn) = self.turn {
            turn.stop().await;
        }
        if let Some(relay) = self.relay {
            relay.stop();
        }
        self.book.stop().await;
    }
}

impl StackEnd {
    fn report(&self) -> LineReport {
        let shown =
            |addrs: &[SocketAddr]| addrs.first().map(ToString::to_string).unwrap_or_default();
        LineReport {
            number: self.line.number.to_string(),
            page: self.page.url().expose().to_owned(),
            sip: SipReport {
                udp: shown(self.gateway.udp()),
                tcp: shown(self.gateway.tcp()),
                tls: shown(self.gateway.tls()),
                ca: self.ca.display().to_string(),
                user: self.line.account.user.clone(),
                password: self.line.account.password.expose().to_owned(),
            },
        }
    }
}

/// A port that is free for both UDP and TCP, because one number is easier to type. It is below the system's ephemeral ports, so that no
/// other socket takes it before the engine does.
#[expect(
    clippy::disallowed_methods,
    reason = "a port towards phones, on loopback, closed at once"
)]
fn free_port(at: IpAddr) -> Option<u16> {
    (0..PORT_TRIES).find_map(|_| {
        let port = rand::rng().random_range(OWN_PORTS);
        let addr = (at, port);
        let _tcp = std::net::TcpListener::bind(addr).ok()?;
        std::net::UdpSocket::bind(addr).ok().map(|_| port)
    })
}

/// The settings of one engine, as a file would give them. Relays come from the phone book.
fn settings(state: &Path, sip: SocketAddr, servers: &NetworkServers) -> Config {
    Config {
        state: state.into(),
        sip: SipListen {
            addresses: vec![sip.ip()],
            udp_port: sip.port(),
            tcp_port: sip.port(),
            tls_port: 0,
            ..Config::with_state(state).sip
        },
        turn: servers.turn.clone(),
        ..Config::with_state(state)
    }
}

/// An activated line whose engine does not run yet.
struct ActivatedLine {
    config: Config,
    client: BookClient,
    keystore: Keystore,
    line: LineFile,
}

async fn activate_line(
    config: Config,
    book: &PhoneBook,
    outbound: &Outbound,
) -> Result<ActivatedLine, StackError> {
    let issued = book.issue().await?;
    let client = BookClient::new(&book.url(), outbound)?;
    let mut keystore = Keystore::open(&config.state, None).map_err(LineError::from)?;
    let line = activate(&mut keystore, &client, &issued.code, None).await?;
    Ok(ActivatedLine {
        config,
        client,
        keystore,
        line,
    })
}

async fn start_end(
    enrolled: ActivatedLine,
    book: &PhoneBook,
    outbound: &Outbound,
    page: SocketAddr,
) -> Result<StackEnd, StackError> {
    let ActivatedLine {
        config,
        client,
        keystore,
        line,
    } = enrolled;
    let snapshot = BookCopy::open(&config.state, book.book_key())?
        .refresh(&client)
        .await?;
    let lines = std::slice::from_ref(&line);
    let parts = assemble(&config, lines, &snapshot, outbound).await?;
    probe(&parts.turn).await?;
    let relays = parts.relays.0.state();
    let gateway = Gateway::start(parts).await?;
    let registrar = RegistrarInfo::of(&config, std::slice::from_ref(&line), &gateway);
    Ok(StackEnd {
        page: StatusPage::open(page, registrar, gateway.handle()).await?,
        gateway,
        line,
        relays,
        _keystore: keystore,
        ca: authority_file(&config.state),
    })
}
