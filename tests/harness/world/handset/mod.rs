//! A SIP phone of the simulated world: told bytes and time, and by the test what its person does.
//!
//! It does what a plain desk phone does (RFC 3261 user agent, digest, RFC 3264 with PCMU, PCMA and digits), repeats what
//! is not answered, and keeps a list of what its person notices. A second caller hears 486.

mod behaviour;
mod call_features;
mod camera;
mod event;
mod receive;
mod send;
mod srtp;
mod text_and_notify;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_sip::{
    Password,
    message::{Headers, Method, Name, Request, Response, Uri},
};

pub use self::{
    behaviour::{Hold, Make},
    camera::{Camera, Screen},
    event::Notice,
};
use self::{
    send::{branch, copy, cseq, remote},
    srtp::Lock,
};

use super::{
    audio::{Ear, Microphone},
    retransmissions::Repeats,
};

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
    Video { to: SocketAddr, bytes: Vec<u8> },
}

/// A phone.
#[derive(Debug)]
pub struct Handset {
    card: Card,
    make: Make,
    /// Of the sound that it encrypts.
    lock: Option<Lock>,
    rng: ChaCha20Rng,
    microphone: Microphone,
    ear: Ear,
    repeats: Repeats,
    asked: BTreeMap<String, Asked>,
    call: Option<Call>,
    /// A call that rang when its person dialled.
    aside: Option<Call>,
    notices: Vec<(Instant, Notice)>,
    /// What it answers texts with.
    text_status: u16,
    out: VecDeque<HandsetOutput>,
    sequence: u32,
    is_held: bool,
    camera: Option<Camera>,
    /// Makes no offer when it dials.
    is_silent: bool,
    /// The call that the next one it dials takes the place of.
    replaces: Option<String>,
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
            make: Make::PLAIN,
            lock: None,
            rng,
            microphone,
            ear: Ear::default(),
            repeats: Repeats::default(),
            asked: BTreeMap::new(),
            call: None,
            aside: None,
            notices: Vec::new(),
            text_status: 200,
            out: VecDeque::new(),
            sequence: 0,
            is_held: false,
            camera: None,
            is_silent: false,
            replaces: None,
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

    /// The SRTP keys of both directions as SDP writes them, if it encrypts its sound.
    pub fn keys(&self) -> Vec<String> {
        self.lock.as_ref().map_or_else(Vec::new, Lock::keys)
    }

    /// Its camera, if it has one.
    pub fn camera(&self) -> Option<&Camera> {
        self.camera.as_ref()
    }

    /// It rings at this moment.
    pub fn is_ringing(&self) -> bool {
        self.stage() == Some(Stage::Ringing)
    }

    /// It is in no call, and none rings.
    pub fn is_free(&self) -> bool {
        self.stage().is_none_or(|stage| stage == Stage::Over)
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
        if let Some(packages) = self.make.allow_events {
            request.headers.push(Name::AllowEvents, packages);
        }
        self.ask(request, false, now);
    }

    pub(crate) fn become_of_make(&mut self, make: Make) {
        self.make = make;
        self.lock = make.offers_savp.then(|| Lock::new(&mut self.rng));
    }

    /// Allow, if it says what it takes.
    fn add_allow(&self, headers: &mut Headers) {
        if let Some(methods) = self.make.allow {
            headers.push(Name::Allow, methods);
        }
    }

    pub(crate) fn dial(&mut self, digits: &str, now: Instant) {
        let uri = Uri::sip(Some(digits), self.card.server);
        let (tag, id) = (self.token(), self.token());
        let (user, us) = (&self.card.user, self.address_of_record());
        let us = format!("\"Handset of {user}\" <{us}>;tag={tag}");
        let them = format!("<{uri}>");
        let mut request = self.request(Method::Invite, &uri, (&us, &them, &id));
        self.add_sdp(&mut request.headers, &mut request.body, 1);
        self.add_allow(&mut request.headers);
        if self.is_silent {
            request.body.clear();
        }
        if let Some(replaces) = self.replaces.take() {
            request.headers.push(Name::Replaces, replaces);
        }
        // Like a desk phone with two line keys: what rings goes on ringing, behind the new call.
        self.aside = self.call.take().filter(|call| call.stage == Stage::Ringing);
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
        let (remote, video) = remote(&call.invite.body, true);
        self.talk(remote, now);
        self.show(video, now);
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
        if let Some(camera) = &mut self.camera {
            camera.close();
        }
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
        let method = if self.make.offers_by_update {
            Method::Update
        } else {
            Method::Invite
        };
        if let Some(mut request) = self.in_dialog(method) {
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
        cancel
            .headers
            .replace(Name::CSeq, cseq(number, Method::Cancel));
        let name = format!("{} CANCEL", branch(&invite.headers));
        let bytes = cancel.to_bytes();
        self.repeats.start(name, bytes.clone(), now);
        self.out.push_back(HandsetOutput::Sip(bytes));
    }

    pub(crate) fn handle_sound(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        if to == self.card.rtp {
            match &mut self.lock {
                None => self.ear.hear(bytes, now),
                Some(lock) => {
                    if let Some(packet) = lock.open(bytes) {
                        self.ear.hear(&packet, now);
                    }
                }
            }
        }
        if let Some(camera) = &mut self.camera
            && [0, 1]
                .map(|step| camera.rtp.port() + step)
                .contains(&to.port())
            && to.ip() == camera.rtp.ip()
            && to.port() != self.card.rtp.port()
        {
            camera.handle(bytes);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for bytes in self.repeats.due(now) {
            self.out.push_back(HandsetOutput::Sip(bytes));
        }
        while let Some((to, mut bytes)) = self.microphone.due(now) {
            if let Some(lock) = &mut self.lock {
                lock.seal(&mut bytes);
            }
            self.out.push_back(HandsetOutput::Sound { to, bytes });
        }
        for (to, bytes) in self
            .camera
            .as_mut()
            .map_or(Vec::new(), |camera| camera.due(now))
        {
            self.out.push_back(HandsetOutput::Video { to, bytes });
        }
    }

    pub(crate) fn poll(&mut self) -> Option<HandsetOutput> {
        self.out.pop_front()
    }

    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let camera = self.camera.as_ref().and_then(Camera::next_alarm);
        let alarms = [
            self.repeats.next_alarm(),
            self.microphone.next_alarm(),
            camera,
        ];
        alarms.into_iter().flatten().min()
    }

    fn talk(&mut self, remote: Option<SocketAddr>, now: Instant) {
        let is_mute = self.is_held && self.make.holds_by != Hold::SendOnly;
        match remote.filter(|_| !is_mute) {
            Some(remote) => self.microphone.open(remote, now),
            None if is_mute => self.microphone.close(),
            None => {}
        }
        let is_first = self
            .call
            .as_mut()
            .is_some_and(|call| !std::mem::replace(&mut call.has_talked, true));
        if is_first {
            self.notice(Notice::Talks, now);
        }
    }

    fn show(&mut self, remote: Option<SocketAddr>, now: Instant) {
        if let Some(camera) = &mut self.camera {
            camera.open(remote, now);
        }
    }

    fn over(&mut self) {
        self.microphone.close();
        if let Some(camera) = &mut self.camera {
            camera.close();
        }
        if let Some(call) = &mut self.call {
            call.stage = Stage::Over;
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        self.notices.push((now, notice));
    }
}
