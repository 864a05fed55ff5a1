//! One end of a call's media: an RTP socket of a phone that sends G.711 packets of 20 ms with time stamps (RFC 3550 section 5.1).
//!
//! The time stamp is in the payload, which is not changed between two phones. A packet arrives when this process reads it, so the
//! measured latency is a little longer than that of the path. Where the payload is changed, an end says real sound instead.

use std::{
    f64::consts::TAU,
    io,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ringfence_media::{
    Codec,
    transcode::sound::{self, SoundEncoder},
};

/// Duration of one packet, and its samples.
pub(crate) const PACKET_TIME: Duration = Duration::from_millis(20);
const SAMPLES: u32 = 160;
const HEADER: usize = 12;
const PACKET: usize = HEADER + SAMPLES as usize;
/// Samples a second at which an end with Opus speaks.
const OPUS_RATE: usize = 48_000;
/// Distinguishes a time stamp from other payloads.
const MARK: [u8; 4] = *b"load";
/// Length of a time stamp: mark, flow, number, time.
const TIME_STAMP: usize = 20;

/// One end of a call.
#[derive(Debug)]
pub(crate) struct End {
    socket: UdpSocket,
    packet: Vec<u8>,
    sent: u32,
    /// Ticks of the clock of RTP for each packet.
    ticks: u32,
    /// What it says in turns in place of time stamps.
    speech: Vec<Vec<u8>>,
}

/// The time stamp of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeStamp {
    pub(crate) flow: u32,
    pub(crate) number: u32,
    /// Since the Unix epoch.
    pub(crate) sent: Duration,
    /// Since the Unix epoch.
    pub(crate) arrived: Duration,
}

impl End {
    /// Binds a socket on loopback.
    pub(crate) fn open() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket
            .set_nonblocking(true)
            .expect("a socket need not wait");
        let mut packet = vec![0xd5; PACKET];
        packet[..HEADER].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        // Each phone has its own SSRC.
        let port = socket.local_addr().expect("it is bound").port();
        packet[10..12].copy_from_slice(&port.to_be_bytes());
        Self {
            socket,
            packet,
            sent: 0,
            ticks: SAMPLES,
            speech: Vec::new(),
        }
    }

    /// An end that says a second of sound in this codec over and over.
    pub(crate) fn speaking(codec: Codec) -> Self {
        let rate = sound::rate(codec).unwrap_or(OPUS_RATE);
        let mut encoder = SoundEncoder::new(codec, OPUS_RATE).expect("a codec for sound");
        let second = speech(rate);
        let packets = second.chunks_exact(rate / 50);
        let mut end = Self::open();
        end.speech = packets
            .map(|it| encoder.encode(it).expect("20 ms"))
            .collect();
        end.ticks = codec.clock() / 50;
        end.packet[1] = codec.far_payload_type();
        end
    }

    /// Its socket.
    pub(crate) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The same socket, for polling.
    pub(crate) fn receiver(&self) -> mio::net::UdpSocket {
        mio::net::UdpSocket::from_std(self.socket.try_clone().expect("a socket can be shared"))
    }

    /// The next received packet with a time stamp; `Err` when there is no packet.
    pub(crate) fn receive(&self) -> io::Result<Option<TimeStamp>> {
        receive(|bytes| self.socket.recv(bytes))
    }

    /// Sends the next packet of this flow and returns its time. A packet that cannot be sent counts as lost.
    pub(crate) fn send(&mut self, flow: u32) -> Duration {
        self.sent = self.sent.wrapping_add(1);
        let sequence = self.sent.to_be_bytes();
        self.packet[2..4].copy_from_slice(&sequence[2..]);
        self.packet[4..8].copy_from_slice(&self.sent.wrapping_mul(self.ticks).to_be_bytes());
        if let Some(said) = self
            .speech
            .get(self.sent as usize % self.speech.len().max(1))
        {
            self.packet.truncate(HEADER);
            self.packet.extend_from_slice(said);
            let now = since_epoch();
            let _ = self.socket.send(&self.packet);
            return now;
        }
        let time_stamp = &mut self.packet[HEADER..];
        time_stamp[..4].copy_from_slice(&MARK);
        time_stamp[4..8].copy_from_slice(&flow.to_be_bytes());
        time_stamp[8..12].copy_from_slice(&self.sent.to_be_bytes());
        let now = since_epoch();
        #[expect(clippy::cast_possible_truncation, reason = "good until the year 2554")]
        let nanos = now.as_nanos() as u64;
        time_stamp[12..TIME_STAMP].copy_from_slice(&nanos.to_be_bytes());
        let _ = self.socket.send(&self.packet);
        now
    }
}

/// A second of sound that no codec can take for silence: a voice-like tone that glides and swells, and noise.
fn speech(rate: usize) -> Vec<i16> {
    let mut noise = 1_u32;
    let mut turn = 0.0_f64;
    let sample = |place: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a second")]
        let time = place as f64 / rate as f64;
        turn += TAU * (200.0 + 80.0 * (TAU * 3.0 * time).sin()) / rate as f64;
        let voice: f64 = (1..=8)
            .map(|tone| (f64::from(tone) * turn).sin() / f64::from(tone))
            .sum();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(noise >> 16) / 65_536.0 - 0.5;
        let swell = 0.5 + 0.5 * (TAU * 4.0 * time).sin();
        #[expect(clippy::cast_possible_truncation, reason = "well within 16 bits")]
        let sample = (5_000.0 * swell * voice + 600.0 * noise) as i16;
        sample
    };
    (0..rate).map(sample).collect()
}

/// The time stamp of the packet that `take` receives, if it has one.
pub(crate) fn receive(
    take: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Option<TimeStamp>> {
    let mut bytes = [0; 2_048];
    let length = take(&mut bytes)?;
    Ok(read(
        bytes.get(HEADER..length).unwrap_or_default(),
        since_epoch(),
    ))
}

fn read(payload: &[u8], arrived: Duration) -> Option<TimeStamp> {
    let time_stamp = payload.get(..TIME_STAMP)?.strip_prefix(&MARK)?;
    let word = |at: usize| {
        Some(u32::from_be_bytes(
            time_stamp.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let nanos = u64::from_be_bytes(time_stamp.get(8..16)?.try_into().ok()?);
    Some(TimeStamp {
        flow: word(0)?,
        number: word(4)?,
        sent: Duration::from_nanos(nanos),
        arrived,
    })
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
