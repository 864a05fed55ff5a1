//! G.711 mu-law (ITU-T G.711 table 2): samples of 16 bits to bytes and back.
//!
//! The built-in phone and the tests use it. Between phones nothing is encoded or decoded: media passes as it is.

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

#[cfg(test)]
mod tests {
    use super::*;

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
