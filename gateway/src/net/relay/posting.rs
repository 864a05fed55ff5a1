//! The envelopes that one relay has still to take (NIP-01: EVENT, OK): orders, answers and time in, messages and outcomes out. No
//! socket is here.
//!
//! Many relays never confirm an ephemeral event. So an envelope counts as taken when the relay says so, and also when it was handed
//! over, the connection answered a ping after it, and no refusal came for a second. Whatever has no outcome by [`POST_LIMIT`] is given
//! up and never sent again, so that no later connection delivers a ring whose caller was told that it failed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nostr::EventId;
use ringfence_book::backoff::Backoff;
use tokio::sync::mpsc;

use super::message::PostVerdict;

/// Envelopes without an outcome, about 3 kB each, that wait for one relay. More than an engine sends in this time to a relay that answers
/// late; further ones are not taken.
pub(super) const MOST_POSTS: usize = 256;

/// The last envelopes with an outcome, whose ids are remembered, 32 kB: two hundred calls in ten seconds have no more. An answer about one
/// before them counts as nothing that was asked for.
const MOST_TOLD: usize = 1_024;

/// The longest time from the order to an outcome: a round trip of eight seconds, and the silence after it.
pub(super) const POST_LIMIT: Duration = Duration::from_secs(10);

/// How long a refusal may follow the answer to the ping: relays check events in another task than they answer pings.
const SILENCE: Duration = Duration::from_secs(1);

/// Waits before an envelope is sent again that the relay may take later (`rate-limited:`, `pow:`).
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(4);

/// What became of an envelope at one relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostOutcome {
    Taken,
    /// It was refused, or is not known to have arrived.
    NotTaken,
    /// There is no connection.
    Unconnected,
}

/// An envelope for one relay.
#[derive(Debug)]
pub(super) struct PostOrder {
    pub(super) id: EventId,
    /// The whole message (EVENT).
    pub(super) message: String,
    /// Takes one outcome of each relay, so it has room.
    pub(super) outcome: mpsc::Sender<PostOutcome>,
    pub(super) ordered: Instant,
}

#[derive(Debug)]
struct Post {
    order: PostOrder,
    state: PostState,
    retry: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PostState {
    /// To be sent at this moment.
    Due(Instant),
    /// Sent at this moment.
    Sent(Instant),
    /// A ping that was sent after it was answered; counts as taken at this moment.
    HandedOver(Instant),
}

/// The envelopes of one relay, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PostQueue {
    posts: VecDeque<Post>,
    /// The last ones whose outcome is known: the relay's own answer may still come.
    told: VecDeque<EventId>,
}

impl PostQueue {
    /// Takes an order; a full queue refuses it.
    pub(super) fn add(&mut self, order: PostOrder, now: Instant) {
        if self.posts.len() >= MOST_POSTS {
            return order.tell(PostOutcome::NotTaken);
        }
        self.posts.push_back(Post {
            state: PostState::Due(now),
            retry: Backoff::new(FIRST_RETRY, LAST_RETRY, 2),
            order,
        });
    }

    /// The next message for the relay.
    pub(super) fn poll(&mut self, now: Instant) -> Option<&str> {
        let is_due = |post: &&mut Post| matches!(post.state, PostState::Due(at) if at <= now);
        let post = self.posts.iter_mut().find(is_due)?;
        post.state = PostState::Sent(now);
        Some(&post.order.message)
    }

    /// OK. Returns whether this envelope was sent to the relay.
    pub(super) fn handle_outcome(
        &mut self,
        id: EventId,
        verdict: PostVerdict,
        now: Instant,
    ) -> bool {
        let waiting = self.posts.iter_mut().find(|post| post.order.id == id);
        let Some(post) = waiting else {
            return self.told.contains(&id);
        };
        match verdict {
            PostVerdict::Taken => self.tell(PostOutcome::Taken, |post| post.order.id == id),
            PostVerdict::TryLater => {
                post.state = PostState::Due(now + post.retry.next_delay());
            }
            PostVerdict::WantsLogin | PostVerdict::Refused => {
                self.tell(PostOutcome::NotTaken, |post| post.order.id == id);
            }
        }
        true
    }

    /// Whether this envelope was sent to the relay a short time ago.
    pub(super) fn knows(&self, id: &EventId) -> bool {
        let posts = self.posts.iter().map(|post| &post.order.id);
        posts.chain(&self.told).any(|known| known == id)
    }

    /// The connection answered a ping that was sent at this moment: everything that was sent before has arrived.
    pub(super) fn handle_pong(&mut self, pinged: Instant, now: Instant) {
        for post in &mut self.posts {
            if matches!(post.state, PostState::Sent(at) if at <= pinged) {
                post.state = PostState::HandedOver(now + SILENCE);
            }
        }
    }

    /// A connection was made: what has no outcome is sent over it from this moment on. Relays drop the second of two equal events.
    pub(super) fn begin(&mut self, at: Instant) {
        for post in &mut self.posts {
            post.state = match post.state {
                PostState::Sent(_) => PostState::Due(at),
                PostState::Due(due) => PostState::Due(due.max(at)),
                state => state,
            };
        }
    }

    /// There is no connection, and none is near: nothing waits for one.
    pub(super) fn give_up(&mut self) {
        self.tell(PostOutcome::Unconnected, |_| true);
        self.told.clear();
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll`](Self::poll) has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let due = self.posts.iter().filter_map(|post| match post.state {
            PostState::Due(at) => Some(at),
            _ => None,
        });
        due.chain(self.next_settling()).min()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do: all that happens while there is no connection.
    pub(super) fn next_settling(&self) -> Option<Instant> {
        let ends = self
            .posts
            .iter()
            .map(|post| post.order.ordered + POST_LIMIT);
        let handed_over = self.posts.iter().filter_map(|post| match post.state {
            PostState::HandedOver(at) => Some(at),
            _ => None,
        });
        ends.chain(handed_over).min()
    }

    /// Settles what has waited long enough. Returns whether an envelope now counts as taken, though the relay did not say so.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let waiting = self.posts.len();
        self.tell(
            PostOutcome::Taken,
            |post| matches!(post.state, PostState::HandedOver(at) if at <= now),
        );
        let is_handed_over = self.posts.len() < waiting;
        self.tell(PostOutcome::NotTaken, |post| {
            post.order.ordered + POST_LIMIT <= now
        });
        is_handed_over
    }

    /// Whether an envelope was sent and nothing is known of it.
    pub(super) fn is_unanswered(&self) -> bool {
        let mut posts = self.posts.iter();
        posts.any(|post| matches!(post.state, PostState::Sent(_)))
    }

    /// Tells the outcome of these envelopes, which are not kept any more.
    fn tell(&mut self, outcome: PostOutcome, is_told: impl Fn(&Post) -> bool) {
        let Self { posts, told } = self;
        posts.retain(|post| {
            let is_told = is_told(post);
            if is_told {
                post.order.tell(outcome);
                if told.len() == MOST_TOLD {
                    told.pop_front();
                }
                told.push_back(post.order.id);
            }
            !is_told
        });
    }
}

impl PostOrder {
    pub(super) fn tell(&self, outcome: PostOutcome) {
        // The receiver is gone once another relay was faster.
        self.outcome.try_send(outcome).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        queue: PostQueue,
        start: Instant,
        outcome: mpsc::Sender<PostOutcome>,
        outcomes: mpsc::Receiver<PostOutcome>,
    }

    const ID: EventId = EventId::from_byte_array([7; 32]);

    fn of_number(number: usize) -> EventId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EventId::from_byte_array(bytes)
    }

    impl Bench {
        fn new() -> Self {
            let (outcome, outcomes) = mpsc::channel(512);
            Self {
                queue: PostQueue::default(),
                start: Instant::now(),
                outcome,
                outcomes,
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn add(&mut self, millis: u64) {
            let now = self.at(millis);
            self.order(ID, now);
        }

        fn order(&mut self, id: EventId, now: Instant) {
            let order = PostOrder {
                id,
                message: "event".to_owned(),
                outcome: self.outcome.clone(),
                ordered: now,
            };
            self.queue.add(order, now);
        }

        /// When the event was sent, moved on by the queue's own timeouts, with this answer each time.
        fn sent(&mut self, verdict: Option<PostVerdict>) -> Vec<u128> {
            let (mut sent, mut now) = (Vec::new(), self.start);
            for _ in 0..100 {
                self.queue.handle_timeout(now);
                while self.queue.poll(now).is_some() {
                    sent.push((now - self.start).as_millis());
                    if let Some(verdict) = verdict {
                        self.queue.handle_outcome(ID, verdict, now);
                    }
                }
                match self.queue.next_timeout() {
                    Some(next) => now = next.max(now),
                    None => return sent,
                }
            }
            panic!("it never ends: {:?}", self.queue);
        }
    }

    #[test]
    fn an_envelope_is_sent_again_until_its_time_is_over_and_never_later() {
        let mut bench = Bench::new();
        bench.add(0);
        assert_eq!(
            bench.sent(Some(PostVerdict::TryLater)),
            [0, 1_000, 3_000, 7_000]
        );
        assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::NotTaken));
        assert!(bench.outcomes.try_recv().is_err());
    }

    #[test]
    fn a_relay_that_answers_after_eight_seconds_has_taken_what_it_says_or_does_not_refuse() {
        for says in [true, false] {
            let mut bench = Bench::new();
            bench.add(0);
            bench.queue.poll(bench.at(0));
            bench.queue.handle_timeout(bench.at(8_400));
            let now = bench.at(8_500);
            if says {
                bench.queue.handle_outcome(ID, PostVerdict::Taken, now);
            }
            bench.queue.handle_pong(bench.at(0), now);
            bench.queue.handle_timeout(bench.at(9_500));
            assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::Taken));
        }
    }

    #[test]
    fn the_first_answer_counts_and_a_later_one_changes_nothing() {
        for (verdict, outcome) in [
            (PostVerdict::Taken, PostOutcome::Taken),
            (PostVerdict::Refused, PostOutcome::NotTaken),
            (PostVerdict::WantsLogin, PostOutcome::NotTaken),
        ] {
            let mut bench = Bench::new();
            bench.add(0);
            assert_eq!(bench.sent(Some(verdict)), [0]);
            assert_eq!(bench.outcomes.try_recv(), Ok(outcome));
            assert!(bench.outcomes.try_recv().is_err());
        }
        let mut bench = Bench::new();
        bench.add(0);
        let now = bench.at(10);
        bench.queue.poll(now);
        for verdict in [
            PostVerdict::Taken,
            PostVerdict::TryLater,
            PostVerdict::Refused,
        ] {
            assert!(bench.queue.handle_outcome(ID, verdict, now));
        }
        assert!(bench.queue.poll(bench.at(5_000)).is_none());
        assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::Taken));
        assert!(bench.outcomes.try_recv().is_err());
        assert!(!bench.queue.handle_outcome(
            EventId::from_byte_array([8; 32]),
            PostVerdict::Taken,
            now
        ));
    }

    #[test]
    fn silence_after_the_answer_to_a_later_ping_is_consent_and_an_earlier_ping_proves_nothing() {
        let mut bench = Bench::new();
        bench.add(100);
        bench.queue.poll(bench.at(100));
        bench.queue.handle_pong(bench.at(99), bench.at(150));
        assert!(bench.queue.is_unanswered());
        bench.queue.handle_pong(bench.at(101), bench.at(200));
        assert!(!bench.queue.is_unanswered());
        assert!(!bench.queue.handle_timeout(bench.at(1_199)));
        assert!(bench.queue.handle_timeout(bench.at(1_200)));
        assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::Taken));
        // A refusal that comes later is still known as the relay's answer.
        assert!(
            bench
                .queue
                .handle_outcome(ID, PostVerdict::Refused, bench.at(2_000))
        );
        assert!(bench.outcomes.try_recv().is_err());
    }

    #[test]
    fn a_new_connection_gets_what_has_no_outcome_and_nothing_when_none_is_near() {
        let mut bench = Bench::new();
        bench.add(0);
        bench.queue.poll(bench.at(0));
        assert!(bench.queue.poll(bench.at(1_000)).is_none());
        bench.queue.begin(bench.at(1_000));
        assert!(bench.queue.poll(bench.at(1_000)).is_some());
        bench.queue.give_up();
        bench.queue.begin(bench.at(2_000));
        assert!(bench.queue.poll(bench.at(2_000)).is_none());
        assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::Unconnected));
        assert_eq!(bench.queue.next_timeout(), None);
    }

    #[test]
    fn what_waits_for_a_relay_is_sent_when_its_other_engines_are_back() {
        for was_sent in [true, false] {
            let mut bench = Bench::new();
            bench.add(0);
            if was_sent {
                bench.queue.poll(bench.at(0));
            }
            // Until then there is nothing to do.
            let settled = bench.start + POST_LIMIT;
            assert_eq!(bench.queue.next_settling(), Some(settled));
            bench.queue.begin(bench.at(3_000));
            assert!(bench.queue.poll(bench.at(2_999)).is_none());
            assert!(bench.queue.poll(bench.at(3_000)).is_some());
        }
    }

    #[test]
    fn a_full_queue_refuses_the_newest() {
        let mut bench = Bench::new();
        for _ in 0..=MOST_POSTS {
            bench.add(0);
        }
        assert_eq!(bench.queue.posts.len(), MOST_POSTS);
        assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::NotTaken));
        assert!(bench.outcomes.try_recv().is_err());
    }

    #[test]
    fn what_a_relay_has_taken_takes_no_room_of_what_is_to_come() {
        let mut bench = Bench::new();
        let calls = MOST_TOLD + 100;
        for at in 0..calls {
            let (now, id) = (bench.at(at as u64), of_number(at));
            bench.order(id, now);
            assert!(bench.queue.poll(now).is_some());
            assert!(bench.queue.handle_outcome(id, PostVerdict::Taken, now));
            assert_eq!(bench.outcomes.try_recv(), Ok(PostOutcome::Taken));
        }
        let known = |bench: &Bench, at| bench.queue.knows(&of_number(at));
        assert!(known(&bench, calls - 1) && !known(&bench, 0));
        assert_eq!(bench.queue.told.len(), MOST_TOLD);
        assert!(bench.queue.posts.is_empty());
    }
}
