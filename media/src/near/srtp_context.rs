//! The state of SRTP between one phone and us, for one stream (RFC 3711).
//!
//! Which packets may open or leave is the phone's business.

use std::fmt;

use crate::srtp::{ControlOpener, ControlSealer, KeyPair, OpenError, Opener, Sealer};
use crate::stats::Reason;

/// The state of SRTP and SRTCP under agreed keys.
pub(super) struct Lock {
    keys: KeyPair,
    ours: Sealing,
    theirs: Opening,
    /// The packet that is being opened.
    packet: Vec<u8>,
}

/// What we write with.
struct Sealing {
    packets: Sealer,
    control: ControlSealer,
}

/// What the phone writes with.
struct Opening {
    packets: Opener,
    control: ControlOpener,
}

impl Lock {
    /// The state for these keys: a direction whose key stays the same goes on, or its packets would
    /// repeat a key stream one way, and could be replayed the other way.
    pub(super) fn renewed(before: Option<Self>, keys: KeyPair) -> Self {
        let (ours, theirs) = match before {
            Some(before) => (
                Some(before.ours).filter(|_| before.keys.ours == keys.ours),
                Some(before.theirs).filter(|_| before.keys.theirs == keys.theirs),
            ),
            None => (None, None),
        };
        Self {
            ours: ours.unwrap_or_else(|| Sealing {
                packets: Sealer::new(&keys.ours),
                control: ControlSealer::new(&keys.ours),
            }),
            theirs: theirs.unwrap_or_else(|| Opening {
                packets: Opener::new(&keys.theirs),
                control: ControlOpener::new(&keys.theirs),
            }),
            keys,
            packet: Vec::new(),
        }
    }

    /// The packet behind a datagram.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<&[u8], Reason> {
        self.packet.clear();
        self.packet.extend_from_slice(bytes);
        let opened = self.theirs.packets.open(&mut self.packet);
        opened.map(|()| &*self.packet).map_err(why)
    }

    /// The same for RTCP.
    pub(super) fn open_control(&mut self, bytes: &[u8]) -> Result<&[u8], Reason> {
        self.packet.clear();
        self.packet.extend_from_slice(bytes);
        let opened = self.theirs.control.open(&mut self.packet);
        opened.map(|()| &*self.packet).map_err(why)
    }

    /// Encrypts a packet in place; false if it cannot be sent.
    pub(super) fn seal(&mut self, packet: &mut Vec<u8>) -> bool {
        self.ours.packets.seal(packet)
    }

    /// The same for RTCP.
    pub(super) fn seal_control(&mut self, packet: &mut Vec<u8>) -> bool {
        self.ours.control.seal(packet)
    }
}

const fn why(error: OpenError) -> Reason {
    match error {
        OpenError::Malformed => Reason::Malformed,
        OpenError::Forged => Reason::Forged,
        OpenError::Replayed => Reason::Duplicate,
        OpenError::Late => Reason::Late,
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock(..)")
    }
}
