//! What the tasks of all relays have found out, in one place, and the [`RelayState`] that follows from it.

use tokio::sync::watch;

use super::RelayState;
use super::trouble::{RelayAnswers, RelayFault, RelayTrouble};

/// One of the two connections to a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LinkState {
    /// The first attempt since the start is under way, or the connection ended a short time ago and is made anew.
    #[default]
    Opening,
    Open,
    /// The last attempt failed, and none is near.
    Away,
    /// The relay flooded, and is left alone for a while.
    LeftAlone,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkPurpose {
    Listen,
    Post,
}

/// One relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RelayRecord {
    pub(super) url: String,
    pub(super) listener: LinkState,
    pub(super) poster: LinkState,
    /// It has confirmed the subscription to rings.
    pub(super) is_listening: bool,
    pub(super) answers: RelayAnswers,
}

impl RelayRecord {
    pub(super) fn link(&mut self, purpose: LinkPurpose) -> &mut LinkState {
        match purpose {
            LinkPurpose::Listen => &mut self.listener,
            LinkPurpose::Post => &mut self.poster,
        }
    }

    /// A connection is open: the other one, if it waits because the relay was away, need not wait any longer.
    pub(super) fn open(&mut self, purpose: LinkPurpose) {
        self.wake();
        *self.link(purpose) = LinkState::Open;
    }

    /// What waits because the relay was away tries again now.
    pub(super) fn wake(&mut self) {
        for link in [&mut self.listener, &mut self.poster] {
            if *link == LinkState::Away {
                *link = LinkState::Opening;
            }
        }
    }

    fn trouble(&self, position: usize) -> Option<RelayTrouble> {
        let links = [self.listener, self.poster];
        if links.contains(&LinkState::LeftAlone) {
            return Some(RelayTrouble {
                position,
                url: self.url.clone(),
                fault: RelayFault::Floods,
                words: None,
            });
        }
        let is_connected = links.contains(&LinkState::Open);
        let named = (position, self.url.as_str());
        self.answers.trouble(named, is_connected, self.is_listening)
    }
}

/// The records of all relays, in the order of the settings.
#[derive(Debug)]
pub(super) struct RelayBoard {
    records: watch::Sender<Vec<RelayRecord>>,
    state: watch::Sender<RelayState>,
}

impl RelayBoard {
    pub(super) fn new<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        let record = |url: &str| RelayRecord {
            url: url.to_owned(),
            ..RelayRecord::default()
        };
        let records: Vec<_> = urls.map(record).collect();
        Self {
            state: watch::channel(state_of(&records)).0,
            records: watch::channel(records).0,
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<RelayState> {
        self.state.subscribe()
    }

    /// Changes the record of one relay.
    pub(super) fn update(&self, relay: usize, change: impl FnOnce(&mut RelayRecord)) {
        self.records.send_if_modified(|records| {
            let Some(record) = records.get_mut(relay) else {
                return false;
            };
            let before = record.clone();
            change(record);
            if *record == before {
                return false;
            }
            // Within the records' lock, so that of two changes the later one has the last word.
            let state = state_of(records);
            self.state.send_if_modified(|old| {
                let is_new = *old != state;
                *old = state;
                is_new
            });
            true
        });
    }

    /// Waits until a connection of a relay that was away is to be tried again.
    pub(super) async fn woken(&self, relay: usize, purpose: LinkPurpose) {
        let mut records = self.records.subscribe();
        let is_woken = |records: &Vec<RelayRecord>| {
            let mut record = records.get(relay).cloned().unwrap_or_default();
            *record.link(purpose) == LinkState::Opening
        };
        // The sender is this struct's own.
        records.wait_for(is_woken).await.ok();
    }

    /// Whether an envelope for this relay has a connection, or may have one in a moment.
    pub(super) fn may_post(&self, relay: usize) -> bool {
        let records = self.records.borrow();
        let record = records.get(relay);
        record.is_some_and(|record| matches!(record.poster, LinkState::Open | LinkState::Opening))
    }
}

fn state_of(records: &[RelayRecord]) -> RelayState {
    let mut state = RelayState {
        configured: records.len(),
        ..RelayState::default()
    };
    for (position, record) in (1..).zip(records) {
        let is_posting = record.poster == LinkState::Open;
        state.connected += usize::from(is_posting);
        state.listening += usize::from(record.is_listening);
        state.taking += usize::from(is_posting && !record.answers.refuses());
        state.troubles.extend(record.trouble(position));
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_that_opens_ends_the_wait_of_the_other_unless_the_relay_flooded() {
        for (waits, then) in [
            (LinkState::Away, LinkState::Opening),
            (LinkState::LeftAlone, LinkState::LeftAlone),
        ] {
            let mut record = RelayRecord {
                poster: waits,
                ..RelayRecord::default()
            };
            record.open(LinkPurpose::Listen);
            assert_eq!((record.listener, record.poster), (LinkState::Open, then));
        }
    }

    #[test]
    fn a_relay_is_connected_by_posting_and_listening_by_its_own_word() {
        let board = RelayBoard::new(["ws://a", "ws://b"].into_iter());
        let state = board.state();
        board.update(0, |record| record.poster = LinkState::Open);
        board.update(1, |record| record.is_listening = true);
        let counts = {
            let state = state.borrow();
            let faults: Vec<_> = state
                .troubles
                .iter()
                .map(|t| (t.position, t.fault))
                .collect();
            assert_eq!(
                faults,
                [(1, RelayFault::NotListening), (2, RelayFault::Unreachable)]
            );
            (
                state.configured,
                state.connected,
                state.listening,
                state.taking,
            )
        };
        assert_eq!(counts, (2, 1, 1, 1));
        assert!(board.may_post(0) && board.may_post(1));
        board.update(1, |record| record.poster = LinkState::Away);
        assert!(!board.may_post(1) && !board.may_post(2));
        board.update(0, |record| record.poster = LinkState::LeftAlone);
        assert!(!board.may_post(0));
        assert_eq!(state.borrow().troubles[0].fault, RelayFault::Floods);
    }
}
