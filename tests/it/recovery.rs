//! A call outlives its path: the TURN server of one side starts again in a call and has forgotten everything, or stays away. The side that has
//! lost its way out gets another, and its first connectivity check from there tells the other side. Where both sides lose theirs, the caller
//! says its new address over the relay, and the callee's engine posts nothing. The phones see nothing of it.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, ClockError, World,
    links::{Endpoint, PacketKind, TracedPacket},
};

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

/// TURN server and relay are one machine, which is gone for so long.
fn reboot(world: &mut World, away: Duration) {
    world.restart_relay(away);
    world.kill_turn(0);
    world.run_for(away);
    world.restart_turn(0);
}

/// The envelopes that an engine has sent to the relay.
fn posts(world: &World, engine: usize) -> usize {
    let sent = world.trace().iter().filter(|packet| {
        (packet.from, packet.to) == (Endpoint::Engine(engine), Endpoint::Relay)
            && packet.kind == PacketKind::Envelope
    });
    sent.count()
}

#[test]
fn the_one_machine_with_relay_and_turn_server_starts_again_in_a_call() {
    for seed in 0..3 {
        for away in [1, 5].map(Duration::from_secs) {
            let (mut world, pair) = World::of_two(seed);
            world.call(pair);
            world.run_for(Duration::from_secs(45));
            let (before, of_callee) = (told(&world, pair), posts(&world, pair.callee));
            let of_caller = posts(&world, pair.caller);
            reboot(&mut world, away);
            both_hear_again(&mut world, pair);
            assert_eq!(told(&world, pair), before, "the phones were told something");
            assert_eq!(posts(&world, pair.callee), of_callee);
            let moved = posts(&world, pair.caller) - of_caller;
            assert!((1..=3).contains(&moved), "{moved} envelopes");
            for engine in [pair.caller, pair.callee] {
                assert!(world.has_reached(engine, CallStep::Reconnecting));
                assert!(world.has_reached(engine, CallStep::Reconnected));
            }
            world.hang_up(pair.bob);
            world.run_until_quiet(Duration::from_secs(5));
            assert_eq!(world.turn.relays(), 0);
        }
    }
}

#[test]
fn it_starts_again_and_again_in_one_call() {
    let (mut world, pair) = World::of_two(1);
    world.call(pair);
    for _ in 0..3 {
        world.run_for(Duration::from_secs(10));
        reboot(&mut world, Duration::from_secs(3));
        both_hear_again(&mut world, pair);
    }
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
}

#[test]
fn a_relay_learns_nothing_where_one_side_has_kept_its_way() {
    for server in [0, 1] {
        let (mut world, pair) = at_two_servers(3);
        world.call(pair);
        world.run_for(Duration::from_secs(45));
        let before = [pair.caller, pair.callee].map(|engine| posts(&world, engine));
        world.kill_turn(server);
        world.run_for(Duration::from_secs(10));
        let after = [pair.caller, pair.callee].map(|engine| posts(&world, engine));
        assert_eq!(before, after);
    }
}

#[test]
fn without_a_path_for_a_minute_both_sides_end_with_a_reason_and_at_the_same_time() {
    let (mut world, pair) = World::of_two(4);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    let of_callee = posts(&world, pair.callee);
    world.kill_turn(0);
    world.run_for(Duration::from_secs(58));
    let phones = [pair.alice, pair.bob];
    assert!(
        phones
            .iter()
            .all(|phone| world.handset(*phone).is_talking())
    );
    world.run_for(Duration::from_secs(4));
    assert!(
        phones
            .iter()
            .all(|phone| !world.handset(*phone).is_talking())
    );
    for (engine, phone) in [(pair.caller, pair.alice), (pair.callee, pair.bob)] {
        assert!(world.has_reached(engine, CallStep::Ended(EndReason::NoMedia)));
        let is_bye = |packet: &&TracedPacket| {
            (packet.from, packet.to) == (Endpoint::Engine(engine), Endpoint::Phone(phone))
                && packet.bytes.starts_with(b"BYE ")
        };
        let byes = world.trace().iter().filter(is_bye);
        let texts = byes.map(|bye| String::from_utf8_lossy(&bye.bytes).into_owned());
        let texts: Vec<_> = texts.collect();
        let has_reason = |bye: &String| bye.contains("Reason: Q.850;cause=102");
        assert!(
            !texts.is_empty() && texts.iter().all(has_reason),
            "{texts:?}"
        );
    }
    assert_eq!(posts(&world, pair.callee), of_callee);
    world.restart_turn(0);
    world.run_for(Duration::from_secs(10));
    world.call(pair);
}

#[test]
fn who_hangs_up_while_the_path_is_lost_is_understood_when_it_is_back() {
    for seed in 0..2 {
        for by_caller in [true, false] {
            let (mut world, pair) = World::of_two(seed);
            world.call(pair);
            world.run_for(Duration::from_secs(45));
            let of_callee = posts(&world, pair.callee);
            world.restart_relay(Duration::from_secs(4));
            world.kill_turn(0);
            world.run_for(Duration::from_secs(2));
            let (gone, stays) = match by_caller {
                true => (pair.alice, pair.bob),
                false => (pair.bob, pair.alice),
            };
            world.hang_up(gone);
            world.run_for(Duration::from_secs(2));
            assert!(world.handset(stays).is_talking());
            world.restart_turn(0);
            world.run_until("the other is told", Duration::from_secs(5), |world| {
                !world.handset(stays).is_talking()
            });
            assert_eq!(posts(&world, pair.callee), of_callee);
            world.run_until_quiet(Duration::from_secs(15));
            assert_eq!(world.turn.relays(), 0);
        }
    }
}

/// Its engine looks for a path for ten seconds more, to say that the call is over; the other side, which does not know it yet, goes on talking.
#[test]
fn a_phone_that_hangs_up_while_the_path_is_lost_gets_nothing_any_more() {
    for seed in 0..2 {
        let (mut world, pair) = World::of_two(seed);
        world.call(pair);
        world.run_for(Duration::from_secs(5));
        world.kill_turn(0);
        world.run_for(Duration::from_secs(1));
        world.hang_up(pair.alice);
        world.run_for(Duration::from_millis(100));
        let told = world.trace().len();
        world.restart_turn(0);
        world.run_until_quiet(Duration::from_secs(15));
        let late = world.trace()[told..].iter().filter(|packet| {
            (packet.from, packet.to) == (Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice))
                && packet.kind == PacketKind::Rtp
        });
        assert_eq!(late.count(), 0);
    }
}

#[test]
fn the_machine_starts_again_while_the_callees_phone_rings() {
    for seed in 0..5 {
        let (mut world, pair) = World::of_two(seed);
        world.ring(pair);
        reboot(&mut world, Duration::from_secs(5));
        world.run_for(Duration::from_secs(3));
        assert!(world.handset(pair.bob).is_ringing());
        world.answer(pair.bob);
        world.run_until("both talk", Duration::from_secs(6), |world| {
            heard(world, pair).iter().all(|packets| *packets > 1)
        });
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(5));
    }
}

/// Neither engine can know where the other has gone: the answer names an address that is lost, and so did the ring.
#[test]
fn the_machine_starts_again_while_the_callees_phone_is_answered() {
    for seed in 0..8 {
        let (mut world, pair) = World::of_two(seed);
        world.ring(pair);
        world.restart_relay(Duration::from_secs(5));
        world.kill_turn(0);
        world.run_for(Duration::from_millis(500 + 500 * seed));
        world.answer(pair.bob);
        world.run_for(Duration::from_millis(4_500 - 500 * seed));
        world.restart_turn(0);
        world.run_until("both talk", Duration::from_secs(5), |world| {
            heard(world, pair).iter().all(|packets| *packets > 1)
        });
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(10));
    }
}

#[test]
fn who_hangs_up_while_the_other_side_has_no_path_is_understood_where_that_has_gone() {
    for callee_hangs_up in [true, false] {
        let (mut world, pair) = at_two_servers(5);
        world.use_turn_servers(pair.caller, &[0]);
        world.use_turn_servers(pair.callee, &[1]);
        world.call(pair);
        world.run_for(Duration::from_secs(45));
        let (gone, stays, lost) = match callee_hangs_up {
            true => (pair.bob, pair.alice, 0),
            false => (pair.alice, pair.bob, 1),
        };
        world.kill_turn(lost);
        world.run_for(Duration::from_secs(2));
        world.hang_up(gone);
        world.run_for(Duration::from_secs(3));
        world.restart_turn(lost);
        world.run_until("the other is told", BACK, |world| {
            !world.handset(stays).is_talking()
        });
        world.run_until_quiet(Duration::from_secs(15));
        assert_eq!(world.turn.relays(), 0);
    }
}

/// The answer names an address that is lost by the time at which it arrives, and so did the ring.
#[test]
fn the_machine_starts_again_while_the_answer_is_on_its_way() {
    for seed in 0..8 {
        let (mut world, pair) = World::of_two(seed);
        world.ring(pair);
        world.answer(pair.bob);
        world.run_until("the answer leaves", Duration::from_secs(1), |world| {
            world.has_reached(pair.callee, CallStep::AnswerSent)
        });
        reboot(&mut world, Duration::from_secs(5));
        world.run_until("both talk", Duration::from_secs(4), |world| {
            heard(world, pair).iter().all(|packets| *packets > 1)
        });
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(10));
    }
}

/// Neither what is sealed between the two, nor the logins of the servers, nor the record of the call goes by how late it is. What is posted does:
/// where both sides lose their ways at once, an engine takes no envelope of one whose clock is so wrong.
#[test]
fn the_clock_of_either_side_jumps_by_an_hour_while_the_path_is_lost() {
    let hour = Duration::from_secs(3_600);
    for jump in [ClockError::Ahead(hour), ClockError::Behind(hour)] {
        for (jumps, loses) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (mut world, pair) = at_two_servers(1);
            let engines = [pair.caller, pair.callee];
            for side in [0, 1] {
                world.use_turn_servers(engines[side], &[side]);
            }
            world.call(pair);
            world.run_for(Duration::from_secs(5));
            let before = told(&world, pair);
            world.kill_turn(loses);
            world.run_for(Duration::from_secs(2));
            world.set_clock(engines[jumps], jump);
            world.run_for(Duration::from_secs(3));
            world.restart_turn(loses);
            both_hear_again(&mut world, pair);
            assert_eq!(told(&world, pair), before, "the phones were told something");
            world.hang_up(pair.alice);
            world.run_until_quiet(Duration::from_secs(5));
            for engine in engines {
                let mut saved = world.host(engine).saved_state.0.calls.iter();
                let talked = saved.next().and_then(|call| call.talked);
                let talked = talked.expect("it was answered, and is written down");
                assert!((10..20).contains(&talked.as_secs()), "{jump:?}: {talked:?}");
            }
        }
    }
}
