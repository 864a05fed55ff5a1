//! Friends during an attack: a contact rings while strangers post envelopes that no key opens, to an engine with 1, 16 and 256 lines.
//!
//! The called line has dialled the caller once, so that it knows the caller's envelopes by their tags. Each ring is answered.
//!
//! The stamps are made before. How late a ring is counts from the relay's own time for an event of that moment, which the flood makes
//! longer too; without a flood it is the same difference.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence::net::{
    outbound::Outbound,
    relay::{EventSigningKey, OutgoingEvent, Relays},
    tls,
};
use ringfence_book::nostr_event::ENVELOPE_BYTES;
use ringfence_engine::{
    sealed::{
        envelope::{EventKey, VERSION},
        proof_of_work::{ProofOfWork, ProofSearch},
    },
    time::UnixTime,
};
use ringfence_tests::deployment::Deployment;
use tokio::runtime::Runtime;

use crate::{
    Plan,
    flow::End,
    measured,
    phone_bank::{self, PhoneBank},
    process::Process,
    setup::Post,
    table::{Rounds, Table, row},
};

/// Envelopes of strangers a second: twice what used up a core at 256 lines before they had a budget.
const RATE: u32 = 100;
/// Bits of work that the networks asks for.
const BITS: u8 = 16;
/// Between two rings.
const PAUSE: Duration = Duration::from_millis(500);

/// Measures, and prints a row for each number of lines.
pub(crate) fn measure(plan: &Plan) {
    let header = row![
        "lines",
        "envelopes/s",
        "ring late, ms: median",
        "p95",
        "most",
        "% of a core"
    ];
    let title = format!("attack: {} rings of a contact in each row", plan.rings);
    let mut table = Table::begin(&title, header);
    for lines in &plan.lines {
        let Some(pair) = measured::start([1, *lines], true) else {
            return;
        };
        for attacked in [false, true] {
            let (late, share, rate) = ring(&pair, plan, attacked);
            let ms = |part| format!("{:.1}", late.quantile(part));
            let (median, p95, most) = (ms(0.5), ms(0.95), ms(1.0));
            let cells = row![
                lines,
                format!("{rate:.0}"),
                median,
                p95,
                most,
                format!("{share:.1}")
            ];
            table.row(&cells);
        }
    }
}

/// Rings so often, attacked or not: how late, the share of a core of the called engine, and envelopes of strangers a second.
fn ring(pair: &Deployment, plan: &Plan, attacked: bool) -> (Rounds, f64, f64) {
    let called = pair.lines_of(1);
    let mut phones = [&pair.lines_of(0), &called[..1]].map(PhoneBank::open);
    make_contacts(&mut phones);
    let mut post = Post::open(&pair.relay());
    let rings = u32::try_from(plan.rings).expect("some rings");
    let stock = if attacked {
        RATE * (PAUSE.as_millis() as u32 * rings / 1_000 + 10) * 2
    } else {
        0
    };
    let flood = Flood::begin(&pair.relay(), stock);
    let [_, called] = pair.engines().map(Process);
    let (before, began) = (called.look(), Instant::now());
    let mut late = Rounds::default();
    for _ in 0..rings {
        thread::sleep(PAUSE);
        let delivered = post.deliver();
        let [from, to] = &mut phones;
        let ends = [End::open(), End::open()];
        let call = phone_bank::call(from, to, ends.each_ref().map(End::socket));
        phone_bank::hang_up(from, to, &call);
        late.push((call.ringing.as_secs_f64() - delivered.as_secs_f64()) * 1e3);
    }
    let took = began.elapsed().as_secs_f64();
    let share = called.since(&before).cpu.as_secs_f64() / took * 100.0;
    let posted = flood.end();
    (
        late,
        share,
        f64::from(u32::try_from(posted).unwrap_or(u32::MAX)) / took,
    )
}

/// The called line dials the caller: then the caller is its contact, and the two share a secret.
fn make_contacts([caller, called]: &mut [PhoneBank; 2]) {
    let ends = [End::open(), End::open()];
    let call = phone_bank::call(called, caller, ends.each_ref().map(End::socket));
    phone_bank::hang_up(called, caller, &call);
}

/// Strangers that post.
struct Flood {
    stop: Arc<AtomicBool>,
    posted: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Makes the stamps, and begins.
    fn begin(url: &str, stock: u32) -> Self {
        let proofs: Vec<_> = (0..stock).map(|_| prove()).collect();
        let (stop, posted) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let thread = thread::spawn({
            let (url, stop, posted) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&posted));
            move || post_all(&url, proofs, &stop, &posted)
        });
        Self {
            stop,
            posted,
            thread,
        }
    }

    /// Stops. Returns how many were posted.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the strangers stop");
        self.posted.load(Ordering::Relaxed)
    }
}

fn prove() -> ProofOfWork {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = UnixTime::from_seconds(now.expect("after 1970").as_secs());
    let key = EventSigningKey::generate();
    let event_key = EventKey(key.public());
    let mut search = ProofSearch::new(event_key, key.into_secret(), BITS, now);
    search.search(u32::MAX).expect("a nonce is found")
}

fn post_all(url: &str, proofs: Vec<ProofOfWork>, stop: &AtomicBool, posted: &AtomicUsize) {
    let runtime = Runtime::new().expect("a runtime");
    let trusted = tls::client(None).expect("the compiled-in roots parse");
    let outbound = Outbound::new(trusted, None);
    let _context = runtime.enter();
    let relays = Relays::connect(&[url.to_owned()], 0, &BTreeSet::from([0]), &outbound);
    let (relays, _incoming) = relays.expect("the relay's URL is good");
    let relays = Arc::new(relays);
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let began = Instant::now();
    for (count, proof) in (0..).zip(proofs) {
        let due = began + Duration::from_secs(1) / RATE * count;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut bytes = vec![0; ENVELOPE_BYTES];
        rng.fill_bytes(&mut bytes);
        bytes[0] = VERSION;
        let (relays, work_nonce) = (Arc::clone(&relays), proof.nonce);
        let letter = OutgoingEvent {
            key: proof.into(),
            work_nonce,
            bucket: 0,
            bytes,
            is_note: false,
        };
        runtime.spawn(async move { relays.publish(letter).await });
        posted.fetch_add(1, Ordering::Relaxed);
    }
}
