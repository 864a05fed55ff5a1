//! The task that listens at one relay, for ever. It leads what the relay sends to the subscriptions, and their envelopes to the engine.

use std::convert::Infallible;

use ringfence_engine::ReceivedEvent;
use ringfence_engine::time::{Moment, UnixTime};
use tokio::sync::mpsc;

use super::connection::{ConnectionEnd, FromRelay, RelayConnection, now};
use super::link::{LinkEnd, RelayLink, note_aside};
use super::message::RelayMessage;
use super::subscription::RelaySubscription;
use crate::clock::{self, until};
use crate::net::outbound::OutboundStream;

/// Listens at a relay, for ever.
pub(super) async fn listen(
    mut link: RelayLink,
    mut subscription: RelaySubscription,
    inbox: mpsc::Sender<ReceivedEvent>,
) {
    loop {
        let mut connection = link.open().await;
        let began = now();
        let end = match &mut connection {
            None => LinkEnd::Connection(ConnectionEnd::Closed),
            Some(connection) => {
                link.update(|record| record.open(link.purpose));
                subscription.begin(now());
                let Err(end) = take(connection, &mut link, &mut subscription, &inbox).await;
                end
            }
        };
        let lasted = connection.is_some().then(|| now() - began);
        let state = link.note_end(&end, lasted);
        drop(connection);
        link.update(|record| (record.listener, record.is_listening) = (state, false));
        let waited = match end {
            LinkEnd::Dropped => None,
            LinkEnd::Redial => Some(()),
            LinkEnd::Connection(end) => link.pause((end, state), lasted.unwrap_or_default()).await,
        };
        if waited.is_none() {
            return;
        }
    }
}

/// Takes what a relay sends, until the connection ends.
async fn take(
    connection: &mut RelayConnection<OutboundStream>,
    link: &mut RelayLink,
    subscription: &mut RelaySubscription,
    inbox: &mpsc::Sender<ReceivedEvent>,
) -> Result<Infallible, LinkEnd> {
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
            redial = link.redial.changed() => return Err(match redial {
                Ok(()) => LinkEnd::Redial,
                Err(_) => LinkEnd::Dropped,
            }),
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
