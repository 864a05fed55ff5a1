//! What a ring or a note looks like from outside, event and subscription (NIP-01, NIP-40). What is in it, no relay knows; a relay for
//! these carries nothing else. Told the time; it has no clock.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nostr::{Alphabet, Event, Filter, SingleLetterTag, Tag};
use ringfence_book::nostr_event::{
    CONTENT_CHARS, ENVELOPE_BYTES, EventTags, MAX_NOTE_LIFE, MAX_RING_LIFE, MAX_SKEW, NOTE_KIND,
    RING_KIND,
};
use ringfence_book::proof_of_work;

/// Buckets in one filter: an engine with so many lines listens to some more than it has.
const BUCKETS: usize = 256;

/// Why an event or a filter is not for this relay. The text is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    #[error("this relay carries sealed rings and notes, nothing else")]
    Kind,
    #[error("a ring's content is one envelope")]
    Content,
    #[error("a ring has the tags t, w and expiration, once each, and no other")]
    Tags,
    #[error("the time of this event is too far from now")]
    Time,
    #[error("this event has ended, or ends too late")]
    Expiry,
    #[error("the proof of work is too small")]
    Work,
    #[error("a subscription here names the kind of rings or of notes, and buckets at most")]
    Filter,
}

/// What an event is that may be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventClass {
    /// To be passed on.
    Ring,
    /// To be passed on, and kept until this second since 1970.
    Note(u64),
}

/// Looks at an event whose id and signature are not checked yet: this costs less.
pub(super) fn check_event(
    event: &Event,
    work_bits: u8,
    unix: u64,
) -> Result<EventClass, EventError> {
    let longest = match event.kind.as_u16() {
        RING_KIND => MAX_RING_LIFE,
        NOTE_KIND => MAX_NOTE_LIFE,
        _ => return Err(EventError::Kind),
    };
    if event.created_at.as_secs().abs_diff(unix) > MAX_SKEW {
        return Err(EventError::Time);
    }
    let tags = EventTags::read(event.tags.iter().map(Tag::as_slice)).ok_or(EventError::Tags)?;
    let end = tags.expiration;
    if end <= unix || end > unix + longest {
        return Err(EventError::Expiry);
    }
    if !proof_of_work::check(event.pubkey.as_bytes(), tags.work_nonce, work_bits, unix) {
        return Err(EventError::Work);
    }
    let content = (event.content.len() == CONTENT_CHARS).then(|| STANDARD.decode(&event.content));
    match content {
        Some(Ok(envelope)) if envelope.len() == ENVELOPE_BYTES => {
            let is_note = event.kind.as_u16() == NOTE_KIND;
            Ok(if is_note {
                EventClass::Note(end)
            } else {
                EventClass::Ring
            })
        }
        _ => Err(EventError::Content),
    }
}

/// Looks at a filter: rings or notes, of some buckets or of all, from some time on. There is nothing else to ask for.
pub(super) fn check_filter(filter: &Filter) -> Result<(), EventError> {
    let rings = filter
        .kinds
        .as_ref()
        .is_some_and(|kinds| kinds.len() == 1 && kinds.iter().all(|k| is_carried(k.as_u16())));
    let bucket_tag = SingleLetterTag::lowercase(Alphabet::T);
    let buckets = filter
        .generic_tags
        .iter()
        .all(|(tag, values)| *tag == bucket_tag && values.len() <= BUCKETS);
    let no_authors = filter.ids.is_none() && filter.authors.is_none() && filter.search.is_none();
    if rings && buckets && no_authors {
        Ok(())
    } else {
        Err(EventError::Filter)
    }
}

fn is_carried(kind: u16) -> bool {
    matches!(kind, RING_KIND | NOTE_KIND)
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind, Timestamp};

    use super::*;

    const NOW: u64 = 1_790_000_300;

    /// What may be wrong with an event.
    struct Draft {
        kind: u16,
        content: String,
        created: u64,
        tags: Vec<Vec<String>>,
    }

    impl Draft {
        fn ring() -> Self {
            let tag = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
            Self {
                kind: RING_KIND,
                content: STANDARD.encode([9; ENVELOPE_BYTES]),
                created: NOW - 7,
                tags: vec![
                    tag("t", "rf1-3-0005"),
                    tag("w", "00000000000000ff"),
                    tag("expiration", &(NOW + 63).to_string()),
                ],
            }
        }

        fn check(&self, bits: u8) -> Result<EventClass, EventError> {
            let tags = self.tags.iter().map(|tag| Tag::parse(tag).unwrap());
            let event = EventBuilder::new(Kind::from(self.kind), self.content.clone())
                .tags(tags)
                .custom_created_at(Timestamp::from(self.created))
                .sign_with_keys(&Keys::generate())
                .unwrap();
            check_event(&event, bits, NOW)
        }

        fn with(change: impl FnOnce(&mut Self)) -> Result<EventClass, EventError> {
            let mut draft = Self::ring();
            change(&mut draft);
            draft.check(0)
        }
    }

    #[test]
    fn a_ring_passes_and_each_thing_wrong_is_named() {
        assert_eq!(Draft::ring().check(0), Ok(EventClass::Ring));
        assert_eq!(Draft::ring().check(28), Err(EventError::Work));
        assert_eq!(Draft::with(|d| d.kind = 1), Err(EventError::Kind));
        for content in [
            STANDARD.encode([9; ENVELOPE_BYTES - 1]),
            STANDARD.encode([9; ENVELOPE_BYTES + 1]),
            format!("{}!", &STANDARD.encode([9; ENVELOPE_BYTES])[1..]),
            "A".repeat(CONTENT_CHARS),
        ] {
            assert_eq!(
                Draft::with(|d| d.content = content),
                Err(EventError::Content)
            );
        }
        for created in [NOW - 91, NOW + 91] {
            assert_eq!(Draft::with(|d| d.created = created), Err(EventError::Time));
        }
        for end in [NOW, NOW + 601] {
            let tag = vec!["expiration".to_owned(), end.to_string()];
            assert_eq!(Draft::with(|d| d.tags[2] = tag), Err(EventError::Expiry));
        }
    }

    #[test]
    fn a_note_may_last_a_week_and_a_ring_may_not() {
        let week = NOW - 7 + 7 * 86_400;
        let tag = |end: u64| vec!["expiration".to_owned(), end.to_string()];
        let note = |end| {
            Draft::with(|d| {
                d.kind = NOTE_KIND;
                d.tags[2] = tag(end);
            })
        };
        assert_eq!(note(week), Ok(EventClass::Note(week)));
        assert_eq!(note(week + 200), Err(EventError::Expiry));
        assert_eq!(
            Draft::with(|d| d.tags[2] = tag(week)),
            Err(EventError::Expiry)
        );
    }

    #[test]
    fn tags_are_those_of_a_ring_and_no_other() {
        let wrong: [fn(&mut Draft); 8] = [
            |d| drop(d.tags.remove(0)),
            |d| drop(d.tags.remove(1)),
            |d| drop(d.tags.remove(2)),
            |d| d.tags.push(vec!["t".into(), "rf1-3-0006".into()]),
            |d| d.tags.push(vec!["subject".into(), "hello".into()]),
            |d| d.tags[0][1] = "20123".into(),
            |d| d.tags[1][1] = "00000000000000FF".into(),
            |d| d.tags[2].push("more".into()),
        ];
        for (index, change) in wrong.into_iter().enumerate() {
            assert_eq!(Draft::with(change), Err(EventError::Tags), "{index}");
        }
    }

    #[test]
    fn only_rings_can_be_asked_for() {
        let rings = || Filter::new().kind(Kind::from(RING_KIND));
        let keys = Keys::generate();
        assert_eq!(check_filter(&rings()), Ok(()));
        let good = rings().hashtag("rf1-3-0005").since(Timestamp::from(NOW));
        assert_eq!(check_filter(&good), Ok(()));
        let notes = Filter::new().kind(Kind::from(NOTE_KIND));
        assert_eq!(check_filter(&notes), Ok(()));
        for bad in [
            Filter::new(),
            Filter::new().kind(Kind::from(1)),
            rings().kind(Kind::from(1)),
            rings().author(keys.public_key()),
            rings().pubkey(keys.public_key()),
            rings().search("a"),
            rings().hashtags((0..=BUCKETS).map(|bucket| format!("rf1-16-{bucket:04x}"))),
        ] {
            assert_eq!(check_filter(&bad), Err(EventError::Filter), "{bad:?}");
        }
    }
}
