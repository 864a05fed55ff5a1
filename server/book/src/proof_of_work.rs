//! Proof of work of an event: bound to the event's one-time key, so that it can be made ahead of a call, and to a window of time, so that
//! no hoard lasts. Relays for rings check it, and so do engines; making it is the engine's.

use sha2::{Digest, Sha256};

/// Bits of work that an event must show where the settings are silent: 2^16 hashes on average.
pub const DEFAULT_BITS: u8 = 16;

/// Length of a window: long enough to keep proofs ready, short enough that a hoard goes stale.
pub const WINDOW_SECONDS: u64 = 600;

const DOMAIN: &[u8] = b"ringfence/2 work\0";

/// The window of a time in seconds since 1970.
#[must_use]
pub fn window_of(unix: u64) -> u32 {
    u32::try_from(unix / WINDOW_SECONDS).unwrap_or(u32::MAX)
}

/// Whether the work for this event key is enough, in the window of `unix` (seconds since 1970) or an adjacent one.
#[must_use]
pub fn check(event_key: &[u8; 32], nonce: u64, bits: u8, unix: u64) -> bool {
    let current = window_of(unix);
    let windows = [
        Some(current),
        current.checked_sub(1),
        current.checked_add(1),
    ];
    windows
        .into_iter()
        .flatten()
        .any(|window| zero_bits(event_key, window, nonce) >= u32::from(bits))
}

/// Leading zero bits of `SHA-256("ringfence/2 work\0" | event key 32 | window u32 BE | nonce u64 BE)`.
#[must_use]
pub fn zero_bits(event_key: &[u8; 32], window: u32, nonce: u64) -> u32 {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(event_key)
        .chain_update(window.to_be_bytes())
        .chain_update(nonce.to_be_bytes())
        .finalize()
        .into();
    let mut bits = 0;
    for byte in hash {
        bits += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    bits
}
