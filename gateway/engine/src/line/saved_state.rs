//! What an engine must not forget when it is switched off: notes that it has taken, texts that no phone has taken yet, the calls of
//! the past, what it shares with contacts, and the settings of its lines.
//!
//! Plain data with bounds. The shell saves all of it whenever [`crate::Output::SavedState`] says so, and hands it back at the next start.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use ringfence_book::Number;
use zeroize::Zeroizing;

use super::call_quality::CallQuality;
use crate::sealed::note::NoteId;
use crate::sealed::replay::Records;
use crate::time::UnixTime;
use crate::trust::secrets::PairSecrets;
use crate::trust::shares::Shares;

/// How long a note is remembered: a day longer than relays keep it.
pub const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);

/// Notes of one sender that are remembered: what is not newer than the oldest of so many counts as taken.
pub const NOTES: usize = 64;

/// Texts that wait for a phone, with all of them 1.4 MB. One that finds no room is not remembered: relays bring it again at
/// the next start.
pub(crate) const TEXTS: Shares = Shares {
    all: MOST_TEXTS,
    strangers: 128,
    each_contact: 32,
    each_stranger: 8,
};

/// All texts that wait for a phone.
pub const MOST_TEXTS: usize = 256;

/// Calls that are remembered. The oldest goes, at first among those with the same number if there are many of them; one that a
/// phone here dialled goes last, so that strangers who ring make no stranger of a number that was dialled.
pub const MOST_CALLS: usize = 500;

/// Calls with one number, so that no number can push the others out by ringing.
pub const CALLS_PER_NUMBER: usize = 50;

/// For how long a number that was dialled, and did not answer, is known to the line.
pub const MAY_CALL_BACK: Duration = Duration::from_secs(7 * 86_400);

/// Numbers that one line blocks.
pub const MOST_BLOCKED: usize = 256;

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Notes that were taken. Relays give them out again at every start.
    pub notes: Records<NoteId, NOTES>,
    /// Texts that no phone has taken, oldest first.
    pub texts: VecDeque<WaitingText>,
    /// Calls that are over, oldest first.
    pub calls: VecDeque<PastCall>,
    /// The settings of lines, by their numbers.
    pub settings: BTreeMap<Number, LineSettings>,
    /// What lines share with those with whom they talked.
    pub secrets: PairSecrets,
}

/// A text that no phone has taken.
#[derive(Clone, PartialEq, Eq)]
pub struct WaitingText {
    /// Its name.
    pub id: NoteId,
    /// The line that it is for.
    pub line: Number,
    /// Who sent it.
    pub from: Number,
    /// When.
    pub dated: UnixTime,
    /// What it says.
    pub text: Zeroizing<String>,
}

/// A call that is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PastCall {
    /// The line that called or was called.
    pub line: Number,
    /// The other number.
    pub number: Number,
    /// Who called.
    pub way: CallWay,
    /// When it was dialled, or rang.
    pub began: UnixTime,
    /// How long the two talked; `None` if it was not answered.
    pub talked: Option<Duration>,
    /// It was missed, and the line has not been notified yet: this is what a phone's message indicator shows.
    pub is_new: bool,
    /// A stranger's, that rang no phone because the line rings for contacts only.
    pub is_stranger: bool,
    /// How it sounded, if it had sound for a second.
    pub quality: Option<CallQuality>,
}

impl PastCall {
    /// What came of a call in which the two did not talk, in words for a person; `None` if they talked.
    #[must_use]
    pub fn unanswered(&self) -> Option<&'static str> {
        let words = match self.way {
            CallWay::Out => "no answer",
            CallWay::In if self.is_new => "missed",
            CallWay::In if self.is_stranger => "stranger, not rung",
            CallWay::In => "not answered",
        };
        self.talked.is_none().then_some(words)
    }
}

/// Which way a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallWay {
    /// From this line.
    Out,
    /// To this line.
    In,
}

/// The settings of one line.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LineSettings {
    /// Do not disturb: rings are silent, and count as missed.
    pub do_not_disturb: bool,
    /// Only contacts ring; calls of others are written down, and no phone says so.
    pub contacts_only: bool,
    /// Numbers whose rings and texts are dropped, in the order in which they were blocked.
    pub blocked: Vec<Number>,
}

impl SavedState {
    /// Whether a note of this sender was taken before.
    #[must_use]
    pub fn knows(&self, sender: Number, note: (UnixTime, NoteId)) -> bool {
        self.notes.knows(sender, note)
    }

    /// Remembers a note for [`REMEMBERED`].
    pub(crate) fn remember(&mut self, sender: Number, note: (UnixTime, NoteId), now: UnixTime) {
        self.notes.forget_before(now.before(REMEMBERED));
        self.notes.add(sender, note);
    }

    /// Keeps a text until a phone has it, in place of the one at `gone`, and remembers it.
    pub(crate) fn keep_text(&mut self, text: WaitingText, gone: Option<usize>, now: UnixTime) {
        if let Some(gone) = gone.and_then(|gone| self.texts.remove(gone)) {
            self.notes.remove(gone.from, gone.id);
        }
        self.remember(text.from, (text.dated, text.id), now);
        let later = self.texts.iter().position(|other| other.dated > text.dated);
        self.texts.insert(later.unwrap_or(self.texts.len()), text);
    }

    /// Writes a call down.
    pub(crate) fn write_call(&mut self, call: PastCall) {
        let is_same = |other: &PastCall| other.number == call.number;
        let many = self.calls.iter().filter(|other| is_same(other)).count() >= CALLS_PER_NUMBER;
        if many || self.calls.len() >= MOST_CALLS {
            let may_go = |other: &PastCall| !many || is_same(other);
            let rang = |other: &PastCall| may_go(other) && other.way == CallWay::In;
            let oldest = self.calls.iter().position(rang);
            if let Some(oldest) = oldest.or_else(|| self.calls.iter().position(may_go)) {
                self.calls.remove(oldest);
            }
        }
        let later = self.calls.iter().position(|other| other.began > call.began);
        self.calls.insert(later.unwrap_or(self.calls.len()), call);
    }

    /// Who called a line last.
    #[must_use]
    pub fn last_caller(&self, line: Number) -> Option<Number> {
        let mut calls = self.calls.iter().rev();
        calls
            .find(|call| call.line == line && call.way == CallWay::In)
            .map(|call| call.number)
    }

    /// Whether a line has called a number, as far as past calls tell. A call that was not answered counts for [`MAY_CALL_BACK`].
    #[must_use]
    pub fn has_dialled(&self, line: Number, number: Number, now: UnixTime) -> bool {
        let mut calls = self.calls.iter();
        calls.any(|call| {
            let is_meant = (call.line, call.number, call.way) == (line, number, CallWay::Out);
            is_meant && (call.talked.is_some() || now < call.began.after(MAY_CALL_BACK))
        })
    }

    /// Calls that a line missed and was not told of, and texts that wait for it.
    #[must_use]
    pub fn news(&self, line: Number) -> MessagesWaiting {
        let missed = self
            .calls
            .iter()
            .filter(|call| call.line == line && call.is_new);
        let texts = self.texts.iter().filter(|text| text.line == line);
        MessagesWaiting {
            missed: missed.count(),
            texts: texts.count(),
        }
    }

    /// The line knows of its missed calls now: of all, or of those of one number.
    pub(crate) fn mark_missed_seen(&mut self, line: Number, of: Option<Number>) -> bool {
        let mut told = false;
        for call in &mut self.calls {
            let is_meant = call.line == line && of.is_none_or(|number| number == call.number);
            if is_meant && call.is_new {
                call.is_new = false;
                told = true;
            }
        }
        told
    }

    /// Whether a line wants silence.
    #[must_use]
    pub fn do_not_disturb(&self, line: Number) -> bool {
        self.settings
            .get(&line)
            .is_some_and(|settings| settings.do_not_disturb)
    }

    /// Whether a line rings for contacts only.
    #[must_use]
    pub fn contacts_only(&self, line: Number) -> bool {
        self.settings
            .get(&line)
            .is_some_and(|settings| settings.contacts_only)
    }

    /// Whether a line has blocked a number.
    #[must_use]
    pub fn is_blocked(&self, line: Number, number: Number) -> bool {
        let settings = self.settings.get(&line);
        settings.is_some_and(|settings| settings.blocked.contains(&number))
    }
}

/// What waits for a line (RFC 3842).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessagesWaiting {
    /// Calls that were missed.
    pub missed: usize,
    /// Texts that no phone has taken.
    pub texts: usize,
}

macro_rules! says_nothing {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

says_nothing!(WaitingText, PastCall, LineSettings);

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Number = Number::new(1);
    const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

    fn call(number: u32, second: u64) -> PastCall {
        PastCall {
            line: LINE,
            number: Number::new(number),
            way: CallWay::In,
            began: UnixTime::from_seconds(second),
            talked: None,
            is_new: true,
            is_stranger: false,
            quality: None,
        }
    }

    fn text(name: u16, from: u32) -> WaitingText {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&name.to_be_bytes());
        WaitingText {
            id: NoteId::from_bytes(id),
            line: LINE,
            from: Number::new(from),
            dated: NOW,
            text: Zeroizing::new("hello".to_owned()),
        }
    }

    #[test]
    fn a_number_that_rings_without_end_pushes_only_itself_out() {
        let mut saved_state = SavedState::default();
        saved_state.write_call(call(7, 1));
        for second in 2..1_000 {
            saved_state.write_call(call(8, second));
        }
        assert_eq!(saved_state.calls.len(), CALLS_PER_NUMBER + 1);
        assert_eq!(saved_state.calls[0].number, Number::new(7));
        assert_eq!(saved_state.calls[1].began, UnixTime::from_seconds(950));
        assert_eq!(saved_state.last_caller(LINE), Some(Number::new(8)));
    }

    #[test]
    fn a_dialled_number_is_known_for_good_if_it_answered_and_a_week_if_not() {
        let mut saved_state = SavedState::default();
        let out = |number, talked| PastCall {
            way: CallWay::Out,
            talked,
            ..call(number, NOW.seconds())
        };
        saved_state.write_call(call(7, NOW.seconds()));
        saved_state.write_call(out(8, None));
        saved_state.write_call(out(9, Some(Duration::from_secs(1))));
        for second in 0..700 {
            saved_state.write_call(call(8, NOW.seconds() + second));
            saved_state.write_call(call(1_000 + u32::try_from(second).unwrap(), NOW.seconds()));
        }
        let known = |after: Duration| {
            [7, 8, 9]
                .map(|number| saved_state.has_dialled(LINE, Number::new(number), NOW.after(after)))
        };
        let almost = MAY_CALL_BACK - Duration::from_secs(1);
        assert_eq!(known(almost), [false, true, true]);
        assert_eq!(known(MAY_CALL_BACK), [false, false, true]);
        let other = Number::new(2);
        assert!(!saved_state.has_dialled(other, Number::new(9), NOW));
    }

    #[test]
    fn calls_of_many_numbers_push_the_oldest_out_and_stay_in_order() {
        let mut saved_state = SavedState::default();
        for number in 0..600 {
            saved_state.write_call(call(number, u64::from(600 - number)));
        }
        assert_eq!(saved_state.calls.len(), MOST_CALLS);
        assert!(saved_state.calls.iter().is_sorted_by_key(|call| call.began));
    }

    #[test]
    fn a_text_that_had_to_go_is_taken_again_when_relays_bring_it_again() {
        let mut saved_state = SavedState::default();
        let (first, second) = (text(1, 1), text(2, 2));
        saved_state.keep_text(first.clone(), None, NOW);
        assert!(saved_state.knows(first.from, (NOW, first.id)));
        saved_state.keep_text(second.clone(), Some(0), NOW);
        assert_eq!(saved_state.texts, std::slice::from_ref(&second));
        assert!(saved_state.knows(second.from, (NOW, second.id)));
        assert!(!saved_state.knows(first.from, (NOW, first.id)));
    }

    #[test]
    fn a_note_is_remembered_for_longer_than_relays_keep_it() {
        let mut saved_state = SavedState::default();
        let sender = Number::new(1);
        let (note, other) = ((NOW, text(1, 1).id), Number::new(2));
        saved_state.remember(sender, note, NOW);
        let week = NOW.after(crate::sealed::note::LIFE + Duration::from_secs(3_600));
        saved_state.remember(other, (week, text(2, 2).id), week);
        assert!(saved_state.knows(sender, note));
        let later = NOW.after(REMEMBERED + Duration::from_millis(1));
        saved_state.remember(other, (later, text(3, 2).id), later);
        assert!(!saved_state.knows(sender, note));
    }

    #[test]
    fn missed_calls_are_new_until_the_user_is_told() {
        let mut saved_state = SavedState::default();
        for number in [7, 8, 8] {
            saved_state.write_call(call(number, 1));
        }
        assert_eq!(saved_state.news(LINE).missed, 3);
        assert!(saved_state.mark_missed_seen(LINE, Some(Number::new(8))));
        assert_eq!(saved_state.news(LINE).missed, 1);
        assert!(saved_state.mark_missed_seen(LINE, None));
        assert!(!saved_state.mark_missed_seen(LINE, None));
    }
}
