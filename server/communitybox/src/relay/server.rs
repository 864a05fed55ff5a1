//! What the connections of a relay share, and the loop that accepts them: who is let in, who gets what others publish, and what is kept.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr::{Event, Filter};
use ringfence_daemon::clock::unix_now;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tracing::debug;

use super::admission::Admission;
use super::event_check::EventClass;
use super::note_store::{NoteStore, Stored};
use super::{RelayLimits, RelayPlan, connection};

/// Events that wait for a connection's turn, 3 kB each; a connection that is further behind is closed.
const BACKLOG: usize = 1_024;

/// How long no connection is accepted after the system had no handle for one more.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct RelayShared {
    plan: RelayPlan,
    published: broadcast::Sender<Arc<Event>>,
    admission: Admission,
    notes: Mutex<NoteStore>,
}

impl RelayShared {
    pub(super) fn new(plan: RelayPlan) -> Self {
        Self {
            admission: Admission::new(&plan.limits),
            plan,
            published: broadcast::Sender::new(BACKLOG),
            notes: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &RelayLimits {
        &self.plan.limits
    }

    pub(super) fn work_bits(&self) -> u8 {
        self.plan.work_bits
    }

    /// Receives what is published from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.published.subscribe()
    }

    /// Gives an event to all connections, and keeps a note for later ones; false if there is no room for it.
    pub(super) fn publish(&self, event: Event, carried: EventClass, from: IpAddr) -> bool {
        let event = Arc::new(event);
        if let EventClass::Note(until) = carried {
            let stored = self
                .notes()
                .insert(&event, (from, until), self.limits(), unix_now());
            match stored {
                Stored::Kept => {}
                Stored::Known => return true,
                Stored::Full => return false,
            }
        }
        // Without a connection there is no receiver, and nothing is lost that one waited for.
        self.published.send(event).ok();
        true
    }

    /// The notes that a new subscription begins with.
    pub(super) fn find(&self, filters: &[Filter]) -> Vec<Arc<Event>> {
        self.notes().find(filters, unix_now())
    }

    /// Counts an event of an address; false if there are too many.
    pub(super) fn admit_event(&self, ip: IpAddr) -> bool {
        self.admission.admit_event(ip, Instant::now())
    }

    fn notes(&self) -> MutexGuard<'_, NoteStore> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until told to stop; then the listener is closed before the connections are.
pub(super) async fn run(
    state: RelayShared,
    listener: TcpListener,
    mut stopped: oneshot::Receiver<()>,
) {
    let state = Arc::new(state);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Ended ones are forgotten as they end.
            Some(_) = connections.join_next() => continue,
            _ = &mut stopped => break,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if connections.len() >= state.limits().connections {
            debug!("the relay is full");
            continue;
        }
        let Some(permit) = state.admission.connect(peer.ip()) else {
            continue;
        };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let _permit = permit;
            if let Err(cause) = connection::serve(state, stream, peer.ip()).await {
                debug!("a connection to the relay ends: {cause}");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}
