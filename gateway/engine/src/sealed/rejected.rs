//! Why an envelope was dropped. The sender never learns it: every reason is silence on the wire.
//!
//! The reasons exist for counters and tests. They name no number and no key, so that they may be counted
//! anywhere; the engine logs them at DEBUG at most.

/// Why an envelope was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not exactly 1,024 bytes.
    #[error("wrong length")]
    Length,
    /// A version of the protocol that this engine does not speak.
    #[error("unknown version")]
    Version,
    /// The proof has too little work, or belongs to another time.
    #[error("too little work")]
    Work,
    /// The proof of work was used before: each is good for one envelope.
    #[error("proof of work already spent")]
    ProofSpent,
    /// No key of ours opens it. Ordinary: most envelopes of a bucket are for other lines.
    #[error("not for us, or altered")]
    NotOurs,
    /// A public key that would make the shared secret predictable (all-zero Diffie-Hellman result).
    #[error("weak key")]
    WeakKey,
    /// The bytes after the body are not zero, or the length field does not fit.
    #[error("malformed payload")]
    Payload,
    /// A kind of message that does not belong here, or that this version does not know.
    #[error("unexpected kind")]
    Kind,
    /// The body has the wrong length or a field outside its range.
    #[error("malformed body")]
    Body,
    /// The identity that the copy of the phone book lists for the sender's number did not sign the Noise static key.
    #[error("ring key not signed by the number's owner")]
    NotListed,
    /// The copy of the phone book lists a later ring key of the sender.
    #[error("sender's ring key was replaced")]
    ReplacedKey,
    /// The copy of the phone book is too old to say who a sender is, and this is no contact.
    #[error("copy of the phone book too old")]
    OldBook,
    /// More than 60 s away from our clock.
    #[error("too old, or from the future")]
    Stale,
    /// Seen before, or not newer than one that was and is forgotten.
    #[error("replay")]
    Replay,
    /// As much of the sender waits as may.
    #[error("sender's share is used up")]
    SenderQuota,
    /// An answer or session envelope that stands in another event than the one it was sealed for.
    #[error("moved to another event")]
    Moved,
    /// The routing tag is not one that this session expects.
    #[error("unexpected routing tag")]
    Hint,
}
