//! Who calls: a sender is who this engine's own copy of the phone book says (PROTOCOL.md section 5.1).
//!
//! The copy lists an identity for the sender's number. That identity must have signed the ring key that the handshake proved, with a
//! serial not lower than the copy's: a replaced ring key dies with the next download, and a newer one passes an older copy. A note is
//! judged by the copy as it was when the note was written. No look-up leaves the machine.

use std::time::Duration;

use ringfence_book::{Listing, RingKey};

use super::contacts::{Contacts, KeyStanding, PeerIdentity};
use super::directory::Directory;
use crate::sealed::note::SKEW;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::sender_proof::SenderProof;
use crate::time::UnixTime;

/// Age of a copy of the book after which it is believed of contacts alone: what it lists for others may have changed hands.
pub const TRUSTED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// What this engine knows of those who may send it something.
#[derive(Clone, Copy, Debug)]
pub struct Callers<'a> {
    directory: &'a Directory,
    contacts: &'a Contacts,
}

impl<'a> Callers<'a> {
    /// Those of this copy of the book, and these contacts.
    #[must_use]
    pub const fn new(directory: &'a Directory, contacts: &'a Contacts) -> Self {
        Self {
            directory,
            contacts,
        }
    }

    /// Who rings, or reports presence: `proved` is the ring key that the handshake proved.
    pub(crate) fn identify(
        &self,
        from: &SenderProof,
        proved: &[u8; 32],
        now: UnixTime,
    ) -> Result<PeerIdentity, EnvelopeError> {
        let ring_key = read_key(proved)?;
        let listed = self.directory.listing(from.number);
        let listed = listed.map_err(|_| EnvelopeError::NotListed)?;
        self.trust(signed_by(&listed, from, ring_key)?, now)
    }

    /// Who wrote a note: a listing counts that was current when it was written.
    pub(crate) fn identify_writer(
        &self,
        from: &SenderProof,
        proved: &[u8; 32],
        now: UnixTime,
    ) -> Result<PeerIdentity, EnvelopeError> {
        let current = self.identify(from, proved, now);
        let Err(fault @ (EnvelopeError::NotListed | EnvelopeError::ReplacedKey)) = current else {
            return current;
        };
        let ring_key = read_key(proved)?;
        let written = from.dated.seconds().saturating_sub(SKEW.as_secs());
        let mut replaced = self.directory.replaced(from.number, written);
        let sender = replaced.find_map(|listed| signed_by(&listed, from, ring_key).ok());
        self.trust(sender.ok_or(fault)?, now)
    }

    fn trust(&self, sender: PeerIdentity, now: UnixTime) -> Result<PeerIdentity, EnvelopeError> {
        let standing = self.contacts.standing(sender.number, &sender.identity);
        if standing == KeyStanding::Pinned || !self.directory.is_older_than(TRUSTED_FOR, now) {
            Ok(sender)
        } else {
            Err(EnvelopeError::OldBook)
        }
    }
}

fn read_key(proved: &[u8; 32]) -> Result<RingKey, EnvelopeError> {
    RingKey::from_bytes(proved).map_err(|_| EnvelopeError::NotListed)
}

/// The sender, if the listed identity signed this ring key after the listed one, or it is that.
fn signed_by(
    listed: &Listing,
    from: &SenderProof,
    ring_key: RingKey,
) -> Result<PeerIdentity, EnvelopeError> {
    let identity = *listed.identity();
    Listing::from_parts(identity, ring_key, from.serial, from.listing_signature)
        .map_err(|_| EnvelopeError::NotListed)?;
    if from.serial < listed.serial() {
        return Err(EnvelopeError::ReplacedKey);
    }
    Ok(PeerIdentity {
        number: from.number,
        identity,
    })
}
