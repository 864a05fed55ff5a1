//! Endings of calls that another process left behind: each gets a proof of work for its event key, is posted until a relay takes it,
//! and is then forgotten.
//!
//! An ending is posted for ten minutes after its call was last known to live. By then the other engine has missed the audio long
//! ago, and an event from this address would tell a relay of the crash and no other receiver of anything.

use std::time::{Duration, Instant};

use super::{MOST_ENDINGS, SealedEnding};
use crate::environment::Environment;
use crate::output::{Output, PostId};
use crate::sealed::proof_of_work::ProofOfWork;
use crate::time::{Timer, UnixTime};

/// How long after its call an ending is posted.
const GOOD_FOR: Duration = Duration::from_secs(10 * 60);

/// Between two attempts: at the start relays may still be connecting, and a relay that refuses is not to be pressed.
const PAUSE: Duration = Duration::from_millis(500);

/// Endings that no relay has taken.
#[derive(Debug, Default)]
pub(crate) struct UnsentEndings(Vec<UnsentEnding>);

#[derive(Debug)]
struct UnsentEnding {
    ending: SealedEnding,
    stage: SendingStage,
}

#[derive(Debug, PartialEq, Eq)]
enum SendingStage {
    /// A proof of work is on order.
    Proving,
    /// Relays have been given it.
    Posted(PostId),
    /// No relay took it; it is tried again at this instant, with a new proof of work.
    Pausing(Instant),
}

impl UnsentEndings {
    /// Takes what another process left, as far as it is of use.
    pub(crate) fn take(&mut self, endings: Vec<SealedEnding>, env: &mut Environment, now: Instant) {
        let wall = env.wall(now);
        let fresh = endings.into_iter().filter(|ending| is_good(ending, wall));
        for ending in fresh.take(MOST_ENDINGS) {
            order_proof(&ending, env);
            self.0.push(UnsentEnding {
                ending,
                stage: SendingStage::Proving,
            });
        }
    }

    /// Posts the ending that a proof of work was done for; gives the proof back when it is for another event key.
    pub(crate) fn handle_proof(
        &mut self,
        proof: ProofOfWork,
        env: &mut Environment,
    ) -> Option<ProofOfWork> {
        let unsent = self.0.iter_mut();
        let unsent = unsent
            .filter(|unsent| unsent.stage == SendingStage::Proving)
            .find(|unsent| unsent.ending.key.public == proof.event_key);
        let Some(UnsentEnding { ending, stage }) = unsent else {
            return Some(proof);
        };
        let post = env.out.post(proof, ending.bucket, ending.envelope.clone());
        *stage = SendingStage::Posted(post);
        None
    }

    /// How many relays took a post; false when it is none of an ending.
    pub(crate) fn handle_posted(
        &mut self,
        post: PostId,
        relays: usize,
        env: &mut Environment,
        now: Instant,
    ) -> bool {
        let posted = SendingStage::Posted(post);
        let Some(at) = self.0.iter().position(|unsent| unsent.stage == posted) else {
            return false;
        };
        if relays > 0 {
            self.0.remove(at);
            env.restart.note_change();
        } else if let Some(unsent) = self.0.get_mut(at) {
            unsent.stage = SendingStage::Pausing(now + PAUSE);
        }
        true
    }

    pub(crate) fn handle_timeout(&mut self, env: &mut Environment, now: Instant) {
        let (wall, before) = (env.wall(now), self.0.len());
        self.0.retain(|unsent| is_good(&unsent.ending, wall));
        if self.0.len() < before {
            env.restart.note_change();
        }
        for UnsentEnding { ending, stage } in &mut self.0 {
            if matches!(stage, SendingStage::Pausing(at) if *at <= now) {
                order_proof(ending, env);
                *stage = SendingStage::Proving;
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let pauses = self.0.iter().filter_map(|unsent| match unsent.stage {
            SendingStage::Pausing(at) => Some(at),
            SendingStage::Proving | SendingStage::Posted(_) => None,
        });
        pauses.min().map(|at| (at, Timer::EndingPosting))
    }

    /// They stay in the restart state, as they were.
    pub(crate) fn all(&self) -> impl Iterator<Item = SealedEnding> + '_ {
        self.0.iter().map(|unsent| unsent.ending.clone())
    }
}

fn is_good(ending: &SealedEnding, wall: UnixTime) -> bool {
    ending.alive.distance(wall) <= GOOD_FOR
}

fn order_proof(ending: &SealedEnding, env: &mut Environment) {
    env.out.push(Output::WantProofFor(ending.key.clone()));
}
