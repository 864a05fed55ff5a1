//! A call whose way out is lost gets another one: the servers are raced again and again, while the call goes on with what it has. The way
//! that it leaves is released in the background.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::media_task::MediaTaskContext;
use super::way_out::OpenMedia;
use crate::clock::{now, until};
use crate::turn::allocation_io::release;
use crate::turn::race::{Race, RaceTerms, Winner};
use crate::turn::servers::TurnServers;

/// From a race that no server has won to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// What a media task does about a lost way out.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    search: Option<Search>,
    /// What is being released.
    endings: JoinSet<()>,
}

/// A call that wants another way out.
#[derive(Debug)]
struct Search {
    servers: TurnServers,
    own: IpAddr,
    /// Whether the own server is not asked: it answers, and nothing comes from it.
    is_elsewhere: bool,
    relays_ipv6: bool,
    race: Option<Race>,
    again_at: Instant,
}

impl Recovery {
    /// Begins or ends the search, as the call wants.
    pub(super) fn follow(&mut self, media: &OpenMedia, context: &MediaTaskContext) {
        let is_elsewhere = media.bridge.wants_elsewhere();
        let is_other = |search: &Search| search.is_elsewhere != is_elsewhere;
        if !media.bridge.wants_way() || self.search.as_ref().is_some_and(is_other) {
            self.stop();
        }
        if media.bridge.wants_way() && self.search.is_none() {
            tracing::debug!("the way out of a call is lost, and another is looked for");
            self.search = Some(Search {
                servers: context.turn.clone(),
                own: media.turn.peer_addr().ip(),
                is_elsewhere,
                relays_ipv6: media.bridge.relays_ipv6(),
                race: None,
                again_at: now(),
            });
        }
        while self.endings.try_join_next().is_some() {}
    }

    /// Waits for an allocation. Cancelling it loses nothing.
    pub(super) async fn winner(&mut self) -> Winner {
        let Self { search, endings } = self;
        let Some(search) = search else {
            return std::future::pending().await;
        };
        loop {
            let Some(race) = &mut search.race else {
                until(Some(search.again_at)).await;
                let terms =
                    RaceTerms::of_recovery((search.own, search.is_elsewhere), search.relays_ipv6);
                search.race = Some(Race::start(search.servers.clone(), terms));
                continue;
            };
            let outcome = race.outcome().await;
            search.again_at = now() + AGAIN;
            if let Some(race) = search.race.take() {
                endings.spawn(race.end());
            }
            match outcome {
                Ok(winner) => return *winner,
                Err(error) => tracing::debug!(%error, "no other way out yet"),
            }
        }
    }

    /// Hands an allocation to the call. Whichever way it does not use then is released.
    pub(super) fn adopt(&mut self, winner: Winner, media: &mut OpenMedia) {
        let Winner { way, turn, .. } = winner;
        match media.bridge.adopt(way, now()) {
            Ok(old) => {
                let turn = std::mem::replace(&mut media.turn, turn);
                media.is_closed = false;
                // The pool makes another one in place of what it gave.
                if let Some((_, home)) = media.waiting.take() {
                    home.note_lost();
                }
                self.endings.spawn(release(old, turn));
            }
            Err(refused) => {
                self.endings.spawn(release(*refused, turn));
            }
        }
    }

    /// This machine reaches the world another way than before: the server of the way out is asked, and a race that began before is run anew.
    pub(super) fn handle_network_change(&mut self, media: Option<&mut OpenMedia>) {
        if let Some(media) = media {
            if media.turn.has_own_address() {
                media.bridge.handle_network_change(now());
            } else {
                media.bridge.handle_turn_unreachable(now());
            }
        }
        let Some(search) = &mut self.search else {
            return;
        };
        search.again_at = now();
        if let Some(race) = search.race.take() {
            self.end_race(race);
        }
    }

    /// Ends a race in the background.
    pub(super) fn end_race(&mut self, race: Race) {
        self.endings.spawn(race.end());
    }

    /// The call is over: waits until everything is released.
    pub(super) async fn end(mut self) {
        self.stop();
        while self.endings.join_next().await.is_some() {}
    }

    fn stop(&mut self) {
        if let Some(race) = self.search.take().and_then(|search| search.race) {
            self.endings.spawn(race.end());
        }
    }
}
