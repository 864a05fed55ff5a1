//! Whole sequences of events at the transaction level: requests and responses of phones that fit earlier ones, commands, restarts,
//! and time. The agent never panics, its tables stay within their bounds, and everything ends.

#![no_main]

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use ringfence_sip::digest::{DigestChallenge, answer};
use ringfence_sip::message::{Message, Method, Name, Request, Response, Uri, parse};
use ringfence_sip::{
    Account, Algorithms, Body, CallerId, Config, Digit, Event, Flow, HangUp, LegId, Output,
    Password, SubscriptionId, TextId, Transport, User, UserAgent,
};

/// How many items of each kind the fuzzer remembers and can refer to.
const KEPT: usize = 16;

struct World {
    agent: UserAgent,
    now: Instant,
    legs: VecDeque<LegId>,
    texts: VecDeque<TextId>,
    subscriptions: VecDeque<SubscriptionId>,
    /// Requests of the agent, which can be answered.
    asked: VecDeque<(Flow, Request)>,
    /// Requests of phones with the last response to each, which can be cancelled, repeated, acknowledged or followed.
    said: VecDeque<(Flow, Request, Option<Response>)>,
    count: u32,
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    list.push_back(item);
    if list.len() > KEPT {
        list.pop_front();
    }
}

fn pick<T: Clone>(list: &VecDeque<T>, choice: u8) -> Option<T> {
    list.get(usize::from(choice) % list.len().max(1)).cloned()
}

const METHODS: [Method; 13] = [
    Method::Invite,
    Method::Bye,
    Method::Info,
    Method::Update,
    Method::Prack,
    Method::Refer,
    Method::Subscribe,
    Method::Notify,
    Method::Message,
    Method::Options,
    Method::Register,
    Method::Ack,
    Method::Cancel,
];

const STATUSES: [u16; 12] = [100, 180, 183, 200, 202, 302, 408, 422, 481, 486, 491, 603];

impl World {
    fn start(seed: u8) -> UserAgent {
        let config = Config {
            realm: "fuzz".into(),
            accounts: vec![Account {
                user: User::new("alice"),
                password: Password::new("secret"),
            }],
            algorithms: Algorithms::default(),
        };
        UserAgent::new(config, [seed; 32])
    }

    fn new() -> Self {
        Self {
            agent: Self::start(7),
            now: Instant::now(),
            legs: VecDeque::new(),
            texts: VecDeque::new(),
            subscriptions: VecDeque::new(),
            asked: VecDeque::new(),
            said: VecDeque::new(),
            count: 0,
        }
    }

    fn flow(choice: u8) -> Flow {
        let is_stream = choice & 4 != 0;
        Flow {
            transport: if is_stream {
                Transport::Tcp
            } else {
                Transport::Udp
            },
            local: ([127, 0, 0, 1], 5060).into(),
            peer: ([127, 0, 0, 1], 5070 + u16::from(choice & 3)).into(),
            connection: u64::from(choice & 7) * u64::from(is_stream),
        }
    }

    /// A request inside or outside an earlier dialog; its credentials are valid if a challenge was received.
    fn ask(&mut self, method: Method, inside: u8, option: u8) {
        self.count += 1;
        let (count, flow) = (self.count, Self::flow(option));
        let before = pick(&self.said, inside).filter(|_| inside & 0x80 != 0);
        let uri = Uri::parse(b"sip:5550199@127.0.0.1").expect("a URI");
        let mut request = Request::new(method.clone(), &uri);
        let headers = &mut request.headers;
        headers.push(
            Name::Via,
            format!("SIP/2.0/UDP h;rport;branch=z9hG4bK{count}"),
        );
        headers.push(Name::Contact, "<sip:alice@127.0.0.1:5070>");
        headers.push(Name::CSeq, format!("{count} {method}"));
        match &before {
            Some((_, first, answer)) => {
                headers.push(
                    Name::From,
                    first.headers.get(&Name::From).unwrap_or_default(),
                );
                let to = answer
                    .as_ref()
                    .and_then(|answer| answer.headers.get(&Name::To));
                headers.push(
                    Name::To,
                    to.or(first.headers.get(&Name::To)).unwrap_or_default(),
                );
                headers.push(
                    Name::CallId,
                    first.headers.get(&Name::CallId).unwrap_or_default(),
                );
            }
            None => {
                headers.push(Name::From, format!("<sip:alice@127.0.0.1>;tag=f{count}"));
                headers.push(Name::To, "<sip:alice@127.0.0.1>");
                headers.push(Name::CallId, format!("c{count}"));
            }
        }
        self.decorate(&mut request, option);
        if let Some((_, _, Some(answer))) = &before {
            self.prove(&mut request, answer);
        }
        self.send(flow, request);
    }

    fn decorate(&self, request: &mut Request, option: u8) {
        let extras = [
            (Name::Require, "100rel"),
            (Name::Supported, "timer"),
            (Name::SessionExpires, "90;refresher=uas"),
            (Name::SessionExpires, "1800"),
            (Name::ReferTo, "<sip:7@h>"),
            (Name::ReferSub, "false"),
            (Name::Event, "dialog"),
            (Name::Event, "refer"),
            (Name::Expires, "60"),
            (Name::Expires, "0"),
            (Name::RAck, "1 1 INVITE"),
            (Name::Allow, "INVITE, UPDATE"),
        ];
        for (bit, (name, value)) in extras.into_iter().enumerate() {
            if option.rotate_left(u32::try_from(bit).unwrap_or(0)) & 3 == 3 {
                request.headers.push(name, value);
            }
        }
        if option & 1 != 0 {
            let kind = match request.method {
                Method::Info => "application/dtmf-relay",
                _ => "application/sdp",
            };
            request.headers.push(Name::ContentType, kind);
            request.body = b"Signal=1\r\n".to_vec();
        }
    }

    fn prove(&self, request: &mut Request, answered: &Response) {
        let value = answered.headers.get(&Name::WwwAuthenticate);
        let Some(challenge) = value.and_then(DigestChallenge::parse) else {
            return;
        };
        let (password, uri) = (Password::new("secret"), request.uri.clone());
        let method = request.method.clone();
        let value = answer(
            &challenge, "alice", &password, &method, &uri, "c", self.count,
        );
        request.headers.push(Name::Authorization, value);
    }

    fn send(&mut self, flow: Flow, request: Request) {
        self.agent
            .handle_packet(flow, &request.to_bytes(), self.now);
        keep(&mut self.said, (flow, request, None));
        self.drain();
    }

    fn reply(&mut self, which: u8, status: u16, option: u8) {
        let Some((flow, request)) = pick(&self.asked, which) else {
            return;
        };
        let mut response = Response::to(&request, status);
        if let Some(to) = request
            .headers
            .text(&Name::To)
            .filter(|to| !to.contains("tag="))
        {
            let tag = option & 3;
            response
                .headers
                .replace(Name::To, format!("{to};tag=t{tag}"));
        }
        response
            .headers
            .push(Name::Contact, "<sip:alice@127.0.0.1:5070>");
        if option & 4 != 0 {
            response.headers.push(Name::Require, "100rel");
            response.headers.push(Name::RSeq, (option >> 5).to_string());
        }
        if option & 8 != 0 {
            response
                .headers
                .push(Name::SessionExpires, "90;refresher=uac");
            response.headers.push(Name::MinSe, "200");
        }
        self.agent
            .handle_packet(flow, &response.to_bytes(), self.now);
        self.drain();
    }

    /// The process dies, and another one takes over what outlives it.
    fn restart(&mut self, seed: u8) {
        let bindings = self.agent.bindings(self.now);
        let messages = self.agent.final_messages();
        let (phones, count) = (bindings.len(), messages.len());
        self.agent = Self::start(seed);
        self.agent.restore_bindings(bindings, self.now);
        assert_eq!(self.agent.bindings(self.now).len(), phones);
        self.agent.send_final_messages(messages, self.now);
        assert_eq!(self.agent.final_messages().len(), count);
        self.legs.clear();
    }

    fn command(&mut self, command: u8, which: u8) {
        let now = self.now;
        let sdp = b"v=0".to_vec();
        let body = Body {
            content_type: "text/plain".into(),
            bytes: b"x".to_vec(),
        };
        let caller = CallerId {
            number: "7".into(),
            name: None,
        };
        let user = User::new("alice");
        match (command % 16, pick(&self.legs, which)) {
            (0, _) => {
                if let Ok(leg) = self.agent.invite(&user, caller, sdp, now) {
                    keep(&mut self.legs, leg);
                }
            }
            (1, _) => drop(self.agent.send_text(
                &user,
                &caller,
                (&body, Some(SystemTime::UNIX_EPOCH)),
                now,
            )),
            (2, Some(leg)) => self.agent.ring(leg, now),
            (3, Some(leg)) => self.agent.answer(leg, sdp, now),
            (4, Some(leg)) => self.agent.refuse(leg, 488, now),
            (5, Some(leg)) => self.agent.hang_up(leg, HangUp::NoSound, now),
            (6, Some(leg)) => self.agent.hang_up(leg, HangUp::AnsweredElsewhere, now),
            (7, Some(leg)) => self.agent.offer(leg, sdp, now),
            (8, Some(leg)) => self
                .agent
                .notify_transfer(leg, 100 * u16::from(which & 7), now),
            (9, Some(leg)) => {
                if let Some(digit) = Digit::new(which & 15, 100) {
                    self.agent.send_digit(leg, digit, now);
                }
            }
            (10, _) => {
                if let Some(text) = pick(&self.texts, which) {
                    self.agent.answer_text(text, 202, now);
                }
            }
            (11, _) => {
                if let Some(subscription) = pick(&self.subscriptions, which) {
                    self.agent.notify(subscription, body, now);
                }
            }
            (12, _) => {
                if let Some(subscription) = pick(&self.subscriptions, which) {
                    self.agent.end_subscription(subscription, now);
                }
            }
            (13, _) => self.agent.handle_flow_closed(Self::flow(which | 4), now),
            (14, Some(leg)) => self.agent.probe(leg, now),
            (15, _) => self.restart(which),
            _ => {}
        }
        self.drain();
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        // Every handled timeout is removed, and the state machines set fewer and fewer new ones.
        let mut left = 200_000_u32;
        while let Some((at, _)) = self.agent.next_timeout().filter(|(at, _)| *at <= end) {
            left = left.checked_sub(1).expect("time passes");
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Send { flow, bytes } => {
                    match parse(&bytes).expect("what we send is readable") {
                        Message::Request(request) => {
                            assert!(request.validate().is_ok(), "our requests are of good form");
                            keep(&mut self.asked, (flow, request));
                        }
                        Message::Response(response) => self.note(response),
                    }
                }
                Output::Event(event) => match event {
                    Event::Incoming { leg, .. } => keep(&mut self.legs, leg),
                    Event::Text { text, .. } => keep(&mut self.texts, text),
                    Event::Subscribed { subscription, .. } => {
                        keep(&mut self.subscriptions, subscription)
                    }
                    _ => {}
                },
                Output::Close { .. } => {}
            }
        }
    }

    fn note(&mut self, response: Response) {
        let same = |request: &Request| {
            request.headers.get(&Name::CSeq) == response.headers.get(&Name::CSeq)
        };
        if let Some((.., answer)) = self
            .said
            .iter_mut()
            .rev()
            .find(|(_, request, _)| same(request))
        {
            *answer = Some(response);
        }
    }
}

fuzz_target!(|script: Vec<(u8, u8, u8, u16)>| {
    let mut world = World::new();
    for (act, which, option, wait) in script.into_iter().take(400) {
        match act % 4 {
            0 => {
                let method = METHODS[usize::from(act / 4) % METHODS.len()].clone();
                world.ask(method, which, option);
            }
            1 => world.reply(
                which,
                STATUSES[usize::from(act / 4) % STATUSES.len()],
                option,
            ),
            2 => world.command(act / 4, which),
            _ => {
                if let Some((flow, request, _)) = pick(&world.said, which) {
                    world.agent
                        .handle_packet(flow, &request.to_bytes(), world.now);
                    world.drain();
                }
            }
        }
        world.wait(Duration::from_millis(u64::from(wait)));
    }
    // Everything ends: calls by hanging up, the rest by timeouts. The longest timeout is a session of a day.
    while let Some(leg) = world.legs.pop_front() {
        world.agent.hang_up(leg, HangUp::Normal, world.now);
        world.drain();
    }
    world.wait(Duration::from_secs(2 * 86_400));
    assert!(world.agent.is_idle(), "a phone is not told for ever");
    assert!(
        world.agent.next_timeout().is_none(),
        "something waits for ever"
    );
});
