//! What an observer of the TURN leg tells apart: real engines have real calls through coturn, a tap writes down sizes, times and clear
//! header fields, and a standard learner (`tests/classifier/learn.py`) tries to tell speech from silence, key presses, hold and mute, who
//! called and who hung up.
//!
//! The short form has few calls and a wide bound; `tests/run --classifier` is the long one.

mod lab;
mod phones;
mod scene;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use ringfence_tests::{
    nostr_relay::NostrRelay,
    program::{from_pypi, installed, skipped, target_folder},
    real_phone::PhoneModel,
};
use serde_json::Value;

use self::phones::record_phones;
use self::scene::{Plan, record};

const SHORT: Plan = Plan {
    batches: 4,
    calls: 15,
    cycles: 2,
    seed: 14,
};
/// 2,880 windows a pair of kinds, 7,200 of who called, 2,400 ends.
const LONG: Plan = Plan {
    batches: 30,
    calls: 40,
    cycles: 3,
    seed: 14,
};
/// Batches of four calls of real phones: 240 windows a pair of kinds.
const PHONE_BATCHES: usize = 40;
/// The largest share of windows that the learner may get right in the short form, where lot is right in one half. A pair has 96 windows
/// of 24 calls: lot exceeds this by three standard deviations even if all windows of a call are alike, else by five.
const BOUND: f64 = 0.8;

/// The calls of the short form are made once for its tests. The recordings stay below the target folder.
static RECORDED: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| recorded("short", |folder| record(&SHORT, folder)));

#[test]
fn an_observer_of_the_turn_leg_tells_no_kind_of_call_from_another() {
    let Some(folder) = RECORDED.as_deref() else {
        return;
    };
    for pair in learn(folder, &[]).iter().filter(|pair| is_hidden(pair)) {
        assert!(accuracy(pair) < BOUND, "{pair}");
    }
}

/// Without this the test above could pass because the learner is blind.
#[test]
fn a_byte_more_in_one_packet_of_each_window_of_a_kind_is_found() {
    let Some(folder) = RECORDED.as_deref() else {
        return;
    };
    let pairs = learn(folder, &["--plant"]);
    assert!(pairs.iter().all(|pair| accuracy(pair) > BOUND), "{pairs:?}");
}

#[test]
#[ignore = "takes forty minutes: tests/run --classifier"]
fn every_kind_of_call_looks_like_any_other_to_the_turn_server() {
    let Some(folder) = recorded("long", |folder| record(&LONG, folder)) else {
        return;
    };
    judge(&folder, &[]);
}

/// The pace of a real phone may tell its model; sizes and headers may not.
#[test]
#[ignore = "takes an hour: tests/run --classifier"]
fn every_kind_of_call_of_linphone_and_baresip_has_the_same_sizes_and_headers() {
    if !PhoneModel::installed(&[PhoneModel::Linphone, PhoneModel::Baresip]) {
        return;
    }
    let Some(folder) = recorded("phones", |folder| record_phones(PHONE_BATCHES, folder)) else {
        return;
    };
    judge(&folder, &["--no-times"]);
}

/// Whether engines hide it. They do not hide who called in the first moments of a call: the callee's packets come first, with its answer.
fn is_hidden(pair: &Value) -> bool {
    pair["pair"] != "caller / callee, begin"
}

/// Writes what the learner found beside the recordings. No pair may be told apart; of so many intervals one or two miss chance by luck,
/// so the learner says which pair is, for all of them together.
fn judge(folder: &Path, options: &[&str]) {
    let pairs = learn(folder, options);
    let written = fs::write(
        folder.join("pairs.json"),
        Value::from(pairs.clone()).to_string(),
    );
    written.expect("the target folder is ours");
    for pair in pairs.iter().filter(|pair| is_hidden(pair)) {
        assert_eq!(pair["isToldApart"], false, "{pair}");
    }
}

/// Makes the calls, and returns the folder with what was recorded; `None` if a program is missing.
fn recorded(form: &str, record: impl FnOnce(&Path)) -> Option<PathBuf> {
    if !installed(&["setpriv", "turnserver"]) {
        return None;
    }
    let has_learner = Command::new(from_pypi("python"))
        .args(["-c", "import sklearn"])
        .status();
    if !NostrRelay::path().is_file() || !has_learner.is_ok_and(|status| status.success()) {
        skipped("the relay and the learner from PyPI are not in the target folder");
        return None;
    }
    let folder = target_folder().join("classifier").join(form);
    fs::create_dir_all(&folder).expect("the target folder is ours");
    // The learner can be run again on what a former run recorded.
    if env::var_os("RINGFENCE_CLASSIFY_AGAIN").is_none() {
        record(&folder);
    }
    Some(folder)
}

/// What the learner makes of each pair. Its table goes to standard error, which a test shows when it fails.
fn learn(folder: &Path, options: &[&str]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier/learn.py");
    // -B: Python must not write bytecode beside the script.
    let mut command = Command::new(from_pypi("python"));
    command.arg("-B").arg(script).arg(folder);
    command.args(options);
    let output = command.output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the learner failed:\n{said}");
    show(&said);
    let pairs: Vec<Value> =
        serde_json::from_slice(&output.stdout).expect("the learner prints JSON");
    assert!(!pairs.is_empty(), "{said}");
    pairs
}

#[expect(
    clippy::print_stderr,
    reason = "the table belongs to a failed test's report"
)]
fn show(table: &str) {
    eprintln!("{table}");
}

/// The better of the learners.
fn accuracy(pair: &Value) -> f64 {
    pair["accuracy"].as_f64().expect("each pair has a share")
}
