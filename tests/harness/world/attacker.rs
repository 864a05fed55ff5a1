//! What an attacker can do: publish any event on the relay, with or without stolen keys. And what a test can do because it holds
//! all keys: open sealed envelopes.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::ReceivedEvent;
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::bucket::bucket;
use ringfence_engine::sealed::envelope::{Envelope, EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::replay::ReplayMemory;
use ringfence_engine::sealed::ring::incoming::{OpenedMessage, VerifiedRing, open};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::time::{Moment, UnixTime};
use ringfence_engine::trust::callers::Callers;
use ringfence_engine::trust::contacts::Contacts;

use rand_core::Rng as _;

use super::{
    BEGINNING, World,
    delivery::Delivery,
    engine_host::prove_work,
    links::{Endpoint, PacketKind},
};

impl World {
    /// Publishes these bytes with a valid proof of work.
    pub fn post_as_attacker(&mut self, bucket: u16, bytes: Vec<u8>) {
        let work = prove_work(self.event_key(), self.wall());
        self.repost(ReceivedEvent {
            bucket,
            event_key: work.event_key,
            nonce: work.nonce,
            bytes,
            note_made: None,
        });
    }

    /// Publishes an event that was seen or made before.
    pub fn repost(&mut self, sealed: ReceivedEvent) {
        let ends = (Endpoint::Attacker, Endpoint::Relay, PacketKind::Envelope);
        let bytes = sealed.bytes.clone();
        self.send(
            ends,
            &bytes,
            Delivery::ToRelay {
                poster: None,
                sealed,
            },
        );
    }

    /// Rings a number with the keys of an engine's first line, but with any media description and any date.
    pub fn ring_with_keys_of(
        &mut self,
        engine: usize,
        callee: Number,
        media: &[u8],
        dated: UnixTime,
    ) {
        let work = prove_work(self.event_key(), self.wall());
        let line = &self.hosts[engine].lines[0];
        let keys = self.phone_book.directory().look_up(callee);
        let keys = keys.expect("every number of the plan is listed");
        let bucket = bucket(&keys.identity, 0);
        let outside = EventContext {
            bucket,
            event_key: work.event_key,
        };
        let identity = line.identity();
        let caller = SealingKeys {
            identity: &identity,
            number: line.number,
            book: BookView::NONE,
        };
        let ring = OutgoingRing::seal(
            caller,
            &keys,
            (media, Duration::from_secs(30)),
            &outside,
            dated,
            &mut self.rng,
        );
        let (_, envelope) = ring.expect("the description fits and the key is usable");
        self.repost(ReceivedEvent {
            bucket,
            event_key: work.event_key,
            nonce: work.nonce,
            bytes: envelope.as_bytes().to_vec(),
            note_made: None,
        });
    }

    /// Every ring that passed the relay, opened with its recipient's keys.
    pub fn opened_rings(&self) -> Vec<VerifiedRing> {
        let mut seen = ReplayMemory::new(self.moment(Duration::ZERO));
        let lines = self.hosts.iter().flat_map(|host| &host.lines);
        let identities: Vec<_> = lines.map(|line| line.identity()).collect();
        let listeners: Vec<_> = identities.iter().collect();
        let (directory, contacts) = (self.phone_book.directory(), Contacts::default());
        let callers = Callers::new(&directory, &contacts);
        let mut rings = Vec::new();
        for (at, sealed) in self.relay.passed() {
            let moment = self.moment(*at);
            if let Some(OpenedMessage::Ring { ring, .. }) =
                opened(&listeners, callers, sealed, &mut seen, moment)
            {
                rings.push(*ring);
            }
        }
        rings
    }

    /// How many of these envelopes can be opened with these keys.
    pub fn opened_by(&self, identity: &Identity, passed: &[(Duration, ReceivedEvent)]) -> usize {
        let mut seen = ReplayMemory::new(self.moment(Duration::ZERO));
        let (directory, contacts) = (self.phone_book.directory(), Contacts::default());
        let callers = Callers::new(&directory, &contacts);
        let opens = passed.iter().filter(|(at, sealed)| {
            opened(&[identity], callers, sealed, &mut seen, self.moment(*at)).is_some()
        });
        opens.count()
    }

    fn moment(&self, at: Duration) -> Moment {
        Moment {
            wall: UnixTime::from_seconds(BEGINNING).after(at),
            now: self.began + at,
        }
    }

    fn event_key(&mut self) -> EventKey {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        EventKey(key)
    }
}

fn opened(
    listeners: &[&Identity],
    callers: Callers<'_>,
    sealed: &ReceivedEvent,
    seen: &mut ReplayMemory,
    moment: Moment,
) -> Option<OpenedMessage> {
    let envelope = Envelope::from_bytes(&sealed.bytes).ok()?;
    let outside = EventContext {
        bucket: sealed.bucket,
        event_key: sealed.event_key,
    };
    open(listeners, callers, &envelope, &outside, seen, moment).ok()
}
