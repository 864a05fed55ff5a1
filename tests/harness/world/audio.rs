//! A handset's audio in packets of PCMU, of 20 ms at first (RFC 3550, RFC 3551): it sends a tone and records what it receives.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use ringfence_media::g711;

use crate::{
    audio_file::AudioClip,
    tone::{self, ToneMeasurement},
};

const RATE: u32 = 8_000;
/// The step in which packets are long: 10 ms.
const STEP: Duration = Duration::from_millis(10);
const STEP_SAMPLES: usize = 80;
/// Steps of a packet.
const USUAL: u32 = 2;
/// Steps of a packet of a thinned source: 120 ms, the longest that an engine takes, so that its frames are as few. They keep all
/// watches of silence quiet, even if one is lost.
const THINNED: u32 = 12;
/// From one packet of comfort noise to the next, in steps.
const NOISE: u32 = 20;
/// What a recording has in place of a packet that is lost.
const LOST_SAMPLES: usize = 160;
const PCMU: u8 = 0;
const COMFORT_NOISE: u8 = 13;
const G722: u8 = 9;
const EVENTS: u8 = 101;
const HEADER: usize = 12;
/// Most lost packets in a row that a recording replaces by silence.
const HOLE: u16 = 500;

/// What a phone does to its sound in the middle of a call.
#[derive(Clone, Copy, Debug)]
pub enum SoundChange {
    /// Its timestamps go on somewhere else, as after hold.
    Jump(u32),
    /// It has another SSRC and other numbers.
    NewSource,
    /// Its packets are so many times 10 ms long.
    Length(u32),
    /// It sends comfort noise (RFC 3389) now and then in place of sound, or sound again.
    Silent(bool),
    /// It sends nothing at all while its person is silent, or sound again.
    Paused(bool),
    /// Its timestamps tick so many times as fast as they should.
    Clock(u32),
}

/// Sends one tone without end.
#[derive(Debug)]
pub(crate) struct ToneSource {
    wave: Vec<u8>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// Where in the wave it is.
    place: usize,
    /// A packet is so many steps long.
    steps: u32,
    /// Ticks of its timestamps for each sample.
    clock: u32,
    /// Whether it sends comfort noise instead, or nothing.
    is_silent: bool,
    is_paused: bool,
    /// The payload type of its audio. What it sends as G.722 is mu-law all the same, since nothing decodes it.
    codec: u8,
    /// When the next packet is due, and its destination.
    live: Option<(Instant, SocketAddr)>,
    /// Packets of a key press, which replace audio, and the timestamp of the first.
    key_packets: VecDeque<[u8; 4]>,
    began: u32,
}

impl ToneSource {
    pub(crate) fn new(hz: f64, ssrc: u32) -> Self {
        let second = tone::sine(hz, RATE, 1);
        Self {
            wave: second.samples.iter().copied().map(g711::compress).collect(),
            sequence: 1_000,
            timestamp: 77_000,
            ssrc,
            place: 0,
            steps: USUAL,
            clock: 1,
            is_silent: false,
            is_paused: false,
            codec: PCMU,
            live: None,
            key_packets: VecDeque::new(),
            began: 0,
        }
    }

    /// Sends to this address from now on.
    pub(crate) fn open(&mut self, to: SocketAddr, now: Instant) {
        let next = self.live.map_or(now, |(next, _)| next);
        self.live = Some((next, to));
    }

    pub(crate) fn send_as_g722(&mut self, is_g722: bool) {
        self.codec = if is_g722 { G722 } else { PCMU };
    }

    /// Sends few and long packets from now on.
    pub(crate) const fn thin(&mut self) {
        self.steps = THINNED;
    }

    pub(crate) const fn change(&mut self, change: SoundChange) {
        match change {
            SoundChange::Jump(ticks) => self.timestamp = self.timestamp.wrapping_add(ticks),
            SoundChange::NewSource => {
                self.ssrc = !self.ssrc;
                self.sequence ^= 0x5555;
                self.timestamp ^= 0x5555_5555;
            }
            SoundChange::Length(steps) => self.steps = steps,
            SoundChange::Silent(is_silent) => self.is_silent = is_silent,
            SoundChange::Paused(is_paused) => self.is_paused = is_paused,
            SoundChange::Clock(clock) => self.clock = clock,
        }
    }

    pub(crate) fn close(&mut self) {
        self.live = None;
    }

    /// Sends a key press: five packets, and three more that mark its end (RFC 4733 section 2.5).
    pub(crate) fn press(&mut self, event: u8) {
        for count in 1..=8_u8 {
            let end = if count > 5 { 0x80 } else { 0 };
            let [high, low] = (u16::from(count.min(5)) * 160).to_be_bytes();
            self.key_packets.push_back([event, end | 10, high, low]);
        }
        self.began = self.timestamp;
    }

    /// The packet that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let (next, to) = self.live.filter(|(next, _)| *next <= now)?;
        let steps = if self.is_silent { NOISE } else { self.steps };
        self.live = Some((next + STEP * steps, to));
        if self.is_paused {
            self.step(steps);
            return None;
        }
        let key_packets = self.key_packets.pop_front();
        let (kind, timestamp) = match key_packets {
            Some(_) => (EVENTS, self.began),
            None if self.is_silent => (COMFORT_NOISE, self.timestamp),
            None => (self.codec, self.timestamp),
        };
        let mut bytes = vec![0x80, kind];
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        match key_packets {
            Some(key_packets) => bytes.extend_from_slice(&key_packets),
            None if self.is_silent => bytes.push(0x40),
            None => {
                let samples = self.wave.iter().cycle().skip(self.place);
                let samples = samples.take(STEP_SAMPLES * self.steps as usize);
                bytes.extend(samples);
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.step(steps);
        Some((to, bytes))
    }

    /// So much time has passed.
    fn step(&mut self, steps: u32) {
        let samples = STEP_SAMPLES as u32 * steps;
        self.place = (self.place + samples as usize) % self.wave.len();
        self.timestamp = self.timestamp.wrapping_add(samples * self.clock);
    }

    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.live.map(|(next, _)| next)
    }
}

/// The audio that a handset received.
#[derive(Clone, Debug, Default)]
pub struct ReceivedAudio {
    samples: Vec<i16>,
    last: Option<u16>,
    packets: usize,
    first: Option<Instant>,
    keys: Vec<(u32, u8)>,
}

impl ReceivedAudio {
    /// Keys that were received as RFC 4733 events, each once, by event number.
    pub fn keys(&self) -> Vec<u8> {
        self.keys.iter().map(|(_, event)| *event).collect()
    }

    /// Audio packets that arrived.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// When the first audio packet arrived.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// How much of a tone the received audio contains.
    pub fn heard(&self, hz: f64) -> ToneMeasurement {
        let sound = AudioClip {
            rate: RATE,
            samples: self.samples.clone(),
        };
        tone::measure(&sound, hz)
    }

    /// Takes one packet. Packets that are late or not PCMU are ignored.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) {
        let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
            return;
        };
        if let (EVENTS, [event, end, ..]) = (header[1] & 0x7f, payload)
            && end & 0x80 != 0
        {
            let start = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            if self.keys.last() != Some(&(start, *event)) {
                self.keys.push((start, *event));
            }
        }
        if header[0] != 0x80 || header[1] & 0x7f != PCMU {
            return;
        }
        self.packets += 1;
        self.first.get_or_insert(now);
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let step = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        if step == 0 || step > HOLE {
            return;
        }
        self.last = Some(sequence);
        let silence = usize::from(step - 1) * LOST_SAMPLES;
        self.samples.resize(self.samples.len() + silence, 0);
        self.samples
            .extend(payload.iter().copied().map(g711::expand));
    }
}
