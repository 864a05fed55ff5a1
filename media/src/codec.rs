//! The audio formats that a call may carry, and their numbers.
//!
//! Static payload types and the G.722 clock come from RFC 3551 section 6, Opus from RFC 7587,
//! telephone events from RFC 4733. Nothing here encodes or decodes audio.

/// One audio format. The order of the variants is the order of their codes on the wire, not of
/// preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 mu-law, 8 kHz, 64 kbit/s (RFC 3551 section 4.5.14).
    Pcmu,
    /// G.711 A-law, 8 kHz, 64 kbit/s (RFC 3551 section 4.5.14).
    Pcma,
    /// G.722, sampled at 16 kHz but with an RTP clock of 8 kHz, for the historical reason that
    /// RFC 3551 section 4.5.2 gives.
    G722,
    /// Opus: in SDP always 48 kHz and two channels, whatever it carries (RFC 7587 section 7).
    Opus,
    /// Keypad digits timed by an 8 kHz clock (RFC 4733).
    Events8k,
    /// Keypad digits timed by a 48 kHz clock, for use beside Opus (RFC 4733).
    Events48k,
}

impl Codec {
    /// Every format, in the order of the codes.
    pub const ALL: [Self; 6] = [
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::Opus,
        Self::Events8k,
        Self::Events48k,
    ];

    /// Ticks of the RTP timestamp per second.
    #[must_use]
    pub const fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::Events8k => 8_000,
            Self::Opus | Self::Events48k => 48_000,
        }
    }

    /// Name, clock and channels as an `a=rtpmap` line says them (RFC 8866 section 6.6).
    #[must_use]
    pub const fn rtpmap(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
            Self::G722 => "G722/8000",
            Self::Opus => "opus/48000/2",
            Self::Events8k => "telephone-event/8000",
            Self::Events48k => "telephone-event/48000",
        }
    }

    /// The audio format of a list, which may have telephone events beside it.
    pub(crate) fn sound_of(codecs: &[Self]) -> Option<Self> {
        codecs.iter().copied().find(|codec| !codec.is_events())
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "G.711 mu-law",
            Self::Pcma => "G.711 A-law",
            Self::G722 => "G.722",
            Self::Opus => "Opus",
            Self::Events8k | Self::Events48k => "telephone events",
        }
    }

    /// Whether this carries keypad digits rather than audio.
    #[must_use]
    pub const fn is_events(self) -> bool {
        matches!(self, Self::Events8k | Self::Events48k)
    }

    /// The payload type of its block in a frame between two engines, which is also the one that we offer to a phone.
    ///
    /// It is the same for all engines, so that it tells nothing about the phone behind one.
    #[must_use]
    pub const fn far_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::Opus => 111,
            Self::Events8k => 101,
            Self::Events48k => 110,
        }
    }

    /// The format that a payload type means between two engines.
    #[must_use]
    pub fn from_far_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.far_payload_type() == payload_type)
    }

    /// The `a=fmtp` parameters that we send to a phone, for its encoder.
    ///
    /// Opus must keep to the room that a frame has, and a phone that is silent should send (RFC 7587 section 6.1): the bit rate is that of
    /// [`OPUS_BITS`](crate::frame::class::OPUS_BITS). It should put what repairs a lost packet into the next one, within that rate.
    pub(crate) const fn format_parameters(self) -> Option<&'static str> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => None,
            Self::Opus => Some("usedtx=0;cbr=1;maxaveragebitrate=40000;useinbandfec=1"),
            Self::Events8k | Self::Events48k => Some("0-15"),
        }
    }

    /// The byte that stands for this format in a [`Description`](crate::Description).
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 1,
            Self::G722 => 2,
            Self::Opus => 3,
            Self::Events8k => 4,
            Self::Events48k => 5,
        }
    }

    /// The reverse of [`Codec::code`].
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The format that a payload type means without an `a=rtpmap` line (RFC 3551 section 6).
    pub(crate) const fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            _ => None,
        }
    }

    /// The format that the value of an `a=rtpmap` line names: names in any case, channels not
    /// compared.
    pub(crate) fn from_rtpmap(value: &str) -> Option<Self> {
        let (name, clock) = name_and_clock(value)?;
        Self::ALL.into_iter().find(|codec| {
            name_and_clock(codec.rtpmap()).is_some_and(|(ours, _)| ours.eq_ignore_ascii_case(name))
                && codec.clock() == clock
        })
    }
}

fn name_and_clock(value: &str) -> Option<(&str, u32)> {
    let mut parts = value.split('/');
    let name = parts.next()?;
    let clock = parts.next()?.parse().ok()?;
    Some((name, clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_format() {
        for codec in Codec::ALL {
            assert_eq!(
                Codec::from_far_payload_type(codec.far_payload_type()),
                Some(codec)
            );
            assert_eq!(Codec::from_code(codec.code()), Some(codec));
            assert_eq!(Codec::from_rtpmap(codec.rtpmap()), Some(codec));
        }
        assert_eq!(Codec::from_code(6), None);
        assert_eq!(Codec::from_far_payload_type(13), None);
    }

    #[test]
    fn an_rtpmap_is_read_in_any_case_and_with_any_channels() {
        assert_eq!(Codec::from_rtpmap("pcmu/8000/1"), Some(Codec::Pcmu));
        assert_eq!(Codec::from_rtpmap("OPUS/48000"), Some(Codec::Opus));
        assert_eq!(
            Codec::from_rtpmap("TELEPHONE-EVENT/48000"),
            Some(Codec::Events48k)
        );
    }

    #[test]
    fn a_clock_that_is_not_ours_is_another_format() {
        for other in [
            "telephone-event/16000",
            "G722/16000",
            "PCMU",
            "PCMU/",
            "PCMU/eight",
            "",
            "/8000",
        ] {
            assert_eq!(Codec::from_rtpmap(other), None, "{other}");
        }
    }

    #[test]
    fn no_far_payload_type_can_be_mistaken_for_rtcp() {
        // RFC 5761 section 4.
        for codec in Codec::ALL {
            assert!(!(64..=95).contains(&codec.far_payload_type()));
        }
    }
}
