//! The engine's facade. `input` brings every input to the part that it concerns, `receive` does so for envelopes, and `drain`
//! collects what follows. Nothing is decided here: each part owns its state and its handlers.

mod drain;
mod input;
mod missed_notes;
mod receive;
mod strangers;

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::{BookKey, IdentityKey, Number};
use ringfence_sip as sip;

use self::missed_notes::MissedNotes;
use self::strangers::Strangers;
use crate::call::calls::Calls;
use crate::call::counts::CallCounts;
use crate::call::live::LiveCall;
use crate::config::Config;
use crate::counters::EngineCounters;
use crate::environment::Environment;
use crate::line::messages::MessageQueue;
use crate::line::old_book::OldBookNotices;
use crate::line::saved_state::SavedState;
use crate::line::state_keeper::StateKeeper;
use crate::line::subscriptions::Subscriptions;
use crate::line::written::WrittenText;
use crate::line::{Line, Lines};
use crate::output::{Outbox, Output};
use crate::presence::PresenceService;
use crate::restart::keeper::RestartKeeper;
use crate::restart::unsent::UnsentEndings;
use crate::restart::{MOST_ENDINGS, RestartState};
use crate::sealed::proof_stock::ProofStock;
use crate::sealed::replay::ReplayMemory;
use crate::time::{Moment, Timer, UnixTime, WallClock};
use crate::trust::contacts::Contacts;
use crate::trust::directory::Directory;
use crate::trust::tags::Tags;
use crate::trust::{BookAge, Trust};

/// All lines, phones and calls of one machine.
#[derive(Debug)]
pub struct Engine {
    env: Environment,
    calls: Calls,
    messages: MessageQueue,
    subscriptions: Subscriptions,
    presence: PresenceService,
    replay: ReplayMemory,
    unsent: UnsentEndings,
    missed: MissedNotes,
    strangers: Strangers,
}

impl Engine {
    /// An engine with its lines, all of the phone book that signs with `book_key`. `seed` must
    /// come from the system's random source; everything random follows from it. `wall` is
    /// the wall time at `now`.
    #[must_use]
    pub fn new(
        config: Config,
        lines: Vec<Line>,
        book_key: BookKey,
        directory: Directory,
        seed: [u8; 32],
        (wall, now): (UnixTime, Instant),
    ) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut agent_seed = [0; 32];
        rng.fill_bytes(&mut agent_seed);
        let accounts = lines.iter().map(|line| line.account.clone()).collect();
        let agent = sip::UserAgent::new(
            sip::Config {
                realm: config.realm.clone(),
                accounts,
                algorithms: config.digest,
            },
            agent_seed,
        )
        .with_limits(config.phone_calls)
        .with_unlimited(config.emergency_numbers.clone());
        let lines = Lines::new(lines);
        let mut proofs = ProofStock::default();
        proofs.ask_for(config.work_bits);
        let mut engine = Self {
            env: Environment {
                trust: Trust::new(book_key, directory, &lines),
                tags: Tags::new(wall),
                config,
                agent,
                lines,
                saved: StateKeeper::default(),
                restart: RestartKeeper::default(),
                proofs,
                rng,
                clock: WallClock::new(wall, now),
                counters: EngineCounters::default(),
                out: Outbox::default(),
                old_book: OldBookNotices::default(),
                is_listening: true,
                reaches_turn: true,
                closing: false,
            },
            calls: Calls::default(),
            messages: MessageQueue::default(),
            subscriptions: Subscriptions::default(),
            presence: PresenceService::default(),
            replay: ReplayMemory::new(Moment { wall, now }),
            unsent: UnsentEndings::default(),
            missed: MissedNotes::default(),
            strangers: Strangers::default(),
        };
        let Environment {
            trust, lines, out, ..
        } = &mut engine.env;
        trust.check_book(lines, out);
        engine.order_proofs(now);
        engine
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.env.out.pop()
    }

    /// When [`Self::handle_timeout`] wants to be called, and why.
    #[must_use]
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let sip = self.env.agent.next_timeout();
        let calls = self.calls.next_timeout().into_iter();
        calls
            .chain(sip.map(|(at, timer)| (at, Timer::Sip(timer))))
            .chain(self.messages.next_timeout())
            .chain(self.presence.next_timeout())
            .chain(self.env.restart.next_timeout())
            .chain(self.unsent.next_timeout())
            .chain(self.missed.next_timeout())
            .chain(self.strangers.next_timeout())
            .min_by_key(|(at, _)| *at)
    }

    /// No call in any state, no text that waits for a relay, and no phone that has to be told of an end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.calls.is_idle() && self.messages.is_idle() && self.env.agent.is_idle()
    }

    /// The lines of this engine, in the order in which they were given.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        self.env.lines.as_slice()
    }

    /// How many phones are registered to a line.
    #[must_use]
    pub fn phones(&self, line: &Line) -> usize {
        self.env.agent.phones(&line.account.user)
    }

    /// The ways to the phones that are registered to a line, for its user's eyes only: they hold addresses.
    #[must_use]
    pub fn flows(&self, line: &Line) -> Vec<sip::Flow> {
        self.env.agent.flows(&line.account.user).collect()
    }

    /// Whether a phone is registered over a flow.
    #[must_use]
    pub fn is_registered(&self, flow: sip::Flow) -> bool {
        self.env.agent.is_registered(flow)
    }

    /// The status by which a line's phones said that they take no texts, if they did; texts for it then wait for another phone.
    #[must_use]
    pub fn message_refusal(&self, line: &Line) -> Option<u16> {
        self.messages.refusal(line.number)
    }

    /// The numbers with which calls were answered.
    #[must_use]
    pub fn contacts(&self) -> &Contacts {
        self.env.trust.contacts()
    }

    /// The identity key that the copy of the phone book lists for a number.
    #[must_use]
    pub fn listed(&self, number: Number) -> Option<IdentityKey> {
        let found = self.env.trust.directory().look_up(number);
        found.ok().map(|keys| keys.identity)
    }

    /// Texts that the user wrote at the screen since the start, oldest first.
    #[must_use]
    pub fn written(&self) -> Vec<WrittenText> {
        self.messages.written()
    }

    /// The age of the phone book; `None` while there is none.
    #[must_use]
    pub fn book_age(&self) -> Option<BookAge> {
        self.env.trust.book_age()
    }

    /// The lines whose keys another machine holds: the book lists a ring key that their identity keys signed and this engine never had.
    #[must_use]
    pub fn lines_elsewhere(&self) -> Vec<Number> {
        self.env.trust.lines_elsewhere(&self.env.lines)
    }

    /// The calls that are not over, in no order that means anything.
    #[must_use]
    pub fn live_calls(&self) -> Vec<LiveCall> {
        self.calls.live()
    }

    /// How many calls are in which state.
    #[must_use]
    pub fn call_counts(&self) -> CallCounts {
        self.calls.counts()
    }

    /// What must outlive this process, to be saved at [`Output::SavedState`].
    #[must_use]
    pub fn saved_state(&self) -> &SavedState {
        self.env.saved.state()
    }

    /// What the next process must know, to be saved at [`Output::RestartState`].
    #[must_use]
    pub fn restart_state(&self, now: Instant) -> RestartState {
        let written = self.env.wall(now);
        let endings = self.calls.endings(written).chain(self.unsent.all());
        RestartState {
            written,
            phones: self.env.agent.bindings(now),
            final_messages: self.env.agent.final_messages(),
            endings: endings.take(MOST_ENDINGS).collect(),
        }
    }

    /// What was dropped in silence.
    #[must_use]
    pub fn counters(&self) -> EngineCounters {
        EngineCounters {
            stale_proofs: self.env.proofs.stale(),
            ..self.env.counters
        }
    }
}
