//! The door of a page with TLS: visitors greet beside each other, so that one who is slow at it keeps nobody waiting.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::serve::Listener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::connections::{Door, Visitor};

/// Visitors who have greeted and wait to be served. More wait at the door.
const WAITING: usize = 16;

/// The visitors who have greeted.
pub(crate) struct Secured {
    address: SocketAddr,
    greeted: mpsc::Receiver<(TlsStream<Visitor>, IpAddr)>,
    greeting: JoinHandle<()>,
}

impl Secured {
    /// Greets whoever comes to a door.
    pub(crate) fn new(mut door: Door, address: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let (into, greeted) = mpsc::channel(WAITING);
        let acceptor = TlsAcceptor::from(config);
        let greeting = tokio::spawn(async move {
            loop {
                let (visitor, peer) = Listener::accept(&mut door).await;
                let (into, greeting) = (into.clone(), acceptor.accept(visitor));
                // The visitor's own patience ends a greeting that does not come.
                tokio::spawn(async move {
                    if let Ok(stream) = greeting.await {
                        drop(into.send((stream, peer)).await);
                    }
                });
            }
        });
        Self {
            address,
            greeted,
            greeting,
        }
    }
}

impl Listener for Secured {
    type Io = TlsStream<Visitor>;
    type Addr = IpAddr;

    async fn accept(&mut self) -> (Self::Io, IpAddr) {
        match self.greeted.recv().await {
            Some(visitor) => visitor,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<IpAddr> {
        Ok(self.address.ip())
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.greeting.abort();
    }
}
