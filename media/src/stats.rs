//! What happened to a call's packets, in numbers.
//!
//! Losses and jitter follow RFC 3550 appendix A.3 and A.8. They stay on this machine: the owner shows them, and the
//! phone gets them in RTCP reports. No number holds an address, and none is kept here after the call.

use std::time::{Duration, Instant};

use crate::codec::Codec;

/// The statistics of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaStats {
    /// Audio from the phone to the other engine.
    pub from_phone: StreamStats,
    /// Audio from the other engine to the phone.
    pub to_phone: StreamStats,
    /// Video from the phone to the other engine.
    pub video_from_phone: StreamStats,
    /// Video from the other engine to the phone.
    pub video_to_phone: StreamStats,
    /// What became of the other side's frames of sound that were lost.
    pub repair: RepairStats,
    /// How many earlier frames' sound each of ours carries now.
    pub redundancy: usize,
    /// The phone's codec, and the one between the engines: another one only where this engine transcodes.
    pub codecs: Option<(Codec, Codec)>,
    /// When the phone was last heard, if it is silent: [`BridgeEvent::PhoneSilent`](crate::BridgeEvent::PhoneSilent) is the last
    /// thing that was reported of it.
    pub phone_silent: Option<Instant>,
    /// When the far leg was connected.
    pub connected: Option<Instant>,
    /// The ICE candidate types in use, ours and theirs, once connected. The far leg has only relayed ones.
    pub candidate_types: Option<(&'static str, &'static str)>,
}

/// Frames of the other side, with sound or fill, and those that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairStats {
    /// Frames that the other side sent.
    pub frames: u64,
    /// Of these, those that did not come, or not in time.
    pub lost: u64,
    /// Of those, the ones whose sound a later frame brought.
    pub repaired: u64,
    /// Of those, the ones in whose place the phone got concealment.
    pub concealed: u64,
    /// The delay of the playout buffer now.
    pub delay: Duration,
}

/// The statistics of one direction of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Packets that were passed on, key presses included.
    pub passed: u64,
    /// Packets that the sender numbered and that have not arrived.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// When the first packet was passed on.
    pub first: Option<Instant>,
    /// Packets that were not passed on, by reason.
    pub dropped: DropCounts,
}

/// Packets that were not passed on, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Not RTP, or malformed, empty or too long RTP.
    pub malformed: u64,
    /// RTCP: it names the phone (CNAME) and ends here.
    pub rtcp: u64,
    /// SRTP whose authentication tag does not fit the agreed key.
    pub forged: u64,
    /// From another address than the phone's.
    pub stranger: u64,
    /// A payload type that was not agreed.
    pub format: u64,
    /// A format that the phone listed, but that is not the call's and cannot be converted to it.
    pub not_carried: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Too old, or a sequence number too far from its neighbours to be believed.
    pub late: u64,
    /// More payload than fits a datagram through a TURN server.
    pub oversized: u64,
    /// Beyond the rate that video may have.
    pub throttled: u64,
    /// The microphone was not open yet, or the phone does not want to receive.
    pub muted: u64,
    /// No phone attached, no address known, or the far leg not connected.
    pub nowhere: u64,
}

impl RepairStats {
    /// Lost frames that were neither repaired nor concealed.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.lost.saturating_sub(self.repaired + self.concealed)
    }

    /// What was added since these figures, with the delay of now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(before.frames),
            lost: self.lost.saturating_sub(before.lost),
            repaired: self.repaired.saturating_sub(before.repaired),
            concealed: self.concealed.saturating_sub(before.concealed),
            delay: self.delay,
        }
    }
}

impl StreamStats {
    /// Every packet that arrived, passed on or not.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.passed + self.dropped.total()
    }
}

impl DropCounts {
    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self {
            malformed,
            rtcp,
            forged,
            stranger,
            format,
            not_carried,
            duplicate,
            late,
            oversized,
            throttled,
            muted,
            nowhere,
        } = self;
        let refused = malformed + rtcp + forged + stranger + format + not_carried;
        refused + oversized + throttled + duplicate + late + muted + nowhere
    }

    pub(crate) fn counter(&mut self, reason: DropReason) -> &mut u64 {
        match reason {
            DropReason::Malformed => &mut self.malformed,
            DropReason::Rtcp => &mut self.rtcp,
            DropReason::Forged => &mut self.forged,
            DropReason::Stranger => &mut self.stranger,
            DropReason::Format => &mut self.format,
            DropReason::NotCarried => &mut self.not_carried,
            DropReason::Duplicate => &mut self.duplicate,
            DropReason::Late => &mut self.late,
            DropReason::Oversized => &mut self.oversized,
            DropReason::Throttled => &mut self.throttled,
            DropReason::Muted => &mut self.muted,
            DropReason::Nowhere => &mut self.nowhere,
        }
    }
}

/// Why a packet is not passed on; [`DropCounts`] explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    Malformed,
    Rtcp,
    Forged,
    Stranger,
    Format,
    NotCarried,
    Duplicate,
    Late,
    Oversized,
    Throttled,
    Muted,
    Nowhere,
}
