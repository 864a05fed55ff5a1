//! What a dishonest phone book can do: show one engine another book than the others, or list a number with keys of its own
//! choice. All its signatures are valid.

use std::time::Duration;

use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{Binding, Listing, Number, Root, Tile};
use ringfence_engine::ReceivedEvent;
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::bucket::bucket;
use ringfence_engine::sealed::envelope::{EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::trust::directory::Directory;

use rand_core::Rng as _;

use super::{World, book::new_identity, engine_host::prove_work};

impl World {
    /// Keys that no line has yet.
    pub fn new_keys(&mut self) -> Identity {
        new_identity(&mut self.rng)
    }

    /// Shows an engine a book of a later epoch in which these numbers have these listings. `mark` distinguishes its root from
    /// other roots of that epoch.
    pub fn show_book(
        &mut self,
        engine: usize,
        (ahead, mark): (u32, u8),
        listings: &[(Number, Listing)],
    ) {
        let mut tiles: Vec<Tile> = self.phone_book.tiles();
        let plan = self.phone_book.plan();
        for (number, listing) in listings {
            let (tile, slot) = plan.place(*number).expect("a number of the plan");
            tiles[usize::from(tile)].set(slot, &listing.encode());
        }
        let states = Statement {
            epoch: self.phone_book.epoch() + ahead,
            closed: self.wall().seconds(),
            period: 300,
            plan,
            changes: 16,
            previous: RootHash([mark; 32]),
            tiles: TilesHash::of_tiles(plan, &tiles),
            delta: [mark; 32],
            network: [0; 32],
        };
        let root = Root::sign(self.phone_book.signing_key(), states);
        let mut directory = Directory::new(plan).with_roots(vec![root]);
        for (index, tile) in (0..).zip(tiles) {
            directory.insert(index, tile);
        }
        self.hosts[engine].engine.handle_directory(directory);
        self.drain();
    }

    /// Rings a number with keys that the book has bound to another party's number.
    pub fn ring_as(&mut self, thief: &Identity, claimed: Number, callee: Number) {
        let today = self.wall().day();
        let key = self.phone_book.signing_key();
        let binding = Binding::sign(key, claimed, thief.key(), today.plus(30));
        let keys = self.phone_book.directory().look_up(callee, self.wall());
        let keys = keys.expect("every number of the plan is listed");
        let mut event_key = [0; 32];
        self.rng.fill_bytes(&mut event_key);
        let work = prove_work(EventKey(event_key), self.wall());
        let outside = EventContext {
            bucket: bucket(&keys.identity, 0),
            event_key: work.event_key,
        };
        let caller = SealingKeys {
            identity: thief,
            binding: &binding,
            book: BookView::NONE,
        };
        let media = self.a_description();
        let wall = self.wall();
        let ring = OutgoingRing::seal(
            caller,
            &keys,
            (&media, Duration::from_secs(30)),
            &outside,
            wall,
            &mut self.rng,
        );
        let (_, envelope) = ring.expect("the description fits and the key is usable");
        self.repost(ReceivedEvent {
            bucket: outside.bucket,
            event_key: work.event_key,
            nonce: work.nonce,
            bytes: envelope.as_bytes().to_vec(),
            note_made: None,
        });
        self.run_for(Duration::from_secs(2));
    }

    /// A media description that an honest engine sent.
    fn a_description(&self) -> Vec<u8> {
        let rings = self.opened_rings();
        let ring = rings.first().expect("a ring was sent before");
        ring.media().to_vec()
    }
}
