//! Key presses by SIP INFO with `application/dtmf-relay` or `application/dtmf`, which no RFC defines and all phones know. Info
//! packages (RFC 6086) are not supported.

use std::collections::VecDeque;
use std::time::Instant;

use super::context::LegContext;
use super::established::Established;
use crate::event::Event;
use crate::message::{Method, Name, Request, number};
use crate::transaction::TransactionId;

/// The Content-Type that is written, and read.
pub(crate) const RELAY: &str = "application/dtmf-relay";
/// The Content-Types that are read.
pub(crate) const ACCEPT: &str = "application/dtmf-relay, application/dtmf";
/// The length of a key press without a Duration, in milliseconds.
const USUAL: u16 = 160;
/// Longer presses are shortened to this; shorter ones are lengthened to what receivers must detect (ITU-T Q.24).
const LONGEST: u16 = 5_000;
const SHORTEST: u16 = 40;
/// Key presses that wait for the response to one before: a person presses fewer in the time of a few retransmissions. More are dropped.
const MOST_WAITING: usize = 16;

/// One key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    event: u8,
    millis: u16,
}

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// A key press by its event number (RFC 4733 section 3.2, 0 to 15) and its length in milliseconds, which is clamped to 40 to
    /// 5,000. `None` for other events.
    pub fn new(event: u8, millis: u16) -> Option<Self> {
        let millis = millis.clamp(SHORTEST, LONGEST);
        (usize::from(event) < KEYS.len()).then_some(Self { event, millis })
    }

    /// The event number: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for A to D.
    pub const fn event(self) -> u8 {
        self.event
    }

    /// How long the key was pressed.
    pub const fn millis(self) -> u16 {
        self.millis
    }

    /// Reads an INFO. `None` if it has another Content-Type or is malformed.
    pub(crate) fn read(request: &Request) -> Option<Self> {
        let body = std::str::from_utf8(&request.body).ok()?;
        if is_kind(request, RELAY) {
            return Self::read_relay(body);
        }
        if is_kind(request, "application/dtmf") {
            return Self::of_key(body.trim(), USUAL);
        }
        None
    }

    /// `Signal=5` and `Duration=160`, in any order, spaces allowed.
    fn read_relay(body: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = body.lines().filter_map(|line| line.split_once('='));
            let (_, value) = fields.find(|(each, _)| each.trim().eq_ignore_ascii_case(name))?;
            Some(value.trim())
        };
        let millis = field("Duration").and_then(|text| number(text.as_bytes()));
        Self::of_key(field("Signal")?, millis.unwrap_or(USUAL))
    }

    /// The key itself, or, as some phones write `*` and `#`, its event number.
    fn of_key(text: &str, millis: u16) -> Option<Self> {
        if let [key] = text.as_bytes() {
            let at = KEYS
                .iter()
                .position(|each| each.eq_ignore_ascii_case(key))?;
            return Self::new(u8::try_from(at).ok()?, millis);
        }
        Self::new(number(text.as_bytes())?, millis)
    }

    /// The body of an INFO.
    pub(crate) fn write(self) -> Vec<u8> {
        let key = KEYS.get(usize::from(self.event)).copied().unwrap_or(b'0');
        let (key, millis) = (char::from(key), self.millis);
        format!("Signal={key}\r\nDuration={millis}\r\n").into_bytes()
    }
}

impl Established {
    /// An INFO: a key press or empty. Gives the status of the response.
    pub(super) fn handle_info(&self, request: &Request, context: &mut LegContext) -> u16 {
        if request.headers.get(&Name::InfoPackage).is_some() {
            return 469;
        }
        if request.body.is_empty() {
            return 200;
        }
        let Some(digit) = Digit::read(request) else {
            return 415;
        };
        context.emit(Event::Digit {
            leg: self.id,
            digit,
        });
        200
    }

    /// Sends a key press by INFO, unless the phone does not support it. One INFO at a time: the order of keys stays, and the far side,
    /// which sends them, takes up one transaction of those that all phones share.
    pub(super) fn send_digit(&mut self, digit: Digit, context: &mut LegContext, now: Instant) {
        if !self.capabilities.takes_info {
            return;
        }
        if self.keys.waiting.len() < MOST_WAITING {
            self.keys.waiting.push_back(digit);
        }
        self.send_next_digit(context, now);
    }

    fn send_next_digit(&mut self, context: &mut LegContext, now: Instant) {
        let flow = self.dialog.open_flow().filter(|_| !self.is_closing());
        let Some(flow) = flow.filter(|_| self.keys.outstanding.is_none()) else {
            return;
        };
        let Some(digit) = self.keys.waiting.pop_front() else {
            return;
        };
        let mut info = context.request(&mut self.dialog, Method::Info);
        info.headers.push(Name::ContentType, RELAY);
        info.body = digit.write();
        self.keys.outstanding = context.transactions.start(info, flow, Some(self.id), now);
    }

    /// The phone has responded to an INFO: the next key press follows.
    pub(super) fn digit_answered(
        &mut self,
        transaction: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) {
        let was_ours = |waiting: &mut TransactionId| *waiting == transaction;
        if self.keys.outstanding.take_if(was_ours).is_some() {
            self.send_next_digit(context, now);
        }
    }

    /// The phone has not responded to an INFO in 32 s, or its stream is closed: keys that waited for that long are not sent.
    pub(super) fn digit_unanswered(&mut self, transaction: Option<TransactionId>) {
        if transaction.is_none() || self.keys.outstanding == transaction {
            self.keys = KeyPresses::default();
        }
    }
}

/// Key presses on their way to a phone.
#[derive(Debug, Default)]
pub(super) struct KeyPresses {
    outstanding: Option<TransactionId>,
    waiting: VecDeque<Digit>,
}

fn is_kind(request: &Request, kind: &str) -> bool {
    let written = request.headers.text(&Name::ContentType);
    let written = written.and_then(|value| value.split(';').next());
    written.is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Uri};

    fn read(kind: &str, body: &str) -> Option<(u8, u16)> {
        let uri = Uri::parse(b"sip:1@h").unwrap();
        let mut info = Request::new(Method::Info, &uri);
        info.headers.push(Name::ContentType, kind);
        info.body = body.into();
        Digit::read(&info).map(|digit| (digit.event(), digit.millis()))
    }

    #[test]
    fn both_ways_of_writing_a_key_are_read() {
        assert_eq!(read(RELAY, "Signal=5\r\nDuration=250"), Some((5, 250)));
        assert_eq!(
            read(RELAY, "Duration = 99999\nsignal= * \n"),
            Some((10, 160))
        );
        assert_eq!(
            read("application/DTMF-Relay; x=1", "Signal=11\r\n"),
            Some((11, 160))
        );
        assert_eq!(read("application/dtmf", "#"), Some((11, 160)));
        assert_eq!(read("application/dtmf", "d\r\n"), Some((15, 160)));
        assert_eq!(read(RELAY, "Signal=1\r\nDuration=1"), Some((1, 40)));
    }

    #[test]
    fn other_things_are_no_key() {
        for (kind, body) in [
            (RELAY, "Duration=160"),
            (RELAY, "Signal=16"),
            (RELAY, "Signal=x"),
            (RELAY, "Signal="),
            ("application/dtmf", ""),
            ("application/dtmf", "55x"),
            ("text/plain", "5"),
        ] {
            assert_eq!(read(kind, body), None, "{kind} {body}");
        }
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        for event in 0..16 {
            let digit = Digit::new(event, 200).unwrap();
            let body = String::from_utf8(digit.write()).unwrap();
            assert_eq!(read(RELAY, &body), Some((event, 200)));
        }
        assert_eq!(Digit::new(16, 200), None);
    }
}
