//! A call whose way out is lost gets another one: the servers are raced again and again, while the call goes on with what it has. The way
//! that it leaves is released in the background.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ringfence_media::far::TurnWay;
use tokio::task::JoinSet;

use super::media_task::{MediaTaskContext, Rare};
use crate::clock::{now, until};
use crate::turn::TurnSocket;
use crate::turn::allocation_io::release;
use crate::turn::race::{Race, RaceTerms, Winner};
use crate::turn::servers::TurnServers;
use crate::turn::wire::TurnWire;

/// From a race that no server has won to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// What a media task does about a lost way out.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    search: Option<Box<Search>>,
    /// What is being released.
    endings: JoinSet<()>,
}

/// How another way out is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SearchTerms {
    /// The server of the way that is lost.
    pub(super) own: IpAddr,
    /// Whether the own server is not asked: it answers, and nothing comes from it.
    pub(super) is_elsewhere: bool,
    pub(super) relays_ipv6: bool,
}

/// A call that wants another way out.
#[derive(Debug)]
struct Search {
    servers: TurnServers,
    terms: SearchTerms,
    race: Option<Race>,
    again_at: Instant,
}

impl Recovery {
    /// Begins or ends the search, as the call wants.
    pub(super) fn follow(&mut self, terms: Option<SearchTerms>, context: &MediaTaskContext) {
        self.stop();
        // A change of network, after which names may lead elsewhere, makes other terms of these.
        let is_of_use =
            |terms: &SearchTerms| !terms.is_elsewhere || context.turn.is_elsewhere(terms.own);
        if let Some(terms) = terms.filter(is_of_use) {
            tracing::debug!("the way out of a call is lost, and another is looked for");
            self.search = Some(Box::new(Search {
                servers: context.turn.clone(),
                terms,
                race: None,
                again_at: now(),
            }));
        }
        while self.endings.try_join_next().is_some() {}
    }

    /// Waits for an allocation. Cancelling it loses nothing.
    pub(super) async fn winner(&mut self) -> Box<Winner> {
        match &mut self.search {
            Some(search) => search.winner(&mut self.endings).await,
            None => std::future::pending().await,
        }
    }

    /// Releases a way out in the background.
    pub(super) fn release(&mut self, way: Box<TurnWay>, wire: TurnWire) {
        self.endings.spawn(async move {
            match wire.into_socket().await {
                Ok(turn) => release(*way, turn).await,
                Err(error) => tracing::debug!(%error, "an allocation ends with its lifetime"),
            }
        });
    }

    /// The same with the socket.
    pub(super) fn release_socket(&mut self, way: Box<TurnWay>, turn: TurnSocket) {
        self.endings.spawn(release(*way, turn));
    }

    /// This machine reaches the world another way than before: a race that began before is run anew.
    pub(super) fn handle_network_change(&mut self) {
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

impl Search {
    fn winner<'a>(&'a mut self, endings: &'a mut JoinSet<()>) -> Rare<'a, Box<Winner>> {
        Box::pin(async move {
            loop {
                let Some(race) = &mut self.race else {
                    until(Some(self.again_at)).await;
                    let SearchTerms {
                        own,
                        is_elsewhere,
                        relays_ipv6,
                    } = self.terms;
                    let terms = RaceTerms::of_recovery((own, is_elsewhere), relays_ipv6);
                    self.race = Some(Race::start(self.servers.clone(), terms));
                    continue;
                };
                let outcome = race.outcome().await;
                self.again_at = now() + AGAIN;
                if let Some(race) = self.race.take() {
                    endings.spawn(race.end());
                }
                match outcome {
                    Ok(winner) => return winner,
                    Err(error) => tracing::debug!(%error, "no other way out yet"),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::net::tls;
    use crate::run::media_thread::MediaThreads;
    use crate::turn::TurnEndpoint;
    use crate::turn::credentials::TurnLogin;
    use crate::turn::pool::AllocationPool;

    #[tokio::test]
    async fn another_server_is_looked_for_only_where_there_is_one() {
        let tls = tls::client(None).unwrap();
        let (own, other) = ("turn:127.0.0.1:1", "turn:127.0.0.2:1");
        for (urls, is_found) in [
            (vec![own, "turn:127.0.0.1:1?transport=tcp"], false),
            (vec![own, other], true),
        ] {
            let mut targets = Vec::new();
            for url in urls {
                let endpoint: TurnEndpoint = url.parse().unwrap();
                targets.push(endpoint.resolve(&tls).await.unwrap());
            }
            let turn = TurnServers::new(targets, TurnLogin::None, true);
            let (_pool, allocations) = AllocationPool::start(turn.clone());
            let context = MediaTaskContext {
                threads: Arc::new(MediaThreads::new()),
                allocations,
                turn,
                network: watch::channel(0).1,
                events: mpsc::channel(1).0,
                redundancy: 0,
            };
            let mut recovery = Recovery::default();
            for is_elsewhere in [false, true] {
                let terms = SearchTerms {
                    own: [127, 0, 0, 1].into(),
                    is_elsewhere,
                    relays_ipv6: false,
                };
                recovery.follow(Some(terms), &context);
                assert_eq!(recovery.search.is_some(), is_found || !is_elsewhere);
            }
        }
    }
}
