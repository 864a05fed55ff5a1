//! Symmetric RTP (RFC 4961): packets for the phone go to the address from which its own packets really come.
//!
//! The address and port in the phone's SDP go before every other source: a valid packet from there is always taken. Two
//! phones of one address may answer at the same moment, and another program of the machine may be quicker than the phone;
//! neither gets the call while the phone sends from where it says. A valid packet from another port of the same IP address
//! (on loopback: of this machine) is taken when nothing has come from the announced port in half a second since the SDP came,
//! and in place of a source that was heard before when that has been silent for a second: a phone that opened its socket
//! anew is followed. The destination of the phone's media moves with the source. Packets from another IP address than the
//! SDP names are dropped; NATs between phone and engine are not supported.
//!
//! With plain RTP, a program at the phone's IP address may still take the call: if it sends from the announced port before
//! the phone binds that, or from any port during a second in which the phone sends nothing, until the phone sends from the
//! announced port again. Under SRTP the caller of this latch has authenticated each packet, so that only the phone moves it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the announced port alone is heard after an SDP. It is longer than it takes a phone that lost a call, to another
/// phone that answered too, to be told so.
const ANNOUNCED_FIRST: Duration = Duration::from_millis(500);
/// The silence of the source after which another one is followed.
const FOLLOW_AFTER: Duration = Duration::from_secs(1);

/// The address of one phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latch {
    /// The near socket's address.
    local: SocketAddr,
    /// The address in the phone's SDP.
    in_sdp: SocketAddr,
    /// The source of its packets.
    source: Option<SocketAddr>,
    /// When the source was heard last; without one, when the SDP came.
    silent_since: Instant,
}

impl Latch {
    pub(super) fn new(local: SocketAddr, in_sdp: SocketAddr, now: Instant) -> Self {
        Self {
            local,
            in_sdp,
            source: None,
            silent_since: now,
        }
    }

    /// The latch for a new SDP. If that names the same address, nothing changes; if it names another one (another phone took
    /// the call, or the call was joined with another one), the source before is one among others.
    pub(super) fn renewed(self, local: SocketAddr, in_sdp: SocketAddr, now: Instant) -> Self {
        if self.in_sdp == in_sdp {
            Self { local, ..self }
        } else {
            Self::new(local, in_sdp, now)
        }
    }

    /// Whether a valid packet from `from` is the phone's; then it is the source from now on.
    pub(super) fn admits(&mut self, from: SocketAddr, now: Instant) -> bool {
        if self.source != Some(from) && !self.may_follow(from, now) {
            return false;
        }
        self.source = Some(from);
        self.silent_since = now;
        true
    }

    /// Whether a packet comes from the source or from the announced port. It may be one that is not valid media, but that
    /// only the phone sends, as comfort noise; the source is not silent then.
    pub(super) fn knows(&mut self, from: SocketAddr, now: Instant) -> bool {
        if self.source == Some(from) {
            self.silent_since = now;
        }
        self.source == Some(from) || self.is_announced(from)
    }

    /// Whether a packet that is not RTP, perhaps from another port, comes from the address of the phone.
    pub(super) fn is_near(&self, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        ip == self.in_sdp.ip().to_canonical() || (self.is_on_loopback() && ip.is_loopback())
    }

    /// The destination for the phone's media, if it is known.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let in_sdp =
            Some(self.in_sdp).filter(|in_sdp| !in_sdp.ip().is_unspecified() && in_sdp.port() != 0);
        self.source.or(in_sdp)
    }

    /// Whether a packet from `from` makes that the source.
    fn may_follow(&self, from: SocketAddr, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.silent_since);
        let is_time = match self.source {
            Some(source) if self.is_announced(source) => silent >= FOLLOW_AFTER,
            _ if self.is_announced(from) => true,
            Some(_) => silent >= FOLLOW_AFTER,
            None => silent >= ANNOUNCED_FIRST,
        };
        is_time && self.is_near(from)
    }

    /// Whether this is the address and port in the SDP. A phone on this machine may name its LAN address, and send from the
    /// loopback address that its packets to us have.
    fn is_announced(&self, from: SocketAddr) -> bool {
        // A dual-stack socket shows IPv4 phones under mapped addresses.
        let (ip, said) = (from.ip().to_canonical(), self.in_sdp.ip().to_canonical());
        let is_ours =
            || self.is_on_loopback() && !said.is_loopback() && ip == self.local.ip().to_canonical();
        from.port() == self.in_sdp.port() && (ip == said || is_ours())
    }

    /// Whether only this machine can reach our socket.
    fn is_on_loopback(&self) -> bool {
        self.local.ip().to_canonical().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    /// A latch, and a clock moved by hand.
    struct Bench {
        latch: Latch,
        now: Instant,
    }

    impl Bench {
        fn new(local: &str, in_sdp: &str) -> Self {
            let now = some_time();
            let latch = Latch::new(at(local), at(in_sdp), now);
            Self { latch, now }
        }

        fn admits(&mut self, from: &str) -> bool {
            self.latch.admits(at(from), self.now)
        }

        fn wait(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        fn renew(&mut self, local: &str, in_sdp: &str) {
            self.latch = self.latch.renewed(at(local), at(in_sdp), self.now);
        }

        fn target(&self) -> Option<SocketAddr> {
            self.latch.target()
        }
    }

    fn lan() -> Bench {
        Bench::new("192.0.2.1:40000", "192.0.2.9:7078")
    }

    const LOOPBACK: &str = "127.0.0.1:40000";

    #[test]
    fn audio_goes_to_the_address_in_sdp_until_the_first_packet() {
        let mut bench = lan();
        assert_eq!(bench.target(), Some(at("192.0.2.9:7078")));
        bench.wait(500);
        assert!(bench.admits("192.0.2.9:5555"));
        assert_eq!(bench.target(), Some(at("192.0.2.9:5555")));
    }

    #[test]
    fn a_quicker_packet_does_not_take_the_call_from_the_announced_port() {
        for (local, phone, quicker) in [
            ("192.0.2.1:40000", "192.0.2.9:7078", "192.0.2.9:5555"),
            (LOOPBACK, "127.0.0.1:7078", "127.0.0.1:5555"),
            (LOOPBACK, "127.0.0.1:7078", "127.0.0.2:7078"),
        ] {
            let mut bench = Bench::new(local, phone);
            for _ in 0..25 {
                assert!(!bench.admits(quicker), "{quicker}");
                bench.wait(19);
            }
            assert!(bench.admits(phone));
            bench.wait(20);
            assert!(!bench.admits(quicker), "{quicker}");
            assert_eq!(bench.target(), Some(at(phone)));
        }
    }

    #[test]
    fn the_announced_port_takes_the_call_back_at_once_and_keeps_it() {
        let mut bench = lan();
        bench.wait(500);
        assert!(bench.admits("192.0.2.9:5555"));
        assert!(bench.admits("192.0.2.9:7078"));
        assert_eq!(bench.target(), Some(at("192.0.2.9:7078")));
        for _ in 0..100 {
            bench.wait(20);
            assert!(!bench.admits("192.0.2.9:5555"));
            assert!(bench.admits("192.0.2.9:7078"));
        }
    }

    #[test]
    fn a_phone_that_sends_from_another_port_than_it_says_is_heard_after_half_a_second() {
        let mut bench = lan();
        bench.wait(499);
        assert!(!bench.admits("192.0.2.9:5555"));
        bench.wait(1);
        assert!(bench.admits("192.0.2.9:5555"));
        for _ in 0..100 {
            bench.wait(20);
            assert!(bench.admits("192.0.2.9:5555"));
        }
    }

    #[test]
    fn another_port_is_followed_after_a_second_of_silence_and_no_sooner() {
        for first in ["192.0.2.9:7078", "192.0.2.9:5555"] {
            let mut bench = lan();
            bench.wait(500);
            assert!(bench.admits(first));
            bench.wait(999);
            assert!(!bench.admits("192.0.2.9:6666"));
            bench.wait(1);
            assert!(bench.admits("192.0.2.9:6666"));
            assert_eq!(bench.target(), Some(at("192.0.2.9:6666")));
            // What is no valid media of the source keeps it all the same.
            bench.wait(990);
            assert!(bench.latch.knows(at("192.0.2.9:6666"), bench.now));
            assert!(!bench.latch.knows(at("192.0.2.9:4444"), bench.now));
            bench.wait(990);
            assert!(!bench.admits("192.0.2.9:4444"));
        }
    }

    #[test]
    fn packets_from_other_addresses_are_not_the_phones() {
        let mut bench = lan();
        bench.wait(2_000);
        for stranger in [
            "192.0.2.10:7078",
            "127.0.0.1:7078",
            "[::1]:7078",
            "[2001:db8::9]:7078",
        ] {
            assert!(!bench.admits(stranger), "{stranger}");
        }
        assert_eq!(bench.target(), Some(at("192.0.2.9:7078")));
    }

    #[test]
    fn on_loopback_a_phone_may_name_its_lan_address() {
        let mut bench = Bench::new(LOOPBACK, "192.0.2.9:7078");
        assert!(!bench.admits("127.0.0.1:5555"));
        assert!(!bench.admits("127.0.0.2:7078"));
        assert!(bench.admits("127.0.0.1:7078"));
    }

    #[test]
    fn mapped_addresses_are_the_same_phone() {
        assert!(lan().admits("[::ffff:192.0.2.9]:7078"));
        let mut bench = lan();
        bench.wait(500);
        assert!(bench.admits("[::ffff:192.0.2.9]:5555"));
    }

    #[test]
    fn stragglers_of_the_phone_before_do_not_keep_the_new_one_out() {
        let mut bench = Bench::new(LOOPBACK, "127.0.0.1:7078");
        assert!(bench.admits("127.0.0.1:7078"));
        // It hung up, and the call was joined with another one of this engine.
        bench.renew(LOOPBACK, "127.0.0.1:0");
        bench.renew(LOOPBACK, "127.0.0.1:40002");
        assert!(!bench.admits("127.0.0.1:7078"));
        assert!(bench.admits("127.0.0.1:40002"));
        assert!(!bench.admits("127.0.0.1:7078"));
        assert_eq!(bench.target(), Some(at("127.0.0.1:40002")));
    }

    #[test]
    fn a_phone_that_names_another_address_but_stays_is_latched_again() {
        let mut bench = Bench::new(LOOPBACK, "192.0.2.9:7078");
        assert!(bench.admits("127.0.0.1:7078"));
        bench.renew(LOOPBACK, "192.0.2.9:7080");
        let refused = (0..100).filter(|_| {
            bench.wait(20);
            !bench.admits("127.0.0.1:7078")
        });
        assert_eq!(refused.count(), 24);
    }

    #[test]
    fn a_phone_on_hold_in_the_old_way_is_nowhere() {
        assert_eq!(Bench::new(LOOPBACK, "0.0.0.0:7078").target(), None);
        assert_eq!(Bench::new(LOOPBACK, "127.0.0.1:0").target(), None);
    }

    #[test]
    fn new_terms_with_the_same_address_keep_the_way_to_the_phone() {
        let mut bench = Bench::new(LOOPBACK, "192.0.2.9:7078");
        bench.wait(500);
        bench.admits("127.0.0.1:5555");
        for _ in 0..2 {
            bench.renew(LOOPBACK, "192.0.2.9:7078");
            assert_eq!(bench.target(), Some(at("127.0.0.1:5555")));
            assert!(bench.admits("127.0.0.1:5555"));
        }
    }

    #[test]
    fn new_terms_with_another_address_open_the_latch() {
        let mut bench = lan();
        bench.admits("192.0.2.9:7078");
        bench.renew("192.0.2.1:40000", "192.0.2.20:9000");
        assert_eq!(bench.target(), Some(at("192.0.2.20:9000")));
        assert!(!bench.admits("192.0.2.9:7078"));
        assert!(bench.admits("192.0.2.20:9000"));
    }
}
