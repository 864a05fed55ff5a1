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

use super::call::Handled;
use super::poller::Poller;
use super::*;
use crate::clock;
use crate::net::tls;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use crate::turn::allocation_io::release;
use crate::turn::credentials::TurnLogin;
use crate::turn::race::{Race, RaceTerms, Winner};
use crate::turn::servers::TurnServers;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const LIMIT: Duration = Duration::from_secs(20);

async fn turn() -> EmbeddedTurn {
    EmbeddedTurn::start(ANY_PORT, TurnSecret::new("secret".to_owned()), true)
        .await
        .unwrap()
}

/// An allocation.
async fn allocate(turn: &EmbeddedTurn, transport: &str) -> Winner {
    let url = format!("turn:{}?transport={transport}", turn.local_addr());
    let endpoint: TurnEndpoint = url.parse().unwrap();
    let target = endpoint.resolve(&tls::client(None).unwrap()).await.unwrap();
    let login = TurnLogin::Shared(Secret::new("secret".to_owned()));
    let servers = TurnServers::new(vec![target], login, true);
    let mut race = Race::start(servers, RaceTerms::of_call(&[]));
    let winner = race.outcome().await.unwrap();
    race.end().await;
    *winner
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
        let winner = allocate(turn, transport).await;
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
            BridgeEvent::Allocated(local) => Some(*local),
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
                has_figures |= matches!(*report, ThreadReport::Closing(_));
            }
        };
        timeout(Duration::from_secs(5), rest).await.unwrap();
        has_figures
    }
}

/// Two calls that are connected to each other.
async fn meeting(threads: &MediaThreads, turn: &EmbeddedTurn, transport: &str) -> [Placed; 2] {
    let mut caller = Placed::new(threads, turn, transport, 64).await;
    let mut callee = Placed::new(threads, turn, transport, 64).await;
    let (a, b) = (caller.endpoint().await, callee.endpoint().await);
    caller.connect(&b, Role::Caller);
    callee.connect(&a, Role::Callee);
    for call in [&mut caller, &mut callee] {
        call.event(|event| (event == BridgeEvent::ControlOpen).then_some(()))
            .await;
    }
    [caller, callee]
}

/// One says something, and the other hears it.
async fn says(one: &Placed, other: &mut Placed) {
    let message = [7; CONTROL_BYTES];
    one.order(MediaOrder::Control(message.to_vec()));
    let heard = other.event(|event| match event {
        BridgeEvent::Control(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(heard.await, message);
}

async fn two_calls_meet_and_end_over(transport: &str) {
    let (turn, threads) = (turn().await, MediaThreads::new());
    let [caller, mut callee] = meeting(&threads, &turn, transport).await;
    says(&caller, &mut callee).await;
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

/// A call that is ready, and that a thread serves.
async fn is_served(threads: &MediaThreads, turn: &EmbeddedTurn) -> bool {
    let mut call = Placed::new(threads, turn, "udp", 64).await;
    call.endpoint().await;
    call.ends().await
}

#[tokio::test]
async fn a_call_whose_media_panic_is_over_and_those_beside_it_go_on() {
    let (turn, threads) = (turn().await, MediaThreads::with(1));
    let mut calls = Vec::new();
    for _ in 0..2 {
        calls.push(meeting(&threads, &turn, "udp").await);
    }
    let [[mut broken, _there], [here, mut there]] = calls.try_into().ok().unwrap();
    broken.thread.order(CallOrder::Panic);
    let report = timeout(LIMIT, async {
        while let Some(report) = broken.thread.report().await {
            assert!(matches!(*report, ThreadReport::Search(_)));
        }
    });
    report.await.expect("its task learns");
    says(&here, &mut there).await;
    assert!(is_served(&threads, &turn).await);
    turn.stop().await;
}

#[tokio::test]
async fn a_thread_that_ends_takes_its_calls_along_and_the_next_call_gets_another() {
    let (turn, threads) = (turn().await, MediaThreads::with(1));
    let mut call = Placed::new(&threads, &turn, "udp", 64).await;
    call.endpoint().await;
    let inbox = call.thread.inbox.clone();
    inbox.send(Message::Panic);
    let over = timeout(LIMIT, call.thread.report()).await;
    assert!(over.expect("its task learns").is_none());
    // The thread has let go of the call a moment before it has ended.
    let ended = async {
        let is_finished = |thread: &Option<MediaThread>| {
            thread.as_ref().is_some_and(|at| at.thread.is_finished())
        };
        while !threads.threads.lock().unwrap().iter().all(is_finished) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, ended).await.unwrap();
    assert!(is_served(&threads, &turn).await);
    turn.stop().await;
}

#[tokio::test]
async fn a_way_that_the_system_does_not_watch_is_released_and_the_call_goes_on_with_its_own() {
    let (turn, poller) = (turn().await, Poller::new().unwrap());
    let (first, second) = (allocate(&turn, "udp").await, allocate(&turn, "udp").await);
    let (reports, mut reported) = reports::unbounded_channel();
    let parts = ThreadCallParts {
        label: CallLabel::default(),
        media: AllocatedMedia::new(first.way, None, clock::now()),
        turn: first.turn.into_wire().unwrap(),
        ports: Vec::new(),
        events: reports::channel(64).0,
    };
    let mut call = ThreadCall::new(parts, reports, Arc::default(), clock::now());
    let now = clock::now();
    call.begin(1, &poller, &mut [0; 2_048], now).unwrap();
    // Its server refuses datagrams for a moment, so that it wants another way.
    call.media().bridge().handle_turn_unreachable(now);
    let wire = second.turn.into_wire().unwrap();
    // A socket cannot be watched twice.
    poller.add(&wire, 99).unwrap();
    let order = CallOrder::Adopt(Box::new(second.way), wire);
    call.carry_out(order, &poller, now).unwrap();
    assert_eq!(call.settle(&poller, now).unwrap(), Handled::GoesOn);
    let Ok(ThreadReport::Release(way, wire)) = reported.try_recv().map(|report| *report) else {
        panic!("the new way is to be released");
    };
    release(*way, wire.into_socket().await.unwrap()).await;
    assert_eq!(turn.allocations(), 1);
    assert!(call.media().bridge().wants_way());
    turn.stop().await;
}
