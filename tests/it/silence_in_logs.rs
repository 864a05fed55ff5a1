//! Logs above DEBUG contain no number, user name, password, key, address or SDP. This is checked over whole calls, and over
//! failures of all kinds.
//!
//! Libraries are checked from WARN on: turn-client-proto logs addresses at INFO, and the shell logs libraries below WARN only
//! when asked to.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
    sync::Once,
    time::Duration,
};

use ringfence_tests::world::{CallPair, World};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
};

/// Everything that was logged: level, and target with all fields.
type Log = Vec<(Level, String)>;

thread_local! {
    /// What this thread has logged since it is recorded.
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// Records every event and span of the recorded threads, at every level.
///
/// There is one for the process: a subscriber of a single thread may miss what the caches of `tracing` have disabled for others.
struct Notary;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

fn note(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line(metadata.target().to_owned());
    record(&mut line);
    LOG.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push((*metadata.level(), line.0));
        }
    });
}

impl<S: Subscriber> Layer<S> for Notary {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>, _: Context<'_, S>) -> bool {
        LOG.with_borrow(Option::is_some)
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        note(attributes.metadata(), |line| attributes.record(line));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        note(event.metadata(), |line| event.record(line));
    }
}

/// What was logged during this scenario, and what must not be in it.
fn logged(life: impl FnOnce() -> World) -> (Log, Vec<String>) {
    static NOTARY: Once = Once::new();
    NOTARY.call_once(|| {
        let notary = Registry::default().with(Notary);
        tracing::subscriber::set_global_default(notary).expect("no other test takes the logs");
    });
    LOG.set(Some(Log::new()));
    let world = life();
    let log = LOG.take().expect("it was put there");
    (log, secrets(&world))
}

fn assert_silent(life: impl FnOnce() -> World) {
    let (log, secrets) = logged(life);
    for (level, line) in log.iter().filter(|(level, line)| is_loud(*level, line)) {
        for secret in &secrets {
            assert!(!line.contains(secret), "{level} {line}\n  names {secret}");
        }
        assert_eq!(address_in(line), None, "{level} {line}");
    }
    // Calls are logged at DEBUG, so the recorder works.
    assert!(
        log.iter().any(|(_, line)| line.starts_with("ringfence")),
        "nothing was logged"
    );
}

fn is_loud(level: Level, line: &str) -> bool {
    let loudest = if line.starts_with("ringfence") {
        Level::INFO
    } else {
        Level::WARN
    };
    level <= loudest
}

#[test]
fn a_call_logs_no_name() {
    assert_silent(|| {
        let (mut world, pair) = World::of_two(1);
        world.call(pair);
        world.run_for(Duration::from_secs(2));
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(5));
        world
    });
}

#[test]
fn calls_that_fail_log_no_name() {
    let failures: [fn(&mut World, CallPair); 8] = [
        |world, _| world.links.turn.loss = 1.0,
        |world, _| world.relay.is_down = true,
        |world, pair| world.take_credentials(pair.caller),
        |world, pair| world.take_credentials(pair.callee),
        |world, pair| world.disconnect(pair.callee),
        |world, _| world.links.sip.loss = 0.5,
        |world, _| world.links.turn.loss = 0.4,
        |world, _| {
            let mut posts = 0;
            world.filter_packets(move |packet| {
                posts += usize::from(packet.size == 1024);
                posts < 9
            });
        },
    ];
    for fail in failures {
        assert_silent(|| {
            let (mut world, pair) = World::of_two(2);
            fail(&mut world, pair);
            world.dial(pair.alice, world.number(pair.callee, 0));
            world.run_for(Duration::from_secs(20));
            if world.handset(pair.bob).is_ringing() {
                world.answer(pair.bob);
            }
            world.run_for(Duration::from_secs(30));
            world.hang_up(pair.alice);
            world.run_for(Duration::from_secs(60));
            world
        });
    }
}

#[test]
fn a_dishonest_phone_book_is_logged_as_an_error_without_names() {
    let life = || {
        let (mut world, pair) = World::of_two(5);
        world.call(pair);
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(5));
        let (thief, number) = (world.new_keys(), world.number(pair.callee, 0));
        for (engine, mark) in [(pair.caller, 1), (pair.callee, 2)] {
            world.show_book(engine, (1, mark), &[]);
        }
        world.ring(pair);
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(11));
        for engine in [pair.caller, pair.callee] {
            world.show_book(engine, (2, 1), &[(number, thief.listing())]);
        }
        world.dial(pair.alice, number);
        world.run_for(Duration::from_secs(2));
        world.ring_as(&thief, world.number(pair.caller, 0), number);
        world
    };
    let (log, _) = logged(life);
    let loud = |what: &str| {
        let says = |(level, line): &(Level, String)| *level <= Level::WARN && line.contains(what);
        log.iter().any(says)
    };
    assert!(loud("DIFFERENT PAGES"));
    assert!(loud("KEYS THAT ARE NOT YOURS"));
    assert!(loud("has another key than before"));
    assert_silent(life);
}

#[test]
fn what_unknown_senders_send_is_not_logged() {
    assert_silent(|| {
        let (mut world, pair) = World::of_two(3);
        world.ring(pair);
        let (_, ring) = world.relay.passed()[0].clone();
        let number = world.number(pair.callee, 0);
        let wall = world.wall();
        world.repost(ring.clone());
        world.post_as_attacker(0, ring.bytes);
        world.post_as_attacker(0, b"m=audio 20001 RTP/AVP 0".to_vec());
        world.ring_with_keys_of(pair.caller, number, b"o=somebody 192.0.2.1", wall);
        world.ring_with_keys_of(
            pair.caller,
            number,
            b"",
            wall.after(Duration::from_secs(600)),
        );
        world.dial_digits(pair.bob, "no-such-number");
        world.dial_digits(pair.bob, "99999");
        world.run_for(Duration::from_secs(60));
        world
    });
}

#[test]
fn this_search_would_find_a_name() {
    let (_, secrets) = logged(|| {
        let (mut world, pair) = World::of_two(4);
        world.call(pair);
        world
    });
    assert!(secrets.len() > 20, "{secrets:?}");
    assert!(
        secrets.iter().all(|secret| secret.len() >= 5),
        "{secrets:?}"
    );
    let address = |line| address_in(line).map(|ip| ip.to_string());
    assert_eq!(address("gone: 10.1.2.3:5060!").as_deref(), Some("10.1.2.3"));
    assert_eq!(
        address("peer=[fd77::1:2:3]:99").as_deref(),
        Some("fd77::1:2:3")
    );
    assert_eq!(
        address("ringfence::call 0.1.0 took 3.5 ms at 12:30:00"),
        None
    );
}

/// All personal data of a world, in the forms in which it could be logged.
fn secrets(world: &World) -> Vec<String> {
    let mut secrets: Vec<String> = [
        "m=audio",
        "a=rtpmap",
        "c=IN IP",
        "INVITE sip",
        "nightingale",
        "hush-",
        "Handset of",
    ]
    .map(str::to_owned)
    .into();
    for engine in 0..2 {
        let host = world.host(engine);
        for line in &host.lines {
            secrets.push(line.number.to_string());
            secrets.extend(writings(line.identity().key().as_bytes()));
            secrets.extend(writings(line.identity().listing().ring_key().as_bytes()));
        }
        for description in host.heard_of() {
            secrets.extend([description.ufrag.clone(), description.pwd.clone()]);
            secrets.extend(writings(&description.fingerprint));
        }
        secrets.extend(host.addresses().iter().map(|address| address.to_string()));
    }
    secrets
}

/// The beginning of a key, in the usual encodings.
fn writings(key: &[u8; 32]) -> [String; 3] {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let hex: String = key[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", &key[..4]);
    [
        hex,
        STANDARD.encode(&key[..6]),
        list.trim_matches(['[', ']']).to_owned(),
    ]
}

/// The first IP address in a line of text.
fn address_in(line: &str) -> Option<IpAddr> {
    let is_part = |letter: char| letter.is_ascii_hexdigit() || ".:[]".contains(letter);
    line.split(|letter| !is_part(letter)).find_map(|word| {
        let word = word.trim_matches(['.', ':']);
        let looks = word.matches('.').count() == 3 || word.matches(':').count() >= 4;
        let ip = word.parse().ok();
        let ip = ip.or_else(|| word.parse::<SocketAddr>().ok().map(|address| address.ip()));
        ip.filter(|_| looks)
    })
}
