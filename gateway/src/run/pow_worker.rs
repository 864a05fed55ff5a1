//! Proofs of work are done ahead of calls, on a thread of their own, so that no call waits for one (see
//! `ringfence_engine::sealed::proof_of_work`).

use ringfence_engine::sealed::envelope::EventKey;
use ringfence_engine::sealed::proof_of_work::{EventKeyPair, ProofOfWork, ProofSearch};
use ringfence_engine::time::UnixTime;
use tokio::sync::mpsc;

use crate::clock;
use crate::net::relay::EventSigningKey;

/// Tries between two checks whether the receiver still exists: about a millisecond.
const TRIES: u32 = 10_000;

/// Does `count` proofs, one after the other, and delivers each when it is done.
pub(crate) fn order(count: usize, bits: u8, deliver: mpsc::Sender<ProofOfWork>) {
    tokio::task::spawn_blocking(move || {
        for _ in 0..count {
            let Some(proof) = prove(bits, &deliver) else {
                return;
            };
            if deliver.blocking_send(proof).is_err() {
                return;
            }
        }
    });
}

/// Does one proof for a key that was drawn before.
pub(crate) fn order_for(key: EventKeyPair, bits: u8, deliver: mpsc::Sender<ProofOfWork>) {
    tokio::task::spawn_blocking(move || {
        if let Some(proof) = prove_for(key, bits, &deliver) {
            // At shutdown the loop may be gone.
            deliver.blocking_send(proof).ok();
        }
    });
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
