//! What a gateway is made of at its start, and what other settings replace while it runs.

use std::time::Duration;

use ringfence_book::BookKey;
use ringfence_engine::line::saved_state::Ledger;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::trust::directory::Directory;
use ringfence_engine::{Config, Line};
use tokio::sync::mpsc;

use crate::net::phone::Listen;
use crate::net::relay::{Incoming, Relays};
use crate::state::writer::StateWriter;
use crate::turn::servers::TurnServers;

/// Everything a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// Where phones register.
    pub listen: Listen,
    /// The engine's settings.
    pub engine: Config,
    /// The lines, all of one phone book.
    pub lines: Vec<Line>,
    /// The phone book's key.
    pub book_key: BookKey,
    /// The downloaded book.
    pub directory: Directory,
    /// The relays, connecting, and what comes from them.
    pub relays: (Relays, mpsc::Receiver<Incoming>),
    /// The way out for sound.
    pub lobby: TurnServers,
    /// The contacts at the start.
    pub contacts: Contacts,
    /// Texts that wait, notes that were taken, calls of the past and the lines' settings at the start.
    pub ledger: Ledger,
    /// Where contacts, ledger and evidence are kept; without it all is forgotten at the end.
    pub diary: Option<StateWriter>,
}

/// What a running gateway can take over: other rules, and, if they changed, other relays and another way out for sound.
#[derive(Debug)]
pub struct SettingsChange {
    /// Leading zero bits of stamps.
    pub work_bits: u8,
    /// How long a caller waits for an answer.
    pub no_answer: Duration,
    /// The relays, connecting, and what comes from them.
    pub relays: Option<(Relays, mpsc::Receiver<Incoming>)>,
    /// The way out for sound.
    pub lobby: Option<TurnServers>,
}
