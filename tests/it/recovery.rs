//! A call outlives its path: the TURN server of one side starts again in a call and has forgotten everything, or stays away. The side that has
//! lost its way out gets another, and its first connectivity check from there tells the other side. The phones see nothing of it.

use std::time::Duration;

use ringfence_tests::world::{CallPair, World};

/// From the moment at which a TURN server answers this engine again to sound at both ears.
const BACK: Duration = Duration::from_secs(2);

/// Two engines that know two TURN servers, each with another one in front.
fn at_two_servers(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.add_turn_server();
    world.use_turn_servers(pair.caller, &[0, 1]);
    world.use_turn_servers(pair.callee, &[1, 0]);
    (world, pair)
}

fn heard(world: &World, pair: CallPair) -> [usize; 2] {
    [pair.alice, pair.bob].map(|phone| world.handset(phone).received_audio().packets())
}

/// What the phones have been told so far.
fn told(world: &World, pair: CallPair) -> [usize; 2] {
    [pair.alice, pair.bob].map(|phone| world.handset(phone).events().len())
}

fn both_hear_again(world: &mut World, pair: CallPair) {
    let before = heard(world, pair);
    world.run_until("both hear each other again", BACK, |world| {
        let now = heard(world, pair);
        now[0] > before[0] + 1 && now[1] > before[1] + 1
    });
    world.run_for(Duration::from_millis(500));
    let steady = heard(world, pair);
    world.run_for(Duration::from_secs(2));
    let after = heard(world, pair);
    assert!(after[0] - steady[0] >= 98 && after[1] - steady[1] >= 98);
}

#[test]
fn the_server_of_either_side_starts_again() {
    for seed in 0..2 {
        for (server, away) in [0, 1]
            .into_iter()
            .flat_map(|server| [0, 1, 20].map(|seconds| (server, Duration::from_secs(seconds))))
        {
            let (mut world, pair) = at_two_servers(seed);
            // Each side has the other's server as the only other one: there it would be refused, and so waits for its own.
            world.use_turn_servers(pair.caller, &[0]);
            world.use_turn_servers(pair.callee, &[1]);
            world.call(pair);
            world.run_for(Duration::from_secs(2));
            let before = told(&world, pair);
            world.kill_turn(server);
            world.run_for(away);
            world.restart_turn(server);
            both_hear_again(&mut world, pair);
            assert_eq!(told(&world, pair), before, "the phones were told something");
            assert_eq!(world.turn.misdirected(), []);
            world.hang_up(pair.alice);
            world.run_until_quiet(Duration::from_secs(5));
            assert_eq!(world.turn.relays(), 0);
        }
    }
}

#[test]
fn a_server_that_stays_away_is_replaced_by_another() {
    for server in [0, 1] {
        let (mut world, pair) = at_two_servers(7);
        world.call(pair);
        world.run_for(Duration::from_secs(2));
        let before = told(&world, pair);
        world.kill_turn(server);
        // What was on its way.
        world.run_for(Duration::from_millis(50));
        both_hear_again(&mut world, pair);
        assert_eq!(told(&world, pair), before, "the phones were told something");
        world.hang_up(pair.bob);
        world.run_until_quiet(Duration::from_secs(5));
    }
}

#[test]
fn the_machine_of_either_side_gets_another_address_or_its_translator_forgets() {
    for (side, is_moved) in [(0, false), (1, false), (0, true), (1, true)] {
        let (mut world, pair) = at_two_servers(8);
        let engine = [pair.caller, pair.callee][side];
        world.call(pair);
        world.run_for(Duration::from_secs(2));
        let before = told(&world, pair);
        if is_moved {
            world.change_address(engine);
        } else {
            world.forget_mappings(engine);
        }
        world.run_for(Duration::from_millis(50));
        both_hear_again(&mut world, pair);
        assert_eq!(told(&world, pair), before, "the phones were told something");
    }
}
