//! How a bounded memory of what others sent is shared: each sender has its part, strangers together have no more than theirs, and
//! when there is no room the oldest of a stranger goes first. So no number of strangers takes anything from a contact.

use ringfence_book::Number;

use crate::sealed::rejected::EnvelopeError;

/// The parts of one memory.
pub(crate) struct Shares {
    /// Of all senders together.
    pub(crate) all: usize,
    /// Of all strangers together.
    pub(crate) strangers: usize,
    pub(crate) each_contact: usize,
    pub(crate) each_stranger: usize,
}

/// Whose an entry is.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) sender: Number,
    pub(crate) is_contact: bool,
}

impl Shares {
    /// The place of the entry that goes for a new one, if one has to; `waiting` is in order of age, the oldest first.
    ///
    /// # Errors
    /// [`EnvelopeError::SenderQuota`].
    pub(crate) fn make_room(
        &self,
        waiting: impl Iterator<Item = Owner>,
        new: Owner,
    ) -> Result<Option<usize>, EnvelopeError> {
        let waiting: Vec<_> = waiting.collect();
        let count = |is_meant: &dyn Fn(&Owner) -> bool| {
            waiting.iter().filter(|owner| is_meant(owner)).count()
        };
        let own = count(&|owner| owner.sender == new.sender);
        let strangers = count(&|owner| !owner.is_contact);
        let (each, is_full) = if new.is_contact {
            (self.each_contact, false)
        } else {
            (self.each_stranger, strangers >= self.strangers)
        };
        if own >= each {
            return Err(EnvelopeError::SenderQuota);
        }
        if !is_full && waiting.len() < self.all {
            return Ok(None);
        }
        let oldest = waiting.iter().position(|owner| !owner.is_contact);
        oldest.map(Some).ok_or(EnvelopeError::SenderQuota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares {
        all: 4,
        strangers: 2,
        each_contact: 3,
        each_stranger: 1,
    };

    fn owner(sender: u32, is_contact: bool) -> Owner {
        let sender = Number::new(sender);
        Owner { sender, is_contact }
    }

    fn room(waiting: &[Owner], new: Owner) -> Result<Option<usize>, EnvelopeError> {
        SHARES.make_room(waiting.iter().copied(), new)
    }

    #[test]
    fn strangers_have_a_part_and_make_room_for_contacts_and_for_each_other() {
        let (contact, one, other) = (owner(1, true), owner(2, false), owner(3, false));
        assert_eq!(room(&[], one), Ok(None));
        assert_eq!(room(&[one], one), Err(EnvelopeError::SenderQuota));
        assert_eq!(room(&[contact, one, other], owner(4, false)), Ok(Some(1)));
        assert_eq!(room(&[contact, one, other], contact), Ok(None));
        assert_eq!(room(&[contact, one, other, contact], contact), Ok(Some(1)));
        let friends = [contact, contact, contact];
        assert_eq!(room(&friends, contact), Err(EnvelopeError::SenderQuota));
        let full = [contact, contact, owner(5, true), owner(5, true)];
        for new in [one, owner(6, true)] {
            assert_eq!(room(&full, new), Err(EnvelopeError::SenderQuota));
        }
    }
}
