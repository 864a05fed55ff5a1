//! coturn as a child: started again when it dies, gone when we are.

use std::process::Command;
use std::time::{Duration, Instant};

use ringfence_box::turn::coturn::Coturn;
use ringfence_box::turn::probe::probe;
use tokio::time::sleep;

use crate::caller::{Caller, Wire, credentials};
use crate::suite::{SECRET, has_coturn, plan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_coturn_is_started_again_at_the_same_address() {
    if !has_coturn() {
        return;
    }
    let coturn = Coturn::start(plan(true)).await.unwrap();
    let first = coturn.process().unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", &first.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let give_up = Instant::now() + Duration::from_secs(20);
    let second = loop {
        assert!(Instant::now() < give_up, "it stays dead");
        match coturn.process() {
            Some(process) if process != first => break process,
            _ => sleep(Duration::from_millis(20)).await,
        }
    };
    let login = credentials(SECRET, "a", 60);
    while let Err(fault) = probe(coturn.local_addr(), &login).await {
        assert!(Instant::now() < give_up, "{fault}");
    }
    let mut caller = Caller::new(coturn.local_addr(), Wire::Tcp, login).await;
    caller.allocate().await.unwrap();
    coturn.stop().await;
    assert!(!is_running(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_coturn_ends() {
    if !has_coturn() {
        return;
    }
    let coturn = Coturn::start(plan(true)).await.unwrap();
    let process = coturn.process().unwrap();
    drop(coturn);
    let give_up = Instant::now() + Duration::from_secs(5);
    while is_running(process) {
        assert!(Instant::now() < give_up, "it lives on");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process of that number runs and is a turnserver.
fn is_running(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm"))
        .is_ok_and(|name| name.trim() == "turnserver")
}
