//! Envelopes as Nostr events (NIP-01 kinds and signatures, NIP-40 expiry), and back.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nostr_sdk::prelude::{Event, EventBuilder, Keys, Kind, SecretKey, Tag, Timestamp};
use ringfence_engine::sealed::proof_of_work::Stamp;
use ringfence_engine::{Post, sealed::note};
use zeroize::Zeroizing;

use super::PublishError;

/// The event kind of all our messages: ephemeral (20000-29999, NIP-01), so that relays pass it on and keep nothing.
pub const KIND: u16 = 20_777;
/// The event kind of texts and missed-call notes: regular (1000-9999, NIP-01), so that relays keep it until it expires.
pub const NOTE_KIND: u16 = 2_777;
/// Size of an envelope in bytes.
pub const ENVELOPE: usize = 1_024;
/// Base64 length of an envelope; anything else is dropped before it is decoded.
const CONTENT: usize = ENVELOPE.div_ceil(3) * 4;
/// `created_at` is rounded down to this many seconds, so that it does not tell when a person dialled.
const ROUNDING: u64 = 10;
/// Seconds after which relays may forget an event (NIP-40).
const EXPIRY: u64 = 70;
/// The same for notes, and how old they may be when they arrive: clocks differ, and `created_at` is rounded.
const NOTE_EXPIRY: u64 = note::LIFE.as_secs();
/// Events older than this are not handed on: the seal's own limit is 60 s, rounding adds 10 and clocks differ.
pub(super) const STALE: u64 = 90;

/// An envelope as it came from a relay. Its event's id and signature were checked, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Bucket of the event's `t` tag.
    pub bucket: u16,
    /// The event's one-time public key (x-only secp256k1).
    pub event_key: [u8; 32],
    /// Nonce of the stamp in the event's `w` tag.
    pub work_nonce: u64,
    /// The envelope, exactly 1,024 bytes.
    pub bytes: Vec<u8>,
    /// When it was made, if relays keep its kind: seconds since 1970.
    pub note_made: Option<u64>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// An envelope to be published.
pub struct Letter {
    /// The one-time key, whose public half the envelope and the stamp are bound to.
    pub key: EventKey,
    /// Nonce of the stamp.
    pub work_nonce: u64,
    /// Bucket of the callee.
    pub bucket: u16,
    /// The envelope, exactly 1,024 bytes.
    pub bytes: Vec<u8>,
    /// Whether relays shall keep it.
    pub is_note: bool,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}

impl From<Post> for Letter {
    fn from(post: Post) -> Self {
        let Post {
            stamp,
            bucket,
            envelope,
            is_note,
            ..
        } = post;
        Self {
            work_nonce: stamp.nonce,
            key: stamp.into(),
            bucket,
            bytes: envelope.as_bytes().to_vec(),
            is_note,
        }
    }
}

/// A secp256k1 key for exactly one event.
pub struct EventKey {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl From<Stamp> for EventKey {
    fn from(stamp: Stamp) -> Self {
        Self {
            secret: stamp.event_secret,
            public: stamp.event_key.0,
        }
    }
}

impl EventKey {
    /// Draws a key from the system's random source.
    #[must_use]
    pub fn generate() -> Self {
        let keys = Keys::generate();
        Self {
            secret: Zeroizing::new(keys.secret_key().to_secret_bytes()),
            public: keys.public_key().to_bytes(),
        }
    }

    /// The secret half, to be kept with the stamp that is minted for this key.
    #[must_use]
    pub fn into_secret(self) -> Zeroizing<[u8; 32]> {
        self.secret
    }

    /// The x-only public key, as it will stand in the event.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey(..)")
    }
}

/// The `t` tag of a bucket.
pub(super) fn bucket_tag(bits: u8, bucket: u16) -> String {
    format!("rf1-{bits}-{bucket:04x}")
}

pub(super) fn write_event(
    letter: &Letter,
    bucket_bits: u8,
    now: u64,
) -> Result<Event, PublishError> {
    if letter.bytes.len() != ENVELOPE {
        return Err(PublishError::Misuse);
    }
    let created = now - now % ROUNDING;
    let (kind, expiry) = if letter.is_note {
        (NOTE_KIND, NOTE_EXPIRY)
    } else {
        (KIND, EXPIRY)
    };
    let secret = SecretKey::from_slice(&*letter.key.secret).map_err(|_| PublishError::Misuse)?;
    let tags = [
        vec!["t".to_owned(), bucket_tag(bucket_bits, letter.bucket)],
        vec!["w".to_owned(), format!("{:016x}", letter.work_nonce)],
        vec!["expiration".to_owned(), (created + expiry).to_string()],
    ];
    let tags: Result<Vec<Tag>, _> = tags.into_iter().map(Tag::parse).collect();
    EventBuilder::new(Kind::from(kind), STANDARD.encode(&letter.bytes))
        .tags(tags.map_err(|_| PublishError::Misuse)?)
        .custom_created_at(Timestamp::from(created))
        .sign_with_keys(&Keys::new(secret))
        .map_err(|_| PublishError::Misuse)
}

/// Reads an event, or says nothing: what is not one of our envelopes is somebody else's business.
pub(super) fn read_event(
    event: &Event,
    tags: &BTreeMap<String, u16>,
    now: u64,
) -> Option<Incoming> {
    let created = event.created_at.as_secs();
    let is_note = event.kind == Kind::from(NOTE_KIND);
    let oldest = if is_note { NOTE_EXPIRY + STALE } else { STALE };
    let is_timely = created <= now + STALE && now <= created + oldest;
    let is_ours = is_note || event.kind == Kind::from(KIND);
    if !is_ours || !is_timely || event.content.len() != CONTENT {
        return None;
    }
    let value = |name: &str| {
        event.tags.iter().find_map(|tag| match tag.as_slice() {
            [found, value, ..] if found == name => Some(value.as_str()),
            _ => None,
        })
    };
    let bucket = *tags.get(value("t")?)?;
    let nonce = value("w").filter(|nonce| nonce.len() <= 16)?;
    let work_nonce = u64::from_str_radix(nonce, 16).ok()?;
    let bytes = STANDARD
        .decode(&event.content)
        .ok()
        .filter(|bytes| bytes.len() == ENVELOPE)?;
    Some(Incoming {
        bucket,
        event_key: event.pubkey.to_bytes(),
        work_nonce,
        bytes,
        note_made: is_note.then_some(created),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_007;

    fn letter() -> Letter {
        Letter {
            key: EventKey::generate(),
            work_nonce: 0xabc,
            bucket: 5,
            bytes: (0..ENVELOPE)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect(),
            is_note: false,
        }
    }

    fn tags(buckets: &[u16]) -> BTreeMap<String, u16> {
        buckets
            .iter()
            .map(|bucket| (bucket_tag(3, *bucket), *bucket))
            .collect()
    }

    fn changed(event: &Event, change: impl FnOnce(&mut serde_json::Value)) -> Event {
        let mut json = serde_json::to_value(event).unwrap();
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_envelope_comes_back_as_it_was_sent() {
        let letter = letter();
        let event = write_event(&letter, 3, NOW).unwrap();
        assert!(event.verify().is_ok());
        let incoming = read_event(&event, &tags(&[4, 5]), NOW + 40).unwrap();
        assert_eq!(incoming.event_key, letter.key.public());
        assert_eq!((incoming.bucket, incoming.work_nonce), (5, 0xabc));
        assert_eq!(incoming.bytes, letter.bytes);
    }

    #[test]
    fn an_event_says_nothing_but_bucket_stamp_rounded_time_and_expiry() {
        let event = write_event(&letter(), 3, NOW).unwrap();
        let tags: Vec<Vec<String>> = event
            .tags
            .iter()
            .map(|tag| tag.as_slice().to_vec())
            .collect();
        assert_eq!(
            tags,
            [
                ["t", "rf1-3-0005"],
                ["w", "0000000000000abc"],
                ["expiration", "1795000070"]
            ]
        );
        assert_eq!(event.created_at.as_secs(), 1_795_000_000);
        assert_eq!((event.kind.as_u16(), event.content.len()), (KIND, CONTENT));
    }

    #[test]
    fn what_is_not_one_of_our_envelopes_is_dropped() {
        let event = write_event(&letter(), 3, NOW).unwrap();
        let ours = tags(&[5]);
        assert!(read_event(&event, &ours, NOW).is_some());
        assert!(
            read_event(&event, &tags(&[4]), NOW).is_none(),
            "another bucket"
        );
        assert!(read_event(&event, &ours, NOW + 200).is_none(), "too old");
        assert!(
            read_event(&event, &ours, NOW - 200).is_none(),
            "from the future"
        );
        let bad = [
            changed(&event, |json| json["kind"] = 1.into()),
            changed(&event, |json| json["content"] = "AAAA".into()),
            changed(&event, |json| json["content"] = "*".repeat(CONTENT).into()),
            changed(&event, |json| {
                json["tags"] = serde_json::json!([["t", "rf1-3-0005"]])
            }),
            changed(&event, |json| {
                json["tags"] = serde_json::json!([["t"], ["w", "1"]])
            }),
            changed(&event, |json| {
                json["tags"] = serde_json::json!([["t", "rf1-3-0005"], ["w", "x"]])
            }),
            changed(&event, |json| {
                json["tags"] = serde_json::json!([["t", "rf1-3-0005"], ["w", "00000000000000001"]])
            }),
        ];
        for event in bad {
            assert!(read_event(&event, &ours, NOW).is_none(), "{event:?}");
        }
    }

    #[test]
    fn a_note_is_of_a_kind_that_relays_keep_for_a_week_and_good_as_long() {
        let note = Letter {
            is_note: true,
            ..letter()
        };
        let event = write_event(&note, 3, NOW).unwrap();
        let (ours, week) = (tags(&[5]), 7 * 86_400);
        assert_eq!(event.kind.as_u16(), NOTE_KIND);
        let expires = event.tags.iter().find_map(|tag| match tag.as_slice() {
            [name, at] if name == "expiration" => Some(at.clone()),
            _ => None,
        });
        assert_eq!(expires, Some((1_795_000_000 + week).to_string()));
        let read = |at| read_event(&event, &ours, at).and_then(|incoming| incoming.note_made);
        assert_eq!(read(NOW), Some(1_795_000_000));
        assert_eq!(read(NOW + week), Some(1_795_000_000));
        assert_eq!(read(NOW + week + 200), None);
        assert_eq!(read(NOW - 200), None, "from the future");
        let ring = write_event(&letter(), 3, NOW).unwrap();
        assert_eq!(read_event(&ring, &ours, NOW).unwrap().note_made, None);
    }

    #[test]
    fn an_envelope_of_another_size_is_not_sent() {
        let short = Letter {
            bytes: vec![0; ENVELOPE - 1],
            ..letter()
        };
        assert_eq!(write_event(&short, 3, NOW), Err(PublishError::Misuse));
    }
}
