//! The RTCP that is read from a phone or the other engine and written to them: keyframe requests (PLI, RFC 4585 section
//! 6.3.1; FIR, RFC 5104 section 4.3.1) and sender and receiver reports (RFC 3550 section 6.4).
//!
//! Only the fact of a keyframe request crosses from one side of a call to the other. Statistics, names and other feedback
//! are skipped.

use std::time::Duration;

/// What is read from RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRtcp {
    /// The sender cannot decode the video and requests a keyframe.
    pub requests_keyframe: bool,
    /// The middle 32 bits of the NTP time in its sender report.
    pub report_time: Option<u32>,
}

/// The sender information of a report: the packets sent (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderInfo {
    /// Time since the first packet: the NTP time of RTCP may begin anywhere.
    pub(crate) since: Duration,
    /// The RTP timestamp that a packet of this moment would carry.
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// A report block: the packets received (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportBlock {
    /// The SSRC that the block is about.
    pub(crate) source: u32,
    /// The share lost since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Lost since the beginning.
    pub(crate) lost: u32,
    /// The extended highest sequence number.
    pub(crate) highest: u32,
    /// In ticks of the timestamps.
    pub(crate) jitter: u32,
    /// The middle 32 bits of the NTP time in the last sender report, and how long ago that came.
    pub(crate) last: Option<(u32, Duration)>,
}

/// A request for a keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyframeRequest {
    /// Picture loss indication.
    PictureLoss,
    /// Full intra request, with the number that tells a new one from a repetition.
    FullIntra(u8),
}

/// What follows a report between engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddedRtcp {
    /// A keyframe of `source` is needed (PLI).
    PictureLoss {
        /// The SSRC of the video.
        source: u32,
    },
    /// The sender leaves (RFC 3550 section 6.6).
    Bye,
}

/// Reads a compound packet, which need not begin with a report (RFC 5506). `None` if it is not RTCP.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<ReceivedRtcp> {
    let mut found = ReceivedRtcp::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let ([flags, kind, high, low], _) = rest.split_first_chunk()?;
        let length = 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
        let (part, others) = rest.split_at_checked(length)?;
        if flags >> 6 != VERSION {
            return None;
        }
        let format = flags & 0x1f;
        // Both SSRCs, and for a full intra request at least one entry.
        found.requests_keyframe |= match (*kind, format) {
            (PAYLOAD_FEEDBACK, LOSS) => part.len() >= 12,
            (PAYLOAD_FEEDBACK, INTRA) => part.len() >= 20,
            _ => false,
        };
        if *kind == SENDER_REPORT {
            let middle = part.get(10..14).and_then(|middle| middle.first_chunk());
            found.report_time = middle.map(|middle| u32::from_be_bytes(*middle));
        }
        rest = others;
    }
    (!bytes.is_empty()).then_some(found)
}

/// Writes a report, followed by a random CNAME (RFC 3550 section 6.1).
pub(crate) fn write_report(
    ours: u32,
    sender: Option<SenderInfo>,
    block: Option<ReportBlock>,
) -> Vec<u8> {
    let mut words = Vec::with_capacity(12);
    words.push(ours);
    if let Some(sender) = sender {
        // NTP format: seconds, and 2^32nds of a second.
        words.push(sender.since.as_secs() as u32);
        words.push(fixed(sender.since, 32) as u32);
        words.extend([sender.timestamp, sender.packets, sender.bytes]);
    }
    if let Some(block) = block {
        let lost = block.lost.min(0x7f_ffff);
        words.extend([
            block.source,
            u32::from(block.fraction_lost) << 24 | lost,
            block.highest,
            block.jitter,
        ]);
        let (middle, ago) = block.last.unwrap_or_default();
        words.extend([middle, fixed(ago, 16) as u32]);
    }
    let kind = match sender {
        Some(_) => SENDER_REPORT,
        None => RECEIVER_REPORT,
    };
    let mut out = Vec::with_capacity(80);
    put(&mut out, u8::from(block.is_some()), kind, &words);
    put_name(&mut out, ours);
    out
}

/// Between engines: a report as a sender and a receiver, a CNAME and what is added, padded (RFC 3550 section 6.4.1) to the same length
/// whatever it says. Type and length of the first report are all that SRTCP leaves readable of its content.
pub(crate) fn write_alike(
    ours: u32,
    sender: SenderInfo,
    block: ReportBlock,
    added: Option<AddedRtcp>,
) -> Vec<u8> {
    let mut out = write_report(ours, Some(sender), Some(block));
    // What is not as long as a PLI has four bytes of padding, the last of which counts them.
    let (format, kind, words) = match added {
        Some(AddedRtcp::PictureLoss { source }) => (LOSS, PAYLOAD_FEEDBACK, [ours, source]),
        Some(AddedRtcp::Bye) => (PADDING | 1, BYE, [ours, 4]),
        // A receiver report without blocks.
        None => (PADDING, RECEIVER_REPORT, [ours, 4]),
    };
    put(&mut out, format, kind, &words);
    out
}

/// A time in seconds as a fixed-point number with so many binary places; higher bits than 64 are cut off.
fn fixed(time: Duration, places: u32) -> u64 {
    ((time.as_nanos() << places) / 1_000_000_000) as u64
}

/// Writes a keyframe request to `source`, after an empty report and a CNAME, as RFC 4585 section 3.1 requires.
pub(crate) fn write_keyframe_request(ours: u32, source: u32, request: KeyframeRequest) -> Vec<u8> {
    let mut out = Vec::with_capacity(52);
    put(&mut out, 0, RECEIVER_REPORT, &[ours]);
    put_name(&mut out, ours);
    match request {
        KeyframeRequest::PictureLoss => put(&mut out, LOSS, PAYLOAD_FEEDBACK, &[ours, source]),
        KeyframeRequest::FullIntra(number) => {
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

/// A source description with a CNAME alone (RFC 3550 section 6.5.1). It is the SSRC in text, which is random.
fn put_name(out: &mut Vec<u8>, ours: u32) {
    let name = format!("{ours:08x}");
    let mut chunk = vec![NAME, 8];
    chunk.extend(name.bytes());
    // At least one zero byte ends the chunk, up to a whole word.
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
const BYE: u8 = 203;
const PAYLOAD_FEEDBACK: u8 = 206;
const LOSS: u8 = 1;
const INTRA: u8 = 4;
/// The padding bit of a header.
const PADDING: u8 = 0x20;
/// CNAME.
const NAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: u32 = 0x0a0b_0c0d;
    const THEIRS: u32 = 0x0102_0304;

    #[test]
    fn keyframe_requests_are_these_bytes() {
        let report =
            b"\x80\xc9\0\x01\x0a\x0b\x0c\x0d\x81\xca\0\x04\x0a\x0b\x0c\x0d\x01\x080a0b0c0d\0\0";
        let loss = b"\x81\xce\0\x02\x0a\x0b\x0c\x0d\x01\x02\x03\x04";
        assert_eq!(
            write_keyframe_request(OURS, THEIRS, KeyframeRequest::PictureLoss),
            [&report[..], loss].concat()
        );
        let intra = b"\x84\xce\0\x04\x0a\x0b\x0c\x0d\0\0\0\0\x01\x02\x03\x04\x05\0\0\0";
        assert_eq!(
            write_keyframe_request(OURS, THEIRS, KeyframeRequest::FullIntra(5)),
            [&report[..], intra].concat()
        );
    }

    #[test]
    fn keyframe_requests_are_read_in_compound_packets_and_alone() {
        for request in [KeyframeRequest::PictureLoss, KeyframeRequest::FullIntra(1)] {
            let packet = write_keyframe_request(OURS, THEIRS, request);
            assert!(read(&packet).unwrap().requests_keyframe);
            // Eight bytes of report and twenty of name.
            assert!(read(&packet[28..]).unwrap().requests_keyframe);
            assert!(!read(&packet[..28]).unwrap().requests_keyframe);
        }
    }

    #[test]
    fn other_feedback_is_no_keyframe_request() {
        let mut packet = write_keyframe_request(OURS, THEIRS, KeyframeRequest::PictureLoss);
        for (format, kind) in [(1, 205), (15, 206), (2, 206), (4, 206)] {
            packet[28] = 0x80 | format;
            packet[29] = kind;
            assert_eq!(
                read(&packet),
                Some(ReceivedRtcp::default()),
                "{format} {kind}"
            );
        }
    }

    #[test]
    fn a_report_of_a_sender_is_these_bytes() {
        let sender = SenderInfo {
            since: Duration::from_millis(5_250),
            timestamp: 0x1111_1111,
            packets: 250,
            bytes: 40_000,
        };
        let block = ReportBlock {
            source: THEIRS,
            fraction_lost: 64,
            lost: 5,
            highest: 0x0001_0002,
            jitter: 7,
            last: Some((0xaabb_ccdd, Duration::from_millis(500))),
        };
        let packet = write_report(OURS, Some(sender), Some(block));
        let expected = b"\x81\xc8\0\x0c\x0a\x0b\x0c\x0d\0\0\0\x05\x40\0\0\0\x11\x11\x11\x11\0\0\0\xfa\0\0\x9c\x40\
            \x01\x02\x03\x04\x40\0\0\x05\0\x01\0\x02\0\0\0\x07\xaa\xbb\xcc\xdd\0\0\x80\0";
        assert_eq!(packet[..expected.len()], expected[..]);
        // The middle 32 bits of its own NTP time.
        let heard = read(&packet).unwrap();
        assert_eq!(heard.report_time, Some(0x0005_4000));
        let packet = write_report(OURS, None, None);
        assert_eq!(packet[..8], *b"\x80\xc9\0\x01\x0a\x0b\x0c\x0d");
        assert_eq!(read(&packet), Some(ReceivedRtcp::default()));
    }

    #[test]
    fn between_engines_every_packet_has_one_length_and_one_beginning() {
        let sender = SenderInfo {
            since: Duration::from_secs(9),
            timestamp: 1,
            packets: 2,
            bytes: 3,
        };
        let block = ReportBlock {
            source: THEIRS,
            ..ReportBlock::default()
        };
        let loss = AddedRtcp::PictureLoss { source: THEIRS };
        for added in [None, Some(loss), Some(AddedRtcp::Bye)] {
            let packet = write_alike(OURS, sender, block, added);
            assert_eq!(packet.len(), 84, "{added:?}");
            assert_eq!(packet[..8], *b"\x81\xc8\0\x0c\x0a\x0b\x0c\x0d");
            let read = read(&packet).unwrap();
            assert_eq!(read.requests_keyframe, added == Some(loss));
            assert_eq!(read.report_time, Some(9 << 16));
        }
        let last = |added| write_alike(OURS, sender, block, added).split_off(72);
        assert_eq!(last(None), b"\xa0\xc9\0\x02\x0a\x0b\x0c\x0d\0\0\0\x04");
        assert_eq!(
            last(Some(AddedRtcp::Bye)),
            b"\xa1\xcb\0\x02\x0a\x0b\x0c\x0d\0\0\0\x04"
        );
    }

    #[test]
    fn what_is_cut_short_is_none() {
        let packet = write_keyframe_request(OURS, THEIRS, KeyframeRequest::PictureLoss);
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
