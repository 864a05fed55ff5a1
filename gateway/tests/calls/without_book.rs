//! Engines whose phone book is away: they start from their copy of the book and the TURN logins that they kept, and call.

use std::time::Duration;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_that_restart_while_the_phone_book_is_away_call_each_other() {
    let servers = Servers::build().await;
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
    servers.book.stop().await;
    for _ in 0..2 {
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
