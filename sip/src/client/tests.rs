//! Two phones, each of which is the other's line: calls without a user agent between them.

use crate::message::{Name, Response};
use crate::timers::some_instant;

use super::*;

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A phone whose line is the other phone: two of them can call each other directly.
fn phone(own: u16, other: u16) -> PhoneClient {
    let registration = Registration {
        user: User::new(own.to_string()),
        password: Password::new("pw"),
        line: address(other),
    };
    let [high, low] = own.to_be_bytes();
    let mut seed = [high; 32];
    seed[0] = low;
    PhoneClient::new(registration, address(own), seed)
}

struct Pair {
    a: PhoneClient,
    b: PhoneClient,
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
                ClientOutput::Send(_) if self.lose > 0 => self.lose -= 1,
                ClientOutput::Send(bytes) => to.handle_packet(&bytes, self.now),
                ClientOutput::Event(event) => self.heard.push((name, event)),
            }
        }
    }

    /// Advances time to the next timeout of either phone.
    fn wait(&mut self) {
        let timeout = [self.a.next_timeout(), self.b.next_timeout()]
            .into_iter()
            .flatten()
            .min()
            .unwrap();
        self.now = timeout.0;
        self.a.handle_timeout(self.now);
        self.b.handle_timeout(self.now);
        self.settle();
    }

    fn talk(&mut self) {
        self.a.call("5002", b"offer".to_vec(), self.now);
        self.settle();
        self.b.ring(self.now);
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
        assert_eq!((pair.a.next_timeout(), pair.b.next_timeout()), (None, None));
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
        pair.b.ring(pair.now);
        pair.settle();
        pair.b.answer(b"answer".to_vec(), pair.now);
        pair.lose = lost.min(2);
        pair.settle();
        while pair.b.next_timeout().is_some() {
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
    pair.b.ring(pair.now);
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
            Some(ClientOutput::Send(_)) => sent += 1,
            Some(ClientOutput::Event(event)) => break event,
            None => {
                let (at, _) = phone.next_timeout().unwrap();
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
    let Some(ClientOutput::Send(first)) = phone.poll() else {
        panic!("a request")
    };
    let (first, refusal) = challenge(&first);
    phone.handle_packet(&refusal, now);
    let Some(ClientOutput::Send(second)) = phone.poll() else {
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
    phone.handle_packet(&refusal, now);
    assert_eq!(
        phone.poll(),
        Some(ClientOutput::Event(PhoneEvent::Refused {
            method: Method::Register,
            status: 401
        }))
    );
}
