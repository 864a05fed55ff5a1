//! The Nostr events in which envelopes travel, as engines write them and relays check them: kinds and tags (NIP-01), expiration
//! (NIP-40), sizes and lifetimes. Each event also has the tag `w`, its [proof of work](crate::proof_of_work).

/// The kind of an event with a ring: ephemeral (20000 to 29999), so that relays pass it on and keep nothing.
pub const RING_KIND: u16 = 20_777;

/// The kind of an event with a note (a text, or word of a missed call): regular (1000 to 9999), so that relays keep it until it expires.
pub const NOTE_KIND: u16 = 2_777;

/// Bytes of an envelope.
pub const ENVELOPE_BYTES: usize = 1_024;

/// Length of an event's content: an envelope in base64 (RFC 4648 section 4, padded).
pub const CONTENT_CHARS: usize = ENVELOPE_BYTES.div_ceil(3) * 4;

/// Engines round `created_at` down to this many seconds, so that it does not tell when a person dialled.
pub const CREATED_ROUNDING: u64 = 10;

/// Seconds from `created_at` to the expiration of a ring.
pub const RING_LIFE: u64 = 70;

/// Seconds from `created_at` to the expiration of a note.
pub const NOTE_LIFE: u64 = 7 * 86_400;

/// Seconds that `created_at` may be away from the reader's clock. An envelope's own limit is 60; rounding adds 10, and clocks differ.
pub const MAX_SKEW: u64 = 90;

/// The latest expiration of a ring that a relay takes, in seconds from now.
pub const MAX_RING_LIFE: u64 = 600;

/// The latest expiration of a note that a relay takes, in seconds from now.
pub const MAX_NOTE_LIFE: u64 = NOTE_LIFE + MAX_SKEW;

/// The name of the tag with the bucket, by which engines subscribe.
pub const BUCKET_TAG: &str = "t";

/// The name of the tag with the nonce of the proof of work.
pub const WORK_TAG: &str = "w";

/// The name of the tag with the expiration (NIP-40).
pub const EXPIRATION_TAG: &str = "expiration";

/// Expirations are read up to this many digits: the year 33658.
const MAX_EXPIRATION_DIGITS: usize = 12;

/// The value of the tag [`BUCKET_TAG`].
#[must_use]
pub fn bucket_tag(bits: u8, bucket: u16) -> String {
    format!("rf1-{bits}-{bucket:04x}")
}

/// What the tags of an event say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTags {
    /// Bits of the buckets of this network.
    pub bucket_bits: u8,
    /// The receiver's bucket.
    pub bucket: u16,
    /// The nonce of the proof of work.
    pub work_nonce: u64,
    /// Seconds since 1970 after which relays delete the event.
    pub expiration: u64,
}

impl EventTags {
    /// The three tags, name and value.
    #[must_use]
    pub fn write(&self) -> [[String; 2]; 3] {
        [
            (BUCKET_TAG, bucket_tag(self.bucket_bits, self.bucket)),
            (WORK_TAG, format!("{:016x}", self.work_nonce)),
            (EXPIRATION_TAG, self.expiration.to_string()),
        ]
        .map(|(name, value)| [name.to_owned(), value])
    }

    /// Reads tags that are exactly these three, in any order, and each in its one spelling.
    #[must_use]
    pub fn read<'a>(tags: impl Iterator<Item = &'a [String]>) -> Option<Self> {
        let (mut bucket, mut nonce, mut expiration) = (None, None, None);
        for tag in tags {
            let [name, value] = tag else { return None };
            let slot = match name.as_str() {
                BUCKET_TAG => &mut bucket,
                WORK_TAG => &mut nonce,
                EXPIRATION_TAG => &mut expiration,
                _ => return None,
            };
            if slot.replace(value.as_str()).is_some() {
                return None;
            }
        }
        let (bits, bucket) = bucket?.strip_prefix("rf1-")?.split_once('-')?;
        let bits = Some(bits).filter(|bits| matches!(bits.len(), 1 | 2) && is_decimal(bits))?;
        let bucket = Some(bucket).filter(|bucket| bucket.len() == 4 && is_hex(bucket))?;
        let nonce = nonce.filter(|nonce| nonce.len() == 16 && is_hex(nonce))?;
        let expiration =
            expiration.filter(|end| end.len() <= MAX_EXPIRATION_DIGITS && is_decimal(end))?;
        Some(Self {
            bucket_bits: bits.parse().ok()?,
            bucket: u16::from_str_radix(bucket, 16).ok()?,
            work_nonce: u64::from_str_radix(nonce, 16).ok()?,
            expiration: expiration.parse().ok()?,
        })
    }
}

fn is_decimal(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_written() {
        let tags = EventTags {
            bucket_bits: 3,
            bucket: 5,
            work_nonce: 0xabc,
            expiration: 1_795_000_070,
        };
        let written = tags.write();
        let texts = written
            .each_ref()
            .map(|[name, value]| [name.as_str(), value]);
        assert_eq!(
            texts,
            [
                ["t", "rf1-3-0005"],
                ["w", "0000000000000abc"],
                ["expiration", "1795000070"]
            ]
        );
        let read = EventTags::read(written.iter().rev().map(|tag| tag.as_slice()));
        assert_eq!(read, Some(tags));
    }

    #[test]
    fn a_missing_a_repeated_and_a_foreign_tag_are_refused() {
        let tags = EventTags {
            bucket_bits: 0,
            bucket: 0,
            work_nonce: 0,
            expiration: 0,
        };
        let written = tags.write();
        let read = |tags: &[[String; 2]]| EventTags::read(tags.iter().map(|tag| tag.as_slice()));
        assert_eq!(read(&written[1..]), None);
        assert_eq!(read(&[&written[..], &written[..1]].concat()), None);
        let foreign = ["subject", "hello"].map(str::to_owned);
        assert_eq!(read(&[&written[..], &[foreign]].concat()), None);
    }
}
