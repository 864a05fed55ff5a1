//! The built-in phone's SIP against the user agent: registration with digest, and calls in both directions.

use std::time::Duration;

use ringfence_sip::client::{ClientOutput, PhoneClient, PhoneEvent, Registration};
use ringfence_sip::{Event, HangUp, LegId, Output, Password};

use crate::world::{ANSWER, OFFER, World, caller, phone, user};

/// A user agent and one built-in phone, whose datagrams all arrive.
struct Line {
    world: World,
    phone: PhoneClient,
    events: Vec<PhoneEvent>,
    agent_events: Vec<Event>,
}

impl Line {
    /// Registers the phone.
    fn new() -> Self {
        let flow = phone("alice", 40001).flow;
        let registration = Registration {
            user: user("alice"),
            password: Password::new("pw-alice"),
            line: flow.local,
        };
        let mut line = Self {
            world: World::new(),
            phone: PhoneClient::new(registration, flow.peer, [3; 32]),
            events: Vec::new(),
            agent_events: Vec::new(),
        };
        line.phone.register(line.world.now);
        line.exchange();
        assert_eq!(line.events(), [PhoneEvent::Registered]);
        assert!(matches!(
            line.agent_events(),
            [Event::Registered { phones: 1, .. }]
        ));
        line.agent_events.clear();
        line
    }

    /// Passes datagrams until neither side has more.
    fn exchange(&mut self) {
        let (now, flow) = (self.world.now, phone("alice", 40001).flow);
        loop {
            if let Some(output) = self.phone.poll() {
                match output {
                    ClientOutput::Send(bytes) => self.world.agent.handle_packet(flow, &bytes, now),
                    ClientOutput::Event(event) => self.events.push(event),
                }
            } else if let Some(output) = self.world.agent.poll() {
                match output {
                    Output::Send { bytes, .. } => self.phone.handle_packet(&bytes, now),
                    Output::Event(event) => self.agent_events.push(event),
                    Output::Close { .. } => panic!("no stream is open"),
                }
            } else {
                return;
            }
        }
    }

    fn events(&mut self) -> Vec<PhoneEvent> {
        std::mem::take(&mut self.events)
    }

    fn agent_events(&self) -> &[Event] {
        &self.agent_events
    }

    /// The phone calls, and its call is answered.
    fn call_out(&mut self) -> LegId {
        let now = self.world.now;
        self.phone.call("5550199", OFFER.to_vec(), now);
        self.exchange();
        let [
            Event::Incoming {
                leg, dialled, sdp, ..
            },
        ] = self.agent_events()
        else {
            panic!("no call")
        };
        let leg = *leg;
        assert_eq!((dialled.as_str(), sdp.as_slice()), ("5550199", OFFER));
        self.world.agent.ring(leg, now);
        self.exchange();
        self.world.agent.answer(leg, ANSWER.to_vec(), now);
        self.exchange();
        let sdp = ANSWER.to_vec();
        let expected = [PhoneEvent::RemoteRinging, PhoneEvent::Answered { sdp }];
        assert_eq!(self.events(), expected);
        let confirmed = self.agent_events().last();
        assert_eq!(
            confirmed,
            Some(&Event::Confirmed {
                leg,
                sdp: Vec::new()
            })
        );
        self.agent_events.clear();
        leg
    }
}

#[test]
fn the_built_in_phone_calls_and_either_side_hangs_up() {
    let mut line = Line::new();
    let leg = line.call_out();
    line.phone.hang_up(line.world.now);
    line.exchange();
    assert_eq!(line.events(), [PhoneEvent::HungUp]);
    assert_eq!(line.agent_events(), [Event::HungUp { leg }]);
    line.agent_events.clear();
    let leg = line.call_out();
    line.world
        .agent
        .hang_up(leg, HangUp::Normal, line.world.now);
    line.exchange();
    assert_eq!(line.events(), [PhoneEvent::HungUp]);
}

#[test]
fn the_built_in_phone_is_called_and_answers() {
    let mut line = Line::new();
    let now = line.world.now;
    let leg = line
        .world
        .agent
        .invite(&user("alice"), caller(), OFFER.to_vec(), now)
        .unwrap();
    line.exchange();
    let incoming = PhoneEvent::Incoming {
        from: "5550100".to_owned(),
        sdp: OFFER.to_vec(),
    };
    assert_eq!(line.events(), [incoming]);
    line.phone.ring(now);
    line.exchange();
    line.phone.answer(ANSWER.to_vec(), now);
    line.exchange();
    assert_eq!(line.events(), [PhoneEvent::Confirmed]);
    let sdp = ANSWER.to_vec();
    let expected = [Event::Ringing { leg }, Event::Answered { leg, sdp }];
    assert_eq!(line.agent_events(), expected);
}

#[test]
fn the_built_in_phone_gives_a_call_up_and_refreshes_its_registration() {
    let mut line = Line::new();
    line.phone.call("5550199", OFFER.to_vec(), line.world.now);
    line.exchange();
    line.phone.hang_up(line.world.now);
    line.exchange();
    let [_, Event::Cancelled { .. }] = line.agent_events() else {
        panic!("no CANCEL: {:?}", line.agent_events())
    };
    assert!(matches!(
        line.events().as_slice(),
        [PhoneEvent::Refused { status: 487, .. }]
    ));
    line.world.now += Duration::from_secs(300);
    line.phone.handle_timeout(line.world.now);
    line.exchange();
    assert_eq!(line.events(), [PhoneEvent::Registered]);
}
