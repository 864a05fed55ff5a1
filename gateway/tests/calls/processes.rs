//! `ringfence run` as a process of its own: how it ends, and what it logs when it starts at the worst of moments.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence::net::book::BookCopy;
use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, Utf8Bytes};

use crate::log::{leaks, secrets};
use crate::program::{Program, settings, settings_with};
use crate::servers::{ANY_PORT, SOON, Servers, StoredEngine, call, is_over, plug_in, sees};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_in_a_call_hangs_up_both_phones_and_ends_the_process_within_three_seconds() {
    for signal in ["-INT", "-TERM"] {
        let servers = Servers::build().await;
        let [a, b] = servers.stored_engines().await;
        let number = b.line.number.to_string();
        // Their key stores are locked: the programs want them.
        let lines = [a, b].map(|StoredEngine { config, line, .. }| (config.state, line));
        let [(state_a, line_a), (state_b, line_b)] = lines;
        let (mut program_a, program_b) =
            (Program::start(&state_a, &[]), Program::start(&state_b, &[]));
        let mut phone_a = program_a.phone(&line_a, 0).await;
        let mut phone_b = program_b.phone(&line_b, 1).await;
        call(&mut phone_a, &mut phone_b, &number).await;
        let (status, took) = program_a.end(signal).await;
        assert_eq!(status, Some(0));
        assert!(took < Duration::from_secs(3), "{took:?}");
        sees(&mut phone_a, is_over).await;
        sees(&mut phone_b, is_over).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_any_server_is_logged_without_names() {
    let servers = Servers::build().await;
    let [mut stored, _] = servers.stored_engines().await;
    let mut copy = BookCopy::open(&stored.config.state, servers.book.book_key()).unwrap();
    copy.refresh(&stored.client).await.unwrap();
    stored.line.ring_key_due = Some(0);
    stored.store.save(&stored.line).unwrap();
    let (state, secrets) = (stored.config.state.clone(), secrets(&stored));
    drop(stored);
    let turn = format!("turn:{}?transport=tcp", servers.turn.local_addr());
    servers.relay.stop();
    servers.book.stop().await;
    servers.turn.stop().await;
    let mut program = Program::start(&state, &[turn]);
    let told = [
        "the ring key of a line could not be renewed: the phone book cannot be reached",
        "TURN server 1 of 1 cannot be reached",
        "calls will have no sound",
        "the phone book was not downloaded",
        "no Nostr relay can be reached",
    ];
    let log = Program::writes(&program.log, &told).await;
    assert_eq!(leaks(&log, &secrets), Vec::<String>::new(), "{log}");
    assert_eq!(program.end("-INT").await.0, Some(0));
}

/// Sends each client what a log must not quote, in every form that a message can have, then closes.
fn junk_relay() -> String {
    let listener = std::net::TcpListener::bind(ANY_PORT).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let Ok(mut client) = tungstenite::accept(stream) else {
                continue;
            };
            let id = "00".repeat(32);
            for text in [
                CANARY.to_owned(),
                json!(["NOTICE", CANARY]).to_string(),
                json!(["AUTH", CANARY]).to_string(),
                json!(["OK", id, false, CANARY]).to_string(),
                json!(["CLOSED", CANARY, CANARY]).to_string(),
                json!(["EVENT", CANARY, {"id": CANARY, "content": CANARY}]).to_string(),
                json!([CANARY]).to_string(),
            ] {
                drop(client.send(Message::text(text)));
            }
            drop(client.send(Message::binary(CANARY.as_bytes().to_vec())));
            drop(client.send(Message::Ping(CANARY.as_bytes().to_vec().into())));
            let reason = Utf8Bytes::from_static(CANARY);
            let code = CloseCode::Normal;
            drop(client.close(Some(CloseFrame { code, reason })));
            while client.read().is_ok() {}
        }
    });
    url
}

/// A word that no log has by itself.
const CANARY: &str = "c4nary5f00d";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_sends_junk_is_quoted_in_no_log_not_even_in_one_that_hears_everything() {
    let servers = Servers::build().await;
    let [stored, _] = servers.stored_engines().await;
    let state = stored.config.state.clone();
    drop(stored);
    let url = junk_relay();
    let first = format!("relays = [{url:?}]\nlog = \"trace\"");
    let turn = format!("turn:{}?transport=tcp", servers.turn.local_addr());
    let mut program = Program::start_with(&state, &settings(&first, &[turn]), |_| {});
    Program::writes(&program.log, &["no connection to a relay", "Nostr relay"]).await;
    assert_eq!(program.end("-INT").await.0, Some(0));
    let log = std::fs::read_to_string(&program.log).unwrap();
    assert!(log.contains("TRACE"), "the filter hears nothing");
    for named in [CANARY, &url[5..]] {
        let quoted: Vec<_> = log.lines().filter(|line| line.contains(named)).collect();
        assert!(quoted.is_empty(), "{named}: {quoted:#?}");
    }
}

/// What a command beside the program prints.
fn beside(state: &Path, command: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(command)
        .args(["--json", "--state"])
        .arg(state)
        .env_remove("RINGFENCE_PASSPHRASE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until there is a contact.
async fn contact(state: &Path) -> Value {
    let start = Instant::now();
    loop {
        let contacts = beside(state, &["contacts"]);
        if let Some(contact) = contacts.get(0) {
            return contact.clone();
        }
        assert!(start.elapsed() < SOON, "no contact was pinned");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_call_with_the_books_logins_both_sides_have_a_contact_and_one_safety_number() {
    let servers = Servers::build().await;
    let [stored_a, stored_b] = servers.stored_engines().await;
    let (line_a, line_b) = (stored_a.line.clone(), stored_b.line.clone());
    let [state_a, state_b] = [stored_a, stored_b].map(|stored| stored.config.state);
    let by_the_book = settings_with("", &[], "");
    let program_a = Program::start_with(&state_a, &by_the_book, |_| {});
    let program_b = Program::start_with(&state_b, &by_the_book, |_| {});
    for program in [&program_a, &program_b] {
        Program::writes(
            &program.log,
            &[
                "listening for rings",
                "the TURN server gives relayed addresses",
            ],
        )
        .await;
    }
    let mut phone_a = plug_in(&line_a, program_a.udp().await, 0).await;
    let mut phone_b = plug_in(&line_b, program_b.udp().await, 1).await;
    for phone in [&mut phone_a, &mut phone_b] {
        sees(phone, |event| {
            *event == ringfence::softphone::PhoneEvent::Registered
        })
        .await;
    }
    call(&mut phone_a, &mut phone_b, &line_b.number.to_string()).await;
    for (state, other) in [(&state_a, &line_b), (&state_b, &line_a)] {
        let contact = contact(state).await;
        assert_eq!(contact["number"], other.number);
        assert_eq!(
            (&contact["verified"], &contact["changed"]),
            (&false.into(), &Value::Null)
        );
    }
    let (of_a, of_b) = (line_a.number.to_string(), line_b.number.to_string());
    let a = beside(&state_a, &["contacts", "verify", &of_b]);
    let b = beside(&state_b, &["contacts", "verify", &of_a]);
    let digits = |shown: &Value| shown["safety_numbers"][0]["safety_number"].clone();
    assert_eq!(digits(&a), digits(&b));
    assert_eq!(digits(&a).as_str().unwrap().len(), 60);
    beside(&state_a, &["contacts", "verify", &of_b, "--yes"]);
    let named = beside(&state_a, &["contacts", "name", &of_b, "Bob"]);
    assert_eq!(
        (&named[0]["name"], &named[0]["verified"]),
        (&"Bob".into(), &true.into())
    );
    assert_eq!(beside(&state_a, &["evidence"]), Value::Array(Vec::new()));
}
