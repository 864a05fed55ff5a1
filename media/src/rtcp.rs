//! RTCP between a phone and us, as far as it is read and written: who needs a whole picture (RFC 4585 section 6.3.1,
//! RFC 5104 section 4.3.1), in packets as RFC 3550 section 6.1 has them.
//!
//! Nothing of it crosses to the other engine but the wish itself. Names, times and other feedback are stepped over.

/// What a phone's packet says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It has lost track and needs a whole picture.
    pub(crate) wants_picture: bool,
}

/// How a phone is asked for a whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Picture loss indication.
    Loss,
    /// Full intra request, with the number that tells a new one from a repetition.
    Intra(u8),
}

/// Reads a packet, which may have several parts, and need not begin with a report (RFC 5506). `None` if it is none.
pub(crate) fn read(bytes: &[u8]) -> Option<Heard> {
    let mut heard = Heard::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let ([flags, kind, high, low], _) = rest.split_first_chunk()?;
        let length = 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
        let (part, others) = rest.split_at_checked(length)?;
        if flags >> 6 != VERSION {
            return None;
        }
        let format = flags & 0x1f;
        // The sender, the source that is meant, and for an intra request at least one entry.
        heard.wants_picture |= match (*kind, format) {
            (PAYLOAD_FEEDBACK, LOSS) => part.len() >= 12,
            (PAYLOAD_FEEDBACK, INTRA) => part.len() >= 20,
            _ => false,
        };
        rest = others;
    }
    (!bytes.is_empty()).then_some(heard)
}

/// Writes a wish for a picture of `source`: an empty report and our random name before it, as RFC 4585 section 3.1 wants.
pub(crate) fn write_wish(ours: u32, source: u32, wish: Wish) -> Vec<u8> {
    let mut out = Vec::with_capacity(52);
    put(&mut out, 0, RECEIVER_REPORT, &[ours]);
    put_name(&mut out, ours);
    match wish {
        Wish::Loss => put(&mut out, LOSS, PAYLOAD_FEEDBACK, &[ours, source]),
        Wish::Intra(number) => {
            let words = [ours, 0, source, u32::from(number) << 24];
            put(&mut out, INTRA, PAYLOAD_FEEDBACK, &words);
        }
    }
    out
}

fn put(out: &mut Vec<u8>, format: u8, kind: u8, words: &[u32]) {
    let length = u16::try_from(words.len()).unwrap_or_default();
    out.extend_from_slice(&[VERSION << 6 | format, kind]);
    out.extend_from_slice(&length.to_be_bytes());
    words
        .iter()
        .for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

/// A source description with a name alone (RFC 3550 section 6.5.1). It says no more than the SSRC, which is random.
fn put_name(out: &mut Vec<u8>, ours: u32) {
    let name = format!("{ours:08x}");
    let mut chunk = vec![NAME, 8];
    chunk.extend(name.bytes());
    // At least one zero ends the chunk, up to a whole word.
    chunk.resize(12, 0);
    let words = chunk.chunks_exact(4).filter_map(|word| word.first_chunk());
    let words: Vec<u32> = std::iter::once(ours)
        .chain(words.map(|word| u32::from_be_bytes(*word)))
        .collect();
    put(out, 1, DESCRIPTION, &words);
}

const VERSION: u8 = 2;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const PAYLOAD_FEEDBACK: u8 = 206;
const LOSS: u8 = 1;
const INTRA: u8 = 4;
/// CNAME.
const NAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: u32 = 0x0a0b_0c0d;
    const THEIRS: u32 = 0x0102_0304;

    #[test]
    fn wishes_are_these_bytes() {
        let report = b"\x80\xc9\0\x01\x0a\x0b\x0c\x0d\x81\xca\0\x04\x0a\x0b\x0c\x0d\x01\x080a0b0c0d\0\0";
        let loss = b"\x81\xce\0\x02\x0a\x0b\x0c\x0d\x01\x02\x03\x04";
        assert_eq!(
            write_wish(OURS, THEIRS, Wish::Loss),
            [&report[..], loss].concat()
        );
        let intra = b"\x84\xce\0\x04\x0a\x0b\x0c\x0d\0\0\0\0\x01\x02\x03\x04\x05\0\0\0";
        assert_eq!(
            write_wish(OURS, THEIRS, Wish::Intra(5)),
            [&report[..], intra].concat()
        );
    }

    #[test]
    fn wishes_are_heard_in_company_and_alone() {
        for wish in [Wish::Loss, Wish::Intra(1)] {
            let packet = write_wish(OURS, THEIRS, wish);
            assert!(read(&packet).unwrap().wants_picture);
            // Eight bytes of report and twenty of name.
            assert!(read(&packet[28..]).unwrap().wants_picture);
            assert!(!read(&packet[..28]).unwrap().wants_picture);
        }
    }

    #[test]
    fn other_feedback_is_no_wish() {
        let mut packet = write_wish(OURS, THEIRS, Wish::Loss);
        for (format, kind) in [(1, 205), (15, 206), (2, 206), (4, 206)] {
            packet[28] = 0x80 | format;
            packet[29] = kind;
            assert_eq!(read(&packet), Some(Heard::default()), "{format} {kind}");
        }
    }

    #[test]
    fn what_is_cut_short_is_none() {
        let packet = write_wish(OURS, THEIRS, Wish::Loss);
        for length in 0..packet.len() {
            let is_whole = [8, 28].contains(&length);
            assert_eq!(read(&packet[..length]).is_some(), is_whole, "{length}");
        }
        assert_eq!(read(&[0x00, 201, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }
    }
}
