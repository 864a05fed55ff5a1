//! An hour between two phones whose clocks differ: frames, their repair, the playout buffer and the transcoder together. Delay does not grow,
//! and no sound is missing beyond what the difference of the clocks is worth.
//!
//! The two laws of G.711 are transcoded, since the others take a hundred times as long; what a transcoder does to numbers and times is the
//! same for all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::super::Transcoder;
use crate::codec::Codec::{Pcma, Pcmu};
use crate::far::FarPacket;
use crate::frame::receiver::FrameReceiver;
use crate::frame::sender::FrameSender;
use crate::some_time;

/// Seconds, and packets in each.
const HOUR: u32 = 3_600;
const PACKETS: u32 = 50;
const PACKET: Duration = Duration::from_millis(20);
/// From engine to engine, and by how much more a frame may take.
const WAY: Duration = Duration::from_millis(40);
const JITTER: u32 = 3_000;
/// What 200 millionths of an hour are worth in packets.
const SLIPS: usize = 36;

/// Which engine transcodes, if one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transcodes {
    Neither,
    Speaker,
    Listener,
}

/// One direction of such a call.
#[derive(Clone, Copy, Debug)]
struct Hour {
    /// By how many millionths the phone that speaks is slow.
    slow: i32,
    /// Of 1,000 frames so many are lost.
    loss: u32,
    /// Earlier frames whose sound each frame may carry.
    depth: usize,
    transcodes: Transcodes,
}

/// What came of it.
#[derive(Debug)]
struct Heard {
    /// The mean delay beyond the way in the third minute, and in the last one.
    early: Duration,
    late: Duration,
    /// The longest one from the third minute on.
    longest: Duration,
    /// Packets that were said from then on and not heard, whether or not an imitation was.
    missing: usize,
}

struct Talk {
    hour: Hour,
    sender: FrameSender,
    receiver: FrameReceiver,
    transcoder: Transcoder,
    rng: ChaCha20Rng,
    start: Instant,
    flying: BTreeMap<(Instant, u32), FarPacket>,
    left: u32,
    /// What was said, by the number that its payload carries: the low part of its place.
    said: Vec<Instant>,
    /// When each place was given to the other phone.
    given: Vec<(usize, Instant)>,
}

impl Talk {
    fn new(hour: Hour) -> Self {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let (mut sender, start) = (FrameSender::new(&mut rng), some_time());
        sender.limit_redundancy(hour.depth);
        sender.agree(Pcmu);
        sender.start(start);
        Self {
            hour,
            sender,
            receiver: FrameReceiver::default(),
            transcoder: Transcoder::between(&[Pcma], &[Pcmu]).unwrap(),
            rng,
            start,
            flying: BTreeMap::new(),
            left: 0,
            said: Vec::new(),
            given: Vec::new(),
        }
    }

    /// The phone's next packet. What crosses carries its place, also where it was transcoded, since nobody listens to it then.
    fn say(&mut self, now: Instant) {
        let place = self.said.len();
        self.said.push(now);
        let codec = match self.hour.transcodes {
            Transcodes::Speaker => Pcma,
            _ => Pcmu,
        };
        let packet = FarPacket {
            payload_type: codec.far_payload_type(),
            marker: false,
            sequence: place as u16,
            timestamp: place as u32 * 160,
            payload: vec![0x55; 160],
        };
        let packet = match self.hour.transcodes {
            Transcodes::Speaker => self.transcoder.send(&packet, now),
            _ => Some(packet),
        };
        let mut packet = packet.unwrap();
        packet.payload[..3].copy_from_slice(&(place as u32).to_be_bytes()[1..]);
        self.sender.push(packet, now);
    }

    fn pass(&mut self, now: Instant) {
        while let Some(frame) = self.sender.poll(now) {
            self.left += 1;
            let late = Duration::from_micros((self.rng.next_u32() % JITTER).into());
            if self.rng.next_u32() % 1_000 >= self.hour.loss {
                self.flying.insert((now + WAY + late, self.left), frame);
            }
        }
        while let Some(first) = self.flying.first_entry().filter(|it| it.key().0 <= now) {
            self.receiver.read(&first.remove(), now);
            self.sender.note_loss(self.receiver.loss(), now);
        }
        while let Some(packet) = self.receiver.poll(now) {
            let place =
                u32::from_be_bytes([0, packet.payload[0], packet.payload[1], packet.payload[2]]);
            if self.hour.transcodes == Transcodes::Listener {
                let before = packet.sequence;
                self.transcoder.receive(&packet, now);
                let given: Vec<_> = std::iter::from_fn(|| self.transcoder.poll()).collect();
                assert_eq!(given.len(), 1, "a packet for each");
                assert_eq!((given[0].sequence, given[0].payload.len()), (before, 160));
            }
            self.given.push((place as usize, now));
        }
    }

    fn next(&self) -> Option<Instant> {
        let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
        let times = [
            self.sender.next_timeout(),
            self.receiver.next_timeout(),
            arrival,
        ];
        times.into_iter().flatten().min()
    }
}

impl Hour {
    fn heard(self) -> Heard {
        let mut talk = Talk::new(self);
        let packet = PACKET.mul_f64(1.0 + f64::from(self.slow) / 1e6);
        for place in 0..HOUR * PACKETS {
            let now = talk.start + packet * place;
            while let Some(next) = talk.next().filter(|next| *next < now) {
                talk.pass(next);
            }
            talk.say(now);
            talk.pass(now);
        }
        talk.outcome()
    }
}

impl Talk {
    fn outcome(&self) -> Heard {
        let minute = 60 * PACKETS as usize;
        let all = self.said.len();
        // An imitation has no place that was said.
        let given = self.given.iter().filter_map(|(place, at)| {
            let said = *self.said.get(*place)?;
            Some((*place, at.saturating_duration_since(said + WAY)))
        });
        let given: Vec<_> = given
            .filter(|(_, delay)| *delay < Duration::from_secs(1))
            .collect();
        let mean = |minutes: std::ops::Range<usize>| {
            let delays = given.iter().filter(|(place, _)| minutes.contains(place));
            let delays: Vec<_> = delays.map(|(_, delay)| *delay).collect();
            delays.iter().sum::<Duration>() / delays.len() as u32
        };
        let later = || given.iter().filter(|(place, _)| *place >= 2 * minute);
        let heard: BTreeSet<_> = later().map(|(place, _)| *place).collect();
        // What is on its way at the end counts as heard.
        let last = heard.last().map_or(0, |last| last + 1);
        Heard {
            early: mean(2 * minute..3 * minute),
            late: mean(all - minute..all),
            longest: later().map(|(_, delay)| *delay).max().unwrap(),
            missing: last - 2 * minute - heard.len(),
        }
    }
}

fn check(hour: Hour, steady: &Heard) {
    let heard = hour.heard();
    let grown = heard.late.abs_diff(heard.early);
    assert!(grown < Duration::from_millis(2), "{hour:?}: {heard:?}");
    assert!(
        heard.missing <= steady.missing + SLIPS,
        "{hour:?}: {heard:?} beside {steady:?}"
    );
    let longest = steady.longest + Duration::from_millis(5);
    assert!(
        heard.longest <= longest,
        "{hour:?}: {heard:?} beside {steady:?}"
    );
}

#[test]
fn clocks_that_differ_for_an_hour_add_no_delay_and_no_gap() {
    for (loss, depth) in [(0, 3), (50, 0), (50, 3)] {
        let of = |slow, transcodes| Hour {
            slow,
            loss,
            depth,
            transcodes,
        };
        let steady = of(0, Transcodes::Neither).heard();
        for slow in [-200, 200] {
            check(of(slow, Transcodes::Neither), &steady);
            if depth > 0 && loss > 0 {
                check(of(slow, Transcodes::Speaker), &steady);
                check(of(slow, Transcodes::Listener), &steady);
            }
        }
    }
}
