//! Why a bridge or a far leg wants to be called at a certain time.

/// The timer behind a time of `next_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaTimer {
    /// The TURN server has not answered the Allocate request in time.
    AllocationLimit,
    /// The TURN server has not confirmed a waiting allocation in time ([`FarLeg::check`](crate::far::FarLeg::check)).
    CheckLimit,
    /// ICE and DTLS have not connected in time.
    ConnectionLimit,
    /// The other side has been silent for a while: the way to it is looked at, or the call ends.
    Silence,
    /// The TURN server has not confirmed the deletion of the allocation in time.
    DeletionLimit,
    /// The TURN client: a retransmission or a refresh.
    TurnClient,
    /// The WebRTC connection: a timer of ICE, DTLS or SCTP.
    WebRtc,
    /// The slot of a frame or of a message of the data channel, or the end of a connection that went on after its call.
    Slot,
    /// A slot of the playout buffer before the phone.
    Playout,
    /// An RTCP report to the phone or to the other side.
    RtcpReport,
    /// The phone will be silent ([`BridgeEvent::PhoneSilent`](crate::BridgeEvent::PhoneSilent)).
    PhoneSilence,
}
