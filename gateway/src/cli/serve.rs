//! `ringfence run`: opens everything, says what is ready, passes news on, and closes everything within 3 s.

use std::time::Duration;

use ringfence_media::Srtp;
use ringfence_phonebook::duty::log::Dial;
use ringfence_phonebook::duty::notice;
use ringfence_phonebook::duty::page::Page;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

use super::{Failure, Place, open_store, say, stop};
use crate::config::Config;
use crate::node::{Node, take_logins_of};
use crate::provisioning::registrar::Board;
use crate::page::{self, Front, key};
use crate::run::gateway::Gateway;
use crate::run::handle::GatewayHandle;
use crate::run::reload::Reloader;
use crate::stats::snapshot::GatewayStatus;

/// Relays may take this long to connect before it is worth a warning.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);

/// How often the connections to the relays are looked at, so that a change is told in the log.
const GLANCE: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C.
pub(super) async fn serve(place: &Place, config: Config, dial: &Dial) -> Result<(), Failure> {
    // From here on: without it, the signal would end the program while it starts.
    let hang_ups = signal(SignalKind::hangup()).map_err(|error| Failure::System(error.kind()))?;
    let store = open_store(&config, false)?;
    let house = Node::open(config, store).await?;
    let gateway = house.gateway();
    let page = open_page(house.config(), gateway).await?;
    tell_exposed(house.config());
    let front = open_front(&house).await?;
    // Phones are served all the same when nobody can be told.
    drop(say(&ready(gateway, house.lines().len())));
    if let Some(front) = &front {
        drop(say(&status_page(front)));
    }
    if let Some(page) = &page {
        drop(say(&format!("for monitors: http://{}", page.address())));
    }
    let watching = tokio::spawn(watch_relays(gateway.enquiry()));
    notice::ready("serving");
    tokio::select! {
        () = stop() => {}
        () = read_again(place, dial, &house, hang_ups) => {}
        () = notice::stay_in_touch(async || gateway.status().await.map(|status| in_a_line(&status))) => {}
    }
    notice::stopping();
    watching.abort();
    // A second Ctrl-C does not wait for the other sides.
    tokio::select! {
        () = house.stop() => {}
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

/// Where the page is. A journal is read by others than the user, and gets no key.
fn status_page(front: &Front) -> String {
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        let file = key::file(front.state());
        return format!(
            "status page: http://{}; its address with the key is in {}",
            front.address(),
            file.display()
        );
    }
    format!("status page: {}", front.url().expose())
}

/// The user's page, and what phones on the network fetch.
async fn open_front(house: &Node) -> Result<Option<Front>, Failure> {
    let Some(address) = house.config().page else {
        return Ok(None);
    };
    let gateway = house.gateway();
    let board = Board::of(house.config(), house.lines(), gateway);
    Ok(Some(Front::open(address, board, gateway.enquiry()).await?))
}

/// Reads the settings again at every SIGHUP. Never returns.
async fn read_again(place: &Place, dial: &Dial, house: &Node, mut hang_ups: Signal) {
    let mut config = house.config().clone();
    while hang_ups.recv().await.is_some() {
        notice::reloading();
        let running = Reloader {
            gateway: house.gateway(),
            dial,
            buckets: house.buckets(),
            network: &house.network(),
        };
        let taken = match place.config() {
            Ok(mut new) => {
                take_logins_of(house.purse(), &mut new);
                running.take_over(&config, new).await
            }
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(new) => {
                config = new;
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
fn in_a_line(status: &GatewayStatus) -> String {
    let phones: usize = status.phones.iter().sum();
    let talking = status.calls.talking;
    let relays = status.relays;
    format!(
        "{phones} registered phones, {talking} calls, {} of {} relays",
        relays.listening, relays.configured
    )
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
async fn watch_relays(enquiry: GatewayHandle) {
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
