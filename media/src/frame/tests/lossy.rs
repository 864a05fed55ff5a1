//! From a sender of frames over a wire that loses and delays to what the other side's phone is given, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::codec::Codec;
use crate::far::FarPacket;
use crate::frame::blocks;
use crate::frame::playout::MOST_DELAY;
use crate::frame::receiver::FrameReceiver;
use crate::frame::sender::{FrameSender, WAIT};
use crate::some_time;

const TICK: Duration = Duration::from_micros(500);
const SLOT: Duration = Duration::from_millis(20);
/// RFC 6716 section 2.1.4.
const LONGEST_SLOT: Duration = Duration::from_millis(120);

/// Which frames are meant, by their number.
type FrameChoice = fn(usize) -> bool;

/// A packet that the phone was given.
#[derive(Debug)]
struct Given {
    at: Duration,
    packet: FarPacket,
}

/// A direction of a call, with a phone that speaks as long as it is told to.
struct Wire {
    codec: Codec,
    sender: FrameSender,
    receiver: FrameReceiver,
    rng: ChaCha20Rng,
    start: Instant,
    now: Instant,
    /// From engine to engine, and by how much more a frame may take.
    way: Duration,
    jitter: Duration,
    /// Of 1,000 frames so many begin a loss, and so many in a row are lost then.
    loss: (u32, u32),
    losing: u32,
    /// And these, counted from the first.
    drops: FrameChoice,
    /// Bits a second that the link takes, and when it is free; it holds a fifth of a second.
    link: Option<(u32, Instant)>,
    flying: BTreeMap<(Instant, u32), FarPacket>,
    /// When the phone said each of its packets.
    said: BTreeMap<u16, Duration>,
    given: Vec<Given>,
    /// Time and bytes of each frame.
    left: Vec<(Duration, usize)>,
    number: u16,
    /// Bytes of the phone's packets of G.711 or G.722.
    payload: usize,
    /// Whether a packet of the phone may be refused.
    is_patient: bool,
}

impl Wire {
    fn new(codec: Codec) -> Self {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let (mut sender, start) = (FrameSender::new(&mut rng), some_time());
        sender.agree(codec);
        sender.start(start);
        Self {
            codec,
            sender,
            receiver: FrameReceiver::default(),
            rng,
            start,
            now: start,
            way: Duration::from_millis(40),
            jitter: Duration::ZERO,
            loss: (0, 1),
            losing: 0,
            drops: |_| false,
            link: None,
            flying: BTreeMap::new(),
            said: BTreeMap::new(),
            given: Vec::new(),
            left: Vec::new(),
            number: 0,
            payload: 160,
            is_patient: false,
        }
    }

    /// A phone that speaks over this wire once its losses are known.
    fn lossy(codec: Codec, per_mille: u32, burst: u32) -> Self {
        let mut wire = Self::new(codec);
        wire.loss = (per_mille / burst, burst);
        wire.run(12, |_| true);
        wire.given.clear();
        wire.left.clear();
        wire.said.clear();
        wire
    }

    /// Lets seconds pass; the phone speaks in those slots that `speaks` tells.
    fn run(&mut self, seconds: u32, speaks: impl Fn(u16) -> bool) {
        for tick in 0..seconds * 2_000 {
            self.now += TICK;
            if tick % 40 == 0 {
                self.number += 1;
                if speaks(self.number) {
                    self.say();
                }
            }
            if tick % 40 == 39 {
                self.report();
            }
            self.pass();
        }
    }

    fn say(&mut self) {
        let [high, low] = self.number.to_be_bytes();
        let mut payload = match self.codec {
            Codec::Opus => vec![9 << 3; 70],
            _ => vec![0x55; self.payload],
        };
        payload[1..3].copy_from_slice(&[high, low]);
        let packet = FarPacket {
            payload_type: self.codec.far_payload_type(),
            marker: false,
            sequence: self.number,
            timestamp: 0,
            payload,
        };
        self.said.insert(self.number, self.now - self.start);
        assert!(self.sender.push(packet, self.now) || self.is_patient);
    }

    /// A frame of the other side comes.
    fn report(&mut self) {
        self.sender.note_loss(self.receiver.loss(), self.now);
    }

    fn pass(&mut self) {
        while let Some(frame) = self.sender.poll(self.now) {
            self.left.push((self.now - self.start, frame.payload.len()));
            if self.losing == 0 && self.rng.next_u32() % 1_000 < self.loss.0 {
                self.losing = self.loss.1;
            }
            if self.losing > 0 {
                self.losing -= 1;
                continue;
            }
            if (self.drops)(self.left.len()) {
                continue;
            }
            let Some(queued) = self.queue(frame.payload.len()) else {
                continue;
            };
            let jitter = self.jitter.as_micros() as u32;
            let late = Duration::from_micros((self.rng.next_u32() % (jitter + 1)).into());
            let number = self.left.len() as u32;
            self.flying
                .insert((self.now + self.way + late + queued, number), frame);
        }
        while let Some(first) = self
            .flying
            .first_entry()
            .filter(|it| it.key().0 <= self.now)
        {
            let frame = first.remove();
            self.receiver.read(&frame, self.now);
        }
        while let Some(packet) = self.receiver.poll(self.now) {
            let at = self.now - self.start;
            self.given.push(Given { at, packet });
        }
    }

    /// How long a frame takes through the link; `None` if that has no room for it.
    fn queue(&mut self, bytes: usize) -> Option<Duration> {
        let Some((rate, free)) = &mut self.link else {
            return Some(Duration::ZERO);
        };
        let begin = self.now.max(*free);
        if begin - self.now > Duration::from_millis(200) {
            return None;
        }
        // IP, UDP, TURN and SRTP add 54 bytes.
        *free = begin + Duration::from_secs(1) * (bytes as u32 + 54) * 8 / *rate;
        Some(*free - self.now)
    }

    fn number_of(packet: &FarPacket) -> u16 {
        u16::from_be_bytes([packet.payload[1], packet.payload[2]])
    }

    /// The share of what the phone said that the other phone was given, with each packet once and in order.
    fn share_given(&self) -> f64 {
        let numbers: Vec<_> = self
            .given
            .iter()
            .map(|it| Self::number_of(&it.packet))
            .collect();
        assert!(numbers.is_sorted(), "{:?}", &numbers[..5]);
        let heard: BTreeSet<_> = numbers.iter().copied().collect();
        assert_eq!(heard.len(), numbers.len());
        let said = self
            .said
            .keys()
            .filter(|number| heard.contains(number))
            .count();
        said as f64 / self.said.len() as f64
    }

    /// How long after it was said each packet was given, beyond the way.
    fn delays(&self) -> Vec<Duration> {
        let given = self.given.iter().filter_map(|given| {
            let said = self.said.get(&Self::number_of(&given.packet))?;
            Some(given.at.saturating_sub(*said + self.way))
        });
        given.collect()
    }

    /// The longest time between two packets for the phone.
    fn longest_pause(&self) -> Duration {
        let pairs = self.given.windows(2);
        pairs.map(|pair| pair[1].at - pair[0].at).max().unwrap()
    }

    /// Numbers and timestamps go on as if nothing had been lost.
    fn check_numbers(&self) {
        let ticks = self.codec.clock() / 50;
        for pair in self.given.windows(2) {
            let [one, two] = [&pair[0].packet, &pair[1].packet];
            let steps = two.sequence.wrapping_sub(one.sequence);
            assert!(steps > 0 && steps < 10, "{one:?} {two:?}");
            let time = two.timestamp.wrapping_sub(one.timestamp);
            assert_eq!(time, u32::from(steps) * ticks);
        }
    }
}

#[test]
fn a_wire_that_loses_nothing_costs_nothing() {
    let mut wire = Wire::new(Codec::Opus);
    wire.jitter = Duration::from_millis(10);
    wire.run(60, |_| true);
    assert!(wire.left.iter().all(|(_, bytes)| *bytes == 113));
    let stats = wire.receiver.stats();
    assert_eq!((stats.lost, stats.delay), (0, Duration::ZERO));
    assert_eq!(
        wire.share_given(),
        1.0 - 2.0 / 3_000.0,
        "two are on their way"
    );
    let most = wire.delays().into_iter().max().unwrap();
    assert!(most <= WAIT + wire.jitter + 2 * TICK, "{most:?}");
    assert_eq!(wire.receiver.next_timeout(), None);
}

#[test]
fn what_is_lost_at_random_is_put_in_where_it_was() {
    for (per_mille, least) in [
        (20, 0.997),
        (50, 0.995),
        (100, 0.993),
        (200, 0.99),
        (300, 0.98),
    ] {
        let mut wire = Wire::lossy(Codec::Opus, per_mille, 1);
        wire.jitter = Duration::from_millis(4);
        wire.run(60, |_| true);
        let share = wire.share_given();
        assert!(share >= least, "{per_mille} of 1,000: {share}");
        wire.check_numbers();
        let most = wire.delays().into_iter().max().unwrap();
        assert!(
            most <= WAIT + MOST_DELAY + wire.jitter + TICK,
            "{per_mille} of 1,000: {most:?}"
        );
        let stats = wire.receiver.stats();
        assert!(stats.delay >= SLOT && stats.delay <= MOST_DELAY);
        assert!(stats.repaired > 0 && stats.repaired <= stats.lost && stats.concealed == 0);
    }
}

#[test]
fn bursts_of_eighty_milliseconds_are_repaired_whole() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut wire = Wire::new(codec);
        wire.drops = |frame| frame % 40 < 4;
        wire.run(12, |_| true);
        wire.given.clear();
        wire.said.clear();
        wire.run(60, |_| true);
        let share = wire.share_given();
        assert!(share > 0.997, "{codec:?}: {share}");
        wire.check_numbers();
    }
}

#[test]
fn what_is_not_brought_back_is_concealed_and_numbered_as_sound() {
    let mut wire = Wire::lossy(Codec::Pcmu, 105, 7);
    wire.run(60, |_| true);
    let stats = wire.receiver.stats();
    assert!(stats.concealed > 30, "{stats:?}");
    // The phone misses next to nothing: bursts that follow upon each other last for more than is concealed.
    let numbers = wire.given.windows(2);
    let missed = numbers.filter(|pair| pair[1].packet.sequence != pair[0].packet.sequence + 1);
    assert!(missed.count() < 10);
    assert!(
        wire.longest_pause() < 6 * SLOT,
        "{:?}",
        wire.longest_pause()
    );
}

#[test]
fn a_loss_that_begins_is_repaired_after_less_than_a_second() {
    for (per_mille, least) in [(50, 0.985), (100, 0.98), (200, 0.97)] {
        let mut wire = Wire::new(Codec::Opus);
        wire.run(10, |_| true);
        wire.said.clear();
        wire.given.clear();
        wire.loss = (per_mille, 1);
        wire.run(7, |_| true);
        wire.run(1, |_| false);
        let share = wire.share_given();
        assert!(share >= least, "{per_mille} of 1,000: {share}");
        wire.check_numbers();
    }
}

#[test]
fn the_delay_is_what_the_losses_need() {
    let losses: [(FrameChoice, u32); 3] = [
        (|frame| frame % 20 == 5, 1),
        (|frame| frame % 40 == 5 || frame % 40 == 6, 2),
        (|frame| (5..8).contains(&(frame % 60)), 4),
    ];
    for (drops, slots) in losses {
        let mut wire = Wire::new(Codec::Opus);
        wire.drops = drops;
        wire.run(9, |_| true);
        assert_eq!(wire.receiver.stats().delay, SLOT * slots);
        wire.given.clear();
        wire.run(1, |_| true);
        let most = wire.delays().into_iter().max().unwrap();
        let margin = Duration::from_millis(5);
        assert!(most <= WAIT + SLOT * slots + margin + TICK, "{most:?}");
    }
}

#[test]
fn the_delay_comes_with_losses_and_goes_by_steps_that_are_too_small_to_hear() {
    let mut wire = Wire::new(Codec::Opus);
    wire.run(10, |_| true);
    wire.given.clear();
    wire.loss = (200, 1);
    wire.run(30, |_| true);
    let deepest = wire.receiver.stats().delay;
    assert_eq!(deepest, MOST_DELAY);
    let later = |pair: &[Given]| {
        let slots = u32::from(pair[1].packet.sequence - pair[0].packet.sequence);
        pair[1].at.saturating_sub(pair[0].at + SLOT * slots)
    };
    let steps = wire.given.windows(2).map(later);
    let steps = steps
        .filter(|step| *step > Duration::from_millis(8))
        .count();
    assert!((1..=4).contains(&steps), "{steps}");
    wire.loss = (0, 1);
    wire.run(1, |_| true);
    wire.given.clear();
    wire.said.clear();
    wire.run(40, |_| true);
    assert_eq!(wire.receiver.stats().delay, Duration::ZERO);
    assert_eq!(wire.receiver.next_timeout(), None, "no buffer is left");
    assert!(wire.share_given() > 0.998);
    let pauses = wire.given.windows(2).map(|pair| pair[1].at - pair[0].at);
    let most = pauses.map(|pause| pause.abs_diff(SLOT)).max().unwrap();
    assert!(most <= Duration::from_millis(2), "{most:?}");
    assert_eq!(wire.left.last().unwrap().1, 113);
}

#[test]
fn frames_of_speech_and_silence_have_one_size_at_each_depth() {
    let sizes = |speaks: fn(u16) -> bool| {
        let mut wire = Wire::new(Codec::Opus);
        let losses = [0, 10, 10, 80, 200, 0, 0, 100, 0, 0];
        for per_mille in losses {
            wire.loss = (per_mille, 1);
            wire.run(10, speaks);
        }
        wire.left
    };
    let speech = sizes(|_| true);
    let changes: Vec<_> = speech
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .collect();
    let kinds: BTreeSet<_> = speech.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(kinds, BTreeSet::from([113, 217, 321, 425]), "depth 0 to 3");
    for pair in changes.windows(2) {
        assert!(pair[1][0].0 - pair[0][0].0 >= Duration::from_millis(9_900));
    }
    // A phone that speaks from time to time, and one that never does. Losses are the same, since the wire draws them for each frame.
    for speaks in [|number| number % 150 > 40, |_| false] {
        let other: Vec<_> = sizes(speaks).into_iter().map(|(_, bytes)| bytes).collect();
        let speech: Vec<_> = speech.iter().map(|(_, bytes)| *bytes).collect();
        let alike = speech
            .iter()
            .zip(&other)
            .filter(|(one, two)| one == two)
            .count();
        assert!(alike + 60 >= speech.len(), "{alike} of {}", speech.len());
    }
}

#[test]
fn a_link_that_is_too_narrow_for_what_is_repeated_is_left_alone() {
    let mut wire = Wire::new(Codec::Pcmu);
    wire.link = Some((150_000, wire.now));
    wire.loss = (20, 1);
    wire.run(20, |_| true);
    let filled = wire.receiver.stats();
    assert!(filled.lost > 250, "{filled:?}");
    wire.given.clear();
    wire.run(30, |_| true);
    let stats = wire.receiver.stats();
    let lost = (stats.lost - filled.lost) as f64 / (stats.frames - filled.frames) as f64;
    assert!(lost < 0.04, "{lost}");
    let most = wire.delays().into_iter().max().unwrap();
    assert!(most < Duration::from_millis(50), "{most:?}");
}

#[test]
fn lost_fill_is_not_concealed_and_speech_between_it_is_repaired() {
    let mut wire = Wire::lossy(Codec::Opus, 100, 1);
    wire.run(60, |number| number % 50 > 40);
    let share = wire.share_given();
    assert!(share > 0.98, "{share}");
    // With two of five lost, some slots of each kind are brought back by nothing.
    let mut wire = Wire::lossy(Codec::Pcmu, 400, 1);
    let before = wire.receiver.stats();
    wire.run(60, |number| number % 50 > 40);
    let stats = wire.receiver.stats();
    let repaired = stats.repaired - before.repaired;
    assert!(repaired > 800, "fill is repaired too: {stats:?}");
    assert!(stats.lost - before.lost - repaired > 60, "{stats:?}");
    assert!(stats.concealed - before.concealed < 30, "{stats:?}");
}

#[test]
fn a_way_that_becomes_longer_or_shorter_or_stands_still_is_followed() {
    for (before, way) in [(40, 140), (40, 5), (300, 5)] {
        let mut wire = Wire::new(Codec::Opus);
        wire.way = Duration::from_millis(before);
        wire.loss = (50, 1);
        wire.run(12, |_| true);
        wire.run(5, |_| true);
        wire.way = Duration::from_millis(way);
        wire.run(8, |_| true);
        wire.given.clear();
        wire.said.clear();
        wire.run(20, |_| true);
        assert!(wire.share_given() > 0.98, "{way}: {}", wire.share_given());
        let most = wire.delays().into_iter().max().unwrap();
        assert!(
            most <= MOST_DELAY + Duration::from_millis(15),
            "{way}: {most:?}"
        );
    }
    let mut wire = Wire::lossy(Codec::Opus, 50, 1);
    wire.loss = (1_000, 1);
    wire.run(3, |_| true);
    assert_eq!(wire.receiver.next_timeout(), None, "nothing is waited for");
    wire.given.clear();
    wire.said.clear();
    wire.loss = (10, 1);
    wire.run(30, |_| true);
    assert!(wire.share_given() > 0.99, "{}", wire.share_given());
}

#[test]
fn a_phone_whose_clock_is_off_is_followed_while_the_buffer_stands() {
    for millionths in [-200i64, 200] {
        let mut wire = Wire::lossy(Codec::Opus, 100, 1);
        let mut due = Duration::ZERO;
        // The phone is told by hand when to speak.
        for _ in 0..120 * 2_000 {
            wire.now += TICK;
            due += TICK;
            let slot = 20_000_000 + 20 * millionths;
            if due.as_nanos() as i64 >= slot {
                due -= Duration::from_nanos(slot as u64);
                wire.number += 1;
                wire.say();
                wire.report();
            }
            wire.pass();
        }
        assert!(
            wire.share_given() > 0.99,
            "{millionths}: {}",
            wire.share_given()
        );
        let most = wire.delays().into_iter().max().unwrap();
        // The phone, the sender's wait and the buffer each go by ticks, and the slots stay behind while they learn.
        let behind = Duration::from_millis(4);
        assert!(
            most <= WAIT + behind + MOST_DELAY + 3 * TICK,
            "{millionths}: {most:?}"
        );
    }
}

#[test]
fn packets_of_another_length_are_heard_while_the_buffer_stands() {
    let mut wire = Wire::lossy(Codec::Pcmu, 100, 1);
    // A sender believes the second packet that is shorter, and what waited is more than it was.
    wire.is_patient = true;
    for slots in [2u16, 1] {
        wire.payload = usize::from(slots) * 160;
        let speaks = |number| number % slots == 0;
        wire.run(3, speaks);
        wire.given.clear();
        wire.run(10, speaks);
        let most = 500 / usize::from(slots);
        assert!(
            wire.given.len() * 100 > most * 95,
            "{} of {most}",
            wire.given.len()
        );
    }
}

#[test]
fn a_key_press_on_another_clock_than_the_sound_leaves_the_buffer_as_it_is() {
    let mut wire = Wire::lossy(Codec::Opus, 100, 1);
    wire.run(10, |_| true);
    let delay = wire.receiver.stats().delay;
    assert!(delay > SLOT, "{delay:?}");
    for press in 0..9 {
        let packet = FarPacket {
            payload_type: Codec::Events8k.far_payload_type(),
            marker: false,
            sequence: press,
            timestamp: u32::from(press) * 800,
            payload: vec![5, 10, 0, 160],
        };
        assert!(wire.sender.push(packet, wire.now));
    }
    // In place of sound.
    wire.loss = (0, 1);
    wire.run(1, |_| false);
    assert_eq!(wire.receiver.stats().delay, delay);
}

#[test]
fn what_is_lost_before_a_buffer_begins_is_counted_once() {
    let mut wire = Wire::lossy(Codec::Pcmu, 100, 1);
    let before = wire.receiver.stats();
    wire.loss = (1_000, 1);
    wire.run(10, |_| true);
    wire.loss = (0, 1);
    wire.run(1, |_| true);
    let stats = wire.receiver.stats();
    let frames = stats.frames - before.frames;
    assert!((540..=560).contains(&frames), "{frames} of 550");
}

#[test]
fn what_a_stranger_could_send_is_bounded() {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let mut receiver = FrameReceiver::default();
    let (start, mut given) = (some_time(), 0);
    for step in 0..30_000u64 {
        let now = start + Duration::from_millis(step);
        let sound = [0x55; 160];
        let repeats = [blocks::FrameBlock {
            payload_type: [0, 97, 111][rng.next_u32() as usize % 3],
            age: (rng.next_u32() % 0x4000) as u16,
            payload: &sound[..rng.next_u32() as usize % 160],
        }];
        let payload = blocks::write(400, (0, None), &repeats, Some((0, &sound))).unwrap();
        let (sequence, timestamp) = match step % 3 {
            0 => (rng.next_u32() as u16, rng.next_u32()),
            _ => (step as u16, step as u32 * 160),
        };
        let packet = FarPacket {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp,
            payload,
        };
        receiver.read(&packet, now);
        given += std::iter::from_fn(|| receiver.poll(now)).count();
        let delay = receiver.stats().delay;
        assert!(delay <= LONGEST_SLOT * 32, "{delay:?}");
    }
    assert!(given <= 30_000 * 3, "{given}");
}
