//! The steps of a call, in the order in which a call takes them: the engine's own timeline.
//!
//! Steps carry no number, key or address, so they may be shown and logged freely.

use std::fmt;

/// One step of a call. `Display` is what the demo's timeline prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallStep {
    /// Caller: the phone's INVITE opened a leg.
    Dialled,
    /// Caller: the TURN server gave a relayed address.
    Allocated,
    /// Caller: the ring was sealed and handed to the relays.
    RingPosted,
    /// Caller: at least one relay took the ring.
    RingAccepted,
    /// Callee: a ring was opened and verified.
    RingOpened,
    /// Callee: a phone of the line says that it rings.
    PhoneRings,
    /// Callee: a person picked up.
    PickedUp,
    /// Callee: the TURN server gave a relayed address.
    AnswerAllocated,
    /// Callee: the answer was sealed and sent to the caller's relayed address.
    AnswerSent,
    /// Caller: the answer was opened.
    AnswerOpened,
    /// Callee: the caller's confirmation verified; the microphone opens.
    Confirmed,
    /// The two engines are connected, relay to relay.
    Connected,
    /// The data channel for hang-up is open.
    ControlOpen,
    /// The first audio of the other side went to the phone.
    FirstAudio,
    /// The path between the two engines is lost, and another is looked for.
    Reconnecting,
    /// The other side is heard again.
    Reconnected,
    /// The phone handed the call over: its two other sides hear each other now.
    HandedOver,
    /// The call ended.
    Ended(EndReason),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// This side's person hung up.
    HungUpHere,
    /// The other side's person hung up.
    HungUpThere,
    /// The caller gave up before an answer.
    Cancelled,
    /// No answer in time; the same whatever the reason on the other side.
    NoAnswer,
    /// A person of this line dialled the caller instead of picking up: that call took the ring.
    DialledBack,
    /// This side's phones refused the ring; the caller is not told.
    Declined,
    /// No phone was registered to the line that was rung.
    NoPhone,
    /// The phone has no sound that can be used.
    NoCodec,
    /// The dialled digits are no number of this network.
    NoSuchNumber,
    /// An emergency number was dialled, and this network reaches no emergency service.
    EmergencyNumber,
    /// The phone book has not been downloaded yet.
    NoBook,
    /// The dialled number had another key before, and the user has not accepted the new one.
    KeyChanged,
    /// No relay took the ring, or none would bring the answer.
    NoRelay,
    /// There is no media path: no port, no TURN allocation, or it was lost.
    NoMedia,
    /// This side's phone sends nothing, and does not answer.
    PhoneGone,
    /// The other side did not prove its key or did not connect in time.
    NotConfirmed,
    /// Too many calls at once.
    TooMany,
    /// The engine is shutting down.
    ShutDown,
}

impl CallStep {
    fn text(self) -> &'static str {
        match self {
            Self::Dialled => "the phone's INVITE opened a leg",
            Self::Allocated => "the TURN server gave a relayed address",
            Self::RingPosted => "ring sealed and posted",
            Self::RingAccepted => "a relay took the ring",
            Self::RingOpened => "ring opened and verified",
            Self::PhoneRings => "the phone rings",
            Self::PickedUp => "a person picked up",
            Self::AnswerAllocated => "a relayed address for the answer",
            Self::AnswerSent => "answer sealed and sent",
            Self::AnswerOpened => "answer opened, confirmation sent",
            Self::Confirmed => "caller confirmed, microphone opens",
            Self::Connected => "connected, relay to relay",
            Self::ControlOpen => "control channel open",
            Self::FirstAudio => "first sound for the phone",
            Self::Reconnecting => "path lost, looking for another",
            Self::Reconnected => "the other side is heard again",
            Self::HandedOver => "handed over to another call",
            Self::Ended(end) => end.text(),
        }
    }
}

impl EndReason {
    /// Every reason, for a monitor that shows a count of each from the start.
    pub const ALL: [Self; 18] = [
        Self::HungUpHere,
        Self::HungUpThere,
        Self::Cancelled,
        Self::NoAnswer,
        Self::DialledBack,
        Self::Declined,
        Self::NoPhone,
        Self::NoCodec,
        Self::NoSuchNumber,
        Self::EmergencyNumber,
        Self::NoBook,
        Self::KeyChanged,
        Self::NoRelay,
        Self::NoMedia,
        Self::PhoneGone,
        Self::NotConfirmed,
        Self::TooMany,
        Self::ShutDown,
    ];

    /// The reason as the label of a figure.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HungUpHere => "hung_up_here",
            Self::HungUpThere => "hung_up_there",
            Self::Cancelled => "cancelled",
            Self::NoAnswer => "no_answer",
            Self::DialledBack => "dialled_back",
            Self::Declined => "declined",
            Self::NoPhone => "no_phone",
            Self::NoCodec => "no_codec",
            Self::NoSuchNumber => "no_such_number",
            Self::EmergencyNumber => "emergency_number",
            Self::NoBook => "no_book",
            Self::KeyChanged => "key_changed",
            Self::NoRelay => "no_relay",
            Self::NoMedia => "no_media",
            Self::PhoneGone => "phone_gone",
            Self::NotConfirmed => "not_confirmed",
            Self::TooMany => "too_many",
            Self::ShutDown => "shut_down",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::HungUpHere => "ended: hung up here",
            Self::HungUpThere => "ended: hung up on the other side",
            Self::Cancelled => "ended: the caller gave up",
            Self::NoAnswer => "ended: no answer",
            Self::DialledBack => "ended: answered by dialling back",
            Self::Declined => "ended: declined here",
            Self::NoPhone => "ended: no phone is registered",
            Self::NoCodec => "ended: the phone has no sound that can be used",
            Self::NoSuchNumber => "ended: no such number",
            Self::EmergencyNumber => "ended: an emergency number cannot be called",
            Self::KeyChanged => "ended: the number has another key than before",
            Self::NoBook => "ended: the phone book is not loaded",
            Self::NoRelay => "ended: no relay carries the ring or its answer",
            Self::NoMedia => "ended: no media path",
            Self::PhoneGone => "ended: the phone is gone",
            Self::NotConfirmed => "ended: the other side did not confirm",
            Self::TooMany => "ended: too many calls",
            Self::ShutDown => "ended: shutting down",
        }
    }
}

impl fmt::Display for CallStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_end_has_a_word_and_a_text_of_its_own() {
        let distinct = |text: fn(EndReason) -> &'static str| {
            let texts = EndReason::ALL.into_iter().map(text);
            texts.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(distinct(EndReason::word), EndReason::ALL.len());
        assert_eq!(distinct(EndReason::text), EndReason::ALL.len());
    }
}
