//! `ringfence doctor`: checks everything that a call needs, and proves the promise of privacy with a test call (`proof`).
//!
//! No check affects a running engine: files are only read, the copy of the phone book is copied first, ports are only tried, and the
//! test call is one between two temporary engines ([`crate::selfcall`]). Every check is bounded in time.

mod finding;
mod local;
mod phone_book;
mod proof;
mod reachability;
mod running;
mod socket_monitor;

pub use finding::{Finding, Severity};

use crate::config::{Config, TurnLogin, TurnSettings};
use crate::net::book::{BookSnapshot, clock_apart_from};
use crate::run::assemble::{relay_urls, turn_servers};
use crate::selfcall::NetworkServers;
use crate::state::keystore::{Keystore, KeystoreError, LineFile};
use crate::state::secret::Secret;

/// The engine to check, and how far.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The passphrase of the keys, if they have one.
    pub passphrase: Option<Secret>,
    /// Whether to place the test call.
    pub with_call: bool,
}

/// Receives progress and findings while the checks run.
pub trait FindingSink {
    /// A check begins that takes a while.
    fn begins(&mut self, what: &str);
    /// A check has ended.
    fn found(&mut self, finding: Finding);
}

/// Runs every check.
pub async fn examine(examination: &Examination<'_>, sink: &mut impl FindingSink) {
    let config = examination.config;
    sink.found(local::rights(&config.state));
    if !config.state.exists() {
        return;
    }
    sink.found(local::room(&config.state));
    let is_running = is_running(config);
    sink.found(if is_running {
        Finding::ok("engine", "runs on this state folder")
    } else {
        Finding::warn(
            "engine",
            "does not run",
            "ringfence run, or: systemctl start ringfence",
        )
    });
    sink.found(local::sip_ports(config, is_running));
    if is_running {
        for finding in running::of_engine(&config.state).await {
            sink.found(finding);
        }
    }
    sink.begins("Opening the keys");
    let Some(lines) = lines(examination, sink) else {
        return;
    };
    let passphrase = examination.passphrase.as_ref();
    for finding in local::saved_files(&config.state, passphrase) {
        sink.found(finding);
    }
    let outbound = match config.outbound() {
        Ok(outbound) => outbound,
        Err(error) => {
            let remedy = "correct the setting ca_file";
            return sink.found(Finding::fail("certificates", error.to_string(), remedy));
        }
    };
    if let Some(proxy) = outbound.proxy() {
        sink.begins("Connecting to the proxy");
        sink.found(match outbound.try_proxy().await {
            Ok(()) => Finding::ok(
                "proxy",
                format!("{proxy} answers; relays and phone book are reached through it, TURN servers are not"),
            ),
            Err(error) => Finding::fail("proxy", error.to_string(), error.remedy()),
        });
    }
    sink.begins("Downloading the phone book");
    let phone_book::PhoneBookCheck {
        client,
        snapshot,
        findings,
    } = phone_book::look(config, &lines, &outbound).await;
    findings.into_iter().for_each(|finding| sink.found(finding));
    let Some(snapshot) = snapshot else {
        return;
    };
    let relays = relay_urls(config, &snapshot.network).to_vec();
    sink.begins("Sending an envelope through each relay");
    for finding in reachability::relays(&relays, &snapshot.network, &outbound).await {
        sink.found(finding);
    }
    for relay in &relays {
        let apart = clock_apart_from(relay, &outbound).await;
        phone_book::clock_of(relay, apart)
            .into_iter()
            .for_each(|finding| sink.found(finding));
    }
    sink.begins("Asking each TURN server for an allocation");
    let login = reachability::login(config, &lines, client.as_ref(), &snapshot.network).await;
    let login = match login {
        Ok(login) => login,
        Err(finding) => return sink.found(finding),
    };
    let turn = settings_with(config, login, &snapshot);
    for finding in reachability::turn(&turn, &snapshot.network, &outbound).await {
        sink.found(finding);
    }
    // Closes its connections before the call, whose sockets are watched.
    drop(client);
    if let (true, Some(line)) = (examination.with_call, lines.first()) {
        sink.begins("Placing the test call, for about 15 seconds");
        let outside = NetworkServers {
            relays,
            turn,
            outbound,
            work_bits: config.work_bits.unwrap_or(snapshot.network.work_bits),
            bucket_bits: snapshot.network.bucket_bits,
        };
        for finding in proof::prove(outside, &line.book_url).await {
            sink.found(finding);
        }
    }
}

fn settings_with(config: &Config, login: TurnLogin, snapshot: &BookSnapshot) -> TurnSettings {
    TurnSettings {
        urls: turn_servers(&config.turn, &snapshot.network),
        login,
        ..config.turn.clone()
    }
}

/// Whether an engine runs on the state folder.
fn is_running(config: &Config) -> bool {
    matches!(
        Keystore::open(&config.state, None),
        Err(KeystoreError::InUse { .. })
    )
}

fn lines(examination: &Examination<'_>, sink: &mut impl FindingSink) -> Option<Vec<LineFile>> {
    match Keystore::look(&examination.config.state, examination.passphrase.clone()) {
        Ok(lines) => Some(lines),
        Err(error) => {
            let remedy = error.remedy();
            sink.found(Finding::fail("lines", error.to_string(), remedy));
            None
        }
    }
}
