//! The far leg: WebRTC over one TURN allocation (RFC 8656), and nothing else. The only code that knows str0m and
//! turn-client-proto.
//!
//! Bytes and time in, bytes for the TURN server out. There is no other way out: no relay, no call. The other side's
//! relays come typed in its [`Description`]; there is no SDP, no candidate but ours, no name to look up.
//!
//! ```text
//!  Allocating -> Ready -> Connecting -> Talking -> Ending -> Closed
//!       \___________\__________\___________/         (Ending: the allocation is being given back)
//! ```
//!
//! A leg may be made minutes before its call and wait in `Ready`; the allocation is kept fresh meanwhile.

mod allocation;
mod dtls;
mod gate;
mod peer;
mod relays;
mod replies;
mod stream;
mod terms;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

use self::allocation::{Allocation, AllocationEvent};
use self::dtls::Certificate;
use self::gate::{Gate, Verdict};
use self::peer::{Peer, PeerOutput, PeerTerms};
use self::stream::StreamCutter;
pub use self::terms::{
    FarConfig, FarCounters, FarError, FarEvent, FarFault, FarLocal, FarOutput, Role, RtpPacket,
    Secret, TurnServer, TurnTransport,
};
use crate::description::Description;

/// Relays of the other side that a leg will talk to. Each costs a permission on our TURN server.
pub const MAX_RELAYS: usize = 4;

/// Longest control message, in bytes. Hold, hang-up and the like need a few dozen.
pub const MAX_CONTROL: usize = 4096;

/// How long the TURN server may take for an allocation: four round trips of the slowest path, and several repetitions.
/// The TURN client alone would wait for half a minute.
const ALLOCATION_LIMIT: Duration = Duration::from_secs(4);

/// How long ICE and DTLS may take. Covers an answer that takes seconds to reach the caller.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// How long the other side may be silent. It sends sound all the time, and RTCP and ICE checks beside it.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How long the deletion of the allocation may take before the leg is closed without it.
const DELETION_LIMIT: Duration = Duration::from_secs(2);

/// Outputs that may wait for [`FarLeg::poll`]. One input makes a handful; when full, packets are dropped and counted,
/// events are kept.
const MAX_OUTPUTS: usize = 1024;

/// Rounds between TURN client and WebRTC after one input; two are normal.
const MAX_ROUNDS: usize = 16;

/// Letters of ICE credentials (RFC 8445 section 5.3: ice-char), 64 of them so that six random bits choose one.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Length of our ICE user fragment: 48 bits tell calls apart.
const UFRAG_LENGTH: usize = 8;

/// Length of our ICE password: 144 bits, RFC 8445 asks for 128.
const PWD_LENGTH: usize = 24;

/// One side of a call between two engines.
///
/// After every `handle_*`, [`connect`](Self::connect), [`write_rtp`](Self::write_rtp),
/// [`send_control`](Self::send_control) and [`close`](Self::close), call [`poll`](Self::poll) until `None`, then
/// [`next_alarm`](Self::next_alarm).
pub struct FarLeg {
    private_relays: bool,
    own_ip: std::net::IpAddr,
    stream: Option<StreamCutter>,
    rng: ChaCha20Rng,
    credentials: Credentials,
    certificate: Option<Certificate>,
    ssrc: u32,
    relay: Option<SocketAddr>,
    allocation: Allocation,
    gate: Gate,
    phase: Phase,
    outputs: VecDeque<FarOutput>,
    counters: FarCounters,
}

#[derive(Debug)]
enum Phase {
    Allocating { until: Instant },
    Ready,
    Connecting { peer: Box<Peer>, until: Instant },
    Talking { peer: Box<Peer>, silent_at: Instant },
    Ending { until: Instant, deleting: bool },
    Closed,
}

impl FarLeg {
    /// Starts to allocate a relay; the first request is there at the next [`poll`](Self::poll).
    ///
    /// `seed` must be fresh and secret: ICE credentials, SSRC and the lesser identifiers come from it.
    pub fn new(config: FarConfig, mut seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        let credentials = Credentials::draw(&mut rng);
        let ssrc = rng.next_u32();
        let mut leg = Self {
            private_relays: config.private_relays,
            own_ip: config.local.ip(),
            stream: (config.turn.transport == TurnTransport::Stream).then(StreamCutter::default),
            rng,
            credentials,
            certificate: Certificate::generate(),
            ssrc,
            relay: None,
            allocation: Allocation::new(&config, now),
            gate: Gate::default(),
            phase: Phase::Allocating {
                until: now + ALLOCATION_LIMIT,
            },
            outputs: VecDeque::new(),
            counters: FarCounters::default(),
        };
        leg.settle(now);
        leg
    }

    /// Takes a datagram, or the next bytes of the stream, from the TURN server's socket.
    ///
    /// Anything may arrive there; what is not TURN, or not from the other side's relay, is counted and dropped. A stream
    /// that holds something else than TURN ends the leg.
    pub fn handle_turn(&mut self, bytes: &[u8], now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let Some(mut cutter) = self.stream.take() else {
            self.receive(bytes, now);
            return;
        };
        cutter.push(bytes);
        while let Some(frame) = cutter.next() {
            let Ok(frame) = frame else {
                self.handle_turn_closed(now);
                return;
            };
            self.receive(&frame, now);
        }
        self.stream = Some(cutter);
    }

    /// The connection to the TURN server ended: nothing can be sent any more.
    pub fn handle_turn_closed(&mut self, _now: Instant) {
        match self.phase {
            Phase::Closed => {}
            Phase::Ending { .. } => self.finish(),
            _ => {
                self.say(FarEvent::Failed(FarFault::ServerGone));
                self.finish();
            }
        }
    }

    /// Time has passed: call at the latest at [`next_alarm`](Self::next_alarm).
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Allocating { until } if *until <= now => self.fail(FarFault::Timeout, now),
            Phase::Connecting { until, .. } if *until <= now => self.fail(FarFault::Ice, now),
            Phase::Talking { silent_at, .. } if *silent_at <= now => self.fail(FarFault::Ice, now),
            Phase::Ending { until, .. } if *until <= now => self.finish(),
            _ => {}
        }
        self.with_peer(now, |peer, now| peer.handle_timeout(now));
        self.settle(now);
    }

    /// Connects to the other engine, in the given role. A leg may have been allocated before anybody knew which. Its relays must be literal, unicast, at most [`MAX_RELAYS`], and public unless
    /// the configuration allows private ones.
    ///
    /// # Errors
    /// When the leg is not `Ready` or the description is not acceptable; nothing has changed then.
    pub fn connect(
        &mut self,
        remote: &Description,
        role: Role,
        now: Instant,
    ) -> Result<(), FarError> {
        let (Phase::Ready, Some(relay), Some(certificate)) =
            (&self.phase, self.relay, &self.certificate)
        else {
            return Err(FarError::NotNow);
        };
        if !is_ice(&remote.ufrag, 4) || !is_ice(&remote.pwd, 22) {
            return Err(FarError::Credentials);
        }
        if remote.ssrc == self.ssrc {
            return Err(FarError::SameStream);
        }
        let remote_relays = relays::accept(&remote.relays, relay, self.private_relays)?;
        fastrand::seed(self.rng.next_u64());
        let peer = Peer::new(
            &PeerTerms {
                role,
                ufrag: &self.credentials.ufrag,
                pwd: &self.credentials.pwd,
                certificate,
                ssrc: self.ssrc,
                relay,
                remote,
                remote_relays: &remote_relays,
            },
            now,
        );
        match peer {
            Ok(peer) => {
                self.gate.open(&remote_relays);
                self.phase = Phase::Connecting {
                    peer: Box::new(peer),
                    until: now + CONNECTION_LIMIT,
                };
                for relay in remote_relays {
                    self.ask(relay.ip(), now);
                    self.bind_if_granted(relay, now);
                }
                self.settle(now);
            }
            Err(fault) => self.fail(fault, now),
        }
        Ok(())
    }

    /// Sends one packet of sound; it leaves with the next [`poll`](Self::poll). Before `Connected` it is dropped and
    /// counted: sound that is late is worth nothing.
    pub fn write_rtp(&mut self, packet: RtpPacket, now: Instant) {
        if self.with_peer(now, |peer, now| peer.write_rtp(packet, now)) == Some(true) {
            self.settle(now);
        } else {
            self.counters.unsent += 1;
        }
    }

    /// Sends a message of at most [`MAX_CONTROL`] bytes on the data channel; false if that is not open.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) -> bool {
        let sent = self.with_peer(now, |peer, now| peer.send_control(bytes, now)) == Some(true);
        self.settle(now);
        sent
    }

    /// Ends the leg: the farewell to the other side and the end of the allocation leave with the next
    /// [`poll`](Self::poll). `Closed` follows when the server has confirmed, or after two seconds.
    pub fn close(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Closed) {
            return;
        }
        self.with_peer(now, |peer, now| {
            peer.close(now);
            Ok(())
        });
        self.drain_peer(now);
        self.end(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<FarOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let turn = self.allocation.alarm().map(|at| (at, "TURN client"));
        let own = match &self.phase {
            Phase::Allocating { until } => Some((*until, "allocation limit")),
            Phase::Ready => None,
            Phase::Connecting { until, .. } => Some((*until, "connection limit")),
            Phase::Talking { silent_at, .. } => Some((*silent_at, "silence limit")),
            Phase::Ending { until, .. } => Some((*until, "deletion limit")),
            Phase::Closed => return None,
        };
        let peer = match &self.phase {
            Phase::Connecting { peer, .. } | Phase::Talking { peer, .. } => {
                peer.alarm().map(|at| (at, "WebRTC"))
            }
            _ => None,
        };
        [turn, own, peer]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// What was refused so far.
    pub fn counters(&self) -> FarCounters {
        self.counters
    }

    /// One frame from the TURN server.
    fn receive(&mut self, frame: &[u8], now: Instant) {
        match self.allocation.receive(frame, now) {
            Ok(Some(data)) if self.gate.admits(data.peer) => {
                let (from, bytes) = (data.peer, data.data());
                if let Phase::Talking { silent_at, .. } = &mut self.phase {
                    *silent_at = now + SILENCE_LIMIT;
                }
                if self.with_peer(now, |peer, now| peer.receive(from, bytes, now)) == Some(false) {
                    self.counters.stray += 1;
                }
            }
            Ok(None) => {}
            // The other side does not know yet that the call is over.
            Ok(Some(_)) | Err(allocation::Stray) if matches!(self.phase, Phase::Ending { .. }) => {}
            Ok(Some(_)) => self.counters.unpermitted += 1,
            Err(allocation::Stray) => self.counters.stray += 1,
        }
        self.settle(now);
    }

    /// Runs `work` on the peer, if there is one; a fault ends the leg.
    fn with_peer<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Peer, Instant) -> Result<T, FarFault>,
    ) -> Option<T> {
        let (Phase::Connecting { peer, .. } | Phase::Talking { peer, .. }) = &mut self.phase else {
            return None;
        };
        fastrand::seed(self.rng.next_u64());
        match work(peer, now) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fail(fault, now);
                None
            }
        }
    }

    /// Lets TURN client and WebRTC work until both have nothing more to say.
    fn settle(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            let peer = self.drain_peer(now);
            let turn = self.drive_allocation(now);
            if !peer && !turn {
                return;
            }
        }
    }

    fn drive_allocation(&mut self, now: Instant) -> bool {
        if matches!(self.phase, Phase::Closed) {
            return false;
        }
        // While people talk, a pause costs nothing, and the client's clock need not run further ahead.
        let hurry = !matches!(self.phase, Phase::Talking { .. });
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        self.allocation.drive(
            now,
            hurry,
            |frame| frames.push(frame),
            |event| events.push(event),
        );
        for frame in frames {
            self.send(frame);
        }
        let more = !events.is_empty();
        for event in events {
            self.hear_allocation(event, now);
        }
        more
    }

    fn hear_allocation(&mut self, event: AllocationEvent, now: Instant) {
        match (event, &self.phase) {
            (AllocationEvent::Ready(relay), Phase::Allocating { .. }) => self.allocated(relay, now),
            // Closed before the relay was there: give it back at once.
            (
                AllocationEvent::Ready(_),
                Phase::Ending {
                    deleting: false, ..
                },
            ) => self.delete(now),
            (AllocationEvent::Refused(Some(code)), Phase::Allocating { .. }) => {
                self.fail(FarFault::Allocation { code }, now);
            }
            (AllocationEvent::Refused(None), Phase::Allocating { .. }) => {
                self.fail(FarFault::Timeout, now)
            }
            (AllocationEvent::Permitted(ip), _) => self.permitted(ip, now),
            (AllocationEvent::Forbidden(ip), _) => {
                if self.gate.refused(ip) {
                    self.fail(FarFault::Forbidden, now);
                }
            }
            (AllocationEvent::Gone | AllocationEvent::Refused(_), Phase::Ending { .. }) => {
                self.finish()
            }
            (AllocationEvent::Gone, Phase::Allocating { .. }) => self.fail(FarFault::Timeout, now),
            (
                AllocationEvent::Gone,
                Phase::Ready | Phase::Connecting { .. } | Phase::Talking { .. },
            ) => {
                self.fail(FarFault::ServerGone, now);
            }
            (
                AllocationEvent::Ready(_) | AllocationEvent::Refused(_) | AllocationEvent::Gone,
                _,
            ) => {}
        }
    }

    fn allocated(&mut self, relay: SocketAddr, now: Instant) {
        // A server that hands us our own address as a relay would have us tell it to the other side.
        let own = [
            self.allocation.mapped().map(|mapped| mapped.ip()),
            Some(self.own_ip),
        ];
        let ours = !self.private_relays && own.contains(&Some(relay.ip()));
        let Some(certificate) = self
            .certificate
            .as_ref()
            .filter(|_| !ours && relays::is_usable(relay, self.private_relays))
        else {
            self.fail(FarFault::Relay, now);
            return;
        };
        let local = FarLocal {
            ufrag: self.credentials.ufrag.clone(),
            pwd: self.credentials.pwd.clone(),
            fingerprint: certificate.fingerprint(),
            ssrc: self.ssrc,
            relay,
        };
        self.relay = Some(relay);
        self.gate.set_own(relay);
        self.phase = Phase::Ready;
        self.say(FarEvent::Allocated(local));
        // The other side often uses the same server, and a permission is per address: have it before it is needed.
        self.ask(relay.ip(), now);
    }

    fn ask(&mut self, ip: std::net::IpAddr, now: Instant) {
        if self.gate.must_ask(ip)
            && self.allocation.permit(ip, now).is_err()
            && self.gate.refused(ip)
        {
            self.fail(FarFault::Forbidden, now);
        }
    }

    fn permitted(&mut self, ip: std::net::IpAddr, now: Instant) {
        for (to, bytes) in self.gate.granted(ip) {
            self.wrap(to, bytes, now);
        }
        for relay in self.gate.remotes() {
            if relay.ip() == ip {
                self.bind_if_granted(relay, now);
            }
        }
    }

    fn bind_if_granted(&mut self, relay: SocketAddr, now: Instant) {
        if self.gate.is_granted(relay.ip()) {
            // Refused or there already: packets travel in Send indications then, which is longer, not worse.
            let _ = self.allocation.bind(relay, now);
        }
    }

    fn drain_peer(&mut self, now: Instant) -> bool {
        let (Phase::Connecting { peer, .. } | Phase::Talking { peer, .. }) = &mut self.phase else {
            return false;
        };
        fastrand::seed(self.rng.next_u64());
        let mut said = Vec::new();
        peer.drain(now, |output| said.push(output));
        let more = !said.is_empty();
        // The answer to the other side's farewell comes after the news of it, and must still pass.
        let ended = said
            .iter()
            .any(|output| matches!(output, PeerOutput::Closed));
        for output in said {
            self.hear_peer(output, now);
        }
        if ended {
            self.end(now);
        }
        more
    }

    fn hear_peer(&mut self, output: PeerOutput, now: Instant) {
        match output {
            PeerOutput::Send { from, to, bytes } => match self.gate.judge(from, to, bytes) {
                Verdict::Pass(bytes) => self.wrap(to, bytes, now),
                Verdict::Kept => {}
                Verdict::Unsent => self.counters.unsent += 1,
                Verdict::Misdirected => self.counters.misdirected += 1,
            },
            PeerOutput::Connected => self.connected(now),
            PeerOutput::ControlOpen => self.say(FarEvent::ControlOpen),
            PeerOutput::Rtp(packet) => self.say(FarEvent::Rtp(packet)),
            PeerOutput::Control(bytes) => self.say(FarEvent::Control(bytes)),
            PeerOutput::Failed(fault) => self.fail(fault, now),
            PeerOutput::Closed => {}
        }
    }

    fn connected(&mut self, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Connecting { peer, .. } => {
                self.phase = Phase::Talking {
                    peer,
                    silent_at: now + SILENCE_LIMIT,
                };
                self.say(FarEvent::Connected);
            }
            other => self.phase = other,
        }
    }

    fn wrap(&mut self, to: SocketAddr, bytes: Vec<u8>, now: Instant) {
        match self.allocation.wrap(to, bytes, now) {
            Some(frame) => self.send(frame),
            None => self.counters.unsent += 1,
        }
    }

    fn fail(&mut self, fault: FarFault, now: Instant) {
        if !matches!(self.phase, Phase::Ending { .. } | Phase::Closed) {
            self.say(FarEvent::Failed(fault));
            self.end(now);
        }
    }

    /// Gives the allocation back; the connection is over.
    fn end(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Closed) {
            return;
        }
        let allocating = matches!(self.phase, Phase::Allocating { .. });
        self.gate.shut();
        self.phase = Phase::Ending {
            until: now + DELETION_LIMIT,
            deleting: false,
        };
        if self.allocation.is_gone() {
            self.finish();
        } else if !allocating {
            self.delete(now);
        }
        self.drive_allocation(now);
    }

    fn delete(&mut self, now: Instant) {
        if self.allocation.delete(now) {
            self.phase = Phase::Ending {
                until: now + DELETION_LIMIT,
                deleting: true,
            };
        } else {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.gate.shut();
            self.say(FarEvent::Closed);
        }
    }

    fn say(&mut self, event: FarEvent) {
        self.outputs.push_back(FarOutput::Event(event));
    }

    fn send(&mut self, frame: Vec<u8>) {
        if self.outputs.len() < MAX_OUTPUTS {
            self.outputs.push_back(FarOutput::ToServer(frame));
        } else {
            self.counters.unsent += 1;
        }
    }
}

impl std::fmt::Debug for FarLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FarLeg")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// ICE credentials of one call (RFC 8445 section 5.3).
#[derive(zeroize::ZeroizeOnDrop)]
struct Credentials {
    ufrag: String,
    pwd: String,
}

impl Credentials {
    fn draw(rng: &mut ChaCha20Rng) -> Self {
        Self {
            ufrag: ice_string(UFRAG_LENGTH, rng),
            pwd: ice_string(PWD_LENGTH, rng),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

fn ice_string(length: usize, rng: &mut ChaCha20Rng) -> String {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)]))
        .collect()
}

/// Whether `text` is an ICE credential of at least `least` letters.
fn is_ice(text: &str, least: usize) -> bool {
    (least..=256).contains(&text.len()) && text.bytes().all(|byte| ICE_CHARS.contains(&byte))
}
