//! What the user of this machine wants of a line: the same as by feature codes ([`crate::line::feature_codes`]), but for any number, and given at a screen
//! instead of a keypad.

use std::fmt;

use ringfence_book::Number;

use super::saved_state::MOST_BLOCKED;
use super::state_keeper::StateKeeper;
use crate::sealed::note::NoteId;

/// One command for one line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LineCommand {
    /// Do not disturb, or do.
    DoNotDisturb(bool),
    /// Only contacts ring, or everybody does.
    ContactsOnly(bool),
    /// Neither calls nor texts of this number.
    Block(Number),
    /// This number may call and write again.
    Unblock(Number),
    /// The missed calls were seen: the phones' message indicator goes out.
    MissedSeen,
    /// A text was read: no phone needs to take it any more.
    TextRead(NoteId),
}

/// Why a command changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineCommandError {
    /// No line here has that number.
    #[error("no line here has that number")]
    NoSuchLine,
    /// As many numbers are blocked as may be.
    #[error(
        "{MOST_BLOCKED} numbers are blocked on this line, and no more can be: unblock one first"
    )]
    TooMany,
    /// The text is gone: a phone took it, or it was read.
    #[error("the text is gone: a phone took it, or it was marked as read")]
    NoSuchText,
}

impl LineCommand {
    /// Changes the saved state of a line as the user wants it.
    pub(crate) fn apply(
        self,
        line: Number,
        saved: &mut StateKeeper,
    ) -> Result<(), LineCommandError> {
        match self {
            Self::DoNotDisturb(on) => saved.settings(line).do_not_disturb = on,
            Self::ContactsOnly(on) => saved.settings(line).contacts_only = on,
            Self::Block(number) if !saved.block(line, number) => {
                return Err(LineCommandError::TooMany);
            }
            Self::Block(_) => {}
            Self::Unblock(number) => saved
                .settings(line)
                .blocked
                .retain(|other| *other != number),
            Self::MissedSeen => saved.mark_missed_seen(line, None),
            Self::TextRead(id) if !saved.remove_text_of(line, id) => {
                return Err(LineCommandError::NoSuchText);
            }
            Self::TextRead(_) => {}
        }
        Ok(())
    }
}

impl fmt::Debug for LineCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineCommand(..)")
    }
}
