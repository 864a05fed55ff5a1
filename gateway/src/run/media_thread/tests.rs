//! Calls on media threads, through the embedded TURN server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_engine::{MediaEvent, MediaFailure};
use ringfence_media::far::Role;
use ringfence_media::frame::CONTROL_BYTES;
use ringfence_media::{BridgeEvent, Codec, Description, LocalEndpoint};
use tokio::time::{sleep, timeout};

use super::*;
use crate::clock;
use crate::net::tls;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use crate::turn::credentials::TurnLogin;
use crate::turn::race::{Race, RaceTerms};
use crate::turn::servers::TurnServers;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const LIMIT: Duration = Duration::from_secs(20);

async fn turn() -> EmbeddedTurn {
    EmbeddedTurn::start(ANY_PORT, TurnSecret::new("secret".to_owned()), true)
        .await
        .unwrap()
}

/// A call on a thread, and what the event loop gets of it.
struct Placed {
    thread: CallOnThread,
    events: reports::Receiver<MediaTaskEvent>,
}

impl Placed {
    async fn new(
        threads: &MediaThreads,
        turn: &EmbeddedTurn,
        transport: &str,
        room: usize,
    ) -> Self {
        let url = format!("turn:{}?transport={transport}", turn.local_addr());
        let endpoint: TurnEndpoint = url.parse().unwrap();
        let target = endpoint.resolve(&tls::client(None).unwrap()).await.unwrap();
        let login = TurnLogin::Shared(Secret::new("secret".to_owned()));
        let servers = TurnServers::new(vec![target], login, true);
        let mut race = Race::start(servers, RaceTerms::of_call(&[]));
        let winner = race.outcome().await.unwrap();
        race.end().await;
        let (to_loop, events) = reports::channel(room);
        let thread = threads
            .place(ThreadCallParts {
                label: CallLabel::default(),
                media: AllocatedMedia::new(winner.way, None, clock::now()),
                turn: winner.turn.into_wire().unwrap(),
                ports: RtpPorts::open(&[ANY_PORT.ip()], true),
                events: to_loop,
            })
            .unwrap();
        Self { thread, events }
    }

    /// The next event of the bridge that `wanted` takes.
    async fn event<T>(&mut self, wanted: impl Fn(BridgeEvent) -> Option<T>) -> T {
        let next = async {
            loop {
                if let MediaTaskEvent::Engine(_, MediaEvent::Bridge(event)) =
                    self.events.recv().await.unwrap()
                    && let Some(found) = wanted(event)
                {
                    return found;
                }
            }
        };
        timeout(LIMIT, next).await.unwrap()
    }

    async fn endpoint(&mut self) -> LocalEndpoint {
        self.event(|event| match event {
            BridgeEvent::Allocated(local) => Some(local),
            _ => None,
        })
        .await
    }

    fn connect(&self, other: &LocalEndpoint, role: Role) {
        let remote = Description {
            ufrag: other.ufrag.clone(),
            pwd: other.pwd.clone(),
            fingerprint: other.fingerprint,
            ssrc: other.ssrc,
            relayed_addresses: vec![other.relayed_address],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        self.order(MediaOrder::Connect { remote, role });
    }

    fn order(&self, order: MediaOrder) {
        self.thread.order(CallOrder::Engine(Box::new(order)));
    }

    /// Closes the call; whether its figures were reported, and nothing after the end.
    async fn ends(mut self) -> bool {
        self.thread.order(CallOrder::Close);
        let mut has_figures = false;
        let rest = async {
            while let Some(report) = self.thread.report().await {
                has_figures |= matches!(report, ThreadReport::Closing(_));
            }
        };
        timeout(Duration::from_secs(5), rest).await.unwrap();
        has_figures
    }
}

async fn two_calls_meet_and_end_over(transport: &str) {
    let (turn, threads) = (turn().await, MediaThreads::new());
    let mut caller = Placed::new(&threads, &turn, transport, 64).await;
    let mut callee = Placed::new(&threads, &turn, transport, 64).await;
    let (a, b) = (caller.endpoint().await, callee.endpoint().await);
    caller.connect(&b, Role::Caller);
    callee.connect(&a, Role::Callee);
    for call in [&mut caller, &mut callee] {
        call.event(|event| (event == BridgeEvent::ControlOpen).then_some(()))
            .await;
    }
    let message = [7; CONTROL_BYTES];
    caller.order(MediaOrder::Control(message.to_vec()));
    let heard = callee.event(|event| match event {
        BridgeEvent::Control(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(heard.await, message);
    assert!(caller.ends().await && callee.ends().await);
    turn.stop().await;
}

#[tokio::test]
async fn two_calls_meet_and_end_over_datagrams() {
    two_calls_meet_and_end_over("udp").await;
}

#[tokio::test]
async fn two_calls_meet_and_end_over_streams() {
    two_calls_meet_and_end_over("tcp").await;
}

#[tokio::test]
async fn an_event_loop_without_room_loses_no_event() {
    let (turn, threads) = (turn().await, MediaThreads::new());
    let mut call = Placed::new(&threads, &turn, "udp", 1).await;
    let mut own = call.endpoint().await;
    // A call cannot meet itself.
    own.relayed_address = ANY_PORT;
    for _ in 0..40 {
        call.connect(&own, Role::Caller);
    }
    sleep(Duration::from_millis(100)).await;
    let mut refused = 0;
    let count = async {
        while refused < 40 {
            if let MediaTaskEvent::Engine(_, MediaEvent::Refused(MediaFailure::NoPath)) =
                call.events.recv().await.unwrap()
            {
                refused += 1;
            }
        }
    };
    timeout(LIMIT, count).await.unwrap();
    assert!(call.ends().await);
    turn.stop().await;
}

#[tokio::test]
async fn calls_are_shared_out_and_a_thread_ends_with_its_last_way_in() {
    let (turn, threads) = (turn().await, MediaThreads::with(2));
    let calls = [
        Placed::new(&threads, &turn, "udp", 64).await,
        Placed::new(&threads, &turn, "udp", 64).await,
    ];
    let started = |threads: &MediaThreads| {
        let threads = threads.threads.lock().unwrap();
        threads.iter().flatten().count()
    };
    assert_eq!(started(&threads), 2);
    let handles: Vec<_> = threads
        .threads
        .lock()
        .unwrap()
        .drain(..)
        .flatten()
        .collect();
    let handles: Vec<_> = handles.into_iter().map(|thread| thread.thread).collect();
    for call in calls {
        assert!(handles.iter().any(|thread| !thread.is_finished()));
        assert!(call.ends().await);
    }
    let all = async {
        while !handles.iter().all(JoinHandle::is_finished) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, all).await.unwrap();
    turn.stop().await;
}
