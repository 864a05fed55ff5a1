//! The wires of the simulated world: what runs on them, how long it takes, how much of it is lost, and the trace of it all.
//!
//! Every pair of places has its own random sequence per kind of wire, drawn from the world's seed: traffic on one wire
//! cannot change the fate of a packet on another. A stream never loses and never overtakes; what a lost segment costs
//! it is time.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// What a lost segment costs a stream: the least retransmission timeout of common TCPs (RFC 6298 asks for more).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Where a wire ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A SIP phone, by the order in which it was plugged in.
    Phone(usize),
    /// An engine, by the order in which it was opened.
    Engine(usize),
    /// The Nostr relay.
    Relay,
    /// The TURN server, seen from its clients.
    Turn,
    /// The TURN server's relayed addresses, seen from each other.
    Relayed,
    /// Somebody who is nobody's engine and posts to the relay.
    Stranger,
}

/// What runs on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A SIP message between phone and engine.
    Sip,
    /// A phone's RTP in clear, between phone and engine.
    Sound,
    /// A TURN request, or its answer (RFC 8656).
    Turn,
    /// An ICE check or its answer, inside TURN (RFC 8445).
    Check,
    /// DTLS, inside TURN: the handshake, and the data channel.
    Dtls,
    /// Sealed sound, inside TURN (RFC 3711).
    Srtp,
    /// Sealed reports about sound, inside TURN. They hold none of it.
    Srtcp,
    /// Something else inside TURN. Nothing of ours.
    Unknown,
    /// A sealed envelope on its way to the relay or from it.
    Envelope,
}

/// How a kind of wire behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// The least time from one end to the other.
    pub delay: Duration,
    /// Up to this much is added, differently for each packet.
    pub jitter: Duration,
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// A stream loses nothing and keeps the order.
    pub is_stream: bool,
}

impl Wire {
    /// A wire for datagrams that loses nothing.
    pub const fn datagrams(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            is_stream: false,
        }
    }

    /// A stream.
    pub const fn stream(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            is_stream: true,
        }
    }
}

/// All kinds of wire in a world. A test changes what it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wires {
    /// SIP between a phone and its engine.
    pub sip: Wire,
    /// RTP between a phone and its engine.
    pub sound: Wire,
    /// Between an engine and the TURN server.
    pub turn: Wire,
    /// Between two relayed addresses.
    pub relayed: Wire,
    /// Between an engine and the Nostr relay.
    pub relay: Wire,
}

impl Default for Wires {
    /// A house, a country, a data centre: nothing is lost.
    fn default() -> Self {
        Self {
            sip: Wire::datagrams(Duration::from_micros(300)),
            sound: Wire::datagrams(Duration::from_micros(300)),
            turn: Wire::datagrams(Duration::from_millis(10)),
            relayed: Wire::datagrams(Duration::from_micros(50)),
            relay: Wire::stream(Duration::from_millis(15)),
        }
    }
}

/// One packet or message, as somebody beside the wire could note it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passage {
    /// Since the world began.
    pub at: Duration,
    /// Who sent it.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// What it was.
    pub kind: Kind,
    /// How long, in bytes.
    pub size: usize,
    /// Whether the wire lost it.
    pub lost: bool,
    /// What it was in bytes.
    pub bytes: Vec<u8>,
}

impl Passage {
    /// The first line of a SIP message.
    pub fn first_line(&self) -> String {
        let line = self.bytes.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }

    /// What must be the same whenever the world is replayed from its seed.
    ///
    /// The size of DTLS is left out, and nothing else: a certificate and the signature of a handshake hold ECDSA
    /// signatures in DER, each 70 to 72 bytes long, and neither the key nor the nonce behind them can be seeded.
    pub fn replayable(&self) -> (Duration, Place, Place, Kind, Option<usize>, bool) {
        let size = (self.kind != Kind::Dtls).then_some(self.size);
        (self.at, self.from, self.to, self.kind, size, self.lost)
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            from,
            to,
            kind,
            size,
            lost,
            ..
        } = self;
        let lost = if *lost { " LOST" } else { "" };
        write!(f, "{at:>12.3?} {from:?} -> {to:?} {kind:?} {size}{lost}")
    }
}

/// When packets arrive, if they do.
#[derive(Debug)]
pub(crate) struct Weather {
    seed: u64,
    wires: BTreeMap<(Place, Place, bool), Lane>,
}

#[derive(Debug)]
struct Lane {
    rng: ChaCha20Rng,
    last: Option<Instant>,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            wires: BTreeMap::new(),
        }
    }

    /// When something sent at `now` arrives; `None` if it is lost.
    pub(crate) fn arrival(
        &mut self,
        (from, to, kind): (Place, Place, Kind),
        wire: &Wire,
        now: Instant,
    ) -> Option<Instant> {
        let is_sound = kind == Kind::Sound;
        let seed = self.seed;
        let lane = self
            .wires
            .entry((from, to, is_sound))
            .or_insert_with(|| Lane {
                rng: ChaCha20Rng::from_seed(lane_seed(seed, from, to, is_sound)),
                last: None,
            });
        let lost = share(&mut lane.rng) < wire.loss;
        let mut arrival = now + wire.delay + wire.jitter.mul_f64(share(&mut lane.rng));
        if wire.is_stream {
            if lost {
                arrival += RETRANSMISSION;
            }
            arrival = lane.last.map_or(arrival, |last| last.max(arrival));
            lane.last = Some(arrival);
            return Some(arrival);
        }
        (!lost).then_some(arrival)
    }
}

/// From 0 up to, not including, 1.
fn share(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

fn lane_seed(seed: u64, from: Place, to: Place, is_sound: bool) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&place_number(from).to_be_bytes());
    bytes[16..24].copy_from_slice(&place_number(to).to_be_bytes());
    bytes[24] = u8::from(is_sound);
    bytes
}

fn place_number(place: Place) -> u64 {
    let (kind, number) = match place {
        Place::Phone(number) => (1, number),
        Place::Engine(number) => (2, number),
        Place::Relay => (3, 0),
        Place::Turn => (4, 0),
        Place::Relayed => (5, 0),
        Place::Stranger => (6, 0),
    };
    (kind << 32) | number as u64
}

/// An address inside the house of an engine: IPv4 in every second one, IPv6 in the others.
pub(crate) fn in_house(engine: usize, host: u8) -> IpAddr {
    let house = u8::try_from(engine).expect("a world has few engines");
    if engine.is_multiple_of(2) {
        Ipv4Addr::new(10, 77, house, host).into()
    } else {
        let (house, host) = (house.into(), host.into());
        Ipv6Addr::new(0xfd77, 0x1234, 0x5678, house, 0, 0, 0, host).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: (Place, Place, Kind) = (Place::Engine(0), Place::Turn, Kind::Srtp);

    fn thousand(weather: &mut Weather, wire: &Wire) -> Vec<Option<Duration>> {
        let start = Instant::now();
        (0..1000)
            .map(|number| {
                let sent = start + Duration::from_millis(number);
                let arrival = weather.arrival(ENDS, wire, sent)?;
                Some(arrival.saturating_duration_since(start))
            })
            .collect()
    }

    #[test]
    fn a_lossy_wire_loses_its_share_and_the_same_packets_every_time() {
        let wire = Wire {
            loss: 0.2,
            jitter: Duration::from_millis(30),
            ..Wire::datagrams(Duration::from_millis(10))
        };
        let first = thousand(&mut Weather::new(7), &wire);
        let lost = first.iter().filter(|arrival| arrival.is_none()).count();
        assert!((150..250).contains(&lost), "{lost} of 1000");
        assert_eq!(first, thousand(&mut Weather::new(7), &wire));
        assert_ne!(first, thousand(&mut Weather::new(8), &wire));
    }

    #[test]
    fn a_stream_loses_nothing_and_keeps_the_order() {
        let wire = Wire {
            loss: 0.2,
            jitter: Duration::from_millis(30),
            ..Wire::stream(Duration::from_millis(10))
        };
        let arrivals: Option<Vec<Duration>> =
            thousand(&mut Weather::new(7), &wire).into_iter().collect();
        assert!(arrivals.expect("a stream loses nothing").is_sorted());
    }
}
