//! Roots of the phone book as this engine and those it talks with saw them. The book signs one per epoch; two different ones of
//! one epoch prove that it shows different contents to different engines, and both together are evidence.
//!
//! Not done here: downloading roots, verifying their chain (`ringfence_book::copy`), and keeping the proof.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_book::Root;

/// Own roots that are kept: eight days at five minutes each. Older ones are not compared any more.
const MOST_OWN: usize = 2_304;

/// Roots of epochs that this engine has not reached. The book alone can make one; when there is no room, later ones are not kept.
const MOST_HEARD: usize = 64;

/// Epochs of which a contradiction was told. After so many there is nothing left to prove.
const MOST_TOLD: usize = 64;

/// Two roots of one epoch that the same book signed.
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
    own: BTreeMap<u32, Root>,
    heard: BTreeMap<u32, Root>,
    told: BTreeSet<u32>,
}

impl Roots {
    /// The root of the book that is in use.
    pub(crate) fn newest(&self) -> Option<&Root> {
        self.own.last_key_value().map(|(_, root)| root)
    }

    /// Takes a root that this engine downloaded and verified.
    pub(crate) fn add(&mut self, root: Root) -> Option<SplitView> {
        let epoch = root.states().epoch;
        let known = self.own.get(&epoch).copied();
        let heard = self.heard.remove(&epoch);
        if known.is_none() {
            self.own.insert(epoch, root);
            while self.own.len() > MOST_OWN {
                self.own.pop_first();
            }
        }
        known
            .and_then(|known| self.compare(known, root))
            .or_else(|| self.compare(root, heard?))
    }

    /// Takes a root that the other side of a call saw.
    pub(crate) fn handle_foreign(&mut self, theirs: Root) -> Option<SplitView> {
        let epoch = theirs.states().epoch;
        if let Some(ours) = self.own.get(&epoch).or(self.heard.get(&epoch)) {
            return self.compare(*ours, theirs);
        }
        let is_ahead = self
            .newest()
            .is_none_or(|newest| epoch > newest.states().epoch);
        if is_ahead && self.heard.len() < MOST_HEARD {
            self.heard.insert(epoch, theirs);
        }
        None
    }

    fn compare(&mut self, ours: Root, theirs: Root) -> Option<SplitView> {
        let is_news = ours.contradicts(&theirs)
            && self.told.len() < MOST_TOLD
            && self.told.insert(ours.states().epoch);
        is_news.then_some(SplitView { ours, theirs })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ringfence_book::NumberPlan;
    use ringfence_book::root::{RootHash, Statement, TilesHash};

    use super::*;

    fn root(epoch: u32, tiles: u8) -> Root {
        let states = Statement {
            epoch,
            closed: 1_800_000_000,
            period: 300,
            plan: NumberPlan::new(20_000, 1).unwrap(),
            changes: 16,
            previous: RootHash::NONE,
            tiles: TilesHash([tiles; 32]),
            delta: [0; 32],
            network: [0; 32],
        };
        Root::sign(&SigningKey::from_bytes(&[1; 32]), states)
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
        for epoch in 1..=MOST_OWN as u32 + 10 {
            roots.add(root(epoch, 1));
        }
        assert_eq!(roots.own.len(), MOST_OWN);
        for epoch in 10_000..11_000 {
            roots.handle_foreign(root(epoch, 1));
        }
        assert_eq!(roots.heard.len(), MOST_HEARD);
        assert_eq!(
            roots.handle_foreign(root(1, 2)),
            None,
            "too old to be compared"
        );
    }
}
