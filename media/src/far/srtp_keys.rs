//! The SRTP keys of a connection on their way from DTLS (RFC 5764 section 4.2) to its RTP session, past str0m.
//!
//! str0m never gets them, so that it cannot seal a packet under the same key and index as the RTP session does.
//!
//! str0m takes a provider of DTLS that lives for ever, and gives it nothing of the call to which a new session belongs but its certificate.
//! No two calls have the same one, and so the slot for the keys waits under it while str0m makes the session.

use std::sync::{Arc, Mutex, PoisonError};

use crate::srtp::SrtpKeyPair;

/// Where a DTLS session leaves the keys and the RTP session takes them, once.
#[derive(Clone, Default)]
pub(super) struct KeySlot(Arc<Mutex<Option<SrtpKeyPair>>>);

/// The slots of connections that are being made at this moment, one for each thread at most.
static WAITING: Mutex<Vec<(Vec<u8>, KeySlot)>> = Mutex::new(Vec::new());

impl KeySlot {
    /// Runs `make`, in which the session with this certificate is made; its keys will be in the slot.
    pub(super) fn of<T>(certificate: &[u8], make: impl FnOnce() -> T) -> (T, Self) {
        let slot = Self::default();
        let waiting = (certificate.to_vec(), slot.clone());
        lock(&WAITING).push(waiting);
        let made = make();
        lock(&WAITING).retain(|(_, waiting)| !Arc::ptr_eq(&waiting.0, &slot.0));
        (made, slot)
    }

    /// The slot of the session with this certificate.
    pub(super) fn waiting(certificate: &[u8]) -> Option<Self> {
        let waiting = lock(&WAITING);
        let found = waiting.iter().find(|(own, _)| own == certificate);
        found.map(|(_, slot)| slot.clone())
    }

    pub(super) fn put(&self, keys: SrtpKeyPair) {
        *lock(&self.0) = Some(keys);
    }

    pub(super) fn take(&self) -> Option<SrtpKeyPair> {
        lock(&self.0).take()
    }
}

impl std::fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySlot(..)")
    }
}

/// No code panics while it holds one of these locks, and what they protect is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::SrtpSuite;

    #[test]
    fn keys_reach_the_connection_of_their_certificate_once() {
        let pair = |byte| SrtpKeyPair::from_dtls(SrtpSuite::AesGcm128, &[byte; 56], true);
        let (inner, outer) = KeySlot::of(b"one", || {
            let session = KeySlot::waiting(b"one").unwrap();
            let (_, other) = KeySlot::of(b"two", || {
                KeySlot::waiting(b"two").unwrap().put(pair(2).unwrap());
            });
            session.put(pair(1).unwrap());
            other
        });
        assert_eq!((inner.take(), outer.take()), (pair(2), pair(1)));
        assert_eq!((inner.take(), outer.take()), (None, None));
        assert!(KeySlot::waiting(b"one").is_none() && KeySlot::waiting(b"two").is_none());
    }
}
