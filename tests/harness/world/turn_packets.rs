//! Classifies packets on TURN links and what they carry: enough of RFC 8489, RFC 8656 and RFC 7983 to distinguish connectivity
//! checks, DTLS and SRTP. It is written independently of the code under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringfence_media::far::{DATAGRAM_FIRST_BYTE, DATAGRAM_LEN};

use super::links::PacketKind;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
const DATA: u16 = 0x0013;
/// All attributes of STUN and TURN, old and new, that hold an address: in clear (RFC 3489, RFC 8489, RFC 5780)...
const PLAIN: [u16; 8] = [0x01, 0x02, 0x04, 0x05, 0x0b, 0x8023, 0x802b, 0x802c];
/// ...and behind an XOR (RFC 8489, RFC 8656, and the number XOR-MAPPED-ADDRESS had in drafts).
const XORED: [u16; 4] = [0x12, 0x16, 0x20, 0x8020];

/// A parsed STUN message.
#[derive(Clone, Debug)]
pub struct Stun<'a> {
    /// Method and class (RFC 8489 section 5).
    pub kind: u16,
    transaction: &'a [u8],
    /// Type and value of every attribute.
    pub attributes: Vec<(u16, &'a [u8])>,
}

impl<'a> Stun<'a> {
    /// Parses a whole message; `None` if it is not STUN.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 6 != 0 || header[4..8] != COOKIE || rest.len() != length {
            return None;
        }
        let mut attributes = Vec::new();
        while let Some((head, tail)) = rest.split_at_checked(4) {
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            attributes.push((kind, tail.get(..length)?));
            rest = tail.get(length.next_multiple_of(4)..)?;
        }
        Some(Self {
            kind: u16::from_be_bytes([header[0], header[1]]),
            transaction: &header[4..],
            attributes,
        })
    }

    /// Every address in it, with the XOR of RFC 8489 section 14.2 removed.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.attributes.iter().map(|(kind, value)| {
            if PLAIN.contains(kind) {
                read_address(value)
            } else if XORED.contains(kind) {
                read_address(&self.unmask(value))
            } else {
                None
            }
        });
        addresses.flatten().collect()
    }

    fn unmask(&self, value: &[u8]) -> Vec<u8> {
        let port = COOKIE[..2].iter();
        let mask = [0, 0].iter().chain(port).chain(self.transaction);
        value
            .iter()
            .zip(mask)
            .map(|(byte, mask)| byte ^ mask)
            .collect()
    }
}

fn read_address(value: &[u8]) -> Option<SocketAddr> {
    let (head, ip) = value.split_at_checked(4)?;
    let port = u16::from_be_bytes([head[2], head[3]]);
    let ip: IpAddr = match (head[0], head[1]) {
        (0, 1) => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        (0, 2) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The data for the peer that a TURN packet carries, if any.
pub fn carried(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(stun) = Stun::read(bytes) {
        let is_data = matches!(stun.kind, SEND_INDICATION | DATA_INDICATION);
        let data = stun
            .attributes
            .into_iter()
            .find(|(kind, _)| is_data && *kind == DATA);
        return data.map(|(_, data)| data);
    }
    let (head, data) = bytes.split_at_checked(4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[0] >> 6 == 1 {
        data.get(..length)
    } else {
        None
    }
}

/// The kind of a packet between a client and its TURN server.
pub fn kind_of(bytes: &[u8]) -> PacketKind {
    match carried(bytes) {
        Some(inner) => kind_of_inner(inner),
        None if Stun::read(bytes).is_some() => PacketKind::Turn,
        None => PacketKind::Unknown,
    }
}

/// The kind of a packet between two relayed addresses (RFC 7983 section 7).
pub fn kind_of_inner(bytes: &[u8]) -> PacketKind {
    match bytes.first() {
        Some(0..=3) if Stun::read(bytes).is_some() => PacketKind::Check,
        Some(&DATAGRAM_FIRST_BYTE) if bytes.len() == DATAGRAM_LEN => PacketKind::Datagram,
        Some(20..=63) => PacketKind::Dtls,
        // RFC 5761 section 4.
        Some(128..=191) if matches!(bytes.get(1), Some(192..=223)) => PacketKind::Srtcp,
        Some(128..=191) => PacketKind::Srtp,
        _ => PacketKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 5769 section 2.2, without its integrity: XOR-MAPPED-ADDRESS of 192.0.2.1:32853.
    const RESPONSE: [u8; 32] = [
        0x01, 0x01, 0x00, 0x0c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12,
        0xa6, 0x43,
    ];

    #[test]
    fn an_address_is_found_behind_its_mask() {
        let stun = Stun::read(&RESPONSE).expect("the RFC's own example");
        let expected: SocketAddr = "192.0.2.1:32853".parse().expect("an address");
        assert!(stun.addresses().contains(&expected));
        assert_eq!(kind_of(&RESPONSE), PacketKind::Turn);
        assert_eq!(kind_of_inner(&RESPONSE), PacketKind::Check);
    }

    #[test]
    fn channel_data_is_told_by_what_is_in_it() {
        assert_eq!(kind_of(&[0x40, 0, 0, 2, 0x80, 0]), PacketKind::Srtp);
        assert_eq!(kind_of(&[0x40, 0, 0, 2, 22, 0]), PacketKind::Dtls);
        assert_eq!(kind_of(&[0x40, 0, 0, 9, 22, 0]), PacketKind::Unknown);
        assert_eq!(kind_of(b"hello"), PacketKind::Unknown);
    }
}
