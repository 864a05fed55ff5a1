//! `ringfence run`: opens everything, says what is ready, passes news on, and closes everything within 3 s.

use std::time::Duration;

use ringfence_phonebook::BookKey;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Failure, open_store, say, stop};
use crate::assemble::{AssembleFault, assemble};
use crate::config::{Config, TurnLogin};
use crate::gateway::Gateway;
use crate::io::book::{BookClient, BookCopy, keep_fresh};
use crate::io::lobby::Lobby;
use crate::io::probe::probe;
use crate::io::purse::Purse;
use crate::io::relay::RelayState;
use crate::keystore::LineFile;
use crate::news::{pass_on, renew};
use crate::renew::Renewals;

/// Relays may take this long to connect before it is worth a warning.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);

/// Runs until Ctrl-C.
pub(super) async fn serve(mut config: Config) -> Result<(), Failure> {
    let mut store = open_store(&config, false)?;
    let lines = store.lines()?;
    let (client, mut copy) = open_book(&config, &lines)?;
    let snapshot = match copy.snapshot() {
        Some(snapshot) => snapshot,
        None => copy.refresh(&client).await?,
    };
    let key = snapshot.network.book_key;
    let mut renewals = Renewals::new(store, client.clone(), key, lines);
    let purse = Purse::default();
    let purse = matches!(config.turn.login, TurnLogin::None).then_some(&purse);
    // A fault was told; the old bindings may still be good.
    drop(renew(&mut renewals, &snapshot.network, purse).await);
    if let Some(purse) = purse.filter(|purse| !purse.is_empty()) {
        config.turn.login = TurnLogin::Book(purse.clone());
    }
    let mut parts = assemble(&config, renewals.lines(), &snapshot).await?;
    let mut diary = renewals.diary();
    parts.contacts = diary.contacts()?;
    parts.diary = Some(diary);
    check_turn(&parts.lobby).await?;
    let relays = parts.relays.0.state();
    let gateway = Gateway::start(parts).await?;
    // Phones are served all the same when nobody can be told.
    drop(say(&ready(&gateway, renewals.lines().len())));
    let (keeping, fresh) = keep_fresh(client, copy, config.phonebook.refresh);
    let watching = tokio::spawn(watch_relays(relays));
    tokio::select! {
        () = stop() => {}
        () = pass_on(&gateway, fresh, &mut renewals, purse) => {}
    }
    keeping.abort();
    watching.abort();
    // A second Ctrl-C does not wait for the other sides.
    tokio::select! {
        () = gateway.stop() => {}
        () = stop() => {}
    }
    Ok(())
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
        "{lines} ready; phones register at udp {}, tcp {}. Ctrl-C hangs up and ends.",
        shown(gateway.udp()),
        shown(gateway.tcp())
    )
}

/// Says when rings can get through and when they cannot.
async fn watch_relays(mut relays: watch::Receiver<RelayState>) {
    let mut told = None;
    loop {
        let state = *relays.borrow_and_update();
        let up = state.listening > 0;
        if told != Some(up) {
            if up {
                tracing::info!(
                    listening = state.listening,
                    configured = state.configured,
                    "listening for rings"
                );
                told = Some(true);
            } else if !still_down(&mut relays).await {
                continue;
            } else {
                tracing::warn!(
                    "no Nostr relay can be reached: no call can be placed or received. To do: check the network and the setting `relays`"
                );
                told = Some(false);
            }
        }
        if relays.changed().await.is_err() {
            return;
        }
    }
}

/// Whether no relay came back within the patience.
async fn still_down(relays: &mut watch::Receiver<RelayState>) -> bool {
    tokio::select! {
        () = sleep(RELAY_PATIENCE) => true,
        back = relays.wait_for(|state| state.listening > 0) => back.is_err(),
    }
}
