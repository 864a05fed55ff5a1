//! Each engine checks its own numbers in every root of the book, because no other engine can tell that a record of them is false.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use ringfence_book::root::TilesHash;
use ringfence_tests::world::World;

#[test]
fn a_false_record_of_ones_own_is_an_alarm_with_the_proof() {
    let (mut world, pair) = World::of_two(1);
    let (number, thief) = (world.number(pair.callee, 0), world.new_keys());
    world.show_book(pair.callee, (1, 0), &[]);
    assert!(world.host(pair.callee).false_records.is_empty());
    for engine in [pair.caller, pair.callee] {
        world.show_book(engine, (2, 0), &[(number, thief.listing())]);
    }
    assert!(world.host(pair.caller).false_records.is_empty());
    let [found] = &world.host(pair.callee).false_records[..] else {
        panic!("one alarm");
    };
    // The proof can be checked by any third party: the root commits to the hashes, the hashes to the tile, and the tile contains
    // the record.
    let states = found.root.states();
    assert_eq!(found.number, number);
    assert_eq!(
        TilesHash::of_hashes(states.plan, found.hashes.iter()),
        states.tiles
    );
    let (tile, slot) = states.plan.place(number).unwrap();
    assert_eq!(found.hashes[usize::from(tile)], found.tile.hash());
    assert_eq!(found.tile.record(slot), Some(&thief.listing().encode()));
}

#[test]
fn a_line_that_was_never_listed_is_waited_for() {
    let mut world = World::new(2);
    let early = world.open_engine_early(1);
    let alarms = |world: &World| world.host(early).false_records.len();
    for ahead in 1..60 {
        world.show_book(early, (ahead, 0), &[]);
        assert_eq!(alarms(&world), 0);
    }
    world.show_book(early, (61, 0), &[]);
    assert_eq!(alarms(&world), 1);
}

#[test]
fn a_line_is_listed_with_the_next_epoch() {
    let mut world = World::new(4);
    let early = world.open_engine_early(1);
    // Opening another engine ends the epoch.
    world.open_engine(1);
    world.show_book(early, (1, 0), &[]);
    assert!(world.host(early).false_records.is_empty());
}

#[test]
fn a_rotated_ring_key_may_be_listed_a_little_later() {
    let (mut world, pair) = World::of_two(3);
    world.show_book(pair.callee, (1, 0), &[]);
    let (number, today) = (world.number(pair.callee, 0), world.wall().day());
    let renewed = world.renew_ring_key(pair.callee, 0, today);
    world.show_book(pair.callee, (2, 0), &[]);
    world.show_book(pair.callee, (3, 0), &[(number, renewed.listing())]);
    assert!(world.host(pair.callee).false_records.is_empty());
}

#[test]
fn a_ring_key_that_another_machine_made_is_no_evidence_against_the_phone_book() {
    let (mut world, pair) = World::of_two(5);
    world.show_book(pair.callee, (1, 0), &[]);
    let number = world.number(pair.callee, 0);
    let mut copy = world.host(pair.callee).lines[0].identity();
    let (own, today) = (copy.listing(), world.wall().day());
    copy.renew(today, &mut ChaCha20Rng::from_seed([5; 32]));
    for (ahead, listing, elsewhere) in [
        (2, copy.listing(), vec![number]),
        (3, copy.listing(), vec![number]),
        (4, own, vec![]),
    ] {
        world.show_book(pair.callee, (ahead, 0), &[(number, listing)]);
        let host = world.host(pair.callee);
        assert_eq!(host.engine.lines_elsewhere(), elsewhere);
        assert!(host.false_records.is_empty());
    }
}
