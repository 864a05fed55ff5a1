//! What the next process must know that this one cannot tell it: which phones are registered where, what phones in a call are to
//! be told, and how the other sides of calls learn that those are over.
//!
//! Plain data with bounds. The shell saves [`crate::Engine::restart_state`] whenever [`crate::Output::RestartState`] says so, in a
//! file of its own that is small, and hands it back at the next start. No session key is in it: each hang-up was sealed while its
//! call lived ([`SealedEnding`]), and what a phone is told is one SIP message, written ahead by the SIP core.
//!
//! Not here: the file, and which of these phones' sockets exist in this run (the shell).

pub(crate) mod keeper;
pub(crate) mod unsent;

use std::fmt;
use std::time::Duration;

use ringfence_sip as sip;

use crate::sealed::envelope::Envelope;
use crate::sealed::proof_of_work::EventKeyPair;
use crate::time::UnixTime;

/// Endings that a state may hold: more than calls an engine has.
pub const MOST_ENDINGS: usize = 1_024;

/// How old a state may be for its phones to be rung and told. A phone answers what it does not know, so this only bounds what is sent
/// to an address that may be another's by now.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(86_400);

/// A binding is good for so long at least after a restart, though it has expired meanwhile: the phone could not refresh it, and OPTIONS
/// shows whether it is there.
const GRACE: Duration = Duration::from_secs(120);

/// A binding as it is after so much time.
pub(crate) fn aged(binding: sip::SavedBinding, age: Duration) -> sip::SavedBinding {
    let remaining = binding.remaining.saturating_sub(age).max(GRACE);
    sip::SavedBinding {
        remaining,
        ..binding
    }
}

/// What must outlive a process that is killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartState {
    /// When this was written: the remaining times in it count from here.
    pub written: UnixTime,
    /// The phones that are registered over UDP.
    pub phones: Vec<sip::SavedBinding>,
    /// What phones in a call are told.
    pub final_messages: Vec<sip::FinalMessage>,
    /// One for each call that has been rung or answered.
    pub endings: Vec<SealedEnding>,
}

/// The envelope that ends one call on the other side, a hang-up or the cancel of a ring. It was sealed while the call lived, for an
/// event key that nothing else is posted under, so that it can be posted when the keys of the call are gone. Its proof of work is
/// done then, for that key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEnding {
    /// The other side's bucket.
    pub bucket: u16,
    /// The event key for which it is sealed.
    pub key: EventKeyPair,
    /// What only the other side of that call can open.
    pub envelope: Envelope,
    /// When the call was last known to live.
    pub alive: UnixTime,
}

impl fmt::Debug for SealedEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedEnding(..)")
    }
}
