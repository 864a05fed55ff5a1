//! Stamps are minted ahead of calls, on a thread of their own, so that a caller never waits
//! for proof of work (see `ringfence_engine::sealed::proof_of_work`).

use ringfence_engine::sealed::envelope::EventKey as StampKey;
use ringfence_engine::sealed::proof_of_work::{Mint, Stamp};
use ringfence_engine::time::UnixTime;
use tokio::sync::mpsc;

use crate::clock;
use crate::net::relay::EventKey;

/// Tries between two looks at whether anybody still wants the stamp: about a millisecond.
const TRIES: u32 = 10_000;

/// Mints `count` stamps, one after the other, and hands each over as it is done.
pub(crate) fn order(count: usize, bits: u8, deliver: mpsc::Sender<Stamp>) {
    tokio::task::spawn_blocking(move || {
        for _ in 0..count {
            let Some(stamp) = mint(bits, &deliver) else {
                return;
            };
            if deliver.blocking_send(stamp).is_err() {
                return;
            }
        }
    });
}

/// One stamp, or `None` when nobody waits for it any more.
fn mint(bits: u8, deliver: &mpsc::Sender<Stamp>) -> Option<Stamp> {
    let key = EventKey::generate();
    let wall = UnixTime::from_seconds(clock::unix_seconds());
    let mut work = Mint::new(StampKey(key.public()), key.into_secret(), bits, wall);
    while !deliver.is_closed() {
        if let Some(stamp) = work.mint_some(TRIES) {
            return Some(stamp);
        }
    }
    None
}
