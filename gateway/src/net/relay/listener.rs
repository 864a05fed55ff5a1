//! The task that listens at one relay, for ever. It leads what the relay sends to the subscriptions, and their envelopes to the engine.

use std::time::Duration;

use futures_util::FutureExt as _;
use ringfence_engine::ReceivedEvent;
use ringfence_engine::time::{Moment, UnixTime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connection::{ConnectionEnd, FromRelay, RelayConnection, now};
use super::link::{LinkEnd, LinkSignals, RelayLink, Successor, hurried, made, note_aside};
use super::message::RelayMessage;
use super::subscription::RelaySubscription;
use crate::clock::{self, until};
use crate::net::outbound::OutboundStream;

/// Listens at a relay, for ever.
pub(super) async fn listen(
    mut link: RelayLink,
    mut signals: LinkSignals,
    mut subscription: RelaySubscription,
    inbox: mpsc::Sender<ReceivedEvent>,
) {
    loop {
        let opened = link.open(&mut signals).await;
        let (began, is_open) = (now(), opened.is_some());
        let end = match opened {
            None => LinkEnd::Connection(ConnectionEnd::Closed),
            Some(connection) => {
                link.update(|record| record.open(link.purpose));
                subscription.begin(now());
                let mut subscribed = Subscribed {
                    connection,
                    subscription,
                };
                let end = stay(&mut subscribed, &link, &mut signals, &inbox).await;
                subscription = subscribed.subscription;
                end
            }
        };
        let lasted = is_open.then(|| now() - began);
        let state = link.note_end(&end, lasted);
        link.update(|record| (record.listener, record.is_listening) = (state, false));
        let waited = match end {
            LinkEnd::Dropped => None,
            LinkEnd::Redial => Some(()),
            LinkEnd::Connection(end) => {
                let lasted = lasted.unwrap_or_default();
                link.pause(&mut signals, (end, state), lasted).await
            }
        };
        if waited.is_none() {
            return;
        }
    }
}

/// A connection, and what was asked of the relay over it.
struct Subscribed {
    connection: RelayConnection<OutboundStream>,
    subscription: RelaySubscription,
}

/// How long [`take`] takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The relay listens for this engine.
    Listening,
    TheEnd,
}

/// For how long two connections are listened to: a ring may be on its way over the old one, and is sent once.
const OVERLAP: Duration = Duration::from_secs(1);

/// Listens until the connection ends. When the network changes, another one is made beside it, and takes its place when it has listened for a
/// moment.
async fn stay(
    subscribed: &mut Subscribed,
    link: &RelayLink,
    signals: &mut LinkSignals,
    inbox: &mpsc::Sender<ReceivedEvent>,
) -> LinkEnd {
    let mut successor: Successor<'_, Subscribed> = None;
    let mut broken = None;
    loop {
        tokio::select! {
            Err(end) = take(subscribed, link, inbox, Until::TheEnd), if broken.is_none() => match end {
                LinkEnd::Connection(ConnectionEnd::Closed | ConnectionEnd::Silent) => {
                    broken = Some(end);
                }
                end => return end,
            },
            redial = signals.redial.changed() => return match redial {
                Ok(()) => LinkEnd::Redial,
                Err(_) => LinkEnd::Dropped,
            },
            changed = signals.network.changed() => {
                if changed.is_err() {
                    return LinkEnd::Dropped;
                }
                let before = subscribed.subscription.clone();
                let next = move || subscribe(link, before.clone(), inbox);
                successor = Some(hurried(next).boxed());
            }
            next = made(&mut successor) => if let Some(next) = next {
                (*subscribed, broken) = (next, None);
            }
        }
        if successor.is_none()
            && let Some(end) = broken.take()
        {
            return end;
        }
    }
}

/// Opens a connection and listens over it for a moment. `before` is what was asked of the relay over the one in use.
async fn subscribe(
    link: &RelayLink,
    before: RelaySubscription,
    inbox: &mpsc::Sender<ReceivedEvent>,
) -> Option<Subscribed> {
    let mut subscribed = Subscribed {
        connection: link.dial().await?,
        subscription: before,
    };
    subscribed.subscription.begin(now());
    take(&mut subscribed, link, inbox, Until::Listening)
        .await
        .ok()?;
    link.update(|record| record.is_listening = true);
    let both = take(&mut subscribed, link, inbox, Until::TheEnd);
    match timeout(OVERLAP, both).await {
        Ok(_ended) => None,
        Err(_) => Some(subscribed),
    }
}

/// Takes what a relay sends, until the connection ends.
async fn take(
    Subscribed {
        connection,
        subscription,
    }: &mut Subscribed,
    link: &RelayLink,
    inbox: &mpsc::Sender<ReceivedEvent>,
    until_when: Until,
) -> Result<(), LinkEnd> {
    loop {
        while let Some(request) = subscription.poll(moment(), inbox.capacity()) {
            connection.send(request).await?;
        }
        let timeouts = [subscription.next_timeout(), Some(connection.next_timeout())];
        let received = tokio::select! {
            received = connection.recv() => received?,
            () = until(timeouts.into_iter().flatten().min()) => {
                connection.handle_timeout().await?;
                continue;
            }
        };
        let message = match received {
            FromRelay::Message(message) => message,
            FromRelay::Pong(_) => {
                subscription.note_alive(clock::unix_seconds());
                continue;
            }
            FromRelay::Ping => continue,
        };
        let is_known = match message {
            RelayMessage::Event(name, event) => {
                match subscription.handle_event(&name, &event, moment()) {
                    Ok(envelope) => {
                        hand_over(envelope, inbox)?;
                        true
                    }
                    Err(_) => false,
                }
            }
            RelayMessage::EndOfStored(name) => subscription.handle_end(&name, moment()),
            RelayMessage::Closed(name, words) => {
                let is_known = subscription.handle_refusal(&name, now());
                if is_known {
                    link.update(|record| record.answers.note_words(words));
                }
                is_known
            }
            message => {
                note_aside(link, message);
                false
            }
        };
        if !is_known {
            connection.note_junk()?;
        }
        let is_listening = subscription.is_listening();
        if until_when == Until::Listening {
            if is_listening {
                return Ok(());
            }
            continue;
        }
        link.update(|record| {
            if is_listening && !record.is_listening {
                record.answers.note_listening();
            }
            record.is_listening = is_listening;
        });
    }
}

fn hand_over(
    envelope: Option<ReceivedEvent>,
    inbox: &mpsc::Sender<ReceivedEvent>,
) -> Result<(), LinkEnd> {
    let Some(envelope) = envelope else {
        return Ok(());
    };
    match inbox.try_send(envelope) {
        Err(mpsc::error::TrySendError::Closed(_)) => Err(LinkEnd::Dropped),
        Err(mpsc::error::TrySendError::Full(_)) => {
            tracing::debug!("an envelope was dropped: its relay has more than its share");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn moment() -> Moment {
    Moment {
        now: now(),
        wall: UnixTime::from_seconds(clock::unix_seconds()),
    }
}
