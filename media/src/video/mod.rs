//! The video formats that a call may carry, and which one two phones share.
//!
//! VP8 (RFC 7741) and H.264 (RFC 6184, modes 0 and 1). Nothing here encodes or decodes: payloads pass from phone to
//! phone unchanged. Limits that a phone sets beside its format (`max-fs`, `max-br` and the like) and parameter sets
//! in SDP do not cross: phones that need them have no video.

mod h264;

pub use h264::{H264Profile, PacketizationMode};

/// Ticks of the RTP timestamp per second, for every format (RFC 7741 section 6.2.1, RFC 6184 section 8.2.1).
pub(crate) const CLOCK: u32 = 90_000;
/// Formats of one phone that are kept. Phones offer two or three; one more for each mode and profile.
pub const MAX_FORMATS: usize = 8;
/// What a phone is asked to keep to, in kbit/s: good for 640 x 480 at 25 frames a second.
pub(crate) const ASKED_KBITS: u32 = 1_000;
/// What passes each way, in bits of payload a second; beyond it packets are dropped and counted.
pub(crate) const MAX_BITS: u32 = 1_500_000;

/// One video format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VideoFormat {
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264 (RFC 6184).
    H264 {
        /// Which tools of the standard are used.
        profile: H264Profile,
        /// Ten times the level: 31 for 3.1. The highest that may be sent to the side that names it.
        level: u8,
        /// How frames are cut into packets.
        packets: PacketizationMode,
    },
}

impl VideoFormat {
    /// Name and clock as an `a=rtpmap` line says them.
    #[must_use]
    pub const fn rtpmap(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8/90000",
            Self::H264 { .. } => "H264/90000",
        }
    }

    /// The payload type between two engines, which is also the one that we offer to a phone. It is the same for all
    /// engines, so that it tells nothing of the phone behind one, and differs from those of audio.
    #[must_use]
    pub const fn far_payload_type(self) -> u8 {
        match self {
            Self::Vp8 => FIRST_PAYLOAD_TYPE,
            Self::H264 {
                profile, packets, ..
            } => {
                let mode = match packets {
                    PacketizationMode::Single => 0,
                    PacketizationMode::NonInterleaved => 1,
                };
                // Codes of profiles are 1 to 5.
                FIRST_PAYLOAD_TYPE + profile.code() + mode * 5
            }
        }
    }

    /// The format that an `a=rtpmap` and an `a=fmtp` line name; `None` if we carry no such.
    pub(crate) fn read(rtpmap: &str, parameters: &str) -> Option<Self> {
        let (name, clock) = rtpmap.trim().split_once('/')?;
        if clock.parse() != Ok(CLOCK) {
            return None;
        }
        match name {
            _ if name.eq_ignore_ascii_case("VP8") => Some(Self::Vp8),
            _ if name.eq_ignore_ascii_case("H264") => h264::read(parameters),
            _ => None,
        }
    }

    /// The value of the `a=fmtp` line.
    pub(crate) fn parameters(self) -> Option<String> {
        match self {
            Self::Vp8 => None,
            Self::H264 {
                profile,
                level,
                packets,
            } => Some(h264::write(profile, level, packets)),
        }
    }

    /// Three bytes that stand for this format in a [`Description`](crate::Description).
    pub(crate) const fn code(self) -> [u8; 3] {
        match self {
            Self::Vp8 => [1, 0, 0],
            Self::H264 {
                profile,
                level,
                packets: PacketizationMode::Single,
            } => [2, profile.code(), level],
            Self::H264 {
                profile,
                level,
                packets: PacketizationMode::NonInterleaved,
            } => [3, profile.code(), level],
        }
    }

    /// The reverse of [`VideoFormat::code`].
    pub(crate) fn from_code(code: [u8; 3]) -> Option<Self> {
        let packets = match code {
            [1, 0, 0] => return Some(Self::Vp8),
            [2, ..] => PacketizationMode::Single,
            [3, ..] => PacketizationMode::NonInterleaved,
            _ => return None,
        };
        let [_, profile, level] = code;
        Some(Self::H264 {
            profile: H264Profile::from_code(profile)?,
            level: Some(level).filter(|level| h264::LEVELS.contains(level))?,
            packets,
        })
    }

    /// Whether the two differ in nothing but the level, so that they have one payload type.
    pub(crate) const fn is_like(self, other: Self) -> bool {
        self.far_payload_type() == other.far_payload_type()
    }

    /// What both can do, if they are the same but for the level. RFC 6184 section 8.2.2: profile and mode have to be
    /// alike on both sides. Different levels for the two ways are not asked for, so that the lower one binds both.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if !self.is_like(other) => None,
            (
                Self::H264 {
                    profile,
                    level,
                    packets,
                },
                Self::H264 {
                    level: its_level, ..
                },
            ) => Some(Self::H264 {
                profile,
                level: level.min(its_level),
                packets,
            }),
            _ => Some(self),
        }
    }
}

/// The format out of what was `offered` and what the other phone `answered`; the answerer's order decides. `None` when
/// they have none in common: then the call has audio alone.
#[must_use]
pub fn choose_video(offered: &[VideoFormat], answered: &[VideoFormat]) -> Option<VideoFormat> {
    answered
        .iter()
        .find_map(|answer| offered.iter().find_map(|offer| answer.common(*offer)))
}

/// Whether a payload type between two engines is one of video.
pub(crate) const fn is_far_payload_type(payload_type: u8) -> bool {
    FIRST_PAYLOAD_TYPE <= payload_type && payload_type <= LAST_PAYLOAD_TYPE
}

/// The payload types of video between two engines: one of VP8, and of H.264 five profiles in two modes.
pub(crate) const FIRST_PAYLOAD_TYPE: u8 = 112;
pub(crate) const LAST_PAYLOAD_TYPE: u8 = 122;

#[cfg(test)]
mod tests {
    use super::VideoFormat::Vp8;
    use super::*;

    fn h264(profile: H264Profile, level: u8, packets: PacketizationMode) -> VideoFormat {
        VideoFormat::H264 {
            profile,
            level,
            packets,
        }
    }

    const PROFILES: [H264Profile; 5] = [
        H264Profile::ConstrainedBaseline,
        H264Profile::Baseline,
        H264Profile::Main,
        H264Profile::High,
        H264Profile::ConstrainedHigh,
    ];

    #[test]
    fn every_format_comes_back_from_its_code_and_from_its_lines() {
        let packets = [PacketizationMode::Single, PacketizationMode::NonInterleaved];
        let formats = PROFILES
            .iter()
            .flat_map(|profile| packets.map(|packets| h264(*profile, 31, packets)));
        let mut numbers = std::collections::BTreeSet::new();
        for format in formats.chain([Vp8]) {
            assert!(numbers.insert(format.far_payload_type()));
            assert_eq!(VideoFormat::from_code(format.code()), Some(format));
            let parameters = format.parameters().unwrap_or_default();
            assert_eq!(
                VideoFormat::read(format.rtpmap(), &parameters),
                Some(format)
            );
            assert!(is_far_payload_type(format.far_payload_type()));
            assert_eq!(
                crate::Codec::from_far_payload_type(format.far_payload_type()),
                None
            );
        }
        for code in [
            [0, 0, 0],
            [1, 0, 1],
            [1, 1, 0],
            [4, 1, 31],
            [2, 0, 31],
            [2, 9, 31],
            [3, 1, 9],
            [3, 1, 63],
        ] {
            assert_eq!(VideoFormat::from_code(code), None, "{code:?}");
        }
    }

    #[test]
    fn another_clock_or_name_is_another_format() {
        for rtpmap in [
            "VP8/8000",
            "VP8",
            "VP9/90000",
            "H265/90000",
            "H264/90001",
            "",
        ] {
            assert_eq!(VideoFormat::read(rtpmap, ""), None, "{rtpmap}");
        }
        assert_eq!(VideoFormat::read("vp8/90000", "max-fs=3600"), Some(Vp8));
    }

    #[test]
    fn the_answerer_decides_and_the_lower_level_binds_both() {
        let (low, high) = (
            h264(H264Profile::Baseline, 12, PacketizationMode::Single),
            h264(H264Profile::Baseline, 31, PacketizationMode::Single),
        );
        assert_eq!(choose_video(&[Vp8, high], &[low, Vp8]), Some(low));
        assert_eq!(choose_video(&[low], &[high]), Some(low));
        assert_eq!(choose_video(&[low, Vp8], &[Vp8, high]), Some(Vp8));
        assert_eq!(choose_video(&[], &[Vp8]), None);
    }

    #[test]
    fn profile_and_mode_must_be_alike() {
        for other in [
            h264(
                H264Profile::ConstrainedBaseline,
                31,
                PacketizationMode::Single,
            ),
            h264(H264Profile::Baseline, 31, PacketizationMode::NonInterleaved),
            Vp8,
        ] {
            let offered = [h264(H264Profile::Baseline, 31, PacketizationMode::Single)];
            assert_eq!(choose_video(&offered, &[other]), None, "{other:?}");
        }
    }
}
