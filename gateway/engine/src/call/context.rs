//! What a call may touch while it handles an event: the phones, the stamps, the post, the
//! sound. A call has no other way to act.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use ringfence_phonebook::BookKey;
use ringfence_sip as sip;

use crate::call::step::{End, Step};
use crate::call::{Common, News, Peer};
use crate::config::Config;
use crate::line::Line;
use crate::output::{CallLabel, MediaOrder, Output, Post, PostId};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::proof_stock::Stock;
use crate::sealed::ring::BookView;
use crate::sealed::routing_tag::Hint;
use crate::time::UnixTime;
use crate::trust::alarm;
use crate::trust::contacts::{AddressBook, Learnt};
use crate::trust::roots::Roots;

/// Borrowed parts of the engine, for the length of one event.
pub(crate) struct Desk<'a> {
    pub(crate) agent: &'a mut sip::Agent,
    pub(crate) config: &'a Config,
    pub(crate) line: &'a Line,
    pub(crate) stock: &'a mut Stock,
    pub(crate) hints: &'a mut BTreeMap<Hint, CallLabel>,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) posts: &'a mut u64,
    pub(crate) address_book: &'a mut AddressBook,
    pub(crate) roots: &'a mut Roots,
    pub(crate) book_key: &'a BookKey,
    pub(crate) news: &'a mut VecDeque<(CallLabel, News)>,
    pub(crate) wall: UnixTime,
    pub(crate) now: Instant,
}

impl Desk<'_> {
    pub(crate) fn step(&mut self, call: &Common, step: Step) {
        let call = call.label;
        tracing::debug!(%call, %step, "call");
        self.out.push_back(Output::Step { call, step });
    }

    /// Says how the call ended and frees its sound.
    pub(crate) fn end(&mut self, call: &Common, end: End) {
        self.tell_partner(call, News::Over(480));
        self.step(call, Step::Ended(end));
        self.media(call, MediaOrder::Close);
    }

    pub(crate) fn media(&mut self, call: &Common, order: MediaOrder) {
        let call = call.label;
        self.out.push_back(Output::Media { call, order });
    }

    /// Tells the call that this one is or will be joined with, if there is one.
    pub(crate) fn tell_partner(&mut self, call: &Common, news: News) {
        if let Some(partner) = call.partner {
            self.news.push_back((partner, news));
        }
    }

    /// The phone hears that it rings on the other side.
    pub(crate) fn ring_back(&mut self, call: &Common) {
        match call.leg {
            Some(leg) => self.agent.ring(leg, self.now),
            None => self.tell_partner(call, News::Rings),
        }
    }

    /// Says to the phone how the transfer stands that it has asked for.
    pub(crate) fn tell_transfer(&mut self, call: &Common, status: u16) {
        if let Some(leg) = call.leg {
            self.agent.transfer(leg, status, self.now);
        }
    }

    /// Answers the phone's INVITE, or its re-INVITE.
    pub(crate) fn answer_phone(&mut self, call: &Common, sdp: Vec<u8>) {
        if let Some(leg) = call.leg {
            self.agent.answer(leg, sdp, self.now);
        }
    }

    /// Refuses the phone's INVITE, or its re-INVITE.
    pub(crate) fn refuse_phone(&mut self, call: &Common, status: u16) {
        match call.leg {
            Some(leg) => self.agent.refuse(leg, status, self.now),
            None => self.tell_partner(call, News::Over(status)),
        }
    }

    /// Ends the phone's side, whatever its state.
    pub(crate) fn hang_up_phone(&mut self, call: &mut Common) {
        if let Some(leg) = call.leg.take() {
            self.agent.hang_up(leg, sip::HangUp::Normal, self.now);
        }
    }

    /// Stops phones whose call was taken in another way; they show no missed call.
    pub(crate) fn stop_phones(&mut self, call: &mut Common) {
        if let Some(leg) = call.leg.take() {
            self.agent
                .hang_up(leg, sip::HangUp::AnsweredElsewhere, self.now);
        }
    }

    /// Makes sure that a call holds its `count` stamps; false while the stock lacks them.
    pub(crate) fn reserve(&mut self, call: &mut Common, count: usize) -> bool {
        if call.stamps.is_none() {
            call.stamps = self.stock.take(count, self.wall);
        }
        call.stamps.is_some()
    }

    /// Seals with the call's next stamp and posts. `None` when nothing could be sealed: the
    /// reservation is spent, or the other side's key is unusable.
    pub(crate) fn post<T, E>(
        &mut self,
        call: &mut Common,
        bucket: u16,
        seal: impl FnOnce(&Outside, &mut ChaCha20Rng) -> Result<(T, Envelope), E>,
    ) -> Option<(T, PostId)> {
        self.post_as(false, call, bucket, seal)
    }

    /// Seals a note with the call's next stamp and posts it for relays to keep.
    pub(crate) fn post_note<E>(
        &mut self,
        call: &mut Common,
        bucket: u16,
        seal: impl FnOnce(&Outside, &mut ChaCha20Rng) -> Result<Envelope, E>,
    ) {
        self.post_as(true, call, bucket, |outside, rng| {
            seal(outside, rng).map(|envelope| ((), envelope))
        });
    }

    fn post_as<T, E>(
        &mut self,
        is_note: bool,
        call: &mut Common,
        bucket: u16,
        seal: impl FnOnce(&Outside, &mut ChaCha20Rng) -> Result<(T, Envelope), E>,
    ) -> Option<(T, PostId)> {
        let stamp = call.stamps.as_mut().and_then(Vec::pop)?;
        let outside = Outside {
            bucket,
            event_key: stamp.event_key,
        };
        let (rest, envelope) = seal(&outside, self.rng).ok()?;
        *self.posts += 1;
        let id = PostId(*self.posts);
        self.out.push_back(Output::Post(Post {
            id,
            stamp,
            bucket,
            envelope,
            is_note,
        }));
        Some((rest, id))
    }

    /// Envelopes with these hints are for this call.
    pub(crate) fn expect(&mut self, call: &Common, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            self.hints.insert(hint, call.label);
        }
    }

    /// The book as this engine sees it, to be shown to the other side.
    pub(crate) fn book_view(&self) -> BookView {
        BookView::of(self.roots.newest())
    }

    /// Compares it with what the other side saw. Whatever comes out, the call goes on: it is the one place where the two can read
    /// their safety number to each other.
    pub(crate) fn compare(&mut self, view: &BookView) {
        let split = view
            .root(self.book_key)
            .and_then(|theirs| self.roots.hear(theirs));
        self.out.extend(split.map(alarm));
    }

    /// The other side has proved its key in an answered call: from now on its number stands for it.
    pub(crate) fn pin(&mut self, peer: &Peer) {
        let learnt = Learnt::Pin {
            number: peer.number,
            identity: peer.identity,
            day: self.wall.day(),
        };
        if let Some(count) = self.address_book.learn(learnt) {
            self.out.push_back(Output::Learnt { count, learnt });
        }
    }

    /// Sets how long the call's new state may last.
    pub(crate) fn patience(&self, call: &mut Common, span: Duration, reason: &'static str) {
        call.alarm = Some((self.now + span, reason));
    }
}
