//! What an observer between an engine and its TURN server reads of a packet without any key: its length, and every header field that
//! is in the clear. ChannelData and STUN (RFC 8656), and within them RTP (RFC 3550), RTCP, DTLS 1.2 and 1.3 (RFC 6347, RFC 9147 section
//! 4), STUN, and the sealed datagrams of engines. Kinds are told apart by the first byte (RFC 9443).
//!
//! `tests/classifier/learn.py` reads the records that [`ClearHeader::record`] writes: both have the same layout.

/// Length of a record, without the time, the flow and the direction, which [`turn_tap`](crate::turn_tap) puts before it.
pub(crate) const RECORD: usize = 33;
/// The STUN attribute that carries a packet (RFC 8656 section 18.4).
const DATA: u16 = 0x0013;
const STUN_HEADER: usize = 20;
const RTP_HEADER: usize = 12;

/// How a packet crosses the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outer {
    Channel,
    Stun,
    #[default]
    Other,
}

/// What it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Inner {
    #[default]
    Nothing,
    Stun,
    Sealed,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

/// The clear fields of a packet. Fields that its kind does not have are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClearHeader {
    size: u16,
    outer: Outer,
    pub(crate) inner: Inner,
    /// Version, padding, extension and count of RTP and RTCP; the content type of the first DTLS record.
    first: u8,
    /// Marker and payload type of RTP; the packet type of RTCP.
    second: u8,
    channel: u16,
    /// Message type of the outer STUN message.
    method: u16,
    /// Message type of an inner STUN message; the number of DTLS records.
    inner_method: u16,
    inner_length: u16,
    /// RTP's sequence number; RTCP's length field; the length of the first DTLS record.
    sequence: u16,
    timestamp: u32,
    source: u32,
    /// A hash of the types and lengths of all attributes of the outer STUN message.
    shape: u32,
    /// The same of an inner STUN message, of all DTLS records, of RTP's header extension, and of all packets of a compound RTCP packet.
    inner_shape: u32,
}

impl ClearHeader {
    /// Reads a datagram. What is not understood counts as `Other`.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut header = Self {
            size: short(bytes.len()),
            ..Self::default()
        };
        match bytes.first() {
            Some(0x40..=0x4f) if bytes.len() >= 4 => {
                header.outer = Outer::Channel;
                header.channel = word(bytes, 0);
                let length = usize::from(word(bytes, 2));
                let rest = &bytes[4..];
                header.read_inner(rest.get(..length).unwrap_or(rest));
            }
            Some(0..=3) if bytes.len() >= STUN_HEADER => {
                header.outer = Outer::Stun;
                header.method = word(bytes, 0);
                let (shape, data) = attributes(&bytes[STUN_HEADER..]);
                header.shape = shape;
                header.read_inner(data);
            }
            _ => {}
        }
        header
    }

    fn read_inner(&mut self, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        self.inner_length = short(bytes.len());
        self.inner = match first {
            0..=3 if bytes.len() >= STUN_HEADER => {
                self.inner_method = word(bytes, 0);
                self.inner_shape = attributes(&bytes[STUN_HEADER..]).0;
                Inner::Stun
            }
            4 => Inner::Sealed,
            20..=63 => {
                self.read_dtls(bytes);
                Inner::Dtls
            }
            128..=191 if bytes.len() >= 8 => {
                (self.first, self.second) = (*first, bytes[1]);
                self.read_rtp(bytes)
            }
            _ => Inner::Other,
        };
    }

    fn read_rtp(&mut self, bytes: &[u8]) -> Inner {
        // RFC 5761 section 4.
        if (192..=223).contains(&bytes[1]) {
            (self.sequence, self.source) = (word(bytes, 2), long(bytes, 4));
            self.inner_shape = compound(bytes);
            return Inner::Rtcp;
        }
        self.sequence = word(bytes, 2);
        self.timestamp = long(bytes, 4);
        self.source = long(bytes, 8);
        let extension = RTP_HEADER + 4 * usize::from(bytes[0] & 0x0f);
        if bytes[0] & 0x10 != 0 {
            self.inner_shape = long(bytes, extension);
        }
        Inner::Rtp
    }

    fn read_dtls(&mut self, mut bytes: &[u8]) {
        let mut hash = Hash::default();
        self.first = bytes[0];
        while let Some(first) = bytes.first() {
            let (header, length) = match first {
                // The unified header of DTLS 1.3: its length field is optional.
                32..=63 => {
                    let number = if first & 0x08 != 0 { 3 } else { 2 };
                    let id = usize::from(first & 0x10 != 0);
                    match first & 0x04 {
                        0 => (number + id, bytes.len().saturating_sub(number + id)),
                        _ => (number + id + 2, usize::from(word(bytes, number + id))),
                    }
                }
                _ => (13, usize::from(word(bytes, 11))),
            };
            self.inner_method += 1;
            if self.inner_method == 1 {
                self.sequence = short(length);
            }
            hash.add(u16::from(*first));
            hash.add(short(length));
            bytes = bytes.get(header + length..).unwrap_or_default();
        }
        self.inner_shape = hash.0;
    }

    /// The fields as bytes, little-endian.
    pub(crate) fn record(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let mut place = record.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let (here, rest) = std::mem::take(&mut place).split_at_mut(bytes.len());
            here.copy_from_slice(bytes);
            place = rest;
        };
        put(&[
            self.outer as u8,
            self.inner as u8,
            self.first,
            self.second,
            0,
        ]);
        for field in [
            self.size,
            self.channel,
            self.method,
            self.inner_method,
            self.inner_length,
            self.sequence,
        ] {
            put(&field.to_le_bytes());
        }
        for field in [self.timestamp, self.source, self.shape, self.inner_shape] {
            put(&field.to_le_bytes());
        }
        record
    }
}

/// The hash of all attributes of a STUN message, and what its DATA attribute holds.
fn attributes(mut bytes: &[u8]) -> (u32, &[u8]) {
    let (mut hash, mut data) = (Hash::default(), &bytes[..0]);
    while bytes.len() >= 4 {
        let (kind, length) = (word(bytes, 0), word(bytes, 2));
        let value = &bytes[4..];
        let value = value.get(..usize::from(length)).unwrap_or(value);
        if kind == DATA {
            data = value;
        }
        hash.add(kind);
        hash.add(length);
        bytes = bytes
            .get(4 + usize::from(length).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    (hash.0, data)
}

/// The hash of all packets of a compound packet, as far as they are in the clear: SRTCP encrypts what follows the first eight bytes, so
/// that is the type of the first alone.
fn compound(bytes: &[u8]) -> u32 {
    let mut hash = Hash::default();
    hash.add(u16::from(bytes[0]));
    hash.add(u16::from(bytes[1]));
    hash.add(word(bytes, 2));
    hash.0
}

/// FNV-1a over 16-bit words.
struct Hash(u32);

impl Default for Hash {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Hash {
    fn add(&mut self, word: u16) {
        for byte in word.to_be_bytes() {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..at + 2);
    found.map_or(0, |found| u16::from_be_bytes([found[0], found[1]]))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChannelData around this.
    fn framed(inner: &[u8]) -> Vec<u8> {
        let length = short(inner.len()).to_be_bytes();
        [&[0x40, 1], length.as_slice(), inner].concat()
    }

    #[test]
    fn every_clear_field_of_rtp_is_read() {
        let packet = [
            0xb1,
            0x80 | 101,
            0x12,
            0x34,
            0,
            0,
            0,
            160,
            9,
            8,
            7,
            6,
            1,
            2,
            3,
            4,
            0xbe,
            0xde,
            0,
            1,
            5,
            5,
            5,
            5,
            42,
        ];
        let header = ClearHeader::read(&framed(&packet));
        assert_eq!((header.outer, header.inner), (Outer::Channel, Inner::Rtp));
        assert_eq!((header.first, header.second), (0xb1, 0x80 | 101));
        assert_eq!((header.sequence, header.timestamp), (0x1234, 160));
        assert_eq!((header.source, header.channel), (0x0908_0706, 0x4001));
        assert_eq!(header.inner_shape, 0xbede_0001, "the header extension");
        assert_eq!((header.size, header.inner_length), (29, 25));
        assert_eq!(header.record()[5], 29, "the size follows five bytes");
    }

    #[test]
    fn messages_of_stun_differ_by_the_lengths_of_their_attributes() {
        let message = |length: u8| {
            let mut bytes = vec![0, 1, 0, 4 + length, 0x21, 0x12, 0xa4, 0x42];
            bytes.extend([0; 12]);
            bytes.extend([0, 6, 0, length]);
            bytes.extend(vec![7; usize::from(length)]);
            bytes
        };
        let read = |length| ClearHeader::read(&framed(&message(length)));
        assert_eq!(read(4).inner, Inner::Stun);
        assert_eq!(read(4).inner_shape, read(4).inner_shape);
        assert_ne!(read(4).inner_shape, read(8).inner_shape);
    }

    #[test]
    fn an_indication_shows_what_it_carries() {
        let inner = [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 2];
        let mut bytes = vec![0, 0x17, 0, 20, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([0; 12]);
        bytes.extend([0, 0x13, 0, 15]);
        bytes.extend(inner);
        let header = ClearHeader::read(&bytes);
        assert_eq!((header.outer, header.method), (Outer::Stun, 0x17));
        assert_eq!((header.inner, header.first), (Inner::Dtls, 23));
        assert_eq!((header.inner_method, header.sequence), (1, 2));
    }

    #[test]
    fn records_with_a_unified_header_are_counted() {
        // Both with a sequence number of two bytes; the first has a length field.
        let bytes = [0x2e, 0, 1, 0, 3, 9, 9, 9, 0x2a, 0, 2, 9, 9];
        let header = ClearHeader::read(&framed(&bytes));
        assert_eq!((header.inner_method, header.sequence), (2, 3));
    }

    #[test]
    fn what_is_cut_off_is_no_panic() {
        let packets = [
            framed(&[0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
            framed(&[22, 0xfe, 0xfd]),
            framed(&[0x2c, 0]),
            vec![0; 24],
            vec![0x40, 0, 0xff],
        ];
        for packet in packets {
            for length in 0..=packet.len() {
                let _ = ClearHeader::read(&packet[..length]).record();
            }
        }
    }
}
