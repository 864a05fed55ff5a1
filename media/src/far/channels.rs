//! The channels of an allocation that carry media (RFC 8656 section 12): a packet of sound needs only the four bytes of a channel in front
//! of it, and one that comes only its channel's number, so that neither passes through the TURN client.
//!
//! The client binds channels and refreshes them. It does not tell their numbers, but each frame that it writes does.

use std::net::SocketAddr;

/// First byte of ChannelData (RFC 8656 section 12.4): only these numbers are in use.
const NUMBERS: std::ops::RangeInclusive<u8> = 0x40..=0x4f;

/// Number and length.
const HEADER: usize = 4;

/// The channels that have been used.
#[derive(Debug)]
pub(super) struct MediaChannels {
    bound: Vec<(SocketAddr, [u8; 2])>,
    is_stream: bool,
}

impl MediaChannels {
    pub(super) const fn new(is_stream: bool) -> Self {
        Self {
            bound: Vec::new(),
            is_stream,
        }
    }

    /// Learns the channel on which the client sends to `peer`. It sends in no other way once there is one.
    pub(super) fn note(&mut self, peer: SocketAddr, frame: &[u8]) {
        match *frame {
            [high, low, ..] if NUMBERS.contains(&high) => {
                if !self.bound.iter().any(|(bound, _)| *bound == peer) {
                    self.bound.push((peer, [high, low]));
                }
            }
            _ => self.forget(peer),
        }
    }

    /// The channel to `peer` is bound no more.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.bound.retain(|(bound, _)| *bound != peer);
    }

    /// The frame for the server that carries a packet to `peer`; the packet itself where no channel is known.
    pub(super) fn wrap(&self, peer: SocketAddr, mut packet: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let bound = self.bound.iter().find(|(bound, _)| *bound == peer);
        let (Some((_, number)), Ok(length)) = (bound, u16::try_from(packet.len())) else {
            return Err(packet);
        };
        packet.extend_from_slice(&[0; HEADER]);
        packet.copy_within(..usize::from(length), HEADER);
        let header = number.iter().copied().chain(length.to_be_bytes());
        packet
            .iter_mut()
            .zip(header)
            .for_each(|(to, from)| *to = from);
        if self.is_stream {
            ringfence_turn_framing::pad(&mut packet);
        }
        Ok(packet)
    }

    /// The peer of a frame of ChannelData from the server, and its data; `None` for all that the client has to see.
    pub(super) fn unwrap<'a>(&self, frame: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        let ([high, low, length @ ..], rest) = frame.split_first_chunk::<HEADER>()?;
        let bound = self
            .bound
            .iter()
            .find(|(_, number)| *number == [*high, *low]);
        let data = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        bound.map(|(peer, _)| (*peer, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "203.0.113.7:50000";

    fn peer() -> SocketAddr {
        PEER.parse().unwrap()
    }

    #[test]
    fn a_channel_is_known_from_the_first_frame_until_it_is_unbound() {
        let mut channels = MediaChannels::new(false);
        let frame = [0x40, 3, 0, 2, 9, 8];
        assert_eq!(channels.wrap(peer(), vec![9, 8]), Err(vec![9, 8]));
        assert_eq!(channels.unwrap(&frame), None);
        channels.note(peer(), &frame);
        assert_eq!(channels.wrap(peer(), vec![9, 8]), Ok(frame.to_vec()));
        assert_eq!(channels.unwrap(&frame), Some((peer(), &[9, 8][..])));
        // A Send indication: the client has no channel any more.
        channels.note(peer(), &[0x00, 0x16, 0, 0]);
        assert_eq!(channels.wrap(peer(), vec![9, 8]), Err(vec![9, 8]));
        assert_eq!(channels.unwrap(&frame), None);
    }

    #[test]
    fn a_stream_is_padded_and_what_is_cut_short_is_left_to_the_client() {
        let mut channels = MediaChannels::new(true);
        channels.note(peer(), &[0x40, 0]);
        let frame = [0x40, 0, 0, 1, 7, 0, 0, 0];
        assert_eq!(channels.wrap(peer(), vec![7]), Ok(frame.to_vec()));
        assert_eq!(channels.unwrap(&frame), Some((peer(), &[7][..])));
        assert_eq!(channels.unwrap(&frame[..4]), None);
        assert_eq!(channels.unwrap(&frame[..3]), None);
        assert_eq!(channels.unwrap(&[0x40, 1, 0, 1, 7]), None);
    }
}
