//! What a connected leg sends beside sound: connectivity checks and their answers, records of DTLS, reports, requests to the TURN server. It
//! waits for the next frame and leaves right behind it, so that a TURN server sees one train of packets in each slot: between the slots
//! nothing tells the side that called, what a packet answers, or when something happened.

use super::event::FarOutput;
use super::leg::FarLeg;

/// Packets that wait for a frame. Those beyond leave at once: only the other side's packets can make so many answers, and it learns nothing.
const MOST: usize = 32;

/// The packets that wait; none do before connection.
#[derive(Debug, Default)]
pub(super) struct HeldPackets {
    waits: bool,
    packets: Vec<Vec<u8>>,
}

impl HeldPackets {
    /// The server for which they were is left.
    pub(super) fn forget(&mut self) {
        self.packets.clear();
    }
}

impl FarLeg {
    /// Whether all that is no sound and no picture waits for [`release`](Self::release) from now on.
    pub fn hold_back(&mut self, waits: bool) {
        self.held.waits = waits;
        if !waits {
            self.release();
        }
    }

    /// A frame has left: so does what waits.
    pub fn release(&mut self) {
        let packets = self.held.packets.drain(..);
        self.outputs.extend(packets.map(FarOutput::ToServer));
    }

    /// Sends something beside sound.
    pub(super) fn send_behind(&mut self, bytes: Vec<u8>) {
        if self.held.waits && self.held.packets.len() < MOST {
            self.held.packets.push(bytes);
        } else {
            self.outputs.push_back(FarOutput::ToServer(bytes));
        }
    }
}
