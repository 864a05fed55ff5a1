//! A phone book that keeps a second chain of roots for a victim: any call between the two chains shows it, whatever their numbers.

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{BookKey, Number, NumberPlan, Root, Tile};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::directory::Directory;
use ringfence_engine::trust::roots::SplitView;
use ringfence_engine::{Config, Engine, Line, Output, ReceivedEvent};
use ringfence_media::{Codec, Description};
use ringfence_sip::{Account, Password, User};

/// Noon of a day.
const WALL: u64 = 1_795_003_200;
const DAY: u64 = 86_400;
const GENESIS: u64 = WALL - 100 * DAY;

/// Two people and a book: what each of them holds is put in by hand.
struct Scene {
    book: SigningKey,
    people: [Identity; 2],
    rng: ChaCha20Rng,
    now: Instant,
    rings: u8,
}

impl Scene {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from nothing"
    )]
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        Self {
            book: SigningKey::from_bytes(&[1; 32]),
            people: [0, 1].map(|_| Identity::generate(&mut rng)),
            rng,
            now: Instant::now(),
            rings: 0,
        }
    }

    fn plan() -> NumberPlan {
        NumberPlan::new(20_000, 1).unwrap()
    }

    /// A root that this book closed at some time, of a chain that is told from others by its mark.
    fn root(&self, closed: u64, mark: u8, say: impl Fn(Statement) -> Statement) -> Root {
        let hash = |number: u8| RootHash([mark ^ number; 32]);
        let states = say(Statement {
            epoch: 0,
            genesis: GENESIS,
            closed,
            period: 60,
            plan: Self::plan(),
            changes: 2,
            previous: hash(1),
            boundary: RootHash([mark; 32]),
            tiles: TilesHash([mark; 32]),
            delta: [4; 32],
            network: [5; 32],
        });
        let epoch = states.epoch_at(closed);
        let root = Root::sign(&self.book, Statement { epoch, ..states });
        let read = Root::decode(&root.encode(), &BookKey::from(&self.book));
        assert_eq!(read, Ok(root), "an engine would take it");
        root
    }

    fn directory(&self, roots: Vec<Root>) -> Directory {
        let mut tile = Tile::of(&[self.people[0].listing(); 256]);
        tile.set(1, &self.people[1].listing().encode());
        let mut directory = Directory::new(Self::plan()).with_roots(roots);
        directory.insert(0, tile);
        directory
    }

    fn engine(&self, person: u32, roots: Vec<Root>) -> Engine {
        let directory = self.directory(roots);
        let line = Line {
            number: Number::new(20_000 + person),
            identity: Identity::from_bytes(&self.people[person as usize].to_bytes()).unwrap(),
            account: Account {
                user: User::new("desk".to_owned()),
                password: Password::new("secret"),
            },
        };
        let config = Config {
            work_bits: 0,
            ..Config::default()
        };
        let clock = (UnixTime::from_seconds(WALL), self.now);
        let book = BookKey::from(&self.book);
        let mut engine = Engine::new(config, vec![line], book, directory, [9; 32], clock);
        assert_eq!(alarms(&mut engine), []);
        engine
    }

    /// One person rings the other, and shows this root. What the other then knows of the book.
    fn ring(
        &mut self,
        (from, to): (u32, u32),
        shows: &Root,
        engine: &mut Engine,
    ) -> Vec<SplitView> {
        self.rings += 1;
        let event = EventContext {
            bucket: 0,
            event_key: EventKey([self.rings; 32]),
        };
        let sender = SealingKeys {
            identity: &self.people[from as usize],
            number: Number::new(20_000 + from),
            book: BookView::of(Some(shows)),
        };
        let media = Description {
            ufrag: "abcdefgh".into(),
            pwd: "a".repeat(24),
            fingerprint: [7; 32],
            ssrc: 5,
            relayed_addresses: vec!["1.2.3.4:5000".parse().unwrap()],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        let callee = self
            .directory(Vec::new())
            .look_up(Number::new(20_000 + to))
            .unwrap();
        let wall = UnixTime::from_seconds(WALL);
        let (_, envelope) = OutgoingRing::seal(
            sender,
            &callee,
            (&media.encode(), Duration::from_secs(30)),
            &event,
            wall,
            &mut self.rng,
        )
        .unwrap();
        let received = ReceivedEvent {
            bucket: 0,
            event_key: event.event_key,
            nonce: 0,
            bytes: envelope.as_bytes().to_vec(),
            note_made: None,
        };
        engine.handle_envelope(&received, self.now);
        alarms(engine)
    }
}

fn alarms(engine: &mut Engine) -> Vec<SplitView> {
    let mut found = Vec::new();
    while let Some(output) = engine.poll() {
        if let Output::SplitView(split) = output {
            found.push(*split);
        }
    }
    found
}

/// Both sides ring each other: each finds this many contradictions, and a second call adds none.
fn both_find(scene: &mut Scene, everybody: Root, victim: Root, expected: usize) {
    let (mut one, mut other) = (
        scene.engine(0, vec![everybody]),
        scene.engine(1, vec![victim]),
    );
    for (ways, shows, engine) in [((1, 0), victim, &mut one), ((0, 1), everybody, &mut other)] {
        let found = scene.ring(ways, &shows, engine);
        assert_eq!(found.len(), expected, "{ways:?}");
        assert!(
            found
                .iter()
                .all(|split| split.ours.contradicts(&split.theirs))
        );
        assert_eq!(scene.ring(ways, &shows, engine), [], "told once");
    }
}

#[test]
fn two_epochs_of_one_chain_are_no_contradiction() {
    let mut scene = Scene::new();
    let (older, newer) = (
        scene.root(WALL - 600, 1, |s| s),
        scene.root(WALL - 20, 1, |s| s),
    );
    both_find(&mut scene, older, newer, 0);
}

#[test]
fn a_book_that_numbers_its_epochs_otherwise_for_a_victim_is_found_in_the_first_call() {
    let mut scene = Scene::new();
    let everybody = scene.root(WALL - 20, 1, |s| s);
    let victim = scene.root(WALL - 20, 2, |states| Statement {
        genesis: GENESIS - 1_900_000 * 60,
        ..states
    });
    assert!(victim.states().epoch > 2_000_000);
    both_find(&mut scene, everybody, victim, 1);
    // Or with epochs of another length.
    let victim = scene.root(WALL - 20, 2, |states| Statement {
        period: 61,
        ..states
    });
    both_find(&mut scene, everybody, victim, 1);
}

#[test]
fn a_fork_of_yesterday_is_found_though_it_shares_no_epoch_with_the_others() {
    let mut scene = Scene::new();
    let everybody = scene.root(WALL - 20, 1, |s| s);
    // Seconds later, in the next epoch.
    let victim = scene.root(WALL + 40, 2, |s| s);
    assert_ne!(everybody.states().epoch, victim.states().epoch);
    both_find(&mut scene, everybody, victim, 1);
}

#[test]
fn a_fork_that_lags_nine_days_is_found_by_the_boundary_of_that_day() {
    let mut scene = Scene::new();
    let days = (0..20).rev();
    let main = days
        .map(|ago| scene.root(WALL - ago * DAY, 100 + ago as u8, |s| s))
        .collect();
    let mut engine = scene.engine(0, main);
    let honest = scene.root(WALL - 9 * DAY + 660, 109, |s| s);
    assert_eq!(scene.ring((1, 0), &honest, &mut engine), []);
    let lags = scene.root(WALL - 9 * DAY + 660, 2, |s| s);
    let found = scene.ring((1, 0), &lags, &mut engine);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].ours.states().day(), found[0].theirs.states().day());
}
