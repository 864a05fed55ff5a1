//! The links of the simulated network: what is sent over them, with which delay, jitter and loss, and the trace of it.
//!
//! Every pair of endpoints has its own random sequence, derived from the world's seed, so traffic on one link cannot change what
//! happens to a packet on another. A stream loses nothing and keeps the order; a lost segment delays it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// How long a lost segment delays a stream: the shortest retransmission timeout of common TCPs (RFC 6298 asks for more).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A SIP phone, numbered in the order in which phones were added.
    Phone(usize),
    /// An engine, numbered in the order in which engines were opened.
    Engine(usize),
    /// The Nostr relay.
    Relay,
    /// A TURN server, on the side of its clients; numbered in the order in which servers were added.
    Turn(usize),
    /// A TURN server's relayed addresses, on the side of the peers.
    Relayed(usize),
    /// An attacker, who is no engine and publishes on the relay.
    Attacker,
}

/// What is sent over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// A SIP message between phone and engine.
    Sip,
    /// A phone's RTP in clear, between phone and engine.
    Rtp,
    /// A TURN request, or its answer (RFC 8656).
    Turn,
    /// An ICE check or its answer, inside TURN (RFC 8445).
    Check,
    /// DTLS, inside TURN: the handshake, and the data channel.
    Dtls,
    /// SRTP inside TURN (RFC 3711).
    Srtp,
    /// SRTCP inside TURN.
    Srtcp,
    /// A sealed message from relayed address to relayed address, inside TURN: an answer, a confirmation, a hang-up.
    Datagram,
    /// Anything else inside TURN. Engines send no such packets.
    Unknown,
    /// A sealed envelope on its way to the relay or from it.
    Envelope,
}

/// Delay, jitter and loss of a kind of link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The shortest time from one end to the other.
    pub delay: Duration,
    /// The most that is added to the delay, at random for each packet.
    pub jitter: Duration,
    /// The share of packets that is lost, 0 to 1.
    pub loss: f64,
    /// The share of packets that arrive twice, 0 to 1. Streams have none.
    pub duplicates: f64,
    /// A stream loses nothing and keeps the order.
    pub is_stream: bool,
}

impl Link {
    /// A link for datagrams, without loss.
    pub const fn datagrams(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
            is_stream: false,
        }
    }

    /// A stream.
    pub const fn stream(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
            is_stream: true,
        }
    }
}

/// The links of a world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Links {
    /// SIP between a phone and its engine.
    pub sip: Link,
    /// RTP between a phone and its engine.
    pub rtp: Link,
    /// Between an engine and a TURN server.
    pub turn: Link,
    /// Between two relayed addresses.
    pub relayed: Link,
    /// Between an engine and the Nostr relay.
    pub relay: Link,
}

impl Default for Links {
    /// Delays of a LAN, of a country and of a data centre; no loss.
    fn default() -> Self {
        Self {
            sip: Link::datagrams(Duration::from_micros(300)),
            rtp: Link::datagrams(Duration::from_micros(300)),
            turn: Link::datagrams(Duration::from_millis(10)),
            relayed: Link::datagrams(Duration::from_micros(50)),
            relay: Link::stream(Duration::from_millis(15)),
        }
    }
}

/// One packet or message, as an observer of the link sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct TracedPacket {
    /// Since the world began.
    pub at: Duration,
    /// Who sends it.
    pub from: Endpoint,
    /// Who receives it.
    pub to: Endpoint,
    /// Its kind.
    pub kind: PacketKind,
    /// Its length in bytes.
    pub size: usize,
    /// Whether the link lost it.
    pub lost: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl TracedPacket {
    /// The first line of a SIP message.
    pub fn first_line(&self) -> String {
        let line = self.bytes.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }

    /// What must be equal whenever the world is replayed from its seed.
    ///
    /// The size of DTLS is left out, and nothing else: a certificate and the signature of a handshake hold ECDSA
    /// signatures in DER, each 70 to 72 bytes long, and neither the key nor the nonce behind them can be seeded.
    pub fn replayable(
        &self,
    ) -> (
        Duration,
        Endpoint,
        Endpoint,
        PacketKind,
        Option<usize>,
        bool,
    ) {
        let size = (self.kind != PacketKind::Dtls).then_some(self.size);
        (self.at, self.from, self.to, self.kind, size, self.lost)
    }
}

impl fmt::Debug for TracedPacket {
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

/// Decides whether packets arrive, and when.
#[derive(Debug)]
pub(crate) struct Impairments {
    seed: u64,
    links: BTreeMap<(Endpoint, Endpoint, bool), LinkState>,
}

#[derive(Debug)]
struct LinkState {
    rng: ChaCha20Rng,
    last: Option<Instant>,
}

impl Impairments {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            links: BTreeMap::new(),
        }
    }

    /// When something sent at `now` arrives; `None` if it is lost.
    pub(crate) fn arrival(
        &mut self,
        (from, to, kind): (Endpoint, Endpoint, PacketKind),
        link: &Link,
        now: Instant,
    ) -> Option<Instant> {
        let is_rtp = kind == PacketKind::Rtp;
        let seed = self.seed;
        let state = self
            .links
            .entry((from, to, is_rtp))
            .or_insert_with(|| LinkState {
                rng: ChaCha20Rng::from_seed(link_seed(seed, from, to, is_rtp)),
                last: None,
            });
        let lost = share(&mut state.rng) < link.loss;
        let mut arrival = now + link.delay + link.jitter.mul_f64(share(&mut state.rng));
        if link.is_stream {
            if lost {
                arrival += RETRANSMISSION;
            }
            arrival = state.last.map_or(arrival, |last| last.max(arrival));
            state.last = Some(arrival);
            return Some(arrival);
        }
        (!lost).then_some(arrival)
    }

    /// When something that arrived comes once more, as late as jitter makes it; `None` if it does not.
    pub(crate) fn repetition(
        &mut self,
        (from, to, kind): (Endpoint, Endpoint, PacketKind),
        link: &Link,
        arrival: Instant,
    ) -> Option<Instant> {
        if link.is_stream || link.duplicates <= 0.0 {
            return None;
        }
        let state = self.links.get_mut(&(from, to, kind == PacketKind::Rtp))?;
        let is_repeated = share(&mut state.rng) < link.duplicates;
        is_repeated.then(|| arrival + link.jitter.mul_f64(share(&mut state.rng)))
    }
}

/// From 0 to 1, 1 excluded.
fn share(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

fn link_seed(seed: u64, from: Endpoint, to: Endpoint, is_rtp: bool) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&endpoint_number(from).to_be_bytes());
    bytes[16..24].copy_from_slice(&endpoint_number(to).to_be_bytes());
    bytes[24] = u8::from(is_rtp);
    bytes
}

fn endpoint_number(place: Endpoint) -> u64 {
    let (kind, number) = match place {
        Endpoint::Phone(number) => (1, number),
        Endpoint::Engine(number) => (2, number),
        Endpoint::Relay => (3, 0),
        Endpoint::Turn(number) => (4, number),
        Endpoint::Relayed(number) => (5, number),
        Endpoint::Attacker => (6, 0),
    };
    (kind << 32) | number as u64
}

/// An address in the LAN of an engine: IPv4 for every second engine, IPv6 for the others.
pub(crate) fn lan_address(engine: usize, host: u8) -> IpAddr {
    let lan = u8::try_from(engine).expect("a world has few engines");
    if engine.is_multiple_of(2) {
        Ipv4Addr::new(10, 77, lan, host).into()
    } else {
        let (lan, host) = (lan.into(), host.into());
        Ipv6Addr::new(0xfd77, 0x1234, 0x5678, lan, 0, 0, 0, host).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: (Endpoint, Endpoint, PacketKind) =
        (Endpoint::Engine(0), Endpoint::Turn(0), PacketKind::Srtp);

    fn thousand(impairments: &mut Impairments, link: &Link) -> Vec<Option<Duration>> {
        let start = Instant::now();
        (0..1000)
            .map(|number| {
                let sent = start + Duration::from_millis(number);
                let arrival = impairments.arrival(ENDS, link, sent)?;
                Some(arrival.saturating_duration_since(start))
            })
            .collect()
    }

    #[test]
    fn a_lossy_link_loses_its_share_and_the_same_packets_every_time() {
        let link = Link {
            loss: 0.2,
            jitter: Duration::from_millis(30),
            ..Link::datagrams(Duration::from_millis(10))
        };
        let first = thousand(&mut Impairments::new(7), &link);
        let lost = first.iter().filter(|arrival| arrival.is_none()).count();
        assert!((150..250).contains(&lost), "{lost} of 1000");
        assert_eq!(first, thousand(&mut Impairments::new(7), &link));
        assert_ne!(first, thousand(&mut Impairments::new(8), &link));
    }

    #[test]
    fn a_stream_loses_nothing_and_keeps_the_order() {
        let link = Link {
            loss: 0.2,
            jitter: Duration::from_millis(30),
            ..Link::stream(Duration::from_millis(10))
        };
        let arrivals: Option<Vec<Duration>> = thousand(&mut Impairments::new(7), &link)
            .into_iter()
            .collect();
        assert!(arrivals.expect("a stream loses nothing").is_sorted());
    }
}
