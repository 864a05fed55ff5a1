//! Who may pass between the relay and WebRTC: packets from our relay to the accepted relays of the other side, and back.
//!
//! The TURN server enforces permissions per address (RFC 8656 section 9); this gate enforces address and port, and
//! keeps the first packets until the server's permission has arrived.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Packets kept until a permission arrives. ICE and DTLS send a handful in that time, and repeat what is dropped.
const MAX_WAITING: usize = 32;

/// What the TURN server said about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permit {
    Asked,
    Granted,
    Refused,
}

/// What to do with a packet for the other side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Pass(Vec<u8>),
    /// It was kept, to be sent when the permission arrives.
    Kept,
    /// The queue is full, or the server refuses the address.
    Unsent,
    /// It would leave from, or go to, somewhere else than a relay.
    Misdirected,
}

/// The accepted relays, their permissions, and what waits for them.
#[derive(Default)]
pub(super) struct Gate {
    own: Option<SocketAddr>,
    remotes: Vec<SocketAddr>,
    permits: BTreeMap<IpAddr, Permit>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Gate {
    /// Sets our own relay.
    pub(super) fn set_own(&mut self, relay: SocketAddr) {
        self.own = Some(relay);
    }

    /// Sets the other side's relays, already checked.
    pub(super) fn open(&mut self, remotes: &[SocketAddr]) {
        self.remotes = remotes.to_vec();
    }

    /// The accepted relays.
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

    /// Whether the permission for `ip` must still be asked for; marks it as asked.
    pub(super) fn must_ask(&mut self, ip: IpAddr) -> bool {
        let known = matches!(self.permits.get(&ip), Some(Permit::Asked | Permit::Granted));
        if !known {
            self.permits.insert(ip, Permit::Asked);
        }
        !known
    }

    /// Whether packets to `ip` pass.
    pub(super) fn is_granted(&self, ip: IpAddr) -> bool {
        self.permits.get(&ip) == Some(&Permit::Granted)
    }

    /// The permission for `ip` is there: the packets that waited for it.
    pub(super) fn granted(&mut self, ip: IpAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.permits.insert(ip, Permit::Granted);
        let (ready, waiting) = self.waiting.drain(..).partition(|(to, _)| to.ip() == ip);
        self.waiting = waiting;
        Vec::from(ready)
    }

    /// The server refuses `ip`. True if no accepted relay is left.
    pub(super) fn refused(&mut self, ip: IpAddr) -> bool {
        self.permits.insert(ip, Permit::Refused);
        self.waiting.retain(|(to, _)| to.ip() != ip);
        !self.remotes.is_empty()
            && self
                .remotes
                .iter()
                .all(|remote| self.permits.get(&remote.ip()) == Some(&Permit::Refused))
    }

    /// Judges a packet of WebRTC.
    pub(super) fn judge(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> Verdict {
        if self.own != Some(from) || !self.remotes.contains(&to) {
            return Verdict::Misdirected;
        }
        match self.permits.get(&to.ip()) {
            Some(Permit::Granted) => Verdict::Pass(bytes),
            Some(Permit::Asked) if self.waiting.len() < MAX_WAITING => {
                self.waiting.push_back((to, bytes));
                Verdict::Kept
            }
            _ => Verdict::Unsent,
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("remotes", &self.remotes.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Gate, SocketAddr, SocketAddr) {
        let (own, remote) = (
            "203.0.113.1:1000".parse().unwrap(),
            "203.0.113.2:2000".parse().unwrap(),
        );
        let mut gate = Gate::default();
        gate.set_own(own);
        gate.open(&[remote]);
        (gate, own, remote)
    }

    #[test]
    fn only_packets_from_relay_to_relay_pass() {
        let (mut gate, own, remote) = gate();
        assert!(gate.must_ask(remote.ip()));
        gate.granted(remote.ip());
        assert_eq!(gate.judge(own, remote, vec![1]), Verdict::Pass(vec![1]));
        let elsewhere = SocketAddr::new(remote.ip(), 2001);
        assert_eq!(gate.judge(own, elsewhere, vec![1]), Verdict::Misdirected);
        assert_eq!(
            gate.judge("192.168.0.9:5".parse().unwrap(), remote, vec![1]),
            Verdict::Misdirected
        );
        assert!(gate.admits(remote) && !gate.admits(elsewhere));
        gate.shut();
        assert!(!gate.admits(remote));
    }

    #[test]
    fn packets_wait_for_their_permission_in_a_bounded_queue() {
        let (mut gate, own, remote) = gate();
        assert!(gate.must_ask(remote.ip()));
        assert!(!gate.must_ask(remote.ip()));
        for _ in 0..MAX_WAITING {
            assert_eq!(gate.judge(own, remote, vec![2]), Verdict::Kept);
        }
        assert_eq!(gate.judge(own, remote, vec![2]), Verdict::Unsent);
        assert_eq!(gate.granted(remote.ip()).len(), MAX_WAITING);
        assert!(gate.granted(remote.ip()).is_empty());
    }

    #[test]
    fn a_refused_address_ends_the_hope_only_if_it_was_the_last() {
        let (mut gate, own, remote) = gate();
        let second: SocketAddr = "203.0.113.3:3000".parse().unwrap();
        gate.open(&[remote, second]);
        gate.must_ask(remote.ip());
        gate.must_ask(second.ip());
        assert!(!gate.refused(remote.ip()));
        assert!(!gate.must_ask(second.ip()), "asked already");
        assert_eq!(gate.judge(own, remote, vec![3]), Verdict::Unsent);
        assert!(gate.refused(second.ip()));
        // What was refused, or ran out, can be asked for again, and packets wait for the answer.
        assert!(gate.must_ask(remote.ip()));
        assert_eq!(gate.judge(own, remote, vec![3]), Verdict::Kept);
    }
}
