//! The door: so many visitors at a time, and none that only stands there. A connection that moves nothing for half a minute while
//! something is expected of its peer is closed, be it a request sent byte by byte or an answer that nobody takes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time, below the usual limit of 1 024 open files. More wait in the system's queue.
const MAX_VISITORS: usize = 900;

/// An idle connection ends with it; and from a request's first byte on, all of it must arrive and be answered in it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that lets a bounded number in.
pub(crate) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            seats: Arc::new(Semaphore::new(MAX_VISITORS)),
        }
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        let seat = Arc::clone(&self.seats)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (
            Visitor {
                stream,
                patience: Box::pin(sleep(PATIENCE)),
                idle: true,
                _seat: seat,
            },
            peer,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, with its seat and the time that it has left.
pub(crate) struct Visitor {
    stream: TcpStream,
    patience: Pin<Box<Sleep>>,
    /// Nothing has come since the last answer, or the beginning.
    idle: bool,
    _seat: OwnedSemaphorePermit,
}

impl Visitor {
    fn be_patient_again(&mut self) {
        self.patience.as_mut().reset(Instant::now() + PATIENCE);
    }

    /// What the stream says, unless it says nothing and the time is up.
    fn or_time_up<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && self.idle {
            self.be_patient_again();
            self.idle = false;
        }
        self.or_time_up(context, polled)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.be_patient_again();
            self.idle = true;
        }
        self.or_time_up(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
