//! What the user of this machine wants of a line: the same as by feature codes ([`crate::line::feature_codes`]), but for any number, and given at a screen
//! instead of a keypad.

use std::fmt;

use ringfence_book::Number;

use super::saved_state::MOST_BLOCKED;
use super::state_keeper::StateKeeper;
use crate::output::CallLabel;
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
    /// The phones of the line ring, and the one that is picked up calls this number.
    Call(Number),
    /// A call of the line ends.
    HangUp(CallLabel),
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
    /// There is no phone that could ring.
    #[error("no phone is registered to this line")]
    NoPhone,
    /// Not in the phone book.
    #[error("the phone book has no such number")]
    NoSuchNumber,
    /// Refused before everything else.
    #[error("it is an emergency number: use another phone, no emergency calls here")]
    Emergency,
    /// Another key than before.
    #[error("the number's key has changed: see the contact")]
    KeyChanged,
    /// The engine cannot reach the world now.
    #[error(
        "no relay, no TURN server or no phone book is reached, or too much is under way: see the overview"
    )]
    Unavailable,
    /// Not a text that can be sent.
    #[error("it is empty, or longer than 6,480 bytes")]
    NotAText,
    /// The call is over.
    #[error("the call is over")]
    NoSuchCall,
    /// The text is gone: a phone took it, or it was read.
    #[error("the text is gone: a phone took it, or it was marked as read")]
    NoSuchText,
}

impl LineCommandError {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::NoSuchLine,
        Self::TooMany,
        Self::NoPhone,
        Self::NoSuchNumber,
        Self::Emergency,
        Self::KeyChanged,
        Self::Unavailable,
        Self::NotAText,
        Self::NoSuchCall,
        Self::NoSuchText,
    ];
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
            // Not of the saved state: the engine carries them out.
            Self::TextRead(_) | Self::Call(_) | Self::HangUp(_) => {}
        }
        Ok(())
    }
}

impl fmt::Debug for LineCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineCommand(..)")
    }
}
