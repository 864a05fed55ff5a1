//! Tags in use (PROTOCOL.md section 3): which one an envelope to a contact carries, and whose an envelope is that arrives.
//!
//! Only the look-up is here. That an envelope is a contact's is proved when it opens, as for every other; a tag only decides that it is
//! opened at once ([`crate::engine`]).

use std::collections::{BTreeMap, BTreeSet};

use ringfence_book::Number;

use super::contacts::PeerIdentity;
use super::secrets::{PairSecrets, SharedSecrets};
use crate::sealed::contact_secret::{ContactSecret, TagWindow};
use crate::sealed::routing_tag::RoutingTag;
use crate::time::UnixTime;

/// Envelopes under one tag that are opened at once: who saw it can copy it.
const TRIES: u8 = 3;

/// Tags that were given and that are looked for.
#[derive(Debug)]
pub(crate) struct Tags {
    /// The process before this one may have given tags of the window in which this one started.
    started: TagWindow,
    /// The latest window in which any was given.
    latest: TagWindow,
    /// How many of it, by pairs.
    given: BTreeMap<(Number, Number), usize>,
    /// What may arrive, of the three windows around the present one.
    expected: BTreeMap<TagWindow, BTreeMap<RoutingTag, ExpectedTag>>,
}

/// Whose a tag is.
#[derive(Clone, Copy, Debug)]
struct ExpectedTag {
    line: Number,
    sender: Number,
    tries: u8,
}

impl Tags {
    pub(crate) fn new(wall: UnixTime) -> Self {
        Self {
            started: TagWindow::at(wall),
            latest: TagWindow::at(wall),
            given: BTreeMap::new(),
            expected: BTreeMap::new(),
        }
    }

    /// A tag for one envelope of a line; `None` without a secret, and when all of this window were given.
    pub(crate) fn give(
        &mut self,
        secrets: &PairSecrets,
        (line, peer): (Number, PeerIdentity),
        wall: UnixTime,
    ) -> Option<RoutingTag> {
        let window = TagWindow::at(wall);
        if self.latest < window {
            self.latest = window;
            self.given.clear();
        }
        let pair = secrets.of(line, peer.number)?;
        let secret = pair.secrets.first()?;
        // A clock that was put back gives none: they were given.
        if window < self.latest || pair.identity != peer.identity {
            return None;
        }
        let ends = (line, peer.number);
        let count = if self.latest > self.started {
            self.given.entry(ends).or_insert(0)
        } else {
            self.given.get_mut(&ends)?
        };
        let tag = *secret.tags(line, window).get(*count)?;
        *count += 1;
        Some(tag)
    }

    /// The newest secret of a pair was drawn just now, and its tags may arrive. It is the one whose tags are given: from its first on, and in
    /// the window in which this process started too, since no other has given any. Tags of secrets that the pair keeps no longer are not
    /// looked for: calls that follow each other must not fill the memory.
    pub(crate) fn learn(&mut self, pair: &SharedSecrets) {
        let ends = (pair.line, pair.number);
        self.given.insert(ends, 0);
        for (window, tags) in &mut self.expected {
            let kept = pair.secrets.iter();
            let kept: BTreeSet<_> = kept
                .flat_map(|secret| secret.tags(pair.number, *window))
                .collect();
            tags.retain(|tag, expected| {
                (expected.line, expected.sender) != ends || kept.contains(tag)
            });
            if let Some(newest) = pair.secrets.first() {
                expect(tags, ends, newest, *window);
            }
        }
    }

    /// Whose envelope this is, if it is one to be opened at once: line and sender.
    pub(crate) fn try_tag(
        &mut self,
        secrets: &PairSecrets,
        tag: RoutingTag,
        wall: UnixTime,
    ) -> Option<(Number, Number)> {
        self.look_around(secrets, wall);
        let found = self
            .expected
            .values_mut()
            .find_map(|tags| tags.get_mut(&tag));
        let found = found.filter(|found| found.tries < TRIES)?;
        found.tries += 1;
        Some((found.line, found.sender))
    }

    /// An envelope of its sender has opened under this tag: there is no other.
    pub(crate) fn spend(&mut self, tag: RoutingTag) {
        for tags in self.expected.values_mut() {
            tags.remove(&tag);
        }
    }

    /// Expects the tags of the windows around the present one, and no others.
    fn look_around(&mut self, secrets: &PairSecrets, wall: UnixTime) {
        let around = TagWindow::at(wall).around();
        self.expected.retain(|window, _| around.contains(window));
        for window in around {
            self.expected.entry(window).or_insert_with(|| {
                let mut tags = BTreeMap::new();
                for pair in secrets.iter() {
                    for secret in &pair.secrets {
                        expect(&mut tags, (pair.line, pair.number), secret, window);
                    }
                }
                tags
            });
        }
    }
}

fn expect(
    tags: &mut BTreeMap<RoutingTag, ExpectedTag>,
    (line, sender): (Number, Number),
    secret: &ContactSecret,
    window: TagWindow,
) {
    let tries = 0;
    let expected = ExpectedTag {
        line,
        sender,
        tries,
    };
    tags.extend(
        secret
            .tags(sender, window)
            .into_iter()
            .map(|tag| (tag, expected)),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ed25519_dalek::SigningKey;
    use ringfence_book::IdentityKey;

    use super::*;
    use crate::sealed::contact_secret::TAGS;
    use crate::trust::secrets::SECRETS;

    const ALICE: Number = Number::new(1);
    const BOB: Number = Number::new(2);
    const WINDOW: Duration = Duration::from_secs(600);
    /// The first moment of a window, and of a day.
    const MIDNIGHT: UnixTime = UnixTime::from_seconds(20_000 * 86_400);

    fn peer(number: Number) -> PeerIdentity {
        let key = SigningKey::from_bytes(&[number.value() as u8; 32]);
        PeerIdentity {
            number,
            identity: IdentityKey::from(&key),
        }
    }

    /// What one of the two keeps.
    struct Side {
        line: Number,
        other: PeerIdentity,
        secrets: PairSecrets,
        tags: Tags,
    }

    impl Side {
        fn new(line: Number, other: Number) -> Self {
            Self {
                line,
                other: peer(other),
                secrets: PairSecrets::default(),
                tags: Tags::new(MIDNIGHT.before(Duration::from_secs(86_400))),
            }
        }

        /// A call of the day before was answered.
        fn share(&mut self, key: u8) {
            let day = MIDNIGHT.before(Duration::from_secs(1)).day();
            let secret = ContactSecret::new(day, [key; 32]);
            self.secrets.add(self.line, self.other, secret, 0);
            let pair = self.secrets.of(self.line, self.other.number);
            self.tags.learn(pair.unwrap());
        }

        fn give(&mut self, wall: UnixTime) -> Option<RoutingTag> {
            self.forward(wall);
            self.tags.give(&self.secrets, (self.line, self.other), wall)
        }

        fn knows(&mut self, tag: RoutingTag, wall: UnixTime) -> bool {
            self.forward(wall);
            let found = self.tags.try_tag(&self.secrets, tag, wall);
            found.is_some_and(|found| found == (self.line, self.other.number))
        }

        fn forward(&mut self, wall: UnixTime) {
            self.secrets.forward(TagWindow::at(wall).previous().day());
        }
    }

    fn pair() -> (Side, Side) {
        let (mut alice, mut bob) = (Side::new(ALICE, BOB), Side::new(BOB, ALICE));
        alice.share(1);
        bob.share(1);
        (alice, bob)
    }

    #[test]
    fn a_tag_is_known_by_a_clock_that_is_ninety_seconds_away_and_on_the_next_day() {
        let skew = Duration::from_secs(90);
        for sent in [
            MIDNIGHT.before(Duration::from_secs(1)),
            MIDNIGHT,
            MIDNIGHT.after(Duration::from_secs(300)),
            MIDNIGHT.after(WINDOW).before(Duration::from_secs(1)),
        ] {
            for heard in [
                sent.before(skew),
                sent,
                sent.after(skew),
                sent.after(WINDOW),
            ] {
                let (mut alice, mut bob) = pair();
                let (tag, back) = (alice.give(sent).unwrap(), bob.give(sent).unwrap());
                assert!(bob.knows(tag, heard) && alice.knows(back, heard));
                assert!(!alice.knows(tag, heard), "each direction has its own");
            }
            let (mut alice, mut bob) = pair();
            let tag = alice.give(sent).unwrap();
            assert!(!bob.knows(tag, sent.after(2 * WINDOW)));
        }
    }

    #[test]
    fn a_window_has_thirty_two_tags_and_none_comes_twice() {
        let (mut alice, _) = pair();
        let mut given = BTreeSet::new();
        for window in 0..3 {
            let wall = MIDNIGHT.after(window * WINDOW);
            given.extend((0..2 * TAGS).filter_map(|_| alice.give(wall)));
        }
        assert_eq!(given.len(), 3 * TAGS);
        assert!(alice.give(MIDNIGHT).is_none(), "the clock was put back");
    }

    #[test]
    fn the_window_in_which_a_process_starts_has_no_tags() {
        let (mut alice, _) = pair();
        alice.tags = Tags::new(MIDNIGHT);
        assert!(alice.give(MIDNIGHT.after(WINDOW / 2)).is_none());
        assert!(alice.give(MIDNIGHT.after(WINDOW)).is_some());
        // But for a secret that this process has drawn.
        let before = MIDNIGHT.before(Duration::from_secs(1));
        alice.tags = Tags::new(before);
        assert!(alice.give(before).is_none());
        alice.share(2);
        assert!(alice.give(before).is_some());
    }

    #[test]
    fn a_tag_is_good_for_three_tries_or_until_it_is_spent_and_others_stay() {
        let (mut alice, mut bob) = pair();
        let tags: Vec<_> = (0..3).filter_map(|_| alice.give(MIDNIGHT)).collect();
        let tried: Vec<_> = (0..4).map(|_| bob.knows(tags[0], MIDNIGHT)).collect();
        assert_eq!(tried, [true, true, true, false]);
        assert!(bob.knows(tags[1], MIDNIGHT));
        bob.tags.spend(tags[1]);
        // Another call brings nothing back.
        bob.share(2);
        assert!(!bob.knows(tags[1], MIDNIGHT) && !bob.knows(tags[0], MIDNIGHT));
        assert!(bob.knows(tags[2], MIDNIGHT.after(WINDOW)));
    }

    #[test]
    fn who_missed_the_end_of_a_call_is_known_by_the_secret_before_and_no_older_one() {
        let (mut alice, mut bob) = pair();
        assert!(!bob.knows(RoutingTag([0; 16]), MIDNIGHT));
        alice.share(2);
        let (newer, before) = (alice.give(MIDNIGHT).unwrap(), bob.give(MIDNIGHT).unwrap());
        assert!(!bob.knows(newer, MIDNIGHT) && alice.knows(before, MIDNIGHT));
        bob.share(2);
        assert!(
            bob.knows(newer, MIDNIGHT),
            "in the windows that are looked at"
        );
        let (mut carol, mut dave) = pair();
        carol.share(2);
        carol.share(3);
        assert!(!carol.knows(dave.give(MIDNIGHT).unwrap(), MIDNIGHT));
        // Nor in the windows that are looked at, however many calls there are.
        let looked_for = |side: &Side| side.tags.expected.values().map(BTreeMap::len).sum();
        let most: usize = looked_for(&carol);
        for key in 4..9 {
            carol.share(key);
            let now: usize = looked_for(&carol);
            assert_eq!(now, most);
        }
        assert_eq!(most, 3 * SECRETS * TAGS);
    }

    #[test]
    fn another_key_of_the_number_is_shown_no_tag() {
        let (mut alice, _) = pair();
        let changed = PeerIdentity {
            number: BOB,
            ..peer(Number::new(3))
        };
        let tag = alice.tags.give(&alice.secrets, (ALICE, changed), MIDNIGHT);
        assert!(tag.is_none());
    }
}
