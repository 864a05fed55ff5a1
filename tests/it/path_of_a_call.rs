//! The path of a call, from one handset to the other, as DESIGN draws it. Read this test first: each paragraph is one
//! stretch of the path, and names the place in the code where it happens.
//!
//! Everything is real but the wires and the clock: SIP, sealed rings, TURN, ICE, DTLS, SRTP.

use std::time::Duration;

use ringfence_engine::{End, Step};
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        World,
        handset::Notice,
        links::{Kind, Place},
    },
};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_call_goes_from_handset_to_handset_and_back_on_the_hook() {
    // Two houses, each with an engine (`gateway/engine/`), one line and one phone. Numbers and keys came from the phone
    // book by activation codes, and both engines hold a copy of all of it (`server/src/book.rs`).
    let mut world = World::new(1);
    let (caller, callee) = (world.open_engine(1), world.open_engine(1));
    let (alice, bob) = (world.plug_in(caller, 0), world.plug_in(callee, 0));
    let questions = world.phone_book.requests();

    // Alice dials. Her INVITE is challenged, repeated with a digest, and becomes a leg (`sip/src/agent/`); the leg becomes
    // an outgoing call (`gateway/engine/src/call/dialling.rs`), which takes a relayed address from the TURN server.
    world.dial(alice, world.number(callee, 0));
    run_to(&mut world, caller, Step::Dialled);
    run_to(&mut world, caller, Step::Allocated);

    // The number is looked up in the copy, the ring sealed to the keys found there (`ring/outgoing.rs`) and posted to the
    // relay. Alice's phone hears ringback that was made on her side.
    run_to(&mut world, caller, Step::RingPosted);
    run_to(&mut world, caller, Step::RingAccepted);
    assert!(
        world
            .handset(alice)
            .notices()
            .contains(&&Notice::HearsRingback)
    );

    // Bob's engine opens the envelope, checks signatures, binding, time and replay (`ring/incoming.rs`, `seen.rs`), and
    // rings his phone, which shows Alice's number. Nothing leaves the house yet.
    run_to(&mut world, callee, Step::RingOpened);
    run_to(&mut world, callee, Step::PhoneRings);
    let caller_shown = world.number(caller, 0).to_string();
    let rings = Notice::Rings {
        caller: caller_shown,
    };
    assert!(world.handset(bob).notices().contains(&&rings));
    assert!(world.never(Duration::from_secs(3), |world| {
        let outside = |to| to == Place::Turn || to == Place::Relay;
        let left = |passage: &&_| is_from(passage, callee) && outside(passage.to);
        world.trace().iter().any(|passage| left(&passage))
    }));

    // Bob picks up. His engine takes a relayed address of its own, seals the answer to the ring's session and posts it
    // (`call/answering.rs`); his microphone stays shut.
    world.answer(bob);
    run_to(&mut world, callee, Step::PickedUp);
    run_to(&mut world, callee, Step::AnswerAllocated);
    run_to(&mut world, callee, Step::AnswerPosted);

    // Alice's engine opens the answer, confirms, and answers her phone; the confirmation opens Bob's microphone.
    run_to(&mut world, caller, Step::AnswerOpened);
    run_to(&mut world, callee, Step::Confirmed);
    assert!(world.handset(alice).is_talking());

    // The engines meet, relayed address to relayed address: ICE, DTLS, SRTP (`media/src/far/`), and each bridges it to its
    // phone's RTP, packet by packet (`media/src/talk.rs`).
    run_to(&mut world, caller, Step::Connected);
    run_to(&mut world, callee, Step::Connected);
    run_to(&mut world, caller, Step::FirstSound);
    run_to(&mut world, callee, Step::FirstSound);
    run_to(&mut world, caller, Step::ControlOpen);

    // They talk. Each hears the other's tone and no hole in it.
    let talk = Duration::from_secs(5);
    world.run_for(talk);
    let (hers, his) = (world.handset(alice).ear(), world.handset(bob).ear());
    assert!(hers.heard(HIGH).carried(talk), "{:?}", hers.heard(HIGH));
    assert!(his.heard(LOW).carried(talk), "{:?}", his.heard(LOW));

    // Alice hangs up. The word goes over the call's own data channel (`call/ending.rs`), Bob's phone hears BYE, and both
    // relayed addresses are given back.
    world.hang_up(alice);
    run_to(&mut world, caller, Step::Ended(End::HungUpHere));
    run_to(&mut world, callee, Step::Ended(End::HungUpThere));
    world.run_until(
        "nothing is left of the call",
        Duration::from_secs(5),
        |world| {
            world.seat(caller).engine.is_idle()
                && world.seat(callee).engine.is_idle()
                && world.turn.relays() == 0
        },
    );
    assert_eq!(world.handset(bob).notices().last(), Some(&&Notice::HungUp));

    // Nobody asked the phone book anything, and nothing unknown ran on a wire.
    assert_eq!(world.phone_book.requests(), questions);
    assert!(
        world
            .trace()
            .iter()
            .all(|passage| passage.kind != Kind::Unknown)
    );
    for (_, _, figures) in world.figures() {
        assert_eq!(figures.candidate_types, Some(("relay", "relay")));
        assert_eq!(figures.to_phone.lost, 0);
    }
}

fn run_to(world: &mut World, engine: usize, step: Step) {
    world.run_until(&step.to_string(), SOON, |world| {
        world.has_taken(engine, step)
    });
}

fn is_from(passage: &ringfence_tests::world::links::Passage, engine: usize) -> bool {
    passage.from == Place::Engine(engine)
}
