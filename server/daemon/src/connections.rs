//! The door: so many visitors at a time, so many of them from one house, and none that only stands there. A connection that moves
//! nothing for half a minute while something is expected of its peer is closed, be it a request sent byte by byte, an answer that
//! nobody takes, or a TLS greeting that does not come.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::forwarded::Proxies;
use crate::limits::House;

/// Connections at a time, below the usual limit of 1 024 open files. More wait in the system's queue.
const MAX_VISITORS: usize = 900;

/// Connections from one house at a time; more are closed at once. A proxy of ours is no house.
const MAX_OF_A_HOUSE: usize = 100;

/// An idle connection ends with it; and from a request's first byte on, all of it must arrive and be answered in it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that lets a bounded number in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    proxies: Proxies,
    inside: Arc<Inside>,
}

impl Door {
    /// Lets visitors of this listener in.
    pub fn new(listener: TcpListener, proxies: Proxies) -> Self {
        Self {
            listener,
            seats: Arc::new(Semaphore::new(MAX_VISITORS)),
            proxies,
            inside: Arc::default(),
        }
    }

    /// The next connection, and who is at its other end.
    pub async fn next(&mut self) -> (Visitor, IpAddr) {
        loop {
            let seat = Arc::clone(&self.seats)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let peer = peer.ip().to_canonical();
            let house = (!self.proxies.trust(peer)).then(|| House::from(peer));
            if let Some(place) = Inside::enter(&self.inside, house) {
                return (Visitor::new(stream, (seat, place)), peer);
            }
        }
    }
}

/// For axum's own serving, as the page for monitors has it.
impl Listener for Door {
    type Io = Visitor;
    type Addr = IpAddr;

    async fn accept(&mut self) -> (Visitor, IpAddr) {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<IpAddr> {
        Ok(self.listener.local_addr()?.ip())
    }
}

/// Who is inside, by house. As many entries as there are visitors at most.
#[derive(Debug, Default)]
struct Inside(Mutex<BTreeMap<House, usize>>);

impl Inside {
    fn enter(inside: &Arc<Self>, house: Option<House>) -> Option<Place> {
        if let Some(house) = house {
            let mut visitors = inside.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = visitors.entry(house).or_default();
            if *count >= MAX_OF_A_HOUSE {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            inside: Arc::clone(inside),
            house,
        })
    }
}

/// Counted as inside until it is dropped.
#[derive(Debug)]
struct Place {
    inside: Arc<Inside>,
    house: Option<House>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(house) = self.house else { return };
        let mut visitors = self.inside.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = visitors.get_mut(&house) {
            *count -= 1;
            if *count == 0 {
                visitors.remove(&house);
            }
        }
    }
}

/// A connection, with its seat and the time that it has left.
#[derive(Debug)]
pub struct Visitor {
    stream: TcpStream,
    patience: Pin<Box<Sleep>>,
    /// Nothing has come since the last answer, or the beginning.
    idle: bool,
    _seat: (OwnedSemaphorePermit, Place),
}

impl Visitor {
    fn new(stream: TcpStream, seat: (OwnedSemaphorePermit, Place)) -> Self {
        // An answer is written whole; that a small one is sent late is all that can go wrong here.
        drop(stream.set_nodelay(true));
        Self {
            stream,
            patience: Box::pin(sleep(PATIENCE)),
            idle: true,
            _seat: seat,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_house_has_so_many_inside_and_a_proxy_as_many_as_come() {
        let inside = Arc::<Inside>::default();
        let house = |text: &str| Some(House::from(text.parse::<IpAddr>().unwrap()));
        let mut places: Vec<Place> = (0..MAX_OF_A_HOUSE)
            .map_while(|_| Inside::enter(&inside, house("192.0.2.1")))
            .collect();
        assert_eq!(places.len(), MAX_OF_A_HOUSE);
        assert!(Inside::enter(&inside, house("192.0.2.1")).is_none());
        assert!(Inside::enter(&inside, house("192.0.2.2")).is_some());
        assert!(Inside::enter(&inside, None).is_some());
        places.pop();
        assert!(Inside::enter(&inside, house("192.0.2.1")).is_some());
        places.clear();
        assert!(inside.0.lock().unwrap().is_empty());
    }
}
