//! What an `a=fmtp` line says of H.264 (RFC 6184 section 8.1): profile, level, and how frames are cut into packets.
//!
//! Profiles are compared by what they mean (table 5 there), not by their bytes. Interleaved packets (mode 2) are not
//! carried.

use std::ops::RangeInclusive;

use super::VideoFormat;

/// Which tools of the standard are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum H264Profile {
    /// What is common to Baseline and Main; most phones.
    ConstrainedBaseline,
    /// Baseline without further constraints; also what no word means.
    Baseline,
    /// Main.
    Main,
    /// High.
    High,
    /// High without interlacing and without B frames.
    ConstrainedHigh,
}

/// How frames are cut into packets (`packetization-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketizationMode {
    /// Mode 0: one unit each; also what no word means.
    Single,
    /// Mode 1: units may be split and joined, in order.
    NonInterleaved,
}

/// Ten times the levels that exist. Level 1b is read as level 1, which it contains.
pub(super) const LEVELS: RangeInclusive<u8> = 10..=62;
/// What no word means (RFC 6184 section 8.1): Baseline at level 1.
const DEFAULT: [u8; 3] = [0x42, 0x80, 10];
/// Marks level 1b beside level 1.1, but in the high profiles.
const CONSTRAINT_SET_3: u8 = 0x10;

impl H264Profile {
    /// What `profile_idc` and `profile-iop` mean together.
    const fn of(idc: u8, iop: u8) -> Option<Self> {
        match (idc, iop) {
            _ if iop & 0x0f != 0 && idc != 0x64 => None,
            (0x42, _) if iop & 0x40 != 0 => Some(Self::ConstrainedBaseline),
            (0x4d, _) if iop & 0x80 != 0 => Some(Self::ConstrainedBaseline),
            (0x58, _) if iop & 0xc0 == 0xc0 => Some(Self::ConstrainedBaseline),
            (0x42, _) => Some(Self::Baseline),
            (0x58, _) if iop & 0xc0 == 0x80 => Some(Self::Baseline),
            (0x4d, _) if iop & 0xa0 == 0 => Some(Self::Main),
            (0x64, 0) => Some(Self::High),
            (0x64, 0x0c) => Some(Self::ConstrainedHigh),
            _ => None,
        }
    }

    /// The bytes under which most phones know it.
    const fn bytes(self) -> [u8; 2] {
        match self {
            Self::ConstrainedBaseline => [0x42, 0xe0],
            Self::Baseline => [0x42, 0x80],
            Self::Main => [0x4d, 0x40],
            Self::High => [0x64, 0x00],
            Self::ConstrainedHigh => [0x64, 0x0c],
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::ConstrainedBaseline => 1,
            Self::Baseline => 2,
            Self::Main => 3,
            Self::High => 4,
            Self::ConstrainedHigh => 5,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ConstrainedBaseline),
            2 => Some(Self::Baseline),
            3 => Some(Self::Main),
            4 => Some(Self::High),
            5 => Some(Self::ConstrainedHigh),
            _ => None,
        }
    }
}

/// Reads the parameters; `None` for what we do not carry.
pub(super) fn read(parameters: &str) -> Option<VideoFormat> {
    let value = |name: &str| {
        parameters.split(';').find_map(|parameter| {
            let (its_name, value) = parameter.trim().split_once('=')?;
            its_name.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let [idc, iop, level] = match value("profile-level-id") {
        Some(text) => three_bytes(text)?,
        None => DEFAULT,
    };
    let packets = match value("packetization-mode") {
        None | Some("0") => PacketizationMode::Single,
        Some("1") => PacketizationMode::NonInterleaved,
        Some(_) => return None,
    };
    let is_1b = level == 9 || (level == 11 && iop & CONSTRAINT_SET_3 != 0 && idc != 0x64);
    Some(VideoFormat::H264 {
        profile: H264Profile::of(idc, iop)?,
        level: Some(if is_1b { 10 } else { level }).filter(|level| LEVELS.contains(level))?,
        packets,
    })
}

pub(super) fn write(profile: H264Profile, level: u8, packets: PacketizationMode) -> String {
    let [idc, iop] = profile.bytes();
    let mode = match packets {
        PacketizationMode::Single => 0,
        PacketizationMode::NonInterleaved => 1,
    };
    format!("profile-level-id={idc:02x}{iop:02x}{level:02x};packetization-mode={mode}")
}

fn three_bytes(text: &str) -> Option<[u8; 3]> {
    let is_hex = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    let [_, idc, iop, level] = number.to_be_bytes();
    Some([idc, iop, level])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<(H264Profile, u8)> {
        match read(&format!("profile-level-id={text}")) {
            Some(VideoFormat::H264 { profile, level, .. }) => Some((profile, level)),
            _ => None,
        }
    }

    #[test]
    fn profiles_are_distinguished_as_in_table_5() {
        use H264Profile::*;
        for (text, profile) in [
            ("42e01f", ConstrainedBaseline),
            ("42C01F", ConstrainedBaseline),
            ("4d801f", ConstrainedBaseline),
            ("58c01f", ConstrainedBaseline),
            ("42801f", Baseline),
            ("42001f", Baseline),
            ("58801f", Baseline),
            ("4d001f", Main),
            ("4d401f", Main),
            ("64001f", High),
            ("640c1f", ConstrainedHigh),
        ] {
            assert_eq!(id(text), Some((profile, 31)), "{text}");
        }
        for text in [
            "58001f", "42011f", "64081f", "7a001f", "42e0", "42e01f0", "xyz", "+2e01f", "42e000",
            "42e0ff",
        ] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn level_1b_is_read_as_the_lower_level() {
        assert_eq!(id("42f00b"), Some((H264Profile::ConstrainedBaseline, 10)));
        assert_eq!(id("42e00b"), Some((H264Profile::ConstrainedBaseline, 11)));
        assert_eq!(id("640009"), Some((H264Profile::High, 10)));
    }

    #[test]
    fn without_parameters_it_is_baseline_at_level_1_in_single_packets() {
        let least = VideoFormat::H264 {
            profile: H264Profile::Baseline,
            level: 10,
            packets: PacketizationMode::Single,
        };
        assert_eq!(read(""), Some(least));
        assert_eq!(read("packetization-mode=0; max-br=128"), Some(least));
        assert_eq!(read("packetization-mode=2"), None);
    }

    #[test]
    fn the_line_of_a_phone_is_read_in_any_order_and_case() {
        let line = " Packetization-Mode=1 ;PROFILE-level-id=42E01F;level-asymmetry-allowed=1";
        let expected = VideoFormat::H264 {
            profile: H264Profile::ConstrainedBaseline,
            level: 31,
            packets: PacketizationMode::NonInterleaved,
        };
        assert_eq!(read(line), Some(expected));
    }
}
