//! What changes the contacts: what the engine learns of a number, and what the user decides about one.

use std::fmt;

use ringfence_book::{Day, IdentityKey, Number};

use super::contacts::{MOST_NAME, MOST_SHARED, OtherKey};

/// Something about a number that the engine learnt by itself and the shell should save.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ContactUpdate {
    /// A call was answered for the first time.
    Pin {
        /// The other side's number.
        number: Number,
        /// The key that it proved.
        identity: IdentityKey,
        /// Today.
        day: Day,
    },
    /// A number that is pinned was shown with another key.
    Other {
        /// The number.
        number: Number,
        /// The key, and where it was seen.
        key: OtherKey,
    },
}

/// What the user decides about a number.
#[derive(Clone, PartialEq, Eq)]
pub enum ContactEdit {
    /// A number is added that no call has proved yet, with this key and this name; an empty name is none.
    Add(IdentityKey, Day, String),
    /// The safety number was compared, and is the same; or that is taken back.
    Verified(bool),
    /// The other key that was shown, this one, is trusted from today on.
    Accept(IdentityKey, Day),
    /// Another name; an empty one takes the old one away.
    Name(String),
    /// The contact is forgotten.
    Remove,
}

/// Why an edit of the user changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// No call with the number was ever answered.
    #[error("there is no such contact: a number becomes one when a call with it is answered")]
    Unknown,
    /// The number is a contact.
    #[error("this number is a contact already; its key was not changed")]
    Known,
    /// The phone book has no such number.
    #[error(
        "the copy of the phone book on this machine has no such number; a new one appears within two minutes"
    )]
    NotListed,
    /// There is no other key to accept.
    #[error("no other key was shown for this number, so there is none to accept")]
    NothingToAccept,
    /// What the user saw and trusts is not what would be accepted now.
    #[error("another key was shown for this number meanwhile: look again")]
    NotThisKey,
    /// Too long, or more than one line.
    #[error("a name is one line of at most {MOST_NAME} bytes")]
    Name,
    /// No place is left in the round.
    #[error(
        "presence is shared {MOST_SHARED} times already, and cannot be once more: ringfence contacts unshare NUMBER makes room"
    )]
    Shared,
}

impl fmt::Debug for ContactEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactEdit(..)")
    }
}

impl fmt::Debug for ContactUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin { .. } => "Pin(..)",
            Self::Other { .. } => "Other(..)",
        })
    }
}
