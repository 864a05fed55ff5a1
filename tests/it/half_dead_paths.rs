//! Paths that die in part: between two TURN servers that both live, or in one direction. Each engine's own server answers, so that each
//! believes in its own way; the caller leaves it when it hears nothing, and a side that is not heard, as unanswered checks tell, does too.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    links::{Endpoint, PacketKind},
};

/// Silence until a caller leaves a way whose server answers, and what the new one takes.
const SOON: Duration = Duration::from_millis(2_500);

/// Time without answers until a side leaves, and what the new way takes.
const LATER: Duration = Duration::from_millis(7_000);

/// Where only the callee can help, and the caller tries.
const CALLEES_UPLINK: &str = "from the callee to its server";

/// Two engines that know two TURN servers, each at another one.
fn at_two_servers(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.add_turn_server();
    world.use_turn_servers(pair.caller, &[0, 1]);
    world.use_turn_servers(pair.callee, &[1, 0]);
    world.call(pair);
    world.run_for(Duration::from_secs(45));
    (world, pair)
}

fn heard(world: &World, pair: CallPair) -> [usize; 2] {
    [pair.alice, pair.bob].map(|phone| world.handset(phone).received_audio().packets())
}

fn posts(world: &World) -> usize {
    let sent = world.trace().iter();
    let sent = sent.filter(|packet| packet.kind == PacketKind::Envelope);
    sent.count()
}

/// Both hear each other steadily after `limit`, on the same phones, and no relay was told.
fn both_hear_within(limit: Duration, name: &str, (mut world, pair): (World, CallPair)) {
    let is_caller_moved_in_vain = name == CALLEES_UPLINK;
    let (before, told) = (posts(&world), world.handset(pair.bob).events().len());
    world.run_for(limit);
    let then = heard(&world, pair);
    world.run_for(Duration::from_secs(30));
    let now = heard(&world, pair);
    let steady = 30 * 50 - 5;
    assert!(
        now[0] - then[0] >= steady && now[1] - then[1] >= steady,
        "{name}: {then:?} {now:?}\n{world:?}"
    );
    // A caller who moved and is still not heard says where it is.
    assert!(posts(&world) == before || is_caller_moved_in_vain, "{name}");
    assert_eq!(world.handset(pair.bob).events().len(), told);
    world.hang_up(pair.alice);
    world.run_until("the other is told", Duration::from_secs(5), |world| {
        !world.handset(pair.bob).is_talking()
    });
}

#[test]
fn the_path_between_two_living_servers_dies() {
    let (mut world, pair) = at_two_servers(1);
    world.cut_one_way(Endpoint::Relayed(0), Endpoint::Relayed(1));
    world.cut_one_way(Endpoint::Relayed(1), Endpoint::Relayed(0));
    both_hear_within(SOON, "between servers", (world, pair));
}

#[test]
fn a_path_dies_in_one_direction() {
    let ends = |engine, server| (Endpoint::Engine(engine), Endpoint::Turn(server));
    for (name, (from, to), limit) in [
        (
            "to the caller",
            (Endpoint::Relayed(1), Endpoint::Relayed(0)),
            SOON,
        ),
        (
            "to the callee",
            (Endpoint::Relayed(0), Endpoint::Relayed(1)),
            LATER,
        ),
        ("from the caller to its server", ends(0, 0), LATER),
        (CALLEES_UPLINK, ends(1, 1), LATER),
    ] {
        let (mut world, pair) = at_two_servers(2);
        assert_eq!([pair.caller, pair.callee], [0, 1]);
        world.cut_one_way(from, to);
        both_hear_within(limit, name, (world, pair));
    }
}

#[test]
fn without_another_server_both_sides_end_together_and_with_a_reason() {
    for (name, from, to) in [("to the caller", 1, 0), ("to the callee", 0, 1)] {
        let (mut world, pair) = World::of_two(3);
        world.add_turn_server();
        world.use_turn_servers(pair.caller, &[0]);
        world.use_turn_servers(pair.callee, &[1]);
        world.call(pair);
        world.run_for(Duration::from_secs(45));
        world.cut_one_way(Endpoint::Relayed(from), Endpoint::Relayed(to));
        let before = posts(&world);
        world.run_for(Duration::from_secs(58));
        let phones = [pair.alice, pair.bob];
        let talking = |world: &World| phones.map(|phone| world.handset(phone).is_talking());
        assert_eq!(talking(&world), [true, true], "{name}");
        world.run_for(Duration::from_secs(4));
        assert_eq!(talking(&world), [false, false], "{name} {world:?}");
        let unheard = [pair.callee, pair.caller][usize::from(to == 0)];
        assert!(world.has_reached(unheard, CallStep::Ended(EndReason::NoMedia)));
        // A caller says it over the relay too: one envelope, which both engines get.
        assert!(posts(&world) - before <= 3, "{name}");
    }
}

#[test]
fn both_sides_lose_their_allocations_in_the_same_moment() {
    for seed in 0..3 {
        for answers_strangers in [true, false] {
            let (mut world, pair) = World::of_two(seed);
            world.call(pair);
            world.run_for(Duration::from_secs(45));
            world.turn.server_mut(0).answers_strangers = answers_strangers;
            world.kill_turn(0);
            world.restart_turn(0);
            world.run_for(Duration::from_secs(4));
            let then = heard(&world, pair);
            world.run_for(Duration::from_secs(10));
            let now = heard(&world, pair);
            assert!(
                now[0] - then[0] >= 495 && now[1] - then[1] >= 495,
                "{seed} {answers_strangers}: {then:?} {now:?}\n{world:?}"
            );
        }
    }
}
