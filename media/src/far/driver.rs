//! The course of a far leg: what it does about what the TURN server, WebRTC and the clock have to say.
//!
//! Every input ends in `settle`: TURN client and WebRTC are drained in turns until both are quiet, so that nothing
//! waits for a timer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::MAX_CONTROL;
use super::allocation::{AllocationEvent, Stray};
use super::leg::{FarLeg, Phase};
use super::peer::{Peer, PeerOutput};
use super::permissions::Verdict;
use super::relayed_addresses;
use super::terms::{FarEvent, FarFault, FarLocal, FarOutput};

/// How long the other side may be silent. It sends sound all the time, and RTCP and ICE checks beside it.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How long the deletion of the allocation may take before the leg is closed without it.
const DELETION_LIMIT: Duration = Duration::from_secs(2);

/// Outputs that may wait for [`FarLeg::poll`]. One input makes a handful; when full, packets are dropped and counted,
/// events are kept.
const MAX_OUTPUTS: usize = 1024;

/// Rounds between TURN client and WebRTC after one input; two are normal.
const MAX_ROUNDS: usize = 16;

impl FarLeg {
    /// One frame from the TURN server.
    pub(super) fn receive(&mut self, frame: &[u8], now: Instant) {
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
            Ok(Some(_)) | Err(Stray) if matches!(self.phase, Phase::Ending { .. }) => {}
            Ok(Some(data)) => {
                if matches!(self.phase, Phase::Ready { .. }) {
                    self.early.keep(data.peer, data.data(), now);
                }
                self.counters.unpermitted += 1;
            }
            Err(Stray) => self.counters.stray += 1,
        }
        self.settle(now);
    }

    /// Runs `work` on the peer, if there is one; a fault ends the leg.
    pub(super) fn with_peer<T>(
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
    pub(super) fn settle(&mut self, now: Instant) {
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
            ) => {
                if !self.begin_deletion(now) {
                    self.finish();
                }
            }
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
                Phase::Ready { .. } | Phase::Connecting { .. } | Phase::Talking { .. },
            ) => {
                self.fail(FarFault::ServerGone, now);
            }
            (AllocationEvent::Confirmed, Phase::Ready { .. }) => {
                self.phase = Phase::Ready { doubt: None };
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

    fn allocated(&mut self, relay: SocketAddr, now: Instant) {
        let Some(certificate) = &self.certificate else {
            self.fail(FarFault::Dtls, now);
            return;
        };
        // A server that hands us our own address as a relay would have us tell it to the other side.
        let mapped = self.allocation.mapped().map(|mapped| mapped.ip());
        let ours = relay.ip() == self.own_ip || Some(relay.ip()) == mapped;
        if !relayed_addresses::is_usable(relay, self.private_relays)
            || (ours && !self.private_relays)
        {
            self.fail(FarFault::Relay, now);
            return;
        }
        let local = FarLocal {
            ufrag: self.credentials.ufrag.clone(),
            pwd: self.credentials.pwd.clone(),
            fingerprint: certificate.fingerprint(),
            ssrc: self.ssrc,
            video_ssrc: self.video_ssrc,
            relay,
        };
        self.relay = Some(relay);
        self.gate.set_own(relay);
        self.phase = Phase::Ready { doubt: None };
        self.say(FarEvent::Allocated(local));
        // The other side often uses the same server, and a permission is per address: have it before it is needed.
        self.ask(relay.ip(), now);
    }

    pub(super) fn ask(&mut self, ip: IpAddr, now: Instant) {
        if self.gate.must_ask(ip)
            && self.allocation.permit(ip, now).is_err()
            && self.gate.refused(ip)
        {
            self.fail(FarFault::Forbidden, now);
        }
    }

    fn permitted(&mut self, ip: IpAddr, now: Instant) {
        for (to, bytes) in self.gate.granted(ip) {
            self.wrap(to, bytes, now);
        }
        for relay in self.gate.remotes() {
            if relay.ip() == ip {
                self.bind_if_granted(relay, now);
            }
        }
    }

    pub(super) fn bind_if_granted(&mut self, relay: SocketAddr, now: Instant) {
        if self.gate.is_granted(relay.ip()) {
            // Refused or there already: packets travel in Send indications then, which is longer, not worse.
            let _ = self.allocation.bind(relay, now);
        }
    }

    pub(super) fn drain_peer(&mut self, now: Instant) -> bool {
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
            PeerOutput::PictureWanted => self.say(FarEvent::PictureWanted),
            // SCTP takes no longer ones today; what passes here must not hang on a library's setting.
            PeerOutput::Control(bytes) if bytes.len() > MAX_CONTROL => self.counters.overlong += 1,
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

    pub(super) fn fail(&mut self, fault: FarFault, now: Instant) {
        if !matches!(self.phase, Phase::Ending { .. } | Phase::Closed) {
            self.say(FarEvent::Failed(fault));
            self.end(now);
        }
    }

    /// Gives the allocation back; the connection is over.
    pub(super) fn end(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Closed) {
            return;
        }
        let allocating = matches!(self.phase, Phase::Allocating { .. });
        self.gate.shut();
        self.phase = Phase::Ending {
            until: now + DELETION_LIMIT,
            deleting: false,
        };
        if self.allocation.is_gone() || !(self.begin_deletion(now) || allocating) {
            self.finish();
        }
        self.drive_allocation(now);
    }

    /// Asks the server to end the allocation; false if there is none.
    fn begin_deletion(&mut self, now: Instant) -> bool {
        let deleting = self.allocation.delete(now);
        if deleting {
            self.phase = Phase::Ending {
                until: now + DELETION_LIMIT,
                deleting,
            };
        }
        deleting
    }

    pub(super) fn finish(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.gate.shut();
            self.say(FarEvent::Closed);
        }
    }

    pub(super) fn say(&mut self, event: FarEvent) {
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
    use crate::far::{FarConfig, Secret, TurnServer, TurnTransport};

    #[test]
    fn a_control_message_beyond_the_limit_is_counted_and_not_handed_on() {
        let now = crate::some_time();
        let config = FarConfig {
            turn: TurnServer {
                addr: ([203, 0, 113, 1], 3478).into(),
                transport: TurnTransport::Udp,
                username: "user".to_owned(),
                password: Secret::new("password".to_owned()),
            },
            local: ([192, 0, 2, 1], 40_000).into(),
            private_relays: false,
        };
        let mut leg = FarLeg::new(config, [7; 32], now);
        while leg.poll().is_some() {}
        leg.hear_peer(PeerOutput::Control(vec![0; MAX_CONTROL + 1]), now);
        assert!(leg.poll().is_none());
        assert_eq!(leg.counters().overlong, 1);
        let longest = vec![0; MAX_CONTROL];
        leg.hear_peer(PeerOutput::Control(longest.clone()), now);
        let said = leg.poll();
        assert!(
            matches!(said, Some(FarOutput::Event(FarEvent::Control(bytes))) if bytes == longest)
        );
        assert_eq!(leg.counters().overlong, 1);
    }
}
