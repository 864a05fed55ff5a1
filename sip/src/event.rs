//! The vocabulary between the agent and whoever drives it: what comes out, and the few words that go in.

use crate::account::User;
use crate::flow::Flow;
use crate::leg::digit::Digit;

/// One call leg between us and the phone or phones of one line. Never used again within an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub(crate) u64);

/// One text message between a phone and us. Never used again within an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub(crate) LegId);

/// One phone's subscription. Never used again within an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) LegId);

/// Who is calling, as the called phone shall show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallerId {
    /// The number, written into the user part of From.
    pub number: String,
    /// A name for the display, if one is known.
    pub name: Option<String>,
}

impl std::fmt::Debug for CallerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallerId(..)")
    }
}

/// What one phone is offered.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Our SDP.
    pub sdp: Vec<u8>,
    /// Other SDP for a phone that finds the first not acceptable (488): it is called once more, as a new call.
    pub fallback: Option<Vec<u8>>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offer(..)")
    }
}

/// Why a leg is ended from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The call is over, or nobody waits for it.
    Normal,
    /// Another engine or phone took the call; phones then show no missed call (RFC 3326).
    AnsweredElsewhere,
}

/// Whom a phone wants its call to be handed to (RFC 3515).
#[derive(Clone, PartialEq, Eq)]
pub struct TransferTo {
    /// The user part of Refer-To, unescaped.
    pub dialled: String,
    /// The leg whose other side is meant, if the phone names a dialog that runs here (Replaces, RFC 3891). Whether it
    /// belongs to the same line is for the caller of the agent to check.
    pub leg: Option<LegId>,
}

impl std::fmt::Debug for TransferTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransferTo(..)")
    }
}

/// What a phone may watch (RFC 6665 event packages). The bodies are the watcher's and the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// Waiting messages: the lamp (RFC 3842).
    MessageSummary,
    /// Whether a line is busy (RFC 4235).
    Dialog,
    /// Whether somebody can be reached (RFC 3856).
    Presence,
}

impl Package {
    /// All of them, as Allow-Events lists them.
    pub(crate) const ALL: [Self; 3] = [Self::Dialog, Self::MessageSummary, Self::Presence];

    /// The token in an Event header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageSummary => "message-summary",
            Self::Dialog => "dialog",
            Self::Presence => "presence",
        }
    }
}

/// Which phones are told what they have not subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsolicitedPolicy {
    /// Those that list the package in Allow-Events when they register.
    AllowEvents,
    /// All that have not refused it.
    All,
}

/// Something written that a phone sends or is sent (RFC 3428), or is told of (RFC 6665).
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type.
    pub content_type: String,
    /// The bytes, not read here.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body(..)")
    }
}

/// Why [`invite`](crate::UserAgent::invite) did not ring anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No phone is registered to the line.
    #[error("no phone is registered to this line")]
    NoPhone,
    /// The agent holds as many legs as it may.
    #[error("too many calls at once")]
    TooManyLegs,
}

/// What the caller of the agent has to do or to know. Drain with [`poll`](crate::UserAgent::poll) after every input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for a phone.
    Send {
        /// Over this flow.
        flow: Flow,
        /// One whole message.
        bytes: Vec<u8>,
    },
    /// The stream of this flow is of no more use: close it.
    Close {
        /// The stream.
        flow: Flow,
    },
    /// Something happened.
    Event(Event),
}

/// What happened. Bodies are the phone's SDP as it was sent; the agent does not read them.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A phone joined the line. Refreshes are not told.
    Registered {
        /// The line.
        user: User,
        /// How many phones it has.
        phones: usize,
    },
    /// A phone left the line: by its own word, by time, or with its stream.
    Unregistered {
        /// The line.
        user: User,
        /// How many phones are left.
        phones: usize,
    },
    /// A phone dials. Answer with `ring`, `answer`, `refuse` or `hang_up`.
    Incoming {
        /// The new leg.
        leg: LegId,
        /// The line, proved by digest.
        user: User,
        /// The user part of the Request-URI, unescaped.
        dialled: String,
        /// The offer; empty if the phone wants ours (RFC 3261 section 13.2.1).
        sdp: Vec<u8>,
        /// The talking leg that this one shall take the place of (RFC 3891): answered, the other one is to be hung up.
        /// Whether it belongs to the same line is for the caller of the agent to check.
        replaces: Option<LegId>,
    },
    /// The calling phone gave up before a final answer, or waited for longer than anyone may. The leg is gone.
    Cancelled {
        /// The leg.
        leg: LegId,
    },
    /// At least one called phone rings.
    Ringing {
        /// The placed leg.
        leg: LegId,
    },
    /// A called phone answered; the others were cancelled.
    Answered {
        /// The placed leg.
        leg: LegId,
        /// The answer.
        sdp: Vec<u8>,
    },
    /// No called phone took the call. The leg is gone.
    Refused {
        /// The placed leg.
        leg: LegId,
        /// The telling one of the phones' statuses; 408 if none of them answered at all.
        status: u16,
    },
    /// The ACK for our 200 arrived.
    Confirmed {
        /// The leg.
        leg: LegId,
        /// The body of the ACK: empty unless the INVITE had no offer, then the answer to ours.
        sdp: Vec<u8>,
    },
    /// The phone wants other media in a talking leg (re-INVITE, or UPDATE with a body): call `answer` or `refuse`.
    Reoffer {
        /// The leg.
        leg: LegId,
        /// The new offer; empty if the phone wants ours.
        sdp: Vec<u8>,
    },
    /// The phone took an offer of ours, or says its sound anew because the session was refreshed.
    OfferAnswered {
        /// The leg.
        leg: LegId,
        /// Its answer.
        sdp: Vec<u8>,
    },
    /// The phone refused an offer of ours; the call goes on as it was.
    OfferRefused {
        /// The leg.
        leg: LegId,
        /// With this status.
        status: u16,
    },
    /// A key was pressed, told beside the sound (SIP INFO). Phones that use RFC 4733 say it within the sound instead.
    Digit {
        /// The leg.
        leg: LegId,
        /// Which, and for how long.
        digit: Digit,
    },
    /// The phone wants its call handed to somebody else. Call `transfer` with what comes of it, 100 at first.
    Transfer {
        /// The leg whose other side shall be handed over.
        leg: LegId,
        /// To whom.
        to: TransferTo,
    },
    /// A phone sends a text. Call `answer_text`.
    Text {
        /// The text.
        text: TextId,
        /// The line, proved by digest.
        user: User,
        /// The user part of the address it is for, unescaped.
        to: String,
        /// What it says.
        body: Body,
    },
    /// At least one phone of the line took a text of ours. The text is gone.
    TextAccepted {
        /// The text.
        text: TextId,
    },
    /// No phone of the line took a text of ours. The text is gone.
    TextRefused {
        /// The text.
        text: TextId,
        /// The telling one of the phones' statuses; 408 if none of them answered.
        status: u16,
    },
    /// A phone wants to be told of something. Call `notify` with how it stands, or `refuse_subscription`.
    Subscribed {
        /// The new subscription.
        subscription: SubscriptionId,
        /// The line, proved by digest.
        user: User,
        /// What it wants to know.
        package: Package,
        /// Of whom: the user part of the Request-URI, unescaped.
        about: String,
    },
    /// A subscription ended: by the phone, by time, or because the phone is gone.
    SubscriptionEnded {
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// The phone hung up, or its dialog died: no ACK, stream closed, 481. The leg is gone.
    HungUp {
        /// The leg.
        leg: LegId,
    },
}

impl Event {
    /// The event's name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Unregistered { .. } => "unregistered",
            Self::Incoming { .. } => "incoming",
            Self::Cancelled { .. } => "cancelled",
            Self::Ringing { .. } => "ringing",
            Self::Answered { .. } => "answered",
            Self::Refused { .. } => "refused",
            Self::Confirmed { .. } => "confirmed",
            Self::Reoffer { .. } => "reoffer",
            Self::OfferAnswered { .. } => "offer answered",
            Self::OfferRefused { .. } => "offer refused",
            Self::Digit { .. } => "digit",
            Self::Transfer { .. } => "transfer",
            Self::Text { .. } => "text",
            Self::TextAccepted { .. } => "text accepted",
            Self::TextRefused { .. } => "text refused",
            Self::Subscribed { .. } => "subscribed",
            Self::SubscriptionEnded { .. } => "subscription ended",
            Self::HungUp { .. } => "hung up",
        }
    }
}

impl std::fmt::Debug for Event {
    /// Only the name: events carry numbers and SDP, and neither belongs in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({})", self.name())
    }
}

/// What the agent has counted since it was made. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams and frames that were not SIP, or too broken to be answered: met with silence.
    pub malformed: u64,
    /// Requests answered 400, 505 and the like because of their form.
    pub rejected: u64,
    /// Requests answered 401.
    pub challenged: u64,
    /// Challenges answered with a wrong password or for a user who does not exist.
    pub wrong_password: u64,
    /// Requests turned away because a table was full (503).
    pub overloaded: u64,
    /// Messages that belong to nothing: late answers, ACKs without a call.
    pub stray: u64,
}
