//! Which of the other side's last frames came: the share of them that was lost, which each frame back tells.
//!
//! It is told with each frame, rather than with the reports of RTCP every five seconds (RFC 3550 section 6.2), so that what is lost is
//! repeated some tenths of a second after the loss begins.

use crate::sequence::ahead;

/// Frames that count: a second of them where each has 20 ms.
const WINDOW: u32 = 50;

/// The newest, which do not count: they may still come behind others.
const SETTLING: u32 = 4;

/// Frames in a row that are missing after an outage, at least. They do not count: what is repeated in later frames could not bring them
/// back.
const OUTAGE: u16 = 16;

/// The last frames of the other side.
#[derive(Debug, Default)]
pub(super) struct LossWindow {
    newest: Option<u16>,
    /// A bit for each of the last frames that did not come, the newest in the lowest bit.
    missing: u64,
}

impl LossWindow {
    /// A frame came.
    pub(super) fn note(&mut self, sequence: u16) {
        let step = self.newest.map_or(1, |newest| ahead(sequence, newest));
        match step {
            1.. => {
                let step = if step > OUTAGE.into() { 1 } else { step };
                let passed = (1 << (step - 1)) - 1;
                self.missing = self.missing << step | passed << 1;
                self.newest = Some(sequence);
            }
            -63..=0 => self.missing &= !(1 << -step),
            // Another beginning.
            _ => *self = Self::default(),
        }
    }

    /// The share that was lost, in 256ths.
    pub(super) fn share(&self) -> u8 {
        let counted = self.missing >> SETTLING & ((1 << WINDOW) - 1);
        u8::try_from(counted.count_ones() * 256 / WINDOW).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share after the frames from 65,500 on, without those that are lost.
    fn share(frames: u16, is_lost: impl Fn(u16) -> bool) -> u8 {
        let mut window = LossWindow::default();
        let came = (0..frames).filter(|frame| !is_lost(*frame));
        came.for_each(|frame| window.note(frame.wrapping_add(65_500)));
        window.share()
    }

    #[test]
    fn the_share_is_that_of_the_last_second() {
        assert_eq!(share(500, |_| false), 0);
        assert_eq!(share(500, |frame| frame % 10 == 3), 25);
        assert_eq!(share(500, |frame| frame % 2 == 1), 128);
        assert_eq!(share(500, |frame| frame < 440 && frame % 2 == 0), 0);
        assert_eq!(share(100, |frame| frame % 12 != 0), 235, "of 50, 46");
    }

    #[test]
    fn the_newest_may_still_come_and_an_outage_is_no_loss() {
        assert_eq!(share(100, |frame| frame == 96), 0);
        assert_eq!(share(101, |frame| frame == 96), 5);
        for (missing, expected) in [(15, 76), (16, 0), (1_000, 0), (40_000, 0)] {
            let lost = |frame| (60..60 + missing).contains(&frame);
            assert_eq!(share(65 + missing, lost), expected, "{missing}");
        }
    }

    #[test]
    fn a_frame_that_comes_behind_others_is_not_lost() {
        let mut window = LossWindow::default();
        for pair in 0..100 {
            window.note(2 * pair + 5);
            window.note(2 * pair);
        }
        assert_eq!(window.share(), 0);
    }
}
