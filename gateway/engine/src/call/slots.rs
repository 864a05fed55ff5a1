//! The envelopes that a caller posts after its ring: six of them, four to seven seconds apart, whatever becomes of the call. While it
//! rings they are the ring again, sealed anew; once the caller gave up, all that are left are its cancel, so that a lost one is made good
//! by the next; all others are covers. So a relay sees the same of a call that is answered, refused, given up, or that no person was there to
//! hear.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::Rng;
use ringfence_book::Number;

use super::CallState;
use super::calls::Calls;
use crate::environment::Environment;
use crate::output::CallLabel;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::Outside;
use crate::sealed::proof_of_work::ProofOfWork;
use crate::sealed::ring::CancelReason;
use crate::sealed::ring::outgoing::OutgoingRing;
use crate::time::{Timer, UnixTime};
use crate::trust::contacts::PeerIdentity;

/// Envelopes after the ring and its note.
const SLOTS: usize = 6;

/// The shortest and the longest time from one to the next, in milliseconds. The longest is how long a phone may ring on after its
/// caller has hung up; six of the mean are as long as a ring lasts.
const SHORTEST: u64 = 4_000;
const LONGEST: u64 = 7_000;

/// Until an envelope is tried again for which no proof of work was in stock.
const RETRY: Duration = Duration::from_millis(100);

/// The envelopes that are still to be posted, of all calls.
#[derive(Debug, Default)]
pub(super) struct PostingSlots(Vec<CallSlots>);

#[derive(Debug)]
struct CallSlots {
    call: CallLabel,
    bucket: u16,
    left: usize,
    next: Instant,
    given_up: Option<GivenUp>,
}

/// A ring that its caller has taken back. It is kept longer than its call.
#[derive(Debug)]
pub(super) struct GivenUp {
    pub(super) ring: Arc<OutgoingRing>,
    /// The line that rang.
    pub(super) number: Number,
    pub(super) callee: PeerIdentity,
}

/// One envelope that is due.
#[derive(Debug)]
pub(super) struct DueSlot {
    pub(super) call: CallLabel,
    pub(super) bucket: u16,
    pub(super) proof: ProofOfWork,
    /// What it is, if the caller gave up.
    pub(super) cancel: Option<Envelope>,
}

impl PostingSlots {
    /// A ring is posted now.
    pub(super) fn begin(&mut self, call: CallLabel, bucket: u16, rng: &mut impl Rng, now: Instant) {
        self.0.push(CallSlots {
            call,
            bucket,
            left: SLOTS,
            next: now + draw_pause(rng),
            given_up: None,
        });
    }

    /// The caller of a ring gave up: what is still to be posted is the cancel.
    pub(super) fn give_up(&mut self, call: CallLabel, given_up: GivenUp) {
        let of_call = |slots: &&mut CallSlots| slots.call == call && slots.given_up.is_none();
        if let Some(slots) = self.0.iter_mut().find(of_call) {
            slots.given_up = Some(given_up);
        }
    }

    /// The next envelope that is due and has its proof of work.
    pub(super) fn take_due(&mut self, env: &mut Environment, now: Instant) -> Option<DueSlot> {
        let wall = env.wall(now);
        let due = self.0.iter_mut().find(|slots| slots.next <= now)?;
        let Some(proof) = env.proofs.take(1, wall).and_then(|mut one| one.pop()) else {
            due.next = now + RETRY;
            return None;
        };
        due.next += draw_pause(&mut env.rng);
        due.left -= 1;
        let event = EventContext {
            bucket: due.bucket,
            event_key: proof.event_key,
        };
        let given_up = due.given_up.as_ref();
        let slot = DueSlot {
            call: due.call,
            bucket: due.bucket,
            proof,
            cancel: given_up.and_then(|given_up| given_up.seal_cancel(&event, wall, env)),
        };
        self.0.retain(|slots| slots.left > 0);
        Some(slot)
    }

    /// Proofs of work that they need next. Each is ordered when the envelope before is posted: the work of all six at once would take
    /// the processor from the call that is being set up.
    pub(super) fn lacks(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let next = self.0.iter().map(|slots| slots.next).min()?;
        Some((next, Timer::PostingSlot))
    }
}

impl GivenUp {
    fn seal_cancel(
        &self,
        event: &EventContext,
        wall: UnixTime,
        env: &mut Environment,
    ) -> Option<Envelope> {
        let outside = Outside::new(*event, env.tag(self.number, self.callee, wall));
        let cancel = self
            .ring
            .seal_cancel(CancelReason::GaveUp, outside, wall, &mut env.rng);
        cancel.ok()
    }
}

impl Calls {
    /// Posts the envelopes that are due.
    pub(super) fn post_slots(&mut self, env: &mut Environment, now: Instant) {
        while let Some(slot) = self.take_slot(env, now) {
            let event = EventContext {
                bucket: slot.bucket,
                event_key: slot.proof.event_key,
            };
            let sealed = slot.cancel.or_else(|| {
                let call = self.calls.get_mut(&slot.call)?;
                match &mut call.phase {
                    CallState::Calling(calling) => {
                        calling.ring_again(&call.common, &event, env, now)
                    }
                    _ => None,
                }
            });
            let envelope = sealed.unwrap_or_else(|| Envelope::cover(&mut env.rng));
            env.out.post(slot.proof, slot.bucket, envelope);
        }
    }
}

fn draw_pause(rng: &mut impl Rng) -> Duration {
    // The remainder prefers some of 3,001 values by less than one in 10^15.
    Duration::from_millis(SHORTEST + rng.next_u64() % (LONGEST - SHORTEST + 1))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn pauses_are_drawn_evenly_from_four_to_seven_seconds() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let drawn: Vec<_> = (0..30_000).map(|_| draw_pause(&mut rng)).collect();
        let within = Duration::from_secs(4)..=Duration::from_secs(7);
        assert!(drawn.iter().all(|pause| within.contains(pause)));
        let mean = drawn.iter().sum::<Duration>() / 30_000;
        assert!(mean.abs_diff(Duration::from_millis(5_500)) < Duration::from_millis(20));
    }
}
