//! The load: every call's two phones send 50 packets a second and listen, while processes are watched.
//!
//! One thread sends, spread evenly over the 20 ms; another one receives. Packets are judged by the time of their
//! sending, so that what is still on its way at the end is not lost.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::UdpSocket};

use crate::{
    flow::{self, End, PACKET_TIME, Stamp},
    latency::Latency,
    process::{Cost, Look, Process},
};

/// Before the measurement: sockets are latched on to, caches and timers settle.
const WARM: Duration = Duration::from_millis(800);
/// After it: the last packets arrive.
const LAST: Duration = Duration::from_millis(300);
/// Between two looks at which packets are due.
const QUANTUM: Duration = Duration::from_micros(500);
const EVENTS: usize = 64;
/// Between two looks at whether it is over.
const GLANCE: Duration = Duration::from_millis(50);

/// What became of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Part of the packets that should have been sent and were. Below 0.98 the generator itself was starved.
    pub(crate) offered: f64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) latency: Latency,
    /// Processor time of each watched process, in milliseconds for a second of a call.
    pub(crate) cpu: Vec<f64>,
    /// How often each went to sleep, for a second of a call.
    pub(crate) sleeps: Vec<f64>,
}

/// What the receiving thread counts.
#[derive(Debug)]
struct ToneMeasurement {
    received: u64,
    reordered: u64,
    latency: Latency,
}

/// Sends and receives for `window`. The ends of a call are neighbours.
pub(crate) fn run(ends: &mut [End], window: Duration, watched: &[Process]) -> Outcome {
    let ears: Vec<UdpSocket> = ends.iter().map(End::ear).collect();
    let begin = flow::since_epoch() + WARM;
    let measured = begin..begin + window;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let hearing = scope.spawn(|| listen(ears, &measured, &over));
        let (sent, cpu, sleeps) = speak(ends, &measured, watched);
        thread::sleep(LAST);
        over.store(true, Ordering::Relaxed);
        let heard = hearing.join().expect("the receiving thread does not panic");
        #[expect(clippy::cast_precision_loss, reason = "some million packets")]
        let due = ends.len() as f64 * window.as_secs_f64() / PACKET_TIME.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some million packets")]
        let offered = sent as f64 / due;
        Outcome {
            offered,
            sent,
            lost: sent.saturating_sub(heard.received),
            reordered: heard.reordered,
            latency: heard.latency,
            cpu,
            sleeps,
        }
    })
}

/// Sends on all ends until the window is over; how many packets fell into it, and what each watched process spent in it.
fn speak(
    ends: &mut [End],
    window: &Range<Duration>,
    watched: &[Process],
) -> (u64, Vec<f64>, Vec<f64>) {
    let start = flow::since_epoch();
    let count = u32::try_from(ends.len()).expect("some hundred calls");
    let step = PACKET_TIME / count.max(1);
    let mut turn = 0_u32;
    let mut before: Option<Vec<Look>> = None;
    let mut sent = 0;
    loop {
        let now = flow::since_epoch();
        if now >= window.end {
            break;
        }
        if now >= window.start && before.is_none() {
            before = Some(watched.iter().map(|process| process.look()).collect());
        }
        // Bounded: a generator that was held up does not make up for more than one packet of each end.
        for _ in 0..count {
            if step * turn > now.saturating_sub(start) {
                break;
            }
            let flow = turn % count;
            if let Some(end) = ends.get_mut(flow as usize) {
                sent += u64::from(window.contains(&end.send(flow)));
            }
            turn += 1;
        }
        thread::sleep(QUANTUM);
    }
    let before = before.expect("the window has begun");
    let seconds = (window.end - window.start).as_secs_f64() * f64::from(count) / 2.0;
    let costs = watched.iter().zip(&before);
    let costs: Vec<Cost> = costs
        .map(|(process, before)| process.since(before))
        .collect();
    let cpu = costs
        .iter()
        .map(|cost| cost.cpu.as_secs_f64() * 1e3 / seconds);
    #[expect(clippy::cast_precision_loss, reason = "some thousand sleeps")]
    let sleeps = costs.iter().map(|cost| cost.sleeps as f64 / seconds);
    (sent, cpu.collect(), sleeps.collect())
}

/// Receives until it is over, and counts what was sent within the window.
fn listen(
    mut ears: Vec<UdpSocket>,
    window: &Range<Duration>,
    over: &AtomicBool,
) -> ToneMeasurement {
    let mut poll = Poll::new().expect("the kernel has epoll");
    for (index, ear) in ears.iter_mut().enumerate() {
        poll.registry()
            .register(ear, Token(index), Interest::READABLE)
            .expect("a socket can be waited for");
    }
    let mut heard = ToneMeasurement {
        received: 0,
        reordered: 0,
        latency: Latency::new(),
    };
    let mut latest = BTreeMap::new();
    let mut events = Events::with_capacity(EVENTS);
    while !over.load(Ordering::Relaxed) {
        if poll.poll(&mut events, Some(GLANCE)).is_err() {
            continue;
        }
        for event in &events {
            let ear = ears.get(event.token().0);
            while let Some(Ok(stamp)) = ear.map(|ear| flow::receive(|bytes| ear.recv(bytes))) {
                let Some(stamp) = stamp.filter(|stamp| window.contains(&stamp.sent)) else {
                    continue;
                };
                heard.count(stamp, &mut latest);
            }
        }
    }
    heard
}

impl ToneMeasurement {
    fn count(&mut self, stamp: Stamp, latest: &mut BTreeMap<u32, u32>) {
        self.received += 1;
        let last = latest.entry(stamp.flow).or_insert(0);
        self.reordered += u64::from(stamp.number < *last);
        *last = stamp.number.max(*last);
        let took = stamp.arrived.saturating_sub(stamp.sent);
        self.latency
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
