//! The sender's half: when an envelope leaves, for whom, and what it says.
//!
//! Moments and buckets follow from the contacts alone, never from what happens on the line.

use std::time::{Duration, Instant};

use rand_core::Rng;

use super::{LONGEST_PAUSE, PLACES, SHORTEST_PAUSE, own_presence};
use crate::call::calls::Calls;
use crate::environment::Environment;
use crate::sealed::book_view::BookView;
use crate::sealed::bucket::{MAX_BUCKET_BITS, bucket};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::{Outside, SealingKeys};
use crate::sealed::presence::seal;

/// Where the round stands.
#[derive(Debug, Default)]
pub(super) struct PresenceRounds {
    next: Option<Instant>,
    place: usize,
}

impl PresenceRounds {
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn plan(&mut self, env: &mut Environment, now: Instant) {
        let is_shared = env.trust.contacts().shared().next().is_some();
        if !is_shared || env.closing {
            self.next = None;
        } else if self.next.is_none() {
            self.next = Some(now + draw_pause(&mut env.rng));
        }
    }

    pub(super) fn handle_timeout(&mut self, calls: &Calls, env: &mut Environment, now: Instant) {
        if self.next.is_none_or(|at| now < at) {
            return;
        }
        self.next = Some(now + draw_pause(&mut env.rng));
        let place = self.place;
        self.place = (place + 1) % PLACES;
        post_place(place, calls, env, now);
    }
}

fn draw_pause(rng: &mut impl Rng) -> Duration {
    let span = LONGEST_PAUSE.saturating_sub(SHORTEST_PAUSE).as_millis();
    let span = u64::try_from(span).unwrap_or(u64::MAX).max(1);
    // The remainder prefers some of 120,000 values by less than one in 10^14.
    SHORTEST_PAUSE + Duration::from_millis(rng.next_u64() % span)
}

/// Posts one envelope for a place of the round. Without a proof of work in stock none leaves; one is on order.
fn post_place(place: usize, calls: &Calls, env: &mut Environment, now: Instant) {
    let wall = env.wall(now);
    let Some(proof) = env.proofs.take(1, wall).and_then(|mut one| one.pop()) else {
        return;
    };
    let event = EventContext {
        bucket: place_bucket(place, env),
        event_key: proof.event_key,
    };
    let envelope = seal_report(place, &event, calls, env, now);
    let envelope = envelope.unwrap_or_else(|| Envelope::cover(&mut env.rng));
    env.out.post(proof, event.bucket, envelope);
}

/// The bucket of a place: the contact's, or one that is drawn once for the life of the line, so that a free place looks
/// like a taken one from round to round.
fn place_bucket(place: usize, env: &Environment) -> u16 {
    let bits = env.config.bucket_bits;
    if let Some((_, contact)) = env.trust.contacts().shared().nth(place) {
        return bucket(&contact.identity, bits);
    }
    let line = env.lines.get(0);
    let drawn = line.map_or(0, |line| line.identity.cover_bucket(place));
    let drop = u32::from(MAX_BUCKET_BITS.saturating_sub(bits));
    drawn.checked_shr(drop).unwrap_or(0)
}

/// The report for the contact in a place; `None` without a contact, without anything to report, or when the book lists another key
/// than the contact's.
fn seal_report(
    place: usize,
    event: &EventContext,
    calls: &Calls,
    env: &mut Environment,
    now: Instant,
) -> Option<Envelope> {
    let wall = env.wall(now);
    let (line, contact) = env.trust.contacts().shared().nth(place)?;
    let callee = env.trust.directory().look_up(contact.number).ok()?;
    let is_same = callee.identity == contact.identity && contact.other.is_none();
    let index = env.lines.of_number(line)?;
    let presence = own_presence(index, calls, env).filter(|_| is_same)?;
    let tag = env.tag(line, callee.peer(), wall);
    let line = env.lines.get(index)?;
    let keys = SealingKeys {
        identity: &line.identity,
        number: line.number,
        book: BookView::NONE,
    };
    let outside = Outside::new(*event, tag);
    seal(&keys, &callee, presence, outside, wall, &mut env.rng).ok()
}
