//! The load: both phones of every call send and receive 50 packets a second, while the costs of processes are measured.
//!
//! One thread sends, evenly over the 20 ms; another one receives. Packets belong to the window in which they were sent, so
//! packets under way at its end do not count as lost.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::UdpSocket};

use crate::{
    flow::{self, End, PACKET_TIME, TimeStamp},
    latency::Latency,
    process::{Cost, Look, Process},
};

/// Time before the measurement, in which gateways latch on to RTP sources and caches fill.
const WARM_UP: Duration = Duration::from_millis(800);
/// Time after the measurement, in which the last packets arrive.
const DRAIN: Duration = Duration::from_millis(300);
/// The interval between two checks for due packets.
const QUANTUM: Duration = Duration::from_micros(500);
const EVENTS: usize = 64;
/// The interval between two checks for the end.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The result of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The share of due packets that was sent. Below 0.98 the generator itself lacked processor time.
    pub(crate) offered: f64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) latency: Latency,
    /// Processor time of each measured process, in milliseconds for a call-second.
    pub(crate) cpu: Vec<f64>,
    /// How often each process went to sleep in a call-second.
    pub(crate) sleeps: Vec<f64>,
}

/// What the receiving thread counts.
#[derive(Debug)]
struct ToneMeasurement {
    received: u64,
    reordered: u64,
    latency: Latency,
}

/// Sends and receives for `window`. The two ends of a call are neighbours in the list.
pub(crate) fn run(ends: &mut [End], window: Duration, watched: &[Process]) -> Outcome {
    let receivers: Vec<UdpSocket> = ends.iter().map(End::receiver).collect();
    let begin = flow::since_epoch() + WARM_UP;
    let measured = begin..begin + window;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| listen(receivers, &measured, &over));
        let (sent, cpu, sleeps) = send_all(ends, &measured, watched);
        thread::sleep(DRAIN);
        over.store(true, Ordering::Relaxed);
        let received = receiving
            .join()
            .expect("the receiving thread does not panic");
        #[expect(clippy::cast_precision_loss, reason = "some million packets")]
        let due = ends.len() as f64 * window.as_secs_f64() / PACKET_TIME.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some million packets")]
        let offered = sent as f64 / due;
        Outcome {
            offered,
            sent,
            lost: sent.saturating_sub(received.received),
            reordered: received.reordered,
            latency: received.latency,
            cpu,
            sleeps,
        }
    })
}

/// Sends on all ends until the window is over. Returns the packets sent within it, and the costs of each measured process.
fn send_all(
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
        // Bounded: after a delay at most one packet of each end is made up for.
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

/// Receives until the load is over, and counts packets that were sent within the window.
fn listen(
    mut receivers: Vec<UdpSocket>,
    window: &Range<Duration>,
    over: &AtomicBool,
) -> ToneMeasurement {
    let mut poll = Poll::new().expect("the kernel has epoll");
    for (index, receiver) in receivers.iter_mut().enumerate() {
        poll.registry()
            .register(receiver, Token(index), Interest::READABLE)
            .expect("a socket can be waited for");
    }
    let mut received = ToneMeasurement {
        received: 0,
        reordered: 0,
        latency: Latency::new(),
    };
    let mut latest = BTreeMap::new();
    let mut events = Events::with_capacity(EVENTS);
    while !over.load(Ordering::Relaxed) {
        if poll.poll(&mut events, Some(POLL_INTERVAL)).is_err() {
            continue;
        }
        for event in &events {
            let receiver = receivers.get(event.token().0);
            while let Some(Ok(time_stamp)) =
                receiver.map(|receiver| flow::receive(|bytes| receiver.recv(bytes)))
            {
                let Some(time_stamp) =
                    time_stamp.filter(|time_stamp| window.contains(&time_stamp.sent))
                else {
                    continue;
                };
                received.count(time_stamp, &mut latest);
            }
        }
    }
    received
}

impl ToneMeasurement {
    fn count(&mut self, time_stamp: TimeStamp, latest: &mut BTreeMap<u32, u32>) {
        self.received += 1;
        let last = latest.entry(time_stamp.flow).or_insert(0);
        self.reordered += u64::from(time_stamp.number < *last);
        *last = time_stamp.number.max(*last);
        let took = time_stamp.arrived.saturating_sub(time_stamp.sent);
        self.latency
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
