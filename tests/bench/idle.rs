//! An idle engine with a registered phone.

use std::{thread, time::Duration};

use ringfence_tests::deployment::Deployment;

use crate::{
    Plan,
    phone_bank::PhoneBank,
    process::Process,
    table::{self, Rounds, row},
};

/// Time after the start for proofs of work, allocations and registrations.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures, and prints the results. There is no peer.
pub(crate) fn measure(pair: &Deployment, plan: &Plan) {
    let _phones = [0, 1].map(|engine| PhoneBank::open(&pair.lines_of(engine)));
    let watch = Duration::from_secs(plan.idle);
    thread::sleep(SETTLE.min(watch));
    let engines = pair.engines().map(Process);
    let before = engines.map(Process::look);
    thread::sleep(watch);
    let (mut share, mut sleeps, mut resident, mut own) = (
        Rounds::default(),
        Rounds::default(),
        Rounds::default(),
        Rounds::default(),
    );
    for (engine, before) in engines.iter().zip(&before) {
        let cost = engine.since(before);
        share.push(cost.cpu.as_secs_f64() / watch.as_secs_f64() * 100.0);
        #[expect(clippy::cast_precision_loss, reason = "some thousand")]
        sleeps.push(cost.sleeps as f64 / watch.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        resident.push(engine.resident() as f64 / 1024.0);
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        own.push(engine.anonymous() as f64 / 1024.0);
    }
    table::print(
        &format!("idle: both engines over {} s", plan.idle),
        &[
            row!["% of a core", "sleeps/s", "resident MB", "of it its own"],
            row![share.shown(), sleeps.shown(), resident.shown(), own.shown()],
        ],
    );
}
