//! What an engine is told once: how its network rings, and how long it waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ringfence_media::Srtp;

/// The realm of the engine's digest challenges (RFC 3261 section 22.1), unless [`Config::realm`] names another: settings files
/// for phones have to name it, too.
pub const REALM: &str = "ringfence";

/// The usual emergency numbers: Europe and mobile networks, North America, the United Kingdom and others.
pub const EMERGENCY_NUMBERS: [&str; 3] = ["112", "911", "999"];

/// Settings of an [`crate::Engine`]. The phone book's network settings give the first three.
#[derive(Clone, Debug)]
pub struct Config {
    /// Leading zero bits that the proof of work of a received envelope must have.
    pub work_bits: u8,
    /// Bits of the bucket tag: 2^bits buckets share the network's envelopes. 0 means one bucket.
    pub bucket_bits: u8,
    /// The realm in SIP digest challenges. Phones show it in their configuration at most.
    pub realm: String,
    /// Which hash functions phones are challenged with.
    pub digest: ringfence_sip::Algorithms,
    /// Whether audio between phones and this machine is encrypted.
    pub srtp: Srtp,
    /// Whether video passes where both phones have it.
    pub video: bool,
    /// The addresses at which phones reach this machine.
    pub phone_addresses: Vec<IpAddr>,
    /// Which phones are told of waiting messages without having subscribed.
    pub unsolicited_mwi: UnsolicitedMwi,
    /// Simultaneous calls that phones here began or answered: each has a TURN allocation and a port. A call beyond it gets 503. Rings that only sound
    /// are bounded for each line, and are no calls.
    pub max_calls: usize,
    /// How many calls phones may have.
    pub phone_calls: ringfence_sip::CallLimits,
    /// How long an outgoing ring waits for an answer before the phone hears 480.
    pub no_answer: Duration,
    /// Emergency numbers, as a phone dials them: none of them is ever called, whatever the phone book lists.
    pub emergency_numbers: Vec<String>,
}

/// Which phones are told of waiting messages without having subscribed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsolicitedMwi {
    /// Those that list `message-summary` in Allow-Events when they register, until they refuse it.
    #[default]
    Auto,
    /// All, until they refuse it.
    Always,
    /// None.
    Never,
}

impl Config {
    /// Where the audio of a phone is received whose SIP arrives at `flow` and whose SDP names `phone`: at `flow`, unless the SDP is of the
    /// other IP version (RFC 6157 section 3.2). A machine without an address of that version has no sound for such a phone.
    pub(crate) fn near_address(&self, flow: IpAddr, phone: IpAddr) -> IpAddr {
        if phone.is_unspecified() || phone.is_ipv4() == flow.to_canonical().is_ipv4() {
            return flow;
        }
        match phone {
            IpAddr::V4(_) if flow.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) if flow.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            _ => {
                let mut others = self.phone_addresses.iter();
                let fits = |at: &&IpAddr| at.is_ipv4() == phone.is_ipv4() && !at.is_loopback();
                others.find(fits).copied().unwrap_or(flow)
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            work_bits: ringfence_book::proof_of_work::DEFAULT_BITS,
            bucket_bits: 0,
            realm: REALM.into(),
            digest: ringfence_sip::Algorithms::default(),
            srtp: Srtp::default(),
            video: true,
            phone_addresses: Vec::new(),
            unsolicited_mwi: UnsolicitedMwi::default(),
            max_calls: 500,
            phone_calls: ringfence_sip::CallLimits::default(),
            no_answer: Duration::from_secs(30),
            emergency_numbers: EMERGENCY_NUMBERS.map(str::to_owned).to_vec(),
        }
    }
}

/// Rings for which the phones of one line may ring at once, one of each caller. A desk phone shows a handful; more is a flood
/// and is dropped in silence, as a ring that is not answered.
pub(crate) const MAX_RINGS_PER_LINE: usize = 8;

/// How many of those are kept for contacts.
pub(crate) const RINGS_FOR_CONTACTS: usize = 2;

/// The time from INVITE to posted ring. Ports, TURN and proofs of work take milliseconds; a TURN
/// server that has not answered by now is down, and the phone should hear so.
pub(crate) const SET_UP: Duration = Duration::from_secs(6);

/// How long a caller keeps its relayed address after it gave up: longer than until the envelope that carries its cancel.
pub(crate) const WITHDRAWN: Duration = Duration::from_secs(10);

/// How long after the answer a ring of the callee counts as one that crossed the caller's: as long as an envelope waits for a relay. If it is
/// another phone of that line which calls, the next copy of its ring is heard.
pub(crate) const CROSSED: Duration = Duration::from_secs(10);

/// From the callee's answer to the caller's verified confirmation, and to connected media.
/// Relay round trips and TURN take well under this; beyond it the call is dead.
pub(crate) const CONNECT: Duration = Duration::from_secs(12);

/// From the moment at which no TURN server gave the callee a relayed address to the next question.
pub(crate) const ALLOCATE_AGAIN: Duration = Duration::from_millis(500);

/// Between two transmissions of the answer until the caller confirms. A lost one costs a quarter of a second of silence.
pub(crate) const ANSWER_AGAIN: Duration = Duration::from_millis(250);

/// How long the answer goes from relayed address to relayed address alone. Then the caller's TURN server does not know that of the callee,
/// and the answer goes over the relay too.
pub(crate) const ANSWER_DIRECT: Duration = Duration::from_secs(2);

/// Until an answer that no relay took is posted again. A relay that starts again is back in seconds; one that refuses is not to be pressed.
pub(crate) const ANSWER_POSTED_AGAIN: Duration = Duration::from_secs(1);

/// How long the answer and its confirmation may take at most, where an engine loses its relayed address meanwhile.
pub(crate) const CONNECT_AFTER_LOSS: Duration = Duration::from_secs(30);

/// How long a caller with a new relayed address waits to be heard from there, before it says the address over relays. A callee that has
/// kept its own hears it within a round trip, and relays should learn nothing then.
pub(crate) const MOVED_AFTER: Duration = Duration::from_millis(500);

/// Until the address is said again, the first time; each pause is twice the one before. The callee's engine may not have found the relay
/// again yet.
pub(crate) const MOVED_AGAIN: Duration = Duration::from_millis(500);

/// The longest of these pauses: the callee's engine may find the relay later than the caller's.
pub(crate) const MOVED_PAUSE: Duration = Duration::from_secs(8);

/// How often one new address is said: within a minute, which is as long as a call waits.
pub(crate) const MOVED_POSTS: u32 = 10;

/// How long an answer to a hang-up over the data channel may take before it is said in datagrams, which a TURN server sees: until the
/// slot of each side, and a round trip.
pub(crate) const HANG_UP_ECHO: Duration = Duration::from_millis(1_500);

/// How long a finished call keeps its media path, so that the other side's engine hears the
/// hang-up even if a packet is lost.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// The same for a call that ends while its path is lost: media go on looking for one, so that the hang-up can be said.
pub(crate) const LINGER_IN_OUTAGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_received_at_an_address_of_the_ip_version_that_the_phone_names() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let config = Config {
            phone_addresses: vec![ip("127.0.0.1"), ip("fd00::1"), ip("192.168.1.10")],
            ..Config::default()
        };
        for (flow, phone, near) in [
            ("192.168.1.10", "192.168.1.20", "192.168.1.10"),
            ("::1", "0.0.0.0", "::1"),
            ("::1", "127.0.0.1", "127.0.0.1"),
            ("::1", "192.168.1.10", "127.0.0.1"),
            ("127.0.0.1", "::1", "::1"),
            ("fd00::1", "192.168.1.20", "192.168.1.10"),
            ("192.168.1.10", "fd00::2", "fd00::1"),
        ] {
            let chosen = config.near_address(ip(flow), ip(phone));
            assert_eq!(chosen, ip(near), "{flow} {phone}");
        }
        let alone = Config::default().near_address(ip("fd00::1"), ip("192.168.1.20"));
        assert_eq!(alone, ip("fd00::1"));
    }
}
