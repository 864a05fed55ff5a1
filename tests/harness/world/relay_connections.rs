//! The connections of engines to the relay, once one of them was lost: what is posted meanwhile waits, and is posted when there is a
//! connection again, as the shell does it (`gateway/src/net/relay/poster.rs`, `posting.rs`, `link.rs`, `listening.rs`).

use std::time::{Duration, Instant};

use ringfence_engine::{PostId, ReceivedEvent};

use super::{
    World,
    delivery::Delivery,
    links::{Endpoint, PacketKind},
};

/// As in the shell: how long an envelope waits for its outcome.
const POST_LIMIT: Duration = Duration::from_secs(10);

/// As in the shell: so long after a connection broke, envelopes wait for the next one, and the relay is tried each half second.
const HURRY: Duration = Duration::from_secs(10);

/// As in the shell: how long what waited still waits after the connection is made, so that the others are back too.
const OTHERS_RETURN: Duration = Duration::from_secs(1);

/// As in the shell: how long an engine without a connection is taken to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine's connection to the relay.
#[derive(Debug, Default)]
pub(super) struct SimulatedConnection {
    /// Counts its connections.
    number: u32,
    /// None while it is connected.
    lost: Option<LostConnection>,
}

#[derive(Debug)]
struct LostConnection {
    at: Instant,
    buckets: Vec<u16>,
    waiting: Vec<(PostId, ReceivedEvent)>,
}

impl World {
    /// Breaks an engine's connection to the relay; it connects again after this span, if it can.
    pub fn lose_relay_connection(&mut self, engine: usize, span: Duration) {
        let (at, buckets) = (self.now, self.relay.unsubscribe(engine));
        let connection = self.relay_connections.entry(engine).or_default();
        connection.number += 1;
        let before = connection.lost.take();
        let (buckets, waiting) = match before {
            Some(lost) => (lost.buckets, lost.waiting),
            None => (buckets, Vec::new()),
        };
        connection.lost = Some(LostConnection {
            at,
            buckets,
            waiting,
        });
        self.connect_relay_in(engine, span);
    }

    /// An engine whose connection is lost connects again after this span, if it can.
    pub(super) fn connect_relay_in(&mut self, engine: usize, span: Duration) {
        let number = self.relay_connection(engine);
        self.schedule(self.now + span, Delivery::Reconnect { engine, number });
    }

    /// The relay's process ends, and starts again after this span. All connections and subscriptions are lost; its notes are kept. Each
    /// engine connects again within half a second of its return.
    pub fn restart_relay(&mut self, span: Duration) {
        self.relay.is_down = true;
        self.schedule(self.now + span, Delivery::RelayStarts);
        for engine in 0..self.hosts.len() {
            self.lose_relay_connection(engine, retry(engine));
        }
    }

    /// The number of an engine's connection to the relay.
    pub(super) fn relay_connection(&self, engine: usize) -> u32 {
        let connection = self.relay_connections.get(&engine);
        connection.map_or(0, |connection| connection.number)
    }

    /// Whether an engine has a connection to the relay.
    pub fn is_connected(&self, engine: usize) -> bool {
        let connection = self.relay_connections.get(&engine);
        connection.is_none_or(|connection| connection.lost.is_none())
    }

    /// Tells an engine whether it is taken to listen, if its connection is lost.
    pub(super) fn note_listening(&mut self, engine: usize) {
        let connection = self.relay_connections.get(&engine);
        if let Some(lost) = connection.and_then(|connection| connection.lost.as_ref()) {
            let is_listening = self.now < lost.at + PATIENCE;
            self.hosts[engine].engine.handle_listening(is_listening);
        }
    }

    /// Lets an envelope wait that cannot be posted now; false if it can, or need not wait.
    pub(super) fn waits_for_relay(
        &mut self,
        engine: usize,
        post: PostId,
        sealed: &ReceivedEvent,
    ) -> bool {
        let now = self.now;
        let connection = self.relay_connections.get_mut(&engine);
        let Some(lost) = connection.and_then(|connection| connection.lost.as_mut()) else {
            return false;
        };
        if now < lost.at + HURRY {
            lost.waiting.push((post, sealed.clone()));
            self.schedule(now + POST_LIMIT, Delivery::PostLimit { engine, post });
        } else {
            let relays = 0;
            let refused = Delivery::Posted {
                engine,
                post,
                relays,
            };
            self.schedule(now, refused);
        }
        true
    }

    pub(super) fn reconnect(&mut self, engine: usize, number: u32) {
        let is_cut = self.is_cut_off(engine, Endpoint::Relay) || self.hosts[engine].is_off;
        let Some(connection) = self.relay_connections.get_mut(&engine) else {
            return;
        };
        if connection.number != number {
            return;
        }
        if self.relay.is_down || is_cut {
            let again = Delivery::Reconnect { engine, number };
            return self.schedule(self.now + retry(engine), again);
        }
        let Some(lost) = connection.lost.take() else {
            return;
        };
        for bucket in lost.buckets {
            self.relay.subscribe(engine, bucket);
        }
        self.host_mut(engine).engine.handle_listening(true);
        self.fetch_notes(engine);
        for (post, sealed) in lost.waiting {
            let arrival = Delivery::Repost {
                engine,
                post,
                sealed,
            };
            self.schedule(self.now + OTHERS_RETURN, arrival);
        }
    }

    /// What waited is posted.
    pub(super) fn repost_waiting(&mut self, engine: usize, post: PostId, sealed: ReceivedEvent) {
        let ends = (
            Endpoint::Engine(engine),
            Endpoint::Relay,
            PacketKind::Envelope,
        );
        let bytes = sealed.bytes.clone();
        let poster = Some((engine, post));
        self.send(ends, &bytes, Delivery::ToRelay { poster, sealed });
    }

    /// Whatever waits still is given up.
    pub(super) fn end_waiting(&mut self, engine: usize, post: PostId) {
        let connection = self.relay_connections.get_mut(&engine);
        let Some(lost) = connection.and_then(|connection| connection.lost.as_mut()) else {
            return;
        };
        let before = lost.waiting.len();
        lost.waiting.retain(|(waiting, _)| *waiting != post);
        if lost.waiting.len() < before
            && let Some(now) = self.clock_of(engine)
        {
            self.hosts[engine].engine.handle_posted(post, 0, now);
        }
    }
}

/// When an engine tries a relay again that is away: a quarter to half a second, another one for each engine.
fn retry(engine: usize) -> Duration {
    let spread = u64::try_from(engine).unwrap_or_default() % 5;
    Duration::from_millis(250 + 50 * spread)
}
