//! A built-in phone on real sockets: SIP and RTP over UDP, PCMU in frames of 20 ms (RFC 3550 section 5.1, RFC 3551).
//!
//! It plays a tone into its microphone from the moment of the answer, and listens for the other side's tone. Nothing is decided
//! here but what the frames hold; the call itself is [`super::ua`]'s business.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use ringfence_media::sdp::{read_answer, read_offer, write_answer, write_offer};
use ringfence_media::{Codec, OwnMedia, Srtp};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::tone::{Ear, FRAME, FRAME_TIME, Tone};
use super::ua::{PhoneEvent, Registration, Say, Ua};
use crate::clock;

/// Events that wait for the one who holds the phone; a call has about ten.
const EVENTS: usize = 64;
/// Largest datagram that is read.
const DATAGRAM: usize = 8 * 1024;
/// Length of an RTP header without extras.
const HEADER: usize = 12;

/// What the phone heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How much of the expected tone.
    pub tone: Duration,
    /// The longest time without it between its first and its last frame.
    pub longest_gap: Duration,
    /// Packets that the other side numbered and that never came.
    pub lost: u64,
    /// When the tone was first heard.
    pub first: Option<Instant>,
}

/// What the person at the phone does.
#[derive(Debug)]
enum Finger {
    Dial(String),
    PickUp,
    HangUp,
}

/// A running phone. Dropping it unplugs it.
#[derive(Debug)]
pub struct Phone {
    fingers: mpsc::Sender<Finger>,
    events: mpsc::Receiver<(Instant, PhoneEvent)>,
    sound: Arc<Mutex<Sound>>,
    task: JoinHandle<()>,
}

impl Phone {
    /// Plugs a phone in on loopback; it registers at once. It says `says` hertz and listens for `hears`.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn plug_in(registration: Registration, says: f64, hears: f64) -> io::Result<Self> {
        let (sip, rtp) = (loopback().await?, loopback().await?);
        sip.connect(registration.line).await?;
        let (fingers, pressed) = mpsc::channel(EVENTS);
        let (tell, events) = mpsc::channel(EVENTS);
        let sound = Arc::new(Mutex::new(Sound::new(hears)));
        let mut frames = interval(FRAME_TIME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let body = Body {
            ua: Ua::new(registration, sip.local_addr()?, rand::random()),
            sip,
            media: rtp.local_addr()?,
            rtp,
            tone: Tone::new(says),
            voice: Voice::new(),
            sound: Arc::clone(&sound),
            offer: None,
            remote: None,
            tell,
        };
        let task = tokio::spawn(body.live(pressed, frames));
        Ok(Self {
            fingers,
            events,
            sound,
            task,
        })
    }

    /// Dials a number.
    pub async fn dial(&self, number: &str) {
        self.press(Finger::Dial(number.to_owned())).await;
    }

    /// Answers.
    pub async fn pick_up(&self) {
        self.press(Finger::PickUp).await;
    }

    /// Hangs up.
    pub async fn hang_up(&self) {
        self.press(Finger::HangUp).await;
    }

    /// The next thing that happened, and when; `None` once the phone is broken.
    pub async fn event(&mut self) -> Option<(Instant, PhoneEvent)> {
        self.events.recv().await
    }

    /// What was heard so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.sound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .heard()
    }

    async fn press(&self, finger: Finger) {
        // A phone that has stopped shows in `event`.
        drop(self.fingers.send(finger).await);
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a phone's socket, on loopback only"
)]
async fn loopback() -> io::Result<UdpSocket> {
    UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await
}

struct Body {
    ua: Ua,
    sip: UdpSocket,
    rtp: UdpSocket,
    media: SocketAddr,
    tone: Tone,
    voice: Voice,
    sound: Arc<Mutex<Sound>>,
    /// The caller's SDP, until this phone answers.
    offer: Option<Vec<u8>>,
    /// Where our sound goes, while there is a call.
    remote: Option<SocketAddr>,
    tell: mpsc::Sender<(Instant, PhoneEvent)>,
}

impl Body {
    async fn live(mut self, mut pressed: mpsc::Receiver<Finger>, mut frames: Interval) {
        self.ua.register(clock::now());
        let (mut signal, mut packet) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
        loop {
            if self.say().await.is_none() {
                return;
            }
            let alarm = self.ua.next_alarm().map(|(at, _)| at);
            tokio::select! {
                finger = pressed.recv() => match finger {
                    Some(finger) => self.press(finger),
                    None => return,
                },
                // An error is an ICMP answer to an earlier datagram: the line is not up, and repeats will tell.
                Ok(length) = self.sip.recv(&mut signal) => {
                    self.ua.handle(signal.get(..length).unwrap_or_default(), clock::now());
                }
                Ok(length) = self.rtp.recv(&mut packet) => {
                    let mut sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
                    sound.hear(packet.get(..length).unwrap_or_default(), clock::now());
                }
                _ = frames.tick() => self.speak(),
                () = until(alarm) => self.ua.handle_timeout(clock::now()),
            }
        }
    }

    /// Carries out what the user agent wants. `None` when nobody holds the phone any more.
    async fn say(&mut self) -> Option<()> {
        while let Some(say) = self.ua.poll() {
            match say {
                // A lost datagram is repeated by the user agent.
                Say::Send(bytes) => drop(self.sip.send(&bytes).await),
                Say::Event(event) => {
                    self.notice(&event);
                    self.tell.send((clock::now(), event)).await.ok()?;
                }
            }
        }
        Some(())
    }

    fn notice(&mut self, event: &PhoneEvent) {
        match event {
            PhoneEvent::Incoming { sdp, .. } => {
                self.offer = Some(sdp.clone());
                self.ua.ring();
            }
            PhoneEvent::Answered { sdp } => {
                let own = OwnMedia::plain(self.media, 1);
                self.remote = read_answer(sdp, &own).ok().map(|media| media.rtp)
            }
            PhoneEvent::HungUp | PhoneEvent::Cancelled | PhoneEvent::Refused { .. } => {
                self.remote = None
            }
            PhoneEvent::Registered | PhoneEvent::RemoteRinging | PhoneEvent::Confirmed => {}
        }
    }

    fn press(&mut self, finger: Finger) {
        let now = clock::now();
        match finger {
            Finger::Dial(number) => {
                let offer = write_offer(&self.own(), &[Codec::Pcmu]);
                self.ua.call(&number, offer, now);
            }
            Finger::PickUp => {
                let offer = self.offer.take();
                let Some(offer) = offer.and_then(|sdp| read_offer(&sdp, Srtp::Off).ok()) else {
                    return self.ua.hang_up(now);
                };
                self.remote = Some(offer.rtp);
                let answer = write_answer(&self.own(), &offer, &[Codec::Pcmu]);
                self.ua.answer(answer, now);
            }
            Finger::HangUp => {
                self.remote = None;
                self.ua.hang_up(now);
            }
        }
    }

    fn own(&self) -> OwnMedia {
        OwnMedia::plain(self.media, u64::from(rand::random::<u32>()))
    }

    fn speak(&mut self) {
        let Some(remote) = self.remote else { return };
        let packet = self.voice.packet(&self.tone.frame());
        // A lost frame is heard as a gap on the other side, which is what is measured.
        drop(self.rtp.try_send_to(&packet, remote));
    }
}

async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Numbers outgoing frames (RFC 3550 section 5.1).
#[derive(Debug)]
struct Voice {
    sequence: u16,
    timestamp: u32,
    source: u32,
    first: bool,
}

impl Voice {
    fn new() -> Self {
        let mut rng = rand::rng();
        Self {
            sequence: rng.random(),
            timestamp: rng.random(),
            source: rng.random(),
            first: true,
        }
    }

    fn packet(&mut self, frame: &[u8; FRAME]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + FRAME);
        let marker = if std::mem::take(&mut self.first) {
            0x80
        } else {
            0
        };
        packet.extend_from_slice(&[0x80, marker | Codec::Pcmu.far_payload_type()]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.source.to_be_bytes());
        packet.extend_from_slice(frame);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}

/// What comes in: the tone in it, and the numbers that are missing.
#[derive(Debug)]
struct Sound {
    ear: Ear,
    first: Option<Instant>,
    /// First and highest sequence number, counted on beyond 16 bits, and how many came.
    numbers: Option<(u64, u64)>,
    came: u64,
}

impl Sound {
    fn new(hertz: f64) -> Self {
        Self {
            ear: Ear::new(hertz),
            first: None,
            numbers: None,
            came: 0,
        }
    }

    fn hear(&mut self, packet: &[u8], now: Instant) {
        let [0x80, kind, high, low, ..] = packet else {
            return;
        };
        if kind & 0x7f != Codec::Pcmu.far_payload_type() {
            return;
        }
        self.count(u16::from_be_bytes([*high, *low]));
        if self.ear.hear(packet.get(HEADER..).unwrap_or_default(), now) && self.first.is_none() {
            self.first = Some(now);
        }
    }

    fn count(&mut self, sequence: u16) {
        self.came += 1;
        let (first, highest) = self
            .numbers
            .unwrap_or((u64::from(sequence) + 65_536, u64::from(sequence) + 65_536));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower 16 bits are the number on the wire"
        )]
        let ahead = sequence.wrapping_sub(highest as u16);
        let highest = if ahead < 0x8000 {
            highest + u64::from(ahead)
        } else {
            highest
        };
        self.numbers = Some((first, highest));
    }

    fn heard(&self) -> Heard {
        let expected = self
            .numbers
            .map_or(0, |(first, highest)| highest - first + 1);
        Heard {
            tone: self.ear.heard(),
            longest_gap: self.ear.longest_gap(),
            lost: expected.saturating_sub(self.came),
            first: self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_numbers_are_counted_across_the_wrap_and_late_ones_are_not_missing() {
        let mut sound = Sound::new(440.0);
        for sequence in [65_533, 65_534, 1, 65_535, 3] {
            sound.count(sequence);
        }
        // 0 and 2 never came.
        assert_eq!(sound.heard().lost, 2);
    }

    #[test]
    fn what_one_phone_says_another_hears() {
        let (mut voice, mut tone, mut sound) =
            (Voice::new(), Tone::new(1_000.0), Sound::new(1_000.0));
        let now = clock::now();
        for _ in 0..3 {
            sound.hear(&voice.packet(&tone.frame()), now);
        }
        let heard = sound.heard();
        assert_eq!(
            (heard.tone, heard.lost, heard.first),
            (FRAME_TIME * 3, 0, Some(now))
        );
    }

    #[test]
    fn foreign_packets_are_not_heard() {
        let mut sound = Sound::new(440.0);
        for packet in [
            &[][..],
            &[0x80],
            &[0x80, 111, 0, 1, 0, 0],
            &[0x40; 40],
            &[0x80, 0, 0, 1],
        ] {
            sound.hear(packet, clock::now());
        }
        assert_eq!(sound.heard().tone, Duration::ZERO);
    }
}
