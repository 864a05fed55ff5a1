//! How a call sounded at this engine's phone, as a whole: for the list of past calls, sealed with the rest of the saved state. Nothing
//! of it leaves this machine.
//!
//! All of it is whole numbers, so that the list that is saved equals the one that is read.

use ringfence_media::Codec;

/// How a call sounded. Shares are thousandths of the frames that the other side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallQuality {
    /// What the way lost.
    pub lost: u16,
    /// Of that, what later frames brought back.
    pub repaired: u16,
    /// Of that, in whose place the phone got an imitation.
    pub concealed: u16,
    /// The mean delay of the playout buffer, in milliseconds.
    pub delay: u16,
    /// The mean opinion score by the E-model (ITU-T G.107) in hundredths, 100 to 450.
    pub mos: u16,
    /// The phone's codec at the end and the one between the engines: another one where this engine transcoded. Who can open the saved
    /// state learns from it, beside number and time, what kind of phone each side may have.
    pub codecs: Option<(Codec, Codec)>,
}

impl CallQuality {
    /// What the way lost and the phone heard nothing for, in thousandths.
    #[must_use]
    pub const fn missed(&self) -> u16 {
        self.lost
            .saturating_sub(self.repaired)
            .saturating_sub(self.concealed)
    }
}
