//! Calls of a small community that runs everything in one process: phone book, relay and TURN server of one `Exchange`, and nothing
//! else. Once with coturn, once with the embedded TURN server.

use std::time::Instant;

use ringfence_book::NumberPlan;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::settings::{RelayTable, TurnProgram, TurnTable};
use ringfence_phonebook::AllInOne;
use ringfence_phonebook::config::{Config, Database};

use crate::servers::{ANY_PORT, StoredEngine, TURN_SECRET, is_over};

fn config(program: TurnProgram) -> Config {
    Config {
        listen: ANY_PORT,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 2).unwrap(),
        turn_secret: Some(TurnSecret::new(TURN_SECRET.to_owned())),
        relay: RelayTable {
            serve: true,
            listen: ANY_PORT,
            ..RelayTable::default()
        },
        turn_server: TurnTable {
            serve: true,
            program,
            listen: ANY_PORT,
            allow_private: true,
            ..TurnTable::default()
        },
        ..Config::default()
    }
}

async fn call_through(program: TurnProgram) {
    let all = AllInOne::start(config(program)).await.unwrap();
    let network = all.book().network();
    assert_eq!(network.relays, [all.relay().unwrap().url()]);
    let turn = all.turn().unwrap().local_addr();
    assert_eq!(
        network.turn,
        ["udp", "tcp"].map(|way| format!("turn:{turn}?transport={way}"))
    );
    let folder = tempfile::tempdir().unwrap();
    // Both have their numbers before either downloads the book.
    let stored_a = StoredEngine::build(all.book(), &folder.path().join("a")).await;
    let stored_b = StoredEngine::build(all.book(), &folder.path().join("b")).await;
    let mut a = stored_a.open_with(all.book(), 0).await;
    let mut b = stored_b.open_with(all.book(), 1).await;
    // Both directions: the proofs of work have the bits that this relay demands.
    a.call(&mut b).await;
    a.phone.hang_up().await;
    b.sees(is_over).await;
    b.call(&mut a).await;
    let asked = Instant::now();
    all.stop().await;
    assert!(asked.elapsed().as_secs() < 3, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_nothing_but_the_box_with_the_embedded_turn_server() {
    call_through(TurnProgram::Embedded).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::print_stderr,
    reason = "the output of the tests must show what was not tested"
)]
async fn a_call_through_nothing_but_the_box_with_coturn() {
    if !ringfence_box::turn::coturn::Coturn::is_installed() {
        assert!(
            std::env::var_os("CI").is_none(),
            "coturn is not installed; tests/run installs it"
        );
        eprintln!("\n*** SKIPPED: coturn is not installed; tests/run installs it ***\n");
        return;
    }
    call_through(TurnProgram::Coturn).await;
}
