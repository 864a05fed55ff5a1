//! Calls with and without a warm allocation, on loopback and over slow links to the TURN server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence::selfcall::StackOptions;
use ringfence::selfcall::call::place;
use ringfence::selfcall::report::CallReport;
use ringfence::selfcall::stack::Stack;
use ringfence::state::secret::Secret;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use tokio::net::UdpSocket;
use tokio::time::{sleep, sleep_until, timeout};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn turn() -> EmbeddedTurn {
    EmbeddedTurn::start(ANY_PORT, TurnSecret::new("secret".to_owned()), true)
        .await
        .unwrap()
}

async fn stack(turn: SocketAddr) -> Stack {
    let endpoint = format!("turn:{turn}?transport=udp").parse().unwrap();
    let options = StackOptions {
        turn: Some((endpoint, Secret::new("secret".to_owned()))),
        ..StackOptions::default()
    };
    Stack::start(&options).await.unwrap()
}

async fn relays(turn: &EmbeddedTurn, wanted: usize) {
    let wait = async {
        while turn.allocations() != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), wait).await.unwrap();
}

/// Places a call. Its report, and the most relays that were open at one time.
async fn call(stack: &Stack, turn: &EmbeddedTurn) -> (CallReport, usize) {
    let mut most = 0;
    let watch = async {
        loop {
            most = most.max(turn.allocations());
            sleep(Duration::from_millis(2)).await;
        }
    };
    let report = tokio::select! {
        (report, _) = place(stack) => report,
        () = watch => unreachable!("it watches for ever"),
    };
    assert!(report.ok, "{:?}", report.error);
    (report, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_two_calls_take_their_spares_and_the_next_call_needs_none() {
    let turn = turn().await;
    let stack = stack(turn.local_addr()).await;
    relays(&turn, 4).await;
    for left in [2, 0] {
        let (_, most) = call(&stack, &turn).await;
        assert_eq!(most, left + 2, "no call was dialled");
        // An answered call releases its allocation.
        relays(&turn, left).await;
    }
    let (_, most) = call(&stack, &turn).await;
    assert!(most >= 2, "both dialled");
    stack.stop().await;
    turn.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_gives_its_spare_back() {
    let turn = turn().await;
    let stack = stack(turn.local_addr()).await;
    relays(&turn, 4).await;
    let start = Instant::now();
    stack.stop().await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(turn.allocations(), 0);
    turn.stop().await;
}

/// Measures instead of judging: `cargo test -p ringfence --test spare -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of some minutes"]
#[expect(clippy::print_stdout, reason = "the result is for a person")]
async fn what_a_spare_gains_on_slow_wires() {
    const ROUNDS: usize = 10;
    for delay in [0, 25] {
        let turn = turn().await;
        let wires = slow_wires(turn.local_addr(), Duration::from_millis(delay)).await;
        let mut figures: [[Vec<f64>; 2]; 2] = Default::default();
        for _ in 0..ROUNDS {
            let stack = stack(wires).await;
            relays(&turn, 4).await;
            // The first two calls have spares, the third comes before they are replaced; every second one is not measured.
            for [ringing, audio] in &mut figures {
                let (report, _) = call(&stack, &turn).await;
                ringing.push(report.invite_to_ringing_ms.unwrap());
                audio.push(report.answer_to_audio_ms.unwrap());
                call(&stack, &turn).await;
            }
            stack.stop().await;
        }
        for (name, [ringing, audio]) in ["spare", "dialled"].iter().zip(&mut figures) {
            println!(
                "{delay:2} ms wires, {name:8}: INVITE to ringing {}, answer to audio {}",
                summary(ringing),
                summary(audio)
            );
        }
        turn.stop().await;
    }
}

fn summary(figures: &mut [f64]) -> String {
    figures.sort_by(f64::total_cmp);
    let [least, .., most] = figures else {
        return "unknown".to_owned();
    };
    let (least, most) = (*least, *most);
    let median = figures[figures.len() / 2];
    format!("{median:.1} ms ({least:.1} to {most:.1})")
}

/// A way to the server that takes `delay` in each direction; every client has a port of its own there.
#[expect(clippy::disallowed_methods, reason = "the test's own wires")]
async fn slow_wires(server: SocketAddr, delay: Duration) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = [0; 2_048];
        while let Ok((length, client)) = front.recv_from(&mut buffer).await {
            let back = match clients.get(&client) {
                Some(back) => Arc::clone(back),
                None => {
                    let back = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
                    back.connect(server).await.unwrap();
                    let (to, from) = (Arc::clone(&front), Arc::clone(&back));
                    tokio::spawn(back_to(client, from, to, delay));
                    clients.insert(client, Arc::clone(&back));
                    back
                }
            };
            let bytes = buffer[..length].to_vec();
            later(delay, async move { drop(back.send(&bytes).await) });
        }
    });
    addr
}

async fn back_to(client: SocketAddr, back: Arc<UdpSocket>, front: Arc<UdpSocket>, delay: Duration) {
    let mut buffer = [0; 2_048];
    while let Ok(length) = back.recv(&mut buffer).await {
        let (front, bytes) = (Arc::clone(&front), buffer[..length].to_vec());
        later(
            delay,
            async move { drop(front.send_to(&bytes, client).await) },
        );
    }
}

/// Packets of sound are 20 ms apart: two that leave together may change places, as on any network.
fn later(delay: Duration, work: impl Future<Output = ()> + Send + 'static) {
    let at = Instant::now() + delay;
    tokio::spawn(async move {
        if !delay.is_zero() {
            sleep_until(at.into()).await;
        }
        work.await;
    });
}
