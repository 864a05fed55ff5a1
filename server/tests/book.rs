//! The book's decisions and its stores' transactions: the same behaviour, whatever the store. Time is given, nothing sleeps.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "stores/each.rs"]
mod each;
mod stores;

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::wire::{Activate, Base64, PROTOCOL};
use ringfence_book::{
    ActivationCode, BookKey, CodeDigest, Delta, NetworkSettings, Number, NumberPlan, Step, Tile,
};
use ringfence_phonebook::book::activation::{Activation, ActivationRefusal};
use ringfence_phonebook::book::challenge_store::{CHALLENGE_LIFE, MAX_OPEN};
use ringfence_phonebook::book::published::DialledNumber;
use ringfence_phonebook::book::{ActivateError, Book, BookOpenError, CODE_LIFE, Issue, IssueError};
use ringfence_phonebook::store::Row;
use ringfence_phonebook::{MemoryStore, Schedule, Store};
use x25519_dalek::StaticSecret;

use crate::each::{row, with_each_store};
use crate::stores::{NOW, close, open, plan, terms};

fn network(book: &Book) -> NetworkSettings {
    NetworkSettings {
        version: PROTOCOL,
        book_key: book.key(),
        proof_key: book.proof_key(),
        plan: plan(),
        relays: Vec::new(),
        turn: Vec::new(),
        work_bits: 16,
        bucket_bits: 0,
        members: Base64(book.membership().token(NOW).digest()),
    }
}

/// The form that the holder of these keys sends.
fn form(book: &Book, issue: &Issue, seed: u8) -> Activation {
    let (identity, ring) = (
        SigningKey::from_bytes(&[seed; 32]),
        StaticSecret::from([seed; 32]),
    );
    Activation::try_from(&Activate::sign(
        &issue.code,
        &identity,
        &ring,
        1,
        &network(book),
    ))
    .unwrap()
}

fn refusal(result: Result<Number, ActivateError>) -> ActivationRefusal {
    match result {
        Err(ActivateError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The delta of the last epoch, if it has one.
fn newest_delta(book: &Book) -> Option<Delta> {
    let newest = book.published().newest().unwrap();
    Step::decode(&newest, &book.key()).unwrap().delta
}

#[test]
fn an_activated_number_is_published() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issue = book.issue(NOW).unwrap();
        let form = form(&book, &issue, 5);
        assert_eq!(book.activate(&form, NOW).unwrap(), issue.number);
        close(&mut book);
        let (tile, slot) = plan().place(issue.number).unwrap();
        let bytes = book
            .published()
            .tile(tile)
            .unwrap()
            .tile()
            .as_bytes()
            .to_vec();
        assert_eq!(
            Tile::decode(&bytes).unwrap().listing(slot),
            Ok(form.listing)
        );
    });
}

#[test]
fn nothing_is_published_before_activation() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let before = book.published().tile(0).unwrap();
        book.issue(NOW).unwrap();
        book.refresh().unwrap();
        assert_eq!(book.published().tile(0).unwrap().etag(), before.etag());
    });
}

#[test]
fn a_code_is_good_once() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issue = book.issue(NOW).unwrap();
        let (first, second) = (form(&book, &issue, 5), form(&book, &issue, 6));
        book.activate(&first, NOW).unwrap();
        close(&mut book);
        assert_eq!(
            refusal(book.activate(&second, NOW)),
            ActivationRefusal::UnknownCode
        );
        let (identity, _) = book
            .published()
            .keys(&DialledNumber::read(&issue.number.to_string()).unwrap());
        assert_eq!(&identity, first.listing.identity().as_bytes());
    });
}

#[test]
fn an_answer_lost_on_its_way_can_be_asked_for_again() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issue = book.issue(NOW).unwrap();
        let form = form(&book, &issue, 5);
        let first = book.activate(&form, NOW).unwrap();
        assert_eq!(book.activate(&form, NOW + 1).unwrap(), first);
        close(&mut book);
        assert_eq!(book.activate(&form, NOW + 1).unwrap(), first);
        assert_eq!(book.number_counts(NOW).unwrap().queued, 0);
    });
}

#[test]
fn a_code_ends_after_a_day_and_its_number_is_free_again() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issues: Vec<Issue> = (0..256).map(|_| book.issue(NOW).unwrap()).collect();
        assert!(matches!(book.issue(NOW), Err(IssueError::Full)));
        let last_second = NOW + CODE_LIFE.as_secs() - 1;
        let (in_time, late) = (form(&book, &issues[0], 5), form(&book, &issues[1], 6));
        book.activate(&in_time, last_second).unwrap();
        assert_eq!(
            refusal(book.activate(&late, last_second + 1)),
            ActivationRefusal::UnknownCode
        );
        for _ in 0..255 {
            assert_ne!(
                book.issue(last_second + 1).unwrap().number,
                issues[0].number
            );
        }
        assert!(matches!(book.issue(last_second + 1), Err(IssueError::Full)));
    });
}

#[test]
fn a_code_of_another_book_or_an_unknown_code_is_refused() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let mut other = Book::open(
            Box::new(MemoryStore::new()) as Box<dyn Store>,
            terms(),
            [2; 32],
            NOW,
        )
        .unwrap()
        .0;
        let foreign = other.issue(NOW).unwrap();
        let here = form(&book, &foreign, 5);
        assert_eq!(
            refusal(book.activate(&here, NOW)),
            ActivationRefusal::UnknownCode
        );
    });
}

#[test]
fn a_form_without_both_private_keys_is_refused_and_does_not_use_the_code_up() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issue = book.issue(NOW).unwrap();
        let good = form(&book, &issue, 5);
        let mut no_identity = good;
        no_identity.proof.signature[0] ^= 1;
        let mut no_ring_key = good;
        no_ring_key.proof.ring_key_proof[31] ^= 1;
        for bad in [no_identity, no_ring_key] {
            assert_eq!(
                refusal(book.activate(&bad, NOW)),
                ActivationRefusal::Possession
            );
        }
        book.activate(&good, NOW).unwrap();
    });
}

#[test]
fn numbers_are_drawn_all_over_the_plan_and_never_twice() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let drawn: Vec<u32> = (0..100)
            .map(|_| book.issue(NOW).unwrap().number.value())
            .collect();
        let distinct: std::collections::BTreeSet<u32> = drawn.iter().copied().collect();
        assert_eq!(distinct.len(), 100);
        assert!(
            distinct.iter().any(|number| *number < 164)
                && distinct.iter().any(|number| *number > 292)
        );
        assert!(!drawn.is_sorted());
    });
}

#[test]
fn nothing_changes_before_the_epoch_ends_and_then_as_many_records_as_ever() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let before = book.published();
        let issue = book.issue(NOW).unwrap();
        let form = form(&book, &issue, 5);
        book.activate(&form, NOW).unwrap();
        assert_eq!(book.published().root(), before.root());
        close(&mut book);
        let after = book.published();
        let changed: Vec<Number> = plan()
            .numbers()
            .filter(|number| {
                let dialled = DialledNumber::read(&number.to_string()).unwrap();
                before.keys(&dialled) != after.keys(&dialled)
            })
            .collect();
        // No time has passed in which a decoy could be due: the rest are repeats.
        assert_eq!(changed, [issue.number]);
        let delta = newest_delta(&book).unwrap();
        let named: Vec<Number> = delta.changes().iter().map(|new| new.number).collect();
        assert_eq!(named.len(), 4);
        assert!(named.contains(&issue.number));
    });
}

#[test]
fn another_process_sees_an_activation_after_a_refresh() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let Some(second) = store() else { return };
        let (mut beside, token) = Book::open(second, terms(), [9; 32], NOW).unwrap();
        assert!(token.is_none());
        assert_eq!(beside.key(), book.key());
        let issue = beside.issue(NOW).unwrap();
        let form = form(&book, &issue, 5);
        book.activate(&form, NOW).unwrap();
        assert!(!beside.refresh().unwrap());
        close(&mut book);
        assert!(beside.refresh().unwrap());
        assert!(!beside.refresh().unwrap());
        assert_eq!(
            book.published().tile(0).unwrap().etag(),
            beside.published().tile(0).unwrap().etag()
        );
    });
}

#[test]
fn a_book_reopens_with_the_same_keys_tiles_and_activations() {
    with_each_store(|store| {
        let mut book = open(store().unwrap());
        let issue = book.issue(NOW).unwrap();
        let form = form(&book, &issue, 5);
        book.activate(&form, NOW).unwrap();
        close(&mut book);
        let (key, etag) = (
            book.key(),
            book.published().tile(0).unwrap().etag().to_owned(),
        );
        drop(book);
        let Some(again) = store() else { return };
        let book = Book::open(again, terms(), [7; 32], NOW).unwrap().0;
        assert_eq!(
            (book.key(), book.published().tile(0).unwrap().etag()),
            (key, etag.as_str())
        );
    });
}

#[test]
fn a_plan_grows_but_does_not_shrink() {
    with_each_store(|store| {
        let book = open(store().unwrap());
        let etag = book.published().tile(0).unwrap().etag().to_owned();
        drop(book);
        let (Some(again), Some(once_more)) = (store(), store()) else {
            return;
        };
        let larger = Schedule {
            plan: NumberPlan::new(100, 2).unwrap(),
            ..terms()
        };
        let mut grown = Book::open(again, larger, [7; 32], NOW).unwrap().0;
        assert_eq!(grown.published().tile(0).unwrap().etag(), etag);
        assert!(grown.published().tile(1).is_none() && grown.due(stores::next(&grown)));
        let before = *grown.published().root().unwrap();
        let root = close(&mut grown);
        assert!(root.follows(&before) && root.states().plan == larger.plan);
        assert!((0..=255).all(|slot| {
            grown
                .published()
                .tile(1)
                .unwrap()
                .tile()
                .listing(slot)
                .is_ok()
        }));
        drop(grown);
        assert!(matches!(
            Book::open(once_more, terms(), [7; 32], NOW),
            Err(BookOpenError::PlanShrunk)
        ));
    });
}

#[test]
fn the_token_comes_with_a_new_book_only() {
    with_each_store(|store| {
        let (book, token) = Book::open(store().unwrap(), terms(), [1; 32], NOW).unwrap();
        assert_eq!(token.unwrap().digest(), book.admin());
        drop(book);
        let Some(again) = store() else { return };
        assert!(
            Book::open(again, terms(), [2; 32], NOW)
                .unwrap()
                .1
                .is_none()
        );
    });
}

#[test]
fn a_store_lets_only_free_numbers_wait_for_a_code() {
    with_each_store(|store| {
        let mut store = store().unwrap();
        let [a, b, unknown] = [1, 2, 3].map(Number::new);
        let codes: Vec<CodeDigest> = (0..4).map(code).collect();
        store.fill(&[row(a, 1), row(b, 2)]).unwrap();
        assert_eq!(store.free(NOW).unwrap(), [a, b]);
        assert!(store.issue(a, &codes[0], NOW, NOW + 10).unwrap());
        assert!(!store.issue(a, &codes[1], NOW + 9, NOW + 20).unwrap());
        assert!(!store.issue(b, &codes[0], NOW, NOW + 20).unwrap());
        assert!(!store.issue(unknown, &codes[1], NOW, NOW + 20).unwrap());
        assert_eq!(store.free(NOW + 9).unwrap(), [b]);
        assert_eq!(store.free(NOW + 10).unwrap(), [a, b]);
        assert_eq!(
            store.redeem(&codes[0], &[3; 192], NOW + 9).unwrap(),
            Some(a)
        );
        assert!(!store.issue(a, &codes[2], NOW + 30, NOW + 40).unwrap());
        assert_eq!(store.free(NOW + 30).unwrap(), [b]);
    });
}

#[test]
fn a_store_fills_gaps_and_leaves_the_rest() {
    with_each_store(|store| {
        let mut store = store().unwrap();
        let [a, b] = [1, 2].map(Number::new);
        store.fill(&[row(a, 1)]).unwrap();
        store.issue(a, &code(0), NOW, NOW + 1).unwrap();
        store.redeem(&code(0), &[3; 192], NOW).unwrap();
        store.fill(&[row(a, 4), row(b, 5)]).unwrap();
        let queue = store.queue(9).unwrap();
        assert_eq!(queue.len(), 1);
        assert_eq!((queue[0].number, queue[0].record[0]), (a, 3));
        let rows = store.rows(a, b).unwrap();
        let kept: Vec<(Number, u8, u32, bool)> = rows
            .iter()
            .map(|row| (row.number, row.record[0], row.epoch, row.listed))
            .collect();
        assert_eq!(kept, [(a, 1, 0, false), (b, 5, 0, false)]);
        assert_eq!(store.rows(b, b).unwrap().len(), 1);
        assert_eq!(store.span().unwrap(), Some((a, b)));
    });
}

#[test]
fn a_store_tells_which_decoys_are_due_the_longest_waiting_first() {
    with_each_store(|store| {
        let mut store = store().unwrap();
        let due_at = |number: u32, due: u64| {
            let mut decoy = row(Number::new(number), 1);
            decoy.next.due = due;
            decoy
        };
        let owned = Row {
            listed: true,
            ..due_at(3, NOW)
        };
        let decoys = [due_at(1, NOW + 2), due_at(2, NOW + 1), due_at(4, NOW + 3)];
        store.fill(&decoys).unwrap();
        store.fill(&[owned]).unwrap();
        let mut numbers = |now, limit| -> Vec<u32> {
            let due = store.due(now, limit).unwrap();
            due.iter().map(|row| row.number.value()).collect()
        };
        assert_eq!(numbers(NOW, 9), [0; 0]);
        assert_eq!(numbers(NOW + 2, 9), [2, 1]);
        assert_eq!(numbers(NOW + 3, 2), [2, 1]);
    });
}

#[test]
fn of_two_processes_with_one_code_one_wins() {
    with_each_store(|store| {
        let mut first = store().unwrap();
        let Some(mut second) = store() else { return };
        let numbers: Vec<Number> = (0..50).map(Number::new).collect();
        let records: Vec<_> = numbers.iter().map(|number| row(*number, 0)).collect();
        first.fill(&records).unwrap();
        for (number, seed) in numbers.iter().zip(0..) {
            assert!(first.issue(*number, &code(seed), NOW, NOW + 1).unwrap());
        }
        let redeem_all = |store: &mut dyn Store, record: [u8; 192]| -> Vec<bool> {
            (0..50)
                .map(|seed| store.redeem(&code(seed), &record, NOW).unwrap().is_some())
                .collect()
        };
        let (mine, yours) = std::thread::scope(|scope| {
            let mine = scope.spawn(|| redeem_all(&mut *first, [1; 192]));
            let yours = scope.spawn(|| redeem_all(&mut *second, [2; 192]));
            (mine.join().unwrap(), yours.join().unwrap())
        });
        assert!(mine.iter().zip(&yours).all(|(mine, yours)| mine != yours));
        let queued: std::collections::BTreeSet<Number> = first
            .queue(100)
            .unwrap()
            .iter()
            .map(|revision| revision.number)
            .collect();
        assert!(queued.into_iter().eq(numbers));
    });
}

fn code(seed: u8) -> CodeDigest {
    let book = BookKey::from(&SigningKey::from_bytes(&[1; 32]));
    ActivationCode::draw(&book, &mut ChaCha20Rng::from_seed([seed; 32])).digest()
}

struct Desk {
    book: Book,
    number: DialledNumber,
    identity: SigningKey,
    now: Instant,
}

fn desk() -> Desk {
    let mut book = open(Box::new(MemoryStore::new()));
    let issue = book.issue(NOW).unwrap();
    let form = form(&book, &issue, 5);
    book.activate(&form, NOW).unwrap();
    close(&mut book);
    let number = DialledNumber::read(&issue.number.to_string()).unwrap();
    Desk {
        book,
        number,
        identity: SigningKey::from_bytes(&[5; 32]),
        now: Instant::now(),
    }
}

#[test]
fn the_holder_of_a_number_proves_it_once_per_challenge() {
    let mut desk = desk();
    let (mut reception, published) = (desk.book.challenges(), desk.book.published());
    let (id, challenge) = reception.challenge(desk.now);
    let signature = challenge.answer(&desk.identity);
    let mut verify = || reception.verify(id, &desk.number, &signature, &published, desk.now);
    let proved = verify().map(|number| number.to_string());
    assert_eq!(proved.as_deref(), Some(desk.number.text()));
    assert_eq!(verify(), None);
}

#[test]
fn a_wrong_answer_uses_the_challenge_up() {
    let mut desk = desk();
    let (mut reception, published) = (desk.book.challenges(), desk.book.published());
    let (id, challenge) = reception.challenge(desk.now);
    assert_eq!(
        reception.verify(id, &desk.number, &[0; 64], &published, desk.now),
        None
    );
    let right = challenge.answer(&desk.identity);
    assert_eq!(
        reception.verify(id, &desk.number, &right, &published, desk.now),
        None
    );
}

#[test]
fn an_answer_after_a_minute_is_too_late() {
    let mut desk = desk();
    let (mut reception, published) = (desk.book.challenges(), desk.book.published());
    for (wait, accepted) in [
        (CHALLENGE_LIFE - Duration::from_millis(1), true),
        (CHALLENGE_LIFE, false),
    ] {
        let (id, challenge) = reception.challenge(desk.now);
        let signature = challenge.answer(&desk.identity);
        let then = desk.now + wait;
        let bound = reception.verify(id, &desk.number, &signature, &published, then);
        assert_eq!(bound.is_some(), accepted);
        desk.now = then;
    }
}

#[test]
fn no_key_proves_an_unassigned_number_or_one_of_another_owner() {
    let mut desk = desk();
    let (mut reception, published) = (desk.book.challenges(), desk.book.published());
    for text in [
        "99",
        "0",
        "9999999999999999",
        &plan()
            .numbers()
            .map(|n| n.to_string())
            .find(|n| n != desk.number.text())
            .unwrap(),
    ] {
        let (id, challenge) = reception.challenge(desk.now);
        let signature = challenge.answer(&desk.identity);
        let dialled = DialledNumber::read(text).unwrap();
        assert_eq!(
            reception.verify(id, &dialled, &signature, &published, desk.now),
            None
        );
    }
}

#[test]
fn a_flood_of_challenges_costs_the_oldest_and_no_memory() {
    let mut desk = desk();
    let (mut reception, published) = (desk.book.challenges(), desk.book.published());
    let (id, challenge) = reception.challenge(desk.now);
    for _ in 0..MAX_OPEN + 1 {
        reception.challenge(desk.now);
    }
    assert!(format!("{reception:?}").contains(&format!("open: {MAX_OPEN}")));
    let signature = challenge.answer(&desk.identity);
    assert_eq!(
        reception.verify(id, &desk.number, &signature, &published, desk.now),
        None
    );
}

#[test]
fn the_book_key_differs_from_book_to_book() {
    let keys: Vec<BookKey> = [1, 2]
        .map(|seed| {
            Book::open(
                Box::new(MemoryStore::new()) as Box<dyn Store>,
                terms(),
                [seed; 32],
                NOW,
            )
            .unwrap()
            .0
            .key()
        })
        .into();
    assert_ne!(keys[0], keys[1]);
}
