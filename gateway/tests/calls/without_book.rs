//! Engines whose phone book is away: they start from their copy of the book and the TURN logins that they kept, and call.

use std::time::{Duration, Instant};

use ringfence::config::{Config, TurnLogin};
use ringfence::node::Node;
use ringfence::state::keystore::{Keystore, LineFile};

use crate::servers::{Servers, StoredEngine, call, is_over, plug_in, sees};

/// An engine that logs in to TURN servers as the phone book lets it.
struct Member {
    config: Config,
    line: LineFile,
}

impl Member {
    fn of(stored: StoredEngine) -> Self {
        let StoredEngine {
            mut config, line, ..
        } = stored;
        config.turn.login = TurnLogin::None;
        Self { config, line }
    }

    async fn open(&self) -> Node {
        let store = Keystore::open(&self.config.state, None).unwrap();
        Node::open(self.config.clone(), store).await.unwrap()
    }
}

/// Engines that have run beside the phone book, and are stopped.
async fn members_of(servers: &Servers) -> [Member; 2] {
    let members = servers.stored_engines().await.map(Member::of);
    for member in &members {
        let node = member.open().await;
        node.ready().await.unwrap();
        // What it remembers is written in a moment.
        let file = member.config.state.join("turn.json");
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        node.stop().await;
    }
    members
}

/// Both engines start, stay for `span`, and call each other.
async fn start_and_call(members: &[Member; 2], span: Duration) {
    let (a, b) = (members[0].open().await, members[1].open().await);
    for node in [&a, &b] {
        node.ready().await.unwrap();
    }
    let mut caller = plug_in(&members[0].line, a.udp()[0], 0).await;
    let mut callee = plug_in(&members[1].line, b.udp()[0], 1).await;
    for phone in [&mut caller, &mut callee] {
        sees(phone, |event| {
            *event == ringfence::softphone::PhoneEvent::Registered
        })
        .await;
    }
    tokio::time::sleep(span).await;
    call(
        &mut caller,
        &mut callee,
        &members[1].line.number.to_string(),
    )
    .await;
    caller.hang_up().await;
    sees(&mut callee, is_over).await;
    a.stop().await;
    b.stop().await;
}

/// An hour really; a week in simulated time is among the tests of `turn::credentials`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour"]
#[expect(clippy::print_stdout, reason = "the progress is for a person")]
async fn engines_call_each_other_for_an_hour_without_the_phone_book() {
    let servers = Servers::build().await;
    let members = members_of(&servers).await;
    servers.book.stop().await;
    let begun = Instant::now();
    for round in 1..=6 {
        start_and_call(&members, Duration::from_secs(600)).await;
        println!(
            "call {round} after {} s without a book",
            begun.elapsed().as_secs()
        );
    }
    assert!(begun.elapsed() >= Duration::from_secs(3_600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_that_restart_while_the_phone_book_is_away_call_each_other() {
    let servers = Servers::build().await;
    let members = members_of(&servers).await;
    servers.book.stop().await;
    for _ in 0..2 {
        start_and_call(&members, Duration::ZERO).await;
    }
    // Nothing is left of the logins: it starts all the same, and says what is missing.
    std::fs::remove_file(members[0].config.state.join("turn.json")).unwrap();
    let without = members[0].open().await;
    let kinds = async {
        loop {
            let status = without.status().await.unwrap();
            let found = status
                .conditions
                .iter()
                .any(|found| found.condition.kind().word() == "no_turn");
            if found {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), kinds)
        .await
        .unwrap();
    without.stop().await;
}
