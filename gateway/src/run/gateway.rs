//! A running gateway as its owner sees it. The work is done by the event loop, in a task of its own.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::LineUpdateError;
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::directory::Directory;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::command::{GatewayCommand, Readiness};
use super::conditions::BookOutcome;
use super::event::Event;
use super::event_loop::EventLoop;
use super::handle::GatewayHandle;
use super::parts::{GatewayParts, SettingsChange};
use crate::net::outbound::Outbound;
use crate::net::phone::{ListenError, PhoneSockets};
use crate::stats::snapshot::GatewayStatus;

/// Events that a slow receiver may be behind; then it misses the oldest.
const EVENTS: usize = 1_024;

/// Commands that wait for the event loop.
const COMMANDS: usize = 16;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    events: broadcast::Sender<Event>,
    commands: mpsc::Sender<GatewayCommand>,
    outbound: Outbound,
    event_loop: JoinHandle<()>,
}

/// Why calls cannot be made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// No relay has confirmed the subscription.
    #[error("no Nostr relay has confirmed the subscription")]
    Relays,
    /// No TURN server has given a relayed address.
    #[error("no TURN server has given a relayed address")]
    Allocation,
    /// The gateway has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl ReadyError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Relays => "check the network and the setting `relays`",
            Self::Allocation => {
                "check the network and the [turn] settings, or run: ringfence doctor"
            }
            Self::Stopped => "start it again",
        }
    }
}

impl Gateway {
    /// Opens the phones' sockets and starts the event loop.
    ///
    /// # Errors
    /// [`ListenError`] when a socket cannot be opened.
    pub async fn start(parts: GatewayParts) -> Result<Self, ListenError> {
        let phones = PhoneSockets::listen(&parts.listen).await?;
        let (udp, tcp, tls) = (phones.udp_addrs(), phones.tcp_addrs(), phones.tls_addrs());
        let (events, _) = broadcast::channel(EVENTS);
        let (commands, received) = mpsc::channel(COMMANDS);
        let outbound = parts.outbound.clone();
        let event_loop = EventLoop::new(parts, phones, events.clone());
        Ok(Self {
            udp,
            tcp,
            tls,
            events,
            commands,
            outbound,
            event_loop: tokio::spawn(event_loop.run(received)),
        })
    }

    /// Where phones register over UDP.
    #[must_use]
    pub fn udp(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where phones register over TCP.
    #[must_use]
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Where phones register over TLS.
    #[must_use]
    pub fn tls(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// The way to relays, phone book and TURN servers, as it was made at the start.
    #[must_use]
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Everything that happens from here on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The status in figures and conditions; `None` once the gateway has stopped.
    pub async fn status(&self) -> Option<GatewayStatus> {
        self.handle().status().await
    }

    /// A handle for pages and programs that do not own the gateway.
    #[must_use]
    pub fn handle(&self) -> GatewayHandle {
        GatewayHandle(self.commands.downgrade())
    }

    /// Waits until calls can be made and received: a relay has confirmed the subscription, and an allocation is ready. Waits for
    /// `limit` at most.
    ///
    /// # Errors
    /// [`ReadyError`], which names what is missing.
    pub async fn ready(&self, limit: Duration) -> Result<(), ReadyError> {
        let readiness = self.handle().readiness().await;
        let Readiness {
            mut relays,
            mut allocation,
        } = readiness.ok_or(ReadyError::Stopped)?;
        let start = tokio::time::Instant::now();
        let listening = relays.wait_for(|state| state.listening > 0);
        match timeout(limit, listening).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(ReadyError::Stopped),
            Err(_) => return Err(ReadyError::Relays),
        }
        let ready = allocation.wait_for(|pool| pool.is_ready);
        match timeout_at(start + limit, ready).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadyError::Stopped),
            Err(_) => Err(ReadyError::Allocation),
        }
    }

    /// Gives a newer copy of the phone book to the engine.
    pub(crate) async fn renew_book(&self, directory: Directory) {
        self.send(GatewayCommand::Book(directory)).await;
    }

    /// Tells the engine how the last attempt to download the phone book ended.
    pub(crate) async fn note_book(&self, outcome: BookOutcome) {
        self.send(GatewayCommand::BookOutcome(Box::new(outcome)))
            .await;
    }

    /// Gives the keys of a line to the engine, after its ring key was replaced.
    ///
    /// # Errors
    /// [`LineUpdateError`]; the line keeps its old keys.
    pub(crate) async fn renew_identity(
        &self,
        number: Number,
        identity: Identity,
    ) -> Result<(), LineUpdateError> {
        let (reply, answer) = oneshot::channel();
        self.send(GatewayCommand::Identity(number, Box::new(identity), reply))
            .await;
        answer.await.unwrap_or(Ok(()))
    }

    /// Applies changed settings. Calls that are up go on.
    pub(crate) async fn change(&self, change: SettingsChange) {
        self.send(GatewayCommand::Change(Box::new(change))).await;
    }

    /// Hangs up every call, tells the other sides, and stops: within 3 s.
    pub async fn stop(self) {
        self.send(GatewayCommand::Stop).await;
        self.event_loop.await.ok();
    }

    /// A gateway that has stopped needs no command.
    async fn send(&self, command: GatewayCommand) {
        self.commands.send(command).await.ok();
    }
}
