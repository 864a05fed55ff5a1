//! Whole calls.

use std::time::Duration;

use ringfence_media::far::{FarEvent, TurnTransport};

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A call with sound and control both ways, and its end. Returns the times from `connect` to both sides connected, to
/// the first sound at both sides, and to the control channel at both sides.
fn whole_call(setup: Setup) -> [Duration; 4] {
    let mut world = World::new(setup.clone());
    world.allocate();
    let allocated = world.now - world.start;
    // The ring takes its time; the permission for the common server is there by then.
    world.run_for(MS(200));
    world.connect();
    let connect = world.now;
    let mut sequence = [0u16; 2];
    let mut first = None;
    // Phones speak all the time, every 20 ms; here, as soon as it can be heard.
    while first.is_none() {
        for leg in [0, 1] {
            if world.has(leg, |event| *event == FarEvent::Connected) {
                world.speak(leg, sequence[leg]);
                sequence[leg] += 1;
            }
        }
        world.run_for(MS(1));
        assert!(
            world.now - connect < Duration::from_secs(10),
            "{:?}",
            world.said
        );
        if !world.heard(0).is_empty() && !world.heard(1).is_empty() {
            first = Some(world.now - connect);
        }
    }
    let connected = [0, 1].map(|leg| world.when(leg, |event| *event == FarEvent::Connected));
    world.run_until(Duration::from_secs(60), |world| {
        world.both(|event| *event == FarEvent::ControlOpen)
    });
    let control = [0, 1].map(|leg| world.when(leg, |event| *event == FarEvent::ControlOpen));
    for (leg, text) in [(0, &b"hold"[..]), (1, b"resume")] {
        assert!(world.legs[leg].send_control(text, world.now));
        world.run_until(Duration::from_secs(60), |world| {
            world.has(1 - leg, |event| *event == FarEvent::Control(text.to_vec()))
        });
    }
    world.legs[0].close(world.now);
    let over = |event: &FarEvent| *event == FarEvent::Closed;
    if setup.loss == 0 {
        world.run_until(Duration::from_secs(5), |world| world.both(over));
        let failed = |event: &FarEvent| matches!(event, FarEvent::Failed(_));
        assert!(
            !world.has(0, failed) && !world.has(1, failed),
            "{:?}",
            world.said
        );
    } else {
        // A farewell may be lost; silence tells then, and in the worst case the end of the allocation's lifetime.
        world.run_until(Duration::from_secs(65), |world| world.both(over));
        world.run_for(Duration::from_secs(3600));
    }
    assert_eq!(world.open_relays(), 0);
    let max = |times: [Duration; 2]| times[0].max(times[1]) - (connect - world.start);
    [allocated, max(connected), first.unwrap(), max(control)]
}

#[test]
fn a_call_on_wires_without_delay_needs_no_time() {
    let [allocated, connected, sound, control] = whole_call(Setup::default());
    assert_eq!(allocated, Duration::ZERO);
    assert_eq!(connected, Duration::ZERO);
    assert!(sound <= MS(2), "{sound:?}");
    assert!(control <= MS(200), "{control:?}");
}

#[test]
fn a_call_on_slow_wires_needs_one_and_a_half_round_trips() {
    let [allocated, connected, sound, control] = whole_call(Setup {
        delay: MS(25),
        ..Setup::default()
    });
    // Two exchanges with the server; then DTLS 1.3, over a path of 100 ms there and back.
    assert_eq!(allocated, MS(100));
    assert!(connected <= MS(255), "{connected:?}");
    assert!(sound <= MS(255), "{sound:?}");
    assert!(control <= MS(405), "{control:?}");
}

/// The callee begins; the caller learns of the answer `late`. The time from there to both sides connected.
fn answer_on_its_way(setup: Setup, late: Duration) -> Duration {
    let mut world = World::new(setup);
    world.allocate();
    world.run_for(MS(200));
    world.connect_leg(1);
    world.run_for(late);
    let learnt = world.now;
    world.connect_leg(0);
    world.run_until(Duration::from_secs(5), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    world.now - learnt
}

#[test]
fn the_callees_first_packets_count_although_they_are_there_before_the_answer() {
    for late in [1, 2, 5, 20, 40] {
        let took = answer_on_its_way(Setup::default(), MS(late));
        assert!(took <= MS(2), "answer {late} ms late: {took:?}");
    }
}

#[test]
fn two_servers_cost_the_permission() {
    let servers = ["9.9.9.9:3478", "8.8.4.4:3478"];
    let [_, _, sound, _] = whole_call(Setup {
        delay: MS(25),
        servers,
        ..Setup::default()
    });
    assert!(sound <= MS(410), "{sound:?}");
}

#[test]
fn requests_repeated_on_a_very_slow_path_do_no_harm() {
    let delay = MS(200);
    let [allocated, _, sound, _] = whole_call(Setup {
        delay,
        ..Setup::default()
    });
    assert_eq!(allocated, delay * 4);
    assert!(sound <= delay * 13, "{sound:?}");
}

#[test]
fn a_call_works_over_streams() {
    let [_, _, sound, _] = whole_call(Setup {
        delay: MS(25),
        transport: TurnTransport::Stream,
        ..Setup::default()
    });
    assert!(sound <= MS(310), "{sound:?}");
}

#[test]
fn lost_packets_delay_a_call_and_do_not_end_it() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let [allocated, _, sound, _] = whole_call(Setup {
            seed,
            delay: MS(25),
            loss: 50,
            ..Setup::default()
        });
        assert!(allocated <= MS(2000), "{allocated:?}");
        times.push(sound);
    }
    times.sort();
    assert!(times[20] <= MS(400), "{times:?}");
    assert!(times[39] <= MS(1500), "{times:?}");
}

#[test]
fn audio_arrives_unchanged_and_in_the_same_instant() {
    let mut world = World::connected(Setup::default());
    for sequence in 65_000u32..66_000 {
        let before = world.frames[0].len();
        world.speak(0, sequence as u16);
        world.run_for(Duration::ZERO);
        assert!(
            world.frames[0].len() > before,
            "the packet waits for a timer"
        );
        world.run_for(MS(20));
    }
    let heard = world.heard(1);
    assert_eq!(heard.len(), 1000);
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(index, packet)| packet.sequence == (65_000 + index) as u16)
    );
    assert!(
        heard
            .iter()
            .all(|packet| packet.payload == [0x55; 160] && packet.payload_type == 0)
    );
}

#[test]
fn a_leg_waits_an_hour_for_its_call() {
    let mut world = World::new(Setup {
        delay: MS(10),
        ..Setup::default()
    });
    world.allocate();
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.open_relays(), 2);
    // A spare costs a handful of packets a minute at most.
    assert!(world.frames[0].len() < 100, "{}", world.frames[0].len());
    world.connect();
    let connect = world.now;
    world.run_until(Duration::from_secs(5), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    assert!(world.now - connect <= MS(120), "{:?}", world.now - connect);
}

#[test]
fn a_call_lasts_an_hour() {
    let mut world = World::connected(Setup {
        delay: MS(10),
        ..Setup::default()
    });
    for second in 0..3600u32 {
        world.speak(0, second as u16);
        world.speak(1, second as u16);
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.heard(0).len(), 3600);
    assert_eq!(world.heard(1).len(), 3600);
    assert_eq!(
        world.legs[0].counters().misdirected + world.legs[0].counters().unsent,
        0
    );
}

#[test]
fn a_seed_gives_the_same_call_again() {
    let trace = |seed| {
        let mut world = World::connected(Setup {
            seed,
            delay: MS(7),
            loss: 30,
            ..Setup::default()
        });
        world.run_for(Duration::from_secs(30));
        let start = world.start;
        let times: Vec<Duration> = world.frames[0].iter().map(|(at, _)| *at - start).collect();
        (world.local(0).ufrag, times)
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5).0, trace(6).0);
}
