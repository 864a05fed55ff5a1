//! The phone's inside: one task between its line, its sound and whoever holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ringfence_media::sdp::{read_answer, read_offer, write_answer, write_offer};
use ringfence_media::{Codec, OwnMedia, Srtp};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::receiver::Reception;
use super::ua::{PhoneEvent, Registration, Say, Ua};
use super::sender::Voice;
use super::{FRAME_TIME, Sound};
use crate::clock;

/// Largest datagram that is read.
const DATAGRAM: usize = 8 * 1024;

/// What the person at the phone does.
#[derive(Debug)]
pub(super) enum Finger {
    Dial(String),
    PickUp,
    HangUp,
}

pub(super) struct Body {
    ua: Ua,
    sip: UdpSocket,
    rtp: UdpSocket,
    media: SocketAddr,
    voice: Voice,
    sound: Box<dyn Sound>,
    reception: Arc<Mutex<Reception>>,
    /// The caller's SDP, until this phone answers.
    offer: Option<Vec<u8>>,
    /// Where our sound goes, while there is a call.
    remote: Option<SocketAddr>,
    tell: mpsc::Sender<(Instant, PhoneEvent)>,
}

impl Body {
    pub(super) fn new(
        registration: Registration,
        (sip, rtp): (UdpSocket, UdpSocket),
        sound: Box<dyn Sound>,
        reception: Arc<Mutex<Reception>>,
        tell: mpsc::Sender<(Instant, PhoneEvent)>,
    ) -> io::Result<Self> {
        Ok(Self {
            ua: Ua::new(registration, sip.local_addr()?, rand::random()),
            sip,
            media: rtp.local_addr()?,
            rtp,
            voice: Voice::new(),
            sound,
            reception,
            offer: None,
            remote: None,
            tell,
        })
    }

    pub(super) async fn live(mut self, mut pressed: mpsc::Receiver<Finger>) {
        let mut frames = interval(FRAME_TIME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
        self.ua.register(clock::now());
        let (mut signal, mut packet) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
        loop {
            if self.obey().await.is_none() {
                return;
            }
            self.wait(&mut frames, (&mut signal, &mut packet), &mut pressed)
                .await;
            if pressed.is_closed() {
                return;
            }
        }
    }

    /// Waits for one thing to happen, and takes it in.
    async fn wait(
        &mut self,
        frames: &mut Interval,
        (signal, packet): (&mut [u8], &mut [u8]),
        pressed: &mut mpsc::Receiver<Finger>,
    ) {
        let alarm = self.ua.next_alarm().map(|(at, _)| at);
        tokio::select! {
            Some(finger) = pressed.recv() => self.press(finger),
            // An error is an ICMP answer to an earlier datagram: the line is not up, and repeats will tell.
            Ok(length) = self.sip.recv(signal) => {
                self.ua.handle(signal.get(..length).unwrap_or_default(), clock::now());
            }
            Ok(length) = self.rtp.recv(packet) => {
                self.hear(packet.get(..length).unwrap_or_default());
            }
            _ = frames.tick() => self.speak(),
            () = until(alarm) => self.ua.handle_timeout(clock::now()),
        }
    }

    /// Carries out what the user agent wants. `None` when nobody holds the phone any more.
    async fn obey(&mut self) -> Option<()> {
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
                self.remote = read_answer(sdp, &own).ok().map(|media| media.rtp);
            }
            PhoneEvent::HungUp | PhoneEvent::Cancelled | PhoneEvent::Refused { .. } => {
                self.remote = None;
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

    fn hear(&mut self, packet: &[u8]) {
        let frame = self
            .reception
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(packet);
        // Not under our lock: whoever owns the sound has locks of their own.
        if let Some(frame) = frame {
            self.sound.hear(&frame, clock::now());
        }
    }

    fn speak(&mut self) {
        let Some(remote) = self.remote else { return };
        let packet = self.voice.packet(&self.sound.say());
        // A lost frame is a gap on the other side, and counted there.
        drop(self.rtp.try_send_to(&packet, remote));
    }
}

async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
