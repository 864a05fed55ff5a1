//! `ringfence run`: opens everything, says what is ready, passes news on, and closes everything within 3 s.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_media::Srtp;
use ringfence_phonebook::duty::log::Dial;
use ringfence_phonebook::duty::notice;
use ringfence_phonebook::duty::page::Page;
use ringfence_phonebook::{BookKey, NetworkSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

use super::{Failure, Place, open_store, say, stop};
use crate::assemble::{AssembleFault, assemble, buckets};
use crate::config::{Config, TurnLogin};
use crate::gateway::{Enquiry, Gateway, Status};
use crate::io::book::{BookClient, BookCopy, keep_fresh};
use crate::io::lobby::Lobby;
use crate::io::probe::probe;
use crate::io::purse::Purse;
use crate::keystore::LineFile;
use crate::news::{pass_on, renew};
use crate::page::house::House;
use crate::page::{self, Front};
use crate::reload::Running;
use crate::renew::Renewals;

/// Relays may take this long to connect before it is worth a warning.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);

/// How often the connections to the relays are looked at, so that a change is told in the log.
const GLANCE: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C.
pub(super) async fn serve(place: &Place, mut config: Config, dial: &Dial) -> Result<(), Failure> {
    // From here on: without it, the signal would end the program while it starts.
    let hang_ups = signal(SignalKind::hangup()).map_err(|error| Failure::System(error.kind()))?;
    let mut store = open_store(&config, false)?;
    let lines = store.lines()?;
    let (client, mut copy) = open_book(&config, &lines)?;
    let snapshot = match copy.snapshot() {
        Some(snapshot) => snapshot,
        None => copy.refresh(&client).await?,
    };
    let (key, network) = (snapshot.network.book_key, snapshot.network.clone());
    let mut renewals = Renewals::new(store, client.clone(), key, lines);
    let purse = Purse::default();
    let purse = matches!(config.turn.login, TurnLogin::None).then_some(&purse);
    // A fault was told; the old bindings may still be good.
    drop(renew(&mut renewals, &network, purse).await);
    take_logins_of(purse.filter(|purse| !purse.is_empty()), &mut config);
    let mut parts = assemble(&config, renewals.lines(), &snapshot).await?;
    let mut diary = renewals.diary();
    parts.contacts = diary.contacts()?;
    parts.ledger = diary.ledger()?;
    parts.diary = Some(diary);
    let buckets = buckets(renewals.lines(), &network)?;
    check_turn(&parts.lobby).await?;
    let gateway = Gateway::start(parts).await?;
    let page = open_page(&config, &gateway).await?;
    tell_exposed(&config);
    let front = open_front(&config, renewals.lines(), &gateway).await?;
    // Phones are served all the same when nobody can be told.
    drop(say(&ready(&gateway, renewals.lines().len())));
    if let Some(front) = &front {
        drop(say(&format!("status page: {}", front.url().expose())));
    }
    if let Some(page) = &page {
        drop(say(&format!("for monitors: http://{}", page.address())));
    }
    let (keeping, fresh) = keep_fresh(client, copy, config.phonebook.refresh);
    let watching = tokio::spawn(watch_relays(gateway.enquiry()));
    let reading = Reading {
        place,
        purse,
        dial,
        gateway: &gateway,
        buckets,
        config,
    };
    let latest = fresh.clone();
    let network = || {
        let snapshot = latest.borrow().snapshot.clone();
        snapshot.map_or_else(|| network.clone(), |snapshot| snapshot.network)
    };
    notice::ready("serving");
    tokio::select! {
        () = stop() => {}
        () = pass_on(&gateway, fresh, &mut renewals, purse) => {}
        () = read_again(reading, hang_ups, network) => {}
        () = notice::stay_in_touch(async || gateway.status().await.map(|status| in_a_line(&status))) => {}
    }
    notice::stopping();
    keeping.abort();
    watching.abort();
    // A second Ctrl-C does not wait for the other sides.
    tokio::select! {
        () = gateway.stop() => {}
        () = stop() => {}
    }
    Ok(())
}

async fn open_page(config: &Config, gateway: &Gateway) -> Result<Option<Page>, Failure> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    Ok(Some(page::open(address, gateway.enquiry()).await?))
}

async fn open_front(
    config: &Config,
    lines: &[LineFile],
    gateway: &Gateway,
) -> Result<Option<Front>, Failure> {
    let Some(address) = config.page else {
        return Ok(None);
    };
    let house = House::of(config, lines, gateway);
    Ok(Some(Front::open(address, house, gateway.enquiry()).await?))
}

/// What is needed to read the settings again.
struct Reading<'a> {
    place: &'a Place,
    purse: Option<&'a Purse>,
    dial: &'a Dial,
    gateway: &'a Gateway,
    buckets: BTreeSet<u16>,
    config: Config,
}

/// Reads the settings again at every SIGHUP. Never returns.
async fn read_again(
    mut reading: Reading<'_>,
    mut hang_ups: Signal,
    network: impl Fn() -> NetworkSettings,
) {
    while hang_ups.recv().await.is_some() {
        notice::reloading();
        let running = Running {
            gateway: reading.gateway,
            dial: reading.dial,
            buckets: &reading.buckets,
            network: &network(),
        };
        let taken = match reading.place.config() {
            Ok(mut new) => {
                take_logins_of(reading.purse, &mut new);
                running.take_over(&reading.config, new).await
            }
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(config) => {
                reading.config = config;
                tracing::info!("the settings were read again");
            }
            Err(fault) => tracing::error!(
                "the settings stay as they were: {}. To do: {}",
                fault.unnamed(),
                fault.remedy()
            ),
        }
        notice::ready("serving");
    }
    std::future::pending().await
}

/// How an engine is, for the service manager.
fn in_a_line(status: &Status) -> String {
    let phones: usize = status.phones.iter().sum();
    let talking = status.calls.talking;
    let relays = status.relays;
    format!(
        "{phones} registered phones, {talking} calls, {} of {} relays",
        relays.listening, relays.configured
    )
}

/// Settings that name no login use those of the phone book.
fn take_logins_of(purse: Option<&Purse>, config: &mut Config) {
    if let Some(purse) = purse
        && matches!(config.turn.login, TurnLogin::None)
    {
        config.turn.login = TurnLogin::Book(purse.clone());
    }
}

fn open_book(config: &Config, lines: &[LineFile]) -> Result<(BookClient, BookCopy), Failure> {
    let first = lines.first().ok_or(AssembleFault::NoLine)?;
    let key =
        BookKey::from_bytes(&first.book_key).map_err(|_| AssembleFault::BadLine(first.number))?;
    let client = BookClient::new(&first.book_url, config.phonebook.ca_file.as_deref())?;
    Ok((client, BookCopy::open(&config.state, key)?))
}

/// Wrong credentials end the start; a server that is away may come back.
async fn check_turn(lobby: &Lobby) -> Result<(), Failure> {
    match probe(lobby).await {
        Ok(took) => tracing::info!(?took, "the TURN server relays"),
        Err(fault) if fault.is_final() => return Err(fault.into()),
        Err(fault) => tracing::warn!(
            "calls will have no sound: {fault}. To do: {}",
            fault.remedy()
        ),
    }
    Ok(())
}

/// What is open to others than this machine, so that nobody has to guess.
fn tell_exposed(config: &Config) {
    let sip = &config.sip;
    let sound = match sip.srtp {
        Srtp::Off => "never",
        Srtp::Optional => "only if the phone wants it",
        Srtp::Required => "always",
    };
    for address in sip
        .addresses
        .iter()
        .filter(|address| !address.is_loopback())
    {
        tracing::warn!(
            %address,
            udp = sip.udp_port,
            tcp = sip.tcp_port,
            tls = sip.tls_port,
            sound_is_encrypted = sound,
            "phones on this network can register, with a password; SIP is encrypted at the TLS port alone"
        );
    }
}

fn ready(gateway: &Gateway, lines: usize) -> String {
    let shown = |addrs: &[std::net::SocketAddr]| {
        let texts: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let lines = if lines == 1 {
        "1 line".to_owned()
    } else {
        format!("{lines} lines")
    };
    format!(
        "{lines} ready; phones register at udp {}, tcp {}, tls {}. Ctrl-C hangs up and ends.",
        shown(gateway.udp()),
        shown(gateway.tcp()),
        shown(gateway.tls())
    )
}

/// Says when rings can get through and when they cannot. Asks the gateway, whose relays may be replaced.
async fn watch_relays(enquiry: Enquiry) {
    let (mut told, mut down) = (None, Duration::ZERO);
    let mut ticks = interval(GLANCE);
    while let Some(status) = enquiry.status().await {
        let relays = status.relays;
        let up = relays.listening > 0;
        down = if up { Duration::ZERO } else { down + GLANCE };
        if up && told != Some(true) {
            tracing::info!(
                listening = relays.listening,
                configured = relays.configured,
                "listening for rings"
            );
            told = Some(true);
        } else if down >= RELAY_PATIENCE && told != Some(false) {
            tracing::warn!(
                "no Nostr relay can be reached: no call can be placed or received. To do: check the network and the setting `relays`"
            );
            told = Some(false);
        }
        ticks.tick().await;
    }
}
