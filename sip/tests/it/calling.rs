//! A phone calls us: answer, refusal, CANCEL, and what is lost on the way.

use std::time::Duration;

use ringfence_sip::message::{Method, Name};
use ringfence_sip::{Event, HangUp};

use crate::world::{ANSWER, Call, OFFER, World, phone, tcp_phone};

#[test]
fn a_call_is_rung_answered_confirmed_and_hung_up_by_the_phone() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.ring(leg, world.now);
    world.drain();
    let ringing = world.responses(alice.flow).remove(0);
    assert_eq!(ringing.status, 180);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    assert_eq!((ok.status, ok.body.as_slice()), (200, ANSWER));
    assert_eq!(
        ok.headers.text(&Name::Contact),
        Some("<sip:ringfence@127.0.0.1:5060>")
    );
    assert_eq!(ringing.headers.get(&Name::To), ok.headers.get(&Name::To));
    let mut call = Call::of(&call.invite, &ok);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    assert_eq!(
        world.event(),
        Event::Confirmed {
            leg,
            sdp: Vec::new()
        }
    );
    world.advance(Duration::from_secs(60));
    assert_eq!(world.agent.next_timeout(), None);
    assert_eq!(world.inbox(alice.flow), []);
    let bye = call.request(&alice, &mut world, Method::Bye);
    assert_eq!(alice.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg });
}

#[test]
fn a_call_is_hung_up_by_us() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let mut call = Call::of(&call.invite, &ok);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    world.events();
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    let bye = world.requests(alice.flow).remove(0);
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.uri, "sip:alice@127.0.0.1:40001");
    assert_eq!(bye.headers.get(&Name::From), ok.headers.get(&Name::To));
    alice.answer(&mut world, &bye, 200);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.inbox(alice.flow), []);
    assert_eq!(world.events(), []);
}

#[test]
fn a_bye_waits_for_the_ack() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.inbox(alice.flow), []);
    let ack = Call::of(&call.invite, &ok).ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    assert_eq!(world.methods(alice.flow), ["BYE"]);
    assert_eq!(world.events(), []);
}

#[test]
fn a_repeated_invite_is_one_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    assert_eq!(alice.ask(&mut world, &call.invite).status, 100);
    world.agent.ring(leg, world.now);
    world.drain();
    world.inbox(alice.flow);
    assert_eq!(alice.ask(&mut world, &call.invite).status, 180);
    assert_eq!(world.events(), []);
}

#[test]
fn a_200_without_ack_is_repeated_and_then_the_call_ends() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    let mut sent = Vec::new();
    for tenth in 0..400_u32 {
        world.drain();
        sent.extend(
            world
                .inbox(alice.flow)
                .into_iter()
                .map(|message| (tenth, message)),
        );
        world.advance(Duration::from_millis(100));
    }
    let at: Vec<u32> = sent.iter().map(|(tenth, _)| *tenth).collect();
    assert_eq!(at.get(..6), Some(&[0, 5, 15, 35, 75, 115][..]));
    assert_eq!(world.event(), Event::HungUp { leg });
    let byes = sent
        .iter()
        .filter(|(_, message)| message.to_bytes().starts_with(b"BYE "))
        .count();
    assert!(byes > 0);
}

#[test]
fn a_lost_ack_is_made_good_by_the_phones_second_ack() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    world.advance(Duration::from_millis(600));
    assert_eq!(world.statuses(alice.flow), [200]);
    let ack = Call::of(&call.invite, &ok).ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    alice.send(&mut world, &ack);
    assert_eq!(
        world.event(),
        Event::Confirmed {
            leg,
            sdp: Vec::new()
        }
    );
    world.advance(Duration::from_secs(60));
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.refuse(leg, 486, world.now);
    world.drain();
    let busy = world.responses(alice.flow).remove(0);
    assert_eq!(busy.status, 486);
    world.advance(Duration::from_millis(1600));
    assert_eq!(world.statuses(alice.flow), [486, 486]);
    let ack = Call::of(&call.invite, &busy).ack_of_refusal();
    alice.send(&mut world, &ack);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.inbox(alice.flow), []);
    assert_eq!(world.events(), []);
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_phone_that_gives_up_hears_487() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    alice.send(&mut world, &call.cancel());
    assert_eq!(world.statuses(alice.flow), [200, 487]);
    assert_eq!(world.event(), Event::Cancelled { leg });
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn a_cancel_that_comes_after_the_answer_changes_nothing() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    world.inbox(alice.flow);
    assert_eq!(alice.ask(&mut world, &call.cancel()).status, 200);
    assert_eq!(world.events(), []);
}

#[test]
fn a_cancel_for_no_call_is_481() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let invite = alice.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
    let cancel = Call::of(&invite, &ringfence_sip::message::Response::to(&invite, 100)).cancel();
    assert_eq!(alice.ask(&mut world, &cancel).status, 481);
}

#[test]
fn a_bye_before_the_answer_cancels() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.ring(leg, world.now);
    world.drain();
    let ringing = world.responses(alice.flow).remove(0);
    let bye = Call::of(&call.invite, &ringing).request(&alice, &mut world, Method::Bye);
    alice.send(&mut world, &bye);
    assert_eq!(world.statuses(alice.flow), [200, 487]);
    assert_eq!(world.event(), Event::Cancelled { leg });
}

#[test]
fn a_call_without_an_offer_gets_ours_and_answers_in_the_ack() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", b"");
    world.agent.answer(leg, OFFER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let mut ack = Call::of(&call.invite, &ok).ack(&alice, &mut world);
    ack.headers.push(Name::ContentType, "application/sdp");
    ack.body = ANSWER.to_vec();
    alice.send(&mut world, &ack);
    assert_eq!(
        world.event(),
        Event::Confirmed {
            leg,
            sdp: ANSWER.to_vec()
        }
    );
}

#[test]
fn no_call_rings_for_ever() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.advance(Duration::from_secs(181));
    assert_eq!(world.event(), Event::Cancelled { leg });
    assert_eq!(world.statuses(alice.flow).first(), Some(&480));
}

#[test]
fn over_a_stream_refusals_are_not_repeated() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    world.advance(Duration::from_secs(5));
    let refusals = world.responses(alice.flow);
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].status, 480);
    alice.send(
        &mut world,
        &Call::of(&call.invite, &refusals[0]).ack_of_refusal(),
    );
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_closed_stream_cancels_the_call() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.handle_flow_closed(alice.flow, world.now);
    world.drain();
    assert_eq!(world.event(), Event::Cancelled { leg });
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn the_same_invite_by_two_paths_is_one_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, _) = alice.dial(&mut world, "5550199", OFFER);
    let mut other = call.invite.clone();
    let challenge = {
        let probe = alice.request(&mut world, Method::Invite, &call.invite.uri);
        alice.ask(&mut world, &probe)
    };
    other = alice.prove(&mut world, &other, &challenge, 1);
    other
        .headers
        .replace(Name::CSeq, call.invite.headers.cseq().unwrap().to_string());
    assert_eq!(alice.ask(&mut world, &other).status, 482);
}
