//! Proofs of work are done ahead of calls, on threads of their own, so that no call waits for one (see
//! `ringfence_engine::sealed::proof_of_work`). There are as many as processors: more would do no more proofs, and each keeps memory.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use ringfence_engine::sealed::envelope::EventKey;
use ringfence_engine::sealed::proof_of_work::{EventKeyPair, ProofOfWork, ProofSearch};
use ringfence_engine::time::UnixTime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use crate::clock;
use crate::net::relay::EventSigningKey;

/// Tries between two checks whether the receiver still exists: about a millisecond.
const TRIES: u32 = 10_000;

/// Does proofs in the order in which they were asked for, and delivers each when it is done. The engine bounds how many that are at a
/// time.
#[derive(Debug)]
pub(crate) struct ProofWorkers {
    threads: Arc<Semaphore>,
    deliver: mpsc::Sender<ProofOfWork>,
}

impl ProofWorkers {
    pub(crate) fn new(deliver: mpsc::Sender<ProofOfWork>) -> Self {
        let threads = available_parallelism().map_or(1, NonZero::get);
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            deliver,
        }
    }

    /// Does `count` proofs.
    pub(crate) fn order(&self, count: usize, bits: u8) {
        for _ in 0..count {
            self.start(move |deliver| prove(bits, deliver));
        }
    }

    /// Does one proof for a key that was drawn before.
    pub(crate) fn order_for(&self, key: EventKeyPair, bits: u8) {
        self.start(move |deliver| prove_for(key, bits, deliver));
    }

    fn start(
        &self,
        prove: impl FnOnce(&mpsc::Sender<ProofOfWork>) -> Option<ProofOfWork> + Send + 'static,
    ) {
        let (threads, deliver) = (Arc::clone(&self.threads), self.deliver.clone());
        tokio::spawn(async move {
            let Ok(thread) = threads.acquire_owned().await else {
                return;
            };
            let to = deliver.clone();
            let proof = spawn_blocking(move || prove(&to)).await;
            drop(thread);
            if let Ok(Some(proof)) = proof {
                // At shutdown the loop may be gone.
                deliver.send(proof).await.ok();
            }
        });
    }
}

/// One proof, or `None` when the receiver is gone.
fn prove(bits: u8, deliver: &mpsc::Sender<ProofOfWork>) -> Option<ProofOfWork> {
    let key = EventSigningKey::generate();
    let key = EventKeyPair {
        public: EventKey(key.public()),
        secret: key.into_secret(),
    };
    prove_for(key, bits, deliver)
}

fn prove_for(
    key: EventKeyPair,
    bits: u8,
    deliver: &mpsc::Sender<ProofOfWork>,
) -> Option<ProofOfWork> {
    let wall = UnixTime::from_seconds(clock::unix_seconds());
    let mut work = ProofSearch::new(key.public, key.secret, bits, wall);
    while !deliver.is_closed() {
        if let Some(proof) = work.search(TRIES) {
            return Some(proof);
        }
    }
    None
}
