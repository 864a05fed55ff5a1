//! A phone sends a new offer in a call, with another port, right after the answer.

use std::{net::SocketAddr, time::Duration};

use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, HandsetEvent},
};

fn moved(world: &World, phone: usize) -> SocketAddr {
    let rtp = world.handset(phone).config().rtp;
    SocketAddr::new(rtp.ip(), rtp.port() + 20)
}

#[test]
fn audio_follows_a_phone_that_moves_right_after_the_answer() {
    let both: [fn(CallPair) -> usize; 2] = [|pair| pair.alice, |pair| pair.bob];
    for phone in both {
        let (mut world, pair) = World::of_two(1);
        let phone = phone(pair);
        world.ring(pair);
        world.answer(pair.bob);
        world.run_until("it talks", Duration::from_secs(2), |world| {
            world.handset(phone).is_talking()
        });
        let rtp = moved(&world, phone);
        world.run_for(Duration::from_millis(1));
        world.reinvite(phone, rtp);
        world.run_until("accepted", Duration::from_secs(2), |world| {
            world
                .handset(phone)
                .events()
                .contains(&&HandsetEvent::ReofferAccepted)
        });
        let talk = Duration::from_secs(3);
        world.run_for(talk);
        world.assert_both_hear(pair, talk);
    }
}

#[test]
fn the_other_side_learns_nothing_of_it() {
    let (mut world, pair) = World::of_two(2);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    let before = world.trace().len();
    let rtp = moved(&world, pair.alice);
    world.reinvite(pair.alice, rtp);
    world.run_for(Duration::from_secs(2));
    let sip = world.trace()[before..].iter().filter(|packet| {
        packet.to == ringfence_tests::world::links::Endpoint::Phone(pair.bob)
            && packet.kind == ringfence_tests::world::links::PacketKind::Sip
    });
    assert_eq!(sip.count(), 0);
}

#[test]
fn a_phone_that_sends_another_codec_than_the_calls_is_offered_that_alone_and_heard() {
    let (mut world, pair) = World::of_two(3);
    let behaviour = HandsetBehaviour {
        sends_g722: true,
        ..HandsetBehaviour::PLAIN
    };
    for phone in [pair.alice, pair.bob] {
        world.set_behaviour(phone, behaviour);
    }
    world.call(pair);
    let talk = Duration::from_secs(3);
    world.run_for(talk);
    let offers = |phone| {
        let events = world.handset(phone).events().into_iter();
        events
            .filter(|event| **event == HandsetEvent::OfferAccepted)
            .count()
    };
    // Alice was answered one codec; Bob answered several.
    assert_eq!((offers(pair.alice), offers(pair.bob)), (0, 1));
    world.assert_both_hear(pair, talk);
}
