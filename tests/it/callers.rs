//! Who calls is who the callee's own copy of the phone book says: in rings, texts, word of missed calls and presence.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::line::identity::Identity;
use ringfence_tests::world::dishonest_book::Forgery::{self, Missed, Presence, Ring, Text};
use ringfence_tests::world::{CallPair, World, handset::HandsetEvent};

const SOON: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);
const EVERYTHING: [Forgery; 4] = [Ring, Text, Missed, Presence];

/// Two parties that have had a call; the callee watches the presence of the caller.
fn acquainted(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    let alice = world.number(pair.caller, 0);
    world.watch(pair.bob, "presence", &alice.to_string());
    world.run_for(SOON);
    (world, pair)
}

/// What Bob has got of all that: rings, texts, missed calls, and whether Alice is shown as not to be disturbed.
fn got(world: &World, pair: CallPair) -> [usize; 4] {
    let events = world.handset(pair.bob).events();
    let count = |is: fn(&HandsetEvent) -> bool| events.iter().filter(|event| is(event)).count();
    let calls = world.host(pair.callee).engine.saved_state().calls.iter();
    [
        count(|event| matches!(event, HandsetEvent::Ringing { .. })),
        count(|event| matches!(event, HandsetEvent::Text { .. })),
        calls.filter(|call| call.is_new).count(),
        count(
            |event| matches!(event, HandsetEvent::Notified { body, .. } if body.contains("busy")),
        ),
    ]
}

/// Sends Bob all four in the name of a number, and says which of them he gets.
fn send_all(world: &mut World, pair: CallPair, keys: &Identity, claimed: Number) -> [bool; 4] {
    let bob = world.number(pair.callee, 0);
    let mut kind = 0..;
    EVERYTHING.map(|what| {
        let kind = kind.next().expect("it has no end");
        let before = got(world, pair)[kind];
        world.send_as(keys, claimed, bob, what);
        // No thief withdraws a ring: it ends by itself. A missed call is noted a minute after its ring.
        world.run_for(Duration::from_secs(75));
        got(world, pair)[kind] > before
    })
}

#[test]
fn a_ring_key_that_was_replaced_and_destroyed_does_nothing_after_the_next_download() {
    let (mut world, pair) = acquainted(1);
    let alice = world.number(pair.caller, 0);
    let stolen = world.host(pair.caller).lines[0].identity();
    world.publish_ring_key(pair.caller, 0);
    assert_eq!(send_all(&mut world, pair, &stolen, alice), [true; 4]);
    world.run_for(Duration::from_secs(120));
    world.renew_books();
    assert_eq!(send_all(&mut world, pair, &stolen, alice), [false; 4]);
    // The owner is not in the way of that.
    let owner = world.host(pair.caller).lines[0].identity();
    assert!(send_all(&mut world, pair, &owner, alice)[..3] == [true; 3]);
}

#[test]
fn keys_that_the_book_never_published_for_a_number_do_nothing() {
    let (mut world, pair) = acquainted(2);
    let (alice, nobodys) = (world.number(pair.caller, 0), world.unassigned());
    let thief = world.new_keys();
    for claimed in [alice, nobodys, Number::new(1)] {
        assert_eq!(send_all(&mut world, pair, &thief, claimed), [false; 4]);
    }
    // Nor do those of one number under another.
    let own = world.host(pair.caller).lines[0].identity();
    assert_eq!(send_all(&mut world, pair, &own, nobodys), [false; 4]);
}

#[test]
fn a_number_that_was_revoked_or_given_to_another_is_no_longer_its_former_owners() {
    let (mut world, pair) = acquainted(3);
    let alice = world.number(pair.caller, 0);
    let former = world.host(pair.caller).lines[0].identity();
    let unix = world.wall().seconds();
    world.phone_book.revoke(alice, unix);
    world.phone_book.close_epoch(unix);
    world.renew_book_of(pair.callee);
    let closed = world.phone_book.root().states().closed;
    world.run_for(Duration::from_secs(closed.saturating_sub(unix) + 120));
    assert_eq!(send_all(&mut world, pair, &former, alice), [false; 4]);
    let next = world.new_keys();
    world.show_book(pair.callee, (2, 0), &[(alice, next.listing())]);
    assert_eq!(send_all(&mut world, pair, &former, alice), [false; 4]);
}

#[test]
fn a_number_younger_than_the_callees_copy_rings_after_the_next_download() {
    let (mut world, pair) = World::of_two(4);
    let early = world.open_engine_early(1);
    let carol = world.add_phone(early, 0);
    let bob = world.number(pair.callee, 0);
    world.dial(carol, bob);
    assert!(world.never(Duration::from_secs(10), |world| {
        world.handset(pair.bob).is_ringing()
    }));
    world.hang_up(carol);
    world.run_for(SOON);
    let unix = world.wall().seconds();
    world.phone_book.close_epoch(unix);
    world.renew_book_of(pair.callee);
    world.dial(carol, bob);
    world.run_until("it rings", SOON, |world| {
        world.handset(pair.bob).is_ringing()
    });
}

#[test]
fn a_caller_whose_ring_key_is_newer_than_the_callees_copy_rings() {
    let (mut world, pair) = World::of_two(5);
    for _ in 0..2 {
        world.publish_ring_key(pair.caller, 0);
    }
    world.run_for(DAY * 6);
    world.renew_book_of(pair.caller);
    for engine in [pair.caller, pair.callee] {
        world.renew_credentials(engine);
    }
    world.call(pair);
}

#[test]
fn a_text_that_lay_at_a_relay_is_still_its_writers_after_a_renewal_and_no_later_one_is_a_thiefs() {
    let (mut world, pair) = World::of_two(6);
    let (alice, bob) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    world.switch_off(pair.callee);
    world.send_text(pair.alice, bob, "written before");
    world.run_for(SOON);
    let stolen = world.host(pair.caller).lines[0].identity();
    world.run_for(Duration::from_secs(300));
    world.publish_ring_key(pair.caller, 0);
    world.run_for(Duration::from_secs(300));
    world.send_as(&stolen, alice, bob, Text);
    world.run_for(DAY * 6);
    world.renew_book_of(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(SOON);
    let texts: Vec<_> = world
        .handset(pair.bob)
        .events()
        .into_iter()
        .cloned()
        .collect();
    let texts = texts.into_iter().filter_map(|event| match event {
        HandsetEvent::Text { body, .. } => Some(body),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["written before"]);
}

#[test]
fn a_copy_older_than_seven_days_rings_contacts_alone() {
    let rings = |(mut world, pair): (World, CallPair), days: u32| {
        world.run_for(DAY * days);
        world.renew_book_of(pair.caller);
        for engine in [pair.caller, pair.callee] {
            world.renew_credentials(engine);
        }
        let bob = world.number(pair.callee, 0);
        world.dial(pair.alice, bob);
        !world.never(Duration::from_secs(10), |world| {
            world.handset(pair.bob).is_ringing()
        })
    };
    assert!(rings(World::of_two(7), 6));
    assert!(!rings(World::of_two(7), 8));
    assert!(rings(acquainted(7), 8));
}
