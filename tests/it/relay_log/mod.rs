//! What pairs of caller and callee a Nostr relay can name from its log, in one call and in a week.
//!
//! Real engines have calls for an hour; the model has the same habits without engines, and its log is compared with theirs. Beyond
//! fifty engines the model stands alone. `tests/run --relay` takes an hour; a minute of it is among the ordinary tests.

#![expect(clippy::print_stdout, reason = "the figures are for a person")]

mod engines;
mod model;
mod observer;
mod recorder;
mod traffic;

use engines::live;
use model::{buckets_of, log_of};
use observer::Score;
use traffic::{Dice, Habits, plan};

/// A busy minute of a few engines.
const MINUTE: Habits = Habits {
    engines: 6,
    bits: 3,
    calls: 15_000.0,
    talk: 4.0,
    called_back: 0.3,
    span: 12.0,
};

/// An hour in which each engine calls as often as elsewhere in half a day.
const HOUR: Habits = Habits {
    engines: 50,
    bits: 3,
    calls: 144.0,
    talk: 20.0,
    called_back: 0.3,
    span: 3_600.0,
};

/// A week.
const fn week(engines: usize, bits: u8, called_back: f64) -> Habits {
    Habits {
        engines,
        bits,
        calls: 10.0,
        talk: 180.0,
        called_back,
        span: 7.0 * 86_400.0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_post_eight_envelopes_for_each_ring_and_none_for_anything_else() {
    real(&MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour"]
async fn every_pair_that_a_relay_names() {
    real(&HOUR).await;
    weeks(&[50, 300, 10_000]);
}

#[test]
fn a_relay_names_callees_by_lot_unless_answers_come_over_it() {
    weeks(&[50, 300]);
}

/// Lets real engines have calls, and compares the relay's log with the model's.
async fn real(habits: &Habits) {
    let mut dice = Dice::new(1);
    let calls = plan(habits, &mut dice);
    let hour = live(habits, &calls).await;
    let log = hour.log();
    let planned = calls.iter().filter(|call| call.answered.is_some()).count();
    println!(
        "{} engines, {} s: {} calls, {planned} to be answered, {} answered; {} envelopes",
        habits.engines,
        habits.span,
        calls.len(),
        hour.answered,
        hour.posts.len()
    );
    let bytes: Vec<_> = hour.posts.iter().map(|(_, post)| post.bytes).collect();
    print_day(&bytes);
    // Two calls that are planned close together may ring in the other order.
    let mut left: Vec<_> = calls.iter().collect();
    let callees = log.rings.iter().filter_map(|(_, from, _)| {
        let at = left.iter().position(|call| call.caller == *from)?;
        Some(left.remove(at).callee)
    });
    let callees: Vec<_> = callees.collect();
    // An hour that ends in a fault has told its figures.
    let mut scored = Vec::new();
    for (name, log) in [("bits 0", log.without_buckets()), ("bits 3", log.clone())] {
        let model = log_of(&calls, log.subscribed.clone(), 0.0, &mut dice);
        let [engines, model] = [("engines", &log), ("model", &model)].map(|(of, log)| {
            let scores = [
                log.name_callees(&callees, &mut dice),
                log.name_friends(&callees),
            ];
            for (asked, score) in ["callee of a ring", "friend"].into_iter().zip(scores) {
                print(&format!("{of}, {name}: {asked}"), score);
            }
            scores
        });
        scored.extend(engines.into_iter().zip(model));
    }
    assert_eq!(
        log.others,
        [],
        "an envelope that belongs to no ring of its engine"
    );
    assert_eq!(log.rings.len(), calls.len(), "each call is one ring");
    assert_eq!(hour.posts.len(), calls.len() * 8);
    assert!(
        hour.answered * 20 >= planned * 19,
        "{} of {planned} calls were answered",
        hour.answered
    );
    for (engines, model) in scored {
        let noise = engines.noise() + model.noise();
        assert!(
            (engines.right - model.right).abs() <= 4.0 * noise,
            "{engines:?} {model:?}"
        );
    }
    check_pauses(hour.pauses(&log.rings));
}

/// Prints what an engine without calls receives from a relay in a day in which each engine of the network places ten.
fn print_day(bytes: &[usize]) {
    let mean = bytes.iter().sum::<usize>() as f64 / bytes.len() as f64;
    println!("an envelope is {mean:.0} bytes of a message; eight a call");
    for engines in [1.0, 300.0, 10_000.0] {
        let envelopes = engines * 10.0 * 8.0;
        let (all, bucket) = (envelopes * mean / 1e6, envelopes * mean / 8e6);
        println!(
            "{engines} engines, ten calls each: {envelopes} envelopes, {all:.1} MB a day, with bits 3 {bucket:.1} MB"
        );
    }
}

/// Compares the pauses of the engines' envelopes with the law that the model has: evenly spread over 4 to 7 seconds.
fn check_pauses(mut pauses: Vec<f64>) {
    pauses.sort_by(f64::total_cmp);
    let count = pauses.len() as f64;
    // Kolmogorov and Smirnov's distance; 1.95 is passed by one of a thousand true samples. A tenth of a second is the machine's.
    let shares = pauses.iter().enumerate();
    let distance = shares.map(|(before, pause)| {
        (before as f64 / count - ((pause - 4.0) / 3.0).clamp(0.0, 1.0)).abs()
    });
    let distance = distance.fold(0.0, f64::max);
    println!(
        "pauses: distance from the law {distance:.3}, {:.3} is one of a thousand",
        1.95 / count.sqrt()
    );
    assert!(distance < 1.95 / count.sqrt() + 0.1 / 3.0);
}

/// Prints what the relay names in a week of the model, and checks that it is chance where answers do not come over it.
fn weeks(sizes: &[usize]) {
    for engines in sizes {
        for bits in [0, 3] {
            for (name, called_back, fallback) in [
                ("nobody calls back", 0.0, 0.0),
                ("a third calls back", 0.3, 0.0),
                ("one answer in ten over the relay", 0.0, 0.1),
                ("every answer over the relay", 0.0, 1.0),
            ] {
                let habits = week(*engines, bits, called_back);
                let mut dice = Dice::new(3);
                let calls = plan(&habits, &mut dice);
                let buckets = buckets_of(&habits, &mut dice);
                let log = log_of(&calls, buckets, fallback, &mut dice);
                let callees: Vec<_> = calls.iter().map(|call| call.callee).collect();
                let callee = log.name_callees(&callees, &mut dice);
                let friend = log.name_friends(&callees);
                let title = format!("{engines} engines, bits {bits}, {name}");
                print(&format!("{title}: callee of a ring"), callee);
                print(&format!("{title}: friend"), friend);
                if called_back == 0.0 && fallback == 0.0 {
                    for score in [callee, friend] {
                        assert!(
                            (score.right - score.chance).abs() < 4.0 * score.noise() + 0.002,
                            "{score:?}"
                        );
                    }
                }
            }
        }
    }
}

fn print(title: &str, score: Score) {
    println!(
        "{title}: {:.2} % right, {:.2} % by lot (+- {:.2}), {} asked",
        score.right * 100.0,
        score.chance * 100.0,
        score.noise() * 200.0,
        score.asked
    );
}
