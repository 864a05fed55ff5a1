//! The parts of a gateway at its start, and those that changed settings replace while it runs.

use std::time::Duration;

use ringfence_book::BookKey;
use ringfence_engine::line::saved_state::SavedState;
use ringfence_engine::restart::RestartState;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::trust::directory::Directory;
use ringfence_engine::{Config, Line};

use crate::net::outbound::Outbound;
use crate::net::phone::{Listen, PhoneSockets};
use crate::net::relay::{RelayInbox, Relays};
use crate::state::writer::StateWriter;
use crate::turn::servers::TurnServers;

/// Everything that a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// The addresses at which phones register.
    pub listen: Listen,
    /// The engine's settings.
    pub engine: Config,
    /// How many earlier frames' sound each frame may carry.
    pub redundancy: usize,
    /// The lines, all of one phone book.
    pub lines: Vec<Line>,
    /// The phone book's key.
    pub book_key: BookKey,
    /// The downloaded book.
    pub directory: Directory,
    /// The relays, connecting, and the envelopes that they deliver.
    pub relays: (Relays, RelayInbox),
    /// The TURN servers.
    pub turn: TurnServers,
    /// The way to all servers.
    pub outbound: Outbound,
    /// The contacts at the start.
    pub contacts: Contacts,
    /// Waiting texts, notes that were taken, past calls and the lines' settings at the start.
    pub saved_state: SavedState,
    /// What the process before this one knew of phones and calls.
    pub restart: RestartState,
    /// Whether this desktop shows missed calls and texts.
    pub notifications: bool,
    /// Writes contacts, saved state and evidence to the disk; without it, everything is forgotten at the end.
    pub writer: Option<StateWriter>,
}

/// What a running gateway can take over: rules for calls, and relays and TURN servers if those changed.
#[derive(Debug)]
pub struct SettingsChange {
    /// Leading zero bits of proofs of work.
    pub work_bits: u8,
    /// How long a caller waits for an answer.
    pub no_answer: Duration,
    /// The new relays, connecting, and the envelopes that they deliver.
    pub relays: Option<(Relays, RelayInbox)>,
    /// The new TURN servers.
    pub turn: Option<TurnServers>,
}

/// What concerns sockets of this run: settings may have changed since the last one.
pub(super) fn of_sockets(mut state: RestartState, phones: &PhoneSockets) -> RestartState {
    let udp = phones.udp_addrs();
    state.phones.retain(|phone| udp.contains(&phone.local));
    state.final_messages.retain(|message| {
        message.flow.transport.is_reliable() || udp.contains(&message.flow.local)
    });
    state
}
