//! The phone's side of SIP: bytes and time in, bytes and events out (RFC 3261 sections 10, 13, 15 and 17).
//!
//! One registration and one call at a time, over UDP. Requests are repeated until they are answered, and a 200 until its ACK
//! comes. What a desk phone knows beyond that (transfer, hold, several lines, TCP) is not here.

mod answers;
mod dialog;
mod requests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::message::{Message, Method, Name, Request, Uri, parse};
use crate::{Password, User};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use dialog::{Dialog, dialog_of, response};

/// T1 and T2 of RFC 3261 section 17.1.1.1.
const FIRST_REPEAT: Duration = Duration::from_millis(500);
const LONGEST_REPEAT: Duration = Duration::from_secs(4);
/// Timer B: 64 times T1, after which an unanswered request has failed.
const GIVE_UP: Duration = Duration::from_secs(32);
/// The phone's registration in seconds; renewed at half of it.
const REGISTRATION: u32 = 600;

/// What happened, for whoever holds the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// The line accepted the registration.
    Registered,
    /// A request of ours was refused for good, or nobody answered it (408).
    Refused {
        /// The request.
        method: Method,
        /// The status.
        status: u16,
    },
    /// The other side rings.
    RemoteRinging,
    /// Somebody calls.
    Incoming {
        /// The number that calls.
        from: String,
        /// What it offers.
        sdp: Vec<u8>,
    },
    /// The other side answered.
    Answered {
        /// What it answered.
        sdp: Vec<u8>,
    },
    /// Our answer has arrived.
    Confirmed,
    /// The caller gave up before there was an answer.
    Cancelled,
    /// The other side hung up, or our own hanging up was confirmed.
    HungUp,
}

/// What the phone wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// Send this datagram to the line.
    Send(Vec<u8>),
    /// Tell this.
    Event(PhoneEvent),
}

/// Where a phone registers and as whom.
#[derive(Clone, Debug)]
pub struct Registration {
    /// User name of the line.
    pub user: User,
    /// Password of the line.
    pub password: Password,
    /// The line's UDP address.
    pub line: SocketAddr,
}

/// A phone.
#[derive(Debug)]
pub struct Ua {
    registration: Registration,
    local: SocketAddr,
    rng: ChaCha20Rng,
    register_id: String,
    register_count: u32,
    pending: Option<Pending>,
    renewal: Option<Instant>,
    call: Call,
    says: VecDeque<Say>,
}

/// A request of ours that waits for its final answer.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// Whether credentials were sent already, so that a second 401 is final.
    tried: bool,
    /// Whether a provisional answer stopped the repeats (INVITE only).
    proceeding: bool,
    repeat: Instant,
    interval: Duration,
    end: Instant,
}

/// The one call.
#[derive(Debug)]
enum Call {
    None,
    Calling(Dialog),
    Incoming {
        invite: Request,
        tag: String,
        ringing: bool,
    },
    Answered {
        dialog: Dialog,
        answer: Vec<u8>,
        repeat: Instant,
        interval: Duration,
        end: Instant,
    },
    Talking(Dialog),
    Ending,
}

impl Ua {
    /// A phone at `local` for one line. `seed` feeds tags, branches and call ids.
    #[must_use]
    pub fn new(registration: Registration, local: SocketAddr, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let register_id = token(&mut rng);
        Self {
            registration,
            local,
            rng,
            register_id,
            register_count: 0,
            pending: None,
            renewal: None,
            call: Call::None,
            says: VecDeque::new(),
        }
    }

    /// Registers to the line, and keeps registered.
    pub fn register(&mut self, now: Instant) {
        self.register_count += 1;
        let me = format!("<{}>", self.line_uri(self.registration.user.as_str()));
        let dialog = Dialog {
            call_id: self.register_id.clone(),
            us: format!("{me};tag={}", self.register_id),
            them: me,
            target: Uri::sip(None, self.registration.line),
            count: self.register_count,
        };
        let mut request = self.request(Method::Register, &dialog);
        request.headers.push(Name::Contact, self.contact());
        request
            .headers
            .push(Name::Expires, REGISTRATION.to_string());
        self.start(request, now);
    }

    /// Calls a number. Only while there is no call.
    pub fn call(&mut self, number: &str, sdp: Vec<u8>, now: Instant) {
        let (tag, call_id) = (token(&mut self.rng), token(&mut self.rng));
        let dialog = Dialog {
            call_id,
            us: format!(
                "<{}>;tag={tag}",
                self.line_uri(self.registration.user.as_str())
            ),
            them: format!("<{}>", self.line_uri(number)),
            target: self.line_uri(number),
            count: 1,
        };
        let mut request = self.request(Method::Invite, &dialog);
        request.headers.push(Name::Contact, self.contact());
        request.headers.push(Name::ContentType, "application/sdp");
        request.body = sdp;
        self.call = Call::Calling(dialog);
        self.start(request, now);
    }

    /// Rings: tells the caller so.
    pub fn ring(&mut self) {
        if let Call::Incoming {
            invite,
            tag,
            ringing,
        } = &mut self.call
        {
            *ringing = true;
            let ringing = response(invite, 180, tag, &self.local);
            self.says.push_back(Say::Send(ringing.to_bytes()));
        }
    }

    /// Picks up.
    pub fn answer(&mut self, sdp: Vec<u8>, now: Instant) {
        let Call::Incoming { invite, tag, .. } = std::mem::replace(&mut self.call, Call::None)
        else {
            return;
        };
        let Some(dialog) = dialog_of(&invite, &tag) else {
            return;
        };
        let mut accepted = response(&invite, 200, &tag, &self.local);
        accepted.headers.push(Name::ContentType, "application/sdp");
        accepted.body = sdp;
        let answer = accepted.to_bytes();
        self.says.push_back(Say::Send(answer.clone()));
        self.call = Call::Answered {
            dialog,
            answer,
            repeat: now + FIRST_REPEAT,
            interval: FIRST_REPEAT,
            end: now + GIVE_UP,
        };
    }

    /// Hangs up, whatever the state of the call.
    pub fn hang_up(&mut self, now: Instant) {
        match std::mem::replace(&mut self.call, Call::Ending) {
            Call::Talking(dialog) | Call::Answered { dialog, .. } => {
                let request = self.request(Method::Bye, &dialog);
                self.start(request, now);
            }
            Call::Calling(_) => self.cancel(),
            Call::Incoming { invite, tag, .. } => {
                let declined = response(&invite, 486, &tag, &self.local);
                self.says.push_back(Say::Send(declined.to_bytes()));
                self.call = Call::None;
            }
            Call::None | Call::Ending => self.call = Call::None,
        }
    }

    /// A datagram from the line.
    pub fn handle(&mut self, bytes: &[u8], now: Instant) {
        match parse(bytes) {
            Ok(Message::Request(request)) => self.handle_request(request),
            Ok(Message::Response(response)) => self.handle_response(&response, now),
            // A phone says nothing to what is not SIP.
            Err(_) => {}
        }
    }

    /// Time has passed: repeats what is unanswered.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| now >= pending.end)
        {
            self.give_up();
        } else if let Some(pending) = self
            .pending
            .as_mut()
            .filter(|pending| !pending.proceeding && now >= pending.repeat)
        {
            pending.interval = (pending.interval * 2).min(LONGEST_REPEAT);
            pending.repeat = now + pending.interval;
            self.says.push_back(Say::Send(pending.request.to_bytes()));
        }
        if let Call::Answered {
            answer,
            repeat,
            interval,
            end,
            ..
        } = &mut self.call
        {
            if now >= *end {
                self.hang_up(now);
            } else if now >= *repeat {
                *interval = (*interval * 2).min(LONGEST_REPEAT);
                *repeat = now + *interval;
                self.says.push_back(Say::Send(answer.clone()));
            }
        }
        if self.pending.is_none() && self.renewal.is_some_and(|renewal| now >= renewal) {
            self.renewal = None;
            self.register(now);
        }
    }

    /// What to do next; until `None`.
    pub fn poll(&mut self) -> Option<Say> {
        self.says.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let pending = self.pending.as_ref().map(|pending| {
            if pending.proceeding {
                (pending.end, "a request is given up")
            } else {
                (pending.repeat.min(pending.end), "a request is repeated")
            }
        });
        let answered = match &self.call {
            Call::Answered { repeat, end, .. } => {
                Some(((*repeat).min(*end), "an answer is repeated"))
            }
            _ => None,
        };
        let renewal = self
            .renewal
            .filter(|_| self.pending.is_none())
            .map(|at| (at, "the registration is renewed"));
        [pending, answered, renewal].into_iter().flatten().min()
    }
}

fn token(rng: &mut ChaCha20Rng) -> String {
    format!("{:016x}", rng.next_u64())
}

#[cfg(test)]
mod tests {
    use crate::message::Response;
    use crate::timers::some_instant;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// A phone whose line is the other phone: two of them can call each other directly.
    fn phone(own: u16, other: u16) -> Ua {
        let registration = Registration {
            user: User::new(own.to_string()),
            password: Password::new("pw"),
            line: address(other),
        };
        let [high, low] = own.to_be_bytes();
        let mut seed = [high; 32];
        seed[0] = low;
        Ua::new(registration, address(own), seed)
    }

    struct Pair {
        a: Ua,
        b: Ua,
        now: Instant,
        heard: Vec<(char, PhoneEvent)>,
        /// Datagrams that are lost, counted from the next one.
        lose: usize,
    }

    impl Pair {
        fn new() -> Self {
            Self {
                a: phone(5001, 5002),
                b: phone(5002, 5001),
                now: some_instant(),
                heard: Vec::new(),
                lose: 0,
            }
        }

        fn settle(&mut self) {
            loop {
                let (name, from, to) = match (self.a.poll(), &mut self.a, &mut self.b) {
                    (Some(say), _, b) => ('a', say, b),
                    (None, a, b) => match b.poll() {
                        Some(say) => ('b', say, a),
                        None => return,
                    },
                };
                match from {
                    Say::Send(_) if self.lose > 0 => self.lose -= 1,
                    Say::Send(bytes) => to.handle(&bytes, self.now),
                    Say::Event(event) => self.heard.push((name, event)),
                }
            }
        }

        /// Moves time to the next alarm of either phone.
        fn wait(&mut self) {
            let alarm = [self.a.next_alarm(), self.b.next_alarm()]
                .into_iter()
                .flatten()
                .min()
                .unwrap();
            self.now = alarm.0;
            self.a.handle_timeout(self.now);
            self.b.handle_timeout(self.now);
            self.settle();
        }

        fn talk(&mut self) {
            self.a.call("5002", b"offer".to_vec(), self.now);
            self.settle();
            self.b.ring();
            self.settle();
            self.b.answer(b"answer".to_vec(), self.now);
            self.settle();
        }
    }

    fn talking() -> Vec<(char, PhoneEvent)> {
        vec![
            (
                'b',
                PhoneEvent::Incoming {
                    from: "5001".to_owned(),
                    sdp: b"offer".to_vec(),
                },
            ),
            ('a', PhoneEvent::RemoteRinging),
            (
                'a',
                PhoneEvent::Answered {
                    sdp: b"answer".to_vec(),
                },
            ),
            ('b', PhoneEvent::Confirmed),
        ]
    }

    #[test]
    fn a_call_is_placed_answered_and_ended_by_either_side() {
        for by_caller in [true, false] {
            let mut pair = Pair::new();
            pair.talk();
            assert_eq!(pair.heard, talking());
            pair.heard.clear();
            if by_caller {
                pair.a.hang_up(pair.now)
            } else {
                pair.b.hang_up(pair.now)
            }
            pair.settle();
            pair.heard.sort_by_key(|(name, _)| *name);
            assert_eq!(
                pair.heard,
                [('a', PhoneEvent::HungUp), ('b', PhoneEvent::HungUp)]
            );
            assert_eq!((pair.a.next_alarm(), pair.b.next_alarm()), (None, None));
        }
    }

    #[test]
    fn every_lost_datagram_of_a_call_is_made_good() {
        for lost in 0..5 {
            let mut pair = Pair::new();
            pair.a.call("5002", b"offer".to_vec(), pair.now);
            pair.lose = usize::from(lost == 0);
            pair.settle();
            if lost == 0 {
                pair.wait();
            }
            pair.b.ring();
            pair.settle();
            pair.b.answer(b"answer".to_vec(), pair.now);
            pair.lose = lost.min(2);
            pair.settle();
            while pair.b.next_alarm().is_some() {
                pair.wait();
            }
            assert_eq!(pair.heard, talking(), "{lost}");
        }
    }

    #[test]
    fn a_cancelled_call_ends_on_both_sides() {
        let mut pair = Pair::new();
        pair.a.call("5002", b"offer".to_vec(), pair.now);
        pair.settle();
        pair.b.ring();
        pair.settle();
        pair.heard.clear();
        pair.a.hang_up(pair.now);
        pair.settle();
        let refused = PhoneEvent::Refused {
            method: Method::Invite,
            status: 487,
        };
        pair.heard.sort_by_key(|(name, _)| *name);
        assert_eq!(pair.heard, [('a', refused), ('b', PhoneEvent::Cancelled)]);
    }

    #[test]
    fn a_declined_call_and_a_second_caller_are_busy() {
        let mut pair = Pair::new();
        pair.a.call("5002", b"offer".to_vec(), pair.now);
        pair.settle();
        pair.heard.clear();
        pair.b.hang_up(pair.now);
        pair.settle();
        assert_eq!(
            pair.heard,
            [(
                'a',
                PhoneEvent::Refused {
                    method: Method::Invite,
                    status: 486
                }
            )]
        );
    }

    #[test]
    fn a_line_that_says_nothing_is_given_up() {
        let mut phone = phone(5001, 5002);
        let start = some_instant();
        phone.register(start);
        let mut sent = 0;
        let event = loop {
            match phone.poll() {
                Some(Say::Send(_)) => sent += 1,
                Some(Say::Event(event)) => break event,
                None => {
                    let (at, _) = phone.next_alarm().unwrap();
                    phone.handle_timeout(at);
                }
            }
        };
        assert_eq!(
            event,
            PhoneEvent::Refused {
                method: Method::Register,
                status: 408
            }
        );
        assert!(sent > 5, "{sent}");
    }

    #[test]
    fn a_challenge_is_answered_once_and_a_second_one_is_final() {
        let mut phone = phone(5001, 5002);
        let now = some_instant();
        phone.register(now);
        let challenge = |bytes: &[u8]| {
            let Ok(Message::Request(request)) = parse(bytes) else {
                panic!("a request")
            };
            let mut response = Response::to(&request, 401);
            response.headers.push(
                Name::WwwAuthenticate,
                "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"",
            );
            (request, response.to_bytes())
        };
        let Some(Say::Send(first)) = phone.poll() else {
            panic!("a request")
        };
        let (first, refusal) = challenge(&first);
        phone.handle(&refusal, now);
        let Some(Say::Send(second)) = phone.poll() else {
            panic!("a second request")
        };
        let (second, refusal) = challenge(&second);
        let header = second.headers.text(&Name::Authorization).unwrap();
        assert!(
            header.contains("username=\"5001\"") && header.contains("nc=00000001"),
            "{header}"
        );
        assert_eq!(
            second.headers.cseq().unwrap().number,
            first.headers.cseq().unwrap().number + 1
        );
        assert_ne!(second.headers.via(), first.headers.via());
        phone.handle(&refusal, now);
        assert_eq!(
            phone.poll(),
            Some(Say::Event(PhoneEvent::Refused {
                method: Method::Register,
                status: 401
            }))
        );
    }
}
