//! A whole call's media: the near leg (the phone's RTP) and the far leg (WebRTC through the
//! relays), packet by packet.
//!
//! It keeps no queue: a phone's packet goes into the far leg at once, and a far packet reaches the
//! phone in the [`Talk::poll`] that meets it. Neither clock nor socket is here; the shell owns a
//! near socket and one to the TURN server. Calls, rings and who may hear whom are the engine's to
//! decide: it says when the microphone opens.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::description::Description;
use crate::far::{FarError, FarEvent, FarFault, FarLeg, FarLocal, FarOutput, Role};
use crate::near::dtmf_receiver::Pressed;
use crate::near::{Microphone, NearLeg, NearTerms};
use crate::rtp::is_control;
use crate::stats::Figures;
use crate::video::is_far_payload_type;

/// A call's media.
pub struct Talk {
    far: FarLeg,
    near: NearLeg,
    /// The latest time told, which [`Talk::poll`] goes by.
    now: Option<Instant>,
    /// When the far leg was connected, if it ever was.
    connected: Option<Instant>,
    /// Closed or failed: no sound passes any more.
    ended: bool,
    microphone_open: bool,
    first_sound: FirstSound,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq)]
pub enum TalkOutput {
    /// Bytes for the TURN server and nobody else: one datagram, or the next bytes of the stream.
    ToServer(Vec<u8>),
    /// A datagram from the near socket to the phone.
    ToPhone {
        /// Where the phone hears.
        to: SocketAddr,
        /// One packet of RTP or RTCP.
        bytes: Vec<u8>,
    },
    /// A datagram from the near socket for moving pictures to the phone.
    VideoToPhone {
        /// Where the phone sees.
        to: SocketAddr,
        /// One packet.
        bytes: Vec<u8>,
    },
    /// Something for the owner of the call.
    Event(TalkEvent),
}

/// What happened to a call's media.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TalkEvent {
    /// The relay is ours; the other engine can be told ([`Description::of`]).
    Allocated(FarLocal),
    /// Sound can flow both ways.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// A key was pressed on the other side, which said so within its sound (RFC 4733), and the phone has not agreed to hear it
    /// so.
    Pressed {
        /// 0 to 15.
        event: u8,
        /// How long, in milliseconds.
        millis: u16,
    },
    /// The first packet of the other side's sound went to the phone. Once a call.
    FirstSound,
    /// The far leg is dead; nothing but `Closed` follows.
    Failed(FarFault),
    /// Nothing more will come: the talk can be dropped.
    Closed,
}

/// Whether the phone has been given sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstSound {
    Awaited,
    /// Its packet is out, and the event is next.
    Given,
    Told,
}

impl Talk {
    /// Takes over a far leg, which may have been allocating for a while.
    #[must_use]
    pub fn new(far: FarLeg, seed: [u8; 32]) -> Self {
        Self {
            far,
            near: NearLeg::new(&mut ChaCha20Rng::from_seed(seed)),
            now: None,
            connected: None,
            ended: false,
            microphone_open: false,
            first_sound: FirstSound::Awaited,
        }
    }

    /// Bytes from the TURN server's socket: one datagram, or the next bytes of the stream.
    pub fn handle_turn(&mut self, bytes: &[u8], now: Instant) {
        self.now = Some(now);
        self.far.handle_turn(bytes, now);
    }

    /// The connection to the TURN server ended.
    pub fn handle_turn_closed(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.handle_turn_closed(now);
    }

    /// A datagram from the near socket. Whatever is not the phone's sound in an agreed format is
    /// counted and dropped.
    pub fn handle_rtp(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.now = Some(now);
        if let Some(packet) = self.near.hear(from, bytes, self.microphone(), now) {
            self.far.write_rtp(packet, now);
        }
    }

    /// A datagram from the port beside the near socket, where a phone's RTCP comes that does not look where we want it.
    pub fn handle_rtcp(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if is_control(bytes) {
            self.handle_rtp(from, bytes, now);
        }
    }

    /// A datagram from the near socket for moving pictures, or from the one beside it for RTCP. The camera is open
    /// when the microphone is.
    pub fn handle_video(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.now = Some(now);
        if let Some(packet) = self.near.see(from, bytes, self.microphone(), now) {
            self.far.write_rtp(packet, now);
        }
        self.wish(now);
    }

    /// Time has passed: to be called at the latest at [`Talk::next_alarm`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.handle_timeout(now);
    }

    /// The terms agreed with the phone; again after each re-INVITE.
    pub fn attach_phone(&mut self, near: NearTerms, now: Instant) {
        self.now = Some(now);
        self.near.attach(near);
        self.wish(now);
    }

    /// Connects to the other engine, in the given role.
    ///
    /// # Errors
    /// As [`FarLeg::connect`]; nothing has changed then.
    pub fn connect(
        &mut self,
        remote: &Description,
        role: Role,
        now: Instant,
    ) -> Result<(), FarError> {
        self.now = Some(now);
        self.far.connect(remote, role, now)
    }

    /// Lets the phone's sound out from now on. Until then none of it goes anywhere.
    pub fn open_microphone(&mut self, now: Instant) {
        self.now = Some(now);
        self.microphone_open = true;
        self.begin_pictures();
    }

    /// Says a key press to the phone within its sound (RFC 4733): an event from 0 to 15, and its length in milliseconds.
    /// False if the phone has not agreed to hear it so, or too many wait.
    pub fn press(&mut self, event: u8, millis: u16) -> bool {
        self.near.press(event, millis)
    }

    /// Sends a message on the data channel; false if that is not open.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) -> bool {
        self.now = Some(now);
        self.far.send_control(bytes, now)
    }

    /// Ends the call's media: no sound passes any more, and the relay is given back with the next
    /// [`Talk::poll`].
    pub fn close(&mut self, now: Instant) {
        self.now = Some(now);
        self.ended = true;
        self.far.close(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<TalkOutput> {
        if self.first_sound == FirstSound::Given {
            self.first_sound = FirstSound::Told;
            return Some(TalkOutput::Event(TalkEvent::FirstSound));
        }
        loop {
            if let Some(output) = self.tell_phone() {
                return Some(output);
            }
            let event = match self.far.poll()? {
                FarOutput::ToServer(bytes) => return Some(TalkOutput::ToServer(bytes)),
                FarOutput::Event(event) => event,
            };
            if let Some(output) = self.pass(event) {
                return Some(output);
            }
        }
    }

    /// When to call [`Talk::handle_timeout`], and why.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let near = self.near.next_alarm().filter(|_| !self.ended);
        let near = near.map(|at| (at, "reports to the phone"));
        let alarms = [self.far.next_alarm(), near];
        alarms.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What happened so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (from_phone, to_phone) = self.near.figures();
        let (video_from_phone, video_to_phone) = self.near.video_figures();
        Figures {
            from_phone,
            to_phone,
            video_from_phone,
            video_to_phone,
            connected: self.connected,
            candidate_types: self.connected.map(|_| ("relay", "relay")),
        }
    }

    /// What the phone is to be told about its streams.
    fn tell_phone(&mut self) -> Option<TalkOutput> {
        let now = self.now.filter(|_| !self.ended)?;
        if let Some((to, bytes)) = self.near.poll_sound(now) {
            return Some(TalkOutput::ToPhone { to, bytes });
        }
        let (to, bytes) = self.near.poll_video(now)?;
        Some(TalkOutput::VideoToPhone { to, bytes })
    }

    /// Pictures that the phone has sent so far are lost, and the next ones build on them.
    fn begin_pictures(&mut self) {
        if self.microphone() == Microphone::Open {
            self.near.ask_picture();
        }
    }

    /// Tells the other side that the phone needs a whole picture, once anything of the phone's may be told.
    fn wish(&mut self, now: Instant) {
        if self.microphone() == Microphone::Open && self.near.takes_wish(now) {
            self.far.want_picture(now);
        }
    }

    const fn microphone(&self) -> Microphone {
        match self.connected {
            None => Microphone::Nowhere,
            Some(_) if self.ended => Microphone::Nowhere,
            Some(_) if !self.microphone_open => Microphone::Muted,
            Some(_) => Microphone::Open,
        }
    }

    fn pass(&mut self, event: FarEvent) -> Option<TalkOutput> {
        let event = match event {
            FarEvent::Rtp(_) if self.ended => return None,
            FarEvent::Rtp(packet) if is_far_payload_type(packet.payload_type) => {
                let (to, bytes) = self.near.show(&packet, self.now?)?;
                return Some(TalkOutput::VideoToPhone { to, bytes });
            }
            FarEvent::Rtp(packet) => {
                if let Some(Pressed { event, millis }) = self.near.overhear(&packet) {
                    return Some(TalkOutput::Event(TalkEvent::Pressed { event, millis }));
                }
                let (to, bytes) = self.near.play(&packet, self.now?)?;
                if self.first_sound == FirstSound::Awaited {
                    self.first_sound = FirstSound::Given;
                }
                return Some(TalkOutput::ToPhone { to, bytes });
            }
            FarEvent::Connected => {
                self.connected = self.now;
                self.begin_pictures();
                TalkEvent::Connected
            }
            FarEvent::Failed(fault) => {
                self.ended = true;
                TalkEvent::Failed(fault)
            }
            FarEvent::Allocated(local) => TalkEvent::Allocated(local),
            FarEvent::PictureWanted => {
                self.near.ask_picture();
                return None;
            }
            FarEvent::ControlOpen => TalkEvent::ControlOpen,
            FarEvent::Control(bytes) => TalkEvent::Control(bytes),
            FarEvent::Closed => TalkEvent::Closed,
        };
        Some(TalkOutput::Event(event))
    }
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk")
            .field("connected", &self.connected.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TalkOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToServer(bytes) => write!(f, "ToServer({} bytes)", bytes.len()),
            Self::ToPhone { bytes, .. } => write!(f, "ToPhone({} bytes)", bytes.len()),
            Self::VideoToPhone { bytes, .. } => write!(f, "VideoToPhone({} bytes)", bytes.len()),
            Self::Event(event) => write!(f, "Event({event:?})"),
        }
    }
}
