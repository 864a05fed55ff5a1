//! The types of the user agent's interface: identifiers, arguments of commands, outputs and events.

use std::collections::VecDeque;

use crate::account::User;
use crate::flow::Flow;
use crate::leg::digit::Digit;

/// One call leg between us and the phone or phones of one line. Unique within a user agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub(crate) u64);

/// One text message (SIP MESSAGE) from or to phones. Unique within a user agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub(crate) LegId);

/// One phone's subscription. Unique within a user agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) LegId);

/// The caller as the called phone displays it.
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

/// The offer to one phone.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Our SDP.
    pub sdp: Vec<u8>,
    /// SDP for a phone that refuses the first with 415, 488 or 606, and each of these in turn: it gets another INVITE, with a Call-ID of its own.
    pub fallbacks: VecDeque<Vec<u8>>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offer(..)")
    }
}

/// Why our side ends a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The call is over, or was given up.
    Normal,
    /// Another engine or phone answered the call; phones then show no missed call (RFC 3326).
    AnsweredElsewhere,
    /// No sound comes any more, from the phone or from the other side. The phone gets a Reason (RFC 3326), in case it is still there.
    NoSound,
}

impl HangUp {
    /// The Reason header (RFC 3326) of our BYE or CANCEL.
    pub(crate) const fn header(self) -> Option<&'static str> {
        match self {
            Self::Normal => None,
            Self::AnsweredElsewhere => Some("SIP;cause=200;text=\"Call completed elsewhere\""),
            // Recovery on timer expiry (ITU-T Q.850), which media servers write when RTP has stopped.
            Self::NoSound => Some("Q.850;cause=102;text=\"No sound\""),
        }
    }
}

/// A refusal of an INVITE that says why, in words for the phone's display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status, clamped to 300 to 699.
    pub status: u16,
    /// One line. It becomes the reason phrase, which most phones display, and a Warning with code 399 (RFC 3261 section 20.43).
    pub text: &'static str,
}

/// The target of a call transfer that a phone asks for (RFC 3515).
#[derive(Clone, PartialEq, Eq)]
pub struct TransferTo {
    /// The user part of Refer-To, unescaped.
    pub dialled: String,
    /// The leg whose remote party is the target, if Refer-To identifies a dialog of ours (Replaces, RFC 3891). The caller of
    /// the user agent checks whether it belongs to the same line.
    pub leg: Option<LegId>,
}

impl std::fmt::Debug for TransferTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransferTo(..)")
    }
}

/// The event packages that a phone may subscribe to (RFC 6665). The user agent reads no body of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// Whether messages wait: the message-waiting lamp (RFC 3842).
    MessageSummary,
    /// Whether a line is busy (RFC 4235).
    Dialog,
    /// Whether a contact can be reached (RFC 3856).
    Presence,
}

impl Package {
    /// All of them, in the order of Allow-Events.
    pub(crate) const ALL: [Self; 3] = [Self::Dialog, Self::MessageSummary, Self::Presence];

    /// The token in an Event header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageSummary => "message-summary",
            Self::Dialog => "dialog",
            Self::Presence => "presence",
        }
    }

    /// Reads the value of an Event header, or a token of Allow-Events. `None` if the package is not supported.
    pub fn parse(event: &str) -> Option<Self> {
        let name = event.split(';').next()?.trim();
        Self::ALL
            .into_iter()
            .find(|package| package.as_str().eq_ignore_ascii_case(name))
    }
}

/// Which phones without a subscription get a NOTIFY all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsolicitedPolicy {
    /// Those that list the package in Allow-Events when they register.
    AllowEvents,
    /// All that have not refused it.
    All,
}

/// The body of a MESSAGE (RFC 3428) or of a NOTIFY (RFC 6665).
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

/// Why no phone of a line got our request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No phone is registered to the line.
    #[error("no phone is registered to this line")]
    NoPhone,
    /// The user agent has as many legs as it may have.
    #[error("too many calls at once")]
    TooManyLegs,
}

/// What the caller of the user agent has to do or to know. Drain with [`poll`](crate::UserAgent::poll) after every input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for a phone.
    Send {
        /// Over this flow.
        flow: Flow,
        /// One whole message.
        bytes: Vec<u8>,
    },
    /// The stream of this flow can carry no more messages: close it.
    Close {
        /// The stream.
        flow: Flow,
    },
    /// An event.
    Event(Event),
}

/// An event of the user agent. SDP is as the phone sent it; the user agent does not read it.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A phone registered to the line. A refresh gives no event.
    Registered {
        /// The line.
        user: User,
        /// How many phones the line has now.
        phones: usize,
    },
    /// A binding of the line ended: by a REGISTER, by expiry, because its stream closed, or because the phone did not answer
    /// OPTIONS.
    Unregistered {
        /// The line.
        user: User,
        /// How many phones are left.
        phones: usize,
    },
    /// A phone that has calls registered anew, under another Call-ID: it may have restarted, and then knows nothing of them.
    Reregistered {
        /// The line.
        user: User,
        /// The established legs with that phone.
        legs: Vec<LegId>,
    },
    /// A phone sent an INVITE that begins a call. Respond by `ring`, `answer`, `refuse` or `hang_up`.
    Incoming {
        /// The new leg.
        leg: LegId,
        /// The line, authenticated by digest.
        user: User,
        /// The user part of the Request-URI, unescaped.
        dialled: String,
        /// The offer; empty if the phone asks for ours (RFC 3261 section 13.2.1).
        sdp: Vec<u8>,
        /// The established leg that this one replaces (RFC 3891): hang that one up once this one is answered. The caller of
        /// the user agent checks whether it belongs to the same line.
        replaces: Option<LegId>,
    },
    /// The calling phone sent CANCEL or BYE before a final response, or the ring limit passed. The leg has ended.
    Cancelled {
        /// The leg.
        leg: LegId,
    },
    /// At least one called phone rings.
    Ringing {
        /// The outbound leg.
        leg: LegId,
    },
    /// A called phone answered; the INVITEs to the others were cancelled.
    Answered {
        /// The outbound leg.
        leg: LegId,
        /// The answer.
        sdp: Vec<u8>,
    },
    /// No called phone accepted the call. The leg has ended.
    Refused {
        /// The outbound leg.
        leg: LegId,
        /// The best of the phones' statuses (RFC 3261 section 16.7, step 6); 408 if no phone responded.
        status: u16,
    },
    /// The ACK for our 200 arrived.
    Confirmed {
        /// The leg.
        leg: LegId,
        /// The body of the ACK: the answer to our offer if the INVITE had none, otherwise empty.
        sdp: Vec<u8>,
    },
    /// The phone offers other media in an established leg (re-INVITE, or UPDATE with a body). Call `answer` or `refuse`.
    Reoffer {
        /// The leg.
        leg: LegId,
        /// The new offer; empty if the phone asks for ours.
        sdp: Vec<u8>,
    },
    /// The phone answered an offer of ours, or our refresh of the session.
    OfferAnswered {
        /// The leg.
        leg: LegId,
        /// Its answer.
        sdp: Vec<u8>,
    },
    /// The phone refused an offer of ours; the call continues unchanged.
    OfferRefused {
        /// The leg.
        leg: LegId,
        /// The status of the refusal.
        status: u16,
    },
    /// A key press that came by SIP INFO. Phones that use RFC 4733 send key presses in RTP instead.
    Digit {
        /// The leg.
        leg: LegId,
        /// The key and the length of the press.
        digit: Digit,
    },
    /// The phone asks for a transfer of its call (REFER). Call `notify_transfer` with each status of it, 100 at first.
    Transfer {
        /// The leg whose remote party is to be transferred.
        leg: LegId,
        /// The target.
        to: TransferTo,
    },
    /// A phone sent a text. Call `answer_text`.
    Text {
        /// The text.
        text: TextId,
        /// The line, authenticated by digest.
        user: User,
        /// The user part of the recipient's URI, unescaped.
        to: String,
        /// The content.
        body: Body,
    },
    /// At least one phone of the line accepted a text of ours. The text is done.
    TextAccepted {
        /// The text.
        text: TextId,
    },
    /// No phone of the line accepted a text of ours. The text is done.
    TextRefused {
        /// The text.
        text: TextId,
        /// The best of the phones' statuses; 408 if no phone responded.
        status: u16,
    },
    /// A phone subscribed. Call `notify` with the present state, or `refuse_subscription`.
    Subscribed {
        /// The new subscription.
        subscription: SubscriptionId,
        /// The line, authenticated by digest.
        user: User,
        /// The event package.
        package: Package,
        /// The resource: the user part of the Request-URI, unescaped.
        about: String,
    },
    /// A subscription ended: by the phone, by expiry, or because the phone is unreachable.
    SubscriptionEnded {
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// The result of [`probe`](crate::UserAgent::probe). If the phone no longer knows the call (481 or 408), `HungUp` follows in
    /// its place.
    Probed {
        /// The leg.
        leg: LegId,
        /// Whether the phone responded. False as well if it has no connection.
        alive: bool,
    },
    /// The phone hung up, or its dialog failed: no ACK, 408 or 481. The leg has ended.
    HungUp {
        /// The leg.
        leg: LegId,
    },
}

impl Event {
    /// The name of the event, for logs.
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
            Self::Reregistered { .. } => "registered anew",
            Self::Probed { .. } => "probed",
            Self::HungUp { .. } => "hung up",
        }
    }
}

impl std::fmt::Debug for Event {
    /// Prints the name alone: events carry numbers and SDP, and neither belongs in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({})", self.name())
    }
}

/// Totals since the user agent was created. They never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SipCounters {
    /// Datagrams and frames that were dropped without a response: not SIP, or too broken for one.
    pub malformed: u64,
    /// Requests that were refused because of their form (400, 505 and the like).
    pub rejected: u64,
    /// Requests that were challenged (401).
    pub challenged: u64,
    /// Credentials with a wrong password or an unknown user.
    pub wrong_password: u64,
    /// Requests that were refused because a table was full (503).
    pub overloaded: u64,
    /// Messages that match no transaction or dialog: late responses, ACKs without a call.
    pub stray: u64,
}
