//! A phone book that shows two parties different roots is detected when they call each other, and both then have the proof.

use std::time::Duration;

use ringfence_book::Root;
use ringfence_engine::trust::roots::SplitView;
use ringfence_tests::{
    tone::HIGH,
    world::{CallPair, World},
};

fn split_views(world: &World, pair: CallPair) -> [Vec<SplitView>; 2] {
    [pair.caller, pair.callee].map(|engine| world.host(engine).split_views.clone())
}

/// Both roots, verified with the book's key.
fn is_proof(world: &World, split: &SplitView) -> bool {
    let key = world.phone_book.key();
    let genuine = |root: &Root| Root::decode(&root.encode(), &key) == Ok(*root);
    genuine(&split.ours) && genuine(&split.theirs) && split.ours.contradicts(&split.theirs)
}

#[test]
fn two_pages_of_one_epoch_are_an_alarm_on_both_sides_and_the_call_goes_on() {
    let (mut world, pair) = World::of_two(1);
    world.show_book(pair.caller, (7, 1), &[]);
    world.show_book(pair.callee, (7, 2), &[]);
    world.call(pair);
    for found in split_views(&world, pair) {
        assert_eq!(found.len(), 1);
        assert!(is_proof(&world, &found[0]));
    }
    let talk = Duration::from_secs(2);
    world.run_for(talk);
    assert!(world.handset(pair.alice).received_audio().heard(HIGH).tone > talk.mul_f64(0.9));
    // It is reported once, not with every call.
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    world.call(pair);
    assert_eq!(split_views(&world, pair).map(|found| found.len()), [1, 1]);
}

#[test]
fn the_same_page_and_pages_of_different_epochs_are_none() {
    let (mut world, pair) = World::of_two(2);
    for engine in [pair.caller, pair.callee] {
        world.show_book(engine, (7, 1), &[]);
    }
    world.show_book(pair.caller, (8, 1), &[]);
    world.call(pair);
    assert_eq!(split_views(&world, pair), [vec![], vec![]]);
}

#[test]
fn a_page_from_ahead_is_compared_when_its_epoch_comes() {
    let (mut world, pair) = World::of_two(3);
    world.show_book(pair.caller, (8, 1), &[]);
    world.show_book(pair.callee, (7, 1), &[]);
    world.call(pair);
    assert_eq!(split_views(&world, pair), [vec![], vec![]]);
    world.show_book(pair.callee, (8, 2), &[]);
    let [caller, callee] = split_views(&world, pair);
    assert!(caller.is_empty());
    assert_eq!(callee.len(), 1);
    assert!(is_proof(&world, &callee[0]));
}

#[test]
fn an_unanswered_ring_tells_the_callee() {
    let (mut world, pair) = World::of_two(4);
    world.show_book(pair.caller, (7, 1), &[]);
    world.show_book(pair.callee, (7, 2), &[]);
    world.ring(pair);
    let [caller, callee] = split_views(&world, pair);
    assert_eq!((caller.len(), callee.len()), (0, 1));
}
