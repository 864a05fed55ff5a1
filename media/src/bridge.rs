//! The media of one call: passes packets between the near leg (the phone's RTP) and the far leg (WebRTC over TURN).
//!
//! A phone's packet goes into the far leg in a frame, which mostly leaves at once ([`frame`](crate::frame)), and a far packet reaches the
//! phone in the [`Bridge::poll`] that meets it. The shell owns the sockets, one to the phone and one to the TURN server. The engine
//! decides about the call, and when the microphone opens.

mod event;
mod incoming;
mod pace;

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

pub use self::event::{BridgeEvent, BridgeOutput};
pub use self::pace::LONGEST_LINGER;
use self::pace::Linger;
use crate::MediaTimer;
use crate::codec::Codec;
use crate::description::Description;
use crate::far::{FarConnectError, FarLeg, FarOutput, Role, TurnWay};
use crate::frame::control::ControlSlots;
use crate::frame::receiver::FrameReceiver;
use crate::frame::sender::FrameSender;
use crate::near::{Microphone, NearLeg, PressWatch};
use crate::negotiate::NegotiatedMedia;
use crate::rtp::is_control;
use crate::stats::MediaStats;
use crate::transcode::Transcoder;

/// The media of one call: a back-to-back user agent's media plane.
pub struct Bridge {
    far: FarLeg,
    near: NearLeg,
    frames: FrameSender,
    control: ControlSlots,
    received: FrameReceiver,
    /// Only where the phone has no codec that the call could carry.
    transcoder: Option<Box<Transcoder>>,
    /// The phone's codec, and the one that the call carries.
    codecs: Option<(Codec, Codec)>,
    linger: Linger,
    /// By how much frames leave later where this side was called.
    lag: u32,
    /// The time of the latest input, which [`Bridge::poll`] uses.
    now: Option<Instant>,
    /// When the far leg was connected, if it ever was.
    connected: Option<Instant>,
    /// Closed or failed: no media passes any more.
    ended: bool,
    /// False once the phone has left the call.
    has_phone: bool,
    microphone_open: bool,
    first_audio: FirstAudio,
    /// Where the phone is, by what was agreed with it.
    phone: Option<SocketAddr>,
    /// Packets that were not carried before this phone came, until `FormatNotCarried` is reported of it.
    not_carried_before: Option<u64>,
    presses: PressWatch,
}

/// Whether the phone got audio of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstAudio {
    Awaited,
    /// The first packet is out; the event comes next.
    Passed,
    Reported,
}

impl Bridge {
    /// Takes over a far leg, which may have been made a while ago. `seed` must be fresh: the SSRCs and the first numbers
    /// towards the phone come from it.
    #[must_use]
    pub fn new(far: FarLeg, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            far,
            near: NearLeg::new(&mut rng),
            frames: FrameSender::new(&mut rng),
            control: ControlSlots::drawn(rng.next_u32()),
            received: FrameReceiver::default(),
            transcoder: None,
            codecs: None,
            linger: Linger::drawn(rng.next_u32()),
            lag: rng.next_u32(),
            now: None,
            connected: None,
            ended: false,
            has_phone: true,
            microphone_open: false,
            first_audio: FirstAudio::Awaited,
            phone: None,
            not_carried_before: None,
            presses: PressWatch::default(),
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

    /// The operating system says that the TURN server's socket, one for datagrams, cannot reach the server.
    pub fn handle_turn_unreachable(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.handle_turn_unreachable(now);
    }

    /// This machine reaches the world another way than before, as [`FarLeg::handle_network_change`] takes it.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.handle_network_change(now);
    }

    /// Takes another way out, as [`FarLeg::adopt`] does; the owner changes the socket with it.
    ///
    /// # Errors
    /// The new way, if none is wanted or this one is of no use. It is to be released.
    pub fn adopt(&mut self, way: TurnWay, now: Instant) -> Result<TurnWay, Box<TurnWay>> {
        self.now = Some(now);
        self.far.adopt(way, now)
    }

    /// Learns a further relayed address of the other side, as [`FarLeg::meet`] does.
    pub fn meet(&mut self, remote: SocketAddr, now: Instant) {
        self.now = Some(now);
        self.far.meet(remote, now);
    }

    /// Whether a new way out is wanted.
    pub fn wants_way(&self) -> bool {
        self.far.wants_way()
    }

    /// Whether the call's own relayed addresses are of IPv6, as those of another way out must be.
    pub fn relays_ipv6(&self) -> bool {
        self.far.relays_ipv6()
    }

    /// Whether the new way is of use at another server only, as [`FarLeg::wants_elsewhere`] says.
    pub fn wants_elsewhere(&self) -> bool {
        self.far.wants_elsewhere()
    }

    /// A datagram from the near socket for audio. Packets that are not the phone's, or not in an agreed format, are counted
    /// and dropped.
    pub fn handle_rtp(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.now = Some(now);
        let packet = self.near.audio.read(from, bytes, self.microphone(), now);
        self.pass(packet, now);
    }

    /// A datagram from the port after the near socket's, to which a phone sends RTCP that ignores our `a=rtcp` line.
    pub fn handle_rtcp(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if is_control(bytes) {
            self.handle_rtp(from, bytes, now);
        }
    }

    /// A datagram from the near socket for video, or from the port after it for RTCP. Video passes when the microphone is
    /// open.
    pub fn handle_video(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.now = Some(now);
        let microphone = self.microphone();
        if let Some(packet) = self.near.video().read(from, bytes, microphone, now) {
            self.far.write_rtp(packet, now);
        }
        self.forward_keyframe_request(now);
    }

    /// Time has passed: to be called at the latest at [`Bridge::next_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.handle_timeout(now);
        self.send_due(now);
    }

    /// Takes what was agreed with the phone; again after each re-INVITE.
    pub fn attach_phone(&mut self, media: NegotiatedMedia, now: Instant) {
        self.now = Some(now);
        self.take_codecs(&media);
        if self.phone.replace(media.remote) != Some(media.remote) {
            self.not_carried_before = Some(self.near.audio.not_carried());
        }
        self.near.attach(media, now);
        self.forward_keyframe_request(now);
    }

    /// The phone has left the call, and the leg stays for what the engines have to tell each other: nothing of the phone is sent any more, no
    /// message that waits, and nothing goes to it.
    pub fn detach_phone(&mut self, now: Instant) {
        self.now = Some(now);
        self.has_phone = false;
        self.frames.close();
        self.control.clear();
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
    ) -> Result<(), FarConnectError> {
        self.now = Some(now);
        self.far.connect(remote, role, now)?;
        if role == Role::Callee {
            self.frames.lag(self.lag);
        }
        Ok(())
    }

    /// Asks the server whether the allocation still stands, as [`FarLeg::check`] does. For a call that waits for its answer.
    pub fn check(&mut self, now: Instant) {
        self.now = Some(now);
        self.far.check(now);
    }

    /// Ends a call's media that was never connected: returns the way out, which stays allocated, or the bridge if its leg is in any
    /// other state than waiting.
    ///
    /// # Errors
    /// The bridge, to be closed.
    pub fn into_waiting(self) -> Result<TurnWay, Box<Self>> {
        if self.far.is_waiting() {
            Ok(self.far.into_way())
        } else {
            Err(Box::new(self))
        }
    }

    /// Lets the phone's media pass from now on. Until then it is dropped.
    pub fn open_microphone(&mut self, now: Instant) {
        self.now = Some(now);
        self.microphone_open = true;
        self.request_first_keyframe();
    }

    /// Lets each frame carry the sound of so many earlier ones at most, up to [`MOST_DEPTH`](crate::frame::redundancy::MOST_DEPTH): a
    /// frame and `most` of them have 1 + `most` times the codec's bit rate.
    pub fn limit_redundancy(&mut self, most: usize) {
        self.frames.limit_redundancy(most);
    }

    /// Sends a key press to the phone in-band (RFC 4733): an event from 0 to 15, and its length in milliseconds. False if
    /// the phone has not agreed to telephone events, or too many wait.
    pub fn send_dtmf(&mut self, event: u8, millis: u16, now: Instant) -> bool {
        self.near.audio.send_dtmf(event, millis, now)
    }

    /// Sends a message of [`CONTROL_BYTES`](crate::frame::CONTROL_BYTES) bytes on the data channel, in the next slot that is free; false if that is not
    /// open, or too many wait.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) -> bool {
        self.now = Some(now);
        self.control.push(bytes)
    }

    /// Sends a datagram to a relayed address, as [`FarLeg::send_datagram`] does.
    pub fn send_datagram(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        self.now = Some(now);
        self.far.send_datagram(to, bytes, now)
    }

    /// Ends the call's media: nothing of the phone passes any more. A connection goes on for up to [`LONGEST_LINGER`] once its last message has left,
    /// and then the allocation is deleted; at once where this is said again, by an owner that cannot wait.
    pub fn close(&mut self, now: Instant) {
        self.now = Some(now);
        self.end(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<BridgeOutput> {
        if self.first_audio == FirstAudio::Passed {
            self.first_audio = FirstAudio::Reported;
            return Some(BridgeOutput::Event(BridgeEvent::FirstAudio));
        }
        let not_carried = self.near.audio.not_carried();
        let is_more = |before: &mut u64| not_carried > *before;
        if self.not_carried_before.take_if(is_more).is_some() {
            return Some(BridgeOutput::Event(BridgeEvent::FormatNotCarried));
        }
        if self.presses.take() {
            return Some(BridgeOutput::Event(BridgeEvent::KeyPressed));
        }
        loop {
            if let Some(output) = self.poll_near() {
                return Some(output);
            }
            if let Some(packet) = self.next_for_phone() {
                if let Some(output) = self.hand_on(&packet) {
                    return Some(output);
                }
                continue;
            }
            let event = match self.far.poll()? {
                FarOutput::ToServer(bytes) => return Some(BridgeOutput::ToServer(bytes)),
                FarOutput::Event(event) => event,
            };
            if let Some(output) = self.handle_far(event) {
                return Some(output);
            }
        }
    }

    /// When to call [`Bridge::handle_timeout`], and why.
    #[must_use]
    pub fn next_timeout(&self) -> Option<(Instant, MediaTimer)> {
        let near = self.near.next_timeout().filter(|_| self.has_phone());
        let slot = self.next_slot().map(|at| (at, MediaTimer::Slot));
        let playout = self.received.next_timeout().filter(|_| self.has_phone());
        let playout = playout.map(|at| (at, MediaTimer::Playout));
        let times = [self.far.next_timeout(), near, slot, playout];
        times.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The statistics so far.
    #[must_use]
    pub fn stats(&self) -> MediaStats {
        let (from_phone, to_phone) = self.near.audio.stats();
        let (video_from_phone, video_to_phone) = self.near.video_stats();
        MediaStats {
            from_phone,
            to_phone,
            video_from_phone,
            video_to_phone,
            repair: self.received.stats(),
            redundancy: self.frames.depth(),
            codecs: self.codecs,
            phone_silent: self.near.audio.silent_since(),
            connected: self.connected,
            candidate_types: self.connected.map(|_| ("relay", "relay")),
        }
    }

    /// What changed at the phone, and RTCP that is due to it.
    fn poll_near(&mut self) -> Option<BridgeOutput> {
        let now = self.now.filter(|_| self.has_phone())?;
        if let Some(is_silent) = self.near.audio.poll_silence(now) {
            let event = match is_silent {
                true => BridgeEvent::PhoneSilent,
                false => BridgeEvent::PhoneHeard,
            };
            return Some(BridgeOutput::Event(event));
        }
        if let Some((to, bytes)) = self.near.audio.poll_report(now) {
            return Some(BridgeOutput::ToPhone { to, bytes });
        }
        let (to, bytes) = self.near.poll_video_rtcp(now)?;
        Some(BridgeOutput::VideoToPhone { to, bytes })
    }

    /// Requests a keyframe when video begins to pass: the frames before were dropped, and later frames build on them.
    fn request_first_keyframe(&mut self) {
        if self.microphone() == Microphone::Open {
            self.near.request_keyframe();
        }
    }

    /// Passes the phone's keyframe request on, once the other side may learn anything of the phone.
    fn forward_keyframe_request(&mut self, now: Instant) {
        if self.microphone() == Microphone::Open && self.near.takes_keyframe_request(now) {
            self.far.request_keyframe(now);
        }
    }

    const fn has_phone(&self) -> bool {
        self.has_phone && !self.ended
    }

    const fn microphone(&self) -> Microphone {
        match self.connected {
            None => Microphone::Nowhere,
            Some(_) if !self.has_phone() => Microphone::Nowhere,
            Some(_) if !self.microphone_open => Microphone::Muted,
            Some(_) => Microphone::Open,
        }
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("connected", &self.connected.is_some())
            .finish_non_exhaustive()
    }
}
