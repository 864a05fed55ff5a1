//! What a running engine shows of itself: the numbers-only status for monitors, and the whole picture for the user of this machine,
//! with the names and numbers that a monitor does not get. Data alone; the event loop fills it in.

use std::net::SocketAddr;

use ringfence_book::{IdentityKey, Number};
use ringfence_engine::line::saved_state::Ledger;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::{BookAge, Census, Counters, LiveCall};

use crate::net::relay::RelayState;
pub use crate::stats::quality_history::{MOST_SAMPLES, Quality, QualityHistory, QualitySample};
use crate::stats::totals::CallTotals;

/// The engine at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: UnixTime,
    /// The numbers-only part.
    pub status: GatewayStatus,
    /// The copy of the phone book; `None` while there is none.
    pub book: Option<BookAge>,
    /// The lines, in their order.
    pub lines: Vec<LineSnapshot>,
    /// The calls that are not over.
    pub calls: Vec<CallSnapshot>,
    /// Whose key each number stands for.
    pub contacts: Contacts,
    /// Calls of the past, texts that wait, what lines were told.
    pub ledger: Ledger,
}

/// One line.
#[derive(Clone, Debug)]
pub struct LineSnapshot {
    /// Its number.
    pub number: Number,
    /// Its key.
    pub identity: IdentityKey,
    /// The phones that are registered.
    pub phones: Vec<PhoneSnapshot>,
    /// The status with which they refuse texts, if they do.
    pub takes_no_texts: Option<u16>,
}

/// One registered phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSnapshot {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: &'static str,
    /// Where it is.
    pub address: SocketAddr,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallSnapshot {
    /// Who and how far.
    pub call: LiveCall,
    /// How good.
    pub curve: QualityHistory,
}

/// What a gateway says of itself.
#[derive(Clone, Debug, Default)]
pub struct GatewayStatus {
    /// How many phones are registered, line by line.
    pub phones: Vec<usize>,
    /// Calls by state.
    pub calls: Census,
    /// The connections to the relays.
    pub relays: RelayState,
    /// Whether a relayed address is ready for the next call. For some seconds after each call there is none; it then dials.
    pub turn_ready: bool,
    /// What the engine dropped in silence.
    pub counters: Counters,
    /// What calls were.
    pub sound: CallTotals,
}
