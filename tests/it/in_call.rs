//! What a phone does in a call: hold, key presses in INFO and as RTP events; and INVITEs without an offer.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, HandsetEvent},
    links::{Endpoint, PacketKind},
};

/// A phone that does not support RFC 4733 and accepts INFO.
const BESIDE: HandsetBehaviour = HandsetBehaviour {
    allow: Some("INVITE, ACK, BYE, CANCEL, OPTIONS, INFO"),
    has_events: false,
    ..HandsetBehaviour::PLAIN
};

/// The bodies of INFOs that a phone received.
fn told(world: &World, phone: usize) -> Vec<String> {
    let notices = world.handset(phone).events().into_iter();
    let keys = notices.filter_map(|notice| match notice {
        HandsetEvent::Key(body) => Some(body.clone()),
        _ => None,
    });
    keys.collect()
}

#[test]
fn a_phone_that_holds_hears_nothing_until_it_takes_the_call_back() {
    let (mut world, pair) = World::of_two(1);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hold(pair.alice, true);
    world.run_for(Duration::from_millis(200));
    let before = world.handset(pair.alice).received_audio().packets();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.handset(pair.alice).received_audio().packets(), before);
    world.hold(pair.alice, false);
    world.run_for(Duration::from_secs(2));
    assert!(world.handset(pair.alice).received_audio().packets() > before + 80);
    assert!(world.handset(pair.bob).is_talking());
}

#[test]
fn a_key_press_by_info_arrives_as_a_telephone_event() {
    let (mut world, pair) = World::of_two(2);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    for key in ['5', '#', '#'] {
        world.press(pair.alice, key);
        world.run_for(Duration::from_millis(400));
    }
    world.press(pair.bob, '0');
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.handset(pair.bob).received_audio().keys(), [5, 11, 11]);
    assert_eq!(world.handset(pair.alice).received_audio().keys(), [0]);
}

#[test]
fn a_phone_that_makes_no_offer_is_offered_what_the_other_one_took() {
    let (mut world, pair) = World::of_two(3);
    let number = world.number(pair.callee, 0);
    world.dial_without_offer(pair.alice, number);
    world.run_until("Bob's phone rings", Duration::from_secs(3), |world| {
        world.handset(pair.bob).is_ringing()
    });
    assert!(
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::Ringback)
    );
    world.answer(pair.bob);
    let talk = Duration::from_secs(3);
    world.run_for(talk);
    world.assert_both_hear(pair, talk);
    world.hang_up(pair.alice);
    world.run_for(Duration::from_secs(3));
    assert!(world.handset(pair.bob).is_free());
}

#[test]
fn a_key_press_within_the_audio_is_sent_once_to_a_phone_that_takes_info_only() {
    let both: [fn(CallPair) -> (usize, usize); 2] =
        [|pair| (pair.alice, pair.bob), |pair| (pair.bob, pair.alice)];
    for who in both {
        let (mut world, pair) = World::of_two(4);
        let (presses, hears) = who(pair);
        world.set_behaviour(hears, BESIDE);
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        for event in [5, 11, 11] {
            world.press_by_rtp_event(presses, event);
            world.run_for(Duration::from_millis(500));
        }
        let body = |key| format!("Signal={key}\r\nDuration=100");
        assert_eq!(told(&world, hears), ["5", "#", "#"].map(body), "{world:?}");
        assert!(world.handset(hears).received_audio().keys().is_empty());
    }
}

#[test]
fn a_phone_that_knows_telephone_events_gets_them_and_no_info() {
    let (mut world, pair) = World::of_two(5);
    let allow = BESIDE.allow;
    world.set_behaviour(
        pair.bob,
        HandsetBehaviour {
            allow,
            ..HandsetBehaviour::PLAIN
        },
    );
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.press_by_rtp_event(pair.alice, 7);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.handset(pair.bob).received_audio().keys(), [7]);
    assert_eq!(told(&world, pair.bob), Vec::<String>::new());
}

/// RFC 4733 section 2.1 and INFO are two ways to say one thing, and some phones say it in both.
#[test]
fn a_key_that_is_said_in_info_and_within_the_audio_is_one_key() {
    for (seed, hears) in [(7, HandsetBehaviour::PLAIN), (8, BESIDE)] {
        let (mut world, pair) = World::of_two(seed);
        world.set_behaviour(pair.bob, hears);
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        for (key, event, info_first) in [('5', 5, true), ('5', 5, false), ('#', 11, true)] {
            if info_first {
                world.press(pair.alice, key);
                world.run_for(Duration::from_millis(40));
            }
            world.press_by_rtp_event(pair.alice, event);
            if !info_first {
                world.run_for(Duration::from_millis(160));
                world.press(pair.alice, key);
            }
            world.run_for(Duration::from_millis(700));
        }
        world.run_for(Duration::from_secs(1));
        let within = world.handset(pair.bob).received_audio().keys();
        let beside = told(&world, pair.bob);
        match hears.has_events {
            true => assert_eq!((within, beside), (vec![5, 5, 11], Vec::new())),
            false => {
                let body = |key| format!("Signal={key}\r\nDuration=100");
                assert_eq!(
                    (within, beside),
                    (Vec::new(), ["5", "5", "#"].map(body).to_vec())
                );
            }
        }
    }
}

/// RFC 3264 section 5.1: a phone without an offer of its own is offered all that both sides have, and the other phone follows its choice.
#[test]
fn a_phone_that_makes_no_offer_chooses_among_all_that_the_other_one_took() {
    let (mut world, pair) = World::of_two(9);
    let number = world.number(pair.callee, 0);
    world.set_behaviour(
        pair.bob,
        HandsetBehaviour {
            sends_g722: true,
            prefers_g722: true,
            ..HandsetBehaviour::PLAIN
        },
    );
    world.dial_without_offer(pair.alice, number);
    world.run_until("Bob's phone rings", Duration::from_secs(3), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.answer(pair.bob);
    world.run_for(Duration::from_secs(3));
    let to_alice = (Endpoint::Phone(pair.alice), PacketKind::Sip);
    let mut packets = world.trace().iter();
    let ok = packets.find(|packet| {
        (packet.to, packet.kind) == to_alice
            && packet.bytes.windows(8).any(|word| word == b"m=audio ")
    });
    let offer = String::from_utf8_lossy(&ok.expect("an offer in a 200").bytes).into_owned();
    let audio = offer.lines().find(|line| line.starts_with("m=audio "));
    let formats: Vec<_> = audio.unwrap_or_default().split(' ').skip(3).collect();
    assert_eq!(
        formats,
        ["9", "101", "0", "8"],
        "G.722, events, and G.711 in both laws"
    );
    let events = world.handset(pair.bob).events();
    let offers = events
        .iter()
        .filter(|event| ***event == HandsetEvent::OfferAccepted);
    assert_eq!(
        offers.count(),
        1,
        "Bob's phone is offered Alice's codec\n{world:?}"
    );
    let (alice, bob) = (world.handset(pair.alice), world.handset(pair.bob));
    assert!(alice.is_talking() && bob.is_talking(), "{world:?}");
    let before = [alice, bob].map(|phone| phone.received_audio().packets());
    world.run_for(Duration::from_secs(2));
    for (phone, before) in [pair.alice, pair.bob].into_iter().zip(before) {
        let after = world.handset(phone).received_audio().packets();
        assert!(after >= before + 95, "{before} {after}\n{world:?}");
    }
    world.press_by_rtp_event(pair.alice, 3);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.handset(pair.bob).received_audio().keys(), [3]);
}

/// RFC 3264 section 5.1, RFC 8866 section 5.7: the address of the audio is that of its `c=` line, wherever the SIP comes from.
#[test]
fn a_phone_with_another_address_for_its_audio_is_heard_and_hears() {
    let both: [fn(CallPair) -> usize; 2] = [|pair| pair.alice, |pair| pair.bob];
    for phone in both {
        let (mut world, pair) = World::of_two(10);
        let rtp = match world.handset(phone(pair)).config().address.ip() {
            IpAddr::V4(_) => "10.77.200.9:7078",
            IpAddr::V6(_) => "[fd77:1234:5678:99::9]:7078",
        };
        world.reinvite(phone(pair), rtp.parse().unwrap());
        world.call(pair);
        let talk = Duration::from_secs(3);
        world.run_for(talk);
        world.assert_both_hear(pair, talk);
    }
}

#[test]
fn an_offer_that_cannot_be_taken_is_refused_in_words() {
    let (mut world, pair) = World::of_two(11);
    let number = world.number(pair.callee, 0);
    world.set_behaviour(
        pair.alice,
        HandsetBehaviour {
            names_its_host: true,
            ..HandsetBehaviour::PLAIN
        },
    );
    world.dial(pair.alice, number);
    world.run_for(Duration::from_secs(2));
    let to_alice = (Endpoint::Phone(pair.alice), PacketKind::Sip);
    let mut packets = world.trace().iter();
    let refused = packets.find(|packet| {
        (packet.to, packet.kind) == to_alice && packet.first_line().starts_with("SIP/2.0 488")
    });
    let refused = refused.unwrap_or_else(|| panic!("no refusal\n{world:?}"));
    let text = String::from_utf8_lossy(&refused.bytes).into_owned();
    assert!(
        text.starts_with("SIP/2.0 488 Audio address is not an IP address\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\nWarning: 399 ringfence \"Audio address"),
        "{text}"
    );
}

#[test]
fn a_phone_that_takes_keys_in_no_way_is_not_promised_for() {
    let (mut world, pair) = World::of_two(6);
    let make = HandsetBehaviour {
        has_events: false,
        allow: Some("INVITE, ACK, BYE, CANCEL"),
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.bob, make);
    world.call(pair);
    let answers = world.trace().iter().filter(|packet| {
        let ends = (packet.from, packet.to, packet.kind);
        ends == (
            Endpoint::Engine(pair.caller),
            Endpoint::Phone(pair.alice),
            PacketKind::Sip,
        ) && packet.first_line() == "SIP/2.0 200 OK"
    });
    let events =
        answers.filter(|answer| String::from_utf8_lossy(&answer.bytes).contains("telephone-event"));
    assert_eq!(events.count(), 0, "Alice's phone may say keys as tones");
}
