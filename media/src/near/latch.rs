//! Symmetric RTP (RFC 4961): packets for the phone go to the address from which its own packets really come.
//!
//! Until the phone's first packet, media goes to the address in its SDP. The first valid packet from there, or from this
//! machine if the socket is on loopback, fixes the source until the phone's SDP changes; packets from any other source are
//! dropped from then on. If the new SDP names another address (another phone took the call, or the call was joined with
//! another one), the old source sends on for a moment, and is not latched again. NATs between phone and engine are not
//! supported: packets from another IP address than the SDP names are dropped.

use std::net::{IpAddr, SocketAddr};

/// The address of one phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latch {
    /// The address in its SDP.
    in_sdp: SocketAddr,
    /// Whether only this machine can reach our socket.
    loopback: bool,
    /// The source of its packets.
    source: Option<SocketAddr>,
    /// The source under the previous SDP, which named the same address.
    earlier: Option<SocketAddr>,
    /// The source under an SDP that named another address, and how many more of its packets count as stragglers.
    given_up: Option<(SocketAddr, u8)>,
}

/// One second of audio: a source that still sends after that is accepted again.
const STRAGGLERS: u8 = 50;

impl Latch {
    pub(super) fn new(local: SocketAddr, in_sdp: SocketAddr) -> Self {
        Self {
            in_sdp,
            loopback: local.ip().to_canonical().is_loopback(),
            source: None,
            earlier: None,
            given_up: None,
        }
    }

    /// The latch for a new SDP: open again. It keeps the known source as destination if the SDP names the same address,
    /// and ignores stragglers from there if it names another one.
    pub(super) fn renewed(&self, local: SocketAddr, in_sdp: SocketAddr) -> Self {
        let earlier = self
            .source
            .or(self.earlier)
            .filter(|_| self.in_sdp == in_sdp);
        let moved = self.source.filter(|_| self.in_sdp != in_sdp);
        let given_up = moved.map(|source| (source, STRAGGLERS)).or(self.given_up);
        Self {
            earlier,
            given_up: given_up.filter(|(source, _)| *source != in_sdp),
            ..Self::new(local, in_sdp)
        }
    }

    /// Whether a valid packet from `from` is the phone's. The first one fixes the source.
    pub(super) fn admits(&mut self, from: SocketAddr) -> bool {
        let known = match self.source {
            Some(source) => source == from,
            None => !self.is_straggler(from) && self.may_be_phone(from),
        };
        if known {
            self.source = Some(from);
        }
        known
    }

    /// Whether a packet that is not RTP, perhaps from another port, comes from the address of the phone.
    pub(super) fn is_near(&self, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        let is_there = |known: SocketAddr| known.ip().to_canonical() == ip;
        self.source.is_some_and(is_there) || self.may_be_phone(from)
    }

    /// The destination for the phone's media, if it is known.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let in_sdp =
            Some(self.in_sdp).filter(|in_sdp| !in_sdp.ip().is_unspecified() && in_sdp.port() != 0);
        self.source.or(self.earlier).or(in_sdp)
    }

    fn is_straggler(&mut self, from: SocketAddr) -> bool {
        match &mut self.given_up {
            Some((source, left)) if *source == from && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn may_be_phone(&self, from: SocketAddr) -> bool {
        // A dual-stack socket shows IPv4 phones under mapped addresses.
        let ip: IpAddr = from.ip().to_canonical();
        ip == self.in_sdp.ip().to_canonical()
            || (self.loopback && ip.is_loopback())
            || self.earlier == Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn lan() -> Latch {
        Latch::new(at("192.0.2.1:40000"), at("192.0.2.9:7078"))
    }

    #[test]
    fn sound_goes_where_the_phone_says_until_it_is_heard() {
        let mut latch = lan();
        assert_eq!(latch.target(), Some(at("192.0.2.9:7078")));
        assert!(latch.admits(at("192.0.2.9:5555")));
        assert_eq!(latch.target(), Some(at("192.0.2.9:5555")));
    }

    #[test]
    fn the_first_source_is_the_only_one() {
        let mut latch = lan();
        assert!(latch.admits(at("192.0.2.9:5555")));
        assert!(!latch.admits(at("192.0.2.9:7078")));
        assert!(latch.admits(at("192.0.2.9:5555")));
        assert_eq!(latch.target(), Some(at("192.0.2.9:5555")));
    }

    #[test]
    fn strangers_are_not_the_phone() {
        let mut latch = lan();
        for stranger in [
            "192.0.2.10:7078",
            "127.0.0.1:7078",
            "[::1]:7078",
            "[2001:db8::9]:7078",
        ] {
            assert!(!latch.admits(at(stranger)), "{stranger}");
        }
        assert_eq!(latch.target(), Some(at("192.0.2.9:7078")));
    }

    #[test]
    fn on_loopback_a_phone_may_name_its_lan_address() {
        let mut latch = Latch::new(at("127.0.0.1:40000"), at("192.0.2.9:7078"));
        assert!(latch.admits(at("127.0.0.1:7078")));
    }

    #[test]
    fn mapped_addresses_are_the_same_phone() {
        assert!(lan().admits(at("[::ffff:192.0.2.9]:5555")));
    }

    #[test]
    fn stragglers_of_the_phone_before_do_not_keep_the_new_one_out() {
        let mut before = Latch::new(at("127.0.0.1:40000"), at("127.0.0.1:7078"));
        assert!(before.admits(at("127.0.0.1:7078")));
        // It hung up, and the call was joined with another one of this engine.
        let gone = before.renewed(at("127.0.0.1:40000"), at("127.0.0.1:0"));
        let mut latch = gone.renewed(at("127.0.0.1:40000"), at("127.0.0.1:40002"));
        assert!(!latch.admits(at("127.0.0.1:7078")));
        assert!(latch.admits(at("127.0.0.1:40002")));
        assert!(!latch.admits(at("127.0.0.1:7078")));
        assert_eq!(latch.target(), Some(at("127.0.0.1:40002")));
    }

    #[test]
    fn a_phone_that_says_another_address_and_stays_is_heard_again() {
        let mut latch = Latch::new(at("127.0.0.1:40000"), at("192.0.2.9:7078"));
        assert!(latch.admits(at("127.0.0.1:7078")));
        let mut moved = latch.renewed(at("127.0.0.1:40000"), at("192.0.2.9:7080"));
        let refused = (0..100).filter(|_| !moved.admits(at("127.0.0.1:7078")));
        assert_eq!(refused.count(), usize::from(STRAGGLERS));
    }

    #[test]
    fn a_phone_on_hold_in_the_old_way_is_nowhere() {
        assert_eq!(
            Latch::new(at("127.0.0.1:40000"), at("0.0.0.0:7078")).target(),
            None
        );
        assert_eq!(
            Latch::new(at("127.0.0.1:40000"), at("127.0.0.1:0")).target(),
            None
        );
    }

    #[test]
    fn new_terms_with_the_same_address_keep_the_way_to_the_phone() {
        let mut latch = Latch::new(at("127.0.0.1:40000"), at("192.0.2.9:7078"));
        latch.admits(at("127.0.0.1:5555"));
        let again = latch.renewed(at("127.0.0.1:40000"), at("192.0.2.9:7078"));
        assert_eq!(again.target(), Some(at("127.0.0.1:5555")));
        let twice = again.renewed(at("127.0.0.1:40000"), at("192.0.2.9:7078"));
        assert_eq!(twice.target(), Some(at("127.0.0.1:5555")));
    }

    #[test]
    fn new_terms_with_another_address_open_the_latch() {
        let mut latch = lan();
        latch.admits(at("192.0.2.9:5555"));
        let mut moved = latch.renewed(at("192.0.2.1:40000"), at("192.0.2.20:9000"));
        assert_eq!(moved.target(), Some(at("192.0.2.20:9000")));
        assert!(!moved.admits(at("192.0.2.9:5555")));
        assert!(moved.admits(at("192.0.2.20:9000")));
    }
}
