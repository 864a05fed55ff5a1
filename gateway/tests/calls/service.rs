//! `ringfence run` as its operator's tools see it: the service manager, a monitor, a program that reads its log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use prometheus_parse::{Scrape, Value};
use serde_json::Value as Json;

use crate::log::{leaks, secrets};
use crate::program::{Program, settings};
use crate::servers::{SOON, Servers, StoredEngine, call, is_over, sees};

/// The state folder of an engine, unlocked, with its line and the texts that must not be in its log.
fn unlocked(
    stored: StoredEngine,
) -> (
    std::path::PathBuf,
    ringfence::state::keystore::LineFile,
    Vec<String>,
) {
    let secrets = secrets(&stored);
    (stored.config.state.to_path_buf(), stored.line, secrets)
}

/// A socket as systemd opens it for its services.
fn manager(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(2 * SOON)).unwrap();
    socket
}

fn hear(manager: &UnixDatagram) -> String {
    let mut word = [0; 512];
    let length = manager.recv(&mut word).unwrap();
    String::from_utf8(word[..length].to_vec()).unwrap()
}

/// Waits for a word that begins like this; what is heard of the status before it is passed over.
fn hear_until(manager: &UnixDatagram, beginning: &str) -> String {
    for _ in 0..1_000 {
        let word = hear(manager);
        if word.starts_with(beginning) {
            return word;
        }
    }
    panic!("{beginning} was never said")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_of_start_life_reload_and_end() {
    let servers = Servers::build().await;
    let [stored, _] = servers.stored_engines().await;
    let (state, _, told) = unlocked(stored);
    let path = state.with_extension("notify");
    let manager = manager(&path);
    let mut program = Program::start_with(&state, &settings("", &[]), |command| {
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "2000000");
    });
    let ready = hear(&manager);
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    program.udp().await;
    for _ in 0..2 {
        let alive = hear_until(&manager, "WATCHDOG=1\n");
        assert!(
            alive.contains("STATUS=0 registered phones, 0 calls, "),
            "{alive}"
        );
        assert_eq!(leaks(&alive, &told), Vec::<String>::new());
    }
    program.signal("-HUP");
    let reloading = hear_until(&manager, "RELOADING=1\n");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    hear_until(&manager, "READY=1\n");
    assert_eq!(program.end("-TERM").await.0, Some(0));
    hear_until(&manager, "STOPPING=1\n");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a monitor's connection, not the gateway's"
)]
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// A figure of a sheet; labels are written `name{label="word"}`.
pub(crate) fn figure(text: &str, name: &str) -> f64 {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = Scrape::parse(lines).unwrap();
    let (name, label) = match name.split_once('{') {
        Some((name, label)) => (name, label.trim_end_matches("\"}").split_once("=\"")),
        None => (name, None),
    };
    let mut samples = scrape.samples.iter();
    let sample = samples.find(|sample| {
        sample.metric == name
            && label.is_none_or(|(key, word)| sample.labels.get(key) == Some(word))
    });
    match sample.map(|sample| &sample.value) {
        Some(Value::Counter(value) | Value::Gauge(value)) => *value,
        Some(Value::Histogram(buckets)) => buckets.last().unwrap().count,
        other => panic!("{name} is {other:?} in {text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_a_call_contain_no_name() {
    let servers = Servers::build().await;
    let [stored_a, stored_b] = servers.stored_engines().await;
    let number = stored_b.line.number.to_string();
    let ((state_a, line_a, mut told), (state_b, line_b, told_b)) =
        (unlocked(stored_a), unlocked(stored_b));
    told.extend(told_b);
    let monitored = settings("", &[]) + "[metrics]\nlisten = \"127.0.0.1:0\"\n";
    let a = Program::start_with(&state_a, &monitored, |_| {});
    let b = Program::start(&state_b, &[]);
    let (mut phone_a, mut phone_b) = (a.phone(&line_a, 0).await, b.phone(&line_b, 1).await);
    let printed = Program::writes(&a.out, &["for monitors: http://"]).await;
    let address = printed.trim().rsplit("http://").next().unwrap().to_owned();
    assert_eq!(get(&address, "/health"), (200, "ok\n".to_owned()));
    call(&mut phone_a, &mut phone_b, &number).await;
    let (status, text) = get(&address, "/metrics");
    assert_eq!(status, 200);
    for (name, value) in [
        ("ringfence_lines", 1.0),
        ("ringfence_phones_registered", 1.0),
        ("ringfence_calls{state=\"talking\"}", 1.0),
        ("ringfence_calls{state=\"ringing\"}", 0.0),
        ("ringfence_relays{state=\"listening\"}", 1.0),
        ("ringfence_calls_over_total", 0.0),
        ("ringfence_calls_ended_total{reason=\"hung_up_here\"}", 0.0),
        ("ringfence_conditions{kind=\"no_relay\"}", 0.0),
        ("ringfence_healthy", 1.0),
    ] {
        assert_eq!(figure(&text, name), value, "{name} in {text}");
    }
    assert!(
        figure(&text, "ringfence_envelopes_received_total") >= 1.0,
        "{text}"
    );
    phone_a.hang_up().await;
    sees(&mut phone_b, is_over).await;
    let mut text = String::new();
    for _ in 0..500 {
        text = get(&address, "/metrics").1;
        if figure(&text, "ringfence_calls_over_total") > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        figure(
            &text,
            "ringfence_calls_ended_total{reason=\"hung_up_here\"}"
        ),
        1.0,
        "{text}"
    );
    let log = Program::writes(&a.log, &["a call ended: hung up here"]).await;
    assert_eq!(leaks(&log, &told), Vec::<String>::new(), "{log}");
    for way in ["from_phone", "to_phone"] {
        let packets = figure(&text, &format!("ringfence_packets_total{{way=\"{way}\"}}"));
        assert!(packets >= 10.0, "{text}");
        assert_eq!(
            figure(&text, &format!("ringfence_jitter_{way}_seconds")),
            1.0,
            "{text}"
        );
    }
    assert_eq!(leaks(&text, &told), Vec::<String>::new(), "{text}");
    servers.relay.stop();
    let mut last = (0, String::new());
    // Of the relay's two connections, one is lost before the other.
    for _ in 0..500 {
        last = get(&address, "/health");
        if last.0 == 503 && last.1.starts_with("No Nostr relay can be reached") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an engine that cannot be rung reports: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_json_is_one_object_a_line_and_the_journal_adds_the_time() {
    let servers = Servers::build().await;
    for journal in [false, true] {
        let [stored, _] = servers.stored_engines().await;
        let (state, _, told) = unlocked(stored);
        let log = state.with_extension("log");
        // The program's log goes to this very file.
        let file = std::fs::File::create(&log).unwrap().metadata().unwrap();
        let stream = format!("{}:{}", file.dev(), file.ino());
        let json = settings("log_format = \"json\"", &[]);
        let program = Program::start_with(&state, &json, |command| {
            if journal {
                command.env("JOURNAL_STREAM", stream);
            }
        });
        let text = Program::writes(&program.log, &["listening for rings"]).await;
        for line in text.lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            assert!(
                line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
            assert_eq!(line["timestamp"].is_null(), journal, "{line}");
        }
        assert_eq!(leaks(&text, &told), Vec::<String>::new(), "{text}");
    }
}
