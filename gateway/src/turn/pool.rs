//! One relayed address kept ready for the next call (RFC 8656), so that neither the ring nor the answer waits for the
//! TURN server, and the server does not learn the moment of dialling.
//!
//! It is made, checked and replaced at times that have nothing to do with rings. Whoever finds none dials for itself:
//! no call waits here. Which call takes it is the engine's to decide.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use ringfence_media::far::{FarConfig, FarEvent, FarFault, FarLeg, FarLocal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::TurnSocket;
use super::allocation_io::{give_back, send, step};
use super::servers::TurnServers;
use crate::clock;

/// Calls that ask in the same moment. One gets the spare; whoever finds no room dials.
const ASKING: usize = 4;

/// When spares are made, checked and replaced.
const PACE: Pace = Pace {
    replaced_after: 10_000..30_000,
    old_after: 600_000..1_200_000,
    checked_every: Duration::from_secs(20),
    first_pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(60),
};

#[derive(Clone, Debug)]
struct Pace {
    /// From the taking of a spare to the making of the next, in milliseconds. Not in the way of the call that took it;
    /// and by chance, so that a new allocation does not tell the server when the last one found its use.
    replaced_after: Range<u64>,
    /// The greatest age of a spare, in milliseconds. Its login must outlive it by the longest call; and a server that
    /// sees spares come and go cannot tell a call that nobody answered from one that grew old.
    old_after: Range<u64>,
    /// Between two checks: less than the half minute after which hasty NATs forget a UDP mapping. A server that has
    /// restarted is noticed as soon.
    checked_every: Duration,
    /// After the first failure. Each further one doubles it.
    first_pause: Duration,
    longest_pause: Duration,
}

/// A call that wants the spare. When it is dropped, there is none.
type Ask = oneshot::Sender<WarmAllocation>;

/// An allocated far leg, its wire, and what the other engine must be told about it.
#[derive(Debug)]
pub(crate) struct WarmAllocation {
    pub(crate) leg: FarLeg,
    pub(crate) turn: TurnSocket,
    pub(crate) local: FarLocal,
}

/// Where calls find the spare.
#[derive(Clone, Debug)]
pub(crate) struct AllocationPoolHandle(mpsc::WeakSender<Ask>);

/// Keeps a spare on the shelf until it is ended or dropped.
#[derive(Debug)]
pub(crate) struct AllocationPool {
    asks: mpsc::Sender<Ask>,
    ready: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// What became of a spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Old,
    Failed(FarFault),
}

/// Begins to keep a spare.
pub(crate) fn keep(lobby: TurnServers) -> (AllocationPool, AllocationPoolHandle) {
    keep_at(PACE, lobby)
}

fn keep_at(pace: Pace, lobby: TurnServers) -> (AllocationPool, AllocationPoolHandle) {
    let (asks, asked) = mpsc::channel(ASKING);
    let shelf = AllocationPoolHandle(asks.downgrade());
    let ready = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&ready);
    let task = tokio::spawn(async move {
        let mut asked = asked;
        // It only ends with the gateway.
        let _ = keep_one(&pace, &lobby, &mut asked, &tell).await;
    });
    (AllocationPool { asks, ready, task }, shelf)
}

impl AllocationPoolHandle {
    /// The spare, if there is one. Does not wait for the network.
    pub(crate) async fn take(&self) -> Option<WarmAllocation> {
        let (give, given) = oneshot::channel();
        self.0.upgrade()?.try_send(give).ok()?;
        given.await.ok()
    }
}

impl AllocationPool {
    /// Whether a spare is on the shelf.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Gives the spare back to the server. The task that is returned ends with that, within 2.5 s.
    pub(crate) fn end(self) -> JoinHandle<()> {
        drop(self.asks);
        self.task
    }
}

/// Keeps one spare after the other. `None` when the gateway stops.
async fn keep_one(
    pace: &Pace,
    lobby: &TurnServers,
    asks: &mut mpsc::Receiver<Ask>,
    ready: &AtomicBool,
) -> Option<()> {
    let mut failures = 0;
    loop {
        let fate = match meanwhile(asks, lobby.enter()).await? {
            Some((turn, config)) => {
                Waiting::new(turn, config, pace)
                    .wait(pace, asks, ready)
                    .await?
            }
            None => Fate::Failed(FarFault::ServerGone),
        };
        ready.store(false, Ordering::Relaxed);
        let pause = match fate {
            Fate::Old => Duration::ZERO,
            Fate::Taken => {
                Duration::from_millis(rand::rng().random_range(pace.replaced_after.clone()))
            }
            Fate::Failed(fault) => {
                tracing::debug!(%fault, failures, "there is no spare relayed address");
                let doubled = pace.first_pause.saturating_mul(1 << failures.min(16));
                doubled.min(pace.longest_pause)
            }
        };
        failures = match fate {
            Fate::Failed(_) => failures + 1,
            Fate::Taken | Fate::Old => 0,
        };
        meanwhile(asks, sleep(pause)).await?;
    }
}

/// Waits for `work`; whoever asks meanwhile finds nothing. `None` when the gateway stops.
async fn meanwhile<T>(asks: &mut mpsc::Receiver<Ask>, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            ask = asks.recv() => drop(ask?),
        }
    }
}

/// A spare on the shelf, or on its way there.
#[derive(Debug)]
struct Waiting {
    leg: FarLeg,
    turn: TurnSocket,
    local: Option<FarLocal>,
    check_at: Instant,
    old_at: Instant,
}

impl Waiting {
    fn new(turn: TurnSocket, config: FarConfig, pace: &Pace) -> Self {
        let (now, mut random) = (clock::now(), rand::rng());
        Self {
            leg: FarLeg::new(config, random.random(), now),
            turn,
            local: None,
            check_at: now + pace.checked_every,
            old_at: now + Duration::from_millis(random.random_range(pace.old_after.clone())),
        }
    }

    /// Keeps the leg fresh until its fate is known. Unless a call has it then, it is given back to the server. `None`
    /// when the gateway stops.
    async fn wait(
        mut self,
        pace: &Pace,
        asks: &mut mpsc::Receiver<Ask>,
        ready: &AtomicBool,
    ) -> Option<Fate> {
        let mut buffer = Vec::new();
        let fate = loop {
            if let Some(fault) = self.hear() {
                break Some(Fate::Failed(fault));
            }
            ready.store(self.local.is_some(), Ordering::Relaxed);
            let wake = self.check_at.min(self.old_at);
            tokio::select! {
                ask = asks.recv() => match (ask, self.local.take()) {
                    (None, _) => break None,
                    (Some(ask), Some(local)) if self.leg.is_ready() => {
                        let Self { leg, turn, .. } = self;
                        let Err(spare) = ask.send(WarmAllocation { leg, turn, local }) else {
                            return Some(Fate::Taken);
                        };
                        // The call is over already.
                        return return_to_server(spare.leg, spare.turn, asks).await.map(|()| Fate::Old);
                    }
                    // Not allocated yet, or in doubt: the call does better to dial.
                    (Some(_), local) => self.local = local,
                },
                () = step(&mut self.leg, &mut self.turn, &mut buffer, Some(wake)) => {}
            }
            let now = clock::now();
            if self.old_at <= now {
                break Some(Fate::Old);
            }
            if self.check_at <= now {
                self.check_at = now + pace.checked_every;
                self.leg.check(now);
            }
        };
        return_to_server(self.leg, self.turn, asks).await?;
        fate
    }

    /// Lets the leg have its say; the fault if it has failed.
    fn hear(&mut self) -> Option<FarFault> {
        while let Some(event) = send(&mut self.leg, &self.turn) {
            match event {
                FarEvent::Allocated(local) => self.local = Some(local),
                FarEvent::Failed(fault) => return Some(fault),
                _ => {}
            }
        }
        None
    }
}

/// Gives an allocation back, whoever asks meanwhile, and whether or not the gateway stops; `None` if it does.
async fn return_to_server(
    leg: FarLeg,
    turn: TurnSocket,
    asks: &mut mpsc::Receiver<Ask>,
) -> Option<()> {
    let mut giving = std::pin::pin!(give_back(leg, turn));
    let done = meanwhile(asks, giving.as_mut()).await;
    if done.is_none() {
        giving.await;
    }
    done
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use ringfence_book::turn_credentials::TurnSecret;
    use ringfence_box::turn::service::EmbeddedTurn;
    use ringfence_media::far::Role;
    use ringfence_media::{Codec, Description};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::net::tls;
    use crate::state::secret::Secret;
    use crate::turn::TurnEndpoint;
    use crate::turn::credentials::TurnLogin;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    const PATIENCE: Duration = Duration::from_secs(20);

    fn quick() -> Pace {
        Pace {
            replaced_after: 100..200,
            old_after: 60_000..60_001,
            checked_every: Duration::from_millis(50),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_millis(80),
        }
    }

    async fn turn_at(addr: SocketAddr) -> EmbeddedTurn {
        EmbeddedTurn::start(addr, TurnSecret::new("secret".to_owned()), true)
            .await
            .unwrap()
    }

    async fn lobby(addr: SocketAddr, transport: &str) -> TurnServers {
        let endpoint: TurnEndpoint = format!("turn:{addr}?transport={transport}")
            .parse()
            .unwrap();
        let target = endpoint.resolve(tls::client(None).unwrap()).await.unwrap();
        let login = TurnLogin::Shared(Secret::new("secret".to_owned()));
        TurnServers::new(vec![target], login, true)
    }

    async fn eventually(what: impl Fn() -> bool) {
        let wait = async {
            while !what() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    async fn take(shelf: &AllocationPoolHandle) -> WarmAllocation {
        let wait = async {
            loop {
                if let Some(spare) = shelf.take().await {
                    return spare;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap()
    }

    async fn connects(mut spare: WarmAllocation, other: FarLocal, role: Role) {
        let remote = Description {
            ufrag: other.ufrag,
            pwd: other.pwd,
            fingerprint: other.fingerprint,
            ssrc: other.ssrc,
            relays: vec![other.relay],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        let now = clock::now();
        spare.leg.connect(&remote, role, now).unwrap();
        let mut buffer = Vec::new();
        loop {
            match send(&mut spare.leg, &spare.turn) {
                Some(FarEvent::Connected) => break,
                Some(FarEvent::Failed(fault)) => panic!("{fault}"),
                Some(_) => {}
                None => step(&mut spare.leg, &mut spare.turn, &mut buffer, None).await,
            }
        }
        // The last packets of the handshake are on their way to the other side.
        let rest = async {
            loop {
                while send(&mut spare.leg, &spare.turn).is_some() {}
                step(&mut spare.leg, &mut spare.turn, &mut buffer, None).await;
            }
        };
        drop(timeout(Duration::from_millis(200), rest).await);
        give_back(spare.leg, spare.turn).await;
    }

    #[tokio::test]
    async fn spares_that_were_checked_for_a_while_carry_a_call() {
        let turn = turn_at(ANY_PORT).await;
        for transport in ["udp", "tcp"] {
            let lobby = lobby(turn.local_addr(), transport).await;
            let (keeping_a, shelf_a) = keep_at(quick(), lobby.clone());
            let (keeping_b, shelf_b) = keep_at(quick(), lobby);
            eventually(|| turn.relays() == 2).await;
            sleep(Duration::from_millis(500)).await;
            let (a, b) = (take(&shelf_a).await, take(&shelf_b).await);
            let (local_a, local_b) = (a.local.clone(), b.local.clone());
            let call = async {
                tokio::join!(
                    connects(a, local_b, Role::Caller),
                    connects(b, local_a, Role::Callee)
                )
            };
            timeout(PATIENCE, call).await.unwrap();
            drop((keeping_a, keeping_b));
            eventually(|| turn.relays() == 0).await;
        }
    }

    #[tokio::test]
    async fn the_second_call_finds_none_at_once_and_a_later_one_does() {
        let turn = turn_at(ANY_PORT).await;
        let (_keeping, shelf) = keep_at(quick(), lobby(turn.local_addr(), "udp").await);
        let first = take(&shelf).await;
        assert!(shelf.take().await.is_none());
        assert_eq!(turn.relays(), 1);
        let later = take(&shelf).await;
        assert_ne!(first.local.relay, later.local.relay);
    }

    #[tokio::test]
    async fn the_end_gives_the_relay_back_and_nothing_can_be_had_any_more() {
        let turn = turn_at(ANY_PORT).await;
        let (keeping, shelf) = keep_at(quick(), lobby(turn.local_addr(), "udp").await);
        eventually(|| turn.relays() == 1).await;
        keeping.end().await.unwrap();
        eventually(|| turn.relays() == 0).await;
        assert!(shelf.take().await.is_none());
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_the_making_leaves_no_relay() {
        let turn = turn_at(ANY_PORT).await;
        for micros in (0..2_000).step_by(100) {
            let (keeping, _) = keep_at(quick(), lobby(turn.local_addr(), "udp").await);
            sleep(Duration::from_micros(micros)).await;
            timeout(PATIENCE, keeping.end()).await.unwrap().unwrap();
        }
        eventually(|| turn.relays() == 0).await;
    }

    #[tokio::test]
    async fn an_old_spare_is_given_back_and_there_is_always_another() {
        let turn = turn_at(ANY_PORT).await;
        let lobby = lobby(turn.local_addr(), "udp").await;
        let pace = Pace {
            old_after: 100..101,
            ..quick()
        };
        let (socket, config) = lobby.enter().await.unwrap();
        let (_asking, mut asks) = mpsc::channel(ASKING);
        let waiting = Waiting::new(socket, config, &pace);
        let ready = AtomicBool::new(false);
        let (fate, ()) = tokio::join!(
            waiting.wait(&pace, &mut asks, &ready),
            eventually(|| turn.relays() == 1)
        );
        assert_eq!(fate, Some(Fate::Old));
        eventually(|| turn.relays() == 0).await;

        let (keeping, shelf) = keep_at(pace, lobby);
        sleep(Duration::from_secs(1)).await;
        let spare = take(&shelf).await;
        eventually(|| !keeping.is_ready()).await;
        assert_eq!(turn.relays(), 1, "only the youngest");
        give_back(spare.leg, spare.turn).await;
        keeping.end().await.unwrap();
        eventually(|| turn.relays() == 0).await;
    }

    #[tokio::test]
    async fn a_server_that_restarted_has_a_spare_again() {
        for transport in ["udp", "tcp"] {
            let turn = turn_at(ANY_PORT).await;
            let addr = turn.local_addr();
            let (_keeping, shelf) = keep_at(quick(), lobby(addr, transport).await);
            eventually(|| turn.relays() == 1).await;
            turn.stop().await;
            let turn = turn_at(addr).await;
            eventually(|| turn.relays() == 1).await;
            drop(take(&shelf).await);
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_asked_less_and_less_often() {
        let server = TcpListener::bind(ANY_PORT).await.unwrap();
        let lobby = lobby(server.local_addr().unwrap(), "tcp").await;
        let (_keeping, shelf) = keep_at(quick(), lobby);
        let mut dialled = 0;
        let count = async {
            loop {
                drop(server.accept().await);
                dialled += 1;
                assert!(shelf.take().await.is_none());
            }
        };
        drop(timeout(Duration::from_secs(1), count).await);
        // After 0, 20 and 60 ms, then every 80 ms.
        assert!((3..=15).contains(&dialled), "{dialled}");
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test stands in for the server"
    )]
    async fn nobody_waits_for_a_silent_server() {
        let silent = tokio::net::UdpSocket::bind(ANY_PORT).await.unwrap();
        let (_keeping, shelf) = keep_at(quick(), lobby(silent.local_addr().unwrap(), "udp").await);
        let mut asked = [0; 64];
        silent.recv(&mut asked).await.unwrap();
        let taken = timeout(Duration::from_millis(500), shelf.take()).await;
        assert!(taken.unwrap().is_none());
    }
}
