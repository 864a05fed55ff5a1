//! A simulated SIP phone. It is given bytes, the time, and from the test the actions of its user.
//!
//! It behaves as a plain desk phone does (RFC 3261 user agent, digest, RFC 3264 with PCMU, PCMA and telephone events),
//! retransmits, records events, and answers a second caller with 486.
//! It is deliberately independent of the SIP client in `ringfence-sip`, which the softphone uses: it shares only the message
//! parser and writer, so that a mistake in one is not repeated in the other. The tests of `ringfence-sip` have a third, still
//! simpler one.

mod behaviour;
mod call_control;
mod call_features;
mod camera;
mod event;
mod only_codec;
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
    message::{Request, Response, Uri},
};

pub use self::{
    behaviour::{HandsetBehaviour, Hold},
    camera::{Camera, ReceivedVideo},
    event::HandsetEvent,
};
use self::{only_codec::OnlyCodec, srtp::SdesMedia};

use super::{
    audio::{ReceivedAudio, ToneSource},
    retransmissions::Retransmissions,
};

/// The account and addresses of a handset.
#[derive(Clone, Debug)]
pub struct HandsetConfig {
    /// SIP user name.
    pub user: String,
    /// SIP password.
    pub password: Password,
    /// The engine's SIP server.
    pub server: SocketAddr,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Its RTP address.
    pub rtp: SocketAddr,
    /// The frequency of the tone that it sends.
    pub hz: f64,
}

/// What a handset sends.
#[derive(Debug)]
pub(crate) enum HandsetOutput {
    Sip(Vec<u8>),
    Rtp { to: SocketAddr, bytes: Vec<u8> },
    Video { to: SocketAddr, bytes: Vec<u8> },
}

/// A phone.
#[derive(Debug)]
pub struct Handset {
    config: HandsetConfig,
    behaviour: HandsetBehaviour,
    /// The SRTP session, if it uses SRTP.
    sdes: Option<SdesMedia>,
    only: Option<OnlyCodec>,
    rng: ChaCha20Rng,
    audio: ToneSource,
    received_audio: ReceivedAudio,
    retransmissions: Retransmissions,
    registration: Registration,
    pending: BTreeMap<String, PendingRequest>,
    call: Option<Call>,
    /// Calls that were ringing when the user dialled, or when the next one came.
    waiting_calls: Vec<Call>,
    events: Vec<(Instant, HandsetEvent)>,
    /// The status of its responses to texts.
    text_status: u16,
    out: VecDeque<HandsetOutput>,
    sequence: u32,
    is_held: bool,
    camera: Option<Camera>,
    /// Whether it dials without an offer.
    dials_without_offer: bool,
    /// The Replaces header of the next call that it dials.
    replaces: Option<String>,
}

/// Its registration, which keeps its Call-ID until the phone starts again.
#[derive(Debug, Default)]
struct Registration {
    tag: String,
    call_id: String,
    is_refresh: bool,
    refresh: Option<Instant>,
}

/// A request without a final response.
#[derive(Debug)]
struct PendingRequest {
    request: Request,
    is_authenticated: bool,
}

#[derive(Debug)]
struct Call {
    id: String,
    /// This side's From with its tag.
    us: String,
    /// The other side's To, with its tag when it is known.
    them: String,
    target: Option<Uri>,
    stage: Stage,
    has_talked: bool,
    /// The INVITE that began it.
    invite: Request,
    /// The last response to that INVITE.
    said: Option<Response>,
    /// The ACK of this phone's INVITE, sent again if the 200 is retransmitted.
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
    pub(crate) fn new(config: HandsetConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let audio = ToneSource::new(config.hz, rng.next_u32());
        Self {
            config,
            behaviour: HandsetBehaviour::PLAIN,
            sdes: None,
            only: None,
            rng,
            audio,
            received_audio: ReceivedAudio::default(),
            retransmissions: Retransmissions::default(),
            registration: Registration::default(),
            pending: BTreeMap::new(),
            call: None,
            waiting_calls: Vec::new(),
            events: Vec::new(),
            text_status: 200,
            out: VecDeque::new(),
            sequence: 0,
            is_held: false,
            camera: None,
            dials_without_offer: false,
            replaces: None,
        }
    }

    /// Its account and addresses.
    pub fn config(&self) -> &HandsetConfig {
        &self.config
    }

    /// All events in order.
    pub fn events(&self) -> Vec<&HandsetEvent> {
        self.events.iter().map(|(_, event)| event).collect()
    }

    /// The events after so many, in order.
    pub fn events_after(&self, known: usize) -> impl Iterator<Item = &HandsetEvent> {
        self.events.iter().skip(known).map(|(_, event)| event)
    }

    /// When this event first happened.
    pub fn time_of(&self, wanted: &HandsetEvent) -> Option<Instant> {
        let found = self.events.iter().find(|(_, event)| event == wanted)?;
        Some(found.0)
    }

    /// The audio that it received.
    pub fn received_audio(&self) -> &ReceivedAudio {
        &self.received_audio
    }

    /// The SRTP keys of both directions in base64, if it uses SRTP.
    pub fn keys(&self) -> Vec<String> {
        self.sdes.as_ref().map_or_else(Vec::new, SdesMedia::keys)
    }

    /// Its camera, if it has one.
    pub fn camera(&self) -> Option<&Camera> {
        self.camera.as_ref()
    }

    /// The Call-ID of its call.
    pub(crate) fn call_id(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.id.as_str())
    }

    /// Whether it is ringing.
    pub fn is_ringing(&self) -> bool {
        self.stage() == Some(Stage::Ringing)
    }

    /// Whether it has no call, not even a ringing one.
    pub fn is_free(&self) -> bool {
        self.stage().is_none_or(|stage| stage == Stage::Over)
    }

    /// Whether it is in an answered call.
    pub fn is_talking(&self) -> bool {
        self.stage() == Some(Stage::Talking)
    }

    fn stage(&self) -> Option<Stage> {
        self.call.as_ref().map(|call| call.stage)
    }

    pub(crate) fn set_behaviour(&mut self, behaviour: HandsetBehaviour) {
        self.behaviour = behaviour;
        self.sdes = behaviour.offers_savp.then(|| SdesMedia::new(&mut self.rng));
        self.only = behaviour.only.map(OnlyCodec::new);
    }

    pub(crate) fn handle_rtp(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        if to == self.config.rtp {
            let packet = match &mut self.sdes {
                None => Some(bytes.to_vec()),
                Some(sdes) => sdes.open(bytes),
            };
            let packet = packet.and_then(|packet| match &mut self.only {
                None => Some(packet),
                Some(only) => only.hear(&packet),
            });
            if let Some(packet) = packet {
                self.received_audio.receive(&packet, now);
            }
        }
        if let Some(camera) = &mut self.camera
            && [0, 1]
                .map(|step| camera.rtp.port() + step)
                .contains(&to.port())
            && to.ip() == camera.rtp.ip()
            && to.port() != self.config.rtp.port()
        {
            camera.handle(bytes);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.refresh_registration(now);
        for name in self.retransmissions.given_up(now) {
            self.give_up(&name, now);
        }
        for bytes in self.retransmissions.due(now) {
            self.out.push_back(HandsetOutput::Sip(bytes));
        }
        while let Some((to, mut bytes)) = self.audio.due(now) {
            if let Some(only) = &mut self.only {
                bytes = only.say(&bytes);
            }
            if let Some(sdes) = &mut self.sdes {
                sdes.seal(&mut bytes);
            }
            self.out.push_back(HandsetOutput::Rtp { to, bytes });
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
            self.retransmissions.next_alarm(),
            self.audio.next_alarm(),
            self.registration.refresh,
            camera,
        ];
        alarms.into_iter().flatten().min()
    }

    fn record(&mut self, event: HandsetEvent, now: Instant) {
        self.events.push((now, event));
    }
}
