//! The sender's half: when an envelope leaves, for whom, and what it says.
//!
//! Moments and buckets follow from the contacts alone, never from what happens on the line.

use std::time::{Duration, Instant};

use rand_core::Rng;

use super::{LONGEST_PAUSE, PLACES, Presence, SHORTEST_PAUSE, seal};
use crate::call::Phase;
use crate::engine::Engine;
use crate::line::Line;
use crate::output::{Output, Post, PostId};
use crate::sealed::bucket::{MAX_BUCKET_BITS, bucket};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::ring::BookView;
use crate::sealed::ring::outgoing::Caller;

/// Where the round stands.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    next: Option<Instant>,
    place: usize,
}

impl Rounds {
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Engine {
    /// Begins the rounds when there is somebody to tell, and ends them when there is nobody.
    pub(crate) fn plan_round(&mut self, now: Instant) {
        let is_shared = self.address_book.contacts().shared().next().is_some();
        if !is_shared || self.closing {
            self.presence.rounds.next = None;
        } else if self.presence.rounds.next.is_none() {
            self.presence.rounds.next = Some(now + self.draw_pause());
        }
    }

    pub(crate) fn handle_presence_timeout(&mut self, now: Instant) {
        self.presence.heard.forget_expired(now);
        if self.presence.rounds.next.is_some_and(|at| at <= now) {
            self.presence.rounds.next = Some(now + self.draw_pause());
            self.post_place(now);
        }
    }

    fn draw_pause(&mut self) -> Duration {
        let span = LONGEST_PAUSE.saturating_sub(SHORTEST_PAUSE).as_millis();
        let span = u64::try_from(span).unwrap_or(u64::MAX).max(1);
        // The remainder prefers some of 120,000 values by less than one in 10^14.
        SHORTEST_PAUSE + Duration::from_millis(self.rng.next_u64() % span)
    }

    /// One envelope, for whoever has the next place. Without a stamp at hand none leaves; one is on order.
    fn post_place(&mut self, now: Instant) {
        let place = self.presence.rounds.place;
        self.presence.rounds.place = (place + 1) % PLACES;
        let wall = self.wall(now);
        let Some(stamp) = self.stock.take(1, wall).and_then(|mut one| one.pop()) else {
            return;
        };
        let outside = Outside {
            bucket: self.place_bucket(place),
            event_key: stamp.event_key,
        };
        let envelope = self.word(place, &outside, now);
        let envelope = envelope.unwrap_or_else(|| Envelope::cover(&mut self.rng));
        self.posts += 1;
        self.out.push_back(Output::Post(Post {
            id: PostId(self.posts),
            stamp,
            bucket: outside.bucket,
            envelope,
            is_note: false,
        }));
    }

    /// The bucket of a place: the contact's, or one that is drawn once for the life of the line, so that a free place looks
    /// like a taken one from round to round.
    fn place_bucket(&self, place: usize) -> u16 {
        let bits = self.config.bucket_bits;
        if let Some((_, contact)) = self.address_book.contacts().shared().nth(place) {
            return bucket(&contact.identity, bits);
        }
        let line = self.lines.first();
        let drawn = line.map_or(0, |line| line.identity.cover_bucket(place));
        let drop = u32::from(MAX_BUCKET_BITS.saturating_sub(bits));
        drawn.checked_shr(drop).unwrap_or(0)
    }

    /// What the contact in a place is told; `None` when there is nobody, nothing to say, or another key than the contact's.
    fn word(&mut self, place: usize, outside: &Outside, now: Instant) -> Option<Envelope> {
        let (line, contact) = self.address_book.contacts().shared().nth(place)?;
        let (number, identity) = (contact.number, contact.identity);
        let wall = self.wall(now);
        let callee = self.directory.look_up(number, wall).ok()?;
        let is_same = callee.identity == identity && contact.other.is_none();
        let index = self.lines.iter().position(|own| own.number == line)?;
        let presence = self.presence_of(index).filter(|_| is_same)?;
        let line = self.lines.get(index)?;
        let caller = Caller {
            identity: &line.identity,
            binding: &line.binding,
            book: BookView::NONE,
        };
        seal(&caller, &callee, presence, outside, wall, &mut self.rng).ok()
    }

    /// How a line of this engine stands; `None` without a phone.
    pub(crate) fn presence_of(&self, index: usize) -> Option<Presence> {
        let line: &Line = self.lines.get(index)?;
        if self.agent.phones(&line.account.user) == 0 {
            return None;
        }
        let mut calls = self.calls.values();
        let is_talking = calls.any(|call| {
            let is_on = matches!(call.phase, Phase::Answering(_) | Phase::Talking(_));
            is_on && call.common.line == index
        });
        Some(if self.ledger.is_undisturbed(line.number) {
            Presence::Undisturbed
        } else if is_talking {
            Presence::OnThePhone
        } else {
            Presence::Available
        })
    }
}
