//! The far leg: WebRTC over one TURN allocation (RFC 8656), and nothing else. The only code that knows str0m and
//! turn-client-proto.
//!
//! Bytes and time in, bytes for the TURN server out. There is no other way out: no relay, no call. The other side's
//! relays come typed in its [`Description`](crate::Description); there is no SDP, no candidate but ours, no name to look up.
//!
//! ```text
//!  Allocating -> Ready -> Connecting -> Talking -> Ending -> Closed
//!       \___________\__________\___________/         (Ending: the allocation is being given back)
//! ```
//!
//! A leg may be made minutes before its call and wait in `Ready`; the allocation is kept fresh meanwhile, and
//! [`FarLeg::check`] tells whether it still stands.

mod allocation;
mod credentials;
mod driver;
mod dtls;
mod early_checks;
mod leg;
mod peer;
mod permissions;
mod relayed_addresses;
mod replies;
mod setup;
mod stream;
mod terms;

pub use self::leg::FarLeg;
pub use self::terms::{
    FarConfig, FarCounters, FarError, FarEvent, FarFault, FarLocal, FarOutput, Role, RtpPacket,
    Secret, TurnServer, TurnTransport,
};

/// Relays of the other side that a leg will talk to. Each costs a permission on our TURN server.
pub const MAX_RELAYS: usize = 4;

/// Longest control message, in bytes. Hold, hang-up and the like need a few dozen.
pub const MAX_CONTROL: usize = 4096;
