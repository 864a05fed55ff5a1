//! What the user of this machine wants of a line: the same as by star codes ([`crate::line::feature_codes`]), but of any number, and said at a screen
//! instead of a keypad.

use std::fmt;
use std::time::Instant;

use ringfence_phonebook::Number;

use crate::engine::Engine;
use crate::line::saved_state::MOST_BLOCKED;
use crate::sealed::note::NoteId;

/// One wish for one line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Do not disturb, or do.
    Undisturbed(bool),
    /// Neither calls nor texts of this number.
    Block(Number),
    /// This number may call and write again.
    Unblock(Number),
    /// The missed calls were seen: the lamp goes out.
    MissedSeen,
    /// A text was read: no phone needs to take it any more.
    TextRead(NoteId),
}

/// Why a wish changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WishFault {
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

impl Engine {
    /// Does what the user wants of a line.
    ///
    /// # Errors
    /// [`WishFault`]; nothing has changed then.
    pub fn handle_wish(&mut self, line: Number, wish: Wish, now: Instant) -> Result<(), WishFault> {
        if !self.lines.iter().any(|own| own.number == line) {
            return Err(WishFault::NoSuchLine);
        }
        match wish {
            Wish::Undisturbed(on) => self.habits(line).is_undisturbed = on,
            Wish::Block(number) => {
                if !self.block(line, number) {
                    return Err(WishFault::TooMany);
                }
            }
            Wish::Unblock(number) => self.habits(line).blocked.retain(|other| *other != number),
            Wish::MissedSeen => self.ledger_changed |= self.ledger.tell_missed(line, None),
            Wish::TextRead(id) => {
                let texts = self.ledger.texts.len();
                self.ledger
                    .texts
                    .retain(|text| text.id != id || text.line != line);
                if self.ledger.texts.len() == texts {
                    return Err(WishFault::NoSuchText);
                }
                self.ledger_changed = true;
                self.deliver_texts(now);
            }
        }
        self.settle(now);
        Ok(())
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wish(..)")
    }
}
