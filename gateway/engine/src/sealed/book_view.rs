//! The phone book as one side of a call sees it, sealed into ring and answer for the other side to compare.

use std::fmt;

use ringfence_book::root::ROOT_BYTES;
use ringfence_book::{BookKey, Root};

/// The phone book as one side sees it, for the other to compare: its whole signed root, so that two people who call each other
/// and were shown different pages hold the proof of it. All zero while an engine has no root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BookView([u8; ROOT_BYTES]);

impl BookView {
    /// What an engine without a root shows.
    pub const NONE: Self = Self([0; ROOT_BYTES]);

    /// What an engine with this root shows.
    #[must_use]
    pub fn of(root: Option<&Root>) -> Self {
        root.map_or(Self::NONE, |root| Self(root.encode()))
    }

    pub(crate) const fn from_bytes(bytes: [u8; ROOT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 257 bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ROOT_BYTES] {
        &self.0
    }

    /// The root, if this book signed it. Anything else says nothing about the book, and is no fault of the ring that carries it: it
    /// may be a root of a later version.
    #[must_use]
    pub fn root(&self, book: &BookKey) -> Option<Root> {
        Root::decode(&self.0, book).ok()
    }
}

impl fmt::Debug for BookView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BookView(..)")
    }
}
