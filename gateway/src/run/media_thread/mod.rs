//! Threads that move the media of calls: level-triggered `epoll` (Linux), no runtime below.
//!
//! A call that has an allocation lives on one thread, with its bridge and all its sockets, until it is over. A packet is read into the
//! thread's buffer, handled and sent on, without a queue, a lock or another thread. What takes time stays in the call's task
//! ([`media_task`](super::media_task)): races for allocations, releases.
//!
//! ```text
//!   task --- Message (unbounded) + bell (eventfd) --> thread     orders, another way out
//!   task <-- ThreadReport (unbounded) ----------------- thread     a way to release, a search that is wanted, the end
//!   loop <-- MediaTaskEvent (bounded) --------------- thread     what the engine learns
//! ```
//!
//! *Bounds.* A thread empties its messages at each wake, and the engine's rules bound the orders of a call. A call reports a search when it
//! begins or ends and a way when it got another one. Events are as many as the network causes: while the event loop has no room, a call keeps
//! those of one input, and reads nothing more from its TURN server, so that a flood stops the flooded call alone.
//!
//! *Faults.* A panic ends the call in which it happened; a thread that ends takes its calls with it, and another one is started for the next.
//! Their tasks notice that no report can come any more, and tell the engine.

mod batches;
mod call;
mod poller;
mod reactor;
#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use ringfence_engine::{CallLabel, MediaOrder};
use ringfence_media::MediaStats;
use ringfence_media::far::TurnWay;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc as reports;

use self::call::ThreadCall;
use super::allocated_media::AllocatedMedia;
use super::media_task::MediaTaskEvent;
use super::recovery::SearchTerms;
use crate::clock;
use crate::net::rtp_ports::RtpPorts;
use crate::turn::pool::{Checks, Home};
use crate::turn::wire::TurnWire;

/// More threads than that are of no use: each serves hundreds of calls.
const MOST_THREADS: usize = 4;

/// A call that is to live on a thread.
#[derive(Debug)]
pub(super) struct ThreadCallParts {
    pub(super) label: CallLabel,
    pub(super) media: AllocatedMedia,
    pub(super) turn: TurnWire,
    /// One entry for each address at which phones of the line registered, until the phone's terms name one.
    pub(super) ports: Vec<RtpPorts>,
    /// To the event loop.
    pub(super) events: reports::Sender<MediaTaskEvent>,
}

/// What the task of a call orders.
#[derive(Debug)]
pub(super) enum CallOrder {
    /// An order of the engine.
    Engine(Box<MediaOrder>),
    /// To take another way out.
    Adopt(Box<TurnWay>, TurnWire),
    /// This machine reaches the world another way than before.
    NetworkChange,
    /// The call is over.
    Close,
    /// A fault of the media core.
    #[cfg(test)]
    Panic,
}

/// What a thread reports to the task of a call.
#[derive(Debug)]
pub(super) enum ThreadReport {
    /// Another way out is looked for on these terms, or no longer.
    Search(Option<SearchTerms>),
    /// A way out that is to be released.
    Release(Box<TurnWay>, TurnWire),
    /// The call has no media any more; its final figures.
    Closing(Box<MediaStats>),
    /// The call is over, and its allocation never had a peer.
    Unused(Box<TurnWay>, TurnWire, Checks, Home),
}

/// What reaches a thread.
enum Message {
    Add(u64, Box<ThreadCall>),
    Order(u64, CallOrder),
    /// A fault of the thread itself.
    #[cfg(test)]
    Panic,
}

/// The threads of one engine.
#[derive(Debug)]
pub(crate) struct MediaThreads {
    /// Started when they are needed first.
    threads: Mutex<Vec<Option<MediaThread>>>,
    next_call: AtomicU64,
}

/// A thread, seen from outside.
#[derive(Debug)]
struct MediaThread {
    inbox: Inbox,
    /// Cloned for each call of the thread.
    calls: Arc<()>,
    thread: JoinHandle<()>,
}

/// Where a thread takes messages.
#[derive(Clone, Debug)]
struct Inbox {
    /// Taken when this end is dropped.
    messages: Option<mpsc::Sender<Message>>,
    bell: Arc<OwnedFd>,
}

/// A call on a thread, as its task has it. The call is over when this is dropped.
#[derive(Debug)]
pub(super) struct CallOnThread {
    call: u64,
    inbox: Inbox,
    /// Boxed, as the channel of a call has room for thirty-two from the beginning.
    reports: reports::UnboundedReceiver<Box<ThreadReport>>,
}

impl MediaThreads {
    /// One thread less than there are cores, as the rest of the engine needs one; at least one.
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with(cores.saturating_sub(1).clamp(1, MOST_THREADS))
    }

    fn with(count: usize) -> Self {
        Self {
            threads: Mutex::new((0..count).map(|_| None).collect()),
            next_call: AtomicU64::new(0),
        }
    }

    /// Gives a call to the thread that has the fewest.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn place(&self, new: ThreadCallParts) -> io::Result<CallOnThread> {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |thread: &Option<MediaThread>| {
            let calls = thread
                .as_ref()
                .map(|thread| Arc::strong_count(&thread.calls));
            calls.unwrap_or_default()
        };
        let count = threads.len();
        let fewest = (0..count).min_by_key(|at| threads.get(*at).map_or(usize::MAX, load));
        let slot = fewest.and_then(|at| threads.get_mut(at));
        let slot = slot.ok_or(io::ErrorKind::Unsupported)?;
        if slot
            .as_ref()
            .is_some_and(|thread| thread.thread.is_finished())
        {
            tracing::error!("a media thread has ended, and another one takes its place");
            *slot = None;
        }
        let thread = match slot {
            Some(thread) => thread,
            None => slot.insert(MediaThread::start()?),
        };
        let (to_task, reports) = reports::unbounded_channel();
        let added = ThreadCall::new(new, to_task, Arc::clone(&thread.calls), clock::now());
        thread.inbox.send(Message::Add(call, Box::new(added)));
        Ok(CallOnThread {
            call,
            inbox: thread.inbox.clone(),
            reports,
        })
    }
}

impl MediaThread {
    fn start() -> io::Result<Self> {
        let (messages, received) = mpsc::channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let heard = Arc::clone(&bell);
        let thread = thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                if let Err(error) = reactor::run(&received, &heard) {
                    tracing::error!(%error, "a media thread has ended");
                }
            })?;
        let messages = Some(messages);
        Ok(Self {
            inbox: Inbox { messages, bell },
            calls: Arc::default(),
            thread,
        })
    }
}

impl Inbox {
    fn send(&self, message: Message) {
        if let Some(messages) = &self.messages {
            // A thread that has ended has taken its calls with it, which their tasks learn.
            messages.send(message).ok();
        }
        self.ring();
    }

    fn ring(&self) {
        // A bell that was rung 2^64 times rings all the same.
        rustix::io::write(&*self.bell, &1_u64.to_ne_bytes()).ok();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.messages = None;
        // The thread ends with its last call and the last way to it.
        self.ring();
    }
}

impl CallOnThread {
    /// Gives an order, which is carried out after those before it.
    pub(super) fn order(&self, order: CallOrder) {
        self.inbox.send(Message::Order(self.call, order));
    }

    /// The next report; `None` once the call is over. Cancelling it loses nothing.
    pub(super) async fn report(&mut self) -> Option<Box<ThreadReport>> {
        self.reports.recv().await
    }
}

impl Drop for CallOnThread {
    fn drop(&mut self) {
        self.order(CallOrder::Close);
    }
}
