//! `ringfence doctor` on a machine that is well, beside a running engine, and on machines that are not.

use serde_json::Value;

use crate::shell::{Engine, Servers, Shell, answer, phone, settled};

/// What the doctor finds, by area.
fn examined(shell: &Shell, more: &[&str], status: i32) -> Vec<(String, String, String)> {
    let typed = [&["doctor", "--json"], more].concat();
    let output = shell.run(&typed);
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{printed}{errors}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value["ok"], status == 0);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = value["findings"].as_array().unwrap().iter();
    rows.map(|row| {
        let says = format!("{} {}", text(&row["says"]), text(&row["remedy"]));
        (text(&row["area"]), text(&row["verdict"]), says)
    })
    .collect()
}

fn find<'a>(rows: &'a [(String, String, String)], area: &str) -> (&'a str, &'a str) {
    let row = rows.iter().find(|(found, _, _)| found.starts_with(area));
    let (_, verdict, says) = row.unwrap_or_else(|| panic!("no {area} in {rows:?}"));
    (verdict, says)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_well_is_found_well_and_the_promise_is_proved_beside_a_running_engine() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let mut engine = Engine::start(&shell);
    let rows = examined(&shell, &["--no-call"], 1);
    let (verdict, says) = find(&rows, "engine: no_phone");
    assert!(
        verdict == "fail" && says.contains("no call can be made"),
        "{says}"
    );
    let _phone = phone(&shell).await;
    let rows = examined(&shell, &[], 0);
    for area in [
        "phones of line 2",
        "settings",
        "key store",
        "disk",
        "engine",
        "ports for phones",
        "phone book",
        "line 2",
        "clock (phone book)",
        "relay ws://",
        "TURN turn:",
        "call to itself",
        "promise: relayed only",
        "promise: no look-up",
        "promise: the system's word",
    ] {
        assert_eq!(find(&rows, area).0, "ok", "{area}: {rows:#?}");
    }
    assert!(
        find(&rows, "ports")
            .1
            .contains("the running engine has them")
    );
    assert!(engine.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_away_are_named_with_what_to_do() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    servers.relay.stop();
    servers.turn.stop().await;
    let rows = examined(&shell, &["--no-call"], 1);
    let (verdict, says) = find(&rows, "relay ws://");
    assert!(
        verdict == "fail" && says.contains("cannot be reached"),
        "{says}"
    );
    let (verdict, says) = find(&rows, "TURN turn:");
    assert!(
        verdict == "fail" && says.contains("that the server runs"),
        "{says}"
    );
    servers.book.stop().await;
    let rows = examined(&shell, &["--no-call"], 1);
    assert_eq!(find(&rows, "phone book").0, "fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_others_can_read_and_a_home_without_a_line_are_failures() {
    use std::os::unix::fs::PermissionsExt;
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let lines = shell.path(".local/share/ringfence/lines");
    std::fs::set_permissions(&lines, PermissionsExt::from_mode(0o755)).unwrap();
    let rows = examined(&shell, &["--no-call"], 1);
    assert!(find(&rows, "key store").1.contains("chmod go-rwx"));
    let empty = Shell::open();
    let output = empty.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("fail  key store") && text.contains("ringfence setup"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_restored_gets_new_ring_keys_and_its_line_back() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let file = shell.path("backup");
    let typed = ["backup", file.to_str().unwrap()];
    let sealed = |typed: &[&str]| {
        let mut command = shell.command(typed);
        let output = command
            .env("RINGFENCE_BACKUP_PASSPHRASE", "sesame")
            .output()
            .unwrap();
        answer(typed, &output)
    };
    sealed(&typed);
    let state = shell.path(".local/share/ringfence");
    // Twice: the book lists ring keys that this backup does not have.
    for _ in 0..2 {
        sealed(&["restore", file.to_str().unwrap(), "--replace"]);
        assert!(state.join("restored").exists());
        drop(Engine::start(&shell));
        assert!(!state.join("restored").exists());
        servers.book.close_epoch_now().await.unwrap();
        servers.book.close_epoch_now().await.unwrap();
    }
    let rows = examined(&shell, &["--no-call"], 0);
    assert_eq!(find(&rows, "line 2").0, "ok", "{rows:#?}");
    sealed(&["restore", file.to_str().unwrap(), "--replace"]);
    let rows = examined(&shell, &["--no-call"], 0);
    let (verdict, says) = find(&rows, "line 2");
    assert!(verdict == "warn" && says.contains("ring key"), "{says}");
}
