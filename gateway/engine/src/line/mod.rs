//! Lines: what belongs to one number of this engine. Its identity and account, its settings, feature codes and commands,
//! emergency numbers, its texts, what its phones subscribe to, and the state that is saved for it.
//!
//! Not here: the line's calls (`call/`) and what others are shown of it (`presence/`).

pub mod call_quality;
pub(crate) mod call_record;
pub mod command;
pub(crate) mod emergency_numbers;
pub mod feature_codes;
pub mod identity;
pub(crate) mod messages;
pub(crate) mod old_book;
mod outgoing_text;
pub mod saved_state;
pub(crate) mod settings;
pub(crate) mod state_keeper;
pub(crate) mod subscriptions;
pub mod written;

use ringfence_book::Number;
use ringfence_sip as sip;

use identity::Identity;

/// One number on this engine. Several phones may register to it; all of them ring.
#[derive(Debug)]
pub struct Line {
    /// The number that the phone book assigned.
    pub number: Number,
    /// The keys, the "SIM card".
    pub identity: Identity,
    /// The user name and password a phone registers with. Local to this machine: neither
    /// appears in anything that leaves it.
    pub account: sip::Account,
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

/// Why a line's renewed keys are not taken. The present ones stay in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineUpdateError {
    /// This engine has no line with that number.
    #[error("the keys are for a number that no line here has")]
    NoSuchLine,
    /// An identity never changes.
    #[error("the keys are those of another identity")]
    OtherIdentity,
}
