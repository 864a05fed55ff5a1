//! Each engine looks its own numbers up in every page that it is shown: nobody else can tell that a record of theirs is false.

use ringfence_phonebook::root::TilesHash;
use ringfence_tests::world::World;

#[test]
fn a_false_record_of_ones_own_is_an_alarm_with_the_proof() {
    let (mut world, pair) = World::of_two(1);
    let (number, thief) = (world.number(pair.callee, 0), world.new_keys());
    world.show_book(pair.callee, (1, 0), &[]);
    assert!(world.seat(pair.callee).false_records.is_empty());
    for engine in [pair.caller, pair.callee] {
        world.show_book(engine, (2, 0), &[(number, thief.listing())]);
    }
    assert!(world.seat(pair.caller).false_records.is_empty());
    let [found] = &world.seat(pair.callee).false_records[..] else {
        panic!("one alarm");
    };
    // What anybody can check: the root names the hashes, they name the tile, the tile has the record.
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
    let (mut world, pair) = World::of_two(2);
    let (number, decoy) = (world.number(pair.callee, 0), world.new_keys());
    let waiting = 12;
    for epoch in 1..=waiting {
        world.show_book(pair.callee, (epoch, 0), &[(number, decoy.listing())]);
        // The world's own book, without a root, is no page.
    }
    let alarms = world.seat(pair.callee).false_records.len();
    assert_eq!(alarms, 0);
    world.show_book(pair.callee, (waiting + 1, 0), &[(number, decoy.listing())]);
    assert_eq!(world.seat(pair.callee).false_records.len(), 1);
}

#[test]
fn a_rotated_ring_key_may_be_listed_a_little_later() {
    let (mut world, pair) = World::of_two(3);
    world.show_book(pair.callee, (1, 0), &[]);
    let (number, today) = (world.number(pair.callee, 0), world.wall().day());
    let renewed = world.renew_ring_key(pair.callee, 0, today);
    world.show_book(pair.callee, (2, 0), &[]);
    world.show_book(pair.callee, (3, 0), &[(number, renewed.listing())]);
    assert!(world.seat(pair.callee).false_records.is_empty());
}
