//! One task a call for what takes time: it opens the phone's ports, gets an allocation, and gives both to a
//! [media thread](super::media_thread), on which the call's packets move until it is over. Then it passes orders on, looks for another
//! way out where the call wants one, and releases what the call leaves.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder};
use ringfence_media::MediaStats;
use tokio::sync::{mpsc, watch};

use super::media_thread::{CallOnThread, CallOrder, MediaThreads, ThreadCallParts, ThreadReport};
use super::recovery::Recovery;
use super::way_out::{self, OpenMedia, Racing};
use crate::net::rtp_ports::RtpPorts;
use crate::turn::pool::AllocationPoolHandle;
use crate::turn::probe::TurnProbeError;
use crate::turn::race::Winner;
use crate::turn::servers::TurnServers;

/// What the media of calls tells the event loop.
#[derive(Debug)]
pub(crate) enum MediaTaskEvent {
    /// An input for the engine.
    Engine(CallLabel, MediaEvent),
    /// The figures of a call so far.
    Stats(CallLabel, Box<MediaStats>),
    /// The media of a call has ended; these are its final figures.
    Ended(CallLabel, Box<MediaStats>),
}

/// What the media tasks of all calls share.
#[derive(Clone, Debug)]
pub(crate) struct MediaTaskContext {
    /// The threads of calls that have an allocation.
    pub(crate) threads: Arc<MediaThreads>,
    /// The allocation that is kept ready.
    pub(crate) allocations: AllocationPoolHandle,
    /// The servers to ask when none is ready.
    pub(crate) turn: TurnServers,
    /// How many earlier frames' sound each frame of a call may carry.
    pub(crate) redundancy: usize,
    /// Changes when this machine reaches the world another way than before.
    pub(crate) network: watch::Receiver<u64>,
    /// To the event loop.
    pub(crate) events: mpsc::Sender<MediaTaskEvent>,
}

/// The orders of one call. A queue without a bound, as an order that is lost would leave a call open: the engine's rules bound them to some
/// a second, and the task waits for nothing before it takes the next.
pub(crate) type MediaOrders = mpsc::UnboundedReceiver<Box<MediaOrder>>;

/// What a call has so far.
#[derive(Debug)]
enum Progress {
    /// Nothing, or ports; or it failed.
    Ports(Vec<RtpPorts>),
    /// The TURN servers are asked.
    Racing(Vec<RtpPorts>, Box<Racing>),
    OnThread(CallOnThread),
}

/// Work that is on the heap while it lasts, as all that is rare: a task is as large as its largest wait.
pub(super) type Rare<'a, T> = BoxFuture<'a, T>;

/// What a call waits for beside orders.
enum News {
    Raced(Result<Box<Winner>, TurnProbeError>),
    /// `None` when its thread has given the call up.
    Report(Option<Box<ThreadReport>>),
}

/// Serves one call until its orders end.
pub(crate) async fn run(call: CallLabel, context: MediaTaskContext, mut orders: MediaOrders) {
    let mut progress = Progress::Ports(Vec::new());
    let mut recovery = Recovery::default();
    let mut network = context.network.clone();
    network.mark_unchanged();
    loop {
        tokio::select! {
            order = orders.recv() => match order.map(|order| *order) {
                None | Some(MediaOrder::Close) => break,
                Some(order) => progress = progress.handle_order(order, call, &context).await,
            },
            news = progress.news() => match news {
                News::Raced(outcome) => {
                    progress = progress.handle_outcome(outcome, call, &context).await;
                }
                News::Report(Some(report)) => {
                    handle_report(report, call, &mut recovery, &context).await;
                }
                News::Report(None) => {
                    tracing::error!(%call, "a call has lost the thread of its media");
                    recovery.follow(None, &context);
                    progress = Progress::Ports(Vec::new());
                    give_up(call, &context).await;
                }
            },
            winner = recovery.winner() => {
                if let Progress::OnThread(thread) = &progress {
                    let Winner { way, turn, .. } = *winner;
                    match turn.into_wire() {
                        Ok(wire) => thread.order(CallOrder::Adopt(Box::new(way), wire)),
                        Err(error) => tracing::debug!(%error, "a socket cannot be used"),
                    }
                }
            }
            Ok(()) = network.changed() => match &mut progress {
                Progress::Ports(_) => {}
                Progress::Racing(_, racing) => recovery.end_race(racing.begin_again(&context)),
                Progress::OnThread(thread) => {
                    thread.order(CallOrder::NetworkChange);
                    recovery.handle_network_change();
                }
            },
        }
    }
    match progress {
        Progress::Ports(_) => {}
        Progress::Racing(_, racing) => Box::pin(racing.end()).await,
        Progress::OnThread(thread) => {
            finish(thread, call, &mut recovery, &context).await;
        }
    }
    Box::pin(recovery.end()).await;
}

impl Progress {
    fn handle_order(
        mut self,
        order: MediaOrder,
        call: CallLabel,
        context: &MediaTaskContext,
    ) -> Rare<'_, Self> {
        Box::pin(async move {
            match (&mut self, order) {
                (Self::Ports(ports), MediaOrder::OpenNear { at, video }) => {
                    *ports = RtpPorts::open(&at, video);
                    notify(call, context, opened(&at, ports)).await;
                }
                (Self::Ports(ports), MediaOrder::OpenFar { avoid }) => {
                    let ports = std::mem::take(ports);
                    return match way_out::take_ready(&avoid, context).await {
                        Some(media) => place(media, ports, call, context).await,
                        None => Self::Racing(ports, Box::new(Racing::start(&avoid, context))),
                    };
                }
                (Self::Ports(ports), MediaOrder::SendToPhone { to, bytes }) => {
                    let ports = ports.first();
                    // A packet that is lost is not repeated, as on any network.
                    ports.map(|ports| ports.audio.rtp.send_to(&bytes, to));
                }
                // The other side is told of a failure, and nothing can be carried out.
                (Self::Ports(_), _) => {}
                (Self::Racing(_, racing), order) => racing.hold(order),
                (Self::OnThread(thread), order) => thread.order(CallOrder::Engine(Box::new(order))),
            }
            self
        })
    }

    /// The race is over: the call goes to a thread, with what it was ordered meanwhile.
    fn handle_outcome(
        self,
        outcome: Result<Box<Winner>, TurnProbeError>,
        call: CallLabel,
        context: &MediaTaskContext,
    ) -> Rare<'_, Self> {
        Box::pin(async move {
            let media = way_out::open(outcome, call, context).await;
            let Self::Racing(ports, racing) = self else {
                return self;
            };
            let Some(media) = media else {
                return Self::Ports(Vec::new());
            };
            let placed = place(media, ports, call, context).await;
            if let Self::OnThread(thread) = &placed {
                for order in racing.into_held() {
                    thread.order(CallOrder::Engine(Box::new(order)));
                }
            }
            placed
        })
    }

    /// Waits for what comes next. Cancelling it loses nothing.
    async fn news(&mut self) -> News {
        match self {
            Self::Ports(_) => std::future::pending().await,
            Self::Racing(_, racing) => {
                let outcome: Rare<'_, _> = Box::pin(racing.outcome());
                News::Raced(outcome.await)
            }
            Self::OnThread(thread) => News::Report(thread.report().await),
        }
    }
}

/// Gives a call to a thread. The engine learns if that is impossible.
async fn place(
    open: OpenMedia,
    ports: Vec<RtpPorts>,
    call: CallLabel,
    context: &MediaTaskContext,
) -> Progress {
    let OpenMedia { media, turn } = open;
    let placed = turn.into_wire().and_then(|turn| {
        context.threads.place(ThreadCallParts {
            label: call,
            media,
            turn,
            ports,
            events: context.events.clone(),
        })
    });
    match placed {
        Ok(thread) => Progress::OnThread(thread),
        Err(error) => {
            tracing::error!(%call, %error, "a call has no media");
            notify(call, context, MediaEvent::Refused(MediaFailure::NoTurn)).await;
            Progress::Ports(Vec::new())
        }
    }
}

fn handle_report<'a>(
    report: Box<ThreadReport>,
    call: CallLabel,
    recovery: &'a mut Recovery,
    context: &'a MediaTaskContext,
) -> Rare<'a, ()> {
    Box::pin(async move {
        match *report {
            ThreadReport::Search(terms) => recovery.follow(terms, context),
            ThreadReport::Release(way, wire) => recovery.release(way, wire),
            ThreadReport::Closing(figures) => {
                let ended = MediaTaskEvent::Ended(call, figures);
                // At shutdown the loop may be gone.
                context.events.send(ended).await.ok();
            }
            ThreadReport::Unused(way, wire, checks, home) => {
                if let Ok(turn) = wire.into_socket().await
                    && let Some((way, turn)) = home.give_back(*way, turn, checks)
                {
                    recovery.release_socket(Box::new(way), turn);
                }
            }
        }
    })
}

/// The engine learns that a call has no media any more, and that its figures are not known.
fn give_up(call: CallLabel, context: &MediaTaskContext) -> Rare<'_, ()> {
    Box::pin(async move {
        notify(call, context, MediaEvent::Refused(MediaFailure::NoPath)).await;
        let unknown = MediaTaskEvent::Ended(call, Box::default());
        context.events.send(unknown).await.ok();
    })
}

/// Closes the WebRTC side: its last packets leave, and the allocation is released, even one that was only requested yet. The far
/// leg itself bounds how long that may take.
fn finish<'a>(
    mut thread: CallOnThread,
    call: CallLabel,
    recovery: &'a mut Recovery,
    context: &'a MediaTaskContext,
) -> Rare<'a, ()> {
    Box::pin(async move {
        thread.order(CallOrder::Close);
        while let Some(report) = thread.report().await {
            if !matches!(*report, ThreadReport::Search(_)) {
                handle_report(report, call, recovery, context).await;
            }
        }
    })
}

pub(super) async fn notify(call: CallLabel, context: &MediaTaskContext, event: MediaEvent) {
    let event = MediaTaskEvent::Engine(call, event);
    // Without a loop, the orders end, too.
    context.events.send(event).await.ok();
}

/// What the engine learns of ports that were to be bound.
fn opened(at: &[IpAddr], ports: &[RtpPorts]) -> MediaEvent {
    if ports.is_empty() && !at.is_empty() {
        MediaEvent::Refused(MediaFailure::NoPort)
    } else {
        MediaEvent::Near(ports.iter().map(RtpPorts::describe).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::credentials::TurnLogin;
    use crate::turn::pool::AllocationPool;

    /// A call keeps its task as long as it lasts, so what a task needs for a moment only must not be part of it.
    #[tokio::test]
    async fn the_task_of_a_call_is_small() {
        let turn = TurnServers::new(Vec::new(), TurnLogin::None, true);
        let (pool, allocations) = AllocationPool::start(turn.clone());
        let context = MediaTaskContext {
            threads: Arc::new(MediaThreads::new()),
            allocations,
            turn,
            redundancy: 0,
            network: watch::channel(0).1,
            events: mpsc::channel(1).0,
        };
        let (_orders, received) = mpsc::unbounded_channel();
        let bytes = size_of_val(&run(CallLabel::default(), context, received));
        assert!(bytes <= 1_536, "{bytes} bytes");
        drop(pool);
    }
}
