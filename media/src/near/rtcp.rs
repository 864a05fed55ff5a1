//! RTCP between a phone and us, as far as it is read and written: who needs a whole picture (RFC 4585 section 6.3.1,
//! RFC 5104 section 4.3.1), and reports of ours (RFC 3550 section 6.4).
//!
//! Nothing of it crosses to the other engine but the wish itself. A phone's own figures, names and other feedback are
//! stepped over.

use std::time::Duration;

/// What a phone's packet says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It has lost track and needs a whole picture.
    pub(crate) wants_picture: bool,
    /// The middle of the time at which it says that it wrote its report.
    pub(crate) written: Option<u32>,
}

/// What a report says of the packets that we have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How long we have been at it: the time of RTCP may begin anywhere.
    pub(crate) since: Duration,
    /// The timestamp that a packet of this moment would have.
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// What a report says of the packets that have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// Who sends them.
    pub(crate) source: u32,
    /// Of those since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// In all.
    pub(crate) lost: u32,
    /// The highest number, with how often it went round before it.
    pub(crate) highest: u32,
    /// In ticks of the timestamps.
    pub(crate) jitter: u32,
    /// The middle of the time in the sender's last report, and how long ago that came.
    pub(crate) last: Option<(u32, Duration)>,
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
        if *kind == SENDER_REPORT {
            let middle = part.get(10..14).and_then(|middle| middle.first_chunk());
            heard.written = middle.map(|middle| u32::from_be_bytes(*middle));
        }
        rest = others;
    }
    (!bytes.is_empty()).then_some(heard)
}

/// Writes a report with our random name behind it (RFC 3550 section 6.1).
pub(crate) fn write_report(ours: u32, sent: Option<Sent>, received: Option<Received>) -> Vec<u8> {
    let mut words = Vec::with_capacity(12);
    words.push(ours);
    if let Some(sent) = sent {
        // Seconds, and 2^32nds of one.
        words.push(sent.since.as_secs() as u32);
        words.push(fixed(sent.since, 32) as u32);
        words.extend([sent.timestamp, sent.packets, sent.bytes]);
    }
    if let Some(received) = received {
        let lost = received.lost.min(0x7f_ffff);
        words.extend([
            received.source,
            u32::from(received.fraction_lost) << 24 | lost,
            received.highest,
            received.jitter,
        ]);
        let (middle, ago) = received.last.unwrap_or_default();
        words.extend([middle, fixed(ago, 16) as u32]);
    }
    let kind = match sent {
        Some(_) => SENDER_REPORT,
        None => RECEIVER_REPORT,
    };
    let mut out = Vec::with_capacity(80);
    put(&mut out, u8::from(received.is_some()), kind, &words);
    put_name(&mut out, ours);
    out
}

/// A time in seconds, with so many binary places, of which what is beyond 64 is lost.
fn fixed(time: Duration, places: u32) -> u64 {
    ((time.as_nanos() << places) / 1_000_000_000) as u64
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
const SENDER_REPORT: u8 = 200;
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
        let report =
            b"\x80\xc9\0\x01\x0a\x0b\x0c\x0d\x81\xca\0\x04\x0a\x0b\x0c\x0d\x01\x080a0b0c0d\0\0";
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
    fn a_report_of_a_sender_is_these_bytes() {
        let sent = Sent {
            since: Duration::from_millis(5_250),
            timestamp: 0x1111_1111,
            packets: 250,
            bytes: 40_000,
        };
        let received = Received {
            source: THEIRS,
            fraction_lost: 64,
            lost: 5,
            highest: 0x0001_0002,
            jitter: 7,
            last: Some((0xaabb_ccdd, Duration::from_millis(500))),
        };
        let packet = write_report(OURS, Some(sent), Some(received));
        let expected = b"\x81\xc8\0\x0c\x0a\x0b\x0c\x0d\0\0\0\x05\x40\0\0\0\x11\x11\x11\x11\0\0\0\xfa\0\0\x9c\x40\
            \x01\x02\x03\x04\x40\0\0\x05\0\x01\0\x02\0\0\0\x07\xaa\xbb\xcc\xdd\0\0\x80\0";
        assert_eq!(packet[..expected.len()], expected[..]);
        // Its own time is found in the middle of what it says.
        assert_eq!(read(&packet).unwrap().written, Some(0x0005_4000));
        let packet = write_report(OURS, None, None);
        assert_eq!(packet[..8], *b"\x80\xc9\0\x01\x0a\x0b\x0c\x0d");
        assert_eq!(read(&packet), Some(Heard::default()));
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
