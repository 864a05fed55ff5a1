//! Whole calls over a wire that loses a third of everything in both directions, with a phone that repeats itself as
//! RFC 3261 section 17 asks. Whatever is lost, both sides must end with the same idea of the call, and with no timer.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_sip::message::{Message, Method, Request, Response};
use ringfence_sip::{Event, HangUp, LegId, Timer};

use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, user};

const TICK: Duration = Duration::from_millis(100);

/// A phone that keeps what RFC 3261 makes it keep, and a wire that drops packets.
struct Lossy {
    world: World,
    phone: Phone,
    dice: ChaCha8Rng,
    /// A request of the phone that has no final answer yet: sent every 5 ticks, 60 times at most.
    asking: Option<(Request, u32)>,
    /// The phone's 200 to our INVITE, sent every 5 ticks until the ACK.
    unconfirmed: Option<Response>,
    /// The call, once it is up.
    call: Option<Call>,
    /// Whether the phone believes to be in a call.
    is_up: bool,
    events: Vec<Event>,
    tick: u32,
}

impl Lossy {
    fn new(name: &'static str, seed: u64) -> Self {
        let mut world = World::new();
        let phone = phone(name, 40001);
        phone.register(&mut world);
        Self {
            world,
            phone,
            dice: ChaCha8Rng::seed_from_u64(seed),
            asking: None,
            unconfirmed: None,
            call: None,
            is_up: false,
            events: Vec::new(),
            tick: 0,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        if !self.dice.next_u32().is_multiple_of(3) {
            self.world.push(self.phone.flow, bytes);
        }
    }

    fn ask(&mut self, request: Request) {
        self.send(&request.to_bytes());
        self.asking = Some((request, 0));
    }

    fn run(&mut self, ticks: u32, until: impl Fn(&Self) -> bool) {
        for _ in 0..ticks {
            self.world.advance(TICK);
            self.tick += 1;
            self.world.drain();
            for message in self.world.inbox(self.phone.flow) {
                if !self.dice.next_u32().is_multiple_of(3) {
                    match message {
                        Message::Request(request) => self.hear_request(&request),
                        Message::Response(response) => self.hear_response(&response),
                    }
                }
            }
            if self.tick.is_multiple_of(5) {
                self.repeat();
            }
            self.events.extend(self.world.events());
            if until(self) {
                return;
            }
        }
    }

    fn repeat(&mut self) {
        if let Some((request, times)) = self.asking.take().filter(|(_, times)| *times < 60) {
            self.send(&request.to_bytes());
            self.asking = Some((request, times + 1));
        }
        if let Some(response) = self.unconfirmed.clone() {
            self.send(&response.to_bytes());
        }
    }

    fn hear_request(&mut self, request: &Request) {
        match request.method {
            Method::Invite if self.call.is_none() => {
                let ok = self.phone.response(request, 200);
                self.call = Some(Call::answered(request, &ok));
                self.is_up = true;
                self.send(&ok.to_bytes());
                self.unconfirmed = Some(ok);
            }
            Method::Ack => self.unconfirmed = None,
            Method::Bye => {
                self.is_up = false;
                self.unconfirmed = None;
                let ok = self.phone.response(request, 200);
                self.send(&ok.to_bytes());
            }
            _ => {}
        }
    }

    fn hear_response(&mut self, response: &Response) {
        let Some(cseq) = response.headers.cseq().filter(|_| response.status >= 200) else {
            return;
        };
        let asked = self
            .asking
            .take_if(|(request, _)| request.headers.cseq().as_ref() == Some(&cseq));
        if cseq.method == Method::Bye && asked.is_some() {
            self.is_up = false;
        }
        if cseq.method != Method::Invite {
            return;
        }
        if let Some((invite, _)) = asked {
            self.call = Some(Call::of(&invite, response));
            self.is_up = response.status == 200;
        }
        let mut call = self.call.clone().expect("an INVITE was answered");
        let ack = if response.status == 200 {
            call.ack(&self.phone, &mut self.world)
        } else {
            call.ack_of_refusal()
        };
        self.send(&ack.to_bytes());
    }

    fn hang_up(&mut self) {
        let mut call = self.call.clone().expect("a call");
        let bye = call.request(&self.phone, &mut self.world, Method::Bye);
        self.ask(bye);
    }

    /// Nothing is left to send, and no timer but those of registrations is set.
    fn assert_quiet(&mut self, seed: u64) {
        self.run(700, |_| false);
        assert!(!self.is_up, "seed {seed}: the phone believes in a call");
        let alarm = self.world.agent.next_timeout().map(|(_, timer)| timer);
        assert!(
            matches!(alarm, None | Some(Timer::RegistrationEnd)),
            "seed {seed}: {alarm:?}"
        );
    }

    fn dial(&mut self) -> LegId {
        let (call, leg) = self.phone.dial(&mut self.world, "5550199", OFFER);
        self.asking = Some((call.invite, 0));
        leg
    }
}

#[test]
fn a_call_of_a_phone_survives_loss_and_ends_from_either_side() {
    for seed in 0..60 {
        let mut lossy = Lossy::new("alice", seed);
        let leg = lossy.dial();
        lossy.run(3, |_| false);
        lossy.world.agent.ring(leg, lossy.world.now);
        lossy.run(3, |_| false);
        lossy
            .world
            .agent
            .answer(leg, ANSWER.to_vec(), lossy.world.now);
        lossy.run(300, |lossy| lossy.is_up && !lossy.events.is_empty());
        assert_eq!(
            lossy.events,
            [Event::Confirmed {
                leg,
                sdp: Vec::new()
            }],
            "seed {seed}"
        );
        if seed % 2 == 0 {
            lossy.hang_up();
            lossy.run(300, |lossy| lossy.events.len() == 2);
            assert_eq!(
                lossy.events.last(),
                Some(&Event::HungUp { leg }),
                "seed {seed}"
            );
        } else {
            lossy
                .world
                .agent
                .hang_up(leg, HangUp::Normal, lossy.world.now);
        }
        lossy.assert_quiet(seed);
        assert_eq!(lossy.events.len(), if seed % 2 == 0 { 2 } else { 1 });
    }
}

#[test]
fn a_refused_call_of_a_phone_survives_loss() {
    for seed in 0..40 {
        let mut lossy = Lossy::new("alice", seed);
        let leg = lossy.dial();
        lossy.world.agent.refuse(leg, 603, lossy.world.now);
        lossy.assert_quiet(seed);
        assert!(
            lossy.call.is_some(),
            "seed {seed}: the phone never heard the refusal"
        );
        assert_eq!(lossy.events, []);
    }
}

#[test]
fn a_call_to_a_phone_survives_loss_and_ends_from_either_side() {
    for seed in 0..60 {
        let mut lossy = Lossy::new("bob", seed);
        let now = lossy.world.now;
        let leg = lossy
            .world
            .agent
            .invite(&user("bob"), caller(), OFFER.to_vec(), now)
            .unwrap();
        lossy.run(300, |lossy| {
            !lossy.events.is_empty() && lossy.unconfirmed.is_none()
        });
        assert_eq!(
            lossy.events,
            [Event::Answered {
                leg,
                sdp: ANSWER.to_vec()
            }],
            "seed {seed}"
        );
        if seed % 2 == 0 {
            lossy.hang_up();
        } else {
            lossy
                .world
                .agent
                .hang_up(leg, HangUp::Normal, lossy.world.now);
        }
        lossy.assert_quiet(seed);
        let expected = if seed % 2 == 0 {
            Some(&Event::HungUp { leg })
        } else {
            None
        };
        assert_eq!(lossy.events.get(1), expected, "seed {seed}");
    }
}
