//! A SIP phone of the simulated world: told bytes and time, and by the test what its person does.
//!
//! It does what a plain desk phone does (RFC 3261 user agent, digest, RFC 3264 with PCMU, PCMA and digits), repeats what
//! is not answered, and keeps a list of what its person notices. One call at a time: a second one hears 486.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_media::sdp;
use ringfence_sip::{
    Password,
    digest::{Challenge, answer},
    message::{CSeq, Message, Method, Name, NameAddr, Request, Response, Uri, parse},
};

use super::{
    repeats::Repeats,
    talkie::{Ear, Microphone},
};

/// Something that the person with the handset sees or hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// "Registered" on the display.
    Registered,
    /// The server refused the registration.
    NotRegistered(u16),
    /// It rings, and the display shows this caller.
    Rings {
        /// The user part of From.
        caller: String,
    },
    /// It no longer rings: CANCEL, with the Reason header if there is one.
    Stopped {
        /// RFC 3326.
        reason: Option<String>,
    },
    /// Ringback.
    HearsRingback,
    /// The call is answered, by this person or by the other one.
    Talks,
    /// The call was refused with this status.
    Refused(u16),
    /// The other side has hung up.
    HungUp,
    /// A re-INVITE of this phone was accepted.
    Renewed,
    /// A re-INVITE of this phone was refused.
    NotRenewed(u16),
}

/// Who a handset is.
#[derive(Clone, Debug)]
pub struct Card {
    /// SIP user name.
    pub user: String,
    /// SIP password.
    pub password: Password,
    /// The engine.
    pub server: SocketAddr,
    /// Where it sends SIP from.
    pub address: SocketAddr,
    /// Where it hears RTP.
    pub rtp: SocketAddr,
    /// What its microphone picks up.
    pub hz: f64,
}

/// What leaves a handset.
#[derive(Debug)]
pub(crate) enum HandsetOutput {
    Sip(Vec<u8>),
    Sound { to: SocketAddr, bytes: Vec<u8> },
}

/// A phone.
#[derive(Debug)]
pub struct Handset {
    card: Card,
    rng: ChaCha20Rng,
    microphone: Microphone,
    ear: Ear,
    repeats: Repeats,
    asked: BTreeMap<String, Asked>,
    call: Option<Call>,
    notices: Vec<(Instant, Notice)>,
    out: VecDeque<HandsetOutput>,
    sequence: u32,
}

/// A request that was not finally answered yet.
#[derive(Debug)]
struct Asked {
    request: Request,
    is_proved: bool,
}

#[derive(Debug)]
struct Call {
    id: String,
    /// Our From, with its tag; in requests of ours.
    us: String,
    /// The other side's To, with its tag once there is one.
    them: String,
    target: Option<Uri>,
    stage: Stage,
    has_talked: bool,
    /// The INVITE that opened it.
    invite: Request,
    /// The last answer that we gave to it.
    said: Option<Response>,
    /// The ACK of our INVITE, for a 200 that comes again.
    ack: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Ringing,
    Talking,
    Over,
}

impl Handset {
    pub(crate) fn new(card: Card, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let microphone = Microphone::new(card.hz, rng.next_u32());
        Self {
            card,
            rng,
            microphone,
            ear: Ear::default(),
            repeats: Repeats::default(),
            asked: BTreeMap::new(),
            call: None,
            notices: Vec::new(),
            out: VecDeque::new(),
            sequence: 0,
        }
    }

    /// Who it is.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Everything its person noticed, in order.
    pub fn notices(&self) -> Vec<&Notice> {
        self.notices.iter().map(|(_, notice)| notice).collect()
    }

    /// When its person first noticed this.
    pub fn noticed(&self, wanted: &Notice) -> Option<Instant> {
        let found = self.notices.iter().find(|(_, notice)| notice == wanted)?;
        Some(found.0)
    }

    /// What came out of its speaker.
    pub fn ear(&self) -> &Ear {
        &self.ear
    }

    /// It rings at this moment.
    pub fn is_ringing(&self) -> bool {
        self.stage() == Some(Stage::Ringing)
    }

    /// It is in a call that was answered.
    pub fn is_talking(&self) -> bool {
        self.stage() == Some(Stage::Talking)
    }

    fn stage(&self) -> Option<Stage> {
        self.call.as_ref().map(|call| call.stage)
    }

    pub(crate) fn register(&mut self, now: Instant) {
        let server = Uri::sip(None, self.card.server);
        let us = self.address_of_record();
        let from = format!("<{us}>;tag={}", self.token());
        let id = self.token();
        let mut request = self.request(Method::Register, &server, (&from, &format!("<{us}>"), &id));
        let contact = Uri::sip(Some(&self.card.user), self.card.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        request.headers.push(Name::Expires, "3600");
        self.ask(request, false, now);
    }

    pub(crate) fn dial(&mut self, digits: &str, now: Instant) {
        let uri = Uri::sip(Some(digits), self.card.server);
        let us = format!(
            "\"Handset of {}\" <{}>;tag={}",
            self.card.user,
            self.address_of_record(),
            self.token()
        );
        let (them, id) = (format!("<{uri}>"), self.token());
        let mut request = self.request(Method::Invite, &uri, (&us, &them, &id));
        self.add_sdp(&mut request.headers, &mut request.body, 1);
        self.call = Some(Call {
            id,
            us,
            them,
            target: None,
            stage: Stage::Dialling,
            has_talked: false,
            invite: request.clone(),
            said: None,
            ack: None,
        });
        self.ask(request, false, now);
    }

    pub(crate) fn answer(&mut self, now: Instant) {
        self.ear = Ear::default();
        self.respond_with_sdp(now);
        let Some(call) = &mut self.call else { return };
        call.stage = Stage::Talking;
        let remote = remote_rtp(&call.invite.body, true);
        self.talk(remote, now);
    }

    pub(crate) fn decline(&mut self, status: u16, now: Instant) {
        self.say_final(status, now);
        if let Some(call) = &mut self.call {
            call.stage = Stage::Over;
        }
    }

    /// Puts the receiver down, whatever the state of the call.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        self.microphone.close();
        match self.stage() {
            Some(Stage::Dialling) => self.cancel(now),
            Some(Stage::Ringing) => self.decline(603, now),
            Some(Stage::Talking) => {
                if let Some(request) = self.in_dialog(Method::Bye) {
                    self.ask(request, false, now);
                }
                self.over();
            }
            _ => {}
        }
    }

    /// Offers its sound again in a running call: from another port, and perhaps on hold.
    pub(crate) fn reinvite(&mut self, rtp: SocketAddr, now: Instant) {
        self.card.rtp = rtp;
        if let Some(mut request) = self.in_dialog(Method::Invite) {
            self.add_sdp(&mut request.headers, &mut request.body, 2);
            self.ask(request, false, now);
        }
    }

    fn cancel(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        let asked = self.asked.values().find(|asked| {
            asked.request.method == Method::Invite
                && asked.request.headers.call_id() == Some(&call.id)
        });
        let Some(asked) = asked else { return };
        let invite = asked.request.clone();
        let Some(uri) = Uri::parse(invite.uri.as_bytes()) else {
            return;
        };
        let mut cancel = Request::new(Method::Cancel, &uri);
        copy(&invite, &mut cancel);
        let number = invite.headers.cseq().map_or(0, |cseq| cseq.number);
        cancel.headers.replace(Name::CSeq, cseq(number, Method::Cancel));
        let name = format!("{} CANCEL", branch(&invite.headers));
        let bytes = cancel.to_bytes();
        self.repeats.start(name, bytes.clone(), now);
        self.out.push_back(HandsetOutput::Sip(bytes));
    }

    pub(crate) fn handle_sip(&mut self, bytes: &[u8], now: Instant) {
        match parse(bytes) {
            Ok(Message::Request(request)) => self.handle_request(request, now),
            Ok(Message::Response(response)) => self.handle_response(&response, now),
            // A keep-alive.
            Err(_) => {}
        }
    }

    pub(crate) fn handle_sound(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        if to == self.card.rtp {
            self.ear.hear(bytes, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for bytes in self.repeats.due(now) {
            self.out.push_back(HandsetOutput::Sip(bytes));
        }
        while let Some((to, bytes)) = self.microphone.due(now) {
            self.out.push_back(HandsetOutput::Sound { to, bytes });
        }
    }

    pub(crate) fn poll(&mut self) -> Option<HandsetOutput> {
        self.out.pop_front()
    }

    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let alarms = [self.repeats.next_alarm(), self.microphone.next_alarm()];
        alarms.into_iter().flatten().min()
    }

    fn handle_request(&mut self, request: Request, now: Instant) {
        let id = request.headers.call_id().unwrap_or_default();
        let is_ours = self.call.as_ref().is_some_and(|call| call.id == id);
        match request.method {
            Method::Invite if !is_ours => self.ring(request, now),
            // Again, because an answer was lost.
            Method::Invite => self.say_again(),
            Method::Ack => {
                self.repeats.stop(&format!("final {id}"));
            }
            Method::Cancel => {
                self.send(&Response::to(&request, 200));
                if is_ours && self.is_ringing() {
                    self.say_final(487, now);
                    let reason = request.headers.text(&Name::Reason).map(str::to_owned);
                    self.notice(Notice::Stopped { reason }, now);
                    self.over();
                }
            }
            Method::Bye => {
                self.send(&Response::to(&request, if is_ours { 200 } else { 481 }));
                if is_ours && self.is_talking() {
                    self.repeats.stop(&format!("final {id}"));
                    self.notice(Notice::HungUp, now);
                    self.over();
                }
            }
            Method::Options => self.send(&Response::to(&request, 200)),
            _ => self.send(&Response::to(&request, 501)),
        }
    }

    fn ring(&mut self, request: Request, now: Instant) {
        let is_busy = self.call.as_ref().is_some_and(|call| call.stage != Stage::Over);
        let (Some(from), Some(id)) = (request.headers.from(), request.headers.call_id()) else {
            return;
        };
        let caller = from.uri.user().unwrap_or_default();
        let tag = self.token();
        let text = |name| request.headers.text(&name).unwrap_or_default().to_owned();
        let call = Call {
            id: id.to_owned(),
            us: format!("{};tag={tag}", text(Name::To)),
            them: text(Name::From),
            target: contact(&request.headers),
            stage: Stage::Ringing,
            has_talked: false,
            invite: request.clone(),
            said: None,
            ack: None,
        };
        if is_busy {
            let mut busy = Response::to(&request, 486);
            busy.headers.replace(Name::To, call.us);
            return self.send(&busy);
        }
        self.call = Some(call);
        self.say(180, Vec::new());
        self.notice(Notice::Rings { caller }, now);
    }

    fn handle_response(&mut self, response: &Response, now: Instant) {
        let Some(CSeq { method, .. }) = response.headers.cseq() else {
            return;
        };
        let name = branch(&response.headers);
        if method == Method::Cancel {
            self.repeats.stop(&format!("{name} CANCEL"));
            return;
        }
        if response.status >= 200 || method == Method::Invite {
            self.repeats.stop(&name);
        }
        if response.status < 200 {
            if response.status == 180 && self.stage() == Some(Stage::Dialling) {
                self.notice(Notice::HearsRingback, now);
            }
            return;
        }
        let asked = self.asked.remove(&name);
        if method == Method::Invite {
            self.acknowledge(response, asked.as_ref());
        }
        let Some(asked) = asked else { return };
        if response.status == 401 && !asked.is_proved {
            return self.prove(asked.request, response, now);
        }
        match method {
            Method::Register if response.status == 200 => self.notice(Notice::Registered, now),
            Method::Register => self.notice(Notice::NotRegistered(response.status), now),
            Method::Invite => self.hear_outcome(response, now),
            _ => {}
        }
    }

    /// The final answer to an INVITE of ours, the first or a later one.
    fn hear_outcome(&mut self, response: &Response, now: Instant) {
        let is_later = self.is_talking();
        let Some(call) = &mut self.call else { return };
        let is_ok = response.status < 300;
        if is_ok {
            call.them = response.headers.text(&Name::To).unwrap_or_default().to_owned();
            call.target = contact(&response.headers);
            call.stage = Stage::Talking;
            let remote = remote_rtp(&response.body, false);
            if !is_later {
                self.ear = Ear::default();
            }
            self.talk(remote, now);
        } else if !is_later {
            call.stage = Stage::Over;
        }
        self.notice_outcome(response.status, is_later, now);
    }

    fn notice_outcome(&mut self, status: u16, is_later: bool, now: Instant) {
        match (is_later, status < 300) {
            (true, true) => self.notice(Notice::Renewed, now),
            (true, false) => self.notice(Notice::NotRenewed(status), now),
            (false, true) => {}
            (false, false) => self.notice(Notice::Refused(status), now),
        }
    }

    /// ACK: of a refusal in the same transaction, of a 200 in a new one (RFC 3261 sections 17.1.1.3 and 13.2.2.4).
    fn acknowledge(&mut self, response: &Response, asked: Option<&Asked>) {
        let number = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(asked) = asked else {
            // Again, because our ACK was lost.
            let ack = self.call.as_ref().and_then(|call| call.ack.clone());
            if let Some(bytes) = ack {
                self.out.push_back(HandsetOutput::Sip(bytes));
            }
            return;
        };
        let invite = &asked.request;
        let is_ok = response.status < 300;
        let target = contact(&response.headers).filter(|_| is_ok);
        let Some(uri) = target.or_else(|| Uri::parse(invite.uri.as_bytes())) else {
            return;
        };
        let mut ack = Request::new(Method::Ack, &uri);
        copy(invite, &mut ack);
        if is_ok {
            let via = self.via();
            ack.headers.replace(Name::Via, via);
        }
        let to = response.headers.text(&Name::To).unwrap_or_default();
        ack.headers.replace(Name::To, to);
        ack.headers.replace(Name::CSeq, cseq(number, Method::Ack));
        let bytes = ack.to_bytes();
        if let Some(call) = &mut self.call {
            call.ack = Some(bytes.clone());
        }
        self.out.push_back(HandsetOutput::Sip(bytes));
    }

    /// Asks again with digest credentials.
    fn prove(&mut self, mut request: Request, response: &Response, now: Instant) {
        let challenge = response
            .headers
            .get(&Name::WwwAuthenticate)
            .and_then(Challenge::parse);
        let Some(challenge) = challenge else { return };
        let cnonce = self.token();
        let credentials = answer(
            &challenge,
            &self.card.user,
            &self.card.password,
            &request.method,
            &request.uri,
            &cnonce,
            1,
        );
        self.sequence += 1;
        let method = request.method.clone();
        let via = self.via();
        request.headers.replace(Name::Via, via);
        request.headers.replace(Name::CSeq, cseq(self.sequence, method));
        request.headers.replace(Name::Authorization, credentials);
        self.ask(request, true, now);
    }

    fn ask(&mut self, request: Request, is_proved: bool, now: Instant) {
        let name = branch(&request.headers);
        let bytes = request.to_bytes();
        if request.method == Method::Invite {
            self.repeats.start_invite(name.clone(), bytes.clone(), now);
        } else {
            self.repeats.start(name.clone(), bytes.clone(), now);
        }
        self.out.push_back(HandsetOutput::Sip(bytes));
        self.asked.insert(name, Asked { request, is_proved });
    }

    fn request(&mut self, method: Method, uri: &Uri, (us, them, id): (&str, &str, &str)) -> Request {
        self.sequence += 1;
        let mut request = Request::new(method.clone(), uri);
        let via = self.via();
        let headers = &mut request.headers;
        headers.push(Name::Via, via);
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, us);
        headers.push(Name::To, them);
        headers.push(Name::CallId, id);
        headers.push(Name::CSeq, cseq(self.sequence, method));
        headers.push(Name::UserAgent, format!("Handset/1.0 ({})", self.card.address.ip()));
        request
    }

    fn in_dialog(&mut self, method: Method) -> Option<Request> {
        let call = self.call.as_ref()?;
        let (us, them, id) = (call.us.clone(), call.them.clone(), call.id.clone());
        let target = call.target.clone()?;
        let mut request = self.request(method, &target, (&us, &them, &id));
        let contact = Uri::sip(Some(&self.card.user), self.card.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        Some(request)
    }

    fn say(&mut self, status: u16, body: Vec<u8>) {
        let contact = Uri::sip(Some(&self.card.user), self.card.address);
        let Some(call) = &mut self.call else { return };
        let mut response = Response::to(&call.invite, status);
        response.headers.replace(Name::To, call.us.clone());
        response.headers.push(Name::Contact, format!("<{contact}>"));
        if !body.is_empty() {
            response.headers.push(Name::ContentType, "application/sdp");
        }
        response.body = body;
        call.said = Some(response.clone());
        self.send(&response);
    }

    fn say_again(&mut self) {
        let said = self.call.as_ref().and_then(|call| call.said.clone());
        if let Some(response) = said {
            self.send(&response);
        }
    }

    fn respond_with_sdp(&mut self, now: Instant) {
        let body = self.sdp(1);
        self.say(200, body);
        self.repeat_final(now);
    }

    fn say_final(&mut self, status: u16, now: Instant) {
        self.say(status, Vec::new());
        self.repeat_final(now);
    }

    fn repeat_final(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        if let Some(said) = &call.said {
            let name = format!("final {}", call.id);
            self.repeats.start(name, said.to_bytes(), now);
        }
    }

    fn send(&mut self, response: &Response) {
        self.out.push_back(HandsetOutput::Sip(response.to_bytes()));
    }

    fn talk(&mut self, remote: Option<SocketAddr>, now: Instant) {
        if let Some(remote) = remote {
            self.microphone.open(remote, now);
        }
        let is_first = self.call.as_mut().is_some_and(|call| !std::mem::replace(&mut call.has_talked, true));
        if is_first {
            self.notice(Notice::Talks, now);
        }
    }

    fn over(&mut self) {
        self.microphone.close();
        if let Some(call) = &mut self.call {
            call.stage = Stage::Over;
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        self.notices.push((now, notice));
    }

    fn add_sdp(&self, headers: &mut ringfence_sip::message::Headers, body: &mut Vec<u8>, version: u32) {
        let contact = Uri::sip(Some(&self.card.user), self.card.address);
        headers.replace(Name::Contact, format!("<{contact}>"));
        headers.push(Name::ContentType, "application/sdp");
        *body = self.sdp(version);
    }

    /// As phones write it: with a user name, a session name and an address that are nobody's business.
    fn sdp(&self, version: u32) -> Vec<u8> {
        let (user, ip, port) = (&self.card.user, self.card.rtp.ip(), self.card.rtp.port());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no={user} 3911 {version} IN {family} {ip}\r\ns=Handset of {user}\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        )
        .into_bytes()
    }

    fn address_of_record(&self) -> Uri {
        Uri::sip(Some(&self.card.user), self.card.server)
    }

    fn via(&mut self) -> String {
        format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{}", self.card.address, self.token())
    }

    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }
}

fn cseq(number: u32, method: Method) -> String {
    CSeq { number, method }.to_string()
}

fn branch(headers: &ringfence_sip::message::Headers) -> String {
    headers.via().and_then(|via| via.branch()).unwrap_or_default()
}

fn contact(headers: &ringfence_sip::message::Headers) -> Option<Uri> {
    let contacts: Vec<NameAddr> = headers.contacts()?;
    contacts.into_iter().next().map(|contact| contact.uri)
}

/// What CANCEL and ACK have in common with their INVITE.
fn copy(invite: &Request, to: &mut Request) {
    for name in [Name::Via, Name::MaxForwards, Name::From, Name::To, Name::CallId, Name::Authorization] {
        if let Some(value) = invite.headers.get(&name) {
            to.headers.push(name, value);
        }
    }
}

fn remote_rtp(body: &[u8], is_offer: bool) -> Option<SocketAddr> {
    let media = if is_offer { sdp::read_offer(body) } else { sdp::read_answer(body) };
    media.ok().map(|media| media.rtp)
}
