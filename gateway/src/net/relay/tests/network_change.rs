//! A change of network: connections that look alive and are dead, and connections that live on.

use std::sync::Arc;

use ringfence_engine::sealed::envelope::EventKey;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The way to a relay, whose connections can be cut off without a word, as a lost address does.
struct Way {
    url: String,
    cut_off: watch::Sender<u64>,
    connections: Arc<AtomicUsize>,
}

impl Way {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test stands in for the network"
    )]
    async fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let way = Self {
            url: format!("ws://{}", listener.local_addr().unwrap()),
            cut_off: watch::channel(0).0,
            connections: Arc::default(),
        };
        let (cut_off, connections) = (way.cut_off.clone(), Arc::clone(&way.connections));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (mut end, open) = (cut_off.subscribe(), Arc::clone(&connections));
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(relay).await.unwrap();
                    let is_cut = tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => false,
                        _ = end.changed() => true,
                    };
                    if is_cut {
                        // Nothing is read and nothing closed, as long as the test runs.
                        std::future::pending::<()>().await;
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        way
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_of_network_a_ring_arrives_that_a_dead_connection_would_have_lost() {
    let relay = any_port().await;
    let way = Way::to(relay.address()).await;
    let (sender, _unread) = listen(&relay.url(), 1).await;
    let (listener, mut incoming) = listen(&way.url, 5).await;
    wait(&listener, |state| state.connected == 1).await;
    way.cut_off.send_modify(|count| *count += 1);
    sender.publish(outgoing(5)).await.unwrap();
    assert!(is_empty(&mut incoming).await, "the connection is dead");
    listener.handle_network_change();
    // Two round trips on loopback, and what a busy machine adds.
    sleep(Duration::from_secs(1)).await;
    sender.publish(outgoing(5)).await.unwrap();
    next(&mut incoming).await;
    // What is posted goes over the new connection too.
    let (_other, mut at_other) = listen(&relay.url(), 6).await;
    let posted = timeout(Duration::from_secs(2), listener.publish(outgoing(6)));
    posted.await.unwrap().unwrap();
    next(&mut at_other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_leaves_the_connections_alive_loses_no_ring_and_no_connection_stays_behind() {
    let relay = any_port().await;
    let way = Way::to(relay.address()).await;
    let (sender, _unread) = listen(&relay.url(), 1).await;
    let (listener, mut incoming) = listen(&way.url, 5).await;
    wait(&listener, |state| state.connected == 1).await;
    let mut sent = BTreeSet::new();
    for number in 0..40 {
        if number % 4 == 0 {
            listener.handle_network_change();
        }
        let outgoing = outgoing(5);
        sent.insert(EventKey(outgoing.key.public()));
        sender.publish(outgoing).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        assert_eq!(listener.state().borrow().listening, 1);
    }
    // Some come twice: the engine knows them by their keys.
    while !sent.is_empty() {
        sent.remove(&next(&mut incoming).await.event_key);
    }
    let start = Instant::now();
    while way.connections.load(Ordering::Relaxed) > 2 {
        assert!(start.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(10)).await;
    }
}
