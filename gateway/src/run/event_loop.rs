//! The event loop of a running engine. It waits for one input, hands it to the engine, then carries out every output.
//!
//! ```text
//!   phones (SIP) ──────────┐                        ┌─▶ Output::Phone       net/phone
//!   relays (envelopes) ────┤                        ├─▶ Output::Post        net/relay
//!   media (events) ────────┼─▶ Engine::handle_* ──▶ ├─▶ Output::Media       run/media_task, then run/media_thread
//!   proof of work ─────────┤    then Engine::poll   ├─▶ Output::WantProofs  run/pow_worker, threads
//!   state writer ──────────┤    until None          ├─▶ Output::ContactUpdate ...  state/writer, a thread
//!   commands (owner, page) ┤                        └─▶ Output::Step        watchers of the gateway
//!   next timeout ──────────┘
//! ```
//!
//! [`EventLoop::run`] is the loop, [`EventLoop::carry_out`] the outputs, `commands` what the owner asks. Rules of calls are the engine's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_engine::sealed::proof_of_work::ProofOfWork;
use ringfence_engine::time::UnixTime;
use ringfence_engine::{CallLabel, Engine, MediaOrder, Output, PostId, ReceivedEvent, SealedEvent};
use ringfence_media::LONGEST_LINGER;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, timeout};

use super::command::GatewayCommand;
use super::conditions::{ConditionWatch, LOOK};
use super::connections::NetworkState;
use super::desktop::DesktopNotices;
use super::event::Event;
use super::media_task::{self, MediaTaskContext, MediaTaskEvent};
use super::media_thread::MediaThreads;
use super::parts::{GatewayParts, of_sockets};
use super::pow_worker::ProofWorkers;
use crate::clock::{self, until};
use crate::net::phone::{PhoneInput, PhoneSockets};
use crate::net::relay::{ListeningWatch, RelayInbox, Relays};
use crate::state::keystore::Evidence;
use crate::state::writer::{RunningWriter, SavedContacts, StateChange, StateWriter};
use crate::stats::quality_history::QualityHistories;
use crate::stats::totals::CallTotals;
use crate::turn::pool::AllocationPool;

/// Events of the media of all calls that wait for the loop. When the queue is full, calls wait before they take more of what makes events.
const MEDIA_EVENTS: usize = 1_024;

/// Results of publishing, and proofs of work, that wait for the loop.
const RESULTS: usize = 1_024;

/// How long a stopping gateway waits until the phones and the other engines have confirmed the ends of all calls.
const SHUT_DOWN: Duration = Duration::from_millis(2_500);

/// How long the last events may take to reach a relay after that, and the pool to release its allocation (started at shutdown).
const LAST_POSTS: Duration = Duration::from_millis(300);
const LAST_RELEASE: Duration = Duration::from_millis(450);

/// How long the media of the last calls may go on after their ends, as after those of others, and then release their allocations.
const LAST_MEDIA: Duration = LONGEST_LINGER.saturating_add(LAST_RELEASE);

/// How long the disk may take for the last changes: a person made them, and nothing else has a copy.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The engine and everything that brings it input or takes its output.
pub(super) struct EventLoop {
    pub(super) engine: Engine,
    phones: PhoneSockets,
    pub(super) relays: Arc<Relays>,
    pub(super) envelopes: RelayInbox,
    pub(super) listening: ListeningWatch,
    pub(super) media: MediaTaskContext,
    /// `None` once it was asked to release its allocation.
    pub(super) pool: Option<AllocationPool>,
    pub(super) writer: Option<RunningWriter>,
    media_events: mpsc::Receiver<MediaTaskEvent>,
    media_tasks: BTreeMap<CallLabel, mpsc::UnboundedSender<Box<MediaOrder>>>,
    posted: Pipe<(PostId, usize)>,
    proofs: Pipe<ProofOfWork>,
    workers: ProofWorkers,
    pub(super) work_bits: u8,
    pub(super) totals: CallTotals,
    pub(super) histories: QualityHistories,
    pub(super) watch: ConditionWatch,
    pub(super) network: NetworkState,
    notices: Option<DesktopNotices>,
    events: broadcast::Sender<Event>,
}

/// What ends one wait of the loop.
enum LoopInput {
    Phone(PhoneInput),
    Envelope(ReceivedEvent),
    Media(MediaTaskEvent),
    ProofOfWork(ProofOfWork),
    Saved(SavedContacts),
    Posted(PostId, usize),
    Command(GatewayCommand),
    /// The conditions are to be looked at.
    Look,
    Timeout,
}

/// Both ends of a channel from a task back into the loop.
struct Pipe<T> {
    into: mpsc::Sender<T>,
    out: mpsc::Receiver<T>,
}

impl<T> Pipe<T> {
    fn new(capacity: usize) -> Self {
        let (into, out) = mpsc::channel(capacity);
        Self { into, out }
    }
}

impl EventLoop {
    pub(super) fn new(
        parts: GatewayParts,
        phones: PhoneSockets,
        events: broadcast::Sender<Event>,
    ) -> Self {
        let (to_loop, media_events) = mpsc::channel(MEDIA_EVENTS);
        let (relays, envelopes) = parts.relays;
        let work_bits = parts.engine.work_bits;
        let (pool, allocations) = AllocationPool::start(parts.turn.clone());
        let notices = parts
            .notifications
            .then(|| DesktopNotices::new(&parts.saved_state));
        let network = NetworkState::new(parts.outbound.proxy().is_some());
        let mut engine = Engine::new(
            parts.engine,
            parts.lines,
            parts.book_key,
            parts.directory,
            rand::random(),
            (wall(), clock::now()),
        );
        engine.handle_contacts(parts.contacts, 0, clock::now());
        engine.handle_saved_state(parts.saved_state);
        engine.handle_restart_state(of_sockets(parts.restart, &phones), clock::now());
        let proofs = Pipe::new(RESULTS);
        Self {
            engine,
            phones,
            listening: ListeningWatch::new(relays.state(), clock::now()),
            relays: Arc::new(relays),
            envelopes,
            media: MediaTaskContext {
                threads: Arc::new(MediaThreads::new()),
                allocations,
                turn: parts.turn,
                redundancy: parts.redundancy,
                network: network.changes(),
                events: to_loop,
            },
            pool: Some(pool),
            writer: parts.writer.map(StateWriter::start),
            media_events,
            media_tasks: BTreeMap::new(),
            posted: Pipe::new(RESULTS),
            workers: ProofWorkers::new(proofs.into.clone()),
            proofs,
            work_bits,
            totals: CallTotals::default(),
            histories: QualityHistories::default(),
            watch: ConditionWatch::default(),
            network,
            notices,
            events,
        }
    }

    /// Runs until the gateway is told to stop, or its owner is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<GatewayCommand>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline: Option<Instant> = None;
        let mut releasing = None;
        loop {
            self.carry_out();
            if deadline.is_some_and(|end| self.engine.is_idle() || end <= clock::now()) {
                break;
            }
            let timeout = self.engine.next_timeout().map(|(at, _)| at);
            let wake = timeout.into_iter().chain(deadline).min();
            let input = tokio::select! {
                Some(input) = self.phones.recv() => LoopInput::Phone(input),
                Some(incoming) = self.envelopes.recv() => LoopInput::Envelope(incoming),
                Some(event) = self.media_events.recv() => LoopInput::Media(event),
                Some(proof) = self.proofs.out.recv() => LoopInput::ProofOfWork(proof),
                Some(saved) = next_saved(&mut self.writer) => LoopInput::Saved(saved),
                Some((post, relays)) = self.posted.out.recv() => LoopInput::Posted(post, relays),
                command = commands.recv(), if deadline.is_none() => {
                    LoopInput::Command(command.unwrap_or(GatewayCommand::Stop))
                }
                _ = look.tick(), if deadline.is_none() => LoopInput::Look,
                () = until(wake) => LoopInput::Timeout,
            };
            // First of all: if the machine has slept, the engine would judge a ring, or make one, with the time of before.
            let now = clock::now();
            self.engine.handle_wall(wall(), now);
            self.engine
                .handle_listening(self.listening.is_listening(now));
            let pool = self.pool.as_ref().map(AllocationPool::state);
            let reaches_turn = !pool.is_some_and(|pool| pool.borrow().is_without_server());
            self.engine.handle_turn_reached(reaches_turn);
            match input {
                LoopInput::Phone(input) => self.handle_phone(input),
                LoopInput::Envelope(incoming) => self.engine.handle_envelope(&incoming, now),
                LoopInput::Media(event) => self.handle_media(event),
                LoopInput::ProofOfWork(proof) => self.engine.handle_proof_of_work(proof, now),
                LoopInput::Saved(saved) => self.handle_saved(saved),
                LoopInput::Posted(post, relays) => self.engine.handle_posted(post, relays, now),
                LoopInput::Command(GatewayCommand::Stop) => {
                    deadline = Some(now + SHUT_DOWN);
                    releasing = self.pool.take().map(AllocationPool::release);
                    self.engine.shut_down(now);
                }
                LoopInput::Command(command) => self.handle_command(command),
                LoopInput::Look => {
                    self.look_at_network();
                    self.look_around();
                }
                LoopInput::Timeout => self.engine.handle_timeout(now),
            }
        }
        self.finish(releasing).await;
    }

    /// Ends the media tasks and waits, within limits, for the last events, the media of the last calls, the release of the pool's allocation and the disk.
    async fn finish(mut self, releasing: Option<JoinHandle<()>>) {
        self.media_tasks.clear();
        drop(self.media);
        // Each task has a sender, and so has each call on a thread.
        let last_media = async { while self.media_events.recv().await.is_some() {} };
        let last_media = timeout(LAST_MEDIA, last_media);
        let written = self
            .writer
            .take()
            .map(|writer| timeout(LAST_WRITES, writer.finish()));
        drop(self.posted.into);
        let last_posts = async { while self.posted.out.recv().await.is_some() {} };
        let last_posts = timeout(LAST_POSTS, last_posts);
        match releasing {
            // An allocation whose server does not answer ends with its lifetime.
            Some(task) => drop(tokio::join!(
                last_posts,
                last_media,
                timeout(LAST_RELEASE, task)
            )),
            None => drop(tokio::join!(last_posts, last_media)),
        }
        if let Some(written) = written {
            drop(written.await);
        }
    }

    fn handle_phone(&mut self, input: PhoneInput) {
        match input {
            PhoneInput::Message(flow, bytes) => {
                self.engine.handle_phone(flow, &bytes, clock::now());
                if flow.transport.is_reliable() {
                    self.phones.note(flow, self.engine.is_registered(flow));
                }
            }
            PhoneInput::Closed(flow) => self.engine.handle_flow_closed(flow, clock::now()),
        }
    }

    fn handle_media(&mut self, event: MediaTaskEvent) {
        match event {
            MediaTaskEvent::Engine(call, event) => {
                self.engine.handle_media(call, event, clock::now());
            }
            MediaTaskEvent::Stats(call, figures) => self
                .engine
                .note_quality(call, self.histories.add(call, &figures)),
            MediaTaskEvent::Ended(call, figures) => {
                self.histories.end(call);
                self.totals.add(&figures);
                self.notify(Event::Figures { call, figures });
            }
        }
    }

    /// Carries out everything that the engine has asked for.
    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Phone { flow, bytes } => self.phones.send(flow, bytes),
                Output::CloseFlow(flow) => self.phones.close(flow),
                Output::Post(post) => self.publish(post),
                Output::WantProofs(count) => self.workers.order(count, self.work_bits),
                Output::WantProofFor(key) => self.workers.order_for(key, self.work_bits),
                Output::Media { call, order } => self.order(call, order),
                Output::ContactUpdate { count, learnt } => {
                    self.write(StateChange::Learnt { count, learnt });
                }
                Output::SavedState => {
                    let saved_state = Box::new(self.engine.saved_state().clone());
                    if let Some(notices) = &mut self.notices {
                        notices.look(&saved_state, clock::now());
                    }
                    self.write(StateChange::SavedState(saved_state));
                }
                Output::RestartState => {
                    let state = Box::new(self.engine.restart_state(clock::now()));
                    self.write(StateChange::Restart(state));
                }
                Output::CheckConnections => self.check_connections(),
                Output::SplitView(split) => self.write(StateChange::Evidence((*split).into())),
                Output::FalseRecord(record) => {
                    self.write(StateChange::Evidence(Evidence::Record(Box::new(record))));
                }
                Output::Step {
                    call,
                    parties,
                    step,
                } => {
                    let at = clock::now();
                    self.note_step(call, step);
                    self.notify(Event::Step {
                        call,
                        parties,
                        step,
                        at,
                    });
                }
            }
        }
    }

    fn notify(&self, event: Event) {
        // An error only says that no receiver exists.
        self.events.send(event).ok();
    }

    fn write(&self, change: StateChange) {
        let Some(writer) = &self.writer else {
            return;
        };
        if writer.changes.try_send(change).is_err() {
            tracing::warn!(
                "the disk is too slow: a change of a contact, of the saved state, of the restart state or evidence is not written"
            );
        }
    }

    fn publish(&self, post: SealedEvent) {
        let (relays, results) = (Arc::clone(&self.relays), self.posted.into.clone());
        tokio::spawn(async move {
            let id = post.id;
            let confirmed = match relays.publish(post.into()).await {
                Ok(()) => 1,
                Err(error) => {
                    tracing::warn!(%error, "no relay confirmed an envelope");
                    0
                }
            };
            // At shutdown the loop may be gone.
            results.send((id, confirmed)).await.ok();
        });
    }

    /// Gives an order to the media task of a call; the first order starts the task.
    fn order(&mut self, call: CallLabel, order: MediaOrder) {
        let ends = matches!(order, MediaOrder::Close);
        if !self.media_tasks.contains_key(&call) {
            if ends {
                return;
            }
            let (sender, orders) = mpsc::unbounded_channel();
            tokio::spawn(media_task::run(call, self.media.clone(), orders));
            self.media_tasks.insert(call, sender);
        }
        let Some(task) = self.media_tasks.get(&call) else {
            return;
        };
        if task.send(Box::new(order)).is_err() {
            tracing::debug!(%call, "the media task of a call has ended");
        }
        if ends {
            self.media_tasks.remove(&call);
        }
    }
}

pub(super) fn wall() -> UnixTime {
    let millis = clock::since_epoch().as_millis();
    UnixTime::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The contacts, whenever the disk has others than the engine; never, when nothing is kept on a disk.
async fn next_saved(writer: &mut Option<RunningWriter>) -> Option<SavedContacts> {
    match writer {
        Some(writer) => writer.saved.recv().await,
        None => None,
    }
}
