//! Lines: what belongs to one number of this engine. Its identity and account, its settings, feature codes and commands,
//! emergency numbers, its texts, what its phones subscribe to, and the state that is saved for it.
//!
//! Not here: the line's calls (`call/`) and what others are shown of it (`presence/`).

pub(crate) mod call_record;
pub mod command;
pub(crate) mod emergency_numbers;
pub mod feature_codes;
pub mod identity;
pub(crate) mod messages;
pub mod saved_state;
pub(crate) mod settings;
pub(crate) mod state_keeper;
pub(crate) mod subscriptions;

use ringfence_book::{Binding, BindingError, BookKey, Day, Number};
use ringfence_sip as sip;

use identity::Identity;

/// One number on this engine. Several phones may register to it; all of them ring.
#[derive(Debug)]
pub struct Line {
    /// The number that the phone book assigned.
    pub number: Number,
    /// The keys, the "SIM card".
    pub identity: Identity,
    /// The phone book's signature that number and identity belong together; stapled to every ring.
    pub binding: Binding,
    /// The user name and password a phone registers with. Local to this machine: neither
    /// appears in anything that leaves it.
    pub account: sip::Account,
}

impl Line {
    /// Takes a renewed binding in place of the present one.
    pub(crate) fn renew(
        &mut self,
        binding: Binding,
        book: &BookKey,
        today: Day,
    ) -> Result<(), LineUpdateError> {
        binding.verify(book, today)?;
        if *binding.identity() != self.identity.key() {
            return Err(LineUpdateError::OtherIdentity);
        }
        self.binding = binding;
        Ok(())
    }
}

/// All lines of an engine, in the order in which they were given. There are no more and no fewer while it runs.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) const fn new(lines: Vec<Line>) -> Self {
        Self(lines)
    }

    pub(crate) fn as_slice(&self) -> &[Line] {
        &self.0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Line> {
        self.0.get(index)
    }

    pub(crate) fn number(&self, index: usize) -> Option<Number> {
        self.get(index).map(|line| line.number)
    }

    /// The line whose phones register as `user`.
    pub(crate) fn of_user(&self, user: &sip::User) -> Option<usize> {
        self.0.iter().position(|line| line.account.user == *user)
    }

    pub(crate) fn of_number(&self, number: Number) -> Option<usize> {
        self.0.iter().position(|line| line.number == number)
    }

    /// Takes a renewed binding for the line with its number.
    pub(crate) fn renew_binding(
        &mut self,
        binding: Binding,
        book: &BookKey,
        today: Day,
    ) -> Result<(), LineUpdateError> {
        let line = self.of_number(binding.number());
        let line = line.and_then(|index| self.0.get_mut(index));
        line.ok_or(LineUpdateError::NoSuchLine)?
            .renew(binding, book, today)
    }

    /// Takes a line's keys with another ring key, under the same identity.
    pub(crate) fn replace_identity(
        &mut self,
        number: Number,
        identity: Identity,
    ) -> Result<(), LineUpdateError> {
        let line = self.of_number(number);
        let line = line.and_then(|index| self.0.get_mut(index));
        let line = line.ok_or(LineUpdateError::NoSuchLine)?;
        if line.identity.key() != identity.key() {
            return Err(LineUpdateError::OtherIdentity);
        }
        line.identity = identity;
        Ok(())
    }
}

/// Why a renewed binding is not taken. The present one stays in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineUpdateError {
    /// This engine has no line with that number.
    #[error("the binding is for a number that no line here has")]
    NoSuchLine,
    /// The phone book bound the line's number to another identity.
    #[error("the binding gives the line's number to another identity")]
    OtherIdentity,
    /// The phone book did not sign it, or its last day has passed.
    #[error(transparent)]
    Worthless(#[from] BindingError),
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const NUMBER: Number = Number::new(20_001);
    const TODAY: Day = Day::new(20_000);

    fn book() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn line() -> Line {
        let identity = Identity::generate(TODAY.plus(30), &mut ChaCha20Rng::from_seed([3; 32]));
        let binding = Binding::sign(&book(), NUMBER, identity.key(), TODAY);
        Line {
            number: NUMBER,
            identity,
            binding,
            account: sip::Account {
                user: sip::User::new("1".to_owned()),
                password: sip::Password::new("secret"),
            },
        }
    }

    #[test]
    fn a_renewed_binding_takes_the_place_of_the_old_one() {
        let mut line = line();
        let fresh = Binding::sign(&book(), NUMBER, line.identity.key(), TODAY.plus(30));
        assert_eq!(line.renew(fresh, &BookKey::from(&book()), TODAY), Ok(()));
        assert_eq!(line.binding, fresh);
    }

    #[test]
    fn what_another_signed_what_has_ended_and_what_is_for_another_leaves_the_old_one_in_use() {
        let mut line = line();
        let (old, key, later) = (line.binding, line.identity.key(), TODAY.plus(30));
        let stranger = SigningKey::from_bytes(&[2; 32]);
        let foreign = Binding::sign(&stranger, NUMBER, key, later);
        let ended = Binding::sign(&book(), NUMBER, key, Day::new(19_999));
        let stolen = Binding::sign(&book(), NUMBER, (&stranger).into(), later);
        for (binding, fault) in [
            (foreign, LineUpdateError::Worthless(BindingError::Signature)),
            (ended, LineUpdateError::Worthless(BindingError::Expired)),
            (stolen, LineUpdateError::OtherIdentity),
        ] {
            let book = BookKey::from(&book());
            assert_eq!(line.renew(binding, &book, TODAY), Err(fault));
            assert_eq!(line.binding, old);
        }
    }
}
