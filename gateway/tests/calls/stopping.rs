//! A gateway that is stopped: its calls are hung up on both sides, and it is gone within three seconds.

use std::time::{Duration, Instant};

use ringfence::softphone::PhoneEvent;

use crate::servers::{RunningEngine, Servers, is_over, is_ringing};

const LIMIT: Duration = Duration::from_secs(3);

async fn stop(engine: RunningEngine) -> (ringfence::selfcall::phone::TonePhone, Duration) {
    let start = Instant::now();
    engine.gateway.stop().await;
    (engine.phone, start.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_in_a_call_hangs_up_both_phones_whichever_side_stops() {
    for caller_stops in [true, false] {
        let servers = Servers::build().await;
        let [mut a, mut b] = servers.engines().await;
        a.call(&mut b).await;
        let (stopping, mut staying) = if caller_stops { (a, b) } else { (b, a) };
        let (mut phone, took) = stop(stopping).await;
        assert!(took < LIMIT, "{took:?}");
        // Both phones have heard it by now, or hear it at once.
        crate::servers::sees(&mut phone, is_over).await;
        staying.sees(is_over).await;
        let status = staying.gateway.status().await.unwrap();
        assert_eq!(status.phones, [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_while_it_rings_stops_the_ringing() {
    let servers = Servers::build().await;
    let [a, mut b] = servers.engines().await;
    a.phone.dial(&b.number).await;
    b.sees(is_ringing).await;
    let (mut phone, took) = stop(a).await;
    assert!(took < LIMIT, "{took:?}");
    let refused = |event: &PhoneEvent| matches!(event, PhoneEvent::Refused { status: 503, .. });
    crate::servers::sees(&mut phone, refused).await;
    b.sees(|event| *event == PhoneEvent::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_without_a_call_takes_no_time() {
    let servers = Servers::build().await;
    let [a, _b] = servers.engines().await;
    let (_, took) = stop(a).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}
