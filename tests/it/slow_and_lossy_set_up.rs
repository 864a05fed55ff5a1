//! How often and how fast calls are set up where each hop to the TURN servers loses or delays packets: the ring, and from the moment at
//! which a person picks up to sound at both ears. An end-to-end round trip is four hops.
//!
//! In this network each engine asks for its allocation when the call needs it; a real one has it ready. So what counts with long delays
//! begins when the answer leaves.

#![expect(clippy::print_stdout, reason = "the figures are for a person")]

use std::time::Duration;

use ringfence_tests::world::{
    World,
    links::{Endpoint, Link, PacketKind, TracedPacket},
};

/// A person waits for a ring, and for sound, as long as this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls of one row, unless the environment asks for another number.
const CALLS: u64 = 24;

/// What became of the calls of one row.
struct Row {
    calls: u64,
    rang: usize,
    /// From the answer to sound at both ears, the shortest first: since a person picked up, and since the answer left.
    connected: Vec<Duration>,
    travelled: Vec<Duration>,
}

impl Row {
    fn of(links: Link) -> Self {
        let calls = std::env::var("RINGFENCE_SET_UP_CALLS").ok();
        let calls = calls.and_then(|calls| calls.parse().ok()).unwrap_or(CALLS);
        let mut row = Self {
            calls,
            rang: 0,
            connected: Vec::new(),
            travelled: Vec::new(),
        };
        for seed in 0..calls {
            if let Some(connected) = set_up(seed, links) {
                row.rang += 1;
                row.connected
                    .extend(connected.map(|(connected, _)| connected));
                row.travelled
                    .extend(connected.map(|(_, travelled)| travelled));
            }
        }
        row.connected.sort();
        row.travelled.sort();
        row
    }

    fn quantile(&self, share: f64) -> Duration {
        let last = self.connected.len() - 1;
        self.connected[(share * last as f64).round() as usize]
    }

    /// The share of calls that were set up.
    fn success(&self) -> f64 {
        self.connected.len() as f64 / self.calls as f64
    }

    fn print(&self, name: &str) {
        let [median, late, worst] = [0.5, 0.9, 1.0].map(|share| self.quantile(share).as_secs_f64());
        let (rang, connected) = (self.rang, self.connected.len());
        println!(
            "{name}: {} calls, {rang} rang, {connected} connected; sound at both ears after {median:.2} / {late:.2} / {worst:.2} s",
            self.calls
        );
    }
}

/// Whether the other phone rang, and if so, how long after the answer both heard.
fn set_up(seed: u64, link: Link) -> Option<Option<(Duration, Duration)>> {
    let (mut world, pair) = World::of_two(seed);
    world.links.turn = link;
    world.dial(pair.alice, world.number(pair.callee, 0));
    if world.never(PATIENCE, |world| world.handset(pair.bob).is_ringing()) {
        return None;
    }
    world.answer(pair.bob);
    let answered = world.clock();
    let both_hear = |world: &World| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 0)
    };
    if world.never(PATIENCE, both_hear) {
        return Some(None);
    }
    let is_answer = |packet: &&TracedPacket| {
        packet.kind == PacketKind::Datagram && packet.from == Endpoint::Engine(pair.callee)
    };
    let left = world.trace().iter().find(is_answer)?.at;
    Some(Some((world.clock() - answered, world.clock() - left)))
}

fn lossy(loss: f64) -> Link {
    Link {
        loss,
        ..Link::datagrams(Duration::from_millis(1))
    }
}

#[test]
fn calls_are_set_up_where_packets_are_lost() {
    let expected = [
        (0.0, 1.0, 100),
        (0.05, 1.0, 500),
        (0.1, 1.0, 700),
        (0.2, 0.995, 1_000),
        (0.3, 0.95, 2_500),
    ];
    let rows = expected.map(|(loss, ..)| {
        let row = Row::of(lossy(loss));
        row.print(&format!("{loss:.2} lost on each hop"));
        row
    });
    for (row, (loss, least, median)) in rows.iter().zip(expected) {
        assert!(row.success() >= least, "{loss}: {}", row.success());
        assert!(row.quantile(0.5) < Duration::from_millis(median), "{loss}");
    }
}

#[test]
fn sound_takes_two_round_trips_where_each_hop_takes_300_ms() {
    let row = Row::of(Link::datagrams(Duration::from_millis(300)));
    row.print("300 ms on each hop");
    let round_trip = Duration::from_millis(1_200);
    assert_eq!(row.success(), 1.0);
    let latest = row.travelled.last().expect("all were");
    // A phone speaks each 20 ms.
    assert!(
        *latest <= 2 * round_trip + Duration::from_millis(40),
        "{latest:?}"
    );
}
