//! What a running engine shows of itself: the status for monitors, and the snapshot for the user of this machine, which adds names
//! and numbers. Data alone; the event loop fills it in.

use std::net::SocketAddr;

use ringfence_book::{IdentityKey, Number};
use ringfence_engine::line::saved_state::SavedState;
use ringfence_engine::line::written::WrittenText;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::{BookAge, CallCounts, EngineCounters, LiveCall};

use crate::net::relay::RelayState;
use crate::stats::condition::board::ActiveCondition;
use crate::stats::quality_history::QualityHistory;
use crate::stats::totals::CallTotals;

/// The engine at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub at: UnixTime,
    /// The part without names and numbers.
    pub status: GatewayStatus,
    /// The copy of the phone book; `None` while there is none.
    pub book: Option<BookAge>,
    /// The lines, in their order.
    pub lines: Vec<LineSnapshot>,
    /// The calls that are not over.
    pub calls: Vec<CallSnapshot>,
    /// The contacts, with the key of each number.
    pub contacts: Contacts,
    /// Past calls, waiting texts, settings of lines.
    pub saved_state: SavedState,
    /// Texts that were written at the screen.
    pub written: Vec<WrittenText>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct LineSnapshot {
    /// Its number.
    pub number: Number,
    /// Its identity key.
    pub identity: IdentityKey,
    /// The registered phones.
    pub phones: Vec<PhoneSnapshot>,
    /// The SIP status with which its phones refuse texts, if they do.
    pub takes_no_texts: Option<u16>,
}

/// One registered phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSnapshot {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: &'static str,
    /// Its address.
    pub address: SocketAddr,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallSnapshot {
    /// The parties and the state.
    pub call: LiveCall,
    /// Its quality, second by second.
    pub quality: QualityHistory,
}

/// The state of a running engine without names and keys. Only the conditions have numbers and servers in them, which
/// [`Condition::unnamed`](crate::stats::condition::Condition::unnamed) leaves out.
#[derive(Clone, Debug, Default)]
pub struct GatewayStatus {
    /// Registered phones, line by line.
    pub phones: Vec<usize>,
    /// Calls by state.
    pub calls: CallCounts,
    /// The connections to the relays.
    pub relays: RelayState,
    /// Whether an allocation is ready for the next call. For some seconds after each call there is none; a call then dials.
    pub turn_ready: bool,
    /// What is wrong, grave conditions first.
    pub conditions: Vec<ActiveCondition>,
    /// What the engine dropped without an answer.
    pub counters: EngineCounters,
    /// Sums over all ended calls.
    pub totals: CallTotals,
}
