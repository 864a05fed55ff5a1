//! G.711: mu-law samples of 16 bits to bytes and back (ITU-T G.711 table 2), and bytes of one law to bytes of the other
//! (tables 3 and 4).
//!
//! The built-in phone and the tests encode and decode. Between phones the near leg converts the law of a phone that sends
//! the other one than the call carries; everything else passes as it is.

use crate::codec::Codec;

/// Encodes a sample as mu-law: sign, three bits of segment, four of step, all inverted.
#[must_use]
pub fn compress(sample: i16) -> u8 {
    const BIAS: u16 = 132;
    const CLIP: u16 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS;
    // The bias puts the highest set bit between 7 and 14.
    let segment = 8_u32.saturating_sub(magnitude.leading_zeros());
    let step = (magnitude >> (segment + 3)) & 0x0f;
    let code = sign | u16::try_from(segment << 4).unwrap_or(0x70) | step;
    !u8::try_from(code).unwrap_or(u8::MAX)
}

/// Decodes a mu-law byte.
#[must_use]
pub fn expand(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, i16::from(code & 0x0f));
    let magnitude = (((step << 3) + 132) << segment) - 132;
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Encodes a sample in either law; in mu-law for any other codec.
pub(crate) fn compress_as(codec: Codec, sample: i16) -> u8 {
    let byte = compress(sample);
    let table = conversion(Codec::Pcmu, codec);
    table.map_or(byte, |table| table[usize::from(byte)])
}

/// Decodes a byte of either law.
pub(crate) fn expand_as(codec: Codec, byte: u8) -> i16 {
    let table = conversion(codec, Codec::Pcmu);
    expand(table.map_or(byte, |table| table[usize::from(byte)]))
}

/// The table that turns the bytes of one law into those of the other; `None` for any other pair of codecs.
pub(crate) const fn conversion(from: Codec, to: Codec) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Codec::Pcma, Codec::Pcmu) => Some(&MU_LAW_OF_A_LAW),
        (Codec::Pcmu, Codec::Pcma) => Some(&A_LAW_OF_MU_LAW),
        _ => None,
    }
}

/// Converts a payload by a table.
pub(crate) fn convert(payload: &[u8], table: &[u8; 256]) -> Vec<u8> {
    payload
        .iter()
        .map(|byte| table[usize::from(*byte)])
        .collect()
}

static MU_LAW_OF_A_LAW: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        // The even bits of A-law are inverted, and all bits of mu-law; the sign is alike.
        let level = code as u8 ^ 0x55;
        table[code] = !(level & 0x80 ^ 0x80 | mu_law_level(level & 0x7f));
        code += 1;
    }
    table
};

static A_LAW_OF_MU_LAW: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        let level = !(code as u8);
        table[code] = (level & 0x80 ^ 0x80 | a_law_level(level & 0x7f)) ^ 0x55;
        code += 1;
    }
    table
};

/// Table 4, by the numbers of the decoder's output values from 0.
const fn mu_law_level(a_law: u8) -> u8 {
    match a_law {
        0..=7 => 2 * a_law + 1,
        8..=23 => a_law + 8,
        24..=31 => a_law / 2 + 20,
        32..=43 => a_law + 4,
        44..=47 => a_law / 2 + 26,
        48..=62 => a_law + 2,
        63..=78 => a_law + 1,
        _ => a_law,
    }
}

/// Table 3, by the numbers of the decoder's output values from 0.
const fn a_law_level(mu_law: u8) -> u8 {
    match mu_law {
        0..=15 => mu_law / 2,
        16..=31 => mu_law - 8,
        32..=35 => 2 * mu_law - 40,
        36..=47 => mu_law - 4,
        48 => 45,
        49..=63 => mu_law - 2,
        64..=79 => mu_law - 1,
        _ => mu_law,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes an A-law byte, to samples of 16 bits (G.711 table 1).
    fn expand_a_law(code: u8) -> i16 {
        let level = code ^ 0x55;
        let (segment, step) = (level >> 4 & 7, i16::from(level & 0x0f) << 4);
        let magnitude = match segment {
            0 => step + 8,
            _ => (step + 0x108) << (segment - 1),
        };
        if level & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        }
    }

    fn converted(from: Codec, to: Codec, code: u8) -> u8 {
        convert(&[code], conversion(from, to).unwrap())[0]
    }

    #[test]
    fn converted_samples_stay_where_they_were() {
        for code in 0..=255 {
            let mu_law = converted(Codec::Pcma, Codec::Pcmu, code);
            let a_law = converted(Codec::Pcmu, Codec::Pcma, code);
            for (before, after) in [
                (expand_a_law(code), expand(mu_law)),
                (expand(code), expand_a_law(a_law)),
            ] {
                // Half a step of the coarser of the two, which is a 32nd of the sample or 8 near zero.
                let allowed = before.unsigned_abs() / 30 + 8;
                assert!(before.abs_diff(after) <= allowed, "{before} {after}");
                assert!(before.signum() * after.signum() >= 0, "{before} {after}");
            }
        }
    }

    #[test]
    fn what_is_converted_twice_changes_as_the_recommendation_says() {
        let there_and_back = |from, to, code| converted(to, from, converted(from, to, code));
        // The notes to tables 3 and 4: these values move to their neighbours, which bits 1 to 7 of A-law do not tell.
        let changed: Vec<u8> = (0..128)
            .filter(|level| there_and_back(Codec::Pcma, Codec::Pcmu, level ^ 0xd5) != level ^ 0xd5)
            .map(|level| level + 1)
            .collect();
        assert_eq!(changed, [26, 28, 30, 32, 45, 47, 63, 80]);
        let changed: Vec<u8> = (0..128)
            .filter(|level| there_and_back(Codec::Pcmu, Codec::Pcma, !level) != !level)
            .collect();
        assert_eq!(changed, [0, 2, 4, 6, 8, 10, 12, 14]);
        for code in 0..=255 {
            assert!(there_and_back(Codec::Pcma, Codec::Pcmu, code) ^ code <= 1);
        }
        // The two values that the recommendation moves for that.
        assert_eq!(converted(Codec::Pcmu, Codec::Pcma, !80), 80 ^ 0xd5);
        assert_eq!(converted(Codec::Pcma, Codec::Pcmu, 79 ^ 0xd5), !79);
    }

    #[test]
    fn mu_law_follows_the_table_of_the_recommendation() {
        // G.711 table 2a: the ends of the segments, and both zeros.
        for (byte, sample) in [
            (0x80, 32_124),
            (0x00, -32_124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0xef, 132),
            (0xf0, 120),
        ] {
            assert_eq!(expand(byte), sample);
        }
        for byte in 0..=255 {
            assert_eq!(expand(compress(expand(byte))), expand(byte));
        }
    }

    #[test]
    fn the_companding_survives_its_own_round_trip_and_hits_known_codes() {
        for code in 0..=255 {
            // There are two zeros; both expand to 0, which compresses to the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(compress(expand(code)), expected);
        }
        assert_eq!(
            (compress(0), compress(i16::MAX), compress(i16::MIN)),
            (0xff, 0x80, 0x00)
        );
        assert_eq!((expand(0x00), expand(0x80)), (-32_124, 32_124));
    }
}
