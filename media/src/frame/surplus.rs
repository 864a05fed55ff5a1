//! By how much a phone's sound waits longer for its slot than it has to: after a late packet, all that come later wait a slot longer. Slots do
//! not move for it, so one packet is left out where the wait was long enough without it for a while: the next one, of G.711, whose
//! loudness its bytes tell, the next quiet one, so that no sound of a word is missed. A phone that is late again and again keeps the wait that it needs.

use std::time::Duration;

use crate::codec::Codec;
use crate::far::FarPacket;
use crate::g711::expand_as;

/// Slots with sound over which the wait has to be long.
const LONG: u16 = 250;

/// Slots after which a packet is left out that is not quiet.
const LONGEST: u16 = 500;

/// What is left of the shortest wait, for the phone's jitter.
const REMAINDER: Duration = Duration::from_millis(2);

/// How many times quieter than the loudest a packet is that may be missed: 18 dB, as breath and the noise of a room are below speech.
const QUIETER: u16 = 8;

/// The waits of the last slots.
#[derive(Debug)]
pub(super) struct Surplus {
    shortest: Duration,
    slots: u16,
    /// The peak of what was heard since a packet is to be left out.
    loudest: u16,
}

impl Default for Surplus {
    fn default() -> Self {
        Self {
            shortest: Duration::MAX,
            slots: 0,
            loudest: 0,
        }
    }
}

impl Surplus {
    /// A slot had sound that waited so long, or none.
    pub(super) fn note(&mut self, wait: Option<Duration>) {
        let Some(wait) = wait else {
            *self = Self::default();
            return;
        };
        self.shortest = self.shortest.min(wait);
        self.slots = self.slots.saturating_add(1);
    }

    /// Whether this packet, which waits for its slot, is to be left out; slots are so far apart.
    pub(super) fn takes(&mut self, packet: &FarPacket, length: Duration) -> bool {
        if self.slots < LONG {
            return false;
        }
        if self.shortest < length + REMAINDER {
            *self = Self::default();
            return false;
        }
        let peak = peak(packet);
        self.loudest = self.loudest.max(peak);
        let is_taken = peak <= self.loudest / QUIETER || self.slots >= LONGEST;
        if is_taken {
            *self = Self::default();
        }
        is_taken
    }
}

/// The farthest sample from zero; nothing where bytes do not tell.
fn peak(packet: &FarPacket) -> u16 {
    let codec = Codec::from_far_payload_type(packet.payload_type);
    let codec = codec.filter(|codec| matches!(codec, Codec::Pcmu | Codec::Pcma));
    let peaks = codec.map(|codec| {
        let samples = packet.payload.iter().map(|byte| expand_as(codec, *byte));
        samples.map(i16::unsigned_abs).max().unwrap_or_default()
    });
    peaks.unwrap_or_default()
}
