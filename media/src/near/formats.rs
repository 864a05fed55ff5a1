//! The formats that a phone listed for one stream: which of them cross, and as what.
//!
//! A phone may send each format that it listed in an answer, or was answered, at any time (RFC 3264 section 6.1), but the call
//! has one. The other law of G.711 is converted to the call's; what else is not the call's does not cross, and the engine can
//! offer the phone the call's alone (section 10.2). The phone itself is sent the call's format only.

use crate::codec::Codec;
use crate::g711;
use crate::video::{CLOCK, VideoFormat};

/// The formats of one stream, the agreed ones first.
#[derive(Debug)]
pub(super) struct StreamFormats(Vec<PayloadFormat>);

/// One format that the phone may send: its payload types on both sides, and its clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayloadFormat {
    /// The phone's payload type.
    pub(super) number: u8,
    /// The one between engines, which is also the one that we offer to a phone.
    far: u8,
    pub(super) clock: u32,
    /// Whether these are telephone events (RFC 4733) rather than audio.
    pub(super) is_events: bool,
    passage: Passage,
}

/// How a format of the phone crosses.
#[derive(Clone, Copy, Debug)]
enum Passage {
    /// As it is; the phone is sent it as well.
    Agreed,
    /// As the other law of G.711: under this payload type, and by this table.
    Converted(u8, &'static [u8; 256]),
    /// Not at all.
    Blocked,
}

impl StreamFormats {
    /// The agreed audio and telephone events with the phone's payload types, and what it listed beside them.
    pub(super) fn audio(agreed: Vec<(Codec, u8)>, also_listed: Vec<(Codec, u8)>) -> Self {
        let mut codecs = agreed.iter().map(|(codec, _)| *codec);
        let codec = codecs.find(|codec| !codec.is_events());
        let others = also_listed.into_iter().map(|(other, number)| {
            let table = codec.and_then(|codec| Some((codec, g711::conversion(other, codec)?)));
            let passage = match table {
                Some((codec, table)) => Passage::Converted(codec.far_payload_type(), table),
                None => Passage::Blocked,
            };
            PayloadFormat {
                passage,
                ..PayloadFormat::audio(other, number)
            }
        });
        let agreed = agreed.into_iter();
        let agreed = agreed.map(|(codec, number)| PayloadFormat::audio(codec, number));
        Self(agreed.chain(others).collect())
    }

    /// The agreed video.
    pub(super) fn video(format: VideoFormat, number: u8) -> Self {
        Self(vec![PayloadFormat {
            number,
            far: format.far_payload_type(),
            clock: CLOCK,
            is_events: false,
            passage: Passage::Agreed,
        }])
    }

    /// The format of a packet from the phone. Where a phone answered our offer with a payload type of its own, RFC 3264
    /// section 6.1 lets it send either with its own or, as few do, with ours.
    pub(super) fn received(&self, payload_type: u8) -> Option<PayloadFormat> {
        let mut formats = self.0.iter();
        let by_theirs = formats.find(|format| format.number == payload_type);
        let by_ours = || self.0.iter().find(|format| format.far == payload_type);
        by_theirs.or_else(by_ours).copied()
    }

    /// The format of a far packet, if the phone agreed to it.
    pub(super) fn sent(&self, far: u8) -> Option<PayloadFormat> {
        let mut formats = self.0.iter().copied();
        formats.find(|format| format.far == far && matches!(format.passage, Passage::Agreed))
    }

    /// The telephone-event format, if one was agreed.
    pub(super) fn events(&self) -> Option<PayloadFormat> {
        self.0.iter().copied().find(|format| format.is_events)
    }

    /// The clock of the media, which is that of the stream.
    pub(super) fn clock(&self) -> u32 {
        let mut formats = self.0.iter();
        let media = formats.find(|format| !format.is_events);
        media.map_or(8_000, |format| format.clock)
    }
}

impl PayloadFormat {
    const fn audio(codec: Codec, number: u8) -> Self {
        Self {
            number,
            far: codec.far_payload_type(),
            clock: codec.clock(),
            is_events: codec.is_events(),
            passage: Passage::Agreed,
        }
    }

    /// The payload type under which its packets cross, if they do.
    pub(super) const fn crosses_as(self) -> Option<u8> {
        match self.passage {
            Passage::Agreed => Some(self.far),
            Passage::Converted(far, _) => Some(far),
            Passage::Blocked => None,
        }
    }

    /// A payload as it crosses.
    pub(super) fn carry(self, payload: &[u8]) -> Vec<u8> {
        match self.passage {
            Passage::Converted(_, table) => g711::convert(payload, table),
            Passage::Agreed | Passage::Blocked => payload.to_vec(),
        }
    }
}
