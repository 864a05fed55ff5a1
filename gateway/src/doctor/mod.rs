//! Looks whether everything that a call needs is well, and proves the promise of privacy by a call to itself (`proof`).
//!
//! It disturbs no running engine: files are read, the phone book's copy is copied first, ports are looked at, and the call is one
//! between two engines of its own. Everything is bounded in time.

mod phone_book;
mod finding;
mod local;
mod phones;
mod proof;
mod reachability;
mod socket_monitor;

pub use finding::{Finding, Verdict};

use crate::config::{Config, TurnLogin, TurnSettings};
use crate::net::book::{BookSnapshot, clock_apart_from};
use crate::run::assemble::{relay_urls, turn_servers};
use crate::selfcall::Outside;
use crate::state::keystore::{Keystore, KeystoreError, LineFile};
use crate::state::secret::Secret;

/// Whom the doctor looks at.
#[derive(Debug)]
pub struct Patient<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The passphrase of the keys, if they have one.
    pub passphrase: Option<Secret>,
    /// Whether a call is to be placed.
    pub with_call: bool,
}

/// Whoever hears what is being done, and what was found.
pub trait Listener {
    /// Something begins that takes a while.
    fn begins(&mut self, what: &str);
    /// Something was found.
    fn found(&mut self, finding: Finding);
}

/// Looks at everything.
pub async fn examine(patient: &Patient<'_>, listener: &mut impl Listener) {
    let config = patient.config;
    listener.found(local::rights(&config.state));
    if !config.state.exists() {
        return;
    }
    listener.found(local::room(&config.state));
    let is_running = is_running(config);
    listener.found(if is_running {
        Finding::ok("engine", "runs on this state folder")
    } else {
        Finding::warn(
            "engine",
            "does not run",
            "ringfence run, or: systemctl start ringfence",
        )
    });
    listener.found(local::sip_ports(config, is_running));
    if is_running {
        for finding in phones::registered(&config.state).await {
            listener.found(finding);
        }
    }
    listener.begins("Opening the keys");
    let Some(lines) = lines(patient, listener) else {
        return;
    };
    listener.begins("Downloading the phone book");
    let phone_book::Known {
        client,
        snapshot,
        findings,
    } = phone_book::look(config, &lines).await;
    findings
        .into_iter()
        .for_each(|finding| listener.found(finding));
    let Some(snapshot) = snapshot else {
        return;
    };
    let relays = relay_urls(config, &snapshot.network).to_vec();
    listener.begins("Sending an envelope through each relay");
    for finding in reachability::relays(&relays, &snapshot.network).await {
        listener.found(finding);
    }
    for relay in &relays {
        let apart = clock_apart_from(relay).await;
        phone_book::clock_of(relay, apart)
            .into_iter()
            .for_each(|finding| listener.found(finding));
    }
    listener.begins("Asking each TURN server for a relayed address");
    let login = reachability::login(config, &lines, client.as_ref(), &snapshot.network).await;
    let login = match login {
        Ok(login) => login,
        Err(finding) => return listener.found(finding),
    };
    let turn = settings_with(config, login, &snapshot);
    for finding in reachability::turn(&turn, &snapshot.network).await {
        listener.found(finding);
    }
    // Its connections are closed before there is a call.
    drop(client);
    if let (true, Some(line)) = (patient.with_call, lines.first()) {
        listener.begins("Calling itself, for about 15 seconds");
        let outside = Outside {
            relays,
            turn,
            work_bits: config.work_bits.unwrap_or(snapshot.network.work_bits),
            bucket_bits: snapshot.network.bucket_bits,
        };
        for finding in proof::prove(outside, &line.book_url).await {
            listener.found(finding);
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

/// Whether an engine has the state folder.
fn is_running(config: &Config) -> bool {
    matches!(
        Keystore::open(&config.state, None),
        Err(KeystoreError::InUse { .. })
    )
}

fn lines(patient: &Patient<'_>, listener: &mut impl Listener) -> Option<Vec<LineFile>> {
    match Keystore::look(&patient.config.state, patient.passphrase.clone()) {
        Ok(lines) => Some(lines),
        Err(fault) => {
            let remedy = fault.remedy();
            listener.found(Finding::fail("lines", fault.to_string(), remedy));
            None
        }
    }
}
