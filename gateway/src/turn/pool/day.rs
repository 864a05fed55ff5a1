//! A day of a pool in simulated time, as its TURN server sees it: with unanswered calls, and without.
//!
//! The wire is in memory, so that the paused clock runs on only when every side waits; the server is the embedded one's machine, which
//! is bytes and time.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringfence_book::turn_credentials::{TurnSecret, daily_credentials};
use ringfence_box::turn::{
    ClientFlow, ClientTransport, TurnLimits, TurnMachine, TurnMachineConfig, TurnOutput,
};
use ringfence_media::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};
use ringfence_media::{BridgeEvent, BridgeOutput};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::run::allocated_media::{AllocatedMedia, Unused};
use crate::turn::allocation_io::release;
use crate::turn::probe::TurnProbeError;
use crate::turn::servers::{Beaten, DialledTurn, ServerChoice};

const SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), 3478);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The usual times, but with a period that is the same in each run.
fn timing() -> PoolTiming {
    PoolTiming {
        period: 900_000..900_001,
        ..TIMING
    }
}

/// What the server sees of one client packet: when it came, in milliseconds, over which connection, the STUN method, its bytes.
type Seen = (u128, u16, u16, usize);

/// A server whose clients come over streams in memory.
#[derive(Clone, Debug)]
struct Watched {
    secret: TurnSecret,
    start: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
    clients: Arc<Mutex<u16>>,
    sent: Arc<Mutex<usize>>,
}

impl Watched {
    fn new() -> Self {
        Self {
            secret: TurnSecret::new("north".to_owned()),
            start: clock::now(),
            seen: Arc::default(),
            clients: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// Serves one client to its end.
    async fn serve(self, id: u16, mut stream: DuplexStream) {
        let (now, unix) = (clock::now(), clock::unix_seconds());
        let settings = TurnMachineConfig {
            listen: SERVER,
            secret: self.secret.clone(),
            allow_private: false,
            limits: TurnLimits::DEFAULT,
        };
        let mut machine = TurnMachine::new(settings, now, unix);
        let client = ClientFlow {
            transport: ClientTransport::Stream,
            addr: ([198, 51, 100, 7], id).into(),
        };
        let mut buffer = [0; 4096];
        loop {
            while let Some(output) = machine.poll() {
                match output {
                    TurnOutput::ToClient { bytes, .. } => {
                        *self.sent.lock().unwrap() += bytes.len();
                        if stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    TurnOutput::OpenSocket { allocation, .. } => {
                        let addr = SocketAddr::new(SERVER.ip(), 50_000 + id);
                        machine.handle_socket_opened(allocation, Some(addr), clock::now());
                    }
                    TurnOutput::CloseClient { .. } => return,
                    _ => {}
                }
            }
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => {
                        let method = u16::from_be_bytes([buffer[0], buffer[1]]);
                        let at = self.start.elapsed_until(clock::now());
                        self.seen.lock().unwrap().push((at, id, method, count));
                        machine.handle_client(client, &buffer[..count], clock::now());
                    }
                    _ => return,
                },
                () = until(machine.next_timeout().map(|(at, _)| at)) => {
                    machine.handle_timeout(clock::now());
                }
            }
        }
    }
}

trait Elapsed {
    fn elapsed_until(self, now: Instant) -> u128;
}

impl Elapsed for Instant {
    fn elapsed_until(self, now: Instant) -> u128 {
        now.saturating_duration_since(self).as_millis()
    }
}

impl DialTurn for Watched {
    fn order(&self, _slot: usize, _avoid: &[IpAddr]) -> Vec<usize> {
        vec![0]
    }

    fn is_at(&self, _entry: usize, _addresses: &[IpAddr]) -> bool {
        false
    }

    fn note_won(&self, _entry: usize, _beaten: Vec<Beaten>) -> ServerChoice {
        ServerChoice {
            position: 1,
            all: 1,
            passed_over: None,
        }
    }

    async fn dial(&self, _entry: usize) -> Result<DialledTurn, TurnProbeError> {
        let (near, far) = duplex(64 * 1024);
        let id = {
            let mut clients = self.clients.lock().unwrap();
            *clients += 1;
            *clients
        };
        tokio::spawn(self.clone().serve(id, far));
        let local: SocketAddr = ([198, 51, 100, 7], id).into();
        let (username, password) =
            daily_credentials(&self.secret, clock::unix_seconds(), &mut rand::rng());
        Ok(DialledTurn {
            socket: TurnSocket::in_memory(local, SERVER, near),
            config: FarConfig {
                turn: TurnAccess {
                    addr: SERVER,
                    transport: TurnTransport::Stream,
                    username,
                    password: TurnPassword::new(password),
                },
                local,
                allow_private_addresses: true,
                permitted: Vec::new(),
                relays_ipv6: false,
            },
        })
    }
}

/// A call without an answer, as its media thread drives it, but over a wire in memory.
async fn call(
    allocations: AllocationPoolHandle,
    ringing: Duration,
    to_count: mpsc::UnboundedSender<()>,
) {
    let Some(taken) = allocations.take(&[]).await else {
        return;
    };
    let WarmAllocation {
        way,
        mut turn,
        checks,
        home,
    } = taken;
    let end = clock::now() + ringing;
    let mut media = AllocatedMedia::new(way, Some((checks, home)), clock::now());
    let mut buffer = Vec::new();
    loop {
        while let Some(output) = media.bridge().poll() {
            match output {
                BridgeOutput::ToServer(bytes) => drop(turn.send(&bytes)),
                BridgeOutput::Event(BridgeEvent::Allocated(_)) => to_count.send(()).unwrap(),
                _ => {}
            }
        }
        if end <= clock::now() {
            break;
        }
        let wake = media.next_timeout().into_iter().chain([end]).min();
        tokio::select! {
            open = turn.recv(&mut buffer) => {
                assert!(open);
                media.bridge().handle_turn(&buffer, clock::now());
            }
            () = until(wake) => {
                if media.next_timeout().is_some_and(|at| at <= clock::now()) {
                    media.handle_timeout(clock::now());
                }
            }
        }
    }
    let Unused::Waiting(way, checks, home) = media.into_unused() else {
        panic!("the allocation stands");
    };
    if let Some((way, turn)) = home.give_back(*way, turn, checks) {
        release(way, turn).await;
    }
}

/// A day with unanswered calls, two of them in each period of the pool, for `ringing` each in turn; what the server saw, how
/// many calls got an allocation, and how many bytes went both ways.
async fn day(ringing: &[Duration]) -> (Vec<Seen>, usize, usize) {
    let server = Watched::new();
    let (pool, allocations) = AllocationPool::start_with(timing(), server.clone());
    let (to_count, mut allocated) = mpsc::unbounded_channel();
    let end = clock::now() + DAY;
    let mut calls = ringing.iter().cycle();
    // The second of each pair rings on over the tick at 900 s.
    for pause in [437, 455, 440, 468].iter().cycle() {
        sleep(Duration::from_secs(*pause)).await;
        if end <= clock::now() + Duration::from_secs(400) {
            break;
        }
        let Some(ringing) = calls.next().copied() else {
            continue;
        };
        tokio::spawn(call(allocations.clone(), ringing, to_count.clone()));
    }
    sleep(end.saturating_duration_since(clock::now())).await;
    drop(to_count);
    let mut seen = server.seen.lock().unwrap().clone();
    // Both slots tick at the same moment here.
    seen.sort_unstable();
    let bytes = seen.iter().map(|(.., count)| count).sum::<usize>() + *server.sent.lock().unwrap();
    drop(pool);
    let mut calls = 0;
    while allocated.recv().await.is_some() {
        calls += 1;
    }
    (seen, calls, bytes)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stdout, reason = "the figure is for a person")]
async fn a_day_of_calls_that_nobody_answers_looks_to_the_turn_server_like_a_day_without_calls() {
    let (quiet, none, bytes) = day(&[]).await;
    let ringing = [0, 3, 30, 180].map(Duration::from_secs);
    let (busy, calls, _) = day(&ringing).await;
    assert_eq!(none, 0);
    // One in four comes at the moment of a tick, and finds none.
    assert!(calls > 140, "{calls} calls had an allocation");
    assert!(quiet.len() > 8_000, "{} packets", quiet.len());
    let differ = quiet.iter().zip(&busy).find(|(quiet, busy)| quiet != busy);
    assert_eq!(differ, None);
    assert_eq!(quiet.len(), busy.len());
    println!(
        "an idle day: {} packets to the server, {bytes} bytes both ways, without the headers below TURN",
        quiet.len()
    );
}
