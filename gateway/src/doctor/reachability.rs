//! Reachability checks: each Nostr relay must accept an envelope and deliver it back, each TURN server must grant an allocation.
//!
//! The envelope is an ordinary ring, from a fresh key to the same key, in that key's bucket, with the proof of work that the network
//! requires: a relay cannot tell it from a call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ringfence_book::membership::digest;
use ringfence_book::{NetworkSettings, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::bucket::bucket;
use ringfence_engine::sealed::envelope::EventContext;
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::proof_of_work::ProofOfWork;
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::directory::CalleeKeys;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::finding::{Finding, Severity};
use crate::clock;
use crate::config::{Config, TurnLogin, TurnSettings};
use crate::lines::turn_logins::keep;
use crate::net::book::{BookClient, BookError};
use crate::net::outbound::Outbound;
use crate::net::relay::{OutgoingEvent, RelayFault, RelayTrouble, Relays};
use crate::run::assemble::turn_servers;
use crate::run::pow_worker::ProofWorkers;
use crate::state::keystore::LineFile;
use crate::turn::credentials::CredentialPool;
use crate::turn::probe::probe;
use crate::turn::servers::TurnServers;
use crate::turn::{TurnEndpoint, Wire};

/// Time to connect, for TLS, and until the relay confirms the subscription (EOSE).
const LISTENING: Duration = Duration::from_secs(10);
/// Time for an envelope to the relay and back.
const ROUND: Duration = Duration::from_secs(6);
/// Time for a relay's words about an envelope that it did not take.
const WORDS: Duration = Duration::from_secs(1);
/// Time for the proof of work of an envelope.
const WORK: Duration = Duration::from_secs(60);

/// Marks a transport that the settings do not use.
const NOT_IN_USE: &str = " (not in use)";

/// Tries every relay, all at the same time.
pub(super) async fn relays(
    urls: &[String],
    network: &NetworkSettings,
    outbound: &Outbound,
) -> Vec<Finding> {
    if urls.is_empty() {
        let remedy = "set `relays`, or ask the phone book's operator for some";
        return vec![Finding::fail("relay", "no Nostr relay is named", remedy)];
    }
    let mut tries = JoinSet::new();
    for url in urls {
        let (url, outbound) = (url.clone(), outbound.clone());
        let rules = (network.bucket_bits, network.work_bits);
        tries.spawn(async move {
            let area = format!("relay {url}");
            match relay(&url, rules, &outbound).await {
                Ok((says, took)) => Finding::ok(area, says).after(took),
                Err(says) => Finding::fail(
                    area,
                    says,
                    "check the address and the network, or set `relays` to others",
                ),
            }
        });
    }
    in_order(tries).await
}

async fn in_order(mut tries: JoinSet<Finding>) -> Vec<Finding> {
    let mut found = Vec::new();
    while let Some(done) = tries.join_next().await {
        found.extend(done.ok());
    }
    one_is_enough(&mut found);
    found.sort_by_key(|row| (row.area.ends_with(NOT_IN_USE), row.area.clone()));
    found
}

/// Calls need one server that works: if there is one, failures of others become warnings.
fn one_is_enough(found: &mut [Finding]) {
    let works = |row: &Finding| row.verdict == Severity::Ok && !row.area.ends_with(NOT_IN_USE);
    if found.iter().any(works) {
        for row in found.iter_mut().filter(|row| row.verdict == Severity::Fail) {
            row.verdict = Severity::Warn;
        }
    }
}

/// Sends an envelope through a relay. Returns what to report, and how long the envelope took.
async fn relay(
    url: &str,
    (bits, work): (u8, u8),
    outbound: &Outbound,
) -> Result<(String, Duration), String> {
    let identity = Identity::generate(&mut rand::rng());
    let own_bucket = bucket(&identity.key(), bits);
    let proof = proof_of_work(work)
        .await
        .ok_or("the proof of work took too long")?;
    let start = clock::now();
    let urls = [url.to_owned()];
    let connected = Relays::connect(&urls, bits, &BTreeSet::from([own_bucket]), outbound);
    let (relays, mut envelopes) = connected.map_err(|error| error.to_string())?;
    let mut state = relays.state();
    let listening = state.wait_for(|state| state.listening > 0);
    let listening = timeout(LISTENING, async { listening.await.map(drop).ok() }).await;
    if !matches!(listening, Ok(Some(_))) {
        let state = relays.state().borrow().clone();
        let words = said(state.troubles.first());
        return Err(if state.connected > 0 {
            format!(
                "it accepts the connection, but does not confirm the subscription (EOSE){words}"
            )
        } else {
            format!("it cannot be reached within {} s", LISTENING.as_secs())
        });
    }
    let ready = start.elapsed();
    let (event, bytes) =
        ring_to_self(&identity, own_bucket, proof).ok_or("no envelope could be sealed")?;
    let sent = clock::now();
    if let Err(error) = relays.publish(event).await {
        let mut state = relays.state();
        // The relay's words may come a moment after the outcome.
        drop(timeout(WORDS, state.wait_for(|state| !state.troubles.is_empty())).await);
        let words = said(state.borrow().troubles.first());
        return Err(format!("{error}{words}"));
    }
    let back = async {
        while let Some(incoming) = envelopes.recv().await {
            if incoming.bytes == bytes {
                return Some(sent.elapsed());
            }
        }
        None
    };
    let took = timeout(ROUND, back).await.ok().flatten();
    let took = took.ok_or("it accepted an envelope, but did not deliver it")?;
    let says = format!(
        "subscribed after {} ms, an envelope there and back in {} ms",
        ready.as_millis(),
        took.as_millis()
    );
    relays.close().await;
    Ok((says, took))
}

/// What a relay said of itself, to be added to a finding.
fn said(trouble: Option<&RelayTrouble>) -> String {
    match trouble {
        Some(RelayTrouble {
            fault: RelayFault::WantsLogin,
            ..
        }) => "; it demands a login (NIP-42), which Ringfence never makes".to_owned(),
        Some(RelayTrouble {
            words: Some(words), ..
        }) => format!("; it says: {}", words.text()),
        _ => String::new(),
    }
}

async fn proof_of_work(bits: u8) -> Option<ProofOfWork> {
    let (deliver, mut delivered) = mpsc::channel(1);
    ProofWorkers::new(deliver).order(1, bits);
    timeout(WORK, delivered.recv()).await.ok().flatten()
}

/// A ring from a key to itself, and its sealed bytes.
fn ring_to_self(
    identity: &Identity,
    bucket: u16,
    proof: ProofOfWork,
) -> Option<(OutgoingEvent, Vec<u8>)> {
    let number = Number::new(0);
    let outside = EventContext {
        bucket,
        event_key: proof.event_key,
    };
    let caller = SealingKeys {
        identity,
        number,
        book: BookView::of(None),
    };
    let callee = CalleeKeys {
        number,
        identity: identity.key(),
        ring_key: *identity.listing().ring_key(),
    };
    let now = UnixTime::from_seconds(clock::unix_seconds());
    let sealed = OutgoingRing::seal(
        caller,
        &callee,
        (&[], Duration::ZERO),
        &outside,
        now,
        &mut rand::rng(),
    );
    let bytes = sealed.ok()?.1.as_bytes().to_vec();
    let event = OutgoingEvent {
        work_nonce: proof.nonce,
        key: proof.into(),
        bucket,
        bytes: bytes.clone(),
        is_note: false,
    };
    Some((event, bytes))
}

/// The TURN login of an engine with these settings: that of the settings, or logins from the phone book.
pub(super) async fn login(
    config: &Config,
    lines: &[LineFile],
    client: Option<&BookClient>,
    network: &NetworkSettings,
) -> Result<TurnLogin, Finding> {
    if !matches!(config.turn.login, TurnLogin::None) {
        return Ok(config.turn.login.clone());
    }
    let area = "TURN logins";
    let none = |says: String| {
        let remedy = "set turn.secret (coturn: static-auth-secret), or turn.user and turn.password";
        Finding::fail(area, says, remedy)
    };
    let tokens = lines.iter().filter_map(|line| line.members.as_ref());
    let mut good = tokens.filter(|token| digest(token.expose()) == network.members.0);
    let (Some(token), Some(client)) = (good.next(), client) else {
        return Err(Finding::warn(
            area,
            "TURN servers were not tried: this engine has no token of this month for logins from the phone book",
            "start the engine: it fetches one",
        ));
    };
    match client.turn_credentials(token).await {
        Ok(given) => {
            let pool = CredentialPool::default();
            match keep(&pool, given, clock::unix_seconds()) {
                Ok(()) => Ok(TurnLogin::Book(pool)),
                Err(error) => Err(Finding::fail(area, error.to_string(), error.remedy())),
            }
        }
        Err(BookError::Status(404)) => Err(none(
            "the phone book gives no logins, and the settings have none".to_owned(),
        )),
        Err(error) => Err(Finding::fail(area, error.to_string(), error.remedy())),
    }
}

/// Tries every TURN server of the settings, and which other transports each of them offers.
pub(super) async fn turn(
    settings: &TurnSettings,
    network: &NetworkSettings,
    outbound: &Outbound,
) -> Vec<Finding> {
    let named = turn_servers(settings, network);
    if named.is_empty() {
        let remedy =
            "set turn.urls, for example urls = [\"turn:turn.example.org:3478?transport=udp\"]";
        return vec![Finding::fail("TURN", "no TURN server is named", remedy)];
    }
    let mut tries = JoinSet::new();
    for endpoint in &named {
        let (endpoint, settings) = (endpoint.clone(), settings.clone());
        let tls = Arc::clone(outbound.tls());
        tries.spawn(async move {
            let area = format!("TURN {endpoint}");
            match allocate(&endpoint, &settings, &tls).await {
                Ok(took) => {
                    let says = format!("grants an allocation after {} ms", took.as_millis());
                    Finding::ok(area, says).after(took)
                }
                Err((says, remedy)) => Finding::fail(area, says, remedy),
            }
        });
    }
    for endpoint in others(&named) {
        let (settings, tls) = (settings.clone(), Arc::clone(outbound.tls()));
        tries.spawn(async move {
            let area = format!("TURN {endpoint}{NOT_IN_USE}");
            match allocate(&endpoint, &settings, &tls).await {
                Ok(took) => {
                    let says = format!(
                        "works too, after {} ms; of use in networks that block the others",
                        took.as_millis()
                    );
                    Finding::ok(area, says).after(took)
                }
                Err(_) => Finding::ok(area, "is not offered"),
            }
        });
    }
    in_order(tries).await
}

/// The same servers over the transports that the settings do not name.
fn others(named: &[TurnEndpoint]) -> Vec<TurnEndpoint> {
    let is_new = |endpoint: &TurnEndpoint, found: &[TurnEndpoint]| {
        !named.contains(endpoint) && !found.contains(endpoint)
    };
    let mut found = Vec::new();
    for endpoint in named {
        for wire in [Wire::Udp, Wire::Tcp, Wire::Tls] {
            let port = match (endpoint.wire, wire) {
                (Wire::Tls, Wire::Tls) | (Wire::Udp | Wire::Tcp, Wire::Udp | Wire::Tcp) => {
                    endpoint.port
                }
                (_, Wire::Tls) => 5349,
                (Wire::Tls, _) => 3478,
            };
            let other = TurnEndpoint {
                host: endpoint.host.clone(),
                port,
                wire,
            };
            if is_new(&other, &found) {
                found.push(other);
            }
        }
    }
    found
}

async fn allocate(
    endpoint: &TurnEndpoint,
    settings: &TurnSettings,
    tls: &Arc<ClientConfig>,
) -> Result<Duration, (String, String)> {
    let target = endpoint.resolve(tls).await.map_err(|error| {
        let remedy = "check turn.urls and this machine's name server";
        (error.to_string(), remedy.to_owned())
    })?;
    let servers = TurnServers::new(vec![target], settings.login.clone(), settings.allow_private)
        .with_secrets(settings.secrets.clone());
    let tried = probe(&servers).await;
    tried.map_err(|error| (error.to_string(), error.remedy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_that_works_is_enough_if_it_is_in_use() {
        let fail = || Finding::fail("relay a", "away", "look");
        let verdicts = |other: Finding| {
            let mut found = [fail(), other];
            one_is_enough(&mut found);
            found[0].verdict
        };
        assert_eq!(verdicts(Finding::ok("relay b", "well")), Severity::Warn);
        assert_eq!(verdicts(fail()), Severity::Fail);
        let not_in_use = Finding::ok(format!("TURN b{NOT_IN_USE}"), "well");
        assert_eq!(verdicts(not_in_use), Severity::Fail);
    }

    #[test]
    fn a_server_is_tried_over_every_transport_once() {
        let read = |url: &str| url.parse::<TurnEndpoint>().unwrap();
        let named = [read("turn:a:3478"), read("turns:a:443")];
        let texts: Vec<String> = others(&named).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["turn:a:3478?transport=tcp", "turns:a:5349"]);
    }
}
