//! The matrix of real phones: four models as caller and as callee, through two engines, coturn and an independent Nostr relay.
//!
//! `tests/run --phones` tries every feature over UDP, and a call with audio in every other setting; it prints a table and writes
//! `target/phones.json`. A part of it is among the ordinary tests. What a phone does not support is reported with the reason and
//! is no failure; [`scenes`] has the list.

mod pair;
mod scenes;
mod table;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, DeploymentConfig},
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
    real_phone::PhoneModel,
};

use pair::{Pair, Seats, Way};
use scenes::Feature;
use table::{Cell, Outcome};

/// Pairs of phones that have calls at the same time.
const LANES: usize = 2;

/// Every feature is tried over UDP.
const FULLY: (Way, &[Feature]) = (
    Way {
        transport: "udp",
        srtp: "off",
        codec: "PCMU",
        digits: "rtp",
    },
    &[
        Feature::Decline,
        Feature::Message,
        Feature::Cancel,
        Feature::CallerHangsUp,
        Feature::Hold,
        Feature::Digits,
        Feature::Transfer,
        Feature::Attended,
    ],
);

/// The other settings, with the other codecs among them. Caller and callee hang up in turn.
const BRIEFLY: [(Way, &[Feature]); 6] = [
    (way("udp", "required", "PCMA"), &[Feature::CalleeHangsUp]),
    (
        Way {
            digits: "info",
            ..way("tcp", "off", "G722")
        },
        &[Feature::CallerHangsUp, Feature::Digits],
    ),
    (way("tcp", "required", "PCMU"), &[Feature::CalleeHangsUp]),
    (way("tls", "off", "PCMA"), &[Feature::CallerHangsUp]),
    (way("tls", "required", "PCMU"), &[Feature::CalleeHangsUp]),
    (way("tls", "required", "opus"), &[Feature::CallerHangsUp]),
];

const fn way(transport: &'static str, srtp: &'static str, codec: &'static str) -> Way {
    Way {
        transport,
        srtp,
        codec,
        digits: "rtp",
    }
}

/// Two phones, their settings, and the features to try.
type Run = (PhoneModel, PhoneModel, Way, &'static [Feature]);

#[test]
fn each_phone_calls_one_and_is_called_by_one() {
    let runs: [Run; 4] = [
        (
            PhoneModel::Linphone,
            PhoneModel::Pjsua,
            way("tls", "required", "PCMU"),
            &[Feature::CallerHangsUp, Feature::Hold],
        ),
        (
            PhoneModel::Pjsua,
            PhoneModel::Baresip4,
            way("udp", "off", "PCMU"),
            &[Feature::Cancel, Feature::Transfer],
        ),
        (
            PhoneModel::Baresip4,
            PhoneModel::Baresip,
            Way {
                digits: "info",
                ..way("tcp", "off", "PCMA")
            },
            &[Feature::CalleeHangsUp, Feature::Digits],
        ),
        (
            PhoneModel::Baresip,
            PhoneModel::Linphone,
            way("udp", "required", "PCMU"),
            &[Feature::Message, Feature::Digits, Feature::Decline],
        ),
    ];
    let Some(network) = network() else { return };
    let cells = runs.map(|run| try_all(&network, 0, run)).concat();
    assert_none_failed(&cells);
}

#[test]
fn phones_that_share_no_codec_hear_each_other() {
    use PhoneModel::{Baresip4, Linphone, Pjsua};
    let runs: [Run; 4] = [
        (
            Linphone,
            Pjsua,
            way("udp", "off", "opus/PCMA"),
            &[Feature::CallerHangsUp, Feature::Digits, Feature::Hold],
        ),
        (
            Pjsua,
            Baresip4,
            way("udp", "off", "G722/PCMU"),
            &[Feature::CalleeHangsUp],
        ),
        (
            Baresip4,
            Linphone,
            way("udp", "off", "PCMA/opus"),
            &[Feature::CallerHangsUp],
        ),
        (
            Pjsua,
            Baresip4,
            way("tls", "required", "G722/opus"),
            &[Feature::CallerHangsUp],
        ),
    ];
    let Some(network) = network() else { return };
    let cells = runs.map(|run| try_all(&network, 0, run)).concat();
    assert_none_failed(&cells);
}

#[test]
#[ignore = "takes minutes: tests/run --phones"]
fn every_phone_calls_every_phone_in_every_way() {
    let Some(network) = network() else { return };
    let pairs = || {
        let callers = PhoneModel::ALL.into_iter();
        callers.flat_map(|caller| PhoneModel::ALL.map(|callee| (caller, callee)))
    };
    let mut runs: Vec<Run> = Vec::new();
    for (way, features) in [FULLY].into_iter().chain(BRIEFLY) {
        let can = |model: PhoneModel| way.codec != "opus" || model != PhoneModel::Pjsua;
        let able = pairs().filter(|&(caller, callee)| can(caller) && can(callee));
        runs.extend(able.map(|(caller, callee)| (caller, callee, way, features)));
    }
    let mut cells: Vec<Cell> = Vec::new();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let mine: Vec<Run> = runs.iter().skip(lane).step_by(LANES).copied().collect();
                let network = &network;
                scope.spawn(move || {
                    let cells = mine.into_iter().map(|run| try_all(network, lane, run));
                    cells.collect::<Vec<_>>().concat()
                })
            })
            .collect();
        for lane in lanes {
            cells.extend(lane.join().expect("what fails in a scene is caught"));
        }
    });
    table::print(&cells, FULLY.0);
    table::store(&cells);
    assert_none_failed(&cells);
}

fn network() -> Option<Deployment> {
    if !PhoneModel::installed(&PhoneModel::ALL) || !installed(&["turnserver"]) {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    let layout = DeploymentConfig {
        // Each lane has a caller, a callee, and a third party to which calls are transferred.
        lines: [LANES, 2 * LANES],
        settings: "no_answer_seconds = 5\n",
        ..DeploymentConfig::default()
    };
    let alone = real_time();
    Some(Deployment::start_with(
        alone,
        NostrRelay::start(),
        CoturnServer::start(),
        &layout,
    ))
}

/// Tries the features of one pair of phones in turn. After a failure the phones are started again.
fn try_all(network: &Deployment, lane: usize, (caller, callee, way, features): Run) -> Vec<Cell> {
    let seats = Seats {
        caller: network.line(0, lane),
        callee: network.line(1, lane),
        third: network.line(1, LANES + lane),
    };
    let mut pair = None;
    let mut outcomes = Vec::new();
    for &feature in features {
        let outcome = match feature.beyond(caller, callee, way) {
            Some(why) => Outcome::PhoneCannot(why),
            None => {
                let tried = catch_unwind(AssertUnwindSafe(|| {
                    let pair = pair.get_or_insert_with(|| Pair::start(seats, caller, callee, way));
                    feature.play(pair)
                }));
                tried.unwrap_or_else(|panic| {
                    pair = None;
                    Outcome::Failed(reason(panic.as_ref()))
                })
            }
        };
        outcomes.push(Cell {
            caller,
            callee,
            way,
            feature,
            outcome,
        });
    }
    outcomes
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked without a word".to_owned())
}

fn assert_none_failed(cells: &[Cell]) {
    let failed = cells.iter().filter(|cell| cell.has_failed());
    let failed: Vec<_> = failed.map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
