//! The way to one relay for one purpose, listening or posting: opening a connection, how long to wait after it was lost, and another one
//! beside it when the network has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rand::RngExt as _;
use ringfence_book::backoff::Backoff;
use tokio::sync::watch;

use super::board::{LinkPurpose, LinkState, RelayBoard, RelayRecord};
use super::connection::{ConnectionEnd, RelayConnection, now};
use super::message::RelayMessage;
use crate::net::outbound::{Destination, Outbound, OutboundStream};
use crate::net::socks::Circuit;

/// Waits before a lost connection is made anew. The first is short: without a relay no ring arrives.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(8);

/// For so long after a good connection broke, its relay is taken to be just starting again: it is tried at short intervals, and envelopes
/// wait for it. All engines do so, with calls and without: a relay does not learn from it which of them has a call.
const HURRY: Duration = Duration::from_secs(10);
const HURRIED_RETRY: Duration = Duration::from_millis(500);

/// For so long after a good connection a short one that breaks is of a network that comes and goes, and no sign of a relay that turns this
/// engine away.
const COMES_AND_GOES: Duration = Duration::from_secs(30);

/// Waits after a relay flooded.
const FIRST_PENANCE: Duration = Duration::from_secs(10);
const LAST_PENANCE: Duration = Duration::from_secs(600);

/// A connection that lasted so long was a good one: the next wait is short again. A network that comes and goes should not make the waits
/// long; a relay that closes sooner is not pressed.
const GOOD: Duration = Duration::from_secs(3);
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
    pub(super) waits: Waits,
}

/// What the engine tells the tasks of all relays. Each counts.
#[derive(Clone)]
pub(super) struct LinkSignals {
    /// Changes when all connections are to be made anew.
    pub(super) redial: watch::Receiver<u64>,
    /// Changes when this machine reaches the world another way than before: connections may be dead that look alive.
    pub(super) network: watch::Receiver<u64>,
}

/// A connection that is being made beside the one in use.
pub(super) type Successor<'a, T> = Option<BoxFuture<'a, Option<T>>>;

/// Waits for a successor. Cancelling it loses nothing. `None` if it could not be made: then the connection in use goes on, or breaks.
pub(super) async fn made<T>(successor: &mut Successor<'_, T>) -> Option<T> {
    let Some(making) = successor else {
        return std::future::pending().await;
    };
    let made = making.await;
    *successor = None;
    made
}

/// Tries at short intervals, for as long as a relay is taken to be just starting again.
pub(super) async fn hurried<T, F: Future<Output = Option<T>>>(
    attempt: impl Fn() -> F,
) -> Option<T> {
    let give_up = now() + HURRY;
    while now() < give_up {
        if let Some(made) = attempt().await {
            return Some(made);
        }
        tokio::time::sleep(HURRIED_RETRY).await;
    }
    None
}

/// The waits before a connection is made anew.
pub(super) struct Waits {
    lost: Backoff,
    flooded: Backoff,
    hurry_until: Option<Instant>,
    /// When a good connection ended last.
    good: Option<Instant>,
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
            hurry_until: None,
            good: None,
        }
    }

    /// A connection ended that lasted so long, or was never made: the state of its link from now on. Whatever may have a connection soon
    /// is opening.
    fn note_end(&mut self, end: &LinkEnd, lasted: Option<Duration>, now: Instant) -> LinkState {
        if lasted.is_some_and(|lasted| lasted >= GOOD) {
            self.good = Some(now);
        }
        let was_good = self.good.is_some_and(|at| now < at + COMES_AND_GOES);
        match end {
            LinkEnd::Connection(ConnectionEnd::Flooded) => return LinkState::LeftAlone,
            LinkEnd::Connection(_) if !(was_good && lasted.is_some()) => {}
            _ => self.hurry_until = Some(now + HURRY),
        }
        if lasted.is_none() && !self.hurries(now) {
            LinkState::Away
        } else {
            LinkState::Opening
        }
    }

    /// Another network may not lead to the relay from its first moment on: its name servers are known a little later than its addresses.
    fn note_network_change(&mut self, now: Instant) {
        self.hurry_until = Some(now + HURRY);
        self.lost.reset();
    }

    fn hurries(&self, now: Instant) -> bool {
        self.hurry_until.is_some_and(|until| now < until)
    }

    /// How long to wait after a connection that lasted so long, with jitter: engines that lost the same relay do not all return at once.
    fn after(&mut self, end: ConnectionEnd, lasted: Duration, now: Instant) -> Duration {
        let hurries = end != ConnectionEnd::Flooded && self.hurries(now);
        let (backoff, good) = match end {
            ConnectionEnd::Flooded => (&mut self.flooded, GOOD_AFTER_FLOOD),
            ConnectionEnd::Closed | ConnectionEnd::Silent => (&mut self.lost, GOOD),
        };
        if lasted >= good {
            backoff.reset();
        }
        if hurries {
            return HURRIED_RETRY.mul_f64(rand::rng().random_range(0.5..1.0));
        }
        let wait = backoff.next_delay();
        wait.mul_f64(rand::rng().random_range(0.75..1.25))
    }
}

impl RelayLink {
    /// Opens a connection; begins again when the network changes meanwhile.
    pub(super) async fn open(
        &mut self,
        signals: &mut LinkSignals,
    ) -> Option<RelayConnection<OutboundStream>> {
        loop {
            tokio::select! {
                opened = self.dial() => return opened,
                changed = signals.network.changed() => changed.ok()?,
            }
            self.waits.note_network_change(now());
        }
    }

    pub(super) async fn dial(&self) -> Option<RelayConnection<OutboundStream>> {
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

    /// A connection ended that lasted so long, or was never made: the state from now on.
    pub(super) fn note_end(&mut self, end: &LinkEnd, lasted: Option<Duration>) -> LinkState {
        self.waits.note_end(end, lasted, now())
    }

    /// Whether the relay is taken to be just starting again.
    pub(super) fn hurries(&self) -> bool {
        self.waits.hurries(now())
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut RelayRecord)) {
        self.board.update(self.relay, change);
    }

    /// Waits for as long as this end asks for, or until the connection is to be tried now. `None` when the engine is gone.
    pub(super) async fn pause(
        &mut self,
        signals: &mut LinkSignals,
        (end, state): (ConnectionEnd, LinkState),
        lasted: Duration,
    ) -> Option<()> {
        let wait = self.waits.after(end, lasted, now());
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
            redial = signals.redial.changed() => redial.ok(),
            changed = signals.network.changed(), if state != LinkState::LeftAlone => {
                self.waits.note_network_change(now());
                changed.ok()
            }
        }
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
        let (mut waits, now) = (Waits::new(), now());
        let drawn = (0..40).map(|_| waits.after(end, lasted, now).as_secs_f64());
        drawn.collect()
    }

    const CLOSED: LinkEnd = LinkEnd::Connection(ConnectionEnd::Closed);

    #[test]
    fn a_relay_whose_good_connection_broke_is_tried_at_short_intervals_for_ten_seconds() {
        for (end, lasted, hurries) in [
            (CLOSED, GOOD, true),
            (LinkEnd::Connection(ConnectionEnd::Silent), GOOD, true),
            (LinkEnd::Redial, Duration::ZERO, true),
            // One that closes at once is not pressed.
            (CLOSED, GOOD / 2, false),
        ] {
            let (mut waits, broke) = (Waits::new(), now());
            let state = waits.note_end(&end, Some(lasted), broke);
            assert_eq!(state, LinkState::Opening);
            let mut at = broke;
            while at < broke + HURRY {
                let wait = waits.after(ConnectionEnd::Closed, Duration::ZERO, at);
                if !hurries {
                    assert!(wait > HURRIED_RETRY);
                    break;
                }
                assert!((HURRIED_RETRY / 2..=HURRIED_RETRY).contains(&wait));
                at += wait;
                let state = waits.note_end(&CLOSED, None, at);
                assert_eq!(state == LinkState::Opening, at < broke + HURRY);
            }
            let later = broke + HURRY;
            assert_eq!(waits.note_end(&CLOSED, None, later), LinkState::Away);
            let wait = waits.after(ConnectionEnd::Closed, Duration::ZERO, later);
            assert!(wait > HURRIED_RETRY, "{wait:?}");
        }
    }

    #[test]
    fn a_network_that_comes_and_goes_is_no_reason_to_leave_a_relay_alone_for_half_a_minute() {
        let (mut waits, broke) = (Waits::new(), now());
        waits.note_end(&CLOSED, Some(GOOD), broke);
        for (after, state) in [
            (9, LinkState::Opening),
            (18, LinkState::Opening),
            (27, LinkState::Opening),
            (38, LinkState::Away),
            (47, LinkState::Away),
        ] {
            let at = broke + Duration::from_secs(after);
            // A connection of a second, and an attempt that fails.
            waits.note_end(&CLOSED, Some(GOOD / 3), at);
            assert_eq!(waits.note_end(&CLOSED, None, at), state, "{after} s");
        }
    }

    #[test]
    fn after_a_change_of_network_a_relay_that_was_away_is_tried_at_short_intervals_again() {
        let (mut waits, at) = (Waits::new(), now());
        for _ in 0..8 {
            assert_eq!(waits.note_end(&CLOSED, None, at), LinkState::Away);
            waits.after(ConnectionEnd::Closed, Duration::ZERO, at);
        }
        waits.note_network_change(at);
        for tried in [at, at + HURRY / 2] {
            assert_eq!(waits.note_end(&CLOSED, None, tried), LinkState::Opening);
            let wait = waits.after(ConnectionEnd::Closed, Duration::ZERO, tried);
            assert!(wait <= HURRIED_RETRY);
        }
        assert_eq!(waits.note_end(&CLOSED, None, at + HURRY), LinkState::Away);
        let wait = waits.after(ConnectionEnd::Closed, Duration::ZERO, at + HURRY);
        assert!(wait <= FIRST_RETRY.mul_f64(1.25));
    }

    #[test]
    fn a_relay_that_flooded_or_was_never_reached_is_not_hurried() {
        let (mut waits, at) = (Waits::new(), now());
        assert_eq!(waits.note_end(&CLOSED, None, at), LinkState::Away);
        assert!(waits.after(ConnectionEnd::Closed, Duration::ZERO, at) > HURRIED_RETRY);
        let flooded = LinkEnd::Connection(ConnectionEnd::Flooded);
        let state = waits.note_end(&flooded, Some(10 * GOOD), at);
        assert_eq!(state, LinkState::LeftAlone);
        assert!(waits.after(ConnectionEnd::Flooded, 10 * GOOD, at) >= FIRST_PENANCE / 2);
        assert!(!waits.hurries(at));
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
