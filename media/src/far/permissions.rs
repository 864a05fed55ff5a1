//! Which packets may pass between the allocation and WebRTC: those from our relayed address to the accepted relayed
//! addresses of the other side, and back.
//!
//! The TURN server enforces permissions per IP address (RFC 8656 section 9); this file enforces address and port, and
//! keeps the first packets until the server has granted the permission.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Packets kept until a permission is granted. ICE and DTLS send a handful in that time, and repeat what is dropped.
const MAX_WAITING: usize = 32;

/// The state of the permission for one IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermissionState {
    Requested,
    Granted,
    Refused,
}

/// What to do with a packet for the other side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendDecision {
    /// Send it.
    Pass(Vec<u8>),
    /// It was kept, to be sent when the permission is granted.
    Kept,
    /// The queue is full, or the server refuses the address.
    Unsent,
    /// Its source or destination is not a relayed address of this call.
    Misdirected,
}

/// The accepted relayed addresses, their permissions, and the packets that wait for these.
#[derive(Default)]
pub(super) struct PeerPermissions {
    own: Option<SocketAddr>,
    remotes: Vec<SocketAddr>,
    states: BTreeMap<IpAddr, PermissionState>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl PeerPermissions {
    /// Sets our own relayed address.
    pub(super) fn set_own(&mut self, address: SocketAddr) {
        self.own = Some(address);
    }

    /// Sets the other side's relayed addresses, already checked.
    pub(super) fn open(&mut self, remotes: &[SocketAddr]) {
        self.remotes = remotes.to_vec();
    }

    /// The accepted relayed addresses.
    pub(super) fn remotes(&self) -> Vec<SocketAddr> {
        self.remotes.clone()
    }

    /// Lets nothing pass any more.
    pub(super) fn shut(&mut self) {
        self.remotes.clear();
        self.waiting.clear();
    }

    /// Whether a packet from `from` may reach WebRTC.
    pub(super) fn admits(&self, from: SocketAddr) -> bool {
        self.remotes.contains(&from)
    }

    /// Whether the permission for `ip` must still be requested; marks it as requested.
    pub(super) fn must_request(&mut self, ip: IpAddr) -> bool {
        let known = matches!(
            self.states.get(&ip),
            Some(PermissionState::Requested | PermissionState::Granted)
        );
        if !known {
            self.states.insert(ip, PermissionState::Requested);
        }
        !known
    }

    /// Whether packets to `ip` pass.
    pub(super) fn is_granted(&self, ip: IpAddr) -> bool {
        self.states.get(&ip) == Some(&PermissionState::Granted)
    }

    /// Notes that the server grants `ip`, and returns the packets that waited for it.
    pub(super) fn granted(&mut self, ip: IpAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.states.insert(ip, PermissionState::Granted);
        let (ready, waiting) = self.waiting.drain(..).partition(|(to, _)| to.ip() == ip);
        self.waiting = waiting;
        Vec::from(ready)
    }

    /// Notes that the server refuses `ip`. True if no accepted address is left.
    pub(super) fn refused(&mut self, ip: IpAddr) -> bool {
        self.states.insert(ip, PermissionState::Refused);
        self.waiting.retain(|(to, _)| to.ip() != ip);
        !self.remotes.is_empty()
            && self
                .remotes
                .iter()
                .all(|remote| self.states.get(&remote.ip()) == Some(&PermissionState::Refused))
    }

    /// Decides about a packet of WebRTC.
    pub(super) fn decide(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) -> SendDecision {
        if self.own != Some(from) || !self.remotes.contains(&to) {
            return SendDecision::Misdirected;
        }
        self.decide_by_ip(to, bytes)
    }

    /// Decides about a packet for a relayed address that need not be an accepted one.
    pub(super) fn decide_by_ip(&mut self, to: SocketAddr, bytes: Vec<u8>) -> SendDecision {
        match self.states.get(&to.ip()) {
            Some(PermissionState::Granted) => SendDecision::Pass(bytes),
            Some(PermissionState::Requested) if self.waiting.len() < MAX_WAITING => {
                self.waiting.push_back((to, bytes));
                SendDecision::Kept
            }
            _ => SendDecision::Unsent,
        }
    }
}

impl std::fmt::Debug for PeerPermissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerPermissions")
            .field("remotes", &self.remotes.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions() -> (PeerPermissions, SocketAddr, SocketAddr) {
        let (own, remote) = (
            "203.0.113.1:1000".parse().unwrap(),
            "203.0.113.2:2000".parse().unwrap(),
        );
        let mut permissions = PeerPermissions::default();
        permissions.set_own(own);
        permissions.open(&[remote]);
        (permissions, own, remote)
    }

    #[test]
    fn only_packets_from_relay_to_relay_pass() {
        let (mut permissions, own, remote) = permissions();
        assert!(permissions.must_request(remote.ip()));
        permissions.granted(remote.ip());
        assert_eq!(
            permissions.decide(own, remote, vec![1]),
            SendDecision::Pass(vec![1])
        );
        let elsewhere = SocketAddr::new(remote.ip(), 2001);
        assert_eq!(
            permissions.decide(own, elsewhere, vec![1]),
            SendDecision::Misdirected
        );
        assert_eq!(
            permissions.decide("192.168.0.9:5".parse().unwrap(), remote, vec![1]),
            SendDecision::Misdirected
        );
        assert!(permissions.admits(remote) && !permissions.admits(elsewhere));
        permissions.shut();
        assert!(!permissions.admits(remote));
    }

    #[test]
    fn packets_wait_for_their_permission_in_a_bounded_queue() {
        let (mut permissions, own, remote) = permissions();
        assert!(permissions.must_request(remote.ip()));
        assert!(!permissions.must_request(remote.ip()));
        for _ in 0..MAX_WAITING {
            assert_eq!(permissions.decide(own, remote, vec![2]), SendDecision::Kept);
        }
        assert_eq!(
            permissions.decide(own, remote, vec![2]),
            SendDecision::Unsent
        );
        assert_eq!(permissions.granted(remote.ip()).len(), MAX_WAITING);
        assert!(permissions.granted(remote.ip()).is_empty());
    }

    #[test]
    fn a_refused_address_ends_the_hope_only_if_it_was_the_last() {
        let (mut permissions, own, remote) = permissions();
        let second: SocketAddr = "203.0.113.3:3000".parse().unwrap();
        permissions.open(&[remote, second]);
        permissions.must_request(remote.ip());
        permissions.must_request(second.ip());
        assert!(!permissions.refused(remote.ip()));
        assert!(!permissions.must_request(second.ip()), "requested already");
        assert_eq!(
            permissions.decide(own, remote, vec![3]),
            SendDecision::Unsent
        );
        assert!(permissions.refused(second.ip()));
        // What was refused, or ran out, can be requested again, and packets wait for the answer.
        assert!(permissions.must_request(remote.ip()));
        assert_eq!(permissions.decide(own, remote, vec![3]), SendDecision::Kept);
    }
}
