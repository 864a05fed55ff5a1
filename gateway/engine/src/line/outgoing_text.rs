//! A text on its way to the relays: sealed piece by piece once there are proofs of work, and who is told what became of it.

use std::collections::BTreeSet;
use std::time::Instant;

use ringfence_sip as sip;

use super::written::WrittenTexts;
use crate::environment::Environment;
use crate::output::PostId;
use crate::sealed::book_view::BookView;
use crate::sealed::bucket::bucket;
use crate::sealed::envelope::EventContext;
use crate::sealed::first_message::{Outside, SealingKeys};
use crate::sealed::note::sealing::TextDraft;
use crate::trust::directory::CalleeKeys;

/// Who waits for what becomes of a text: a phone, or the screen at which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writer {
    Phone(sip::TextId),
    Screen(u64),
}

/// A text on its way to the relays.
#[derive(Debug)]
pub(super) struct OutgoingText {
    pub(super) line: usize,
    pub(super) callee: CalleeKeys,
    pub(super) draft: TextDraft,
    /// Those that no relay has taken yet; `None` while there are too few proofs of work.
    pub(super) posts: Option<BTreeSet<PostId>>,
    pub(super) until: Instant,
}

impl Writer {
    pub(super) fn answer(
        self,
        status: u16,
        screen: &mut WrittenTexts,
        env: &mut Environment,
        now: Instant,
    ) {
        match self {
            Self::Phone(text) => env.agent.answer_text(text, status, now),
            Self::Screen(id) => screen.settle(id, status),
        }
    }
}

impl OutgoingText {
    /// `None` while there are too few proofs of work; a status when it cannot be sealed.
    pub(super) fn post(
        &self,
        env: &mut Environment,
        now: Instant,
    ) -> Result<Option<BTreeSet<PostId>>, u16> {
        let wall = env.wall(now);
        let number = env.lines.number(self.line).ok_or(403_u16)?;
        let Some(proofs) = env.proofs.take(self.draft.pieces(), wall) else {
            return Ok(None);
        };
        let bucket = bucket(&self.callee.identity, env.config.bucket_bits);
        let mut posts = BTreeSet::new();
        for (index, proof) in proofs.into_iter().enumerate() {
            let event = EventContext {
                bucket,
                event_key: proof.event_key,
            };
            let (draft, callee) = (&self.draft, &self.callee);
            let outside = Outside::new(event, env.tag(number, callee.peer(), wall));
            let line = env.lines.get(self.line).ok_or(403_u16)?;
            let keys = SealingKeys {
                identity: &line.identity,
                number,
                book: BookView::NONE,
            };
            let sealed = draft.seal(index, &keys, callee, outside, wall, &mut env.rng);
            // The phone gets the status of a number that is not answered.
            let envelope = sealed.map_err(|_| 480_u16)?;
            posts.insert(env.out.post_note(proof, bucket, envelope));
        }
        Ok(Some(posts))
    }
}
