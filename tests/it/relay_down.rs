//! The Nostr relay is down: a caller gets an error at once, and a running call goes on.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        World,
        handset::HandsetEvent,
        links::{Endpoint, PacketKind},
    },
};

#[test]
fn a_caller_without_a_relay_hears_503_at_once() {
    let (mut world, pair) = World::of_two(1);
    world.relay.is_down = true;
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until("refused", Duration::from_secs(1), |world| {
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::Refused(503))
    });
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoRelay)));
    world.run_until_quiet(Duration::from_secs(11));
    world.relay.is_down = false;
    world.call(pair);
}

/// It would ring in vain: the answer could not arrive.
#[test]
fn an_engine_that_no_relay_listens_for_rings_no_other_and_says_so() {
    let (mut world, pair) = World::of_two(1);
    world.set_listening(pair.caller, false);
    let before = world.trace().len();
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(Duration::from_secs(1));
    let said = world.sip(Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice));
    let phrase = "SIP/2.0 503 No relay reached: try again in a minute";
    assert!(said.iter().any(|line| line == phrase), "{said:?}");
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoRelay)));
    let ours = Endpoint::Engine(pair.caller);
    let posted = world.trace()[before..].iter().filter(|packet| {
        packet.from == ours && matches!(packet.kind, PacketKind::Envelope | PacketKind::Turn)
    });
    assert_eq!(posted.count(), 0);
    // Digits that are no number are still none.
    world.dial_digits(pair.alice, "1");
    world.run_for(Duration::from_secs(1));
    let events = world.handset(pair.alice).events();
    assert!(events.contains(&&HandsetEvent::Refused(404)), "{events:?}");
    world.set_listening(pair.caller, true);
    world.call(pair);
}

#[test]
fn an_answer_needs_no_relay() {
    let (mut world, pair) = World::of_two(5);
    world.ring(pair);
    world.relay.is_down = true;
    world.answer(pair.bob);
    world.run_until("both hear", Duration::from_secs(2), |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 10)
    });
}

#[test]
fn an_answer_that_arrives_in_no_way_hangs_up_the_phone_that_gave_it() {
    let (mut world, pair) = World::of_two(2);
    world.ring(pair);
    world.relay.is_down = true;
    world.filter_packets(|packet| packet.kind != PacketKind::Datagram);
    world.answer(pair.bob);
    world.run_until("hung up", Duration::from_secs(13), |world| {
        world
            .handset(pair.bob)
            .events()
            .contains(&&HandsetEvent::HungUp)
    });
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NotConfirmed)));
    world.run_until_quiet(Duration::from_secs(42));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(480))
    );
}

#[test]
fn a_running_call_needs_no_relay() {
    let (mut world, pair) = World::of_two(3);
    world.call(pair);
    world.relay.is_down = true;
    let talk = Duration::from_secs(60);
    world.run_for(talk);
    assert!(
        world
            .handset(pair.alice)
            .received_audio()
            .heard(HIGH)
            .carried(talk)
    );
    assert!(
        world
            .handset(pair.bob)
            .received_audio()
            .heard(LOW)
            .carried(talk)
    );
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    assert_eq!(
        world.handset(pair.bob).events().last(),
        Some(&&HandsetEvent::HungUp)
    );
    let posts = world
        .trace()
        .iter()
        .filter(|packet| packet.to == Endpoint::Relay);
    let posters: Vec<_> = posts.map(|packet| packet.from).collect();
    assert_eq!(posters, [Endpoint::Engine(pair.caller); 8], "the caller's");
}

#[test]
fn a_post_of_one_call_that_no_relay_took_ends_no_other() {
    let mut world = World::new(4);
    let (here, there) = (world.open_engine(1), world.open_engine(2));
    let (alice, bob, carol) = (
        world.add_phone(here, 0),
        world.add_phone(there, 0),
        world.add_phone(there, 1),
    );
    world.dial(alice, world.number(there, 0));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(bob).is_ringing()
    });
    world.answer(bob);
    world.run_until("answered", Duration::from_secs(2), |world| {
        world.has_reached(here, CallStep::AnswerOpened)
    });
    // From now on the confirmation can only come over the data channel, and calls of other phones fail.
    world.relay.is_down = true;
    world.dial(carol, world.number(here, 0));
    world.run_until("refused", Duration::from_secs(1), |world| {
        world
            .handset(carol)
            .events()
            .contains(&&HandsetEvent::Refused(503))
    });
    world.run_for(Duration::from_secs(3));
    assert!(world.handset(alice).is_talking() && world.handset(bob).is_talking());
}

#[test]
fn a_callee_whose_connection_is_lost_while_it_is_rung_rings_when_it_is_back() {
    for seconds in [3, 10, 20] {
        let (mut world, pair) = World::of_two(6);
        let theirs = Endpoint::Engine(pair.callee);
        world.filter_packets(move |packet| packet.from != Endpoint::Relay || packet.to != theirs);
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_for(Duration::from_secs(seconds));
        assert!(!world.handset(pair.bob).is_ringing());
        world.remove_filter();
        world.run_until("rings", Duration::from_secs(8), |world| {
            world.handset(pair.bob).is_ringing()
        });
        world.answer(pair.bob);
        world.run_until("both hear", Duration::from_secs(2), |world| {
            [pair.alice, pair.bob]
                .into_iter()
                .all(|phone| world.handset(phone).received_audio().packets() > 10)
        });
    }
}
