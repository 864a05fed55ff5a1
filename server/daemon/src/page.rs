//! A page that only this machine can open: HTTP on a loopback address, for monitors and the operator's browser.
//!
//! A browser on this machine can be made to fetch it for a stranger's web site whose name was changed to mean 127.0.0.1 (DNS
//! rebinding); a request whose `Host` is not this machine is refused. What the page shows is its owner's business.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, Uri, header::HOST};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::rustls::ServerConfig;

use crate::forwarded::Proxies;
use crate::http_server::{self, Tls};

/// The largest request. Nothing large is ever sent here.
const MAX_BODY: usize = 16 * 1024;

/// The whole of a request's work.
const MAX_WORK: Duration = Duration::from_secs(10);

/// Why a page cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PageError {
    /// An address that other machines can reach.
    #[error("the page would be open to other machines at {0}")]
    NotLoopback(SocketAddr),
    /// The address is taken or not ours.
    #[error("cannot open a page at {address}: {cause}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// An open page. Dropping it closes it; requests under way are answered.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    /// The server ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Page {
    /// Opens a page; port 0 takes a free one.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn open(address: SocketAddr, routes: Router) -> Result<Self, PageError> {
        Ok(Self::bind(address).await?.serve(routes))
    }

    /// Binds the address of a page whose routes must know it.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn bind(address: SocketAddr) -> Result<PageListener, PageError> {
        if !address.ip().is_loopback() {
            return Err(PageError::NotLoopback(address));
        }
        PageListener::bind(address, true).await
    }

    /// The address at which it is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A bound address at which a page can be served.
#[derive(Debug)]
pub struct PageListener {
    /// Whether only this machine is served.
    is_local: bool,
    address: SocketAddr,
    listener: TcpListener,
}

impl PageListener {
    /// An address that other machines of a network reach, for what is meant for them. The routes decide who gets what.
    ///
    /// # Errors
    /// [`PageError::Listen`].
    pub async fn on_network(address: SocketAddr) -> Result<Self, PageError> {
        Self::bind(address, false).await
    }

    async fn bind(address: SocketAddr, is_local: bool) -> Result<Self, PageError> {
        let failed = |cause| PageError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            is_local,
            address: listener.local_addr().map_err(failed)?,
            listener,
        })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a page here.
    #[must_use]
    pub fn serve(self, routes: Router) -> Page {
        self.serve_with(routes, Tls::Off)
    }

    /// Serves a page here over TLS, and over nothing else.
    #[must_use]
    pub fn serve_secured(self, routes: Router, config: Arc<ServerConfig>) -> Page {
        self.serve_with(routes, Tls::Fixed(config))
    }

    fn serve_with(self, routes: Router, tls: Tls) -> Page {
        let routes = routes
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn(in_time));
        let routes = if self.is_local {
            routes.layer(middleware::from_fn(from_this_machine))
        } else {
            routes
        };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(http_server::serve(
            self.listener,
            Proxies::default(),
            routes,
            tls,
            async move { drop(stopped.await) },
        ));
        Page {
            address: self.address,
            _stop: stop,
        }
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    let served = tokio::time::timeout(MAX_WORK, next.run(request)).await;
    served.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response())
}

async fn from_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    if host.is_some_and(is_this_machine) {
        next.run(request).await
    } else {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    }
}

/// Whether a `Host` (RFC 9110 section 7.2) is this machine: a loopback address or `localhost`, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let Ok(uri) = format!("http://{host}/").parse::<Uri>() else {
        return false;
    };
    let name = uri.host().unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn status(page: &Page, host: &str) -> String {
        let mut stream = TcpStream::connect(page.address()).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_host_name_that_resolves_to_this_machine_is_refused() {
        let routes = Router::new().route("/", get(async || "well"));
        let page = Page::open(([127, 0, 0, 1], 0).into(), routes)
            .await
            .unwrap();
        for local in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "localhost:1",
            "LocalHost",
            "[::1]:80",
        ] {
            assert_eq!(status(&page, local).await, "200", "{local}");
        }
        for stranger in [
            "evil.example",
            "localhost.evil.example",
            "192.168.1.10",
            "127.0.0.1.evil.example",
            "[::2]",
            "a b",
        ] {
            assert_ne!(status(&page, stranger).await, "200", "{stranger}");
        }
    }

    #[tokio::test]
    async fn a_page_is_not_opened_to_other_machines() {
        for open in ["0.0.0.0:0", "[::]:0", "192.168.1.10:80"] {
            let opened = Page::open(open.parse().unwrap(), Router::new()).await;
            assert!(matches!(opened, Err(PageError::NotLoopback(_))), "{open}");
        }
    }

    #[tokio::test]
    async fn a_dropped_page_is_closed() {
        let page = Page::open(([127, 0, 0, 1], 0).into(), Router::new())
            .await
            .unwrap();
        let address = page.address();
        drop(page);
        for _ in 0..100 {
            if TcpStream::connect(address).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{address} still answers");
    }
}
