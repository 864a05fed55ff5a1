//! The conditions of a running engine: everything that ends, prevents or degrades calls, or speaks against the promise of privacy, as
//! one type. The status and its JSON, `/health`, the figures, the page, the doctor and the log all read it.
//!
//! A condition has two texts: [`Condition::text`] for the user of this machine, with names, numbers and servers; and
//! [`Condition::unnamed`] for the log and the page for monitors, without them. The shell collects the facts (`run/conditions.rs`); the
//! texts are in `text`, and since when each condition holds is in [`board`].

pub mod board;
pub mod text;

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::EndReason;
use ringfence_engine::trust::contacts::ShownBy;

use crate::net::book::ClockOffset;
use crate::net::book::skew::TOLERANCE;
use crate::net::relay::RelayTrouble;
use crate::state::keystore::{DamagedFile, KeystoreError};
use crate::turn::credentials::LoginStock;
use crate::turn::probe::TurnProbeError;
use crate::turn::servers::ServerChoice;

/// A clock that is further off makes every ring invalid at the other end.
pub(crate) const USELESS_CLOCK: Duration = Duration::from_secs(60);

/// Calls without an audio path, one after the other, from which on the way itself is taken for broken. Fewer may be the fault of one
/// other side.
pub(crate) const CALLS_WITHOUT_AUDIO: u32 = 3;

/// The kinds of conditions, those first that prevent calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionKind {
    /// No relay is connected.
    NoRelay,
    /// No relay confirms the subscription to rings.
    NoSubscription,
    /// No relay takes envelopes.
    NoPublication,
    /// No TURN server gives a relayed address.
    NoTurn,
    /// The clock differs from the phone book's.
    Clock,
    /// There is no copy of the phone book.
    NoBook,
    /// No line has a phone.
    NoPhone,
    /// Calls ended for want of an audio path.
    NoAudio,
    /// Another machine holds the keys of a line.
    OtherMachine,
    /// A contact was seen with another key than the pinned one.
    KeyChanged,
    /// There is evidence against the phone book.
    Evidence,
    /// The disk does not take what is new.
    NotSaved,
    /// The phone book cannot be used until a person has acted.
    BookRefused,
    /// The phone book cannot be reached; its copy is in use.
    BookAway,
    /// The phone book publishes nothing new.
    BookOld,
    /// A TURN server other than the first is in use.
    SecondTurn,
    /// One relay of several does not do its part.
    Relay,
    /// A line has no phone, and another one has.
    LineWithoutPhone,
    /// The phones of a line refuse texts.
    TextsRefused,
    /// A file of the state folder was damaged, and the engine started without it.
    FileDamaged,
}

impl ConditionKind {
    /// Every kind, in its order.
    pub const ALL: [Self; 20] = [
        Self::NoRelay,
        Self::NoSubscription,
        Self::NoPublication,
        Self::NoTurn,
        Self::Clock,
        Self::NoBook,
        Self::NoPhone,
        Self::NoAudio,
        Self::OtherMachine,
        Self::KeyChanged,
        Self::Evidence,
        Self::NotSaved,
        Self::BookRefused,
        Self::BookAway,
        Self::BookOld,
        Self::SecondTurn,
        Self::Relay,
        Self::LineWithoutPhone,
        Self::TextsRefused,
        Self::FileDamaged,
    ];

    /// The kind as the JSON of the status and the labels of figures have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoRelay => "no_relay",
            Self::NoSubscription => "no_subscription",
            Self::NoPublication => "no_publication",
            Self::NoTurn => "no_turn",
            Self::Clock => "clock",
            Self::NoBook => "no_book",
            Self::NoPhone => "no_phone",
            Self::NoAudio => "no_audio",
            Self::OtherMachine => "other_machine",
            Self::KeyChanged => "key_changed",
            Self::Evidence => "evidence",
            Self::NotSaved => "not_saved",
            Self::BookRefused => "book_refused",
            Self::BookAway => "book_away",
            Self::BookOld => "book_old",
            Self::SecondTurn => "second_turn",
            Self::Relay => "relay",
            Self::LineWithoutPhone => "line_without_phone",
            Self::TextsRefused => "texts_refused",
            Self::FileDamaged => "file_damaged",
        }
    }

    /// How long a condition of this kind lasts before it is logged, so that what passes by itself does not fill a log; `None` for what
    /// the log has from where it happens.
    #[must_use]
    pub const fn patience(self) -> Option<Duration> {
        match self {
            Self::KeyChanged | Self::Evidence | Self::FileDamaged => None,
            Self::NoRelay | Self::NoSubscription | Self::Relay => Some(Duration::from_secs(10)),
            Self::NoTurn => Some(Duration::from_secs(2)),
            Self::NoPhone | Self::LineWithoutPhone => Some(Duration::from_secs(60)),
            _ => Some(Duration::ZERO),
        }
    }
}

/// A condition, with what its texts need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No relay is connected.
    NoRelay,
    /// No relay confirms the subscription; what the first of them does.
    NoSubscription(RelayTrouble),
    /// No relay takes envelopes; what the first of them does.
    NoPublication(RelayTrouble),
    /// No TURN server gives a relayed address.
    NoTurn(TurnProbeError),
    /// The clock is so far from the phone book's.
    Clock(ClockOffset),
    /// There is no copy of the phone book.
    NoBook,
    /// No line has a phone.
    NoPhone,
    /// The last calls, one after the other, ended for want of an audio path.
    NoAudio {
        /// How many.
        calls: u32,
        /// How the last one ended.
        reason: EndReason,
    },
    /// Another machine holds the keys of this line.
    OtherMachine(Number),
    /// This contact was seen with another key.
    KeyChanged(Number, ShownBy),
    /// There are so many files of evidence against the phone book.
    Evidence(usize),
    /// The disk does not take what is new, for this reason.
    NotSaved(KeystoreError),
    /// The phone book cannot be used, for this reason, with this remedy.
    BookRefused(String, String),
    /// The phone book cannot be reached.
    BookAway {
        /// How old the copy is.
        age: Duration,
        /// Why, without the name of a server.
        why: String,
        /// What the person can do.
        remedy: String,
        /// How long calls go on.
        lasts: BookLasts,
    },
    /// The newest epoch of the phone book is so old.
    BookOld(Duration),
    /// A TURN server other than the first is in use.
    SecondTurn(ServerChoice),
    /// One relay of so many does not do its part.
    Relay(RelayTrouble, usize),
    /// This line has no phone.
    LineWithoutPhone(Number),
    /// The phones of a line refuse texts.
    TextsRefused {
        /// The line.
        line: Number,
        /// The SIP status with which they do.
        status: u16,
        /// Texts that wait.
        waiting: usize,
    },
    /// The engine started without this file, which lies beside.
    FileDamaged(DamagedFile),
}

/// How long an engine works without its phone book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookLasts {
    /// Until the copy is so old that contacts alone ring.
    pub callers: Duration,
    /// What is left of the book's TURN logins, if those are in use.
    pub logins: Option<LoginStock>,
}

impl Condition {
    /// The condition of a clock that is so far from the phone book's; `None` if it is right.
    pub(crate) fn of_clock(offset: ClockOffset) -> Option<Self> {
        (offset.apart > TOLERANCE).then_some(Self::Clock(offset))
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ConditionKind {
        match self {
            Self::NoRelay => ConditionKind::NoRelay,
            Self::NoSubscription(_) => ConditionKind::NoSubscription,
            Self::NoPublication(_) => ConditionKind::NoPublication,
            Self::NoTurn(_) => ConditionKind::NoTurn,
            Self::Clock(_) => ConditionKind::Clock,
            Self::NoBook => ConditionKind::NoBook,
            Self::NoPhone => ConditionKind::NoPhone,
            Self::NoAudio { .. } => ConditionKind::NoAudio,
            Self::OtherMachine(_) => ConditionKind::OtherMachine,
            Self::KeyChanged(..) => ConditionKind::KeyChanged,
            Self::Evidence(_) => ConditionKind::Evidence,
            Self::NotSaved(_) => ConditionKind::NotSaved,
            Self::BookRefused(..) => ConditionKind::BookRefused,
            Self::BookAway { .. } => ConditionKind::BookAway,
            Self::BookOld(_) => ConditionKind::BookOld,
            Self::SecondTurn(_) => ConditionKind::SecondTurn,
            Self::Relay(..) => ConditionKind::Relay,
            Self::LineWithoutPhone(_) => ConditionKind::LineWithoutPhone,
            Self::TextsRefused { .. } => ConditionKind::TextsRefused,
            Self::FileDamaged(_) => ConditionKind::FileDamaged,
        }
    }

    /// Whether calls do not work, or a key or the phone book may be forged, or what is new will be lost, keys among it. `/health` is "ok" only without such a condition.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        match self {
            Self::NoRelay
            | Self::NoSubscription(_)
            | Self::NoPublication(_)
            | Self::NoTurn(_)
            | Self::NoBook
            | Self::NoPhone
            | Self::OtherMachine(_)
            | Self::KeyChanged(..)
            | Self::Evidence(_)
            | Self::NotSaved(_)
            | Self::BookRefused(..) => true,
            Self::Clock(offset) => offset.apart > USELESS_CLOCK,
            Self::FileDamaged(file) => file.is_grave,
            Self::NoAudio { calls, .. } => *calls >= CALLS_WITHOUT_AUDIO,
            Self::BookAway { .. }
            | Self::BookOld(_)
            | Self::SecondTurn(_)
            | Self::Relay(..)
            | Self::LineWithoutPhone(_)
            | Self::TextsRefused { .. } => false,
        }
    }

    /// What it concerns, where there may be several conditions of its kind.
    const fn subject(&self) -> u32 {
        match self {
            Self::OtherMachine(number)
            | Self::KeyChanged(number, _)
            | Self::LineWithoutPhone(number)
            | Self::TextsRefused { line: number, .. } => number.value(),
            // At most eight relays are used.
            Self::Relay(trouble, _) => trouble.position as u32,
            // One for each of the two kinds of files.
            Self::FileDamaged(file) => file.is_grave as u32,
            _ => 0,
        }
    }
}
