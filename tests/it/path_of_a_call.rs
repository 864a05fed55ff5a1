//! The path of a call from one phone to the other. Read this test first: each paragraph is one part of the path, with the place
//! in the code where it happens. The README's table has the functions.
//!
//! Only the links and the clock are simulated; SIP, sealed rings, TURN, ICE, DTLS and SRTP are real.

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

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_call_goes_from_handset_to_handset_and_back_on_the_hook() {
    // Two LANs, each with an engine (`gateway/engine/`) with one line and one phone. The phone book assigned the numbers by
    // activation codes, and both engines have a copy of the whole book (`server/book/`).
    let mut world = World::new(1);
    let (caller, callee) = (world.open_engine(1), world.open_engine(1));
    let (alice, bob) = (world.add_phone(caller, 0), world.add_phone(callee, 0));
    let questions = world.phone_book.requests();

    // Alice dials. Her phone's INVITE is challenged, sent again with a digest, and becomes a leg (`sip/src/user_agent/`). The leg
    // becomes an outgoing call (`gateway/engine/src/call/`), which allocates a relayed address at the TURN server.
    world.dial(alice, world.number(callee, 0));
    run_to(&mut world, caller, CallStep::Dialled);
    run_to(&mut world, caller, CallStep::Allocated);

    // The number is looked up in the copy of the book, the ring is sealed to the keys found there (`gateway/engine/src/sealed/`)
    // and published on the relay. Alice's engine tells her phone that it rings.
    run_to(&mut world, caller, CallStep::RingPosted);
    run_to(&mut world, caller, CallStep::RingAccepted);
    assert!(
        world
            .handset(alice)
            .events()
            .contains(&&HandsetEvent::Ringback)
    );

    // Bob's engine opens the envelope, checks who calls, time and replay (`gateway/engine/src/sealed/`), and rings his
    // phone, which shows Alice's number. Nothing leaves Bob's LAN yet.
    run_to(&mut world, callee, CallStep::RingOpened);
    run_to(&mut world, callee, CallStep::PhoneRings);
    let caller_shown = world.number(caller, 0).to_string();
    let rings = HandsetEvent::Ringing {
        caller: caller_shown,
    };
    assert!(world.handset(bob).events().contains(&&rings));
    assert!(world.never(Duration::from_secs(3), |world| {
        let outside = |to| to == Endpoint::Turn(0) || to == Endpoint::Relay;
        let left = |packet: &&_| is_from(packet, callee) && outside(packet.to);
        world.trace().iter().any(|packet| left(&packet))
    }));

    // Bob answers. His engine allocates a relayed address of its own, seals the answer with the ring's session and sends it from
    // there to Alice's relayed address. His microphone stays closed.
    world.answer(bob);
    run_to(&mut world, callee, CallStep::PickedUp);
    run_to(&mut world, callee, CallStep::AnswerAllocated);
    run_to(&mut world, callee, CallStep::AnswerSent);

    // Alice's engine opens the answer, sends a confirmation, and answers her phone's INVITE. The confirmation opens Bob's
    // microphone.
    run_to(&mut world, caller, CallStep::AnswerOpened);
    run_to(&mut world, callee, CallStep::Confirmed);
    assert!(world.handset(alice).is_talking());

    // The engines connect, from relayed address to relayed address, with ICE, DTLS and SRTP (`media/src/`). Each bridges this to
    // its phone's RTP, packet by packet.
    run_to(&mut world, caller, CallStep::Connected);
    run_to(&mut world, callee, CallStep::Connected);
    run_to(&mut world, caller, CallStep::FirstAudio);
    run_to(&mut world, callee, CallStep::FirstAudio);
    run_to(&mut world, caller, CallStep::ControlOpen);

    // They talk. Each hears the other's tone without a gap.
    let talk = Duration::from_secs(5);
    world.run_for(talk);
    let (hers, his) = (
        world.handset(alice).received_audio(),
        world.handset(bob).received_audio(),
    );
    assert!(hers.heard(HIGH).carried(talk), "{:?}", hers.heard(HIGH));
    assert!(his.heard(LOW).carried(talk), "{:?}", his.heard(LOW));

    // Alice hangs up. Her engine says so on the call's data channel, Bob's phone gets a BYE, and both allocations are released.
    world.hang_up(alice);
    run_to(&mut world, caller, CallStep::Ended(EndReason::HungUpHere));
    run_to(&mut world, callee, CallStep::Ended(EndReason::HungUpThere));
    world.run_until(
        "nothing is left of the call",
        Duration::from_secs(5),
        |world| {
            world.host(caller).engine.is_idle()
                && world.host(callee).engine.is_idle()
                && world.turn.relays() == 0
        },
    );
    assert_eq!(
        world.handset(bob).events().last(),
        Some(&&HandsetEvent::HungUp)
    );

    // Bob's engine told the relay nothing, the phone book had no request, and no packet of an unknown kind was sent.
    assert_eq!(world.phone_book.requests(), questions);
    let told = |packet: &&_| is_from(packet, callee) && packet.to == Endpoint::Relay;
    assert_eq!(world.trace().iter().filter(told).count(), 0);
    assert!(
        world
            .trace()
            .iter()
            .all(|packet| packet.kind != PacketKind::Unknown)
    );
    for (_, _, figures) in world.figures() {
        assert_eq!(figures.candidate_types, Some(("relay", "relay")));
        assert_eq!(figures.to_phone.lost, 0);
    }
}

fn run_to(world: &mut World, engine: usize, step: CallStep) {
    world.run_until(&step.to_string(), SOON, |world| {
        world.has_reached(engine, step)
    });
}

fn is_from(packet: &ringfence_tests::world::links::TracedPacket, engine: usize) -> bool {
    packet.from == Endpoint::Engine(engine)
}
