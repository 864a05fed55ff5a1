//! From the state of an engine to figures for a monitor. All labels are words of this file.

use ringfence_engine::Counters;
use ringfence_phonebook::duty::figures::{Sheet, Spread};

use crate::stats::snapshot::GatewayStatus;
use crate::stats::totals::CallTotals;

/// The figures of this moment.
pub(super) fn sheet(status: &GatewayStatus) -> Sheet {
    let mut sheet = Sheet::new("ringfence");
    phones_and_calls(&mut sheet, status);
    ways_out(&mut sheet, status);
    envelopes(&mut sheet, &status.counters);
    sound(&mut sheet, &status.sound);
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

fn ways_out(sheet: &mut Sheet, status: &GatewayStatus) {
    let relays = status.relays;
    let states = [
        ("configured", relays.configured),
        ("connected", relays.connected),
        ("listening", relays.listening),
    ]
    .map(|(state, count)| (state, count as u64));
    sheet.gauges(
        "relays",
        "Nostr relays: all that are configured, those of them with a connection, those of them that confirmed to bring rings",
        "state",
        &states,
    );
    sheet.gauge(
        "turn_allocations_ready",
        "Relayed addresses that wait for the next call; none for some seconds after each call",
        status.turn_ready.into(),
    );
}

fn envelopes(sheet: &mut Sheet, counters: &Counters) {
    sheet.counter(
        "envelopes_received",
        "Sealed envelopes that came from relays, nearly all of them for others",
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
        "Envelopes that came to nothing: too little work or seen before, for others, stale or forged, from a contact whose key has changed, more rings than a line may have",
        "reason",
        &reasons,
    );
    sheet.counter(
        "stamps_stale",
        "Proofs of work that grew too old in stock",
        counters.stale_stamps,
    );
}

fn sound(sheet: &mut Sheet, tally: &CallTotals) {
    sheet.counter(
        "calls_over",
        "Calls that had sound and are over",
        tally.calls,
    );
    let (from, to) = (&tally.from_phones, &tally.to_phones);
    let both = |from: u64, to: u64| [("from_phone", from), ("to_phone", to)];
    for (name, help, counts) in [
        (
            "packets",
            "Packets of sound that were passed on, added when a call is over",
            both(from.passed, to.passed),
        ),
        (
            "packets_lost",
            "Packets of sound that never arrived, added when a call is over",
            both(from.lost, to.lost),
        ),
        (
            "packets_dropped",
            "Packets that arrived and were not passed on, added when a call is over",
            both(from.dropped, to.dropped),
        ),
    ] {
        sheet.counters(name, help, "way", &counts);
    }
    for (name, help, sums) in [
        (
            "jitter_from_phone_seconds",
            "How unevenly sound came from phones, a measure for each call that is over (RFC 3550)",
            &tally.from_phones,
        ),
        (
            "jitter_to_phone_seconds",
            "How unevenly sound came from other engines, a measure for each call that is over (RFC 3550)",
            &tally.to_phones,
        ),
    ] {
        let (buckets, sum) = sums.jitter();
        sheet.spread(name, help, Spread { buckets, sum });
    }
}
