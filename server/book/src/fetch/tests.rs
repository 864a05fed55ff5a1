//! Downloads from a book of raw records, honest and not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::chain::MOST_BLOCKS;
use super::*;
use crate::copy::tests::TestBook;
use crate::day::Day;

impl TestBook {
    fn step(&self, root: &Root) -> Step {
        let is_its = |delta: &&Delta| delta.hash() == root.states().delta;
        Step {
            root: *root,
            delta: self.deltas.iter().find(is_its).cloned(),
        }
    }

    fn answer(&self, want: Want) -> Vec<u8> {
        let block = |block: u32, size: u32| {
            let is_in = move |root: &&Root| block_of(root.states().epoch, size) == block;
            self.roots.iter().filter(is_in)
        };
        match want {
            Want::Newest => self.step(self.roots.last().unwrap()).encode(),
            Want::Roots(number) => block(number, BLOCK_ROOTS).flat_map(Root::encode).collect(),
            Want::Steps(number) => {
                let steps = block(number, BLOCK_STEPS);
                steps.flat_map(|root| self.step(root).encode()).collect()
            }
            Want::Tile(index) => self.tiles[usize::from(index)].as_bytes().to_vec(),
            Want::Network => self.network.clone(),
        }
    }

    fn fetch(&self, known: Option<VerifiedBook>) -> Fetch {
        let network = known.as_ref().map(|copy| copy.root().states().network);
        Fetch::new(BookKey::from(&self.key), known, network, self.now)
    }

    /// Downloads; between any two answers the book may close an epoch.
    fn download(
        &mut self,
        known: Option<VerifiedBook>,
        mut meanwhile: impl FnMut(&mut Self),
    ) -> (Result<Option<Fetched>, FetchError>, Vec<Want>) {
        let (mut fetch, mut asked) = (self.fetch(known), Vec::new());
        while let Some(want) = fetch.wants() {
            assert!(asked.len() < 1_000, "it never ends: {asked:?}");
            asked.push(want);
            let answer = self.answer(want);
            assert!(answer.len() <= want.most());
            if let Err(fault) = fetch.handle_answer(&answer) {
                return (Err(fault), asked);
            }
            meanwhile(self);
        }
        (fetch.finish(), asked)
    }

    fn copy(&mut self) -> VerifiedBook {
        let (fetched, _) = self.download(None, |_| {});
        fetched.unwrap().unwrap().copy
    }
}

fn change(epoch: usize) -> [(u32, u8); 2] {
    let number = 20_000 + (epoch as u32 * 37) % 500;
    [(number, epoch as u8), (number + 1, 1)]
}

#[test]
fn the_first_download_is_all_of_it() {
    let mut publisher = TestBook::new(2);
    publisher.close(&change(1));
    let (fetched, asked) = publisher.download(None, |_| {});
    let fetched = fetched.unwrap().unwrap();
    let (root, tiles) = (Want::Newest, [Want::Tile(0), Want::Tile(1)]);
    assert_eq!(asked, [root, tiles[0], tiles[1], root, Want::Network]);
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.roots, publisher.roots[1..]);
    assert_eq!(fetched.network.as_deref(), Some(&b"settings"[..]));
}

#[test]
fn one_epoch_later_one_answer_is_enough() {
    let mut publisher = TestBook::new(2);
    let copy = publisher.copy();
    publisher.close(&change(1));
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(asked, [Want::Newest]);
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.deltas, publisher.deltas);
    assert!(fetched.network.is_none());
}

#[test]
fn nothing_new_costs_one_answer() {
    let mut publisher = TestBook::new(1);
    let copy = publisher.copy();
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    assert!(fetched.unwrap().is_none());
    assert_eq!(asked, [Want::Newest]);
}

#[test]
fn a_mirror_that_is_behind_changes_nothing() {
    let mut publisher = TestBook::new(1);
    let mut behind = TestBook::new(1);
    publisher.close(&change(1));
    let copy = publisher.copy();
    assert!(behind.download(Some(copy), |_| {}).0.unwrap().is_none());
}

#[test]
fn some_epochs_later_come_the_steps_between_and_long_after_the_roots_and_all_tiles() {
    let mut publisher = TestBook::new(2);
    let copy = publisher.copy();
    for epoch in 0..400 {
        publisher.close(&change(epoch));
    }
    let near = publisher.copy();
    for epoch in 0..40 {
        publisher.close(&change(epoch));
    }
    let (fetched, asked) = publisher.download(Some(near), |_| {});
    // Epochs 402 to 441.
    let steps = [25, 26, 27].map(Want::Steps);
    assert_eq!(asked[..1], [Want::Newest]);
    assert_eq!(asked[1..], steps);
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!((fetched.roots.len(), fetched.deltas.len()), (40, 40));

    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(
        asked[..4],
        [Want::Newest, Want::Roots(0), Want::Roots(1), Want::Tile(0)]
    );
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.roots, publisher.roots[1..]);
}

#[test]
fn five_hours_behind_are_caught_up_with_by_two_dozen_answers() {
    let mut publisher = TestBook::every(40, 60);
    let copy = publisher.copy();
    for epoch in 0..MOST_BEHIND as usize {
        publisher.close(&change(epoch));
    }
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    assert_eq!(fetched.unwrap().unwrap().copy.tiles(), publisher.tiles);
    assert!(asked.len() <= 22, "{}", asked.len());
}

#[test]
fn a_week_behind_all_tiles_are_taken_and_every_root_is_looked_at() {
    let mut publisher = TestBook::every(2, 60);
    let copy = publisher.copy();
    for epoch in 0..7 * 1_440 {
        publisher.close(&change(epoch));
    }
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(asked.len(), 1 + 40 + 2 + 1);
    let days = |roots: &[Root]| roots.iter().map(|root| root.states().day()).collect();
    let (kept, all): (BTreeSet<Day>, BTreeSet<Day>) =
        (days(&fetched.roots), days(&publisher.roots));
    assert_eq!(kept, all);
}

#[test]
fn a_book_that_was_away_for_three_days_is_one_step_ahead() {
    let mut publisher = TestBook::every(2, 60);
    publisher.close(&change(1));
    let (first, copy) = (publisher.copy(), publisher.copy());
    publisher.now += 3 * 86_400;
    publisher.close(&change(2));
    let (fetched, asked) = publisher.download(Some(first), |_| {});
    assert_eq!(fetched.unwrap().unwrap().copy.tiles(), publisher.tiles);
    assert_eq!(asked, [Want::Newest]);
    // Who comes later finds blocks that are empty.
    publisher.close(&change(3));
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.roots, publisher.roots[2..]);
    assert!(asked.len() < 30, "{}", asked.len());
}

#[test]
fn a_step_without_a_delta_leads_to_all_tiles() {
    let mut publisher = TestBook::new(2);
    publisher.close(&change(1));
    let (near, far) = (publisher.copy(), publisher.copy());
    // What was changed is lost, and the book goes on without it.
    Arc::make_mut(&mut publisher.tiles[0]).set(7, &[9; 192]);
    publisher.sign(None);
    let (fetched, asked) = publisher.download(Some(near), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(asked[1], Want::Tile(0));
    assert_eq!(fetched.deltas, []);
    publisher.close(&change(2));
    let (fetched, _) = publisher.download(Some(far), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.roots, publisher.roots[2..]);
}

#[test]
fn steps_that_the_book_has_lost_lead_to_all_tiles() {
    let mut publisher = TestBook::new(2);
    let copy = publisher.copy();
    for epoch in 1..4 {
        publisher.close(&change(epoch));
    }
    let mut fetch = publisher.fetch(Some(copy));
    assert_eq!(fetch.handle_absence(), Err(FetchError::Damaged));
    while let Some(want) = fetch.wants() {
        match want {
            Want::Steps(_) => fetch.handle_absence().unwrap(),
            want => fetch.handle_answer(&publisher.answer(want)).unwrap(),
        }
    }
    let fetched = fetch.finish().unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert_eq!(fetched.roots, publisher.roots[1..]);
}

#[test]
fn a_plan_that_grows_costs_all_tiles() {
    let mut publisher = TestBook::new(1);
    let copy = publisher.copy();
    publisher.tiles.push(Arc::clone(&publisher.tiles[0]));
    publisher.close(&[(20_300, 1)]);
    let (fetched, asked) = publisher.download(Some(copy), |_| {});
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    assert!(asked.contains(&Want::Tile(1)), "{asked:?}");
}

#[test]
fn a_book_from_the_future_is_refused_and_the_clock_is_named() {
    let publisher = TestBook::new(1);
    let closed = publisher.roots[0].states().closed;
    let read = |now| {
        let mut fetch = Fetch::new(BookKey::from(&publisher.key), None, None, now);
        fetch.handle_answer(&publisher.answer(Want::Newest))
    };
    assert_eq!(read(closed - MAX_AHEAD), Ok(()));
    assert_eq!(read(closed - MAX_AHEAD - 1), Err(FetchError::Ahead));
    assert!(
        FetchError::Ahead
            .to_string()
            .contains("this machine's clock")
    );
}

#[test]
fn a_book_that_promises_epochs_without_end_is_given_up() {
    let mut publisher = TestBook::every(1, 1);
    let copy = publisher.copy();
    publisher.close(&change(1));
    publisher.now = 1_800_000_000 + 100_000_000;
    publisher.close(&change(2));
    publisher.roots.remove(1);
    let mut fetch = publisher.fetch(Some(copy));
    let mut asked = 0;
    let fault = loop {
        let answer = publisher.answer(fetch.wants().unwrap());
        if let Err(fault) = fetch.handle_answer(&answer) {
            break fault;
        }
        asked += 1;
    };
    assert_eq!(fault, CopyError::Order.into());
    assert!(asked <= MOST_BLOCKS);
}

#[test]
fn unsigned_settings_are_refused_and_new_ones_fetched() {
    let mut publisher = TestBook::new(1);
    let copy = publisher.copy();
    publisher.network = b"others".to_vec();
    publisher.close(&change(1));
    let (fetched, _) = publisher.download(Some(copy.clone()), |_| {});
    let network = fetched.unwrap().unwrap().network;
    assert_eq!(network.as_deref(), Some(&b"others"[..]));
    publisher.network = b"false".to_vec();
    let (fetched, _) = publisher.download(Some(copy), |_| {});
    assert_eq!(fetched.err(), Some(FetchError::Network));
}

#[test]
fn a_book_with_another_past_is_caught_and_both_roots_are_kept() {
    let (mut publisher, mut other) = (TestBook::new(1), TestBook::new(1));
    publisher.close(&change(1));
    let copy = publisher.copy();
    for epoch in 2..6 {
        other.close(&change(epoch));
    }
    let (fetched, _) = other.download(Some(copy), |_| {});
    let Err(FetchError::Copy(CopyError::Lie(lie))) = fetched else {
        panic!("{fetched:?}");
    };
    assert_eq!((lie.known, lie.shown), (publisher.roots[1], other.roots[2]));
}

#[test]
fn a_client_that_has_lost_the_tiles_still_knows_the_past_roots() {
    let (mut publisher, mut other) = (TestBook::new(1), TestBook::new(1));
    publisher.close(&change(1));
    let last = publisher.roots.last().copied();
    for epoch in 2..6 {
        publisher.close(&change(epoch));
        other.close(&change(epoch));
    }
    let run = |publisher: &TestBook, last| {
        let mut fetch = publisher.fetch(None).after(last);
        while let Some(want) = fetch.wants() {
            fetch.handle_answer(&publisher.answer(want))?;
        }
        fetch.finish()
    };
    let fetched = run(&publisher, last).unwrap().unwrap();
    assert_eq!(fetched.roots, publisher.roots[2..]);
    assert_eq!(fetched.copy.tiles(), publisher.tiles);
    let lied = run(&other, last).unwrap_err();
    assert!(
        matches!(lied, FetchError::Copy(CopyError::Lie(_))),
        "{lied:?}"
    );
    let last = publisher.roots.last().copied();
    let again = run(&publisher, last).unwrap().unwrap();
    assert_eq!(again.copy.tiles(), publisher.tiles);
    assert_eq!(again.roots, []);
}

#[test]
fn a_book_that_was_set_back_to_a_backup_is_refused_from_then_on() {
    let mut publisher = TestBook::new(1);
    publisher.close(&change(1));
    let mut restored = publisher.clone();
    publisher.close(&change(2));
    let copy = publisher.copy();
    // It goes on later, so that no two epochs have one number; and the next day it still does not lead to what was seen.
    restored.now = publisher.now + 600;
    for pause in [0, 0, 86_400] {
        restored.now += pause;
        restored.close(&change(3));
        let (fetched, _) = restored.download(Some(copy.clone()), |_| {});
        assert_eq!(fetched.unwrap_err(), CopyError::Order.into());
    }
}

#[test]
fn a_client_that_has_lost_the_tiles_takes_no_older_book_than_it_has_seen() {
    let mut publisher = TestBook::new(1);
    for epoch in 1..5 {
        publisher.close(&change(epoch));
    }
    let last = publisher.roots.last().copied();
    publisher.roots.truncate(3);
    let mut fetch = publisher.fetch(None).after(last);
    let older = publisher.answer(Want::Newest);
    assert_eq!(fetch.handle_answer(&older), Err(FetchError::Older));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whenever_epochs_close_the_copy_is_that_of_its_root(
        before in 0_usize..80,
        closing in proptest::collection::vec(any::<bool>(), 12),
        fresh in any::<bool>(),
    ) {
        let mut publisher = TestBook::new(3);
        let copy = publisher.copy();
        for epoch in 0..before {
            publisher.close(&change(epoch));
        }
        let mut closing = closing.into_iter().chain(std::iter::repeat(false));
        let known = Some(copy).filter(|_| !fresh);
        let (fetched, _) = publisher.download(known, |publisher| {
            if closing.next() == Some(true) {
                publisher.close(&change(publisher.roots.len()));
            }
        });
        if let Some(fetched) = fetched.unwrap() {
            let root = *fetched.copy.root();
            let at = root.states().epoch as usize - 1;
            prop_assert_eq!(root, publisher.roots[at]);
            prop_assert_eq!(fetched.roots.last(), Some(&root));
            // Hashed anew, it is what the root names.
            let tiles = fetched.copy.tiles().to_vec();
            prop_assert!(VerifiedBook::settle(tiles, &[root], &[]).is_ok());
        } else {
            prop_assert!(before == 0 && !fresh);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(
        answers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
    ) {
        let mut fetch = TestBook::new(1).fetch(None);
        for answer in answers {
            if fetch.handle_answer(&answer).is_err() {
                break;
            }
        }
        prop_assert!(!matches!(fetch.finish(), Ok(Some(_))));
    }
}
