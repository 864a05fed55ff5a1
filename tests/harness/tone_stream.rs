//! The audio of one call at a phone of the fault lab: a tone in G.711 mu-law, sent every 20 ms, and the time of each packet with a
//! tone that arrives (RFC 3550). No jitter buffer, no RTCP.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use ringfence::{
    selfcall::tone::{ToneGenerator, share_of_tone},
    softphone::{FRAME, RATE},
};
use ringfence_media::{
    Codec,
    g711::{compress, expand},
};

use crate::networks::{Place, inside};

const FRAME_TIME: Duration = Duration::from_millis(20);
const HEADER: usize = 12;
/// Mean square below which a packet is silence, and the smallest share of its energy at one frequency.
const FLOOR: f64 = 3_200.0;
const PURE: f64 = 0.6;

/// A tone that was heard: when a packet arrived, and its frequency in Hz.
pub(crate) type HeardTone = (Instant, u32);

/// Sends one tone and listens for others.
#[derive(Debug)]
pub(crate) struct ToneStream {
    socket: UdpSocket,
    place: Option<Place>,
    remote: Option<SocketAddr>,
    tone: ToneGenerator,
    known: Vec<u32>,
    due: Instant,
    number: u16,
    source: u32,
    pub(crate) is_muted: bool,
}

impl ToneStream {
    /// A stream that sends `hertz` once it is connected, and knows the tones `known`.
    pub(crate) fn open(hertz: u32, known: &[u32], source: u32, place: Option<Place>) -> Self {
        Self {
            socket: loopback(place.as_ref()),
            place,
            remote: None,
            tone: ToneGenerator::new(hertz.into()),
            known: known.to_vec(),
            due: Instant::now(),
            number: 0,
            source,
            is_muted: false,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Begins to send to `remote`.
    pub(crate) fn connect(&mut self, remote: SocketAddr) {
        if self.remote.is_none() {
            self.due = Instant::now();
        }
        self.remote = Some(remote);
    }

    /// Goes on from another port without a word, as a phone does whose socket failed.
    pub(crate) fn move_port(&mut self) {
        self.socket = loopback(self.place.as_ref());
    }

    /// Sends what is due, and adds the tones that have arrived to `heard`.
    pub(crate) fn run(&mut self, heard: &mut Vec<HeardTone>) {
        let mut packet = [0; 2_048];
        while let Ok(length) = self.socket.recv(&mut packet) {
            let frequency = self.frequency(packet.get(..length).unwrap_or_default());
            heard.extend(frequency.map(|frequency| (Instant::now(), frequency)));
        }
        let Some(remote) = self.remote else { return };
        while self.due <= Instant::now() {
            self.due += FRAME_TIME;
            let packet = self.packet();
            if !self.is_muted {
                // A refused packet is the other end's matter.
                let _ = self.socket.send_to(&packet, remote);
            }
        }
    }

    /// The numbers advance while the phone is silent too, as after silence suppression.
    fn packet(&mut self) -> Vec<u8> {
        self.number = self.number.wrapping_add(1);
        let timestamp = u32::from(self.number) * u32::try_from(FRAME).unwrap_or(u32::MAX);
        let mut packet = vec![0x80, Codec::Pcmu.far_payload_type()];
        packet.extend(self.number.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.source.to_be_bytes());
        packet.extend(self.tone.frame().map(compress));
        packet
    }

    /// Which of the known tones a packet holds.
    fn frequency(&self, packet: &[u8]) -> Option<u32> {
        let kind = packet.get(1)?;
        if kind & 0x7f != Codec::Pcmu.far_payload_type() {
            return None;
        }
        let samples: Vec<_> = packet
            .get(HEADER..)?
            .iter()
            .map(|code| expand(*code))
            .collect();
        let holds = |hertz: &&u32| {
            let step = std::f64::consts::TAU * f64::from(**hertz) / f64::from(RATE);
            share_of_tone(&samples, step, FLOOR) > PURE
        };
        self.known.iter().find(holds).copied()
    }
}

fn loopback(place: Option<&Place>) -> UdpSocket {
    let bound = inside(place, || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let socket = bound.expect("a free port");
    socket
        .set_nonblocking(true)
        .expect("a socket need not wait");
    socket
}
