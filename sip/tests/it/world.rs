//! One user agent, and phones that send exactly what a test makes them send.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringfence_sip::digest::{DigestChallenge, answer};
use ringfence_sip::message::{Message, Method, Name, Request, Response, Uri, parse};
use ringfence_sip::{
    Account, Algorithms, CallerId, Config, Event, Flow, LegId, Output, Password, Transport, User,
    UserAgent,
};

pub(crate) const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
pub(crate) const ANSWER: &[u8] = b"v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

pub(crate) struct World {
    pub(crate) agent: UserAgent,
    pub(crate) now: Instant,
    inboxes: BTreeMap<Flow, Vec<Message>>,
    events: Vec<Event>,
    pub(crate) closed: Vec<Flow>,
    counter: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "simulated time needs an origin, and std offers no other"
)]
fn origin() -> Instant {
    Instant::now()
}

pub(crate) fn user(name: &str) -> User {
    User::new(name)
}

pub(crate) fn caller() -> CallerId {
    CallerId {
        number: "5550100".to_owned(),
        name: Some("Carol \"C\"".to_owned()),
    }
}

fn config(algorithms: Algorithms) -> Config {
    let accounts = ["alice", "bob"].map(|name| Account {
        user: user(name),
        password: Password::new(format!("pw-{name}")),
    });
    Config {
        realm: "ringfence".to_owned(),
        accounts: accounts.into(),
        algorithms,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Algorithms::Md5)
    }

    pub(crate) fn with(algorithms: Algorithms) -> Self {
        Self {
            agent: UserAgent::new(config(algorithms), [7; 32]),
            now: origin(),
            inboxes: BTreeMap::new(),
            events: Vec::new(),
            closed: Vec::new(),
            counter: 0,
        }
    }

    /// Kills the process and starts another, with what the first one gave away.
    pub(crate) fn restart(&mut self) {
        let (bindings, messages) = (self.agent.bindings(self.now), self.agent.final_messages());
        self.start_anew();
        self.agent.restore_bindings(bindings, self.now);
        self.agent.send_final_messages(messages, self.now);
        self.drain();
    }

    /// Kills the process and starts another, which knows nothing.
    pub(crate) fn start_anew(&mut self) {
        self.agent = UserAgent::new(config(Algorithms::Md5), [8; 32]);
        self.inboxes.clear();
        self.events.clear();
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(crate) fn push(&mut self, flow: Flow, bytes: &[u8]) {
        self.agent.handle_packet(flow, bytes, self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Send { flow, bytes } => {
                    let message = parse(&bytes).expect("the agent speaks SIP");
                    match &message {
                        Message::Request(request) => {
                            drop(request.validate().expect("a good request"))
                        }
                        Message::Response(response) => drop(response.validate()),
                    }
                    self.inboxes.entry(flow).or_default().push(message);
                }
                Output::Event(event) => self.events.push(event),
                Output::Close { flow } => self.closed.push(flow),
            }
        }
    }

    /// Advances time, timeout by timeout.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some((at, timer)) = self.agent.next_timeout().filter(|(at, _)| *at <= end) {
            assert!(!timer.reason().is_empty());
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "one event expected: {events:?}");
        events.remove(0)
    }

    /// The names of the events, in order.
    pub(crate) fn event_names(&mut self) -> Vec<&'static str> {
        self.events().iter().map(Event::name).collect()
    }

    pub(crate) fn inbox(&mut self, flow: Flow) -> Vec<Message> {
        self.inboxes.remove(&flow).unwrap_or_default()
    }

    pub(crate) fn responses(&mut self, flow: Flow) -> Vec<Response> {
        let inbox = self.inbox(flow).into_iter();
        inbox
            .filter_map(|message| match message {
                Message::Response(response) => Some(response),
                Message::Request(_) => None,
            })
            .collect()
    }

    /// The same, but requests stay in the inbox.
    pub(crate) fn pick_responses(&mut self, flow: Flow) -> Vec<Response> {
        let (requests, responses): (Vec<Message>, _) = self
            .inbox(flow)
            .into_iter()
            .partition(|message| matches!(message, Message::Request(_)));
        self.inboxes.insert(flow, requests);
        let responses = responses.into_iter();
        responses
            .filter_map(|message| match message {
                Message::Response(response) => Some(response),
                Message::Request(_) => None,
            })
            .collect()
    }

    pub(crate) fn statuses(&mut self, flow: Flow) -> Vec<u16> {
        self.responses(flow)
            .iter()
            .map(|response| response.status)
            .collect()
    }

    pub(crate) fn requests(&mut self, flow: Flow) -> Vec<Request> {
        let inbox = self.inbox(flow).into_iter();
        inbox
            .filter_map(|message| match message {
                Message::Request(request) => Some(request),
                Message::Response(_) => None,
            })
            .collect()
    }

    pub(crate) fn methods(&mut self, flow: Flow) -> Vec<String> {
        self.requests(flow)
            .iter()
            .map(|request| request.method.to_string())
            .collect()
    }
}

/// A phone with one address.
#[derive(Clone)]
pub(crate) struct Phone {
    pub(crate) flow: Flow,
    pub(crate) name: &'static str,
    pub(crate) password: String,
}

pub(crate) fn phone(name: &'static str, port: u16) -> Phone {
    let flow = Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        peer: format!("127.0.0.1:{port}").parse().unwrap(),
        connection: 0,
    };
    Phone {
        flow,
        name,
        password: format!("pw-{name}"),
    }
}

pub(crate) fn tcp_phone(name: &'static str, port: u16) -> Phone {
    let mut phone = phone(name, port);
    phone.flow.transport = Transport::Tcp;
    phone.flow.connection = u64::from(port);
    phone
}

/// One call as the phone sees it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) invite: Request,
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) number: u32,
}

impl Phone {
    pub(crate) fn contact(&self) -> String {
        let tcp = if self.flow.transport == Transport::Tcp {
            ";transport=tcp"
        } else {
            ""
        };
        format!("<sip:{}@{}{tcp}>", self.name, self.flow.peer)
    }

    pub(crate) fn via(&self, world: &mut World) -> String {
        let branch = world.fresh();
        format!(
            "SIP/2.0/{} {};rport;branch=z9hG4bK-p{branch}",
            self.flow.transport.via_name(),
            self.flow.peer
        )
    }

    /// A request outside any dialog, `From: <sip:name@127.0.0.1>` without a port as phones write it.
    pub(crate) fn request(&self, world: &mut World, method: Method, uri: &str) -> Request {
        let number = world.fresh();
        let mut request = Request::new(method, &Uri::parse(uri.as_bytes()).unwrap());
        let cseq = format!("{number} {}", request.method);
        let headers = &mut request.headers;
        headers.push(Name::Via, self.via(world));
        headers.push(Name::MaxForwards, "70");
        headers.push(
            Name::From,
            format!("<sip:{}@127.0.0.1>;tag=f{number}", self.name),
        );
        headers.push(Name::To, format!("<{uri}>"));
        headers.push(Name::CallId, format!("call-{number}"));
        headers.push(Name::CSeq, cseq);
        headers.push(Name::Contact, self.contact());
        request
    }

    pub(crate) fn send(&self, world: &mut World, request: &Request) {
        world.push(self.flow, &request.to_bytes());
    }

    /// Sends, expects exactly one response, gives it back.
    pub(crate) fn ask(&self, world: &mut World, request: &Request) -> Response {
        self.send(world, request);
        let mut responses = world.responses(self.flow);
        assert_eq!(responses.len(), 1, "one response expected: {responses:?}");
        responses.remove(0)
    }

    /// The same request again with credentials, CSeq and branch new.
    pub(crate) fn prove(
        &self,
        world: &mut World,
        request: &Request,
        challenge: &Response,
        nc: u32,
    ) -> Request {
        let value = challenge
            .headers
            .get(&Name::WwwAuthenticate)
            .expect("a challenge");
        let challenge = DigestChallenge::parse(value).unwrap();
        let mut request = request.clone();
        let password = Password::new(self.password.clone());
        let uri = request.uri.clone();
        let value = answer(
            &challenge,
            self.name,
            &password,
            &request.method,
            &uri,
            "c0",
            nc,
        );
        let number = world.fresh();
        request.headers.replace(Name::Via, self.via(world));
        request
            .headers
            .replace(Name::CSeq, format!("{number} {}", request.method));
        request.headers.replace(Name::Authorization, value);
        request
    }

    /// Asks, and asks again with credentials when challenged.
    pub(crate) fn ask_proved(&self, world: &mut World, request: &Request) -> Response {
        let challenge = self.ask(world, request);
        assert_eq!(challenge.status, 401);
        let proved = self.prove(world, request, &challenge, 1);
        self.ask(world, &proved)
    }

    pub(crate) fn register_request(&self, world: &mut World, expires: u32) -> Request {
        let mut register = self.request(world, Method::Register, "sip:127.0.0.1:5060");
        register
            .headers
            .replace(Name::To, format!("sip:{}@127.0.0.1", self.name));
        register.headers.push(Name::Expires, expires.to_string());
        register
    }

    pub(crate) fn register(&self, world: &mut World) {
        let register = self.register_request(world, 300);
        assert_eq!(self.ask_proved(world, &register).status, 200);
        world.events();
    }

    /// Dials up to the point where the user agent has sent 100 and given the event.
    pub(crate) fn dial(&self, world: &mut World, number: &str, sdp: &[u8]) -> (Call, LegId) {
        let mut invite = self.request(world, Method::Invite, &format!("sip:{number}@127.0.0.1"));
        if !sdp.is_empty() {
            invite.headers.push(Name::ContentType, "application/sdp");
            invite.body = sdp.to_vec();
        }
        let challenge = self.ask(world, &invite);
        let refused = Call::of(&invite, &challenge);
        let ack = refused.ack_of_refusal();
        self.send(world, &ack);
        let proved = self.prove(world, &invite, &challenge, 1);
        let trying = self.ask(world, &proved);
        assert_eq!(trying.status, 100);
        let Event::Incoming {
            leg,
            user,
            dialled,
            sdp: offer,
            replaces: None,
        } = world.event()
        else {
            panic!("no incoming call");
        };
        assert_eq!(
            (user.as_str(), dialled.as_str(), offer.as_slice()),
            (self.name, number, sdp)
        );
        (Call::of(&proved, &trying), leg)
    }

    /// Dials with these headers; the INVITE that was taken, and its leg.
    pub(crate) fn dial_with(
        &self,
        world: &mut World,
        extra: &[(Name, &str)],
        sdp: &[u8],
    ) -> (Request, LegId) {
        let mut invite = self.request(world, Method::Invite, "sip:5550199@127.0.0.1");
        for (name, value) in extra {
            invite.headers.push(name.clone(), *value);
        }
        if !sdp.is_empty() {
            invite.headers.push(Name::ContentType, "application/sdp");
            invite.body = sdp.to_vec();
        }
        let challenge = self.ask(world, &invite);
        let proved = self.prove(world, &invite, &challenge, 1);
        assert_eq!(self.ask(world, &proved).status, 100);
        let Event::Incoming { leg, .. } = world.event() else {
            panic!("no call")
        };
        (proved, leg)
    }

    /// Answers an INVITE from the agent.
    pub(crate) fn answer(&self, world: &mut World, invite: &Request, status: u16) -> Response {
        let response = self.response(invite, status);
        world.push(self.flow, &response.to_bytes());
        response
    }

    pub(crate) fn response(&self, invite: &Request, status: u16) -> Response {
        let mut response = Response::to(invite, status);
        let to = String::from_utf8(invite.headers.get(&Name::To).unwrap().to_vec()).unwrap();
        if status > 100 && !to.contains("tag=") {
            response
                .headers
                .replace(Name::To, format!("{to};tag=t{}", self.flow.peer.port()));
        }
        response.headers.push(Name::Contact, self.contact());
        if status == 200 && invite.method == Method::Invite {
            response.headers.push(Name::ContentType, "application/sdp");
            response.body = ANSWER.to_vec();
        }
        response
    }
}

impl Call {
    /// The call that an INVITE of a phone began, after a response to it.
    pub(crate) fn of(invite: &Request, response: &Response) -> Self {
        let text = |headers: &ringfence_sip::message::Headers, name| {
            headers.text(&name).unwrap_or_default().to_owned()
        };
        let target = response
            .headers
            .contacts()
            .unwrap_or_default()
            .first()
            .map(|contact| contact.uri.to_string());
        Self {
            invite: invite.clone(),
            call_id: text(&invite.headers, Name::CallId),
            local: text(&invite.headers, Name::From),
            remote: text(&response.headers, Name::To),
            target: target.unwrap_or_else(|| invite.uri.clone()),
            number: invite.headers.cseq().unwrap().number,
        }
    }

    /// The call that an INVITE of the agent began, which the phone answered.
    pub(crate) fn answered(invite: &Request, response: &Response) -> Self {
        let text = |headers: &ringfence_sip::message::Headers, name| {
            headers.text(&name).unwrap_or_default().to_owned()
        };
        Self {
            invite: invite.clone(),
            call_id: text(&invite.headers, Name::CallId),
            local: text(&response.headers, Name::To),
            remote: text(&invite.headers, Name::From),
            target: invite.headers.contacts().unwrap()[0].uri.to_string(),
            number: 100,
        }
    }

    /// A request inside the call.
    pub(crate) fn request(&mut self, phone: &Phone, world: &mut World, method: Method) -> Request {
        self.number += 1;
        let mut request = phone.request(world, method, &self.target);
        let cseq = format!("{} {}", self.number, request.method);
        request.headers.replace(Name::From, self.local.clone());
        request.headers.replace(Name::To, self.remote.clone());
        request.headers.replace(Name::CallId, self.call_id.clone());
        request.headers.replace(Name::CSeq, cseq);
        request
    }

    /// The ACK of a 2xx.
    pub(crate) fn ack(&mut self, phone: &Phone, world: &mut World) -> Request {
        self.number -= 1;
        self.request(phone, world, Method::Ack)
    }

    pub(crate) fn cancel(&self) -> Request {
        self.companion(Method::Cancel, None)
    }

    pub(crate) fn ack_of_refusal(&self) -> Request {
        self.companion(Method::Ack, Some(&self.remote))
    }

    fn companion(&self, method: Method, to: Option<&str>) -> Request {
        let mut request = self.invite.clone();
        let cseq = format!("{} {method}", self.invite.headers.cseq().unwrap().number);
        request.method = method;
        request.body.clear();
        request.headers.replace(Name::CSeq, cseq);
        if let Some(to) = to {
            request.headers.replace(Name::To, to);
        }
        request
    }
}
