//! How a book is published: what waits for an epoch, what an epoch changes, and what others can follow. The same for every store.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "stores/each.rs"]
mod each;
mod stores;

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of};
use ringfence_book::challenge::sign_deactivation;
use ringfence_book::root::{NO_DELTA, ROOT_BYTES, RootHash, TilesHash};
use ringfence_book::{
    ActivationCode, BookKey, Challenge, Delta, Listing, Number, Possession, RingKey, Root, Step,
    Tile,
};
use ringfence_phonebook::book::activation::Activation;
use ringfence_phonebook::book::owner_forms::{Deactivation, Rotation};
use ringfence_phonebook::book::published::Published;
use ringfence_phonebook::book::{BookOpenError, IssueError, KEPT_DELTAS, OwnerError, ResumeError};
use ringfence_phonebook::store::{Closing, NumberState, REST, Revision};
use ringfence_phonebook::{Book, MemoryStore, Schedule};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;

use crate::each::{row, with_each_store};
use crate::stores::{NOW, close, next, open, plan, terms};

/// The owner of a number.
struct Owner {
    number: Number,
    identity: SigningKey,
}

/// The listing with the first ring key of an identity.
fn listing(identity: &SigningKey, ring: u8) -> Listing {
    listing_of(identity, ring, 0)
}

fn listing_of(identity: &SigningKey, ring: u8, renewal: u32) -> Listing {
    let ring = RingKey::from(&StaticSecret::from([ring; 32]));
    Listing::sign(identity, ring, 1_000 + renewal)
}

fn activate(book: &mut Book, seed: u8, now: u64) -> Owner {
    let (identity, ring) = (
        SigningKey::from_bytes(&[seed; 32]),
        StaticSecret::from([seed; 32]),
    );
    let issue = book.issue(now).unwrap();
    let (code, listing) = (issue.code.digest(), listing(&identity, seed));
    let (key, proof_key) = (book.key(), book.proof_key());
    let proof = Possession::prove(&identity, &ring, &listing, &code, &key, &proof_key);
    let form = Activation {
        code,
        listing,
        proof,
    };
    book.activate(&form, now).unwrap();
    Owner {
        number: issue.number,
        identity,
    }
}

/// The first renewal of an owner.
fn rotation(book: &Book, owner: &Owner, ring: u8) -> Rotation {
    renewal(book, owner, ring, 1)
}

fn renewal(book: &Book, owner: &Owner, ring: u8, renewal: u32) -> Rotation {
    let challenge = Challenge::new(book.key(), [ring; 32]);
    let listing = listing_of(&owner.identity, ring, renewal);
    Rotation {
        number: owner.number,
        listing,
        challenge,
        proof: Possession::prove_rotation(
            &owner.identity,
            &StaticSecret::from([ring; 32]),
            owner.number,
            &listing,
            &challenge,
            &book.proof_key(),
        ),
    }
}

fn deactivation(book: &Book, owner: &Owner) -> Deactivation {
    let challenge = Challenge::new(book.key(), [1; 32]);
    Deactivation {
        number: owner.number,
        challenge,
        signature: sign_deactivation(&owner.identity, owner.number, &challenge),
    }
}

fn published_listing(published: &Published, number: Number) -> Listing {
    let (tile, slot) = plan().place(number).unwrap();
    published.tile(tile).unwrap().tile().listing(slot).unwrap()
}

/// The delta of the last epoch, if it has one.
fn newest_delta(book: &Book) -> Option<Delta> {
    let newest = book.published().newest().unwrap();
    Step::decode(&newest, &book.key()).unwrap().delta
}

fn tile(published: &Published) -> Tile {
    published.tile(0).unwrap().tile().clone()
}

#[test]
fn the_first_epoch_names_the_book_as_it_is_and_what_is_served() {
    with_each_store(|store| {
        let book = open(store().unwrap());
        let published = book.published();
        let states = *published.root().unwrap().states();
        assert_eq!((states.epoch, states.closed, states.changes), (1, NOW, 4));
        assert_eq!((states.previous, states.delta), (RootHash::NONE, [0; 32]));
        assert_eq!(
            states.tiles,
            TilesHash::of_tiles(plan(), &[tile(&published)])
        );
        assert_eq!(&**published.network().unwrap(), b"{}");
        assert_eq!(states.network, Sha256::digest(b"{}").0);
    });
}

#[test]
fn applying_the_deltas_gives_the_book_and_every_root_follows_the_one_before() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let mut copy = tile(&book.published());
        let mut last = *book.published().root().unwrap();
        for seed in 1..=6 {
            activate(&mut book, seed, NOW);
            let root = close(&mut book);
            assert!(root.follows(&last));
            let epoch = root.states().epoch;
            let delta = newest_delta(&book).unwrap();
            assert_eq!(delta.encode().len(), Delta::length(4));
            assert_eq!((delta.epoch(), delta.hash()), (epoch, root.states().delta));
            for change in delta.changes() {
                copy.set(plan().place(change.number).unwrap().1, &change.record);
            }
            assert_eq!(
                root.states().tiles,
                TilesHash::of_tiles(plan(), &[copy.clone()])
            );
            last = root;
        }
    });
}

#[test]
fn what_finds_no_room_waits_its_turn() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owners: Vec<Owner> = (1..=10)
            .map(|seed| activate(&mut book, seed, NOW))
            .collect();
        for (epoch, waiting) in [(1, 6), (2, 2), (3, 0)] {
            close(&mut book);
            assert_eq!(book.number_counts(NOW).unwrap().queued, waiting);
            for (place, owner) in owners.iter().enumerate() {
                let listed = published_listing(&book.published(), owner.number);
                let known = listed.identity() == listing(&owner.identity, 0).identity();
                assert_eq!(known, place < epoch * 4, "{place} after {epoch}");
            }
        }
    });
}

#[test]
fn a_listing_is_never_taken_for_a_decoy() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owners: Vec<Owner> = (1..=250)
            .map(|seed| activate(&mut book, seed, NOW))
            .collect();
        for _ in 0..70 {
            close(&mut book);
            assert_eq!(book.published().root().unwrap().states().changes, 4);
        }
        for (owner, seed) in owners.iter().zip(1..) {
            let listed = published_listing(&book.published(), owner.number);
            assert_eq!(listed, listing(&owner.identity, seed));
        }
    });
}

#[test]
fn without_decoys_to_hide_a_change_listings_are_repeated() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        while let Ok(issue) = book.issue(NOW) {
            drop(issue);
        }
        let tight = Schedule {
            changes: 256,
            ..terms()
        };
        let Some(again) = store() else { return };
        drop(book);
        let mut book = Book::open(again, tight, [3; 32], NOW).unwrap().0;
        activate_all(&mut book);
        close(&mut book);
        let before = tile(&book.published());
        let root = close(&mut book);
        let delta = newest_delta(&book).unwrap();
        assert_eq!(delta.hash(), root.states().delta);
        assert_eq!(delta.encode().len(), Delta::length(256));
        assert_eq!(before, tile(&book.published()));
    });
}

/// Activates every number of the plan, a day later, when the codes that were lost have ended.
fn activate_all(book: &mut Book) {
    let later = NOW + 2 * 24 * 60 * 60;
    for number in 0..=255 {
        activate(book, number, later);
    }
    assert!(matches!(book.issue(later), Err(IssueError::Full)));
}

#[test]
fn an_owner_changes_the_ring_key_and_the_later_of_two_counts() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owner = activate(&mut book, 1, NOW);
        let first = rotation(&book, &owner, 7);
        assert_eq!(book.rotate(&first).unwrap(), 1);
        let second = renewal(&book, &owner, 8, 2);
        assert_eq!(book.rotate(&second).unwrap(), 1);
        assert_eq!(book.number_counts(NOW).unwrap().queued, 1);
        close(&mut book);
        let listed = published_listing(&book.published(), owner.number);
        assert_eq!(listed, listing_of(&owner.identity, 8, 2));
    });
}

#[test]
fn a_renewed_listing_has_the_next_serial_and_may_be_sent_again() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owner = activate(&mut book, 1, NOW);
        for step in [0, 2, 1_000] {
            let other = renewal(&book, &owner, 7, step);
            assert!(matches!(book.rotate(&other), Err(OwnerError::Refused)));
        }
        for _ in 0..2 {
            assert_eq!(book.rotate(&rotation(&book, &owner, 7)).unwrap(), 1);
        }
        close(&mut book);
        assert_eq!(book.rotate(&rotation(&book, &owner, 7)).unwrap(), 1);
        let other = rotation(&book, &owner, 8);
        assert!(matches!(book.rotate(&other), Err(OwnerError::Refused)));
        assert_eq!(book.rotate(&renewal(&book, &owner, 8, 2)).unwrap(), 1);
    });
}

#[test]
fn decoys_count_their_ring_keys_as_owners_do() {
    let mut book = open(Box::new(MemoryStore::new()));
    let mut known: BTreeMap<Number, Listing> = BTreeMap::new();
    let (mut kept, mut fresh) = (0, 0);
    for day in 0..200 {
        let published = book.published();
        for number in plan().numbers() {
            let listing = published_listing(&published, number);
            let Some(before) = known.insert(number, listing).filter(|old| *old != listing) else {
                continue;
            };
            if before.identity() == listing.identity() {
                assert_eq!(listing.serial(), before.serial() + 1);
                kept += 1;
            } else {
                assert!(listing.serial().abs_diff(before.serial()) > 1);
                fresh += 1;
            }
        }
        book.close_epoch(NOW + day * 24 * 60 * 60, b"{}").unwrap();
    }
    assert!(kept > 100 && fresh > 5, "{kept} {fresh}");
}

#[test]
fn a_rotation_tells_after_how_many_epochs_it_is_known() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owners: Vec<Owner> = (1..=9).map(|seed| activate(&mut book, seed, NOW)).collect();
        for (place, epochs) in [(0, 1), (3, 1), (4, 2), (8, 3)] {
            let form = rotation(&book, &owners[place], 77);
            assert_eq!(book.rotate(&form).unwrap(), epochs);
        }
    });
}

#[test]
fn no_owner_changes_the_ring_key_of_another_and_no_proof_is_good_elsewhere() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let (owner, other) = (activate(&mut book, 1, NOW), activate(&mut book, 2, NOW));
        let good = rotation(&book, &owner, 7);
        let theirs = Owner {
            number: other.number,
            identity: owner.identity.clone(),
        };
        let mut no_ring_key = good;
        no_ring_key.proof.ring_key_proof[0] ^= 1;
        let mut no_identity = good;
        no_identity.proof.signature[0] ^= 1;
        let mut other_challenge = good;
        other_challenge.challenge = Challenge::new(book.key(), [9; 32]);
        let unassigned = plan()
            .numbers()
            .find(|number| ![owner.number, other.number].contains(number))
            .unwrap();
        let nobodys = Owner {
            number: unassigned,
            identity: owner.identity.clone(),
        };
        for bad in [
            rotation(&book, &theirs, 7),
            rotation(&book, &nobodys, 7),
            no_ring_key,
            no_identity,
            other_challenge,
        ] {
            assert!(matches!(book.rotate(&bad), Err(OwnerError::Refused)));
        }
        assert_eq!(book.rotate(&good).unwrap(), 1);
    });
}

#[test]
fn a_number_given_up_becomes_a_decoy_and_rests_for_a_year() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owner = activate(&mut book, 1, NOW);
        close(&mut book);
        let before = published_listing(&book.published(), owner.number);
        let mut forged = deactivation(&book, &owner);
        forged.signature[0] ^= 1;
        assert!(matches!(
            book.deactivate(&forged, NOW),
            Err(OwnerError::Refused)
        ));
        book.deactivate(&deactivation(&book, &owner), NOW).unwrap();
        assert_eq!(published_listing(&book.published(), owner.number), before);
        close(&mut book);
        let after = published_listing(&book.published(), owner.number);
        assert_ne!(after.identity(), before.identity());
        let again = deactivation(&book, &owner);
        assert!(matches!(
            book.deactivate(&again, NOW),
            Err(OwnerError::Refused)
        ));
        let state = |book: &mut Book, now| book.states(owner.number, 1, now).unwrap();
        let retired = NumberState::Retired { since: NOW };
        assert_eq!(state(&mut book, NOW + REST - 1), [(owner.number, retired)]);
        let free_again = NOW + REST;
        assert_eq!(state(&mut book, free_again), []);
        let counts = book.number_counts(free_again).unwrap();
        assert_eq!((counts.free, counts.retired), (256, 0));
    });
}

#[test]
fn a_revoked_number_is_no_longer_its_owners() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let owner = activate(&mut book, 1, NOW);
        let waiting = book.issue(NOW).unwrap().number;
        let states: BTreeSet<Number> = book
            .states(Number::new(0), 10, NOW)
            .unwrap()
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(states, BTreeSet::from([owner.number, waiting]));
        assert!(book.revoke(owner.number, NOW).unwrap());
        assert!(book.revoke(waiting, NOW).unwrap());
        assert!(!book.revoke(owner.number, NOW).unwrap());
        let rotate = rotation(&book, &owner, 7);
        assert!(matches!(book.rotate(&rotate), Err(OwnerError::Refused)));
        let counts = book.number_counts(NOW).unwrap();
        assert_eq!((counts.free, counts.active, counts.waiting), (255, 0, 0));
        assert_eq!((counts.retired, counts.queued), (1, 1));
    });
}

#[test]
fn of_two_processes_one_ends_the_epoch_and_the_other_takes_it_over() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let Some(second) = store() else { return };
        let mut beside = open(second);
        let owner = activate(&mut beside, 1, NOW);
        let root = close(&mut book);
        assert!(beside.refresh().unwrap());
        assert_eq!(beside.published().root(), Some(&root));
        assert_eq!(tile(&beside.published()), tile(&book.published()));
        let listed = published_listing(&beside.published(), owner.number);
        assert_eq!(listed, listing(&owner.identity, 1));
        assert_eq!(beside.published().newest(), book.published().newest());
        assert!(close(&mut beside).follows(&root));
    });
}

#[test]
fn processes_that_end_epochs_at_once_make_one_chain() {
    with_each_store(|store| {
        let first = open(store().unwrap());
        let Some(second) = store() else { return };
        let books = [first, open(second)];
        let won: Vec<usize> = std::thread::scope(|scope| {
            let ends = |mut book: Book| {
                let mut closed = move || {
                    book.refresh().unwrap();
                    let next = next(&book);
                    book.close_epoch(next, b"{}").unwrap().is_some()
                };
                scope.spawn(move || (0..20).filter(|_| closed()).count())
            };
            let hands: Vec<_> = books.into_iter().map(ends).collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect()
        });
        let mut book = open(store().unwrap());
        let key = book.key();
        let roots = book.archive().unwrap().roots(1, 100).unwrap();
        assert_eq!(roots.len(), 1 + won.iter().sum::<usize>());
        let roots: Vec<Root> = roots
            .iter()
            .map(|root| Root::decode(root, &key).unwrap())
            .collect();
        assert!(roots.windows(2).all(|pair| pair[1].follows(&pair[0])));
    });
}

#[test]
fn a_change_made_while_an_epoch_ends_is_not_lost() {
    with_each_store(|store| {
        let mut store = store().unwrap();
        let number = Number::new(1);
        store.fill(&[row(number, 1)]).unwrap();
        let book = BookKey::from(&SigningKey::from_bytes(&[1; 32]));
        let code = ActivationCode::draw(&book, &mut ChaCha20Rng::from_seed([1; 32]));
        store.issue(number, &code.digest(), NOW, NOW + 1).unwrap();
        store.redeem(&code.digest(), &[2; 192], NOW).unwrap();
        let seen = store.queue(9).unwrap();
        store.rotate(number, &[2; 192]).unwrap();
        let mut newer = [2; 192];
        newer[191] = 9;
        store.rotate(number, &newer).unwrap();
        let closing = Closing {
            epoch: 1,
            after: 0,
            root: &[0; 257],
            network: b"{}",
            revisions: &seen,
            delta: None,
            keep_from: 1,
        };
        assert!(store.close(&closing).unwrap());
        assert!(!store.close(&closing).unwrap());
        assert_eq!(store.rows(number, number).unwrap()[0].record, [2; 192]);
        let left = Revision {
            number,
            record: newer,
            listed: true,
            next: None,
        };
        assert_eq!(store.queue(9).unwrap(), [left]);
    });
}

#[test]
fn old_roots_are_kept_for_ever_and_old_deltas_for_a_while() {
    let mut book = open(Box::new(MemoryStore::new()));
    let last = KEPT_DELTAS + 3;
    while book.published().root().unwrap().states().epoch < last {
        close(&mut book);
    }
    let published = book.published();
    let mut archive = book.archive().unwrap();
    assert_eq!(archive.roots(1, BLOCK_ROOTS).unwrap().len(), 256);
    let mut delta = |epoch| archive.steps(epoch, epoch).unwrap().remove(0).delta;
    assert_eq!(delta(3), None);
    assert!(delta(4).is_some());
    let block = block_of(last, BLOCK_ROOTS);
    assert_eq!(block, 45);
    assert_eq!(published.roots(45).unwrap().len(), ROOT_BYTES * 3);
    assert!(published.roots(44).is_none() && published.roots(46).is_none());
    let steps = block_of(last, BLOCK_STEPS);
    assert!(published.steps(steps).is_some());
    assert!(published.steps(steps - 1).is_none() && published.steps(steps + 1).is_none());
}

#[test]
fn an_epoch_ends_when_its_period_is_over_and_never_before() {
    let mut book = open(Box::new(MemoryStore::new()));
    for early in [NOW - 1_000, NOW, NOW + 59] {
        assert!(!book.due(early));
        assert_eq!(book.close_epoch(early, b"{}").unwrap(), None, "{early}");
    }
    assert!(book.due(NOW + 60));
    let late = book.close_epoch(NOW + 119, b"{}").unwrap().unwrap();
    assert_eq!((late.states().epoch, late.states().closed), (2, NOW + 119));
    assert!(book.due(NOW + 120), "a late one delays no other");
}

#[test]
fn a_book_that_was_away_skips_the_numbers_of_that_time() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let before = close(&mut book);
        let back = before.states().closed + 3 * 86_400;
        let root = book.close_epoch(back, b"{}").unwrap().unwrap();
        assert_eq!(root.states().epoch, 2 + 3 * 1_440);
        assert!(root.follows(&before));
        assert_eq!(root.states().boundary, before.hash());
        assert!(close(&mut book).follows(&root));
    });
}

#[test]
fn a_book_counts_its_epochs_by_one_period_for_ever() {
    with_each_store(|store| {
        drop(open(store().unwrap()));
        let Some(again) = store() else { return };
        let other = Schedule {
            period: 61,
            ..terms()
        };
        let refused = Book::open(again, other, [1; 32], NOW).err();
        assert!(matches!(refused, Some(BookOpenError::Period(60))));
    });
}

#[test]
fn a_book_that_was_set_back_goes_on_after_the_roots_of_an_engine() {
    with_each_store(|store| {
        let mut lost = open(Box::new(MemoryStore::new()));
        // The same book, as a backup of the first epoch has it.
        let mut book = open(store().unwrap());
        assert_eq!(lost.published().root(), book.published().root());
        let mut roots = vec![*lost.published().root().unwrap()];
        for seed in 1..=3 {
            activate(&mut lost, seed, NOW);
            roots.push(close(&mut lost));
        }
        let last = *roots.last().unwrap();
        let missing = [roots[0], roots[2], roots[3]];
        let later = last.states().due();
        let why = book.resume(&missing, later).unwrap_err();
        assert!(matches!(why, ResumeError::Order), "{why}");
        let why = book.resume(&roots[..1], later).unwrap_err();
        assert!(matches!(why, ResumeError::NothingLost), "{why}");
        let why = book.resume(&roots, later - 1).unwrap_err();
        assert!(matches!(why, ResumeError::Early), "{why}");
        let root = book.resume(&roots, later).unwrap();
        assert!(root.follows(&last));
        assert_eq!(root.states().delta, NO_DELTA);
        assert_eq!(newest_delta(&book), None);
        let all = book.archive().unwrap().roots(1, u32::MAX).unwrap();
        assert_eq!(all.len(), 5);
        assert!(close(&mut book).follows(&root));
        if let Some(again) = store() {
            let reopened = open(again);
            assert_eq!(reopened.published().root(), book.published().root());
        }
    });
}

#[test]
fn a_number_outside_of_the_book_has_no_owner() {
    let mut book = open(Box::new(MemoryStore::new()));
    let nowhere = Owner {
        number: Number::new(99),
        identity: SigningKey::from_bytes(&[1; 32]),
    };
    let form = deactivation(&book, &nowhere);
    assert!(matches!(
        book.deactivate(&form, NOW),
        Err(OwnerError::Refused)
    ));
    let form = rotation(&book, &nowhere, 1);
    assert!(matches!(book.rotate(&form), Err(OwnerError::Refused)));
    assert!(!book.revoke(nowhere.number, NOW).unwrap());
}
