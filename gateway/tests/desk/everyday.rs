//! Commands beside a running engine, and without one: status, lines, contacts; and what a start says when it cannot be.

use ringfence::state::keystore::Keystore;
use ringfence_book::root::ROOT_BYTES;
use ringfence_book::{Number, Root};
use ringfence_engine::line::saved_state::{CallWay, PastCall, SavedState};
use ringfence_engine::time::UnixTime;
use ringfence_sip::client::PhoneEvent;
use serde_json::Value;

use crate::shell::{Engine, Servers, Shell, answer, phone, phone_of, settled};

fn json(shell: &Shell, typed: &[&str]) -> Value {
    serde_json::from_str(&shell.done(typed)).unwrap()
}

fn number(shell: &Shell) -> String {
    json(shell, &["lines", "--json"])[0]["number"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_by_its_exit_whether_an_engine_is_well_ill_or_not_there() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let told = shell.fails(&["status"], 3);
    assert!(
        told.contains("no engine runs") && told.contains("ringfence run"),
        "{told}"
    );
    let engine = Engine::start(&shell);
    let vacant = shell.run(&["status"]);
    assert_eq!(vacant.status.code(), Some(1), "no call can be made");
    let text = String::from_utf8(vacant.stdout).unwrap();
    for words in [
        "engine      UNHEALTHY",
        "no phone is registered",
        "No phone is registered: no call can be made",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let _phone = phone(&shell).await;
    let status = json(&shell, &["status", "--json"]);
    assert_eq!(status["ok"], true, "{status}");
    let text = shell.done(&["status"]);
    for words in ["engine      healthy", "1 of 1 deliver rings", "over UDP"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    servers.relay.stop();
    let mut ill = shell.run(&["status", "--json"]);
    for _ in 0..100 {
        if ill.status.code() == Some(1) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        ill = shell.run(&["status", "--json"]);
    }
    assert_eq!(ill.status.code(), Some(1));
    let status: Value = serde_json::from_slice(&ill.stdout).unwrap();
    assert_eq!(status["warnings"][0]["grave"], true);
    assert_eq!(status["warnings"][0]["kind"], "no_relay");
    assert!(status["warnings"][0]["since"].as_u64() > Some(1_700_000_000));
    drop(engine);
    shell.fails(&["status", "--json"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_blocked_with_and_without_a_running_engine() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    shell.done(&["contacts", "block", "20100"]);
    assert!(shell.done(&["contacts"]).contains("blocked    20100"));
    let blocked = || json(&shell, &["status", "--json"])["lines"][0]["blocked"].clone();
    {
        let _engine = Engine::start(&shell);
        let _phone = phone(&shell).await;
        assert_eq!(blocked(), serde_json::json!([20_100]));
        shell.done(&["contacts", "unblock", "20100"]);
        shell.done(&["contacts", "block", "20101", "--line", &number(&shell)]);
        assert_eq!(blocked(), serde_json::json!([20_101]));
    }
    let text = shell.done(&["contacts"]);
    assert!(
        text.contains("blocked    20101") && !text.contains("20100"),
        "{text}"
    );
    let told = shell.fails(&["contacts", "block", "20101", "--line", "20999"], 2);
    assert!(told.contains("ringfence lines"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_added_before_it_is_called_and_a_running_engine_knows_it() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let told = shell.fails(&["contacts", "add", "20100"], 1);
    assert!(told.contains("start the engine once"), "{told}");
    let _engine = Engine::start(&shell);
    let _phone = phone(&shell).await;
    let added = json(
        &shell,
        &["contacts", "add", "20100", "--name", "Bob", "--json"],
    );
    assert_eq!(
        (&added[0]["name"], &added[0]["verified"]),
        (&"Bob".into(), &false.into())
    );
    assert_eq!(added[0]["identity"].as_str().unwrap().len(), 64);
    assert!(
        shell
            .fails(&["contacts", "add", "20100"], 2)
            .contains("a contact already")
    );
    assert!(
        shell
            .fails(&["contacts", "add", "19999"], 2)
            .contains("check the number")
    );
    let mut known = 0;
    for _ in 0..100 {
        known = json(&shell, &["status", "--json"])["contacts"]
            .as_u64()
            .unwrap();
        if known == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(known, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_engine_gives_the_link_that_sets_a_phone_up() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let picture = shell.done(&["lines", "--qr"]);
    assert!(
        picture.contains("\nsip:") && picture.contains('\u{2588}'),
        "{picture}"
    );
    let _engine = Engine::start(&shell);
    let picture = shell.done(&["lines", "--qr"]);
    assert!(
        picture.contains("http://127.0.0.1:") && picture.contains('\u{2588}'),
        "{picture}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_be_is_one_line_and_nothing_is_lost() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let port = json(&shell, &["lines", "--json"])[0]["udp"].to_string();
    let place = format!("127.0.0.1:{port}");
    #[expect(clippy::disallowed_methods, reason = "a socket of another program")]
    let other = std::net::UdpSocket::bind(&place).unwrap();
    let told = shell.fails(&["run"], 1);
    assert!(
        told.contains(&place) && told.contains("another program"),
        "{told}"
    );
    drop(other);
    let _engine = Engine::start(&shell);
    let (url, code) = (servers.book.url(), servers.code().await);
    for typed in [
        vec!["run"],
        vec!["activate", "--phonebook", &url, "--code", &code],
    ] {
        let told = shell.fails(&typed, 1);
        assert!(
            told.contains("another ringfence is using") && told.contains("stop it first"),
            "{told}"
        );
    }
    let another = shell.fails(&["setup", "--phonebook", &url, "--code", &code], 1);
    assert!(
        another.contains("takes no other line while it runs")
            && another.contains("systemctl --user stop ringfence"),
        "{another}"
    );
    let elsewhere = shell.path("elsewhere");
    let unknown = servers.unknown_code();
    for (code, words) in [
        (
            unknown.as_str(),
            ["refused the activation code", "a code works once"],
        ),
        (
            "K50T-V99H-4BZP-EFG8-R8RS-0PME-4KDE",
            ["of another phone book", "The code was not sent"],
        ),
    ] {
        let typed = ["activate", "--phonebook", &url, "--code", code, "--state"];
        let told = shell.fails(&[&typed[..], &[elsewhere.to_str().unwrap()]].concat(), 1);
        assert!(words.iter().all(|words| told.contains(words)), "{told}");
    }
    // The code of the refused commands is still good.
    let state = [
        "activate",
        "--phonebook",
        &url,
        "--code",
        &code,
        "--json",
        "--state",
    ];
    let line = json(
        &shell,
        &[&state[..], &[elsewhere.to_str().unwrap()]].concat(),
    );
    assert!(line["password"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_from_the_shell_rings_the_own_phone_or_says_why_not() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let own = number(&shell);
    let other = if own == "20000" { "20001" } else { "20000" };
    let told = shell.fails(&["call", other], 3);
    assert!(told.contains("ringfence run"), "{told}");
    let _engine = Engine::start(&shell);
    for (typed, status, words) in [
        (
            vec!["call", other],
            1,
            ["no phone is registered", "set a phone up"],
        ),
        (vec!["call", "7"], 1, ["no such number", "check the number"]),
        (
            vec!["call", "112"],
            1,
            ["an emergency number", "use another phone"],
        ),
        (
            vec!["call", other, "--line", "20999"],
            2,
            ["no line of this", "ringfence lines"],
        ),
    ] {
        let told = shell.fails(&typed, status);
        assert!(words.iter().all(|words| told.contains(words)), "{told}");
    }
    let mut phone = phone(&shell).await;
    let told = shell.done(&["call", other, "--line", &own]);
    assert!(
        told.contains(&format!("line {own} ring")) && told.contains(other),
        "{told}"
    );
    loop {
        if let PhoneEvent::Incoming { from, .. } = phone.event().await.unwrap().1 {
            assert_eq!(from, other);
            break;
        }
    }
    let told = json(&shell, &["call", other, "--json"]);
    assert_eq!(told["number"].to_string(), other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_hears_that_its_star_code_was_carried_out() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let _engine = Engine::start(&shell);
    let mut phone = phone_of(&shell, 0, (1_000.0, 440.0)).await;
    phone.dial("*78").await;
    let mut was_answered = false;
    loop {
        match phone.event().await.unwrap().1 {
            PhoneEvent::Answered { .. } => was_answered = true,
            PhoneEvent::HungUp => break,
            PhoneEvent::Refused { status, .. } => panic!("{status}"),
            _ => {}
        }
    }
    let heard = phone.heard();
    assert!(was_answered);
    // Two beeps of 160 ms, with 100 ms between them.
    assert_eq!(heard.tone.as_millis(), 320, "{heard:?}");
    assert!(heard.longest_gap.as_millis() >= 60, "{heard:?}");
    let status = json(&shell, &["status", "--json"]);
    assert_eq!(status["lines"][0]["do_not_disturb"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roots_that_an_engine_has_seen_are_written_for_an_operator_who_lost_them() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let file = shell.path("roots");
    let typed = ["roots", file.to_str().unwrap()];
    let told = shell.fails(&typed, 1);
    assert!(told.contains("start the engine once"), "{told}");
    let _engine = Engine::start(&shell);
    let _phone = phone(&shell).await;
    let told = shell.done(&typed);
    assert!(told.contains("ringfence-phonebook resume"), "{told}");
    let bytes = std::fs::read(&file).unwrap();
    let (roots, rest) = bytes.as_chunks::<ROOT_BYTES>();
    assert!(rest.is_empty());
    let newest = Root::decode(roots.last().unwrap(), &servers.book.book_key()).unwrap();
    assert!(told.contains(&format!("epoch {},", newest.states().epoch)));
}

#[test]
fn calls_are_listed_in_the_time_of_this_machine_and_with_names() {
    let shell = Shell::open();
    let state = shell.path("keys");
    let (own, bob) = (Number::new(20_001), Number::new(20_002));
    let store = Keystore::open(&state, None).unwrap();
    let mut saved = SavedState::default();
    saved.calls.push_back(PastCall {
        line: own,
        number: bob,
        way: CallWay::In,
        began: UnixTime::from_seconds(1_795_000_000),
        talked: None,
        is_new: true,
        is_stranger: false,
        quality: None,
    });
    store.saved_state().write(&saved).unwrap();
    drop(store);
    let folder = state.to_str().unwrap();
    let listed = |zone: &str| {
        let typed = ["calls", "--state", folder];
        let output = shell.command(&typed).env("TZ", zone).output().unwrap();
        answer(&typed, &output)
    };
    assert!(listed("UTC").starts_with("2026-11-18 11:06  20001 <- 20002"));
    assert!(listed("Asia/Tokyo").starts_with("2026-11-18 20:06  20001 <- 20002"));
    let json = shell.done(&["calls", "--state", folder, "--json"]);
    assert!(json.contains("2026-11-18T11:06:40Z"), "{json}");
}
