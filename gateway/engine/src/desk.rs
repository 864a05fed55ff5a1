//! What a call may touch while it handles an event: the phones, the stamps, the post, the
//! sound. A call has no other way to act.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use ringfence_sip as sip;

use crate::call::Common;
use crate::config::Config;
use crate::envelope::{Envelope, Outside};
use crate::hint::Hint;
use crate::line::Line;
use crate::output::{CallLabel, MediaOrder, Output, Post, PostId};
use crate::step::{End, Step};
use crate::stock::Stock;
use crate::work::{Stamp, Window};

/// Borrowed parts of the engine, for the length of one event.
pub(crate) struct Desk<'a> {
    pub(crate) agent: &'a mut sip::Agent,
    pub(crate) config: &'a Config,
    pub(crate) lines: &'a [Line],
    pub(crate) stock: &'a mut Stock,
    pub(crate) hints: &'a mut BTreeMap<Hint, CallLabel>,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) posts: &'a mut u64,
    pub(crate) unix_ms: u64,
    pub(crate) now: Instant,
}

impl Desk<'_> {
    pub(crate) fn step(&mut self, call: &Common, step: Step) {
        let call = call.label;
        tracing::info!(%call, %step, "step");
        self.out.push_back(Output::Step { call, step });
    }

    /// Says how the call ended and frees its sound.
    pub(crate) fn end(&mut self, call: &Common, end: End) {
        self.step(call, Step::Ended(end));
        self.media(call, MediaOrder::Close);
    }

    pub(crate) fn media(&mut self, call: &Common, order: MediaOrder) {
        let call = call.label;
        self.out.push_back(Output::Media { call, order });
    }

    /// Makes sure that a call holds `count` stamps; false while the stock lacks them.
    pub(crate) fn reserve(&mut self, call: &mut Common, count: usize) -> bool {
        if !call.stamps.is_empty() {
            return true;
        }
        match self.stock.take(count, Window::at(self.unix_ms)) {
            Some(stamps) => {
                call.stamps = stamps;
                true
            }
            None => false,
        }
    }

    /// Seals with the call's next stamp and posts. `None` when the call has no stamp left:
    /// reservations are sized so that only a call that may stay silent runs out.
    pub(crate) fn post<T>(
        &mut self,
        call: &mut Common,
        bucket: u16,
        seal: impl FnOnce(&Outside, &mut ChaCha20Rng) -> (T, Envelope),
    ) -> Option<(T, PostId)> {
        let stamp: Stamp = call.stamps.pop()?;
        let outside = Outside::new(bucket, stamp.event_key());
        let (rest, envelope) = seal(&outside, self.rng);
        *self.posts += 1;
        let id = PostId(*self.posts);
        self.out.push_back(Output::Post(Post { id, stamp, bucket, envelope }));
        Some((rest, id))
    }

    /// Envelopes with this hint are for this call.
    pub(crate) fn expect(&mut self, call: &Common, hint: Hint) {
        self.hints.insert(hint, call.label);
    }

    pub(crate) fn patience(&self, call: &mut Common, span: Duration, reason: &'static str) {
        call.alarm = Some((self.now + span, reason));
    }
}
