//! The way to one relay for one purpose, listening or posting: opening a connection, and how long to wait after it was lost.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use ringfence_book::backoff::Backoff;
use tokio::sync::watch;

use super::board::{LinkPurpose, LinkState, RelayBoard, RelayRecord};
use super::connection::{ConnectionEnd, RelayConnection};
use super::message::RelayMessage;
use crate::net::outbound::{Destination, Outbound, OutboundStream};
use crate::net::socks::Circuit;

/// Waits before a lost connection is made anew. The first is short: without a relay no ring arrives.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(8);

/// The same for a relay that flooded.
const FIRST_PENANCE: Duration = Duration::from_secs(10);
const LAST_PENANCE: Duration = Duration::from_secs(600);

/// A connection that lasted so long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
const GOOD_AFTER_FLOOD: Duration = Duration::from_secs(600);

/// The way to one relay for one purpose.
pub(super) struct RelayLink {
    /// Its place in the settings, counted from 0.
    pub(super) relay: usize,
    pub(super) purpose: LinkPurpose,
    pub(super) url: String,
    pub(super) destination: Destination,
    pub(super) outbound: Outbound,
    pub(super) circuit: Circuit,
    pub(super) board: Arc<RelayBoard>,
    /// Changes when all connections are to be made anew.
    pub(super) redial: watch::Receiver<u64>,
    pub(super) waits: Waits,
}

/// The waits before a connection is made anew.
pub(super) struct Waits {
    lost: Backoff,
    flooded: Backoff,
}

/// Why a task stopped to use a connection.
pub(super) enum LinkEnd {
    Connection(ConnectionEnd),
    Redial,
    /// The engine is gone.
    Dropped,
}

impl From<ConnectionEnd> for LinkEnd {
    fn from(end: ConnectionEnd) -> Self {
        Self::Connection(end)
    }
}

impl Waits {
    pub(super) const fn new() -> Self {
        Self {
            lost: Backoff::new(FIRST_RETRY, LAST_RETRY, 2),
            flooded: Backoff::new(FIRST_PENANCE, LAST_PENANCE, 4),
        }
    }

    /// How long to wait after a connection that lasted so long, with jitter: engines that lost the same relay do not all return at once.
    fn after(&mut self, end: ConnectionEnd, lasted: Duration) -> Duration {
        let (backoff, good) = match end {
            ConnectionEnd::Flooded => (&mut self.flooded, GOOD_AFTER_FLOOD),
            ConnectionEnd::Closed | ConnectionEnd::Silent => (&mut self.lost, GOOD),
        };
        if lasted >= good {
            backoff.reset();
        }
        let wait = backoff.next_delay();
        wait.mul_f64(rand::rng().random_range(0.75..1.25))
    }
}

impl RelayLink {
    pub(super) async fn open(&self) -> Option<RelayConnection<OutboundStream>> {
        match self
            .outbound
            .connect(&self.destination, &self.circuit)
            .await
        {
            Ok(stream) => RelayConnection::open(&self.url, stream).await,
            Err(error) => {
                tracing::debug!(relay = self.relay + 1, %error, "a relay cannot be reached");
                None
            }
        }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut RelayRecord)) {
        self.board.update(self.relay, change);
    }

    /// Waits for as long as this end asks for, or until the connection is to be tried now. `None` when the engine is gone.
    pub(super) async fn pause(
        &mut self,
        (end, state): (ConnectionEnd, LinkState),
        lasted: Duration,
    ) -> Option<()> {
        let wait = self.waits.after(end, lasted);
        tracing::debug!(
            relay = self.relay + 1,
            ?end,
            ?lasted,
            ?wait,
            "no connection to a relay"
        );
        let (board, relay, purpose) = (Arc::clone(&self.board), self.relay, self.purpose);
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            () = board.woken(relay, purpose), if state == LinkState::Away => Some(()),
            redial = self.redial.changed() => redial.ok(),
        }
    }
}

/// The state of a link whose connection ended so. One that was open is dialled anew at once or soon.
pub(super) const fn state_after(end: &LinkEnd, was_open: bool) -> LinkState {
    match end {
        LinkEnd::Connection(ConnectionEnd::Flooded) => LinkState::LeftAlone,
        LinkEnd::Connection(_) if !was_open => LinkState::Away,
        _ => LinkState::Opening,
    }
}

/// NOTICE and AUTH, on either connection: their words may be why the relay does not listen. They count as junk, since no engine and no
/// person needs many.
pub(super) fn note_aside(link: &RelayLink, message: RelayMessage) {
    link.update(|record| match message {
        _ if record.is_listening => {}
        RelayMessage::Notice(words) => record.answers.note_words(words),
        RelayMessage::LoginOffer => record.answers.note_login(),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits after so many connections that ended so after this time, in seconds.
    fn waits(end: ConnectionEnd, lasted: Duration) -> Vec<f64> {
        let mut waits = Waits::new();
        let drawn = (0..40).map(|_| waits.after(end, lasted).as_secs_f64());
        drawn.collect()
    }

    #[test]
    fn a_lost_relay_is_tried_for_ever_and_a_flooding_one_is_left_longer_and_longer() {
        let short = Duration::from_secs(1);
        for (end, usual) in [
            (ConnectionEnd::Closed, [1.0, 2.0, 4.0, 8.0, 8.0]),
            (ConnectionEnd::Silent, [1.0, 2.0, 4.0, 8.0, 8.0]),
            (ConnectionEnd::Flooded, [10.0, 40.0, 160.0, 600.0, 600.0]),
        ] {
            let waits = waits(end, short);
            for (wait, usual) in waits.iter().zip(usual) {
                assert!(
                    (0.75..=1.25).contains(&(wait / usual)),
                    "{end:?}: {waits:?}"
                );
            }
            let last = &waits[4..];
            assert!(
                last.iter().all(|wait| *wait <= 1.25 * usual[4]),
                "{waits:?}"
            );
            // Jitter: no two alike, and neither all below nor all above the middle.
            assert!(last.iter().any(|wait| *wait < usual[4] && *wait != last[0]));
            assert!(last.iter().any(|wait| *wait > usual[4]), "{waits:?}");
        }
    }

    #[test]
    fn a_connection_that_was_good_makes_the_next_wait_short_and_a_flood_is_remembered_for_minutes()
    {
        let minute = Duration::from_secs(60);
        assert!(
            waits(ConnectionEnd::Closed, minute)
                .iter()
                .all(|wait| *wait <= 1.25)
        );
        assert!(waits(ConnectionEnd::Flooded, minute)[5] > 400.0);
        assert!(
            waits(ConnectionEnd::Flooded, 20 * minute)
                .iter()
                .all(|wait| *wait <= 12.5)
        );
    }
}
