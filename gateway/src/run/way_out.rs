//! How a call gets its way out: an allocation that is ready, or one for which the TURN servers are raced. The call goes on meanwhile:
//! its phone's ports are served, and it may end.

use std::net::IpAddr;

use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder};

use super::allocated_media::AllocatedMedia;
use super::media_task::{MediaTaskContext, notify};
use crate::clock::now;
use crate::turn::TurnSocket;
use crate::turn::probe::TurnProbeError;
use crate::turn::race::{Race, RaceTerms, Winner};

/// Orders that wait for a relayed address: the phone's terms, each time it names others. Later ones are dropped.
const MOST_HELD: usize = 16;

/// A call's media with the connection of its allocation.
#[derive(Debug)]
pub(super) struct OpenMedia {
    pub(super) media: AllocatedMedia,
    pub(super) turn: TurnSocket,
}

/// A call for which the servers are being asked, and what it was ordered meanwhile.
#[derive(Debug)]
pub(super) struct Racing {
    race: Race,
    avoid: Vec<IpAddr>,
    held: Vec<MediaOrder>,
}

impl Racing {
    /// Asks the servers; those of the addresses in `avoid` later than others.
    pub(super) fn start(avoid: &[IpAddr], context: &MediaTaskContext) -> Self {
        Self {
            race: Race::start(context.turn.clone(), RaceTerms::of_call(avoid)),
            avoid: avoid.to_vec(),
            held: Vec::new(),
        }
    }

    /// Asks the servers anew, and returns the race of before, which is to be ended.
    pub(super) fn begin_again(&mut self, context: &MediaTaskContext) -> Race {
        let terms = RaceTerms::of_call(&self.avoid);
        std::mem::replace(&mut self.race, Race::start(context.turn.clone(), terms))
    }

    /// Waits for the end of the race. Cancelling it loses nothing.
    pub(super) async fn outcome(&mut self) -> Result<Box<Winner>, TurnProbeError> {
        self.race.outcome().await
    }

    /// Keeps an order until there is a relayed address.
    pub(super) fn hold(&mut self, order: MediaOrder) {
        if self.held.len() < MOST_HELD {
            self.held.push(order);
        }
    }

    /// The orders, once the outcome is known. Losers are released in the background.
    pub(super) fn into_held(self) -> Vec<MediaOrder> {
        self.held
    }

    /// The call is over: everything that the race began is released.
    pub(super) async fn end(self) {
        self.race.end().await;
    }
}

/// Takes an allocation that is ready, if there is one. Prefers another server than that of the addresses in `avoid`.
pub(super) async fn take_ready(avoid: &[IpAddr], context: &MediaTaskContext) -> Option<OpenMedia> {
    let taken = context.allocations.take(avoid).await?;
    let mut media = AllocatedMedia::new(taken.way, Some((taken.checks, taken.home)), now());
    media.bridge().limit_redundancy(context.redundancy);
    Some(OpenMedia {
        media,
        turn: taken.turn,
    })
}

/// Opens the WebRTC side over the allocation that has won. The engine learns if there is none.
pub(super) async fn open(
    outcome: Result<Box<Winner>, TurnProbeError>,
    call: CallLabel,
    context: &MediaTaskContext,
) -> Option<OpenMedia> {
    match outcome {
        Ok(winner) => {
            let mut media = AllocatedMedia::new(winner.way, None, now());
            media.bridge().limit_redundancy(context.redundancy);
            Some(OpenMedia {
                media,
                turn: winner.turn,
            })
        }
        Err(error) => {
            tracing::info!(%call, "no relayed address: {error}");
            notify(call, context, MediaEvent::Refused(MediaFailure::NoTurn)).await;
            None
        }
    }
}
