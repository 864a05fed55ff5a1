//! `ringfence run` as a process of its own: how it ends, and what it logs when it starts at the worst of moments.

use std::time::Duration;

use ringfence::io::book::BookCopy;
use ringfence_phonebook::{Binding, Day};

use crate::log::{leaks, secrets};
use crate::program::Program;
use crate::town::{House, Town, call, is_over, sees};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_in_a_call_hangs_up_both_phones_and_ends_the_process_within_three_seconds() {
    for signal in ["-INT", "-TERM"] {
        let town = Town::build().await;
        let [a, b] = town.houses().await;
        let number = b.line.number.to_string();
        // Their key stores are locked: the programs want them.
        let lines = [a, b].map(|House { config, line, .. }| (config.state, line));
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
async fn a_start_while_everything_is_away_is_told_in_a_log_that_names_nobody() {
    let town = Town::build().await;
    let [mut house, _] = town.houses().await;
    let mut copy = BookCopy::open(&house.config.state, town.book.book_key()).unwrap();
    copy.refresh(&house.client).await.unwrap();
    let binding = Binding::decode(&house.line.binding).unwrap();
    let (number, identity) = (binding.number(), *binding.identity());
    let ended = Binding::from_parts(number, identity, Day::new(1), *binding.signature());
    house.line.binding = ended.encode().to_vec();
    house.store.save(&house.line).unwrap();
    let (state, secrets) = (house.config.state.clone(), secrets(&house));
    drop(house);
    let turn = format!("turn:{}?transport=tcp", town.turn.local_addr());
    town.relay.stop();
    town.book.stop().await;
    town.turn.stop().await;
    let mut program = Program::start(&state, &[turn]);
    let told = [
        "the phone book's word for a line could not be renewed: the phone book cannot be reached",
        "TURN server 1 of 1 gives no way out",
        "calls will have no sound",
        "the phone book was not downloaded",
        "no Nostr relay can be reached",
    ];
    let log = Program::writes(&program.log, &told).await;
    assert_eq!(leaks(&log, &secrets), Vec::<String>::new(), "{log}");
    assert_eq!(program.end("-INT").await.0, Some(0));
}
