//! What happened to a call's packets, in numbers.
//!
//! Losses and jitter are reckoned as RFC 3550 appendix A.3 and A.8 do, for our own eyes: no report is sent to anybody. No figure
//! holds an address, and none is kept after the call.

use std::time::{Duration, Instant};

/// The figures of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// From the phone to the other engine.
    pub from_phone: Way,
    /// From the other engine to the phone.
    pub to_phone: Way,
    /// When the far leg was connected.
    pub connected: Option<Instant>,
    /// The ICE candidate types in use, ours and theirs, once connected. The far leg has no others than relayed ones.
    pub candidate_types: Option<(&'static str, &'static str)>,
}

/// The figures of one way of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Packets of sound and digits that arrived.
    pub arrived: u64,
    /// Packets that went out again.
    pub passed: u64,
    /// Packets that the sender numbered and that never arrived.
    pub lost: u64,
    /// How unevenly they arrived (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// When the first one went out.
    pub first: Option<Instant>,
    /// What was not passed on, and why.
    pub dropped: Dropped,
}

/// Packets that went nowhere, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Not RTP, or malformed, empty or too long RTP.
    pub malformed: u64,
    /// RTCP: it names the phone (CNAME) and ends here.
    pub rtcp: u64,
    /// From another address than the phone's.
    pub stranger: u64,
    /// A payload type that was not agreed.
    pub format: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Too old, or too far from its neighbours to be believed.
    pub late: u64,
    /// The microphone was not open yet, or the phone does not want to hear.
    pub muted: u64,
    /// No phone attached, no address known, or the far leg not connected.
    pub nowhere: u64,
}
