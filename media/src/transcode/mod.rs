//! The sound of one codec as that of another, for a phone that shares none with the other side's phone.
//!
//! It stands between the near leg, which knows the phone's codec alone, and the frames, which know the call's. A packet becomes a packet of
//! the same length, so that the pace of the frames stays the phone's; key presses change their clock (RFC 4733 section 2.1). One engine
//! of the two does this, and no more than decode and encode: what is lost is repaired before it.
//!
//! Each packet costs what `opus` says; a call whose phones share a codec has none of this. The other side, and a TURN server, see a call of
//! the codec that crosses.

mod allowance;
mod opus;
mod resampler;
pub mod sound;
mod stream;

use std::collections::VecDeque;
use std::time::Instant;

use self::stream::TranscodedStream;
use crate::codec::Codec;
use crate::far::FarPacket;

/// Both directions of one call.
#[derive(Debug)]
pub struct Transcoder {
    /// What the phone and the call have.
    pair: [Vec<Codec>; 2],
    from_phone: TranscodedStream,
    to_phone: TranscodedStream,
    /// For the phone: never more than what one packet of the call brings.
    ready: VecDeque<FarPacket>,
}

impl Transcoder {
    /// Between what a phone has and what the call carries, each a codec and perhaps telephone events. `None` without a codec on each side.
    #[must_use]
    pub fn between(phone: &[Codec], carried: &[Codec]) -> Option<Self> {
        Some(Self {
            pair: [phone.to_vec(), carried.to_vec()],
            from_phone: TranscodedStream::new(phone, carried)?,
            to_phone: TranscodedStream::new(carried, phone)?,
            ready: VecDeque::new(),
        })
    }

    /// Whether it stands between these.
    pub(crate) fn is_between(&self, phone: &[Codec], carried: &[Codec]) -> bool {
        self.pair == [phone, carried]
    }

    /// A packet of the phone as the call carries it. `None` for one that is behind another, cannot be decoded, is too short by itself, or is
    /// more sound than anyone says.
    pub fn send(&mut self, packet: &FarPacket, now: Instant) -> Option<FarPacket> {
        self.from_phone.carry(packet, now)
    }

    /// Whether a packet of the phone comes behind others: [`send`](Self::send) has no use for it.
    pub(crate) fn is_late(&self, packet: &FarPacket) -> bool {
        self.from_phone.is_late(packet)
    }

    /// Takes a packet of the call; returns how many that are missing before it have something in their place.
    pub fn receive(&mut self, packet: &FarPacket, now: Instant) -> usize {
        let concealed = self.to_phone.conceal(packet, now);
        let count = concealed.len();
        self.ready.extend(concealed);
        self.ready.extend(self.to_phone.carry(packet, now));
        count
    }

    /// The next packet for the phone: those of the call, and what stands in for the ones that are missing.
    pub fn poll(&mut self) -> Option<FarPacket> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests;
