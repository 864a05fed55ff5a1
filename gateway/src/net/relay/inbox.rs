//! Envelopes on their way from the relays to the engine: a bounded queue for each relay, read in turns, so that a relay with very many
//! takes neither the room nor the turn of another.

use std::future::poll_fn;
use std::task::{Context, Poll};

use ringfence_engine::ReceivedEvent;
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// Envelopes of one relay that wait, 1.4 MB: four pages of notes. Of more, the newest are dropped, and further notes are not asked for.
pub(super) const SHARE: usize = 1_024;

/// The envelopes of all relays.
#[derive(Debug)]
pub struct RelayInbox {
    queues: Vec<mpsc::Receiver<ReceivedEvent>>,
    /// The queue whose turn it is.
    turn: usize,
    /// Whether an envelope was handed out since all else had its turn.
    has_given: bool,
}

impl RelayInbox {
    /// Queues for so many relays, and the ends into which their envelopes go.
    pub(super) fn new(relays: usize) -> (Vec<mpsc::Sender<ReceivedEvent>>, Self) {
        let (senders, queues) = (0..relays).map(|_| mpsc::channel(SHARE)).unzip();
        let inbox = Self {
            queues,
            turn: 0,
            has_given: false,
        };
        (senders, inbox)
    }

    /// Waits for the next envelope; `None` once all relays are closed. Between two envelopes all else has its turn: to open one takes long,
    /// in a flood there is always another, and phones are read in the same thread. Cancelling it loses nothing.
    pub async fn recv(&mut self) -> Option<ReceivedEvent> {
        if std::mem::take(&mut self.has_given) {
            yield_now().await;
        }
        let next = poll_fn(|context| self.poll_recv(context)).await;
        self.has_given = next.is_some();
        next
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<ReceivedEvent>> {
        let (first, mut are_closed) = (self.turn, true);
        for at in 0..self.queues.len() {
            let at = (first + at) % self.queues.len();
            match self.queues[at].poll_recv(context) {
                Poll::Ready(Some(envelope)) => {
                    self.turn = at + 1;
                    return Poll::Ready(Some(envelope));
                }
                Poll::Ready(None) => {}
                Poll::Pending => are_closed = false,
            }
        }
        if are_closed {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ringfence_engine::sealed::envelope::EventKey;

    use super::*;

    fn envelope(bucket: u16) -> ReceivedEvent {
        ReceivedEvent {
            bucket,
            event_key: EventKey([0; 32]),
            nonce: 0,
            bytes: Vec::new(),
            note_made: None,
        }
    }

    #[tokio::test]
    async fn a_relay_with_a_full_queue_takes_no_turn_of_another() {
        let (senders, mut inbox) = RelayInbox::new(3);
        while senders[0].try_send(envelope(0)).is_ok() {}
        for _ in 0..3 {
            senders[2].try_send(envelope(2)).unwrap();
        }
        let mut heard = Vec::new();
        for _ in 0..6 {
            heard.push(inbox.recv().await.unwrap().bucket);
        }
        assert_eq!(heard, [0, 2, 0, 2, 0, 2]);
        drop(senders);
        while inbox.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn in_a_flood_all_else_has_its_turn_between_two_envelopes() {
        let (senders, mut inbox) = RelayInbox::new(1);
        while senders[0].try_send(envelope(0)).is_ok() {}
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        for envelopes in 0..100 {
            inbox.recv().await.unwrap();
            assert_eq!(turns.load(Ordering::Relaxed), envelopes);
        }
    }
}
