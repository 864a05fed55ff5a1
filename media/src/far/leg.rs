//! One far leg as its owner sees it: its inputs, its outputs, its timeouts and its phase.
//!
//! What an input leads to is in `driver`, and for packets of media in `media_path`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

use super::config::Role;
use super::credentials::{IceCredentials, is_password, is_ufrag};
use super::datagrams::{self, DatagramBudget};
use super::dtls::CallCertificate;
use super::early_packets::EarlyPackets;
use super::error::{FarConnectError, FarLegError};
use super::event::{FarCounters, FarOutput};
use super::held::HeldPackets;
use super::peer::WebRtcPeer;
use super::presumed::PresumedPath;
use super::relayed_addresses;
use super::remotes::{MoveBudget, Remotes};
use super::search::WaySearch;
use super::setup::PeerSetup;
use super::way::TurnWay;
use crate::MediaTimer;
use crate::description::Description;

/// How long the TURN server may take to confirm the allocation of a waiting leg: four transmissions of a request.
pub const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// How long ICE and DTLS may take. Covers an answer that takes seconds to reach the caller.
pub(super) const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// One side of the WebRTC connection between two engines.
///
/// After every `handle_*`, [`connect`](Self::connect), [`write_rtp`](Self::write_rtp),
/// [`send_control`](Self::send_control) and [`close`](Self::close), call [`poll`](Self::poll) until `None`, then
/// [`next_timeout`](Self::next_timeout).
pub struct FarLeg {
    pub(super) way: TurnWay,
    pub(super) rng: ChaCha20Rng,
    pub(super) credentials: IceCredentials,
    /// Until the connection begins.
    pub(super) certificate: Option<CallCertificate>,
    pub(super) ssrc: u32,
    pub(super) video_ssrc: u32,
    /// Our own relayed addresses in this call.
    pub(super) own: Vec<SocketAddr>,
    pub(super) moves: MoveBudget,
    pub(super) remotes: Remotes,
    pub(super) early_packets: EarlyPackets,
    pub(super) datagrams: DatagramBudget,
    pub(super) phase: LegPhase,
    pub(super) outputs: VecDeque<FarOutput>,
    pub(super) held: HeldPackets,
    pub(super) counters: FarCounters,
}

#[derive(Debug)]
pub(super) enum LegPhase {
    /// For an allocation, and then for the other side.
    Waiting {
        /// Whether another way out is wanted.
        is_lost: bool,
    },
    Connecting {
        peer: Box<WebRtcPeer>,
        search: WaySearch,
        until: Instant,
        presumed: Option<PresumedPath>,
    },
    Talking {
        peer: Box<WebRtcPeer>,
        search: WaySearch,
    },
    /// The allocation is being released.
    Ending,
    Closed,
}

impl FarLeg {
    /// Takes a way out, whose allocation may stand already or still be requested; `Allocated` follows.
    ///
    /// `seed` must be fresh and secret: ICE credentials, SSRCs and the lesser identifiers come from it.
    pub fn new(way: TurnWay, mut seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        let credentials = IceCredentials::draw(&mut rng);
        let ssrc = rng.next_u32();
        // An odd distance, so that it always differs from the audio's.
        let video_ssrc = ssrc.wrapping_add(rng.next_u32() | 1);
        let address = way.address().filter(|_| way.is_standing());
        let mut leg = Self {
            way,
            rng,
            credentials,
            certificate: CallCertificate::generate(),
            ssrc,
            video_ssrc,
            own: Vec::new(),
            moves: MoveBudget::default(),
            remotes: Remotes::default(),
            early_packets: EarlyPackets::default(),
            datagrams: DatagramBudget::default(),
            phase: LegPhase::Waiting { is_lost: false },
            outputs: VecDeque::new(),
            held: HeldPackets::default(),
            counters: FarCounters::default(),
        };
        if let Some(address) = address {
            leg.allocated(address, now);
        }
        leg.drive(now);
        leg
    }

    /// Takes a datagram, or the next bytes of the stream, from the TURN server's socket.
    ///
    /// Bytes that are not TURN, or not from the other side's relayed address, are counted and dropped. A stream that holds
    /// something else than TURN ends the leg.
    pub fn handle_turn(&mut self, bytes: &[u8], now: Instant) {
        self.way.handle_turn(bytes, now);
        if !self.take_media(now) {
            self.drive(now);
        }
    }

    /// The connection to the TURN server ended: nothing can be sent any more. A running call waits for another way.
    pub fn handle_turn_closed(&mut self, now: Instant) {
        self.way.handle_turn_closed(now);
        self.drive(now);
    }

    /// The operating system says that the TURN server's socket cannot reach the server.
    pub fn handle_turn_unreachable(&mut self, now: Instant) {
        self.way.handle_turn_unreachable();
        self.drive(now);
    }

    /// Time has passed: call at the latest at [`next_timeout`](Self::next_timeout). Before that it costs next to nothing: a bridge has a
    /// timeout of its own for each frame.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|(at, _)| now < at) {
            return;
        }
        match &self.phase {
            LegPhase::Connecting { until, .. } if *until <= now => self.fail(FarLegError::Ice, now),
            _ => {}
        }
        self.way.handle_timeout(now);
        self.search(now);
        self.poll_reports(now);
        self.with_peer(now, |peer, now| match peer.next_timeout() {
            Some(at) if at <= now => peer.handle_timeout(now),
            _ => Ok(()),
        });
        self.drive(now);
    }

    /// Asks the server whether the allocation of a waiting leg still stands, as [`TurnWay::check`] does. `WayLost` follows
    /// unless the server confirms within three seconds. In every other state this does nothing.
    pub fn check(&mut self, now: Instant) {
        if self.is_waiting() {
            self.way.check(CHECK_LIMIT, now);
            self.drive(now);
        }
    }

    /// The way out, for another use of a leg that waits.
    pub fn into_way(self) -> TurnWay {
        self.way
    }

    /// Whether the leg has an allocation and waits to be connected.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, LegPhase::Waiting { .. }) && self.way.is_standing()
    }

    /// Whether the leg waits to be connected and its allocation is not being checked.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, LegPhase::Waiting { is_lost: false }) && self.way.is_ready()
    }

    /// Connects to the other engine, in the given role, which may be unknown when the leg is made. The other's relayed
    /// addresses must be unicast, at most [`MAX_RELAYED_ADDRESSES`](crate::description::MAX_RELAYED_ADDRESSES), and public
    /// unless the configuration allows private ones.
    ///
    /// # Errors
    /// When the leg does not wait or the description is not acceptable; nothing has changed then. Later errors come as
    /// `Failed`.
    pub fn connect(
        &mut self,
        remote: &Description,
        role: Role,
        now: Instant,
    ) -> Result<(), FarConnectError> {
        // A way that was lost meanwhile may come back, or is changed for another.
        let (LegPhase::Waiting { is_lost }, Some(relayed_address), Some(certificate)) =
            (&self.phase, self.own.last().copied(), &self.certificate)
        else {
            return Err(FarConnectError::NotNow);
        };
        if !is_ufrag(&remote.ufrag) || !is_password(&remote.pwd) {
            return Err(FarConnectError::Credentials);
        }
        let theirs = [
            Some(remote.ssrc),
            remote.video.as_ref().map(|video| video.ssrc),
        ];
        let is_ours = |ssrc: &u32| *ssrc == self.ssrc || *ssrc == self.video_ssrc;
        if theirs.iter().flatten().any(is_ours) || theirs[0] == theirs[1] {
            return Err(FarConnectError::SsrcInUse);
        }
        let remote_addresses = relayed_addresses::accept(
            &remote.relayed_addresses,
            relayed_address,
            self.way.allows_private_addresses(),
        )?;
        let (is_lost, is_fresh) = (*is_lost, self.way.has_answered_lately(now));
        fastrand::seed(self.rng.next_u64());
        let peer = WebRtcPeer::new(
            &PeerSetup {
                role,
                ufrag: &self.credentials.ufrag,
                pwd: &self.credentials.pwd,
                certificate,
                ssrc: self.ssrc,
                video_ssrc: self.video_ssrc,
                relayed_address,
                nth: self.own.len() - 1,
                seed: self.rng.next_u64(),
                remote,
                remote_addresses: &remote_addresses,
            },
            now,
        );
        match peer {
            Ok(peer) => {
                // The connection has its own copy.
                self.certificate = None;
                self.phase = LegPhase::Connecting {
                    peer: Box::new(peer),
                    search: WaySearch::before_contact((is_lost, is_fresh), role, now),
                    until: now + CONNECTION_LIMIT,
                    presumed: PresumedPath::new(&remote_addresses, &remote.pwd),
                };
                for address in &remote_addresses {
                    self.way.open(*address, now);
                }
                for (from, bytes) in self.early_packets.take(&remote_addresses, now) {
                    self.with_peer(now, |peer, now| peer.receive(from, &bytes, now));
                }
                self.remotes.open(&remote_addresses, now);
                self.search(now);
                self.drive(now);
            }
            Err(error) => self.fail(error, now),
        }
        Ok(())
    }

    /// Sends a message of at most [`MAX_CONTROL`](super::MAX_CONTROL) bytes on the data channel; false if that is not open.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) -> bool {
        let sent = self.with_peer(now, |peer, now| peer.send_control(bytes, now)) == Some(true);
        self.drive(now);
        sent
    }

    /// Sends a datagram of [`DATAGRAM_LEN`](super::DATAGRAM_LEN) bytes to a relayed address, whether or not it is the other
    /// side's of a connection; and to the address at which the other side was heard last, if that is another: it has moved. It waits for its
    /// permission, if the server has to be asked for that. False if it cannot leave.
    pub fn send_datagram(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        let usable = relayed_addresses::is_usable(to, self.way.allows_private_addresses());
        if !(self.way.is_standing() && usable && datagrams::is_datagram(bytes)) {
            return false;
        }
        self.way.permit(to.ip(), now);
        let leaves = self.way.send_to(to, bytes.to_vec(), now);
        if let Some(moved) = self.remotes.heard_last().filter(|last| *last != to) {
            self.way.send_to(moved, bytes.to_vec(), now);
        }
        self.drive(now);
        leaves
    }

    /// Ends the leg: the close messages to the other side and the deletion of the allocation leave with the next
    /// [`poll`](Self::poll). `Closed` follows when the server has confirmed, or after two seconds.
    pub fn close(&mut self, now: Instant) {
        if matches!(self.phase, LegPhase::Ending | LegPhase::Closed) {
            return;
        }
        self.leave_session(now);
        self.with_peer(now, |peer, now| {
            peer.close(now);
            Ok(())
        });
        self.poll_peer(now);
        self.end(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<FarOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_timeout(&self) -> Option<(Instant, MediaTimer)> {
        let (own, peer) = match &self.phase {
            LegPhase::Waiting { .. } | LegPhase::Ending => (None, None),
            LegPhase::Connecting {
                peer,
                search,
                until,
                ..
            } => {
                let limit = (*until, MediaTimer::ConnectionLimit);
                let search = (search.next_timeout(), MediaTimer::Silence);
                let first = if search.0 < limit.0 { search } else { limit };
                (Some(first), Some(peer))
            }
            LegPhase::Talking { peer, search } => (
                Some((search.next_timeout(), MediaTimer::Silence)),
                Some(peer),
            ),
            LegPhase::Closed => return None,
        };
        let report = peer.and_then(|peer| peer.report_at());
        let report = report.map(|at| (at, MediaTimer::RtcpReport));
        let peer = peer.and_then(|peer| peer.next_timeout());
        let peer = peer.map(|at| (at, MediaTimer::WebRtc));
        let times = [self.way.next_timeout(), own, report, peer];
        times.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The packets refused so far.
    pub fn counters(&self) -> FarCounters {
        let (stray, unsent) = self.way.losses();
        FarCounters {
            stray: self.counters.stray + stray,
            unsent: self.counters.unsent + unsent,
            ..self.counters
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
