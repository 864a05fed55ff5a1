//! Real engines, each with one line and a phone, that have the calls of a plan through a real relay and a TURN server, all on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence::config::{Config, SipListen, TurnLogin};
use ringfence::lines::activate::activate;
use ringfence::net::book::BookClient;
use ringfence::net::outbound::Outbound;
use ringfence::node::Node;
use ringfence::selfcall::phone::TonePhone;
use ringfence::softphone::PhoneEvent;
use ringfence::state::keystore::Keystore;
use ringfence::state::secret::Secret;
use ringfence_book::NumberPlan;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::EmbeddedRelay;
use ringfence_box::turn::{TurnLimits, TurnPlan, service::EmbeddedTurn};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config as BookConfig, Database};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::observer::RelayLog;
use super::recorder::{Post, Recorder, Written};
use super::traffic::{Habits, PlannedCall};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const TURN_SECRET: &str = "a-secret-of-the-turn-server";

/// Until the last envelope of a call is out, and a note of it is believed.
const TAIL: Duration = Duration::from_secs(45);

/// The longest time from a ring to the last envelope of its call, in seconds: six pauses of 7 s, and some for the machine.
const LONGEST: f64 = 43.0;

/// What a person does.
enum Hand {
    Dial(String),
    PickUp,
    HangUp,
}

/// What came of the plan.
pub(super) struct Hour {
    /// Everything that the engines posted: seconds since the plan began.
    pub(super) posts: Vec<(f64, Post)>,
    /// The bucket of each engine.
    pub(super) buckets: Vec<usize>,
    /// Calls that were answered, as their callers' phones saw it.
    pub(super) answered: usize,
}

struct Party {
    number: String,
    node: Node,
    hands: mpsc::Sender<Hand>,
    answers: JoinHandle<usize>,
}

/// Starts the engines, has the calls, and stops everything.
pub(super) async fn live(habits: &Habits, calls: &[PlannedCall]) -> Hour {
    let relay = EmbeddedRelay::start(ANY_PORT)
        .await
        .expect("a relay starts");
    let secret = TurnSecret::new(TURN_SECRET.to_owned());
    let plan = TurnPlan {
        // All engines have one address here.
        limits: TurnLimits {
            allocations_per_address: TurnLimits::DEFAULT.allocations,
            ..TurnLimits::DEFAULT
        },
        ..TurnPlan::new(ANY_PORT, secret.clone(), true)
    };
    let turn = EmbeddedTurn::open(plan).await;
    let turn = turn.expect("a TURN server starts");
    let book = PhoneBook::start(BookConfig {
        listen: ANY_PORT,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 2).expect("a good plan"),
        relays: vec![relay.url()],
        turn: vec![format!("turn:{}", turn.local_addr())],
        turn_secret: Some(secret),
        bucket_bits: habits.bits,
        ..Default::default()
    })
    .await
    .expect("a phone book starts");
    let recorder = Recorder::default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut stored = Vec::new();
    for engine in 0..habits.engines {
        let url = recorder.open_door(engine, relay.address()).await;
        stored.push(store(&book, &folder.path().join(engine.to_string()), url).await);
        // One epoch lists a few new numbers at most.
        let closed = book.close_epoch_now().await;
        closed.expect("the book publishes");
    }
    let mut parties = Vec::new();
    for (config, store) in stored {
        parties.push(Party::start(config, store).await);
    }
    let begin = Instant::now();
    for (at, party, hand) in moments(calls, &parties) {
        tokio::time::sleep_until((begin + at).into()).await;
        parties[party]
            .hands
            .send(hand)
            .await
            .expect("the phone lives");
    }
    tokio::time::sleep(TAIL).await;
    let mut answered = 0;
    for Party {
        node,
        hands,
        answers,
        ..
    } in parties
    {
        drop(hands);
        answered += answers.await.expect("the phone lives");
        node.stop().await;
    }
    let Written { posts, subscribed } = recorder.written();
    assert_eq!(subscribed.len(), habits.engines, "each engine listens");
    let since = |post: &Post| post.at.saturating_duration_since(begin).as_secs_f64();
    Hour {
        posts: posts.into_iter().map(|post| (since(&post), post)).collect(),
        buckets: subscribed.into_values().collect(),
        answered,
    }
}

/// The state of an engine with one activated line, and its settings.
async fn store(book: &PhoneBook, state: &std::path::Path, relay: String) -> (Config, Keystore) {
    let mut config = Config::with_state(state);
    config.sip = SipListen {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        udp_port: 0,
        tcp_port: 0,
        tls_port: 0,
        ..config.sip
    };
    config.relays = vec![relay];
    config.turn.login = TurnLogin::Shared(Secret::new(TURN_SECRET.to_owned()));
    config.turn.allow_private = true;
    let client = BookClient::new(&book.url(), &Outbound::direct()).expect("a good URL");
    let mut store = Keystore::open(&config.state, None).expect("the folder is ours");
    let code = book.issue().await.expect("a number is free").code;
    activate(&mut store, &client, &code, None)
        .await
        .expect("the code is new");
    (config, store)
}

impl Party {
    async fn start(config: Config, store: Keystore) -> Self {
        let node = Node::open(config, store).await.expect("the engine starts");
        node.ready().await.expect("the engine can be rung");
        let number = node.lines()[0].number;
        let registration = node.registration(number).expect("its own line");
        let mut phone = TonePhone::plug_in(registration, 440.0, 440.0)
            .await
            .expect("a phone");
        let (hands, mut moves) = mpsc::channel(16);
        let answers = tokio::spawn(async move {
            let mut answers = 0;
            loop {
                tokio::select! {
                    hand = moves.recv() => match hand {
                        Some(Hand::Dial(number)) => phone.dial(&number).await,
                        Some(Hand::PickUp) => phone.pick_up().await,
                        Some(Hand::HangUp) => phone.hang_up().await,
                        None => return answers,
                    },
                    event = phone.event() => match event {
                        Some((_, PhoneEvent::Answered { .. })) => answers += 1,
                        Some(_) => {}
                        None => return answers,
                    },
                }
            }
        });
        Self {
            number: number.to_string(),
            node,
            hands,
            answers,
        }
    }
}

/// What the persons do, by time: when, whose hand, and what.
fn moments(calls: &[PlannedCall], parties: &[Party]) -> Vec<(Duration, usize, Hand)> {
    let mut moments = Vec::new();
    for call in calls {
        let mut push = |at, party, hand| moments.push((Duration::from_secs_f64(at), party, hand));
        push(
            call.at,
            call.caller,
            Hand::Dial(parties[call.callee].number.clone()),
        );
        if let Some(answered) = call.answered {
            push(answered, call.callee, Hand::PickUp);
        }
        push(call.ends, call.caller, Hand::HangUp);
    }
    moments.sort_by_key(|moment| moment.0);
    moments
}

impl Hour {
    /// Seconds between the note of a call and the six envelopes after it, of calls that no other call of their engine overlaps.
    pub(super) fn pauses(&self, rings: &[(f64, usize, usize)]) -> Vec<f64> {
        let overlaps = |one: &(f64, usize, usize), other: &(f64, usize, usize)| {
            one != other && one.1 == other.1 && (one.0 - other.0).abs() < LONGEST
        };
        let alone = rings
            .iter()
            .filter(|one| !rings.iter().any(|other| overlaps(one, other)));
        let pauses = alone.flat_map(|(began, from, _)| {
            let own = self.posts.iter().filter(|(_, post)| post.from == *from);
            let times = own
                .map(|(at, _)| *at)
                .filter(|at| (*began..began + LONGEST).contains(at));
            let times: Vec<_> = times.collect();
            assert_eq!(times.len(), 8, "at {began} s");
            times[1..]
                .windows(2)
                .map(|two| two[1] - two[0])
                .collect::<Vec<_>>()
        });
        pauses.collect()
    }

    /// What a relay makes of it: the rings, and what belongs to none. A ring and its note come together, in either order; the
    /// six envelopes after it are any of the engine's next ones.
    pub(super) fn log(&self) -> RelayLog {
        let mut log = RelayLog {
            subscribed: self.buckets.clone(),
            ..RelayLog::default()
        };
        for engine in 0..self.buckets.len() {
            let own = self.posts.iter().filter(|(_, post)| post.from == engine);
            let mut others: Vec<_> = own.clone().map(|(at, post)| (*at, post.is_kept)).collect();
            let mut rings = Vec::new();
            let mut own = own.peekable();
            while let Some((at, first)) = own.next() {
                let is_pair = |(later, second): &&(f64, Post)| {
                    first.is_kept != second.is_kept && later - at < 0.1
                };
                if let Some((later, _)) = own.next_if(is_pair) {
                    rings.push((*at, engine, first.bucket));
                    others.retain(|(time, _)| time != at && time != later);
                }
            }
            for (began, ..) in &rings {
                let covers = (*began..began + LONGEST).clone();
                for _ in 0..6 {
                    let next = others
                        .iter()
                        .position(|(at, kept)| !kept && covers.contains(at));
                    next.map(|place| others.remove(place));
                }
            }
            log.rings.extend(rings);
            log.others
                .extend(others.iter().map(|(at, _)| (*at, engine)));
        }
        log.rings.sort_by(|a, b| a.0.total_cmp(&b.0));
        log.others.sort_by(|a, b| a.0.total_cmp(&b.0));
        log
    }
}
