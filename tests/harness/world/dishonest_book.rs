//! What a dishonest phone book can do: show one engine another book than the others, or list a number with keys of its own
//! choice. All its signatures are valid.

use std::time::Duration;

use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{Day, Listing, Number, Root, Tile};
use ringfence_engine::ReceivedEvent;
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::bucket::bucket;
use ringfence_engine::sealed::envelope::{EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::note::TextDraft;
use ringfence_engine::sealed::presence::{self, PresenceStatus};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::trust::directory::Directory;

use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::{World, engine_host::prove_work};

/// What an attacker sends in another's name.
#[derive(Clone, Copy, Debug)]
pub enum Forgery {
    /// A ring.
    Ring,
    /// A text.
    Text,
    /// Word of a missed call.
    Missed,
    /// A presence report: do not disturb.
    Presence,
}

impl World {
    /// Keys that no line has yet.
    pub fn new_keys(&mut self) -> Identity {
        Identity::generate(&mut self.rng)
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
        let root = self.forged_root(ahead, |states| Statement {
            previous: RootHash([mark; 32]),
            tiles: TilesHash::of_tiles(plan, &tiles),
            delta: [mark; 32],
            ..states
        });
        let mut directory = Directory::new(plan).with_roots(vec![root]);
        for (index, tile) in (0..).zip(tiles) {
            directory.insert(index, tile);
        }
        self.host_mut(engine).engine.handle_directory(directory);
        self.drain();
    }

    /// A root of an epoch so many after the book's last, with what the book chooses to say in it.
    pub fn forged_root(&self, ahead: u32, say: impl FnOnce(Statement) -> Statement) -> Root {
        let last = *self.phone_book.root().states();
        let closed = last.closed + u64::from(ahead) * u64::from(last.period);
        let is_same_day = Day::of_unix(closed) == last.day();
        let states = Statement {
            epoch: last.epoch_at(closed),
            closed,
            boundary: if is_same_day {
                last.boundary
            } else {
                self.phone_book.root().hash()
            },
            ..last
        };
        Root::sign(self.phone_book.signing_key(), say(states))
    }

    /// Rings a number with these keys, and says that they are those of another number.
    pub fn ring_as(&mut self, thief: &Identity, claimed: Number, callee: Number) {
        self.send_as(thief, claimed, callee, Forgery::Ring);
    }

    /// Sends a number something with these keys, and says that they are those of another number.
    pub fn send_as(&mut self, keys: &Identity, claimed: Number, callee: Number, what: Forgery) {
        let found = self.phone_book.directory().look_up(callee);
        let found = found.expect("every number of the plan is listed");
        let mut event_key = [0; 32];
        self.rng.fill_bytes(&mut event_key);
        let wall = self.wall();
        let work = prove_work(EventKey(event_key), wall);
        let outside = EventContext {
            bucket: bucket(&found.identity, 0),
            event_key: work.event_key,
        };
        let sender = SealingKeys {
            identity: keys,
            number: claimed,
            book: BookView::NONE,
        };
        let media = match what {
            Forgery::Ring => self.a_description(),
            _ => Vec::new(),
        };
        let rng = &mut self.rng;
        let ring = |rng: &mut _| {
            let ring = OutgoingRing::seal(
                sender,
                &found,
                (&media, Duration::from_secs(30)),
                &outside,
                wall,
                rng,
            );
            ring.expect("the description fits and the key is usable")
        };
        let envelope = match what {
            Forgery::Ring => ring(rng).1,
            Forgery::Missed => {
                let missed = ring(rng).0.seal_missed(&sender, &outside, wall, rng);
                missed.expect("the ring was sealed")
            }
            Forgery::Text => {
                let draft = TextDraft::new(Zeroizing::new(b"hello".to_vec()), rng);
                let text = draft.seal(0, &sender, &found, &outside, wall, rng);
                text.expect("the key is usable")
            }
            Forgery::Presence => {
                let says = PresenceStatus::DoNotDisturb;
                let report = presence::seal(&sender, &found, says, &outside, wall, rng);
                report.expect("the key is usable")
            }
        };
        let is_note = matches!(what, Forgery::Text | Forgery::Missed);
        self.repost(ReceivedEvent {
            bucket: outside.bucket,
            event_key: work.event_key,
            nonce: work.nonce,
            bytes: envelope.as_bytes().to_vec(),
            note_made: is_note.then_some(wall),
        });
        self.run_for(Duration::from_secs(2));
    }

    /// A media description that an honest engine sent.
    fn a_description(&self) -> Vec<u8> {
        let mut heard = self.hosts.iter().flat_map(|host| host.heard_of());
        heard.next().expect("a call was answered before").encode()
    }
}
