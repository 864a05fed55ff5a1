//! Drives a far leg: polls the TURN client and the WebRTC peer in turns after every input, and carries out what their
//! events mean for the leg.
//!
//! Both are polled until neither has output left, so that nothing waits for a timer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::MAX_CONTROL;
use super::allocation::{AllocationEvent, Stray};
use super::datagrams;
use super::error::FarLegError;
use super::event::{FarEvent, FarOutput};
use super::leg::{FarLeg, LegPhase};
use super::peer::{PeerOutput, WebRtcPeer};
use super::permissions::SendDecision;
use super::relayed_addresses;
use crate::description::LocalEndpoint;

/// How long the other side may be silent. It sends media all the time, and RTCP and ICE checks beside it.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How long the deletion of the allocation may take before the leg is closed without it.
const DELETION_LIMIT: Duration = Duration::from_secs(2);

/// Outputs that may wait for [`FarLeg::poll`]. One input makes a handful; beyond the limit packets are dropped and
/// counted, events are kept.
const MAX_OUTPUTS: usize = 1024;

/// Rounds between TURN client and WebRTC after one input; two are normal.
const MAX_ROUNDS: usize = 16;

impl FarLeg {
    /// One frame from the TURN server.
    pub(super) fn receive(&mut self, frame: &[u8], now: Instant) {
        match self.allocation.receive(frame, now) {
            Ok(Some(data)) if datagrams::is_datagram(data.data()) && self.has_allocation() => {
                if self.datagrams.admit(now) {
                    self.emit(FarEvent::Datagram(data.data().to_vec()));
                } else {
                    self.counters.datagrams += 1;
                }
            }
            Ok(Some(data)) if self.permissions.admits(data.peer) => {
                let (from, bytes) = (data.peer, data.data());
                if let LegPhase::Talking { silent_at, .. } = &mut self.phase {
                    *silent_at = now + SILENCE_LIMIT;
                }
                if self.with_peer(now, |peer, now| peer.receive(from, bytes, now)) == Some(false) {
                    self.counters.stray += 1;
                }
            }
            Ok(None) => {}
            // The other side may not have learnt yet that the call is over.
            Ok(Some(_)) | Err(Stray) if matches!(self.phase, LegPhase::Ending { .. }) => {}
            Ok(Some(data)) => {
                if matches!(self.phase, LegPhase::Ready { .. }) {
                    self.early_checks.keep(data.peer, data.data(), now);
                }
                self.counters.unpermitted += 1;
            }
            Err(Stray) => self.counters.stray += 1,
        }
        self.drive(now);
    }

    /// Whether an allocation stands that is not being given back.
    pub(super) fn has_allocation(&self) -> bool {
        matches!(
            self.phase,
            LegPhase::Ready { .. } | LegPhase::Connecting { .. } | LegPhase::Talking { .. }
        )
    }

    /// Runs `work` on the peer, if there is one; an error ends the leg.
    pub(super) fn with_peer<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut WebRtcPeer, Instant) -> Result<T, FarLegError>,
    ) -> Option<T> {
        let (LegPhase::Connecting { peer, .. } | LegPhase::Talking { peer, .. }) = &mut self.phase
        else {
            return None;
        };
        fastrand::seed(self.rng.next_u64());
        match work(peer, now) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error, now);
                None
            }
        }
    }

    /// Polls TURN client and peer in turns until both have no output left.
    pub(super) fn drive(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            let from_peer = self.poll_peer(now);
            let from_turn = self.poll_allocation(now);
            if !from_peer && !from_turn {
                return;
            }
        }
    }

    fn poll_allocation(&mut self, now: Instant) -> bool {
        if matches!(self.phase, LegPhase::Closed) {
            return false;
        }
        // During the call a pause costs nothing, and the client's clock need not run further ahead.
        let hurry = !matches!(self.phase, LegPhase::Talking { .. });
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        self.allocation.poll(
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
            self.handle_allocation(event, now);
        }
        more
    }

    fn handle_allocation(&mut self, event: AllocationEvent, now: Instant) {
        match (event, &self.phase) {
            (AllocationEvent::Ready(address), LegPhase::Allocating { .. }) => {
                self.allocated(address, now)
            }
            // The leg was closed before the allocation stood: delete it at once.
            (
                AllocationEvent::Ready(_),
                LegPhase::Ending {
                    deleting: false, ..
                },
            ) => {
                if !self.begin_deletion(now) {
                    self.finish();
                }
            }
            (AllocationEvent::Refused(Some(code)), LegPhase::Allocating { .. }) => {
                self.fail(FarLegError::Allocation { code }, now);
            }
            (AllocationEvent::Refused(None), LegPhase::Allocating { .. }) => {
                self.fail(FarLegError::Timeout, now)
            }
            (AllocationEvent::Permitted(ip), _) => self.permitted(ip, now),
            (AllocationEvent::Forbidden(ip), _) => {
                if self.permissions.refused(ip) {
                    self.fail(FarLegError::Forbidden, now);
                }
            }
            (AllocationEvent::Gone | AllocationEvent::Refused(_), LegPhase::Ending { .. }) => {
                self.finish()
            }
            (AllocationEvent::Gone, LegPhase::Allocating { .. }) => {
                self.fail(FarLegError::Timeout, now)
            }
            (
                AllocationEvent::Gone,
                LegPhase::Ready { .. } | LegPhase::Connecting { .. } | LegPhase::Talking { .. },
            ) => {
                self.fail(FarLegError::ServerGone, now);
            }
            (AllocationEvent::Confirmed, LegPhase::Ready { .. }) => {
                self.phase = LegPhase::Ready { check_until: None };
            }
            (
                AllocationEvent::Ready(_)
                | AllocationEvent::Refused(_)
                | AllocationEvent::Confirmed
                | AllocationEvent::Gone,
                _,
            ) => {}
        }
    }

    fn allocated(&mut self, address: SocketAddr, now: Instant) {
        let Some(certificate) = &self.certificate else {
            self.fail(FarLegError::Dtls, now);
            return;
        };
        // A server that gives us our own address as the relayed one would make us disclose it to the other side.
        let mapped = self.allocation.mapped().map(|mapped| mapped.ip());
        let is_ours = address.ip() == self.own_ip || Some(address.ip()) == mapped;
        if !relayed_addresses::is_usable(address, self.allow_private_addresses)
            || (is_ours && !self.allow_private_addresses)
        {
            self.fail(FarLegError::RelayedAddress, now);
            return;
        }
        let local = LocalEndpoint {
            ufrag: self.credentials.ufrag.clone(),
            pwd: self.credentials.pwd.clone(),
            fingerprint: certificate.fingerprint(),
            ssrc: self.ssrc,
            video_ssrc: self.video_ssrc,
            relayed_address: address,
        };
        self.relayed_address = Some(address);
        self.permissions.set_own(address);
        self.phase = LegPhase::Ready { check_until: None };
        self.emit(FarEvent::Allocated(local));
        // The other side often uses the same server, and a permission is per address: have it before it is needed.
        self.request_permission(address.ip(), now);
        for ip in std::mem::take(&mut self.permitted) {
            if ip.is_ipv4() == address.is_ipv4() {
                self.request_permission(ip, now);
            }
        }
    }

    pub(super) fn request_permission(&mut self, ip: IpAddr, now: Instant) {
        if self.permissions.must_request(ip)
            && self.allocation.permit(ip, now).is_err()
            && self.permissions.refused(ip)
        {
            self.fail(FarLegError::Forbidden, now);
        }
    }

    fn permitted(&mut self, ip: IpAddr, now: Instant) {
        for (to, bytes) in self.permissions.granted(ip) {
            self.wrap(to, bytes, now);
        }
        for remote in self.permissions.remotes() {
            if remote.ip() == ip {
                self.bind_if_granted(remote, now);
            }
        }
    }

    pub(super) fn bind_if_granted(&mut self, remote: SocketAddr, now: Instant) {
        if self.permissions.is_granted(remote.ip()) {
            // An error means that it is refused or bound already; without a channel, packets travel in Send indications.
            self.allocation.bind(remote, now).ok();
        }
    }

    pub(super) fn poll_peer(&mut self, now: Instant) -> bool {
        let (LegPhase::Connecting { peer, .. } | LegPhase::Talking { peer, .. }) = &mut self.phase
        else {
            return false;
        };
        fastrand::seed(self.rng.next_u64());
        let mut outputs = Vec::new();
        peer.poll(now, |output| outputs.push(output));
        let more = !outputs.is_empty();
        // The leg ends after all packets: the reply to the other side's close_notify comes behind the event, and must
        // still leave.
        let ended = outputs
            .iter()
            .any(|output| matches!(output, PeerOutput::Event(FarEvent::Closed)));
        for output in outputs {
            self.handle_peer(output, now);
        }
        if ended {
            self.end(now);
        }
        more
    }

    fn handle_peer(&mut self, output: PeerOutput, now: Instant) {
        match output {
            PeerOutput::Send { from, to, bytes } => {
                let decision = self.permissions.decide(from, to, bytes);
                self.carry_out(decision, to, now);
            }
            PeerOutput::Event(FarEvent::Connected) => self.connected(now),
            PeerOutput::Event(FarEvent::Failed(error)) => self.fail(error, now),
            PeerOutput::Event(FarEvent::Closed) => {}
            // SCTP refuses longer messages today; the limit must not depend on a setting of the library.
            PeerOutput::Event(FarEvent::Control(bytes)) if bytes.len() > MAX_CONTROL => {
                self.counters.overlong += 1;
            }
            PeerOutput::Event(event) => self.emit(event),
        }
    }

    /// Does what was decided about a packet; false if it is lost.
    pub(super) fn carry_out(
        &mut self,
        decision: SendDecision,
        to: SocketAddr,
        now: Instant,
    ) -> bool {
        let leaves = matches!(decision, SendDecision::Pass(_) | SendDecision::Kept);
        match decision {
            SendDecision::Pass(bytes) => self.wrap(to, bytes, now),
            SendDecision::Kept => {}
            SendDecision::Unsent => self.counters.unsent += 1,
            SendDecision::Misdirected => self.counters.misdirected += 1,
        }
        leaves
    }

    fn connected(&mut self, now: Instant) {
        match std::mem::replace(&mut self.phase, LegPhase::Closed) {
            LegPhase::Connecting { peer, .. } => {
                self.phase = LegPhase::Talking {
                    peer,
                    silent_at: now + SILENCE_LIMIT,
                };
                self.emit(FarEvent::Connected);
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

    pub(super) fn fail(&mut self, error: FarLegError, now: Instant) {
        if !matches!(self.phase, LegPhase::Ending { .. } | LegPhase::Closed) {
            self.emit(FarEvent::Failed(error));
            self.end(now);
        }
    }

    /// Deletes the allocation; the connection is over.
    pub(super) fn end(&mut self, now: Instant) {
        if matches!(self.phase, LegPhase::Ending { .. } | LegPhase::Closed) {
            return;
        }
        let allocating = matches!(self.phase, LegPhase::Allocating { .. });
        self.permissions.shut();
        self.phase = LegPhase::Ending {
            until: now + DELETION_LIMIT,
            deleting: false,
        };
        if self.allocation.is_gone() || !(self.begin_deletion(now) || allocating) {
            self.finish();
        }
        self.poll_allocation(now);
    }

    /// Asks the server to delete the allocation; false if there is none.
    fn begin_deletion(&mut self, now: Instant) -> bool {
        let deleting = self.allocation.delete(now);
        if deleting {
            self.phase = LegPhase::Ending {
                until: now + DELETION_LIMIT,
                deleting,
            };
        }
        deleting
    }

    pub(super) fn finish(&mut self) {
        if !matches!(self.phase, LegPhase::Closed) {
            self.phase = LegPhase::Closed;
            self.permissions.shut();
            self.emit(FarEvent::Closed);
        }
    }

    pub(super) fn emit(&mut self, event: FarEvent) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};

    #[test]
    fn a_control_message_beyond_the_limit_is_counted_and_not_handed_on() {
        let now = crate::some_time();
        let config = FarConfig {
            turn: TurnAccess {
                addr: ([203, 0, 113, 1], 3478).into(),
                transport: TurnTransport::Udp,
                username: "user".to_owned(),
                password: TurnPassword::new("password".to_owned()),
            },
            local: ([192, 0, 2, 1], 40_000).into(),
            allow_private_addresses: false,
            permitted: Vec::new(),
        };
        let mut leg = FarLeg::new(config, [7; 32], now);
        while leg.poll().is_some() {}
        leg.handle_peer(
            PeerOutput::Event(FarEvent::Control(vec![0; MAX_CONTROL + 1])),
            now,
        );
        assert!(leg.poll().is_none());
        assert_eq!(leg.counters().overlong, 1);
        let longest = vec![0; MAX_CONTROL];
        leg.handle_peer(PeerOutput::Event(FarEvent::Control(longest.clone())), now);
        let output = leg.poll();
        assert!(
            matches!(output, Some(FarOutput::Event(FarEvent::Control(bytes))) if bytes == longest)
        );
        assert_eq!(leg.counters().overlong, 1);
    }
}
