//! Texts that the user writes at a screen. There is no phone that waits for an answer, so what became of each is kept for the screen:
//! the last few, in memory alone.

use std::collections::VecDeque;
use std::fmt;

use ringfence_book::Number;

use crate::time::UnixTime;

/// Texts of which the outcome is kept; the oldest goes.
const KEPT: usize = 16;

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFate {
    /// It waits for proofs of work or a relay.
    Underway,
    /// A relay has every piece of it.
    Posted,
    /// No relay took it in time.
    Refused,
}

/// A text that was written at the screen, without its words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WrittenText {
    /// Counted from the start.
    pub(crate) id: u64,
    /// The line that sends it.
    pub line: Number,
    /// To whom.
    pub to: Number,
    /// When it was written.
    pub at: UnixTime,
    /// What became of it.
    pub fate: TextFate,
}

impl fmt::Debug for WrittenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrittenText({:?})", self.fate)
    }
}

/// The last texts of the screen.
#[derive(Debug, Default)]
pub(crate) struct WrittenTexts {
    texts: VecDeque<WrittenText>,
    count: u64,
}

impl WrittenTexts {
    /// Another text; its id.
    pub(crate) fn add(&mut self, (line, to): (Number, Number), at: UnixTime) -> u64 {
        self.count += 1;
        if self.texts.len() >= KEPT {
            self.texts.pop_front();
        }
        self.texts.push_back(WrittenText {
            id: self.count,
            line,
            to,
            at,
            fate: TextFate::Underway,
        });
        self.count
    }

    pub(crate) fn settle(&mut self, id: u64, status: u16) {
        let fate = if status < 300 {
            TextFate::Posted
        } else {
            TextFate::Refused
        };
        let mut texts = self.texts.iter_mut();
        if let Some(text) = texts.find(|text| text.id == id) {
            text.fate = fate;
        }
    }

    pub(crate) fn all(&self) -> Vec<WrittenText> {
        self.texts.iter().copied().collect()
    }
}
