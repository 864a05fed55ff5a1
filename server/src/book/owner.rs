//! What changes at the word of a number's owner, or of the operator: another ring key, or an end. Published at the end of an epoch.

use ringfence_book::challenge::is_deactivation;
use ringfence_book::keys::{IdentityKey, KEY_BYTES};
use ringfence_book::listing::{first_serial, serial_of};
use ringfence_book::number::Number;

use super::{Book, OwnerError};
use crate::book::owner_forms::{Deactivation, Rotation};
use crate::book::published::DialledNumber;
use crate::store::{Revision, StoreError};

impl Book {
    /// Lists the number with another ring key of the same identity, which has the next serial. Answers after how many more epochs all
    /// engines have it. The same listing once more changes nothing, so that an answer lost on its way can be asked for again.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn rotate(&mut self, form: &Rotation) -> Result<u32, OwnerError> {
        let sound = form.proof.holds_for_rotation(
            form.number,
            &form.listing,
            &form.challenge,
            &self.proof_secret,
        );
        if !sound || form.challenge.book() != &self.key() {
            return Err(OwnerError::Refused);
        }
        let record = form.listing.encode();
        let listed = self.store.listing(form.number)?;
        let listed = listed.ok_or(OwnerError::Refused)?;
        // A listing with a lower serial would not be believed by any engine, and one with another step would tell a number from a decoy.
        let is_next = serial_of(&listed).checked_add(1) == Some(form.listing.serial());
        if !is_next && listed != record {
            return Err(OwnerError::Refused);
        }
        let waits = self.store.rotate(form.number, &record)?;
        let waits = waits.ok_or(OwnerError::Refused)?;
        let epochs = waits.div_ceil(u64::from(self.terms.changes.max(1)));
        Ok(u32::try_from(epochs).unwrap_or(u32::MAX))
    }

    /// Takes the number out of use at its owner's word. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn deactivate(&mut self, form: &Deactivation, now: u64) -> Result<(), OwnerError> {
        // Whether the number has an owner or not, a signature is verified.
        let (asked, _) = self.published.keys(&DialledNumber::of(form.number));
        let listed = self.store.listing(form.number)?;
        let owner = listed.and_then(|record| record.first_chunk::<KEY_BYTES>().copied());
        let owner = owner.unwrap_or(asked);
        let identity = IdentityKey::from_bytes(&owner)
            .map_err(|_| StoreError::Corrupt("owner's identity key"))?;
        let proved = is_deactivation(&identity, form.number, &form.challenge, &form.signature)
            && form.challenge.book() == &self.key();
        let decoy = self.next_decoy(form.number, now)?;
        if proved && self.store.retire(Some(&owner), &decoy, now)? {
            Ok(())
        } else {
            Err(OwnerError::Refused)
        }
    }

    /// Takes the number out of use at the operator's word, and withdraws a code that it waits for. `now` in Unix seconds. False:
    /// it has no owner, and waits for no code.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoke(&mut self, number: Number, now: u64) -> Result<bool, StoreError> {
        let decoy = self.next_decoy(number, now)?;
        self.store.retire(None, &decoy, now)
    }

    /// What the book says of the number when it has no owner any more: another identity than the decoy had before its owner came.
    fn next_decoy(&mut self, number: Number, now: u64) -> Result<Revision, StoreError> {
        let rows = self.store.rows(number, number)?;
        let before = rows.first().map_or(0, |row| row.next.generation);
        let serial = first_serial(&mut self.rng);
        let decoy = self.decoy(number, before.saturating_add(1), serial, now);
        self.forget_randomness();
        Ok(decoy)
    }
}
