//! The one loop: wait for something, let the engine change once, carry out what it asks.
//!
//! ```text
//!   phones ─┐                          ┌─▶ phones
//!   relays ─┤                          ├─▶ relays
//!   sound ──┼─▶ Engine::handle_* ─▶ poll ─▶ sound (a task per call)
//!   stamps ─┤                          ├─▶ stamps (a thread that mints)
//!   alarm ──┘                          └─▶ whoever watches
//! ```
//!
//! Nothing is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_engine::sealed::envelope::EventKey;
use ringfence_engine::sealed::proof_of_work::Stamp;
use ringfence_engine::time::UnixTime;
use ringfence_engine::{CallLabel, Engine, MediaOrder, Output, Post, PostId, Sealed};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::command::GatewayCommand;
use super::event::Event;
use super::media_task::{self, MediaTaskContext, MediaTaskEvent};
use super::parts::GatewayParts;
use super::pow_worker;
use crate::clock;
use crate::net::phone::{PhoneInput, PhoneSockets};
use crate::net::relay::{Incoming, Relays};
use crate::state::keystore::Evidence;
use crate::state::writer::{self, RunningWriter, SavedContacts, StateChange};
use crate::stats::quality_history::QualityHistories;
use crate::stats::totals::CallTotals;
use crate::turn::pool::{self, AllocationPool};

/// Words of all calls' sound that wait for the loop. Tasks wait when it is full.
const WORDS: usize = 1_024;

/// Orders that wait for one call's task: more than a call can give.
const ORDERS: usize = 32;

/// How long a stopping gateway waits for the other sides to hear that calls are over.
const GOODBYE: Duration = Duration::from_millis(2_500);

/// How long the last posts may take after that, and the spare's return, which began with the goodbye.
const LAST_POSTS: Duration = Duration::from_millis(300);
const LAST_SPARE: Duration = Duration::from_millis(450);

/// How long the disk may take for the last changes: they are what a person did, and a start does not bring them back.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// How often the wall clock is read again, so that a corrected clock is noticed.
const WALL: Duration = Duration::from_secs(30);

/// The loop's own things.
pub(super) struct EventLoop {
    pub(super) engine: Engine,
    phones: PhoneSockets,
    pub(super) relays: Arc<Relays>,
    pub(super) envelopes: mpsc::Receiver<Incoming>,
    pub(super) studio: MediaTaskContext,
    pub(super) spare: Option<AllocationPool>,
    pub(super) diary: Option<RunningWriter>,
    words: mpsc::Receiver<MediaTaskEvent>,
    sounds: BTreeMap<CallLabel, mpsc::Sender<MediaOrder>>,
    posted: Pipe<(PostId, usize)>,
    stamps: Pipe<Stamp>,
    pub(super) work_bits: u8,
    pub(super) totals: CallTotals,
    pub(super) curves: QualityHistories,
    watch: broadcast::Sender<Event>,
}

/// Both ends of a way back into the loop.
struct Pipe<T> {
    into: mpsc::Sender<T>,
    out: mpsc::Receiver<T>,
}

impl<T> Pipe<T> {
    fn new(room: usize) -> Self {
        let (into, out) = mpsc::channel(room);
        Self { into, out }
    }
}

impl EventLoop {
    pub(super) fn new(
        parts: GatewayParts,
        phones: PhoneSockets,
        watch: broadcast::Sender<Event>,
    ) -> Self {
        let (say, words) = mpsc::channel(WORDS);
        let (relays, envelopes) = parts.relays;
        let work_bits = parts.engine.work_bits;
        let (spare, shelf) = pool::keep(parts.lobby.clone());
        let mut engine = Engine::new(
            parts.engine,
            parts.lines,
            parts.book_key,
            parts.directory,
            rand::random(),
            (wall(), clock::now()),
        );
        engine.handle_contacts(parts.contacts, 0, clock::now());
        engine.handle_ledger(parts.ledger);
        Self {
            engine,
            phones,
            relays: Arc::new(relays),
            envelopes,
            studio: MediaTaskContext {
                shelf,
                lobby: parts.lobby,
                words: say,
            },
            spare: Some(spare),
            diary: parts.diary.map(writer::open),
            words,
            sounds: BTreeMap::new(),
            posted: Pipe::new(WORDS),
            stamps: Pipe::new(WORDS),
            work_bits,
            totals: CallTotals::default(),
            curves: QualityHistories::default(),
            watch,
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<GatewayCommand>) {
        let mut wall_clock = tokio::time::interval(WALL);
        let mut goodbye: Option<Instant> = None;
        let mut giving_back = None;
        loop {
            self.carry_out();
            if goodbye.is_some_and(|end| self.engine.is_idle() || end <= clock::now()) {
                break;
            }
            let alarm = self.engine.next_timeout().map(|(at, _)| at);
            let wake = alarm.into_iter().chain(goodbye).min();
            tokio::select! {
                Some(input) = self.phones.recv() => self.hear_phone(input),
                Some(incoming) = self.envelopes.recv() => {
                    // A machine that slept has lost time since the last look at the clock,
                    // and the age of a ring decides.
                    self.engine.handle_wall(wall(), clock::now());
                    self.engine.handle_envelope(&sealed(incoming), clock::now());
                }
                Some(word) = self.words.recv() => self.hear_sound(word),
                Some(stamp) = self.stamps.out.recv() => self.engine.handle_stamp(stamp, clock::now()),
                Some(saved) = edited(&mut self.diary) => self.hear_diary(saved),
                Some((post, relays)) = self.posted.out.recv() => {
                    self.engine.handle_posted(post, relays, clock::now());
                }
                request = asked.recv(), if goodbye.is_none() => match request {
                    None | Some(GatewayCommand::Stop) => {
                        goodbye = Some(clock::now() + GOODBYE);
                        giving_back = self.spare.take().map(AllocationPool::end);
                        self.engine.shut_down(clock::now());
                    }
                    Some(request) => self.handle_request(request),
                },
                _ = wall_clock.tick() => self.engine.handle_wall(wall(), clock::now()),
                () = until(wake) => self.engine.handle_timeout(clock::now()),
            }
        }
        self.finish(giving_back).await;
    }

    /// Lets posts and the phones' last messages leave, and the spare be given back, then the sound tasks end.
    async fn finish(mut self, giving_back: Option<JoinHandle<()>>) {
        self.sounds.clear();
        let written = self.diary.take().map(|open| {
            drop((open.entries, open.saved));
            timeout(LAST_ENTRIES, open.task)
        });
        drop(self.posted.into);
        let last_posts = async { while self.posted.out.recv().await.is_some() {} };
        let last_posts = timeout(LAST_POSTS, last_posts);
        match giving_back {
            // A spare that nobody could be told of ends with its lifetime.
            Some(task) => drop(tokio::join!(last_posts, timeout(LAST_SPARE, task))),
            None => drop(last_posts.await),
        }
        if let Some(written) = written {
            // Mostly it has written everything already.
            drop(written.await);
        }
    }

    fn hear_phone(&mut self, input: PhoneInput) {
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

    fn hear_sound(&mut self, word: MediaTaskEvent) {
        match word {
            MediaTaskEvent::Event(call, event) => {
                self.engine.handle_media(call, event, clock::now())
            }
            MediaTaskEvent::Glance(call, figures) => self.curves.add(call, &figures),
            MediaTaskEvent::Over(call, figures) => {
                self.curves.end(call);
                self.totals.add(&figures);
                // Nobody watching is fine.
                drop(self.watch.send(Event::Figures { call, figures }));
            }
        }
    }

    /// Carries out everything the engine has asked for.
    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Phone { flow, bytes } => self.phones.send(flow, bytes),
                Output::HangUpFlow(flow) => self.phones.close(flow),
                Output::Post(post) => self.publish(post),
                Output::WantStamps(count) => {
                    pow_worker::order(count, self.work_bits, self.stamps.into.clone());
                }
                Output::Media { call, order } => self.order(call, order),
                Output::Learnt { count, learnt } => {
                    self.write_down(StateChange::Learnt { count, learnt })
                }
                Output::Ledger => {
                    let ledger = Box::new(self.engine.ledger().clone());
                    self.write_down(StateChange::Ledger(ledger));
                }
                Output::SplitView(split) => self.write_down(StateChange::Evidence((*split).into())),
                Output::FalseRecord(record) => {
                    self.write_down(StateChange::Evidence(Evidence::Record(Box::new(record))));
                }
                Output::Step { call, step, .. } => {
                    let at = clock::now();
                    drop(self.watch.send(Event::Step { call, step, at }));
                }
            }
        }
    }

    fn write_down(&self, entry: StateChange) {
        let Some(open) = &self.diary else {
            return;
        };
        if open.entries.try_send(entry).is_err() {
            tracing::warn!(
                "the disk is too slow: something about a contact or the phone book is not written down"
            );
        }
    }

    fn publish(&self, post: Post) {
        let (relays, tell) = (Arc::clone(&self.relays), self.posted.into.clone());
        tokio::spawn(async move {
            let id = post.id;
            let taken = match relays.publish(post.into()).await {
                Ok(()) => 1,
                Err(fault) => {
                    tracing::warn!(%fault, "no relay took an envelope");
                    0
                }
            };
            // The loop may be gone: then nobody waits for the news.
            let _ = tell.send((id, taken)).await;
        });
    }

    /// Gives an order to a call's task; the first order starts the task.
    fn order(&mut self, call: CallLabel, order: MediaOrder) {
        let ends = matches!(order, MediaOrder::Close);
        if !self.sounds.contains_key(&call) {
            if ends {
                return;
            }
            let (sender, orders) = mpsc::channel(ORDERS);
            tokio::spawn(media_task::serve(call, self.studio.clone(), orders));
            self.sounds.insert(call, sender);
        }
        let Some(task) = self.sounds.get(&call) else {
            return;
        };
        if task.try_send(order).is_err() {
            tracing::debug!(%call, "a call's sound takes no more orders");
        }
        if ends {
            self.sounds.remove(&call);
        }
    }
}

fn sealed(incoming: Incoming) -> Sealed {
    Sealed {
        bucket: incoming.bucket,
        event_key: EventKey(incoming.event_key),
        nonce: incoming.work_nonce,
        bytes: incoming.bytes,
        note_made: incoming.note_made.map(UnixTime::from_seconds),
    }
}

fn wall() -> UnixTime {
    let millis = clock::since_epoch().as_millis();
    UnixTime::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The contacts, when they are others on the disk; never, when there is none.
async fn edited(diary: &mut Option<RunningWriter>) -> Option<SavedContacts> {
    match diary {
        Some(open) => open.saved.recv().await,
        None => None,
    }
}
