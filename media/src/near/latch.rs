//! Symmetric RTP (RFC 4961): where a phone's sound really comes from is where it wants to hear.
//!
//! Until the phone's first packet, sound goes to the address in its SDP. The first valid packet
//! from there, or from this machine if we listen on loopback, fixes the source until the phone's
//! terms are agreed anew; everybody else is a stranger from then on. Under terms that name another
//! address (another phone took the call, or it was joined with another call) the source of before
//! goes on for a moment, and is not taken for the new one. It does not look for NATs: a phone on
//! another IP than it says is not heard.

use std::net::{IpAddr, SocketAddr};

/// Where one phone is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latch {
    /// What its SDP says.
    said: SocketAddr,
    /// Whether only this machine can reach our socket.
    loopback: bool,
    /// Where its packets come from.
    source: Option<SocketAddr>,
    /// Where they came from under the terms before these, which said the same.
    earlier: Option<SocketAddr>,
    /// Where they came from under terms that said something else, and how many more of its packets
    /// are stragglers.
    given_up: Option<(SocketAddr, u8)>,
}

/// A second of sound: whoever still sends then is there to stay.
const STRAGGLERS: u8 = 50;

impl Latch {
    pub(crate) fn new(local: SocketAddr, said: SocketAddr) -> Self {
        Self {
            said,
            loopback: local.ip().to_canonical().is_loopback(),
            source: None,
            earlier: None,
            given_up: None,
        }
    }

    /// The latch for new terms: open again, but with the way to the phone kept if its SDP names the
    /// same address, and closed to stragglers if it names another one.
    pub(crate) fn renewed(&self, local: SocketAddr, said: SocketAddr) -> Self {
        let earlier = self.source.or(self.earlier).filter(|_| self.said == said);
        let moved = self.source.filter(|_| self.said != said);
        let given_up = moved.map(|source| (source, STRAGGLERS)).or(self.given_up);
        Self {
            earlier,
            given_up: given_up.filter(|(source, _)| *source != said),
            ..Self::new(local, said)
        }
    }

    /// Whether a valid packet from `from` is the phone's; the first that is fixes the source.
    pub(crate) fn admits(&mut self, from: SocketAddr) -> bool {
        let known = match self.source {
            Some(source) => source == from,
            None => !self.is_straggler(from) && self.may_be_phone(from),
        };
        if known {
            self.source = Some(from);
        }
        known
    }

    /// Whether something that is not RTP, from another port perhaps, is from where the phone is.
    pub(crate) fn is_near(&self, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        let is_there = |known: SocketAddr| known.ip().to_canonical() == ip;
        self.source.is_some_and(is_there) || self.may_be_phone(from)
    }

    /// Where to send the phone its sound, if that is known.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        let said = Some(self.said).filter(|said| !said.ip().is_unspecified() && said.port() != 0);
        self.source.or(self.earlier).or(said)
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
        // A socket for both families shows IPv4 phones under mapped addresses.
        let ip: IpAddr = from.ip().to_canonical();
        ip == self.said.ip().to_canonical()
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
