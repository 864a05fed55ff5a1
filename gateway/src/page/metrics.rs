//! The figures for a monitor. Labels come only from this file, so no figure can name a number, key or address.

use ringfence_daemon::metrics::{Sheet, Spread};
use ringfence_engine::{EndReason, EngineCounters};

use crate::stats::condition::ConditionKind;
use crate::stats::snapshot::GatewayStatus;
use crate::stats::totals::CallTotals;

/// The figures at this moment.
pub(super) fn sheet(status: &GatewayStatus) -> Sheet {
    let mut sheet = Sheet::new("ringfence");
    phones_and_calls(&mut sheet, status);
    connections(&mut sheet, status);
    conditions(&mut sheet, status);
    envelopes(&mut sheet, &status.counters);
    media(&mut sheet, &status.totals);
    sheet
}

fn phones_and_calls(sheet: &mut Sheet, status: &GatewayStatus) {
    let lines = status.phones.len() as u64;
    sheet.gauge("lines", "Lines of this engine", lines);
    let phones: usize = status.phones.iter().sum();
    sheet.gauge(
        "phones_registered",
        "Phones that are registered, on all lines",
        phones as u64,
    );
    let reachable = status.phones.iter().filter(|phones| **phones > 0).count();
    sheet.gauge(
        "lines_reachable",
        "Lines with at least one registered phone",
        reachable as u64,
    );
    let calls = &status.calls;
    let states = [
        ("dialling", calls.dialling),
        ("calling", calls.calling),
        ("ringing", calls.ringing),
        ("unheard", calls.unheard),
        ("answering", calls.answering),
        ("talking", calls.talking),
        ("ending", calls.ending),
    ]
    .map(|(state, count)| (state, count as u64));
    sheet.gauges("calls", "Calls at this moment, by state", "state", &states);
}

fn connections(sheet: &mut Sheet, status: &GatewayStatus) {
    let relays = &status.relays;
    let states = [
        ("configured", relays.configured),
        ("connected", relays.connected),
        ("listening", relays.listening),
        ("taking", relays.taking),
    ]
    .map(|(state, count)| (state, count as u64));
    sheet.gauges(
        "relays",
        "Nostr relays: all that are configured, those with a connection, those that confirmed the subscription to rings, and those with a connection that did not refuse the last envelope",
        "state",
        &states,
    );
    sheet.gauge(
        "turn_allocations_ready",
        "TURN allocations that wait for the next call; none for some seconds after each call",
        status.turn_ready.into(),
    );
}

fn conditions(sheet: &mut Sheet, status: &GatewayStatus) {
    let count = |kind: ConditionKind| {
        let active = status.conditions.iter();
        let of_kind = active.filter(|active| active.condition.kind() == kind);
        (kind.word(), of_kind.count() as u64)
    };
    sheet.gauges(
        "conditions",
        "What is wrong at this moment, by kind, as /health and the status say it",
        "kind",
        &ConditionKind::ALL.map(count),
    );
    let grave = status.conditions.iter();
    let grave = grave.filter(|active| active.condition.is_grave()).count();
    sheet.gauge("healthy", "1 when /health says ok", u64::from(grave == 0));
}

fn envelopes(sheet: &mut Sheet, counters: &EngineCounters) {
    sheet.counter(
        "envelopes_received",
        "Sealed envelopes from relays, nearly all of them for other engines",
        counters.envelopes,
    );
    let reasons = [
        ("unfit", counters.unfit),
        ("not_ours", counters.not_ours),
        ("forged", counters.forged),
        ("changed_key", counters.changed_keys),
        ("flooded", counters.flooded),
    ];
    sheet.counters(
        "envelopes_dropped",
        "Envelopes that were dropped: too little proof of work or seen before, for other engines, stale or forged, from a contact whose key has changed, more rings than a line may have",
        "reason",
        &reasons,
    );
    sheet.counter(
        "proofs_of_work_stale",
        "Proofs of work that became too old before they were used",
        counters.stale_proofs,
    );
}

fn media(sheet: &mut Sheet, totals: &CallTotals) {
    sheet.counter(
        "calls_over",
        "Calls that had audio and have ended",
        totals.calls,
    );
    let mut ends: Vec<_> = EndReason::ALL.map(|reason| (reason.word(), 0)).into();
    for (reason, count) in &totals.ended {
        ends.retain(|(word, _)| *word != reason.word());
        ends.push((reason.word(), *count));
    }
    sheet.counters(
        "calls_ended",
        "Calls that have ended, also those that never had audio, by how",
        "reason",
        &ends,
    );
    sheet.counter(
        "frames",
        "Frames of sound that other engines sent, added when a call ends",
        totals.repair.frames,
    );
    sheet.counters(
        "frames_lost",
        "Frames of sound of other engines that were lost, added when a call ends, by what the phone heard in their place: a later frame's copy, concealment, or nothing (also for frames without sound)",
        "heard",
        &[
            ("copy", totals.repair.repaired),
            ("concealment", totals.repair.concealed),
            ("nothing", totals.repair.missed()),
        ],
    );
    let (from, to) = (&totals.from_phones, &totals.to_phones);
    let both = |from: u64, to: u64| [("from_phone", from), ("to_phone", to)];
    for (name, help, counts) in [
        (
            "packets",
            "Audio packets that were passed on, added when a call ends",
            both(from.passed, to.passed),
        ),
        (
            "packets_lost",
            "Audio packets that never arrived, added when a call ends",
            both(from.lost, to.lost),
        ),
        (
            "packets_dropped",
            "Packets that arrived and were not passed on, added when a call ends",
            both(from.dropped, to.dropped),
        ),
    ] {
        sheet.counters(name, help, "way", &counts);
    }
    for (name, help, sums) in [
        (
            "jitter_from_phone_seconds",
            "Jitter of audio from phones, once for each call that has ended (RFC 3550)",
            &totals.from_phones,
        ),
        (
            "jitter_to_phone_seconds",
            "Jitter of audio from other engines, once for each call that has ended (RFC 3550)",
            &totals.to_phones,
        ),
    ] {
        let (buckets, sum) = sums.jitter();
        sheet.spread(name, help, Spread { buckets, sum });
    }
}
