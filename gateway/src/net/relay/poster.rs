//! The task that posts at one relay, for ever, over a connection of its own.
//!
//! The connection is opened at the start and stays open: one that is opened when a person dials would tell the relay, and the network,
//! of the moment.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};

use super::board::LinkState;
use super::connection::{ConnectionEnd, FromRelay, RelayConnection, now};
use super::link::{LinkEnd, LinkSignals, RelayLink, Successor, hurried, made, note_aside};
use super::message::RelayMessage;
use super::posting::{PostOrder, PostQueue};
use crate::clock::until;
use crate::net::outbound::OutboundStream;

/// How long what waited for a relay that started again still waits after the connection is made. An envelope of a ring is passed on to those
/// engines alone that are connected, and they return within half a second as well.
const OTHERS_RETURN: Duration = Duration::from_secs(1);

/// Posts at a relay, for ever.
pub(super) async fn post(
    mut link: RelayLink,
    mut signals: LinkSignals,
    mut orders: mpsc::Receiver<PostOrder>,
) {
    let (mut queue, mut hold) = (PostQueue::default(), Duration::ZERO);
    loop {
        let opened = queue_while(link.open(&mut signals), &mut queue, &mut orders).await;
        let Some(mut opened) = opened else { return };
        let began = now();
        let end = match &mut opened {
            None => LinkEnd::Connection(ConnectionEnd::Closed),
            Some(connection) => {
                link.update(|record| record.open(link.purpose));
                queue.begin(now() + hold);
                let end = stay(connection, &link, &mut signals, &mut queue, &mut orders).await;
                discard_unsent(connection.get_ref());
                end
            }
        };
        let lasted = opened.is_some().then(|| now() - began);
        let state = link.note_end(&end, lasted);
        hold = match end {
            LinkEnd::Connection(_) if link.hurries() => OTHERS_RETURN,
            _ => Duration::ZERO,
        };
        drop(opened);
        let is_silent = matches!(end, LinkEnd::Connection(ConnectionEnd::Silent));
        link.update(|record| {
            record.poster = state;
            if is_silent && queue.is_unanswered() {
                record.answers.note_no_answer();
            }
        });
        if state != LinkState::Opening {
            queue.give_up();
        }
        let waited = match end {
            LinkEnd::Dropped => None,
            LinkEnd::Redial => Some(Some(())),
            LinkEnd::Connection(end) => {
                let lasted = lasted.unwrap_or_default();
                let pause = link.pause(&mut signals, (end, state), lasted);
                queue_while(pause, &mut queue, &mut orders).await
            }
        };
        if waited.flatten().is_none() {
            return;
        }
    }
}

/// Takes orders while there is no connection. `None` when the engine is gone.
async fn queue_while<T>(
    wait: impl Future<Output = T>,
    queue: &mut PostQueue,
    orders: &mut mpsc::Receiver<PostOrder>,
) -> Option<T> {
    let mut wait = pin!(wait);
    loop {
        tokio::select! {
            done = &mut wait => return Some(done),
            order = orders.recv() => queue.add(order?, now()),
            () = until(queue.next_settling()) => drop(queue.handle_timeout(now())),
        }
    }
}

/// Posts until the connection ends. When the network changes, another one is made beside it, and takes its place when it is open: what has
/// no outcome is sent over it again.
async fn stay(
    connection: &mut RelayConnection<OutboundStream>,
    link: &RelayLink,
    signals: &mut LinkSignals,
    queue: &mut PostQueue,
    orders: &mut mpsc::Receiver<PostOrder>,
) -> LinkEnd {
    let mut successor: Successor<'_, RelayConnection<OutboundStream>> = None;
    loop {
        tokio::select! {
            Err(end) = give(connection, link, &mut signals.redial, queue, orders) => return end,
            changed = signals.network.changed() => {
                if changed.is_err() {
                    return LinkEnd::Dropped;
                }
                successor = Some(hurried(|| link.dial()).boxed());
            }
            next = made(&mut successor) => if let Some(next) = next {
                discard_unsent(connection.get_ref());
                *connection = next;
                queue.begin(now());
            }
        }
    }
}

/// Hands envelopes to a relay, until the connection ends.
async fn give(
    connection: &mut RelayConnection<OutboundStream>,
    link: &RelayLink,
    redial: &mut watch::Receiver<u64>,
    queue: &mut PostQueue,
    orders: &mut mpsc::Receiver<PostOrder>,
) -> Result<Infallible, LinkEnd> {
    loop {
        // What is ordered after a redial goes over the new connection alone.
        match redial.has_changed() {
            Ok(false) => {}
            Ok(true) => {
                redial.mark_unchanged();
                return Err(LinkEnd::Redial);
            }
            Err(_) => return Err(LinkEnd::Dropped),
        }
        let mut has_sent = false;
        while let Some(message) = queue.poll(now()).map(str::to_owned) {
            connection.send(message).await?;
            has_sent = true;
        }
        if has_sent {
            connection.ping().await?;
        }
        let timeouts = [queue.next_timeout(), Some(connection.next_timeout())];
        let received = tokio::select! {
            received = connection.recv() => received?,
            order = orders.recv() => match order {
                Some(order) => {
                    queue.add(order, now());
                    continue;
                }
                None => return Err(LinkEnd::Dropped),
            },
            () = until(timeouts.into_iter().flatten().min()) => {
                connection.handle_timeout().await?;
                if queue.handle_timeout(now()) {
                    link.update(|record| record.answers.note_handed_over());
                }
                continue;
            }
            redial = redial.changed() => return Err(match redial {
                Ok(()) => LinkEnd::Redial,
                Err(_) => LinkEnd::Dropped,
            }),
        };
        let is_known = match received {
            FromRelay::Pong(pinged) => {
                queue.handle_pong(pinged, now());
                true
            }
            FromRelay::Ping => true,
            FromRelay::Message(RelayMessage::Outcome(id, verdict, words)) => {
                let is_known = queue.handle_outcome(id, verdict, now());
                if is_known {
                    link.update(|record| record.answers.note_outcome(verdict, words));
                }
                is_known
            }
            // Some relays send an event back to its sender.
            FromRelay::Message(RelayMessage::Event(_, event)) => queue.knows(&event.id),
            FromRelay::Message(message) => {
                note_aside(link, message);
                false
            }
        };
        if !is_known {
            connection.note_junk()?;
        }
    }
}

/// Has the system throw away what the network has not carried yet, when this connection is closed: later, it would ring after the caller
/// was told that the ring failed.
fn discard_unsent(stream: &OutboundStream) {
    let stream = match stream {
        OutboundStream::Plain(stream) => stream,
        OutboundStream::Tls(stream) => stream.get_ref().0,
    };
    // Without it, the envelope's own end is what protects the callee.
    stream.set_zero_linger().ok();
}
