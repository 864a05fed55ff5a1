//! `ringfence run`: starts the engine and its pages, reloads the settings at SIGHUP, and stops everything within 3 s.

use std::io::IsTerminal;

use ringfence_daemon::log::Dial;
use ringfence_daemon::notify;
use ringfence_daemon::page::Page;
use ringfence_media::Srtp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CommandError, PathArgs, say, stop};
use crate::config::Config;
use crate::node::{Node, take_logins_of};
use crate::page::{self, RegistrarInfo, StatusPage};
use crate::run::gateway::Gateway;
use crate::run::reload::Reloader;
use crate::state::keystore::Keystore;
use crate::stats::snapshot::GatewayStatus;

/// Runs until Ctrl-C.
pub(super) async fn serve(
    paths: &PathArgs,
    config: Config,
    store: Keystore,
    dial: &Dial,
) -> Result<(), CommandError> {
    // Installed first: without a handler, SIGHUP would end the program while it starts.
    let hang_ups =
        signal(SignalKind::hangup()).map_err(|error| CommandError::System(error.kind()))?;
    // One future from here on: a signal that comes while the node is opened or the pages are is not lost.
    let stopped = stop();
    tokio::pin!(stopped);
    let node = tokio::select! {
        node = Node::open(config, store) => node?,
        () = &mut stopped => return Ok(()),
    };
    let gateway = node.gateway();
    let monitor_page = open_monitor_page(node.config(), gateway).await?;
    warn_exposed(node.config());
    let status_page = open_status_page(&node).await?;
    // The engine serves phones even if these lines cannot be printed.
    drop(say(&ready(gateway, node.line_files().len())));
    if let Some(status_page) = &status_page {
        drop(say(&status_page_line(
            status_page,
            std::io::stdout().is_terminal(),
        )));
    }
    if let Some(page) = &monitor_page {
        drop(say(&format!("for monitors: http://{}", page.address())));
    }
    notify::ready("serving");
    tokio::select! {
        () = &mut stopped => {}
        () = reload_at_hangup(paths, dial, &node, hang_ups) => {}
        () = notify::stay_in_touch(async || gateway.status().await.map(|status| in_a_line(&status))) => {}
    }
    notify::stopping();
    // A second Ctrl-C does not wait until the other ends are told.
    tokio::select! {
        () = node.stop() => {}
        () = stop() => {}
    }
    Ok(())
}

async fn open_monitor_page(
    config: &Config,
    gateway: &Gateway,
) -> Result<Option<Page>, CommandError> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    Ok(Some(
        page::open_monitor_page(address, gateway.handle()).await?,
    ))
}

/// The page's address, with its key for a person at a terminal. Others may read what is written elsewhere: a journal, the log of a
/// container.
fn status_page_line(page: &StatusPage, is_terminal: bool) -> String {
    if is_terminal {
        return format!("status page: {}", page.url().expose());
    }
    format!(
        "status page: http://{}; ringfence status --page prints its address with the key",
        page.address()
    )
}

/// The user's page, and what phones on the network fetch.
async fn open_status_page(node: &Node) -> Result<Option<StatusPage>, CommandError> {
    let Some(address) = node.config().page else {
        return Ok(None);
    };
    let gateway = node.gateway();
    let registrar = RegistrarInfo::of(node.config(), node.line_files(), gateway);
    Ok(Some(
        StatusPage::open(address, registrar, gateway.handle()).await?,
    ))
}

/// Reads the settings again at every SIGHUP. Never returns.
async fn reload_at_hangup(paths: &PathArgs, dial: &Dial, node: &Node, mut hang_ups: Signal) {
    let mut config = node.config().clone();
    while hang_ups.recv().await.is_some() {
        notify::reloading();
        let running = Reloader {
            gateway: node.gateway(),
            dial,
            buckets: node.buckets(),
            network: &node.network(),
        };
        let taken = match paths.config() {
            Ok(mut new) => {
                // The settings know no passphrase.
                if *new.state == *config.state {
                    new.state = config.state.clone();
                }
                take_logins_of(node.logins(), &mut new);
                new.turn.memory.clone_from(&node.config().turn.memory);
                running.apply(&config, new).await
            }
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(new) => {
                config = new;
                node.note_settings(&config);
                tracing::info!("the settings were read again");
            }
            Err(error) => tracing::error!(
                "the settings stay as they were: {}. To do: {}",
                error.unnamed(),
                error.remedy()
            ),
        }
        notify::ready("serving");
    }
    std::future::pending().await
}

/// The engine's state in one line, for the service manager; at its end what is worst, if it is grave.
fn in_a_line(status: &GatewayStatus) -> String {
    let worst = status.conditions.first().map(|active| &active.condition);
    let worst = worst.filter(|condition| condition.is_grave());
    let worst = worst.map_or_else(String::new, |condition| {
        format!(". {}", condition.unnamed())
    });
    let phones: usize = status.phones.iter().sum();
    let talking = status.calls.talking;
    let relays = &status.relays;
    format!(
        "{phones} registered phones, {talking} calls, {} of {} relays{worst}",
        relays.listening, relays.configured
    )
}

/// Warns of every address at which other machines can register.
fn warn_exposed(config: &Config) {
    let sip = &config.sip;
    let media = match sip.srtp {
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
            media_are_encrypted = media,
            "phones on this network can register, with a password; only the TLS port encrypts SIP"
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
