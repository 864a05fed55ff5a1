//! The connections of an HTTP server: so many at a time, so many of them from one source, and none that only stays open. A connection
//! that moves nothing for half a minute while something is expected of its peer is closed, be it a request sent byte by byte, an answer
//! that is not read, or a TLS handshake that does not come.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::forwarded::Proxies;
use crate::limits::{SourceConnections, SourcePermit, SourcePrefix};

/// Connections at a time, below the usual limit of 1,024 open files. More wait in the system's queue.
const MAX_CONNECTIONS: usize = 900;

/// Connections from one source at a time; more are closed at once. Trusted proxies have no such limit.
const MAX_OF_SOURCE: usize = 100;

/// An idle connection ends with it; and from a request's first byte on, all of it must arrive and be answered in it.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A listener that accepts a bounded number of connections.
pub(crate) struct LimitedListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    proxies: Proxies,
    limiter: Arc<SourceConnections>,
}

impl LimitedListener {
    pub(crate) fn new(listener: TcpListener, proxies: Proxies) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            proxies,
            limiter: SourceConnections::new(MAX_OF_SOURCE),
        }
    }

    /// The next connection, and the address of its peer.
    pub(crate) async fn accept(&mut self) -> (TimedStream, IpAddr) {
        loop {
            let slot = Arc::clone(&self.slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            // axum's listener waits when the system has no handle left, and goes on.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let peer = peer.ip().to_canonical();
            let source = (!self.proxies.trust(peer)).then(|| SourcePrefix::from(peer));
            if let Some(permit) = self.limiter.enter(source) {
                return (TimedStream::new(stream, (slot, permit)), peer);
            }
        }
    }
}

/// A connection with the time that it has left. It holds its place among the connections until it is dropped.
pub(crate) struct TimedStream {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// Nothing has come since the last answer, or the beginning.
    idle: bool,
    _permits: (OwnedSemaphorePermit, SourcePermit),
}

impl TimedStream {
    fn new(stream: TcpStream, permits: (OwnedSemaphorePermit, SourcePermit)) -> Self {
        // An answer is written whole; without the option, a small one is sent later, and nothing else goes wrong.
        stream.set_nodelay(true).ok();
        Self {
            stream,
            deadline: Box::pin(sleep(IDLE_TIMEOUT)),
            idle: true,
            _permits: permits,
        }
    }

    fn extend_deadline(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
    }

    /// The result of the stream, unless it has none and the time is up.
    fn or_timed_out<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && self.idle {
            self.extend_deadline();
            self.idle = false;
        }
        self.or_timed_out(context, polled)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.extend_deadline();
            self.idle = true;
        }
        self.or_timed_out(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
