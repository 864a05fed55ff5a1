//! Hints: how the two sides of one call recognise each other's envelopes, and nobody else does.

/// The 16 public bytes by which a receiver finds the call that an envelope belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hint(pub [u8; 16]);

impl std::fmt::Debug for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hint(..)")
    }
}
