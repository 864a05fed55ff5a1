//! The far leg: the WebRTC side of a call, over one TURN allocation (RFC 8656) and no other path. Only this folder knows
//! str0m and turn-client-proto.
//!
//! Bytes and time come in, bytes for the TURN server go out. There is no other way out: without an allocation there is no
//! call. The other side's relayed addresses come typed in its [`Description`](crate::Description); there is no SDP, no
//! candidate but the relayed one, and no name to resolve.
//!
//! ```text
//!  Waiting -> Connecting -> Talking -> Ending -> Closed
//!      \__________\____________/        (Ending: the allocation is being released)
//! ```
//!
//! The allocation is a [`TurnWay`], which may be made minutes before its call; a [`FarLeg`] takes it when the call needs it.

mod allocation;
mod channels;
mod check_form;
mod check_pace;
mod config;
mod credentials;
mod datagrams;
mod driver;
mod dtls;
mod early_packets;
mod error;
mod event;
mod flight;
mod held;
mod late_init;
mod leg;
mod media_path;
mod moving;
mod peer;
mod permissions;
mod presumed;
mod race;
mod relayed_addresses;
mod remotes;
mod replies;
mod rtp_session;
mod rtp_stream;
mod search;
mod setup;
mod srtp_keys;
mod way;

pub use self::config::{FarConfig, Role, TurnAccess, TurnPassword, TurnTransport};
pub use self::datagrams::{DATAGRAM_FIRST_BYTE, DATAGRAM_LEN};
pub use self::error::{FarConnectError, FarLegError};
pub use self::event::{FarCounters, FarEvent, FarOutput, FarPacket};
pub use self::leg::{CHECK_LIMIT, FarLeg};
pub use self::race::{MAX_ENTRIES, RaceOutput, WayRace};
pub use self::way::{TurnWay, WayOutput};

/// Longest control message, in bytes. Hold, hang-up and the like need a few dozen.
pub const MAX_CONTROL: usize = 4096;
