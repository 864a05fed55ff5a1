//! Rings that are replayed, stale, forged or damaged have no effect, neither in the LAN nor outside.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason, ReceivedEvent, sealed::envelope::VERSION};
use ringfence_media::Description;
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind, TracedPacket},
    turn_packets::carried,
};

/// Whether the callee's engine has sent anything since but responses to its phone, which refreshes its registration, or its phone
/// has rung.
fn stirred(world: &World, pair: CallPair, since: usize) -> bool {
    let (engine, phone) = (Endpoint::Engine(pair.callee), Endpoint::Phone(pair.bob));
    let trace = &world.trace()[since..];
    let is_response = |packet: &TracedPacket| {
        let is_request = |other: &&TracedPacket| {
            let passed = packet.at.checked_sub(other.at);
            other.from == phone && passed.is_some_and(|passed| passed < Duration::from_millis(5))
        };
        packet.to == phone && trace.iter().any(|other| is_request(&other))
    };
    let mut sent = trace.iter().filter(|packet| packet.from == engine);
    sent.any(|packet| !is_response(packet))
}

#[test]
fn a_ring_that_is_replayed_rings_no_second_time() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    let (_, ring) = world.relay.passed()[0].clone();
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    let before = world.trace().len();
    // At once, and until long after the ring has become stale.
    for _ in 0..30 {
        world.repost(ring.clone());
        world.run_for(Duration::from_secs(9));
    }
    assert!(!stirred(&world, pair, before), "{world:?}");
    let opened = world
        .steps_of(pair.callee)
        .into_iter()
        .filter(|step| *step == CallStep::RingOpened);
    assert_eq!(opened.count(), 1);
}

#[test]
fn a_ring_under_another_event_key_or_in_another_bucket_does_not_open() {
    let (mut world, pair) = World::of_two(2);
    lose_rings(&mut world, pair);
    let (_, ring) = world.relay.passed()[0].clone();
    let before = world.trace().len();
    world.post_as_attacker(ring.bucket, ring.bytes.clone());
    world.post_as_attacker(ring.bucket ^ 1, ring.bytes);
    world.run_for(Duration::from_secs(5));
    assert!(!stirred(&world, pair, before), "{world:?}");
    assert!(world.host(pair.callee).engine.counters().not_ours > 0);
}

#[test]
fn a_ring_whose_caller_no_longer_waits_by_its_own_date_rings_no_phone() {
    for (late, rings) in [
        (25, true),
        (32, true),
        (34, false),
        (55, false),
        (65, false),
    ] {
        let (mut world, pair) = World::of_two(3);
        let (at, ring) = hold_ring_back(&mut world, pair);
        world.run_for(at + Duration::from_secs(late) - world.clock());
        world.remove_filter();
        let before = world.trace().len();
        world.repost(ring);
        world.run_for(Duration::from_secs(1));
        assert_eq!(stirred(&world, pair, before), rings, "{late} s late");
    }
}

#[test]
fn a_ring_that_comes_late_sounds_only_for_what_is_left_of_its_callers_patience() {
    let (mut world, pair) = World::of_two(8);
    let (at, ring) = hold_ring_back(&mut world, pair);
    // Neither a copy nor the cancel comes.
    world.switch_off(pair.caller);
    world.run_for(at + Duration::from_secs(25) - world.clock());
    world.remove_filter();
    world.repost(ring);
    world.run_until("rings", Duration::from_secs(1), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.run_until("falls silent", Duration::from_secs(9), |world| {
        !world.handset(pair.bob).is_ringing()
    });
    let passed = (world.clock() - at).as_secs_f64();
    assert!((32.5..33.5).contains(&passed), "{passed} s after its date");
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NoAnswer)));
}

#[test]
fn a_ring_dated_in_the_future_is_not_believed() {
    for (ahead, rings) in [(50, true), (70, false)] {
        let (mut world, pair) = World::of_two(4);
        let media = some_description(&mut world, pair);
        let before = world.trace().len();
        let dated = world.wall().after(Duration::from_secs(ahead));
        world.ring_with_keys_of(pair.caller, world.number(pair.callee, 0), &media, dated);
        world.run_for(Duration::from_secs(1));
        assert_eq!(stirred(&world, pair, before), rings, "{ahead} s ahead");
    }
}

#[test]
fn envelopes_that_were_touched_do_not_open() {
    let (mut world, pair) = World::of_two(5);
    lose_rings(&mut world, pair);
    let (_, ring) = world.relay.passed()[0].clone();
    let before = world.trace().len();
    for at in (0..ring.bytes.len()).step_by(7) {
        let mut bytes = ring.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let mut touched = ring.clone();
        touched.bytes = bytes;
        world.repost(touched);
        world.run_for(Duration::from_millis(50));
    }
    for length in [0, 1, 48, 1023, 1025, 65_536] {
        world.post_as_attacker(ring.bucket, vec![1; length]);
        world.run_for(Duration::from_millis(50));
    }
    assert!(!stirred(&world, pair, before), "{world:?}");
}

#[test]
fn a_ring_with_no_readable_description_is_dropped() {
    let (mut world, pair) = World::of_two(6);
    let before = world.trace().len();
    for media in [vec![], vec![0xff; 400], b"v=0\r\nm=audio".to_vec()] {
        world.ring_with_keys_of(
            pair.caller,
            world.number(pair.callee, 0),
            &media,
            world.wall(),
        );
        world.run_for(Duration::from_secs(1));
    }
    assert!(!stirred(&world, pair, before), "{world:?}");
    assert_eq!(world.host(pair.callee).engine.counters().forged, 3);
}

#[test]
fn a_forged_answer_spoils_nothing() {
    let (mut world, pair) = World::of_two(7);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("answered", Duration::from_secs(1), |world| {
        world.has_reached(pair.callee, CallStep::AnswerSent)
    });
    world.run_until("sent", Duration::from_secs(1), |world| {
        let mut sent = world.trace().iter();
        sent.any(|packet| packet.kind == PacketKind::Datagram)
    });
    // Before the answer arrives, an attacker publishes it with a changed end, under the same routing tag.
    let answer = world.trace().iter().rev().find(|packet| {
        packet.from == Endpoint::Engine(pair.callee) && packet.kind == PacketKind::Datagram
    });
    let answer = answer.and_then(|packet| carried(&packet.bytes));
    let mut forged = answer.expect("it was sent").to_vec();
    forged[0] = VERSION;
    forged[1000] ^= 0xff;
    world.links.relay.delay = Duration::from_millis(1);
    world.post_as_attacker(0, forged);
    world.run_until("both hear", Duration::from_secs(3), |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 10)
    });
    assert!(!world.has_reached(pair.caller, CallStep::Ended(EndReason::NoAnswer)));
}

/// Alice rings Bob, but the relay delivers nothing as long as the filter stays; when the ring passed it, and the ring.
fn hold_ring_back(world: &mut World, pair: CallPair) -> (Duration, ReceivedEvent) {
    world.filter_packets(|packet| packet.from != Endpoint::Relay);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until("posted", Duration::from_secs(1), |world| {
        world.has_reached(pair.caller, CallStep::RingAccepted)
    });
    world.relay.passed()[0].clone()
}

/// The same, and Alice cancels.
fn lose_rings(world: &mut World, pair: CallPair) {
    hold_ring_back(world, pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    world.remove_filter();
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(487))
    );
}

/// A description that a genuine engine would send.
fn some_description(world: &mut World, pair: CallPair) -> Vec<u8> {
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    let media = world.opened_rings()[0].media().to_vec();
    assert!(Description::decode(&media).is_ok());
    media
}
