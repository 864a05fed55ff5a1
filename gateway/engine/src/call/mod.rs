//! The states of a call, one file each, and the events that move it.
//!
//! ```text
//!   caller:  Dialling ──ring──▶ Calling ──answer──▶ Talking ──▶ Ending ──▶ over
//!                                  └──gave up──▶ Withdrawn ──▶ over
//!   callee:  Ringing ──picked up──▶ Answering ──confirmed──▶ Talking ──▶ Ending ──▶ over
//! ```
//!
//! Every state takes an event by value and gives the next phase, so that a call cannot be in
//! two states, and what belongs to a state (a Noise handshake, a pending offer) ends with it.

mod agreed;
mod allocating;
mod answering;
mod calling;
pub(crate) mod calls;
mod code_tone;
mod confirming;
mod context;
pub mod control;
pub(crate) mod counts;
mod dialling;
mod ending;
mod glare;
mod handed_over;
mod in_advance;
mod incoming;
pub(crate) mod live;
mod outage;
pub(crate) mod outgoing;
mod phone_side;
mod phone_watch;
mod pressed_keys;
mod ringing;
mod slots;
pub(crate) mod step;
mod summoned;
mod talking;
mod transfer;
mod unheard;
mod withdrawn;

use std::net::SocketAddr;
use std::time::Instant;

use ringfence_book::Number;
use ringfence_media::{Codec, Description};
use ringfence_sip as sip;

use crate::input::MediaEvent;
use crate::line::call_record::CallRecord;
use crate::line::saved_state::CallWay;
use crate::output::{CallLabel, PostId};
use crate::sealed::bucket::bucket;
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::proof_of_work::ProofOfWork;
use crate::sealed::proof_stock::{PER_INCOMING, PER_OUTGOING};
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::time::Timer;
use crate::trust::contacts::PeerIdentity;

use answering::Answering;
use calling::Calling;
use context::CallContext;
use control::ControlFrame;
use dialling::Dialling;
use ending::Ending;
use in_advance::EndingInAdvance;
use ringing::Ringing;
use step::EndReason;
use talking::Talking;
use unheard::Unheard;
use withdrawn::Withdrawn;

/// A call in its state.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) common: CallCommon,
    pub(crate) phase: CallState,
}

/// What a call keeps through all its states.
#[derive(Debug)]
pub(crate) struct CallCommon {
    pub(crate) label: CallLabel,
    /// Index of the line it belongs to.
    pub(crate) line: usize,
    /// That line's number.
    pub(crate) number: Number,
    /// The other number.
    pub(crate) peer: Option<Number>,
    /// Who called.
    pub(crate) direction: CallWay,
    /// The phone's side, while there is one.
    pub(crate) leg: Option<sip::LegId>,
    /// What the SDP said with which the phone was summoned, until that phone is told what it hears: it has a leg, and no INVITE of
    /// its own that waits for an answer.
    pub(crate) summoned: Option<phone_side::FirstOffer>,
    /// The call that this one is joined with, or will be when that is answered: a phone handed one to the other.
    pub(crate) partner: Option<CallLabel>,
    /// Proofs of work reserved for this call's envelopes.
    pub(crate) proofs: Option<Vec<ProofOfWork>>,
    /// What tells the other side that the call is over, if this process dies in it.
    pub(crate) ending: Option<EndingInAdvance>,
    /// What will be written down of it.
    pub(crate) record: Option<CallRecord>,
    /// How long the state may last.
    pub(crate) deadline: Option<(Instant, Timer)>,
}

/// The other side of a call. Known to this engine only.
#[derive(Debug)]
pub(crate) struct CallPeer {
    pub(crate) party: PeerIdentity,
    /// Where envelopes for it are posted.
    pub(crate) bucket: u16,
    /// Its relayed address, once it is known.
    pub(crate) relayed: Option<SocketAddr>,
}

/// The states. `Over` is left behind when a call can be forgotten.
#[derive(Debug)]
pub(crate) enum CallState {
    /// Caller: the phone's INVITE waits for a port, a relayed address and proofs of work.
    Dialling(Box<Dialling>),
    /// Caller: the ring is out.
    Calling(Box<Calling>),
    /// Caller: the ring was taken back; who picks up meanwhile is told.
    Withdrawn(Box<Withdrawn>),
    /// Callee: the line's phones ring.
    Ringing(Box<Ringing>),
    /// Callee: no phone took the ring, and its caller still waits.
    Unheard(Unheard),
    /// Callee: a person picked up; the answer is on its way, the microphone closed.
    Answering(Box<Answering>),
    /// Both: audio may pass.
    Talking(Box<Talking>),
    /// Both: hung up here, the other side is being told.
    Ending(Ending),
    /// Nothing is left of it.
    Over,
}

/// What can happen to a call.
#[derive(Debug)]
pub(crate) enum CallInput<'a> {
    /// News from its phone leg.
    Leg(sip::Event),
    /// News of its audio.
    Media(MediaEvent),
    /// An envelope whose routing tag this call expects.
    Envelope(&'a Envelope, EventContext),
    /// The caller withdrew the ring.
    Cancelled,
    /// The caller of this ring, which sounds, rang again.
    RungAgain(Box<(VerifiedRing, Description)>),
    /// The other side of this call rang this line too, and its ring is the one that counts.
    Glare(Box<VerifiedRing>),
    /// News of the call that this one is joined with.
    News(PartnerNews),
    /// Its phone wants it handed to this new call, which is being placed.
    Handed(CallLabel),
    /// Its phone has another call, and hands the two to each other.
    Joined(JoinedCall),
    /// Its phone registered as one does that has just started.
    RegisteredAnew,
    /// Another phone of the line takes it over from the phone that has it.
    TakenOver(sip::LegId, Vec<u8>),
    /// Proofs of work are in stock again.
    Proofs,
    /// How many relays took a post.
    Posted(PostId, usize),
    /// The alarm went off.
    Timeout,
    /// The user ends it at the screen.
    HangUp,
    /// The engine is shutting down.
    ShutDown,
}

/// What a call tells the one that it is joined with.
#[derive(Debug)]
pub(crate) enum PartnerNews {
    /// The callee is rung.
    Rings,
    /// A person answered, and is heard at this near port.
    Answered(SocketAddr),
    /// A key was pressed there.
    Pressed(ControlFrame),
    /// It is over; the status says why to a phone that waits for it.
    Over(u16),
}

/// The other half of two calls that hear each other.
#[derive(Clone, Debug)]
pub(crate) struct JoinedCall {
    pub(crate) call: CallLabel,
    /// Where it hears: its near port.
    pub(crate) near: SocketAddr,
    /// What it sends there, and is sent.
    pub(crate) codecs: Vec<Codec>,
}

impl Call {
    /// Moves the call on by one event. True when it is over and can be forgotten.
    fn handle(&mut self, input: CallInput<'_>, cx: &mut CallContext<'_>) -> bool {
        let common = &mut self.common;
        let phase = std::mem::replace(&mut self.phase, CallState::Over);
        self.phase = match phase {
            CallState::Dialling(state) => state.handle(input, common, cx),
            CallState::Calling(state) => state.handle(input, common, cx),
            CallState::Withdrawn(state) => state.handle(input, common, cx),
            CallState::Ringing(state) => state.handle(input, common, cx),
            CallState::Unheard(state) => state.handle(&input),
            CallState::Answering(state) => state.handle(input, common, cx),
            CallState::Talking(state) => state.handle(input, common, cx),
            CallState::Ending(state) => state.handle(&input, common, cx),
            CallState::Over => CallState::Over,
        };
        matches!(self.phase, CallState::Over)
    }

    /// Whether it only waits for its caller to give up.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self.phase, CallState::Unheard(_))
    }

    /// Gives the ring to another call; nothing is left of this one.
    pub(crate) fn hand_over(&mut self, cx: &mut CallContext<'_>) -> Option<Box<VerifiedRing>> {
        match std::mem::replace(&mut self.phase, CallState::Over) {
            CallState::Ringing(ringing) => Some(ringing.hand_over(&mut self.common, cx)),
            CallState::Unheard(unheard) => Some(unheard.hand_over()),
            other => {
                self.phase = other;
                None
            }
        }
    }
}

impl CallState {
    /// The ring of the other side that this call is about, as long as its caller may take it
    /// back.
    pub(crate) fn ring(&self) -> Option<RingId> {
        match self {
            Self::Dialling(dialling) => dialling.met(),
            Self::Ringing(ringing) => Some(ringing.id()),
            Self::Unheard(unheard) => Some(unheard.id()),
            Self::Answering(answering) => Some(answering.ring()),
            Self::Calling(_)
            | Self::Withdrawn(_)
            | Self::Talking(_)
            | Self::Ending(_)
            | Self::Over => None,
        }
    }
}

impl Call {
    /// Proofs of work this call waits for. A ring that only sounds needs none: nothing of it leaves.
    pub(crate) fn lacks(&self) -> usize {
        match &self.phase {
            _ if self.common.proofs.is_some() => 0,
            CallState::Dialling(_) => PER_OUTGOING,
            CallState::Answering(_) => PER_INCOMING,
            _ => 0,
        }
    }
}

impl CallPeer {
    /// The same, with the relayed address that the other side's description names first.
    fn at(self, description: &Description) -> Self {
        let relayed = description.relayed_addresses.first().copied();
        Self { relayed, ..self }
    }

    fn new(party: PeerIdentity, bucket_bits: u8) -> Self {
        let bucket = bucket(&party.identity, bucket_bits);
        Self {
            party,
            bucket,
            relayed: None,
        }
    }
}

/// Refuses the phone's INVITE and forgets the call.
fn refuse(
    status: u16,
    end: EndReason,
    call: &mut CallCommon,
    cx: &mut CallContext<'_>,
) -> CallState {
    cx.refuse_phone(call, status);
    cx.end(call, end);
    CallState::Over
}

/// The other side hung up over the data channel. The same frame back says that it was heard.
fn hung_up_there(call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
    cx.tell_hang_up(call);
    hang_up(EndReason::HungUpThere, call, cx)
}

/// Hangs up the phone and forgets the call; the other engine is not told by this.
fn hang_up(end: EndReason, call: &mut CallCommon, cx: &mut CallContext<'_>) -> CallState {
    cx.hang_up_phone(call);
    cx.end(call, end);
    CallState::Over
}
