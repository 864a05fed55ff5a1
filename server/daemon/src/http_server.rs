//! The HTTP server of every program here: bounded connections, TLS if there is a certificate, HTTP/1.1 with bounded heads, and an end in
//! which requests under way are finished and none begins. What is served is its owner's router.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::connections::{IDLE_TIMEOUT, LimitedListener, TimedStream};
use crate::forwarded::Proxies;
use crate::tls::ReloadedCertificate;

/// Request line and headers together. A browser behind two proxies sends a tenth of it.
const MAX_HEAD: usize = 16 * 1024;

/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// The peer of the connection that a request came by; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

/// How connections are secured.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// TLS with one configuration, and nothing but TLS.
    Fixed(Arc<ServerConfig>),
    /// TLS with a certificate that is read again, and nothing but TLS.
    Reloaded(Arc<ReloadedCertificate>),
}

impl Tls {
    fn acceptor(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Off => None,
            Self::Fixed(config) => Some(TlsAcceptor::from(Arc::clone(config))),
            Self::Reloaded(certificate) => Some(certificate.acceptor()),
        }
    }
}

/// Serves until `stop` is ready, then finishes the requests that are under way. Dropped, it cuts them off.
///
/// `proxies` have as many connections as they want.
pub async fn serve(
    listener: TcpListener,
    proxies: Proxies,
    routes: Router,
    tls: Tls,
    stop: impl Future<Output = ()>,
) {
    let mut listener = LimitedListener::new(listener, proxies);
    let (graceful, mut connections, mut stop) =
        (GracefulShutdown::new(), JoinSet::new(), pin!(stop));
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, peer) = listener.accept() => {
                let (routes, tls, watcher) = (routes.clone(), tls.acceptor(), graceful.watcher());
                connections.spawn(serve_connection(stream, PeerAddress(peer), tls, routes, watcher));
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn serve_connection(
    stream: TimedStream,
    peer: PeerAddress,
    tls: Option<TlsAcceptor>,
    routes: Router,
    watcher: Watcher,
) {
    match tls {
        None => serve_http(stream, peer, routes, watcher).await,
        Some(acceptor) => {
            // A handshake that fails is not logged: scanners fill a log with them.
            let handshake = tokio::time::timeout(IDLE_TIMEOUT, acceptor.accept(stream));
            if let Ok(Ok(stream)) = handshake.await {
                serve_http(stream, peer, routes, watcher).await;
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: PeerAddress,
    routes: Router,
    watcher: Watcher,
) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(4 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Why a client left is not logged.
    watcher.watch(connection).await.ok();
}
