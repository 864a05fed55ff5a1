//! Roots of the phone book as this engine and those it talks with saw them. Two that cannot both be true
//! ([`Root::contradicts`]) prove that it shows different contents to different engines, and both together are evidence. A root of any day
//! of the last thirty is compared: it names the boundary before its day.
//!
//! Not done here: downloading roots, verifying their chain (`ringfence_book::copy`), and keeping the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_book::{Day, Root, RootHistory};

/// Roots that this engine has not reached. The book alone can make one; when there is no room, later ones are not kept.
const MOST_HEARD: usize = 64;

/// Days of which a contradiction was told. After so many there is nothing left to prove.
const MOST_TOLD: usize = 64;

/// Two roots that the same book signed and that cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitView {
    /// The one that this engine saw, or the one that it heard of first.
    pub ours: Root,
    /// The one that another engine saw.
    pub theirs: Root,
}

/// The roots of the last days.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    own: RootHistory,
    heard: BTreeMap<u32, Root>,
    told: BTreeSet<Day>,
}

impl Roots {
    /// The root of the book that is in use.
    pub(crate) fn newest(&self) -> Option<&Root> {
        self.own.newest()
    }

    /// Takes a root that this engine downloaded and verified.
    pub(crate) fn add(&mut self, root: impl Into<Arc<Root>>) -> Option<SplitView> {
        let shared = root.into();
        let root = *shared;
        if self.own.get(root.states().epoch) == Some(&root) {
            // A copy of the book brings all of them again each minute.
            return None;
        }
        let heard = self.heard.values().find(|heard| heard.contradicts(&root));
        let split = heard.map(|heard| (root, *heard));
        let known = self.contradicted(&root).map(|known| (known, root));
        self.own.add(shared);
        self.heard = self.heard.split_off(&(root.states().epoch + 1));
        known
            .or(split)
            .and_then(|(ours, theirs)| self.tell(ours, theirs))
    }

    /// Takes a root that the other side of a call saw.
    pub(crate) fn handle_foreign(&mut self, theirs: Root) -> Option<SplitView> {
        let heard = self.heard.values().find(|heard| heard.contradicts(&theirs));
        let ours = self.contradicted(&theirs).or(heard.copied());
        if let Some(ours) = ours {
            return self.tell(ours, theirs);
        }
        let epoch = theirs.states().epoch;
        let newest = self.newest().map_or(0, |newest| newest.states().epoch);
        if epoch > newest && self.heard.len() < MOST_HEARD {
            self.heard.insert(epoch, theirs);
        }
        None
    }

    /// An own root that cannot be true if this one is: of its epoch, of its day, or any of another count.
    fn contradicted(&self, root: &Root) -> Option<Root> {
        let states = root.states();
        let own = [
            self.own.get(states.epoch),
            self.own.of_day(states.day()),
            self.own.newest(),
        ];
        let mut own = own.into_iter().flatten();
        own.find(|own| own.contradicts(root)).copied()
    }

    fn tell(&mut self, ours: Root, theirs: Root) -> Option<SplitView> {
        let is_news = self.told.len() < MOST_TOLD && self.told.insert(theirs.states().day());
        is_news.then_some(SplitView { ours, theirs })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ringfence_book::NumberPlan;
    use ringfence_book::root::{RootHash, Statement, TilesHash};

    use super::*;

    const GENESIS: u64 = 1_800_000_000;

    fn states(epoch: u32, tiles: u8) -> Statement {
        Statement {
            epoch,
            genesis: GENESIS,
            closed: GENESIS + 60 * u64::from(epoch - 1),
            period: 60,
            plan: NumberPlan::new(20_000, 1).unwrap(),
            changes: 16,
            previous: RootHash::NONE,
            boundary: RootHash::NONE,
            tiles: TilesHash([tiles; 32]),
            delta: [0; 32],
            network: [0; 32],
        }
    }

    fn sign(states: Statement) -> Root {
        Root::sign(&SigningKey::from_bytes(&[1; 32]), states)
    }

    fn root(epoch: u32, tiles: u8) -> Root {
        sign(states(epoch, tiles))
    }

    /// A root of this epoch, whose day began after this boundary.
    fn after(epoch: u32, boundary: u8) -> Root {
        let boundary = RootHash([boundary; 32]);
        sign(Statement {
            boundary,
            ..states(epoch, 1)
        })
    }

    #[test]
    fn the_same_root_on_both_sides_is_no_news() {
        let mut roots = Roots::default();
        assert_eq!(roots.add(root(1, 1)), None);
        assert_eq!(roots.handle_foreign(root(1, 1)), None);
        assert_eq!(roots.add(root(1, 1)), None);
    }

    #[test]
    fn another_root_of_the_same_epoch_is_told_once() {
        let mut roots = Roots::default();
        roots.add(root(1, 1));
        let split = SplitView {
            ours: root(1, 1),
            theirs: root(1, 2),
        };
        assert_eq!(roots.handle_foreign(root(1, 2)), Some(split));
        assert_eq!(roots.handle_foreign(root(1, 2)), None);
        assert_eq!(roots.newest(), Some(&root(1, 1)));
    }

    #[test]
    fn another_boundary_of_the_same_day_is_told_whatever_the_epoch() {
        let mut roots = Roots::default();
        roots.add(after(5, 1));
        assert_eq!(roots.handle_foreign(after(3, 1)), None);
        let split = SplitView {
            ours: after(5, 1),
            theirs: after(3, 2),
        };
        assert_eq!(roots.handle_foreign(after(3, 2)), Some(split));
        assert_eq!(roots.handle_foreign(after(4, 2)), None, "once a day");
        let mut ahead = Roots::default();
        ahead.add(after(5, 1));
        assert!(ahead.handle_foreign(after(7, 2)).is_some());
    }

    #[test]
    fn another_count_of_epochs_is_told_at_once() {
        let mut roots = Roots::default();
        roots.add(root(5, 1));
        let late = states(2_000_000, 1);
        let numbered = Statement {
            genesis: GENESIS - 60,
            epoch: 2_000_001,
            ..late
        };
        assert!(roots.handle_foreign(sign(numbered)).is_some());
    }

    #[test]
    fn a_root_of_nine_days_ago_is_compared_with_its_day() {
        let mut roots = Roots::default();
        let day = 1_440;
        for ago in (0..20).rev() {
            for epoch in [1, 2, 3] {
                roots.add(after((20 - ago) * day + epoch, 20 - ago as u8));
            }
        }
        let lag = |boundary| after(11 * day + 700, boundary);
        assert_eq!(roots.handle_foreign(lag(11)), None);
        assert!(roots.handle_foreign(lag(12)).is_some());
    }

    #[test]
    fn a_root_from_ahead_is_compared_when_its_epoch_comes() {
        let mut roots = Roots::default();
        roots.add(root(1, 1));
        assert_eq!(roots.handle_foreign(root(3, 9)), None);
        assert_eq!(roots.add(root(2, 2)), None);
        let split = SplitView {
            ours: root(3, 3),
            theirs: root(3, 9),
        };
        assert_eq!(roots.add(root(3, 3)), Some(split));
    }

    #[test]
    fn two_who_are_ahead_contradict_each_other_too() {
        let mut roots = Roots::default();
        assert_eq!(roots.handle_foreign(root(7, 1)), None);
        assert!(roots.handle_foreign(root(7, 2)).is_some());
    }

    #[test]
    fn the_memory_of_both_kinds_is_bounded() {
        let mut roots = Roots::default();
        for epoch in 1..=5_000 {
            roots.add(root(epoch, 1));
        }
        assert!(roots.own.len() < 3_000);
        for epoch in 10_000..11_000 {
            roots.handle_foreign(root(epoch, 1));
        }
        assert_eq!(roots.heard.len(), MOST_HEARD);
        assert_eq!(
            roots.handle_foreign(root(1, 2)),
            None,
            "too old to be compared by its epoch"
        );
    }
}
