//! A phone holds its call and resumes it, in each of the ways that phones use (RFC 3264 section 8.4, RFC 2543, RFC 3311).

use std::time::Duration;

use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        CallPair, World,
        handset::{HandsetBehaviour, Hold},
        links::{Endpoint, PacketKind},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// Both talk; Alice's phone holds in this way.
fn talking(seed: u64, holds_by: Hold, offers_by_update: bool) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    for phone in [pair.alice, pair.bob] {
        let make = HandsetBehaviour {
            holds_by,
            offers_by_update,
            ..HandsetBehaviour::PLAIN
        };
        world.set_behaviour(phone, make);
    }
    world.call(pair);
    world.run_for(SECOND);
    (world, pair)
}

/// Audio packets that each phone receives in a second, after the last change has taken effect.
fn heard(world: &mut World, pair: CallPair) -> (usize, usize) {
    let packets = |world: &World| {
        [pair.alice, pair.bob].map(|phone| world.handset(phone).received_audio().packets())
    };
    world.run_for(SECOND / 4);
    let before = packets(world);
    world.run_for(SECOND);
    let after = packets(world);
    (after[0] - before[0], after[1] - before[1])
}

/// The direction in the last SDP that an engine sent to a phone.
fn answered(world: &World, engine: usize, phone: usize) -> String {
    let ends = (
        Endpoint::Engine(engine),
        Endpoint::Phone(phone),
        PacketKind::Sip,
    );
    let mut messages = world.trace().iter().rev();
    let last = messages.find_map(|packet| {
        let text = String::from_utf8_lossy(&packet.bytes).into_owned();
        let is_it = (packet.from, packet.to, packet.kind) == ends && text.contains("m=audio");
        is_it.then_some(text)
    });
    let text = last.expect("it was answered");
    let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("a=").filter(|it| directions.contains(it)));
    found.expect("a direction").to_owned()
}

/// A second has fifty packets.
fn all(packets: usize) -> bool {
    (48..=52).contains(&packets)
}

#[test]
fn each_way_of_holding_is_answered_as_it_must_be_and_undone() {
    let ways = [
        (Hold::SendOnly, "recvonly", true),
        (Hold::Inactive, "inactive", false),
        (Hold::ZeroAddress, "sendrecv", false),
    ];
    for (way, direction, has_music) in ways {
        for by_update in [false, true] {
            let (mut world, pair) = talking(1, way, by_update);
            world.hold(pair.alice, true);
            let (alice, bob) = heard(&mut world, pair);
            assert_eq!(answered(&world, pair.caller, pair.alice), direction);
            assert_eq!(alice, 0, "{way:?}: a phone that holds hears nothing");
            // Music of the holding phone is passed on; a phone that sends nothing is not heard.
            assert_eq!(all(bob), has_music, "{way:?} {bob}");
            world.hold(pair.alice, false);
            let (alice, bob) = heard(&mut world, pair);
            assert_eq!(answered(&world, pair.caller, pair.alice), "sendrecv");
            assert!(all(alice) && all(bob), "{way:?} {by_update}: {alice} {bob}");
            assert!(world.handset(pair.bob).is_talking());
        }
    }
}

#[test]
fn the_held_side_learns_nothing_by_sip_and_may_hold_as_well() {
    for way in [Hold::SendOnly, Hold::Inactive, Hold::ZeroAddress] {
        let (mut world, pair) = talking(2, way, false);
        let before = world.trace().len();
        world.hold(pair.alice, true);
        world.run_for(SECOND);
        let to_bob = (
            Endpoint::Engine(pair.callee),
            Endpoint::Phone(pair.bob),
            PacketKind::Sip,
        );
        let told = world.trace()[before..]
            .iter()
            .filter(|packet| (packet.from, packet.to, packet.kind) == to_bob);
        assert_eq!(told.count(), 0, "{way:?}");
        // The held side holds as well: neither hears anything.
        world.hold(pair.bob, true);
        assert_eq!(heard(&mut world, pair), (0, 0), "{way:?}");
        // The side that resumes first still hears nothing, or music, until the other side resumes too.
        world.hold(pair.alice, false);
        let (alice, bob) = heard(&mut world, pair);
        assert_eq!((all(alice), bob), (way == Hold::SendOnly, 0), "{way:?}");
        world.hold(pair.bob, false);
        let (alice, bob) = heard(&mut world, pair);
        assert!(all(alice) && all(bob), "{way:?}: {alice} {bob}");
        for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
            assert!(world.handset(phone).received_audio().heard(hz).tone > SECOND);
        }
    }
}

#[test]
fn a_call_may_be_ended_by_either_side_while_it_is_held() {
    for who in [|pair: CallPair| pair.alice, |pair: CallPair| pair.bob] {
        let (mut world, pair) = talking(3, Hold::Inactive, false);
        world.hold(pair.alice, true);
        world.run_for(SECOND);
        world.hang_up(who(pair));
        world.run_until_quiet(Duration::from_secs(5));
        assert!(world.handset(pair.alice).is_free() && world.handset(pair.bob).is_free());
    }
}

#[test]
fn a_phone_holds_and_resumes_while_its_engine_has_no_path_or_after_it() {
    for way in [Hold::SendOnly, Hold::Inactive] {
        for resumes_in_outage in [false, true] {
            let (mut world, pair) = talking(4, way, false);
            world.kill_turn(0);
            world.run_for(2 * SECOND);
            world.hold(pair.alice, true);
            world.run_for(SECOND);
            let told = answered(&world, pair.caller, pair.alice);
            assert_ne!(told, "sendrecv", "{way:?}: the phone holds");
            if resumes_in_outage {
                world.hold(pair.alice, false);
            }
            world.run_for(SECOND);
            world.restart_turn(0);
            world.run_for(2 * SECOND);
            if !resumes_in_outage {
                let (alice, bob) = heard(&mut world, pair);
                let has_music = way == Hold::SendOnly;
                assert_eq!((alice, all(bob)), (0, has_music), "{way:?}: it stands");
                world.hold(pair.alice, false);
            }
            let (alice, bob) = heard(&mut world, pair);
            assert!(all(alice) && all(bob), "{way:?}: {alice} {bob}");
            assert_eq!(answered(&world, pair.caller, pair.alice), "sendrecv");
        }
    }
}
