//! What leaves a sender of frames, and when: the same whatever the phone does.

mod lossy;

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::blocks::{FILL_PAYLOAD_TYPE, FrameBlocks};
use super::receiver::FrameReceiver;
use super::sender::{FrameSender, MOST_WAITING, WAIT};
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::some_time;

/// A frame as it left: when, and whether it has sound and a key press.
#[derive(Clone, Debug)]
struct Left {
    at: Instant,
    frame: FarPacket,
    has_sound: bool,
    has_press: bool,
}

/// A sender of a connected call, and its phone, whose clock is moved by hand.
struct Bench {
    sender: FrameSender,
    start: Instant,
    now: Instant,
    /// The phone's numbers.
    sequence: u16,
    left: Vec<Left>,
    lost: usize,
    /// When sound came.
    spoken: Vec<Instant>,
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1_000.0)
}

impl Bench {
    fn new(codec: Codec) -> Self {
        let mut sender = FrameSender::new(&mut ChaCha20Rng::from_seed([3; 32]));
        let now = some_time();
        sender.agree(codec);
        sender.start(now);
        Self {
            sender,
            start: now,
            now,
            sequence: 500,
            left: Vec::new(),
            lost: 0,
            spoken: Vec::new(),
        }
    }

    /// Lets time pass until so many milliseconds after the start, with every timer on its way.
    fn run_to(&mut self, at: f64) {
        let end = self.start + millis(at);
        while let Some(due) = self.sender.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(frame) = self.sender.poll(self.now) {
            let blocks: Vec<_> = FrameBlocks::read(&frame.payload).unwrap().collect();
            self.left.push(Left {
                at: self.now,
                has_press: blocks[0].payload_type != FILL_PAYLOAD_TYPE,
                has_sound: blocks[1].payload_type != FILL_PAYLOAD_TYPE,
                frame,
            });
        }
    }

    fn packet(&mut self, codec: Codec, timestamp: u32, payload: &[u8]) -> FarPacket {
        self.sequence = self.sequence.wrapping_add(1);
        FarPacket {
            payload_type: codec.far_payload_type(),
            marker: false,
            sequence: self.sequence,
            timestamp,
            payload: payload.to_vec(),
        }
    }

    fn push(&mut self, at: f64, packet: FarPacket) {
        self.run_to(at);
        if !self.sender.push(packet, self.now) {
            self.lost += 1;
        }
        self.drain();
    }

    /// The phone says 20 ms of PCMU.
    fn speak(&mut self, at: f64) {
        let packet = self.packet(Codec::Pcmu, 0, &[0x55; 160]);
        self.push(at, packet);
        self.spoken.push(self.now);
    }

    fn press(&mut self, at: f64, start: u32) {
        let packet = self.packet(Codec::Events8k, start, &[5, 10, 0, 160]);
        self.push(at, packet);
    }

    /// Milliseconds between the frames.
    fn pauses(&self) -> Vec<f64> {
        let pairs = self.left.windows(2);
        let pauses = pairs.map(|pair| (pair[1].at - pair[0].at).as_secs_f64() * 1_000.0);
        pauses
            .map(|pause| (pause * 1_000.0).round() / 1_000.0)
            .collect()
    }

    /// All that a TURN server sees of a frame beside its time is in step.
    fn check_headers(&self, bytes: usize, ticks: u32) {
        let first = &self.left[0].frame;
        for (count, Left { frame, .. }) in (0u32..).zip(&self.left) {
            assert_eq!(frame.payload.len(), bytes);
            assert_eq!((frame.payload_type, frame.marker), (96, false));
            assert_eq!(frame.sequence, first.sequence.wrapping_add(count as u16));
            assert_eq!(frame.timestamp, first.timestamp.wrapping_add(count * ticks));
        }
    }

    fn fills(&self) -> usize {
        let fills = self
            .left
            .iter()
            .filter(|left| !left.has_sound && !left.has_press);
        fills.count()
    }
}

#[test]
fn a_long_press_in_long_frames_keeps_its_end() {
    let mut sender = FrameSender::new(&mut ChaCha20Rng::from_seed([5; 32]));
    let start = some_time();
    sender.start(start);
    let packet = |codec: Codec, sequence, payload: &[u8]| FarPacket {
        payload_type: codec.far_payload_type(),
        marker: false,
        sequence,
        timestamp: 7,
        payload: payload.to_vec(),
    };
    // 60 ms of sound in a frame, and a telephone event each 20 ms.
    assert!(sender.push(packet(Codec::Pcmu, 1, &[0x55; 480]), start));
    for step in 0..60 {
        let end = if step >= 57 { 0x80 } else { 0 };
        let event = packet(Codec::Events8k, 2 + step, &[5, end, 0, 160]);
        assert!(
            sender.push(event, start + Duration::from_millis(20) * step.into()),
            "{step}"
        );
    }
}

#[test]
fn a_phone_that_sends_nothing_is_filled_in_from_connection_on() {
    let mut bench = Bench::new(Codec::Opus);
    bench.run_to(10_000.0);
    assert_eq!((bench.left.len(), bench.fills()), (500, 500));
    bench.check_headers(113, 960);
    assert!(bench.pauses().iter().all(|pause| *pause == 20.0));
}

#[test]
fn a_phone_that_jitters_by_five_milliseconds_is_not_seen_to() {
    let (mut bench, mut rng) = (Bench::new(Codec::Pcmu), ChaCha20Rng::from_seed([1; 32]));
    for packet in 1..30_000 {
        let jitter = f64::from(rng.next_u32() % 5_001) / 1_000.0;
        bench.speak(f64::from(packet) * 20.0 + jitter);
        // The slots are in the middle of where packets come after some seconds.
        if packet == 300 {
            bench.left.clear();
        }
    }
    assert_eq!((bench.fills(), bench.lost), (0, 0));
    for pause in bench.pauses() {
        assert!((19.999..=20.001).contains(&pause), "{pause}");
    }
    let waited = bench.now - bench.left.last().unwrap().at;
    assert!(
        waited < millis(20.0),
        "no delay beyond the slot: {waited:?}"
    );
    bench.check_headers(173, 160);
}

#[test]
fn a_phone_whose_clock_is_off_is_followed_for_an_hour() {
    for drift in [-200.0, 200.0] {
        let mut bench = Bench::new(Codec::Pcmu);
        let packets = 3_600 * 50;
        for packet in 0..packets {
            bench.speak(f64::from(packet) * 20.0 * (1.0 + drift / 1e6));
        }
        bench.run_to((bench.now - bench.start + 2 * WAIT).as_secs_f64() * 1_000.0);
        assert_eq!((bench.lost, bench.fills()), (0, 0), "{drift}");
        assert_eq!(bench.left.len(), packets as usize);
    }
}

#[test]
fn a_late_packet_takes_the_next_slot_and_a_packet_is_left_out_for_the_delay() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 0..1_300 {
        let late = if packet == 500 { 8.0 } else { 0.0 };
        bench.speak(f64::from(packet) * 20.0 + late);
        if packet == 740 {
            assert_eq!(bench.lost, 0, "not before five seconds are over");
        }
    }
    assert_eq!((bench.lost, bench.fills()), (1, 1));
    assert!(bench.pauses().iter().all(|pause| *pause == 20.0));
    bench.run_to(26_100.0);
    let heard = bench.left.iter().rev().find(|left| left.has_sound).unwrap();
    let last = bench.start + millis(1_299.0 * 20.0);
    assert!(heard.at - last <= WAIT, "no delay is left");
    bench.check_headers(173, 160);
}

#[test]
fn the_first_packets_of_a_phone_wait_for_no_second_slot() {
    for begin in (0..20).map(f64::from) {
        let mut bench = Bench::new(Codec::Pcmu);
        for packet in 0..1_200 {
            bench.speak(f64::from(packet) * 20.0 + begin);
        }
        bench.run_to(24_100.0);
        assert_eq!(bench.lost, 0, "{begin}");
        let delay = delay(&bench, 100);
        assert!((4.9..5.1).contains(&delay), "{begin}: {delay}");
    }
}

#[test]
fn what_is_left_out_for_the_delay_is_a_quiet_packet() {
    let mut bench = Bench::new(Codec::Pcmu);
    let mut quiet = Vec::new();
    for packet in 0..1_200u32 {
        // Words of a second, and a fifth of one between them. After the 500th packet all are late.
        let is_quiet = packet % 60 >= 50;
        let sound = [if is_quiet { 0xfe } else { 0x10 }; 160];
        let at = f64::from(packet) * 20.0 + if packet == 500 { 8.0 } else { 0.0 };
        let spoken = bench.packet(Codec::Pcmu, 0, &sound);
        let before = bench.lost;
        bench.push(at, spoken);
        if bench.lost > before {
            quiet.push((packet, is_quiet));
        }
    }
    assert!(matches!(quiet[..], [(1_000..=1_070, true)]), "{quiet:?}");
}

#[test]
fn a_phone_that_is_often_late_keeps_the_delay_that_it_needs() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 0..30_000 {
        let late = if packet % 150 == 0 { 12.0 } else { 0.0 };
        bench.speak(f64::from(packet) * 20.0 + late);
    }
    assert_eq!((bench.lost, bench.fills()), (0, 1));
    assert!(bench.pauses().iter().all(|pause| *pause == 20.0));
    bench.run_to(600_100.0);
    let delay = delay(&bench, 100);
    assert!((24.9..25.1).contains(&delay), "{delay}");
}

/// From a packet to the frame that carries it, in the mean of so many of the last.
fn delay(bench: &Bench, packets: usize) -> f64 {
    let pairs = bench.left.iter().filter(|left| left.has_sound).rev();
    let delays = pairs.zip(bench.spoken.iter().rev());
    let delays = delays.take(packets).map(|(left, spoken)| left.at - *spoken);
    delays.map(|delay| delay.as_secs_f64()).sum::<f64>() * 1_000.0 / packets as f64
}

#[test]
fn a_phone_that_begins_again_elsewhere_is_not_seen_to() {
    for elsewhere in [1.0, 6.0, 11.0, 16.0] {
        let (mut bench, mut rng) = (Bench::new(Codec::Pcmu), ChaCha20Rng::from_seed([1; 32]));
        for packet in 0..3_000 {
            let begun = if packet > 1_500 { elsewhere } else { 0.0 };
            let jitter = f64::from(rng.next_u32() % 1_001) / 1_000.0;
            if !(1_000..1_500).contains(&packet) {
                bench.speak(f64::from(packet) * 20.0 + begun + jitter);
            }
        }
        for pause in &bench.pauses()[100..] {
            assert!((19.999..=20.001).contains(pause), "{pause}");
        }
        bench.check_headers(173, 160);
        bench.run_to(60_100.0);
        let delay = delay(&bench, 500);
        assert!(delay < 20.0 + 5.0, "{elsewhere}: {delay}");
    }
}

#[test]
fn a_burst_is_not_heard_for_ever() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 1..=100 {
        bench.speak(f64::from(packet) * 20.0);
    }
    // The network of the phone stood still for 300 ms.
    for _ in 0..15 {
        bench.speak(2_300.0);
    }
    assert_eq!(bench.lost, 15 - MOST_WAITING);
    for packet in 116..=2_000 {
        bench.speak(f64::from(packet) * 20.0);
    }
    assert_eq!(
        bench.lost, 14,
        "each five seconds one packet is left out, until none waits"
    );
    assert!(bench.now - bench.left.last().unwrap().at <= millis(20.0));
}

#[test]
fn a_side_that_was_called_waits_longer_by_its_draw_and_each_packet_has_its_time() {
    for share in [0, u32::MAX / 5 * 4, u32::MAX / 2, u32::MAX] {
        for begin in [0.0, 3.0, 7.0, 11.0, 15.0, 19.0] {
            let mut bench = Bench::new(Codec::Pcmu);
            bench.sender.lag(share);
            let lag = 20.0 * f64::from(share) / f64::from(u32::MAX);
            (0..1_000).for_each(|packet| bench.speak(begin + f64::from(packet) * 20.0));
            let phase = (5.0 + lag) % 20.0;
            let spoken = bench.spoken.iter().take(200).skip(20);
            let sounds = bench.left.iter().filter(|frame| frame.has_sound);
            for (frame, spoken) in sounds.skip(20).zip(spoken) {
                let wait = (frame.at - *spoken).as_secs_f64() * 1_000.0;
                let off = (wait - phase).rem_euclid(20.0);
                assert!(off.min(20.0 - off) < 0.1, "{share} {begin}: {wait}");
                assert!((4.9..25.1).contains(&wait), "{share} {begin}: {wait}");
            }
            // Where all wait for more than a slot, one of them is left out.
            assert!(bench.lost <= 1, "{share} {begin}: {}", bench.lost);
        }
    }
}

#[test]
fn a_phone_that_pauses_is_not_seen_to() {
    let (mut bench, mut rng) = (Bench::new(Codec::Pcmu), ChaCha20Rng::from_seed([1; 32]));
    let mut packet = 0;
    for _ in 0..50 {
        for _ in 0..10 + rng.next_u32() % 100 {
            packet += 1;
            bench.speak(f64::from(packet) * 20.0 + f64::from(rng.next_u32() % 3));
        }
        packet += 10 + rng.next_u32() % 100;
    }
    // The slots have found the phone in the first second.
    bench.left.drain(..50);
    assert!(bench.left.len() > 2_000);
    let (sound, fill) = (bench.left.len() - bench.fills(), bench.fills());
    assert!(sound > 1_000 && fill > 1_000);
    assert_eq!(bench.lost, 0);
    for pause in bench.pauses() {
        assert!((19.999..=20.001).contains(&pause), "{pause}");
    }
    bench.check_headers(173, 160);
}

#[test]
fn key_presses_in_place_of_sound_change_nothing() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 0..400u32 {
        match packet % 100 {
            50..=58 => bench.press(f64::from(packet) * 20.0, packet / 100),
            _ => bench.speak(f64::from(packet) * 20.0),
        }
    }
    let presses = bench.left.iter().filter(|left| left.has_press).count();
    assert_eq!((presses, bench.fills(), bench.lost), (36, 0, 0));
    assert!(bench.pauses().iter().all(|pause| *pause == 20.0));
    bench.check_headers(173, 160);
}

#[test]
fn key_presses_beside_sound_share_its_frames() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 0..200 {
        bench.speak(f64::from(packet) * 20.0);
        if (50..=60).contains(&packet) {
            bench.press(f64::from(packet) * 20.0 + 0.1, 7);
        }
    }
    assert_eq!((bench.fills(), bench.lost), (0, 0));
    let both = bench
        .left
        .iter()
        .filter(|left| left.has_press && left.has_sound);
    assert_eq!(both.count(), 11);
    assert!(bench.pauses().iter().all(|pause| *pause == 20.0));
    bench.check_headers(173, 160);
}

#[test]
fn packets_of_each_length_have_their_own_pace() {
    for length in (10..=60).step_by(10) {
        let mut bench = Bench::new(Codec::Pcmu);
        let sound = vec![0x55; length as usize * 8];
        for packet in 1..=200 {
            let packet_of = bench.packet(Codec::Pcmu, 0, &sound);
            bench.push(f64::from(packet * length), packet_of);
        }
        // Of shorter ones a second one is waited for.
        let left = &bench.left[bench.left.len() - 100..];
        assert!(left.iter().all(|left| left.has_sound), "{length}");
        assert!(
            left.iter()
                .all(|left| left.frame.payload.len() == 13 + sound.len())
        );
        // Two short ones in the first slot are made up for.
        let law = f64::from(length) * 0.995..=f64::from(length);
        let pauses = &bench.pauses()[100..];
        assert!(pauses.iter().all(|pause| law.contains(pause)), "{length}");
        assert_eq!(bench.lost, 0, "{length}");
    }
}

#[test]
fn a_phone_that_left_and_one_that_is_not_heard_yet_are_filled_in_at_its_pace() {
    let mut bench = Bench::new(Codec::Pcmu);
    bench.sender = FrameSender::new(&mut ChaCha20Rng::from_seed([3; 32]));
    // It sends before the connection, and before its microphone is open.
    bench.run_to(7.0);
    bench.sender.note_arrival(bench.now);
    bench.run_to(100.0);
    bench.sender.start(bench.now);
    for packet in 6..=50 {
        bench.run_to(f64::from(packet) * 20.0 + 7.0);
        bench.sender.note_arrival(bench.now);
        bench.drain();
    }
    for packet in 51..=100 {
        bench.speak(f64::from(packet) * 20.0 + 7.0);
    }
    bench.run_to(2_015.0);
    bench.sender.close();
    bench.run_to(3_000.0);
    assert_eq!(bench.left.iter().filter(|left| left.has_sound).count(), 50);
    for pause in bench.pauses() {
        assert!((19.9..=20.1).contains(&pause), "{pause}");
    }
    bench.check_headers(173, 160);
    bench.sender.stop();
    assert_eq!(bench.sender.next_timeout(), None);
}

#[test]
fn a_machine_that_slept_sends_no_burst() {
    let mut bench = Bench::new(Codec::Pcmu);
    bench.run_to(100.0);
    let (before, last) = (bench.left.len(), bench.left.last().unwrap().frame.timestamp);
    bench.now += Duration::from_secs(60);
    bench.drain();
    bench.run_to(60_110.0);
    assert_eq!(bench.left.len(), before + 1);
    let timestamp = bench.left.last().unwrap().frame.timestamp;
    assert_eq!(timestamp.wrapping_sub(last), 3_001 * 160, "time has passed");
}

#[test]
fn packets_out_of_order_are_put_in_order_while_they_wait() {
    let mut bench = Bench::new(Codec::Pcmu);
    for packet in 1..=10 {
        bench.speak(f64::from(packet) * 20.0);
    }
    let packets = [1, 2, 3].map(|byte| bench.packet(Codec::Pcmu, 0, &[byte; 160]));
    let [first, second, third] = packets;
    bench.push(228.0, second);
    bench.push(229.0, first.clone());
    bench.push(230.0, third);
    bench.run_to(400.0);
    let sound = bench.left.iter().filter(|left| left.has_sound);
    let last: Vec<_> = sound
        .skip(10)
        .map(|left| *left.frame.payload.last().unwrap())
        .collect();
    assert_eq!(last, [1, 2, 3]);
    bench.push(401.0, first);
    assert_eq!(bench.lost, 1, "its turn is over");
}

/// What a phone is given of a frame at once.
fn taken(receiver: &mut FrameReceiver, frame: &FarPacket) -> Vec<FarPacket> {
    let now = some_time();
    receiver.read(frame, now);
    std::iter::from_fn(|| receiver.poll(now)).collect()
}

/// What a phone is given of frames: number, marker, and the last byte of the payload.
fn given(receiver: &mut FrameReceiver, frames: &[FarPacket]) -> Vec<(u16, bool, u8)> {
    let packets = frames.iter().flat_map(|frame| taken(receiver, frame));
    packets
        .map(|packet| {
            (
                packet.sequence,
                packet.marker,
                *packet.payload.last().unwrap(),
            )
        })
        .collect()
}

/// Frames with sound of these bytes; zero is fill.
fn frames(sounds: &[u8]) -> Vec<FarPacket> {
    let frames = (100u16..).zip(sounds).map(|(sequence, byte)| {
        let sound = [*byte; 160];
        let sound = (*byte > 0).then_some((0, &sound[..]));
        FarPacket {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp: u32::from(sequence) * 160,
            payload: super::blocks::write(173, (0, None), &[], sound).unwrap(),
        }
    });
    frames.collect()
}

#[test]
fn fill_is_dropped_and_leaves_no_gap() {
    let frames = frames(&[1, 0, 2, 0, 0, 3]);
    let given = given(&mut FrameReceiver::default(), &frames);
    assert_eq!(given, [(0, true, 1), (1, false, 2), (2, false, 3)]);
}

#[test]
fn sound_after_a_pause_is_marked() {
    let mut sounds = vec![1];
    sounds.extend([0; 10]);
    sounds.extend([2, 3]);
    let given = given(&mut FrameReceiver::default(), &frames(&sounds));
    assert_eq!(given, [(0, true, 1), (1, true, 2), (2, false, 3)]);
}

#[test]
fn what_is_lost_between_sound_is_lost_sound_and_elsewhere_fill() {
    let mut receiver = FrameReceiver::default();
    let frames = frames(&[1, 2, 3, 4, 0, 0, 7, 8]);
    let first = given(&mut receiver, &[&frames[..1], &frames[3..5]].concat());
    assert_eq!(first, [(0, true, 1), (3, false, 4)]);
    assert_eq!(given(&mut receiver, &frames[2..3]), [(2, false, 3)], "late");
    assert_eq!(given(&mut receiver, &frames[2..3]), [], "twice");
    assert_eq!(given(&mut receiver, &frames[7..]), [(4, false, 8)]);
}

#[test]
fn a_press_keeps_its_start_and_the_numbers_are_in_order() {
    let mut bench = Bench::new(Codec::Opus);
    for packet in 1..=100 {
        let sound = bench.packet(Codec::Opus, 0, &[9 << 3; 70]);
        bench.push(f64::from(packet) * 20.0, sound);
        if (20..60).contains(&packet) {
            let press = bench.packet(Codec::Events48k, 4_711, &[5, 10, 0, packet as u8]);
            bench.push(f64::from(packet) * 20.0 + 0.1, press);
        }
    }
    bench.run_to(2_015.0);
    let mut receiver = FrameReceiver::default();
    let (mut starts, mut numbers, mut markers) = (Vec::new(), Vec::new(), 0);
    for packet in bench
        .left
        .iter()
        .flat_map(|left| taken(&mut receiver, &left.frame))
    {
        if packet.payload_type == 110 {
            starts.push(packet.timestamp);
            markers += usize::from(packet.marker);
        }
        numbers.push(packet.sequence);
    }
    // 0.8 s are more than the offset of RFC 2198 could tell.
    assert_eq!((starts.len(), markers), (40, 1));
    assert!(starts.iter().all(|start| *start == starts[0]));
    assert!(numbers.iter().copied().eq(0..140));
}

#[test]
fn what_is_no_frame_is_dropped() {
    let mut receiver = FrameReceiver::default();
    let plain = FarPacket {
        payload_type: 0,
        ..frames(&[1])[0].clone()
    };
    assert_eq!(given(&mut receiver, &[plain]), []);
    let broken = FarPacket {
        payload: vec![0x80],
        ..frames(&[1])[0].clone()
    };
    assert_eq!(given(&mut receiver, &[broken]), []);
    assert_eq!(WAIT, Duration::from_millis(5));
}
