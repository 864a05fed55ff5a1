//! The ending of a call, sealed while the call lives: the cancel of a ring that is out, the hang-up of a call that was answered. If
//! this process is killed, the next one posts it, and the other side need not wait until it misses the audio.
//!
//! One of the call's proofs of work is kept for it, and its event key is used for nothing else that could be posted beside it: a
//! relay that saw one key twice would know that two envelopes belong together. An ending that is posted while the call lives is
//! sealed anew, under that same key ([`CallContext::reclaim_ending`]).
//!
//! Not here: what the file holds ([`crate::restart`]), and what the next process does with it.

use rand_chacha::ChaCha20Rng;

use super::CallCommon;
use super::context::CallContext;
use crate::restart::SealedEnding;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::proof_of_work::ProofOfWork;
use crate::time::UnixTime;

/// What ends a call on the other side.
#[derive(Debug)]
pub(crate) struct EndingInAdvance {
    proof: ProofOfWork,
    bucket: u16,
    envelope: Envelope,
}

impl EndingInAdvance {
    /// As it is saved, for a call that lives at `alive`.
    pub(super) fn saved(&self, alive: UnixTime) -> SealedEnding {
        SealedEnding {
            bucket: self.bucket,
            key: self.proof.key(),
            envelope: self.envelope.clone(),
            alive,
        }
    }
}

impl CallContext<'_> {
    /// Seals the call's ending, in place of an earlier one. A call whose proofs of work are spent has none.
    pub(super) fn seal_ending(
        &mut self,
        call: &mut CallCommon,
        bucket: u16,
        seal: impl FnOnce(&EventContext, &mut ChaCha20Rng) -> Option<Envelope>,
    ) {
        self.reclaim_ending(call);
        let sealed = self.seal(call, bucket, |_, event, rng| {
            seal(event, rng).map(|envelope| ((), envelope)).ok_or(())
        });
        call.ending = sealed.map(|(proof, envelope, ())| EndingInAdvance {
            proof,
            bucket,
            envelope,
        });
        self.env.restart.note_change();
    }

    /// The call ends in this process, or has another ending from now on: the next envelope is posted under the key that was kept.
    pub(super) fn reclaim_ending(&mut self, call: &mut CallCommon) {
        if let Some(EndingInAdvance { proof, .. }) = call.ending.take() {
            call.proofs.get_or_insert_default().push(proof);
            self.env.restart.note_change();
        }
    }
}
