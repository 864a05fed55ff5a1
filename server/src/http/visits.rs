//! Visits: what happens between the door and the routes. TLS if the book has a certificate, HTTP/1.1 with bounded heads, and an end
//! in which requests under way are finished and nothing new begins.

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
use ringfence_daemon::tls::Certificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Shared, routes};
use ringfence_daemon::connections::{Door, PATIENCE, Visitor};

/// Request line and headers together. A browser behind two proxies sends a tenth of it.
const MAX_HEAD: usize = 16 * 1024;

/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// The other end of the connection that a request came by.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves until `stop` is ready, then finishes the requests that are under way. Dropped, it cuts them off.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    certificate: Option<Arc<Certificate>>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let mut door = Door::new(listener, shared.pace.proxies().clone());
    let routes = routes(shared);
    let (farewell, mut visits, mut stop) = (GracefulShutdown::new(), JoinSet::new(), pin!(stop));
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = visits.join_next() => {}
            (visitor, peer) = door.next() => {
                let (routes, certificate) = (routes.clone(), certificate.clone());
                visits.spawn(receive(visitor, Peer(peer), certificate, routes, farewell.watcher()));
            }
        }
    }
    drop(door);
    farewell.shutdown().await;
}

async fn receive(
    visitor: Visitor,
    peer: Peer,
    certificate: Option<Arc<Certificate>>,
    routes: Router,
    farewell: Watcher,
) {
    match certificate {
        None => talk(visitor, peer, routes, farewell).await,
        Some(certificate) => {
            // Strangers who do not speak TLS are none of the operator's business.
            let greeting = tokio::time::timeout(PATIENCE, certificate.acceptor().accept(visitor));
            if let Ok(Ok(stream)) = greeting.await {
                talk(stream, peer, routes, farewell).await;
            }
        }
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    routes: Router,
    farewell: Watcher,
) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(4 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Why a visitor left is nobody's business either.
    drop(farewell.watch(connection).await);
}
