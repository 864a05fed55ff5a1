//! What the connections of a relay share, and the door: who is let in, who hears what others post, and what is kept.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr::{Event, Filter};
use ringfence_daemon::clock::unix_now;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tracing::debug;

use super::ring::Carried;
use super::shelf::{Shelf, Taken};
use super::visits::Visits;
use super::{RelayLimits, RelayPlan, session};

/// Rings that wait for a connection's turn, 3 kB each; who is further behind is let go.
const NEWS: usize = 1_024;

/// How long nobody is let in after the system had no handle for one more.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Hall {
    plan: RelayPlan,
    news: broadcast::Sender<Arc<Event>>,
    visits: Mutex<Visits>,
    shelf: Mutex<Shelf>,
}

impl Hall {
    pub(super) fn new(plan: RelayPlan) -> Self {
        Self {
            plan,
            news: broadcast::Sender::new(NEWS),
            visits: Mutex::default(),
            shelf: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &RelayLimits {
        &self.plan.limits
    }

    pub(super) fn work_bits(&self) -> u8 {
        self.plan.work_bits
    }

    /// Hears what is posted from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.news.subscribe()
    }

    /// Tells everybody who listens, and keeps a note for those who do not; false if there is no room for it. A ring that nobody listens
    /// for: nothing is lost that anybody waited for.
    pub(super) fn take(&self, event: Event, carried: Carried, from: IpAddr) -> bool {
        let event = Arc::new(event);
        if let Carried::Note(until) = carried {
            let taken = self
                .shelf()
                .put(&event, (from, until), self.limits(), unix_now());
            match taken {
                Taken::Kept => {}
                Taken::Known => return true,
                Taken::Full => return false,
            }
        }
        let _ = self.news.send(event);
        true
    }

    /// The notes that a new subscription begins with.
    pub(super) fn find(&self, filters: &[Filter]) -> Vec<Arc<Event>> {
        self.shelf().find(filters, unix_now())
    }

    /// Counts an event of an address; false if there are too many.
    pub(super) fn admit_event(&self, ip: IpAddr) -> bool {
        self.visits().admit_event(ip, self.limits(), Instant::now())
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visits(&self) -> MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counted as here until it is dropped.
struct Seat(Arc<Hall>, IpAddr);

impl Seat {
    fn take(hall: &Arc<Hall>, ip: IpAddr) -> Option<Self> {
        let room = hall.visits().enter(ip, hall.limits(), Instant::now());
        room.then(|| Self(Arc::clone(hall), ip))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.visits().leave(self.1);
    }
}

/// Lets clients in until told to stop; then nobody can come any more when the first one has to go.
pub(super) async fn open(hall: Hall, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let hall = Arc::new(hall);
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Ended ones are forgotten as they end.
            Some(_) = sessions.join_next() => continue,
            _ = &mut stopped => break,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if sessions.len() >= hall.limits().connections {
            debug!("the relay is full");
            continue;
        }
        let Some(seat) = Seat::take(&hall, peer.ip()) else {
            continue;
        };
        let hall = Arc::clone(&hall);
        sessions.spawn(async move {
            let _seat = seat;
            if let Err(parting) = session::serve(hall, stream, peer.ip()).await {
                debug!("a connection to the relay ends: {parting}");
            }
        });
    }
    drop(listener);
    sessions.shutdown().await;
}
