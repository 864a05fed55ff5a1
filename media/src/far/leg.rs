//! One far leg as its owner sees it: what it can be told, and in which phase it is.
//!
//! What follows from that is in `course`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

use super::allocation::Allocation;
use super::credentials::{Credentials, is_password, is_ufrag};
use super::dtls::Certificate;
use super::early_checks::Early;
use super::peer::Peer;
use super::permissions::Gate;
use super::relayed_addresses;
use super::setup::PeerTerms;
use super::stream::StreamCutter;
use super::terms::{
    FarConfig, FarCounters, FarError, FarEvent, FarFault, FarOutput, Role, RtpPacket, TurnTransport,
};
use crate::description::Description;

/// How long the TURN server may take for an allocation: four round trips of the slowest path, and several repetitions.
/// The TURN client alone would wait for half a minute.
const ALLOCATION_LIMIT: Duration = Duration::from_secs(4);

/// How long the TURN server may take to confirm an allocation: four transmissions of a request.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// How long ICE and DTLS may take. Covers an answer that takes seconds to reach the caller.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// One side of a call between two engines.
///
/// After every `handle_*`, [`connect`](Self::connect), [`write_rtp`](Self::write_rtp),
/// [`send_control`](Self::send_control) and [`close`](Self::close), call [`poll`](Self::poll) until `None`, then
/// [`next_alarm`](Self::next_alarm).
pub struct FarLeg {
    pub(super) private_relays: bool,
    pub(super) own_ip: IpAddr,
    pub(super) stream: Option<StreamCutter>,
    pub(super) rng: ChaCha20Rng,
    pub(super) credentials: Credentials,
    pub(super) certificate: Option<Certificate>,
    pub(super) ssrc: u32,
    pub(super) video_ssrc: u32,
    pub(super) relay: Option<SocketAddr>,
    pub(super) allocation: Allocation,
    pub(super) gate: Gate,
    pub(super) early: Early,
    pub(super) phase: Phase,
    pub(super) outputs: VecDeque<FarOutput>,
    pub(super) counters: FarCounters,
}

#[derive(Debug)]
pub(super) enum Phase {
    Allocating {
        until: Instant,
    },
    /// `doubt`: the server has been asked whether the allocation stands, and must say so until then.
    Ready {
        doubt: Option<Instant>,
    },
    Connecting {
        peer: Box<Peer>,
        until: Instant,
    },
    Talking {
        peer: Box<Peer>,
        silent_at: Instant,
    },
    Ending {
        until: Instant,
        deleting: bool,
    },
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
        // Another one than the sound's, whatever is drawn.
        let video_ssrc = ssrc.wrapping_add(rng.next_u32() | 1);
        let mut leg = Self {
            private_relays: config.private_relays,
            own_ip: config.local.ip(),
            stream: (config.turn.transport == TurnTransport::Stream).then(StreamCutter::default),
            rng,
            credentials,
            certificate: Certificate::generate(),
            ssrc,
            video_ssrc,
            relay: None,
            allocation: Allocation::new(&config, now),
            gate: Gate::default(),
            early: Early::default(),
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
            Phase::Ready { doubt: Some(until) } if *until <= now => {
                self.fail(FarFault::ServerGone, now);
            }
            Phase::Connecting { until, .. } if *until <= now => self.fail(FarFault::Ice, now),
            Phase::Talking { silent_at, .. } if *silent_at <= now => self.fail(FarFault::Ice, now),
            Phase::Ending { until, .. } if *until <= now => self.finish(),
            _ => {}
        }
        self.with_peer(now, |peer, now| peer.handle_timeout(now));
        self.settle(now);
    }

    /// Asks the server whether the allocation of a waiting leg still stands: a server may have restarted, and a mapping
    /// of a NAT may be lost or is about to be (RFC 4787 section 4.3 allows that after two minutes of silence; many take
    /// less). `Failed` follows unless the server says yes in time. In every other state this does nothing.
    pub fn check(&mut self, now: Instant) {
        if let Phase::Ready { doubt } = &mut self.phase
            && doubt.is_none()
        {
            *doubt = Some(now + CHECK_LIMIT);
            self.allocation.refresh_early(now);
            self.settle(now);
        }
    }

    /// Whether the leg waits to be connected, and nothing speaks against its allocation.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { doubt: None })
    }

    /// Connects to the other engine, in the given role: a leg may have been allocated before
    /// anybody knew which. The other's relays must be literal, unicast, at most [`MAX_RELAYS`](super::MAX_RELAYS), and public unless
    /// the configuration allows private ones.
    ///
    /// # Errors
    /// When the leg is not `Ready` or the description is not acceptable; nothing has changed then. What goes
    /// wrong later is said by `Failed`.
    pub fn connect(
        &mut self,
        remote: &Description,
        role: Role,
        now: Instant,
    ) -> Result<(), FarError> {
        let (Phase::Ready { .. }, Some(relay), Some(certificate)) =
            (&self.phase, self.relay, &self.certificate)
        else {
            return Err(FarError::NotNow);
        };
        if !is_ufrag(&remote.ufrag) || !is_password(&remote.pwd) {
            return Err(FarError::Credentials);
        }
        let theirs = [
            Some(remote.ssrc),
            remote.video.as_ref().map(|video| video.ssrc),
        ];
        let is_ours = |ssrc: &u32| *ssrc == self.ssrc || *ssrc == self.video_ssrc;
        if theirs.iter().flatten().any(is_ours) || theirs[0] == theirs[1] {
            return Err(FarError::SameStream);
        }
        let remote_relays = relayed_addresses::accept(&remote.relays, relay, self.private_relays)?;
        fastrand::seed(self.rng.next_u64());
        let peer = Peer::new(
            &PeerTerms {
                role,
                ufrag: &self.credentials.ufrag,
                pwd: &self.credentials.pwd,
                certificate,
                ssrc: self.ssrc,
                video_ssrc: self.video_ssrc,
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
                for relay in &remote_relays {
                    self.ask(relay.ip(), now);
                    self.bind_if_granted(*relay, now);
                }
                for (from, bytes) in self.early.take(&remote_relays, now) {
                    self.with_peer(now, |peer, now| peer.receive(from, &bytes, now));
                }
                self.settle(now);
            }
            Err(fault) => self.fail(fault, now),
        }
        Ok(())
    }

    /// Sends one packet of sound or moving pictures; it leaves with the next [`poll`](Self::poll). Before `Connected` it is dropped and
    /// counted: sound that is late is worth nothing.
    pub fn write_rtp(&mut self, packet: RtpPacket, now: Instant) {
        if self.with_peer(now, |peer, now| peer.write_rtp(packet, now)) == Some(true) {
            self.settle(now);
        } else {
            self.counters.unsent += 1;
        }
    }

    /// Asks the other side for a whole picture. Without moving pictures in the call nothing happens.
    pub fn want_picture(&mut self, now: Instant) {
        if self.with_peer(now, |peer, now| peer.want_picture(now)) == Some(true) {
            self.settle(now);
        }
    }

    /// Sends a message of at most [`MAX_CONTROL`](super::MAX_CONTROL) bytes on the data channel; false if that is not open.
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
            Phase::Ready { doubt } => doubt.map(|at| (at, "check limit")),
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
}

impl std::fmt::Debug for FarLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FarLeg")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
