//! What the slots of a pool know of the TURN servers, put together for the status and the conditions.

use std::sync::{Mutex, PoisonError};

use ringfence_media::far::FarLegError;
use tokio::sync::watch;

use super::SLOTS;
use crate::turn::probe::TurnProbeError;
use crate::turn::servers::ServerChoice;

/// What a pool, or one slot of it, knows of the TURN servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolState {
    /// Whether the servers grant allocations: the last attempt brought one, and it was not lost since, whether or not a call took it.
    pub(crate) is_ready: bool,
    /// The server of the last allocation; `None` before the first.
    pub(crate) server: Option<ServerChoice>,
    /// Why the last attempt failed, or the last allocation was lost; `None` since an allocation was made.
    pub(crate) failure: Option<TurnProbeError>,
}

impl PoolState {
    /// Whether a call that asked the servers now would wait in vain: they were asked a moment ago, and none gave an allocation. One that
    /// was lost says nothing of that: its server may be back.
    pub(crate) fn is_without_server(&self) -> bool {
        let lost = TurnProbeError::Refused(FarLegError::ServerGone);
        self.failure.as_ref().is_some_and(|error| *error != lost)
    }
}

/// Where the slots write what they know.
#[derive(Debug)]
pub(super) struct Board {
    slots: Mutex<[PoolState; SLOTS]>,
    shown: watch::Sender<PoolState>,
}

impl Board {
    pub(super) fn new() -> (Self, watch::Receiver<PoolState>) {
        let (shown, state) = watch::channel(PoolState::default());
        let board = Self {
            slots: Mutex::default(),
            shown,
        };
        (board, state)
    }

    /// An allocation of this slot stands.
    pub(super) fn note_ready(&self, slot: usize, server: &ServerChoice) {
        self.note(slot, |state| {
            *state = PoolState {
                is_ready: true,
                server: Some(server.clone()),
                failure: None,
            };
        });
    }

    /// An attempt failed, or an allocation was lost.
    pub(super) fn note_failure(&self, slot: usize, error: TurnProbeError) {
        self.note(slot, |state| {
            (state.is_ready, state.failure) = (false, Some(error));
        });
    }

    /// The first slot's server is the one that the engine has drawn; a failure counts when no slot works.
    fn note(&self, slot: usize, change: impl FnOnce(&mut PoolState)) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = slots.get_mut(slot) {
            change(state);
        }
        let is_ready = slots.iter().any(|slot| slot.is_ready);
        let failure = slots.iter().find_map(|slot| slot.failure.clone());
        let state = PoolState {
            is_ready,
            server: slots.first().and_then(|slot| slot.server.clone()),
            failure: failure.filter(|_| !is_ready),
        };
        self.shown
            .send_if_modified(|old| std::mem::replace(old, state.clone()) != state);
    }
}
