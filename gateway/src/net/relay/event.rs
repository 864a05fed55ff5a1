//! Envelopes as Nostr events (NIP-01), and back. The format is in `ringfence_book::nostr_event`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nostr::{Event, EventBuilder, Keys, Kind, SecretKey, Tag, Timestamp};
use ringfence_book::nostr_event::{
    BUCKET_TAG, CONTENT_CHARS, CREATED_ROUNDING, ENVELOPE_BYTES, EventTags, MAX_NOTE_LIFE,
    MAX_SKEW, NOTE_KIND, NOTE_LIFE, RING_KIND, RING_LIFE, WORK_TAG,
};
use ringfence_engine::sealed::envelope::EventKey;
use ringfence_engine::sealed::proof_of_work::ProofOfWork;
use ringfence_engine::time::UnixTime;
use ringfence_engine::{ReceivedEvent, SealedEvent};
use zeroize::Zeroizing;

use super::PublishError;

/// An envelope that is to be published.
pub struct OutgoingEvent {
    /// The one-time key. Envelope and proof of work are bound to its public half.
    pub key: EventSigningKey,
    /// The nonce of the proof of work.
    pub work_nonce: u64,
    /// The bucket of the callee.
    pub bucket: u16,
    /// The envelope, exactly 1,024 bytes.
    pub bytes: Vec<u8>,
    /// Whether relays keep it.
    pub is_note: bool,
}

impl std::fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingEvent").finish_non_exhaustive()
    }
}

impl From<SealedEvent> for OutgoingEvent {
    fn from(post: SealedEvent) -> Self {
        let SealedEvent {
            proof,
            bucket,
            envelope,
            is_note,
            ..
        } = post;
        Self {
            work_nonce: proof.nonce,
            key: proof.into(),
            bucket,
            bytes: envelope.as_bytes().to_vec(),
            is_note,
        }
    }
}

/// A secp256k1 key for exactly one event.
pub struct EventSigningKey {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl From<ProofOfWork> for EventSigningKey {
    fn from(proof: ProofOfWork) -> Self {
        Self {
            secret: proof.event_secret,
            public: proof.event_key.0,
        }
    }
}

impl EventSigningKey {
    /// Draws a key from the system's random source.
    #[must_use]
    pub fn generate() -> Self {
        let keys = Keys::generate();
        Self {
            secret: Zeroizing::new(keys.secret_key().to_secret_bytes()),
            public: keys.public_key().to_bytes(),
        }
    }

    /// The secret half, to be kept with the proof of work that is done for this key.
    #[must_use]
    pub fn into_secret(self) -> Zeroizing<[u8; 32]> {
        self.secret
    }

    /// The x-only public key, as the event will contain it.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl std::fmt::Debug for EventSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventSigningKey(..)")
    }
}

pub(super) fn write_event(
    outgoing: &OutgoingEvent,
    bucket_bits: u8,
    now: u64,
) -> Result<Event, PublishError> {
    if outgoing.bytes.len() != ENVELOPE_BYTES {
        return Err(PublishError::Misuse);
    }
    let created = now - now % CREATED_ROUNDING;
    let (kind, life) = if outgoing.is_note {
        (NOTE_KIND, NOTE_LIFE)
    } else {
        (RING_KIND, RING_LIFE)
    };
    let secret = SecretKey::from_slice(&*outgoing.key.secret).map_err(|_| PublishError::Misuse)?;
    let tags = EventTags {
        bucket_bits,
        bucket: outgoing.bucket,
        work_nonce: outgoing.work_nonce,
        expiration: created + life,
    };
    let tags: Result<Vec<Tag>, _> = tags.write().into_iter().map(Tag::parse).collect();
    EventBuilder::new(Kind::from(kind), STANDARD.encode(&outgoing.bytes))
        .tags(tags.map_err(|_| PublishError::Misuse)?)
        .custom_created_at(Timestamp::from(created))
        .sign_with_keys(&Keys::new(secret))
        .map_err(|_| PublishError::Misuse)
}

/// Why an event is no answer to a subscription of ours. Its relay is at fault, not the event's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventFault {
    /// Another kind, or a bucket that was not asked for.
    Unasked,
    /// Its id or its signature is wrong.
    Forged,
}

/// Reads an event that came for a subscription to these buckets. Nothing of it counts before its id and its signature are verified.
/// `None` for events that an author signed and that hold no envelope for now.
///
/// # Errors
/// [`EventFault`]: an honest relay does not send such an event.
pub(super) fn read_event(
    event: &Event,
    tags: &BTreeMap<String, u16>,
    now: u64,
) -> Result<Option<ReceivedEvent>, EventFault> {
    let is_note = event.kind == Kind::from(NOTE_KIND);
    let is_kind = is_note || event.kind == Kind::from(RING_KIND);
    // An event may have several tags `t`; the first that was asked for is its bucket.
    let mut buckets = values(event, BUCKET_TAG).filter_map(|tag| tags.get(tag));
    let bucket = buckets
        .next()
        .filter(|_| is_kind)
        .ok_or(EventFault::Unasked)?;
    event.verify().map_err(|_| EventFault::Forged)?;
    Ok(read_envelope(event, *bucket, is_note, now))
}

fn read_envelope(event: &Event, bucket: u16, is_note: bool, now: u64) -> Option<ReceivedEvent> {
    let created = event.created_at.as_secs();
    let oldest = if is_note { MAX_NOTE_LIFE } else { MAX_SKEW };
    // Additions would overflow for moments that a hostile author invents.
    let is_timely =
        created.saturating_sub(now) <= MAX_SKEW && now.saturating_sub(created) <= oldest;
    if !is_timely || event.content.len() != CONTENT_CHARS {
        return None;
    }
    let nonce = values(event, WORK_TAG)
        .next()
        .filter(|nonce| nonce.len() <= 16)?;
    let nonce = u64::from_str_radix(nonce, 16).ok()?;
    let bytes = STANDARD
        .decode(&event.content)
        .ok()
        .filter(|bytes| bytes.len() == ENVELOPE_BYTES)?;
    Some(ReceivedEvent {
        bucket,
        event_key: EventKey(event.pubkey.to_bytes()),
        nonce,
        bytes,
        note_made: is_note.then(|| UnixTime::from_seconds(created)),
    })
}

fn values<'a>(event: &'a Event, name: &'static str) -> impl Iterator<Item = &'a str> {
    event
        .tags
        .iter()
        .filter_map(move |tag| match tag.as_slice() {
            [found, value, ..] if found == name => Some(value.as_str()),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use ringfence_book::nostr_event::bucket_tag;

    use super::*;

    const NOW: u64 = 1_795_000_007;

    fn outgoing() -> OutgoingEvent {
        OutgoingEvent {
            key: EventSigningKey::generate(),
            work_nonce: 0xabc,
            bucket: 5,
            bytes: (0..ENVELOPE_BYTES)
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

    fn taken(event: &Event, tags: &BTreeMap<String, u16>, now: u64) -> Option<ReceivedEvent> {
        read_event(event, tags, now).ok().flatten()
    }

    /// The same event after a change, with the id and the signature of before.
    fn forged(event: &Event, change: impl FnOnce(&mut serde_json::Value)) -> Event {
        let mut json = serde_json::to_value(event).unwrap();
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    /// The same event after a change, signed by its author.
    fn changed(event: &Event, change: impl FnOnce(&mut serde_json::Value)) -> Event {
        let event = forged(event, change);
        EventBuilder::new(event.kind, event.content)
            .tags(event.tags)
            .custom_created_at(event.created_at)
            .sign_with_keys(&Keys::generate())
            .unwrap()
    }

    #[test]
    fn an_envelope_comes_back_as_it_was_sent() {
        let sent = outgoing();
        let event = write_event(&sent, 3, NOW).unwrap();
        assert!(event.verify().is_ok());
        let incoming = taken(&event, &tags(&[4, 5]), NOW + 40).unwrap();
        assert_eq!(incoming.event_key, EventKey(sent.key.public()));
        assert_eq!((incoming.bucket, incoming.nonce), (5, 0xabc));
        assert_eq!(incoming.bytes, sent.bytes);
    }

    #[test]
    fn an_event_says_nothing_but_bucket_proof_rounded_time_and_expiry() {
        let event = write_event(&outgoing(), 3, NOW).unwrap();
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
        assert_eq!(
            (event.kind.as_u16(), event.content.len()),
            (RING_KIND, CONTENT_CHARS)
        );
    }

    #[test]
    fn what_is_not_one_of_our_envelopes_is_dropped() {
        let event = write_event(&outgoing(), 3, NOW).unwrap();
        let ours = tags(&[5]);
        assert!(taken(&event, &ours, NOW).is_some());
        assert!(taken(&event, &tags(&[4]), NOW).is_none(), "another bucket");
        assert!(taken(&event, &ours, NOW + 200).is_none(), "too old");
        assert!(taken(&event, &ours, NOW - 200).is_none(), "from the future");
        let bad = [
            changed(&event, |json| json["kind"] = 1.into()),
            changed(&event, |json| json["content"] = "AAAA".into()),
            changed(&event, |json| {
                json["content"] = "*".repeat(CONTENT_CHARS).into()
            }),
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
        let [kind, content, base64, no_work, no_bucket, no_number, long] = bad;
        for (event, wrong) in [(&kind, "another kind"), (&no_bucket, "no bucket")] {
            let read = read_event(event, &ours, NOW);
            assert_eq!(read.err(), Some(EventFault::Unasked), "{wrong}");
        }
        for event in [&content, &base64, &no_work, &no_number, &long] {
            // An author may sign anything: its relay is not at fault.
            assert!(
                matches!(read_event(event, &ours, NOW), Ok(None)),
                "{event:?}"
            );
        }
    }

    #[test]
    fn an_event_counts_only_with_its_own_id_and_its_authors_signature() {
        let event = write_event(&outgoing(), 3, NOW).unwrap();
        let other = write_event(&outgoing(), 3, NOW).unwrap();
        let value =
            |event: &Event, field: &str| serde_json::to_value(event).unwrap()[field].clone();
        for field in ["id", "pubkey", "sig"] {
            let event = forged(&event, |json| json[field] = value(&other, field));
            let read = read_event(&event, &tags(&[5]), NOW);
            assert_eq!(read.err(), Some(EventFault::Forged), "{field}");
        }
        for (field, value) in [
            ("created_at", (NOW - 1).into()),
            ("content", "A".repeat(CONTENT_CHARS).into()),
            ("kind", NOTE_KIND.into()),
            ("tags", serde_json::json!([["t", "rf1-3-0005"], ["w", "0"]])),
        ] {
            let event = forged(&event, |json| json[field] = value);
            let read = read_event(&event, &tags(&[5]), NOW);
            assert_eq!(read.err(), Some(EventFault::Forged), "{field}");
        }
        let last_moment = changed(&event, |json| json["created_at"] = u64::MAX.into());
        let read = read_event(&last_moment, &tags(&[5]), NOW);
        assert!(matches!(read, Ok(None)), "{read:?}");
    }

    #[test]
    fn a_note_is_of_a_kind_that_relays_keep_for_a_week_and_good_as_long() {
        let note = OutgoingEvent {
            is_note: true,
            ..outgoing()
        };
        let event = write_event(&note, 3, NOW).unwrap();
        let (ours, week) = (tags(&[5]), 7 * 86_400);
        assert_eq!(event.kind.as_u16(), NOTE_KIND);
        let expires = event.tags.iter().find_map(|tag| match tag.as_slice() {
            [name, at] if name == "expiration" => Some(at.clone()),
            _ => None,
        });
        assert_eq!(expires, Some((1_795_000_000 + week).to_string()));
        let read = |at| taken(&event, &ours, at).and_then(|incoming| incoming.note_made);
        let made = UnixTime::from_seconds(1_795_000_000);
        assert_eq!(read(NOW), Some(made));
        assert_eq!(read(NOW + week), Some(made));
        assert_eq!(read(NOW + week + 200), None);
        assert_eq!(read(NOW - 200), None, "from the future");
        let ring = write_event(&outgoing(), 3, NOW).unwrap();
        assert_eq!(taken(&ring, &ours, NOW).unwrap().note_made, None);
    }

    #[test]
    fn an_envelope_of_another_size_is_not_sent() {
        let short = OutgoingEvent {
            bytes: vec![0; ENVELOPE_BYTES - 1],
            ..outgoing()
        };
        assert_eq!(write_event(&short, 3, NOW), Err(PublishError::Misuse));
    }
}
