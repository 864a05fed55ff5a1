//! `ringfence run` reads its settings again while people talk: they go on, and the next call uses what is new.

use std::time::Duration;

use ringfence::selfcall::phone::TonePhone;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::EmbeddedRelay;
use ringfence_box::turn::service::EmbeddedTurn;

use crate::log::{leaks, secrets};
use crate::program::{Program, settings};
use crate::servers::{
    ANY_PORT, Servers, StoredEngine, TURN_SECRET, call, hears, is_over, is_ringing, refused, sees,
};

/// The longest silence that a person may have heard. Far above a packet's 20 ms, far below a call that was set up again.
const UNNOTICED: Duration = Duration::from_millis(500);

async fn go_on(phones: [&TonePhone; 2]) {
    for phone in phones {
        hears(phone, Duration::from_millis(500)).await;
        let gap = phone.heard().longest_gap;
        assert!(gap < UNNOTICED, "{gap:?}");
    }
}

/// Two processes of engines, and the texts that must not be in their logs.
async fn programs(servers: &Servers) -> ([Program; 2], [StoredEngine; 2], Vec<String>) {
    let mut stored = servers.stored_engines().await;
    let mut told = Vec::new();
    let programs = stored.each_mut().map(|stored| {
        told.extend(secrets(stored));
        let state = stored.config.state.clone();
        // The program wants the lock of the key store.
        stored.store =
            ringfence::state::keystore::Keystore::open(&state.with_extension("aside"), None)
                .unwrap();
        Program::start(&state, &[])
    });
    (programs, stored, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_while_relays_and_turn_servers_are_replaced_and_the_next_call_uses_the_new_ones()
 {
    let servers = Servers::build().await;
    let (programs, stored, told) = programs(&servers).await;
    let [mut a, mut b] = [
        programs[0].phone(&stored[0].line, 0).await,
        programs[1].phone(&stored[1].line, 1).await,
    ];
    let number = stored[1].line.number.to_string();
    call(&mut a, &mut b, &number).await;
    let relay = EmbeddedRelay::start(ANY_PORT).await.unwrap();
    let secret = TurnSecret::new(TURN_SECRET.to_owned());
    let turn = EmbeddedTurn::start(ANY_PORT, secret, true).await.unwrap();
    let first = format!("no_answer_seconds = 5\nrelays = [{:?}]\n", relay.url());
    let new = settings(&first, &[format!("turn:{}", turn.local_addr())]);
    for program in &programs {
        program.write(&new);
        program.signal("-HUP");
        Program::writes(&program.log, &["the settings were read again"]).await;
    }
    go_on([&a, &b]).await;
    b.hang_up().await;
    sees(&mut a, is_over).await;
    sees(&mut b, is_over).await;
    // Of the old ones nothing is needed any more.
    servers.relay.stop();
    servers.turn.stop().await;
    call(&mut a, &mut b, &number).await;
    a.hang_up().await;
    sees(&mut a, is_over).await;
    sees(&mut b, is_over).await;
    // The default is half a minute; this patience is shorter.
    a.dial(&number).await;
    sees(&mut b, is_ringing).await;
    assert_eq!(refused(&mut a).await, 480);
    for program in &programs {
        let log = std::fs::read_to_string(&program.log).unwrap();
        assert_eq!(leaks(&log, &told), Vec::<String>::new(), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_cannot_be_used_change_nothing_and_the_log_says_so() {
    let servers = Servers::build().await;
    let (programs, stored, told) = programs(&servers).await;
    let [mut a, mut b] = [
        programs[0].phone(&stored[0].line, 0).await,
        programs[1].phone(&stored[1].line, 1).await,
    ];
    let number = stored[1].line.number.to_string();
    call(&mut a, &mut b, &number).await;
    let program = &programs[0];
    let nowhere = settings("", &["turn:nowhere.invalid:3478".to_owned()]);
    let no_login = settings("", &[]).replace(TURN_SECRET, "another-secret");
    for (unusable, why) in [
        (
            "no_answer_seconds = 3\nrelays = [\"wss:",
            "configuration file: ",
        ),
        ("no_answer_seconds = 1", "it may be 5 to 180"),
        (nowhere.as_str(), "has no address"),
        (no_login.as_str(), "no TURN server gives a relayed address"),
    ] {
        program.write(unusable);
        program.signal("-HUP");
        Program::writes(
            &program.log,
            &["the settings stay as they were", why, "To do: "],
        )
        .await;
    }
    go_on([&a, &b]).await;
    b.hang_up().await;
    sees(&mut a, is_over).await;
    sees(&mut b, is_over).await;
    call(&mut a, &mut b, &number).await;
    let log = std::fs::read_to_string(&program.log).unwrap();
    assert_eq!(leaks(&log, &told), Vec::<String>::new(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_turned_up_at_once_and_a_new_port_waits_for_the_next_start() {
    let servers = Servers::build().await;
    let (programs, stored, _) = programs(&servers).await;
    let _a = programs[0].phone(&stored[0].line, 0).await;
    let program = &programs[0];
    let udp = program.udp().await;
    let louder = settings("log = \"ringfence=debug,ringfence_engine=debug\"", &[]);
    program.write(&louder.replace("udp_port = 0", "udp_port = 5099"));
    program.signal("-HUP");
    let wanted = ["the setting `sip` has changed and needs a restart"];
    Program::writes(&program.log, &wanted).await;
    let again = crate::servers::plug_in(&stored[0].line, udp, 1).await;
    Program::writes(&program.log, &["DEBUG", "phones of a line changed"]).await;
    drop(again);
}
