//! Races the TURN servers for an allocation: gives the core's race ([`WayRace`]) its sockets, logins and ways out, and does what each refusal
//! asks for ([`refusals`]).
//!
//! A race runs in a task of its own, so that who waits for it can do other things, and releases at the servers whatever it began and
//! nothing came of.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_media::far::{FarConfig, FarLegError, RaceOutput, TurnWay, WayOutput, WayRace};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::TurnSocket;
use super::allocation_io::{release, send, step};
use super::probe::TurnProbeError;
use super::refusals::{self, Remedy};
use super::servers::{DialTurn, DialledTurn, ServerChoice};
use crate::clock::{self, until};

/// From one connection to the next, where a server is waited for that does not accept any.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// How long such a connection may take: TCP and TLS over a path of half a second.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);

/// How a race is run.
#[derive(Clone, Debug)]
pub(crate) struct RaceTerms {
    slot: usize,
    avoid: Vec<IpAddr>,
    /// Servers of these addresses are asked first.
    first: Vec<IpAddr>,
    /// Servers of these addresses are not asked.
    without: Vec<IpAddr>,
    stagger: Duration,
    limit: Duration,
    /// Whether a running call waits for a server that may come back at any moment.
    recovers: bool,
    /// The family of the relayed address. Without it, IPv6 is as good where a server has no IPv4.
    is_ipv6: Option<bool>,
}

/// The family from which the other side of a call can be met, if its relayed addresses are known.
pub(super) fn family_of(others: &[IpAddr]) -> Option<bool> {
    (!others.is_empty()).then(|| others.iter().all(IpAddr::is_ipv6))
}

impl RaceTerms {
    /// For a call, in which a person waits: 250 ms between two servers (RFC 8305 section 8), four seconds in all. Servers of the
    /// addresses in `avoid` are asked later.
    pub(crate) fn of_call(avoid: &[IpAddr]) -> Self {
        Self {
            slot: 0,
            avoid: avoid.to_vec(),
            first: Vec::new(),
            without: Vec::new(),
            stagger: Duration::from_millis(250),
            limit: Duration::from_secs(4),
            recovers: false,
            is_ipv6: family_of(avoid),
        }
    }

    /// For a running call that has lost its way out: all servers are asked almost at once, and again and again. Servers of the address
    /// `own` come first: the other side's server lets these through already, whatever its phone book names. Or they are not asked, where
    /// the call wants to get away from there. The new relayed address is of the family of the call's.
    pub(crate) fn of_recovery((own, is_elsewhere): (IpAddr, bool), is_ipv6: bool) -> Self {
        Self {
            slot: 0,
            avoid: Vec::new(),
            first: vec![own],
            without: Vec::from_iter(is_elsewhere.then_some(own)),
            stagger: Duration::from_millis(100),
            limit: Duration::from_secs(4),
            recovers: true,
            is_ipv6: Some(is_ipv6),
        }
    }

    /// For a slot of the pool: no person waits, and a second server shall not see this engine because the first had a slow moment. The
    /// limit is that of the slowest connection over TLS.
    pub(crate) const fn of_slot(slot: usize) -> Self {
        Self {
            slot,
            avoid: Vec::new(),
            first: Vec::new(),
            without: Vec::new(),
            stagger: Duration::from_secs(1),
            limit: Duration::from_secs(14),
            recovers: false,
            is_ipv6: None,
        }
    }
}

/// An allocation that won its race: nothing has been sent through it yet.
#[derive(Debug)]
pub(crate) struct Winner {
    pub(crate) way: TurnWay,
    pub(crate) turn: TurnSocket,
    pub(crate) choice: ServerChoice,
}

/// How a race ended.
type Outcome = Result<Box<Winner>, TurnProbeError>;

/// A race that runs. It must be [ended](Self::end), before its outcome is there or after.
#[derive(Debug)]
pub(crate) struct Race {
    outcome: mpsc::Receiver<Outcome>,
    task: JoinHandle<()>,
}

impl Race {
    /// Begins a race.
    pub(crate) fn start(servers: impl DialTurn, terms: RaceTerms) -> Self {
        let (to_owner, outcome) = mpsc::channel(1);
        let task = tokio::spawn(run(servers, terms, to_owner));
        Self { outcome, task }
    }

    /// Waits for the winner. Cancelling it loses nothing; it is told once.
    ///
    /// # Errors
    /// [`TurnProbeError`]: why the server that comes first gives no allocation; no other does either.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let outcome = self.outcome.recv().await;
        outcome.unwrap_or(Err(TurnProbeError::Refused(FarLegError::ServerGone)))
    }

    /// Ends the race if it still runs, and waits until everything is released that its owner did not take: two seconds at most.
    pub(crate) async fn end(mut self) {
        self.outcome.close();
        if let Ok(Ok(winner)) = self.outcome.try_recv() {
            release(winner.way, winner.turn).await;
        }
        self.task.await.ok();
    }
}

/// What became of one entry.
struct Attempt {
    entry: usize,
    /// What is left of it; `None` if it has no socket.
    began: Option<(TurnWay, TurnSocket)>,
    outcome: Result<(), TurnProbeError>,
}

async fn run<S: DialTurn>(servers: S, terms: RaceTerms, to_owner: mpsc::Sender<Outcome>) {
    let mut order = servers.order(terms.slot, &terms.avoid);
    order.retain(|entry| !servers.is_at(*entry, &terms.without));
    order.sort_by_key(|entry| !servers.is_at(*entry, &terms.first));
    let mut race = WayRace::new(&order, terms.stagger, terms.limit, clock::now());
    let (stop, stopped) = watch::channel(());
    let (mut attempts, mut releases) = (JoinSet::new(), JoinSet::new());
    let mut standing = None;
    let outcome = loop {
        match race.poll() {
            Some(RaceOutput::Begin(entry)) => {
                let is_over = stopped.clone();
                attempts.spawn(attempt(servers.clone(), entry, terms.clone(), is_over));
                continue;
            }
            Some(RaceOutput::Won { entry, beaten }) => {
                let choice = servers.note_won(entry, beaten);
                let won = standing.take();
                let won = won.map(|(way, turn)| Winner { way, turn, choice });
                break won.map(Box::new).ok_or(NO_ANSWER);
            }
            Some(RaceOutput::Over(_)) if order.is_empty() => break Err(TurnProbeError::NoLogin),
            Some(RaceOutput::Over(fault)) => break Err(fault.unwrap_or(NO_ANSWER)),
            None => {}
        }
        tokio::select! {
            Some(Ok(ended)) = attempts.join_next() => {
                let Attempt { entry, began, outcome } = ended;
                match (began, outcome) {
                    (Some(began), Ok(())) => {
                        race.handle_standing(entry);
                        standing = Some(began);
                    }
                    (began, outcome) => {
                        let error = outcome.err().unwrap_or(NO_ANSWER);
                        race.handle_failed(entry, error, clock::now());
                        releases.spawn(release_begun(began));
                    }
                }
            }
            () = until(race.next_timeout()) => race.handle_timeout(clock::now()),
            () = to_owner.closed() => break Err(NO_ANSWER),
        }
    };
    drop((stop, stopped));
    if let Err(mpsc::error::SendError(Ok(unclaimed))) = to_owner.send(outcome).await {
        releases.spawn(release_begun(Some((unclaimed.way, unclaimed.turn))));
    }
    drop(to_owner);
    while let Some(ended) = attempts.join_next().await {
        releases.spawn(release_begun(ended.ok().and_then(|ended| ended.began)));
    }
    while releases.join_next().await.is_some() {}
}

const NO_ANSWER: TurnProbeError = TurnProbeError::Refused(FarLegError::Timeout);

async fn release_begun(began: Option<(TurnWay, TurnSocket)>) {
    if let Some((way, turn)) = began {
        release(way, turn).await;
    }
}

/// Asks the server of an entry for an allocation: once more if its refusal can be helped. Ends early when the race is over.
async fn attempt<S: DialTurn>(
    servers: S,
    entry: usize,
    terms: RaceTerms,
    mut race_ends: watch::Receiver<()>,
) -> Attempt {
    let RaceTerms {
        recovers, is_ipv6, ..
    } = terms;
    let (mut is_first, mut relays_ipv6) = (true, is_ipv6.unwrap_or(false));
    loop {
        let dialled = tokio::select! {
            dialled = dial(&servers, entry, recovers) => dialled,
            _ = race_ends.changed() => Err(NO_ANSWER),
        };
        let (mut way, mut turn) = match dialled {
            Ok(DialledTurn { socket, config }) => {
                let config = FarConfig {
                    relays_ipv6,
                    ..config
                };
                (TurnWay::new(config, clock::now()), socket)
            }
            Err(error) => {
                return Attempt {
                    entry,
                    began: None,
                    outcome: Err(error),
                };
            }
        };
        let allocated = tokio::select! {
            allocated = allocate(&mut way, &mut turn) => allocated,
            _ = race_ends.changed() => Err(FarLegError::Timeout),
        };
        if let Err(FarLegError::Allocation { code }) = &allocated
            && std::mem::take(&mut is_first)
            && can_be_helped(*code, is_ipv6, &turn)
        {
            relays_ipv6 |= refusals::remedy(*code) == Remedy::OtherFamily;
            tracing::debug!(code, "a TURN server refused, and is asked once more");
            continue;
        }
        return Attempt {
            entry,
            began: Some((way, turn)),
            outcome: allocated.map_err(TurnProbeError::Refused),
        };
    }
}

/// Connects to the server of an entry. A call that waits for it to come back does so each second, until the race ends.
async fn dial<S: DialTurn>(
    servers: &S,
    entry: usize,
    recovers: bool,
) -> Result<DialledTurn, TurnProbeError> {
    if !recovers {
        return servers.dial(entry).await;
    }
    loop {
        let again = clock::now() + CONNECT_AGAIN;
        match timeout(CONNECT_LIMIT, servers.dial(entry)).await {
            Ok(dialled @ (Ok(_) | Err(TurnProbeError::NoLogin))) => return dialled,
            Ok(Err(_)) | Err(_) => until(Some(again)).await,
        }
    }
}

/// Whether the same server may grant to the next socket what it refused to this one.
fn can_be_helped(code: u16, is_ipv6: Option<bool>, turn: &TurnSocket) -> bool {
    match refusals::remedy(code) {
        Remedy::NextServer => false,
        Remedy::NewSocket => true,
        Remedy::OtherFamily => is_ipv6.is_none(),
        Remedy::OtherLogin => turn.note_login_full(),
    }
}

async fn allocate(way: &mut TurnWay, turn: &mut TurnSocket) -> Result<(), FarLegError> {
    let mut buffer = Vec::new();
    loop {
        while let Some(output) = send(way, turn) {
            match output {
                WayOutput::Standing(_) => return Ok(()),
                WayOutput::Lost(fault) => return Err(fault),
                _ => {}
            }
        }
        step(way, turn, &mut buffer, None).await;
    }
}

#[cfg(test)]
mod tests;
