//! One way out: an allocation on one TURN server (RFC 8656), with the permissions and channels of its peers. It belongs to no call until
//! a [`FarLeg`](super::FarLeg) takes it, and a leg can change it for another.
//!
//! ```text
//!  Allocating -> Standing -> Releasing -> Gone
//!       \____________\__________/           (lost: the server refuses, or has no allocation of ours any more)
//! ```
//!
//! A way that does not answer a [check](TurnWay::check) is reported as lost, and stands all the same: its server may only be slow, and what
//! still comes through it counts. Its owner decides when to release it.

mod events;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence_turn_framing::{LONGEST_FRAME, TurnFramer};

use super::allocation::Allocation;
use super::config::{FarConfig, TurnTransport};
use super::error::FarLegError;
use super::permissions::{PeerPermissions, SendDecision};
use crate::MediaTimer;

/// How long the TURN server may take for an allocation: four round trips of the slowest path, and several repetitions.
/// The TURN client alone would wait for half a minute.
const ALLOCATION_LIMIT: Duration = Duration::from_secs(4);

/// How long the deletion of the allocation may take before the way is given up without it.
const DELETION_LIMIT: Duration = Duration::from_secs(2);

/// A server that granted a request so lately knows its allocations.
const LATELY: Duration = Duration::from_millis(300);

/// Frames that may wait for [`TurnWay::poll`]. One input makes a handful; further ones are dropped and counted.
const MAX_OUTPUTS: usize = 1024;

/// What the owner of a way has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOutput {
    /// Bytes for the TURN server, the only destination: one datagram, or the next bytes of the stream.
    ToServer(Vec<u8>),
    /// The allocation stands; its relayed address.
    Standing(SocketAddr),
    /// Data from any address that the server lets through.
    From {
        /// Its source.
        peer: SocketAddr,
        /// What it said.
        bytes: Vec<u8>,
    },
    /// The way is of no use any more, or perhaps so: why.
    Lost(FarLegError),
    /// The allocation is released, or never was: the way can be dropped.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayPhase {
    Allocating {
        until: Instant,
    },
    /// `check_until`: the server was asked whether the allocation stands, and must confirm it by then.
    Standing {
        check_until: Option<Instant>,
    },
    Releasing {
        until: Instant,
        deleting: bool,
    },
    Gone,
}

/// An allocation and what goes through it.
///
/// After [`new`](Self::new) and every call that takes the time, call [`poll`](Self::poll) until `None`, then
/// [`next_timeout`](Self::next_timeout).
pub struct TurnWay {
    allow_private_addresses: bool,
    permitted: Vec<IpAddr>,
    own_ip: IpAddr,
    framer: Option<TurnFramer>,
    address: Option<SocketAddr>,
    allocation: Allocation,
    permissions: PeerPermissions,
    /// Whether the pauses of the TURN client are kept: a call runs, so that they cost nothing.
    is_calm: bool,
    phase: WayPhase,
    /// When the server last granted a request.
    answered: Option<Instant>,
    outputs: VecDeque<WayOutput>,
    frames: usize,
    stray: u64,
    unsent: u64,
}

impl TurnWay {
    /// Starts to allocate; the first request comes from the next [`poll`](Self::poll).
    pub fn new(config: FarConfig, now: Instant) -> Self {
        let allocation = Allocation::new(&config, now);
        let mut way = Self {
            allow_private_addresses: config.allow_private_addresses,
            own_ip: config.local.ip(),
            framer: (config.turn.transport == TurnTransport::Stream)
                .then(|| TurnFramer::new(LONGEST_FRAME)),
            address: None,
            allocation,
            permissions: PeerPermissions::default(),
            is_calm: false,
            phase: WayPhase::Allocating {
                until: now + ALLOCATION_LIMIT,
            },
            answered: None,
            outputs: VecDeque::new(),
            frames: 0,
            stray: 0,
            unsent: 0,
            permitted: config.permitted,
        };
        way.drive(now);
        way
    }

    /// Takes a datagram, or the next bytes of the stream, from the TURN server's socket.
    ///
    /// Bytes that are not TURN are counted and dropped. A stream that holds something else than TURN is given up.
    pub fn handle_turn(&mut self, bytes: &[u8], now: Instant) {
        if self.is_gone() {
            return;
        }
        let Some(mut framer) = self.framer.take() else {
            self.receive(bytes, now);
            return;
        };
        framer.push(bytes);
        while let Some(frame) = framer.next_frame() {
            let Ok(frame) = frame else {
                self.handle_turn_closed(now);
                return;
            };
            self.receive(&frame, now);
        }
        self.framer = Some(framer);
    }

    /// The connection to the TURN server ended, or its socket is dead: nothing can be sent any more.
    pub fn handle_turn_closed(&mut self, _now: Instant) {
        self.lose(FarLegError::ServerGone);
        self.finish();
    }

    /// The operating system says that the socket cannot reach the server. It may be wrong soon: `Lost` is all that follows.
    pub fn handle_turn_unreachable(&mut self) {
        self.lose(FarLegError::ServerGone);
    }

    /// Time has passed: call at the latest at [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            WayPhase::Allocating { until } if *until <= now => self.fail(FarLegError::Timeout, now),
            WayPhase::Standing { check_until } if check_until.is_some_and(|until| until <= now) => {
                *check_until = None;
                self.lose(FarLegError::ServerGone);
            }
            WayPhase::Releasing { until, .. } if *until <= now => self.finish(),
            _ => {}
        }
        self.drive(now);
    }

    /// Asks the server whether the allocation still stands: the server may have restarted, or a NAT may have dropped its
    /// mapping (RFC 4787 section 4.3 allows that after two minutes of silence; many wait less). `Lost` follows unless the
    /// server confirms within `limit` and two round trips. Without an allocation, or while such a question is open, this does nothing.
    pub fn check(&mut self, limit: Duration, now: Instant) {
        if let WayPhase::Standing { check_until } = &mut self.phase
            && check_until.is_none()
        {
            *check_until = Some(now + limit + 2 * self.allocation.round_trip());
            self.allocation.refresh_early(now);
            self.drive(now);
        }
    }

    /// Deletes the allocation; the request leaves with the next [`poll`](Self::poll). `Gone` follows when the server has
    /// confirmed, or after two seconds.
    pub fn release(&mut self, now: Instant) {
        let is_allocating = match self.phase {
            WayPhase::Releasing { .. } | WayPhase::Gone => return,
            WayPhase::Allocating { .. } => true,
            WayPhase::Standing { .. } => false,
        };
        self.permissions.shut();
        self.is_calm = false;
        self.phase = WayPhase::Releasing {
            until: now + DELETION_LIMIT,
            deleting: false,
        };
        if self.allocation.is_gone() || !(self.begin_deletion(now) || is_allocating) {
            self.finish();
        }
        self.drive(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<WayOutput> {
        let output = self.outputs.pop_front();
        if matches!(output, Some(WayOutput::ToServer(_))) {
            self.frames -= 1;
        }
        output
    }

    /// The next packet of media, if that is the next thing to do.
    pub(super) fn poll_media(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let next = self.outputs.pop_front_if(
            |output| matches!(output, WayOutput::From { bytes, .. } if is_media(bytes)),
        );
        match next? {
            WayOutput::From { peer, bytes } => Some((peer, bytes)),
            _ => None,
        }
    }

    /// Whether nothing is to be done.
    pub(super) fn is_polled(&self) -> bool {
        self.outputs.is_empty()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_timeout(&self) -> Option<(Instant, MediaTimer)> {
        let own = match self.phase {
            WayPhase::Allocating { until } => Some((until, MediaTimer::AllocationLimit)),
            WayPhase::Standing { check_until } => {
                check_until.map(|at| (at, MediaTimer::CheckLimit))
            }
            WayPhase::Releasing { until, .. } => Some((until, MediaTimer::DeletionLimit)),
            WayPhase::Gone => return None,
        };
        let turn = self.allocation.next_timeout();
        let turn = turn.map(|at| (at, MediaTimer::TurnClient));
        turn.into_iter().chain(own).min_by_key(|(at, _)| *at)
    }

    /// The relayed address, once the allocation stands.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether the server has granted something a moment ago.
    pub(super) fn has_answered_lately(&self, now: Instant) -> bool {
        self.answered.is_some_and(|at| now < at + LATELY)
    }

    /// Whether the allocation stands and is not being released.
    pub fn is_standing(&self) -> bool {
        matches!(self.phase, WayPhase::Standing { .. })
    }

    /// Whether the allocation stands and is not being checked.
    pub fn is_ready(&self) -> bool {
        self.phase == WayPhase::Standing { check_until: None }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.phase == WayPhase::Gone
    }

    pub(super) fn allows_private_addresses(&self) -> bool {
        self.allow_private_addresses
    }

    /// Frames that were no TURN, and packets that could not be sent.
    pub(super) fn losses(&self) -> (u64, u64) {
        (self.stray, self.unsent)
    }

    /// From now on the pauses of the TURN client cost nothing, and its clock need not run further ahead.
    pub(super) fn be_calm(&mut self) {
        self.is_calm = true;
    }

    /// What came through the allocation proves that it stands.
    pub(super) fn note_alive(&mut self) {
        if self.is_standing() {
            self.phase = WayPhase::Standing { check_until: None };
        }
    }

    /// Lets packets of `peer` pass, and gives it a channel.
    pub(super) fn open(&mut self, peer: SocketAddr, now: Instant) {
        self.permissions.open(peer);
        self.request_permission(peer.ip(), now);
        self.bind_if_granted(peer, now);
        self.drive(now);
    }

    /// Requests a permission for `ip`, unless there is one.
    pub(super) fn permit(&mut self, ip: IpAddr, now: Instant) {
        self.request_permission(ip, now);
        self.drive(now);
    }

    /// Sends to a peer, or keeps the packet until the permission is granted; false if it is lost.
    pub(super) fn send_to(&mut self, to: SocketAddr, bytes: Vec<u8>, now: Instant) -> bool {
        if !self.is_standing() {
            self.unsent += 1;
            return false;
        }
        match self.permissions.decide(to, bytes) {
            SendDecision::Pass(bytes) => self.wrap(to, bytes, now),
            SendDecision::Kept => {}
            SendDecision::Unsent => {
                self.unsent += 1;
                return false;
            }
        }
        true
    }

    /// The frame that carries media to a peer; the packet itself where it has to be [sent](Self::send_to) another way.
    pub(super) fn wrap_media(&self, to: SocketAddr, packet: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        match self.is_standing() {
            true => self.allocation.channels().wrap(to, packet),
            false => Err(packet),
        }
    }

    /// The allocation that was to stand does not.
    fn fail(&mut self, error: FarLegError, now: Instant) {
        self.lose(error);
        self.release(now);
    }

    fn lose(&mut self, error: FarLegError) {
        if matches!(
            self.phase,
            WayPhase::Allocating { .. } | WayPhase::Standing { .. }
        ) {
            self.outputs.push_back(WayOutput::Lost(error));
        }
    }

    /// Asks the server to delete the allocation; false if there is none.
    fn begin_deletion(&mut self, now: Instant) -> bool {
        let deleting = self.allocation.delete(now);
        if deleting {
            self.phase = WayPhase::Releasing {
                until: now + DELETION_LIMIT,
                deleting,
            };
        }
        deleting
    }

    fn finish(&mut self) {
        if !self.is_gone() {
            self.phase = WayPhase::Gone;
            self.permissions.shut();
            self.outputs.push_back(WayOutput::Gone);
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        if self.frames < MAX_OUTPUTS {
            self.frames += 1;
            self.outputs.push_back(WayOutput::ToServer(frame));
        } else {
            self.unsent += 1;
        }
    }
}

/// Whether data of a peer is RTP or RTCP, sealed or not, by its first byte (RFC 9443 section 3).
pub(super) fn is_media(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(128..=191))
}

impl std::fmt::Debug for TurnWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnWay")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
