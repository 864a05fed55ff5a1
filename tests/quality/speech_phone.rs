//! Plain phones of the laboratory: both ends of a call say what was encoded beforehand, a packet of 20 ms each, and what comes at the
//! second is recorded with its time. What a phone makes of that is `sound.py`'s.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringfence_media::{Codec, rtp::RtpPacket};
use ringfence_tests::{faulty_wire::WireFaults, wire_chance::Chance};

use crate::flow::PACKET_TIME;

/// Bytes of a packet of G.711 and G.722 (RFC 3551 section 4.5).
const PACKET: usize = 160;
/// Bytes of a packet of Opus at a constant bit rate, which engines ask for: 32 kbit/s. `opus.py` has the same.
const OPUS_PACKET: usize = 80;
/// Silence before the speech: engines and rtpengines have heard both phones then.
pub(super) const LEAD: Duration = Duration::from_secs(1);
/// How long is listened after the last packet.
const DRAIN: Duration = Duration::from_millis(1_500);
const TURN: Duration = Duration::from_micros(500);
const HEADER: usize = 12;
const LONGEST: usize = 2_048;

/// The phones of one call.
#[derive(Debug)]
pub(super) struct SpeechPhones {
    pub(super) sockets: [UdpSocket; 2],
    codec: Codec,
    /// What both say, after the silence.
    speech: Vec<u8>,
    sent: u32,
    /// Packets of silence that were sent while other calls were set up, and when the first was.
    silent: Option<(u32, Instant)>,
    /// Of the packets with speech, what the phone itself loses.
    losses: Option<(Chance, WireFaults)>,
}

/// A packet that came at the second phone.
#[derive(Debug)]
pub(super) struct Arrival {
    call: u16,
    /// Since the first call's silence began.
    at: Duration,
    packet: Vec<u8>,
}

/// Phones that say silence meanwhile.
#[derive(Debug)]
pub(super) struct Murmur {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Instant)>,
}

impl Murmur {
    /// The silence ends with its next packet.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl SpeechPhones {
    /// Phones that will say this.
    pub(super) fn new(codec: Codec, speech: Vec<u8>) -> Self {
        let sockets = [(); 2].map(|()| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let set = socket.set_nonblocking(true);
            set.expect("a socket need not wait");
            socket
        });
        Self::with(sockets, codec, speech)
    }

    fn with(sockets: [UdpSocket; 2], codec: Codec, speech: Vec<u8>) -> Self {
        Self {
            sockets,
            codec,
            speech,
            sent: 0,
            silent: None,
            losses: None,
        }
    }

    /// Says silence until the others are set up as well, as phones do from the answer on: engines find the pace of a phone by what it
    /// sends first.
    pub(super) fn murmur(&self) -> Murmur {
        let sockets = self.sockets.each_ref();
        let sockets = sockets.map(|it| it.try_clone().expect("a free descriptor"));
        let silence = self.speech[..packet_bytes(self.codec)].to_vec();
        let phones = Self::with(sockets, self.codec, silence);
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = thread::spawn(move || phones.say_nothing(&seen));
        Murmur { is_over, thread }
    }

    fn say_nothing(mut self, is_over: &AtomicBool) -> (u32, Instant) {
        let start = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            self.send_from(0);
            receive(&self, 0, start, &mut Vec::new());
            thread::sleep(
                (start + PACKET_TIME * self.sent).saturating_duration_since(Instant::now()),
            );
        }
        (self.sent, start)
    }

    /// Goes on from there, once it has been stopped.
    pub(super) fn go_on(&mut self, murmur: Murmur) {
        let silent = murmur.thread.join().expect("it sends");
        (self.sent, self.silent) = (silent.0, Some(silent));
    }

    /// How long after `start` the first packet of the talk leaves, `otherwise` for phones that have said nothing. The pace of the silence
    /// goes on.
    fn first_at(&self, start: Instant, otherwise: Duration) -> Duration {
        let at = self.silent.map(|(packets, first)| {
            let next = first + PACKET_TIME * packets;
            let late = start.saturating_duration_since(next).as_nanos();
            next + PACKET_TIME * late.div_ceil(PACKET_TIME.as_nanos()) as u32
        });
        at.map_or(otherwise, |at| at.saturating_duration_since(start))
    }

    /// Loses packets as a wire would, behind the engine's back.
    pub(super) fn lose(&mut self, seed: u64, faults: WireFaults) {
        self.losses = Some((Chance::new(seed), faults));
    }

    /// Sends the next packet of both. Speech begins with silence, which is said before it as often as is needed.
    fn send(&mut self) {
        let lead = (LEAD.as_millis() / PACKET_TIME.as_millis()) as u32;
        let before = self.silent.map_or(0, |(packets, _)| packets);
        let bytes = packet_bytes(self.codec);
        self.send_from(self.sent.saturating_sub(before + lead) as usize * bytes);
    }

    /// Sends the packet that begins at this byte of the speech.
    fn send_from(&mut self, place: usize) {
        let bytes = packet_bytes(self.codec);
        let Some(payload) = self.speech.get(place..place + bytes) else {
            return;
        };
        let ticks = self.codec.clock() / 50;
        let losses = self.losses.as_mut().filter(|_| place > 0);
        let arrives = losses
            .is_none_or(|(chance, faults)| chance.next(*faults, bytes, Instant::now()).is_some());
        for (side, socket) in (0..).zip(&self.sockets).filter(|_| arrives) {
            let packet = RtpPacket {
                payload_type: self.codec.far_payload_type(),
                marker: false,
                sequence: self.sent as u16,
                timestamp: self.sent.wrapping_mul(ticks),
                ssrc: 0x5100_0000 | side,
                payload,
            };
            // A packet that cannot be sent is lost.
            let _ = socket.send(&packet.to_bytes());
        }
        self.sent += 1;
    }
}

const fn packet_bytes(codec: Codec) -> usize {
    match codec {
        Codec::Opus => OPUS_PACKET,
        _ => PACKET,
    }
}

/// Lets all calls talk at once; returns what came, and how long after the start the speech of each began. `tell` hears how long the speech
/// has lasted.
pub(super) fn talk(
    calls: &mut [SpeechPhones],
    mut tell: impl FnMut(Duration),
) -> (Vec<Arrival>, Vec<Duration>) {
    let packets = calls.iter();
    let packets = packets
        .map(|call| call.speech.len() / packet_bytes(call.codec))
        .max();
    let length = PACKET_TIME * packets.unwrap_or_default() as u32 + LEAD + DRAIN;
    // What came while the silence ended belongs to no moment of the talk.
    for phones in calls.iter() {
        receive(phones, 0, Instant::now(), &mut Vec::new());
    }
    let (start, mut arrivals, count) = (Instant::now(), Vec::new(), calls.len());
    let begins: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(call, phones)| (phones.first_at(start, offset(call, count)), phones.sent))
        .collect();
    while start.elapsed() < length {
        let now = start.elapsed();
        if let Some(spoken) = now.checked_sub(LEAD) {
            tell(spoken);
        }
        for (call, phones) in calls.iter_mut().enumerate() {
            let (first, before) = begins[call];
            let is_due =
                |sent: u32| first + PACKET_TIME * (sent - before) <= now.min(length - DRAIN / 2);
            while is_due(phones.sent) {
                let before = phones.sent;
                phones.send();
                if phones.sent == before {
                    break;
                }
            }
            receive(phones, call, start, &mut arrivals);
        }
        thread::sleep(TURN);
    }
    let spoken = begins.iter().map(|(first, _)| *first + LEAD).collect();
    (arrivals, spoken)
}

fn receive(phones: &SpeechPhones, call: usize, start: Instant, arrivals: &mut Vec<Arrival>) {
    let mut packet = [0; LONGEST];
    while phones.sockets[0].recv(&mut packet).is_ok() {}
    while let Ok(length) = phones.sockets[1].recv(&mut packet) {
        // RTCP has other packet types (RFC 5761 section 4).
        let is_rtp = length > HEADER && !(192..224).contains(&packet[1]);
        if is_rtp {
            arrivals.push(Arrival {
                call: call as u16,
                at: start.elapsed(),
                packet: packet[..length].to_vec(),
            });
        }
    }
}

/// How much later than the first each call begins, so that packets are spread over the 20 ms.
fn offset(call: usize, count: usize) -> Duration {
    PACKET_TIME * call as u32 / count.max(1) as u32
}

/// Writes what came, each packet after its call, microseconds and length, little-endian.
pub(super) fn write(path: &Path, arrivals: &[Arrival]) {
    let mut file = BufWriter::new(File::create(path).expect("the target folder is ours"));
    let mut put = |bytes: &[u8]| file.write_all(bytes).expect("the target folder is ours");
    for arrival in arrivals {
        put(&arrival.call.to_le_bytes());
        put(&(arrival.at.as_micros() as u64).to_le_bytes());
        put(&(arrival.packet.len() as u16).to_le_bytes());
        put(&arrival.packet);
    }
}
