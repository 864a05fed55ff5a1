//! Video passes if both phones support it, in the same way as audio: with new RTP numbers, and not before the callee's microphone
//! opens. Of RTCP only keyframe requests pass.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringfence_engine::CallStep;
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        CallPair, World,
        handset::{Camera, HandsetEvent},
        links::{Endpoint, PacketKind},
        turn_packets::carried,
    },
};

const ALICES: u8 = 100;
const BOBS: u8 = 101;

/// Two phones with cameras.
fn seeing(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.give_camera(pair.alice, ALICES);
    world.give_camera(pair.bob, BOBS);
    (world, pair)
}

fn camera(world: &World, phone: usize) -> &Camera {
    world.handset(phone).camera().expect("it was given one")
}

/// Video packets that a phone received.
fn seen(world: &World, phone: usize) -> usize {
    camera(world, phone).received_video().packets.len()
}

/// Packets of keyframes that a phone received.
fn whole(world: &World, phone: usize) -> usize {
    camera(world, phone).received_video().keyframe_packets()
}

#[track_caller]
fn assert_sound(world: &World, pair: CallPair) {
    for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
        let heard = world.handset(phone).received_audio().heard(hz);
        assert!(heard.tone > Duration::from_secs(1), "{heard:?}\n{world:?}");
    }
}

/// Whether any SIP body since then offered video.
fn is_named(world: &World, since: usize, to: usize) -> bool {
    let mut sip = world.trace()[since..]
        .iter()
        .filter(|packet| packet.kind == PacketKind::Sip && packet.to == Endpoint::Phone(to));
    sip.any(|packet| packet.bytes.windows(8).any(|line| line == b"m=video "))
}

#[test]
fn video_crosses_both_ways_beside_audio() {
    let (mut world, pair) = seeing(1);
    world.call(pair);
    world.run_for(Duration::from_secs(3));
    assert_sound(&world, pair);
    for (phone, number) in [(pair.alice, ALICES), (pair.bob, BOBS)] {
        let packets = &camera(&world, phone).received_video().packets;
        assert!(packets.len() > 300, "{}", packets.len());
        assert!(packets.iter().all(|packet| packet[1] & 0x7f == number));
        assert!(packets.iter().all(|packet| packet.len() == 912));
        let marks = packets.iter().filter(|packet| packet[1] & 0x80 != 0);
        assert!(marks.count().abs_diff(packets.len() / 5) <= 1);
    }
}

#[test]
fn nothing_of_a_camera_crosses_but_its_video() {
    let (mut world, pair) = seeing(2);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    for (from, to) in [(pair.alice, pair.bob), (pair.bob, pair.alice)] {
        let ssrc = camera(&world, from).ssrc().to_be_bytes();
        let packets = &camera(&world, to).received_video().packets;
        assert!(packets.iter().all(|packet| packet[8..12] != ssrc));
        // Sequence numbers and timestamps of every camera begin at 9,000 and 55,000.
        let first = &packets[0];
        let sequence = u16::from_be_bytes([first[2], first[3]]);
        let timestamp = u32::from_be_bytes([first[4], first[5], first[6], first[7]]);
        assert!(!(9_000..9_500).contains(&sequence));
        assert!(!(55_000..500_000).contains(&timestamp));
    }
    let sources: Vec<_> = [pair.alice, pair.bob]
        .map(|phone| camera(&world, phone).received_video().packets[0][8..12].to_vec())
        .into();
    assert_ne!(sources[0], sources[1]);
}

#[test]
fn both_begin_with_a_keyframe() {
    let (mut world, pair) = seeing(3);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    for phone in [pair.alice, pair.bob] {
        let screen = camera(&world, phone).received_video();
        let first = screen.packets.iter().take(20);
        let begins = first.filter(|packet| packet[12] == b'W').count();
        assert!(begins >= 5, "{begins} of the first 20 packets");
    }
}

#[test]
fn a_keyframe_request_crosses_and_its_sender_does_not() {
    let (mut world, pair) = seeing(4);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    let (requests, pictures) = (
        camera(&world, pair.bob).received_video().keyframe_requests,
        whole(&world, pair.alice),
    );
    let before = world.trace().len();
    world.request_keyframe(pair.alice);
    world.run_for(Duration::from_secs(1));
    assert_eq!(
        camera(&world, pair.bob).received_video().keyframe_requests,
        requests + 1
    );
    assert_eq!(whole(&world, pair.alice), pictures + 5);
    let to_bob = world.trace()[before..].iter();
    let mut to_bob = to_bob.filter(|packet| packet.to == Endpoint::Phone(pair.bob));
    assert!(!to_bob.any(|packet| packet.bytes.windows(4).any(|part| part == b"anna")));
}

#[test]
fn many_keyframe_requests_become_one() {
    let (mut world, pair) = seeing(5);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    let requests = camera(&world, pair.bob).received_video().keyframe_requests;
    for _ in 0..100 {
        world.request_keyframe(pair.alice);
        world.run_for(Duration::from_millis(10));
    }
    let more = camera(&world, pair.bob).received_video().keyframe_requests - requests;
    assert!((3..=5).contains(&more), "{more} in a second");
}

#[test]
fn a_phone_that_holds_gets_no_video_and_resumes_with_a_keyframe() {
    let (mut world, pair) = seeing(6);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hold(pair.alice, true);
    world.run_for(Duration::from_millis(200));
    let held = seen(&world, pair.alice);
    world.run_for(Duration::from_secs(2));
    assert_eq!(seen(&world, pair.alice), held);
    world.hold(pair.alice, false);
    world.run_for(Duration::from_secs(1));
    let packets = &camera(&world, pair.alice).received_video().packets[held..];
    assert!(packets.len() > 80, "{}", packets.len());
    assert!(packets.iter().take(30).any(|packet| packet[12] == b'W'));
}

#[test]
fn with_one_camera_the_call_has_audio_alone() {
    for owner in [0, 1] {
        let (mut world, pair) = World::of_two(7);
        let phone = [pair.alice, pair.bob][owner];
        world.give_camera(phone, ALICES);
        world.call(pair);
        world.run_for(Duration::from_secs(2));
        assert_sound(&world, pair);
        assert_eq!(seen(&world, phone), 0);
        // A ringing phone is offered video only if the caller has a camera.
        assert_eq!(is_named(&world, 0, pair.bob), owner == 0);
        let answer = &world.host(pair.caller).heard_of()[0];
        assert_eq!(answer.video, None);
    }
}

#[test]
fn with_video_off_at_either_side_the_call_has_audio_alone() {
    for off in [0, 1] {
        let mut world = World::new(8);
        let engines = [0, 1].map(|engine| {
            world.video = engine != off;
            world.open_engine(1)
        });
        let phones = engines.map(|engine| world.add_phone(engine, 0));
        let pair = CallPair {
            caller: engines[0],
            callee: engines[1],
            alice: phones[0],
            bob: phones[1],
        };
        world.give_camera(pair.alice, ALICES);
        world.give_camera(pair.bob, BOBS);
        world.call(pair);
        world.run_for(Duration::from_secs(2));
        assert_sound(&world, pair);
        assert_eq!(seen(&world, pair.alice) + seen(&world, pair.bob), 0);
        assert!(!is_named(&world, 0, pair.bob));
        for engine in engines {
            let heard = world.host(engine).heard_of();
            assert!(heard.iter().all(|heard| heard.video.is_none()));
        }
    }
}

#[test]
fn without_a_confirmation_no_video_of_the_callee_passes() {
    let (mut world, pair) = seeing(9);
    let us = Endpoint::Engine(pair.caller);
    let connected = Rc::new(Cell::new(false));
    let cut = Rc::clone(&connected);
    // The confirmation is dropped, also on the data channel, which would repeat it.
    world.filter_packets(move |packet| {
        let is_confirmation = packet.from == us && packet.kind == PacketKind::Datagram;
        let is_frame = cut.get() && packet.kind == PacketKind::Dtls;
        !is_confirmation && !is_frame
    });
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("connected", Duration::from_secs(2), |world| {
        world.has_reached(pair.callee, CallStep::Connected)
            && world.has_reached(pair.caller, CallStep::Connected)
    });
    connected.set(true);
    world.run_for(Duration::from_secs(5));
    assert_eq!(seen(&world, pair.alice), 0);
    assert!(seen(&world, pair.bob) > 300, "the way was open");
    let shown = world.trace().iter().filter(|packet| {
        let is_video = carried(&packet.bytes).is_some_and(|rtp| rtp[1] & 0x7f >= 112);
        packet.from == Endpoint::Engine(pair.callee) && packet.kind == PacketKind::Srtp && is_video
    });
    assert_eq!(shown.count(), 0);
}

#[test]
fn video_may_be_removed_and_added_again() {
    let (mut world, pair) = seeing(10);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.set_camera(pair.alice, false);
    world.run_for(Duration::from_millis(200));
    let before = [pair.alice, pair.bob].map(|phone| seen(&world, phone));
    world.run_for(Duration::from_secs(1));
    let after = [pair.alice, pair.bob].map(|phone| seen(&world, phone));
    assert_eq!(before, after);
    world.set_camera(pair.alice, true);
    world.run_for(Duration::from_secs(1));
    for (phone, before) in [(pair.alice, before[0]), (pair.bob, before[1])] {
        let more = &camera(&world, phone).received_video().packets[before..];
        assert!(more.len() > 80, "{}", more.len());
    }
    assert!(whole(&world, pair.alice) > 0);
}

#[test]
fn video_added_in_a_running_call_is_refused_and_the_call_goes_on() {
    let (mut world, pair) = World::of_two(11);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.give_camera(pair.alice, ALICES);
    world.set_camera(pair.alice, true);
    world.run_for(Duration::from_secs(2));
    assert!(
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::ReofferAccepted)
    );
    assert_sound(&world, pair);
    let refused = world.trace().iter().any(|packet| {
        let line = b"m=video 0 RTP/AVP";
        packet.to == Endpoint::Phone(pair.alice)
            && packet.bytes.windows(line.len()).any(|part| part == line)
    });
    assert!(refused);
}
