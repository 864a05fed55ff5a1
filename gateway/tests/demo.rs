//! The demo as a program uses it: one real call through real sockets on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::{Arc, Mutex};

use ringfence::demo::{self, DemoOptions};
use ringfence::selfcall::StackOptions;
use serde_json::Value;

async fn run(options: DemoOptions, stop: impl Future<Output = ()>) -> (bool, Vec<Value>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&said);
    let held = demo::run(&options, stop, move |text| {
        hear.lock().unwrap().push(text.to_owned())
    })
    .await
    .unwrap();
    let lines = said
        .lock()
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (held, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_built_in_phones_call_each_other_and_hear_each_other() {
    let options = DemoOptions {
        once: true,
        json: true,
        ..DemoOptions::default()
    };
    let (held, lines) = run(options, std::future::pending()).await;
    let [stack, outcome] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    let result = &outcome["result"];
    assert!(held && result["ok"] == true, "{result}");
    assert_eq!(stack["lines"].as_array().unwrap().len(), 2);
    assert_ne!(stack["lines"][0]["number"], stack["lines"][1]["number"]);
    assert_eq!(
        result["candidate_types"],
        serde_json::json!(["relay", "relay"])
    );
    assert!(result["answer_to_audio_ms"].as_f64().unwrap() > 0.0);
}

/// IPv6 on every leg: phones, phone book, relay, and TURN with relayed addresses of IPv6 (RFC 8656 section 7.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_ipv4_anywhere() {
    let options = DemoOptions {
        once: true,
        json: true,
        stack: StackOptions {
            is_ipv6: true,
            ..StackOptions::default()
        },
        ..DemoOptions::default()
    };
    let (held, lines) = run(options, std::future::pending()).await;
    let [stack, outcome] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(!stack.to_string().contains("127.0.0.1"), "{stack}");
    let result = &outcome["result"];
    assert!(held && result["ok"] == true, "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_relay_that_is_away_is_named_as_the_failure() {
    let stack = StackOptions {
        relay: Some("ws://127.0.0.1:9".to_owned()),
        ..StackOptions::default()
    };
    let options = DemoOptions {
        once: true,
        json: true,
        stack,
        ..DemoOptions::default()
    };
    let (held, lines) = run(options, std::future::pending()).await;
    assert!(!held);
    let error = lines[1]["result"]["error"].as_str().unwrap();
    assert!(error.contains("relay"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_call_everything_starts_and_stops() {
    let options = DemoOptions {
        no_call: true,
        json: true,
        ..DemoOptions::default()
    };
    let (held, lines) = run(options, std::future::ready(())).await;
    assert!(held);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0]["phonebook"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
}
