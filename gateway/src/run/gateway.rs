//! A running gateway as its owner sees it: what it is made of, what it tells, how it stops.
//!
//! The work is done in `run`, in a task of its own.

use std::net::SocketAddr;

use ringfence_book::{Binding, Number};
use ringfence_engine::BindingFault;
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::directory::Directory;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::GatewayCommand;
use super::event::Event;
use super::event_loop::EventLoop;
use super::handle::GatewayHandle;
use super::parts::{GatewayParts, SettingsChange};
use crate::net::phone::{ListenError, PhoneSockets};
use crate::stats::snapshot::GatewayStatus;

/// Happenings that a slow watcher may be behind; then it misses some.
const WATCH: usize = 1_024;

/// Requests of the owner that wait for the loop.
const REQUESTS: usize = 16;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    watch: broadcast::Sender<Event>,
    requests: mpsc::Sender<GatewayCommand>,
    running: JoinHandle<()>,
}

impl Gateway {
    /// Opens the phones' sockets and starts the loop.
    ///
    /// # Errors
    /// [`ListenError`] when an address cannot be listened at.
    pub async fn start(parts: GatewayParts) -> Result<Self, ListenError> {
        let phones = PhoneSockets::listen(&parts.listen).await?;
        let (udp, tcp, tls) = (phones.udp_addrs(), phones.tcp_addrs(), phones.tls_addrs());
        let (watch, _) = broadcast::channel(WATCH);
        let (requests, asked) = mpsc::channel(REQUESTS);
        let looped = EventLoop::new(parts, phones, watch.clone());
        let running = tokio::spawn(looped.run(asked));
        Ok(Self {
            udp,
            tcp,
            tls,
            watch,
            requests,
            running,
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

    /// Everything that happens from here on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.watch.subscribe()
    }

    /// Hands a newer copy of the phone book to the engine.
    pub async fn renew_book(&self, directory: Directory) {
        // A gateway that has stopped needs no book.
        drop(self.requests.send(GatewayCommand::Book(directory)).await);
    }

    /// Hands the phone book's renewed word for a line to the engine, which checks it again.
    ///
    /// # Errors
    /// [`BindingFault`]; the line keeps the binding that it has.
    pub async fn renew_binding(&self, binding: Binding) -> Result<(), BindingFault> {
        let (tell, told) = oneshot::channel();
        // A gateway that has stopped needs no binding.
        drop(
            self.requests
                .send(GatewayCommand::Binding(Box::new(binding), tell))
                .await,
        );
        told.await.unwrap_or(Ok(()))
    }

    /// Hands other settings to the loop. Calls that are up go on.
    pub async fn change(&self, change: SettingsChange) {
        // A gateway that has stopped needs none.
        drop(
            self.requests
                .send(GatewayCommand::Change(Box::new(change)))
                .await,
        );
    }

    /// Hands a line's keys to the engine, after its ring key was replaced.
    ///
    /// # Errors
    /// [`BindingFault`]; the line keeps the keys that it has.
    pub async fn renew_identity(
        &self,
        number: Number,
        identity: Identity,
    ) -> Result<(), BindingFault> {
        let (tell, told) = oneshot::channel();
        // A gateway that has stopped needs no keys.
        drop(
            self.requests
                .send(GatewayCommand::Identity(number, Box::new(identity), tell))
                .await,
        );
        told.await.unwrap_or(Ok(()))
    }

    /// How it is; `None` once it has stopped.
    pub async fn status(&self) -> Option<GatewayStatus> {
        self.enquiry().status().await
    }

    /// A way to ask it for those who do not own it.
    #[must_use]
    pub fn enquiry(&self) -> GatewayHandle {
        GatewayHandle(self.requests.downgrade())
    }

    /// Hangs up every call, tells the other sides, and stops: within 3 s.
    pub async fn stop(self) {
        // Already stopped is as good.
        drop(self.requests.send(GatewayCommand::Stop).await);
        drop(self.running.await);
    }
}
