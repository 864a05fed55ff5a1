//! The permissions of an allocation: to which IP addresses packets pass (RFC 8656 section 9), and the first packets, which are kept until the
//! server has granted theirs.
//!
//! Which addresses and ports belong to a call is its leg's business.

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

/// What to do with a packet for a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendDecision {
    /// Send it.
    Pass(Vec<u8>),
    /// It was kept, to be sent when the permission is granted.
    Kept,
    /// The queue is full, or the server refuses the address.
    Unsent,
}

/// The permissions, the peers that get a channel, and the packets that wait.
#[derive(Default)]
pub(super) struct PeerPermissions {
    peers: Vec<SocketAddr>,
    states: BTreeMap<IpAddr, PermissionState>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl PeerPermissions {
    /// Notes a peer that gets a channel.
    pub(super) fn open(&mut self, peer: SocketAddr) {
        if !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    /// The peers that get a channel.
    pub(super) fn peers(&self) -> Vec<SocketAddr> {
        self.peers.clone()
    }

    /// Lets nothing pass any more.
    pub(super) fn shut(&mut self) {
        self.peers.clear();
        self.waiting.clear();
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

    /// Notes that the server refuses `ip`. True if no peer is left.
    pub(super) fn refused(&mut self, ip: IpAddr) -> bool {
        self.states.insert(ip, PermissionState::Refused);
        self.waiting.retain(|(to, _)| to.ip() != ip);
        !self.peers.is_empty()
            && self
                .peers
                .iter()
                .all(|peer| self.states.get(&peer.ip()) == Some(&PermissionState::Refused))
    }

    /// Decides about a packet for `to`.
    pub(super) fn decide(&mut self, to: SocketAddr, bytes: Vec<u8>) -> SendDecision {
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
            .field("peers", &self.peers.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions() -> (PeerPermissions, SocketAddr) {
        let remote = "203.0.113.2:2000".parse().unwrap();
        let mut permissions = PeerPermissions::default();
        permissions.open(remote);
        (permissions, remote)
    }

    #[test]
    fn packets_wait_for_their_permission_in_a_bounded_queue() {
        let (mut permissions, remote) = permissions();
        assert!(permissions.must_request(remote.ip()));
        assert!(!permissions.must_request(remote.ip()));
        for _ in 0..MAX_WAITING {
            assert_eq!(permissions.decide(remote, vec![2]), SendDecision::Kept);
        }
        assert_eq!(permissions.decide(remote, vec![2]), SendDecision::Unsent);
        assert_eq!(permissions.granted(remote.ip()).len(), MAX_WAITING);
        assert!(permissions.granted(remote.ip()).is_empty());
        assert_eq!(
            permissions.decide(remote, vec![1]),
            SendDecision::Pass(vec![1])
        );
        let elsewhere = SocketAddr::new([203, 0, 113, 9].into(), remote.port());
        assert_eq!(permissions.decide(elsewhere, vec![1]), SendDecision::Unsent);
    }

    #[test]
    fn a_refused_address_ends_the_hope_only_if_it_was_the_last() {
        let (mut permissions, remote) = permissions();
        let second: SocketAddr = "203.0.113.3:3000".parse().unwrap();
        permissions.open(second);
        permissions.must_request(remote.ip());
        permissions.must_request(second.ip());
        assert!(!permissions.refused(remote.ip()));
        assert!(!permissions.must_request(second.ip()), "requested already");
        assert_eq!(permissions.decide(remote, vec![3]), SendDecision::Unsent);
        assert!(permissions.refused(second.ip()));
        // What was refused, or ran out, can be requested again, and packets wait for the answer.
        assert!(permissions.must_request(remote.ip()));
        assert_eq!(permissions.decide(remote, vec![3]), SendDecision::Kept);
    }
}
