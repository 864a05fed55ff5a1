//! What keeps a relay from its part in calls, in the relay's own words where it gave some (NIP-01: the text of OK, CLOSED and NOTICE;
//! NIP-42: AUTH).
//!
//! A relay may be hostile, and its words are shown to the user and logged: they are cut to one short line without control characters
//! ([`RelayWords`]), and what may name an address or a key is left out of the log. Nothing a relay says changes what the engine does.

use std::fmt;

use super::message::PostVerdict;

/// Longest text of a relay that is kept: more does not fit a line.
const MOST_CHARS: usize = 120;

/// The longest word with a digit that a log may have: an error code or a number of bits, but no address and no key.
const SHORT_WORD: usize = 4;

/// What a relay said: one line of letters, digits, spaces and ASCII punctuation.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayWords(String);

impl RelayWords {
    /// Cleans a text of a relay; `None` if nothing is left of it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        // Bounded before it is looked at: a relay may send megabytes.
        let start = text.chars().take(4 * MOST_CHARS);
        let is_shown = |c: &char| c.is_alphanumeric() || c.is_ascii_punctuation();
        let shown = start.map(|c| Some(c).filter(is_shown).unwrap_or(' '));
        let shown: String = shown.collect();
        let words: Vec<&str> = shown.split_whitespace().collect();
        let line: String = words.join(" ").chars().take(MOST_CHARS).collect();
        (!line.is_empty()).then_some(Self(line))
    }

    /// The words for the user of this machine.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The words for a log: with an asterisk for each address, name of a server, long number or key.
    #[must_use]
    pub fn unnamed(&self) -> String {
        let kept = self.0.split(' ').map(|word| {
            let is_long = word.chars().count() > SHORT_WORD;
            let has_digit = word.contains(|c: char| c.is_numeric());
            let is_address = word.contains(['/', '@']) || word.contains("::");
            let is_name = word.trim_end_matches('.').contains('.');
            if is_address || is_name || (is_long && has_digit) {
                "*"
            } else {
                word
            }
        });
        kept.collect::<Vec<_>>().join(" ")
    }

    /// Whether the text begins with this machine-readable prefix (NIP-01).
    #[must_use]
    pub fn begins_with(&self, prefix: &str) -> bool {
        let rest = self.0.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with(':'))
    }
}

impl fmt::Debug for RelayWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayWords({:?})", self.unnamed())
    }
}

/// What a relay does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayFault {
    /// There is no connection.
    Unreachable,
    /// It has not confirmed the subscription to rings.
    NotListening,
    /// It demands a login (NIP-42), which would give this engine a lasting identity.
    WantsLogin,
    /// It refused the last envelope.
    Refuses,
    /// The last envelope is not known to have arrived.
    NoAnswer,
    /// It sent more than an engine reads, or junk, and is left alone for a while.
    Floods,
}

/// A relay that does not do its part.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayTrouble {
    /// Its place in the settings, counted from 1.
    pub position: usize,
    /// Its URL, for the user of this machine.
    pub url: String,
    /// What it does not do.
    pub fault: RelayFault,
    /// What it said about that.
    pub words: Option<RelayWords>,
}

impl RelayTrouble {
    /// Whether there is no connection, and no other reason is known.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.fault == RelayFault::Unreachable
    }
}

impl fmt::Debug for RelayTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayTrouble")
            .field("position", &self.position)
            .field("fault", &self.fault)
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}

/// The last answers of one relay. A refusal stays until the relay takes an envelope: a new connection alone changes no rule of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RelayAnswers {
    /// Why it ended the subscription, or its last notice.
    about_subscription: Option<RelayWords>,
    wants_login: bool,
    /// Why it did not take the last envelope.
    refusal: Option<(RelayFault, Option<RelayWords>)>,
}

impl RelayAnswers {
    /// OK: what the relay did with an envelope.
    pub(super) fn note_outcome(&mut self, verdict: PostVerdict, words: Option<RelayWords>) {
        let fault = match verdict {
            PostVerdict::Taken => return self.refusal = None,
            PostVerdict::WantsLogin => RelayFault::WantsLogin,
            PostVerdict::TryLater | PostVerdict::Refused => RelayFault::Refuses,
        };
        self.refusal = Some((fault, words));
    }

    /// An envelope was handed over, and no refusal came.
    pub(super) fn note_handed_over(&mut self) {
        self.refusal = None;
    }

    /// An envelope is not known to have arrived.
    pub(super) fn note_no_answer(&mut self) {
        self.refusal = Some((RelayFault::NoAnswer, None));
    }

    /// CLOSED or NOTICE.
    pub(super) fn note_words(&mut self, words: Option<RelayWords>) {
        self.wants_login |= words.as_ref().is_some_and(wants_login);
        self.about_subscription = words;
    }

    /// AUTH: the relay offers a login. Many offer one and serve without it.
    pub(super) fn note_login(&mut self) {
        self.wants_login = true;
    }

    /// The relay serves the subscription.
    pub(super) fn note_listening(&mut self) {
        (self.wants_login, self.about_subscription) = (false, None);
    }

    /// Whether the relay did not take the last envelope that it got.
    pub(super) fn refuses(&self) -> bool {
        self.refusal.is_some()
    }

    /// What a relay does not do, given the state of its connections.
    pub(super) fn trouble(
        &self,
        (position, url): (usize, &str),
        is_connected: bool,
        is_listening: bool,
    ) -> Option<RelayTrouble> {
        let said = self.about_subscription.clone();
        let (fault, words) = match &self.refusal {
            // The connection is made anew after an envelope that was not answered.
            Some((RelayFault::NoAnswer, _)) => (RelayFault::NoAnswer, None),
            _ if !is_connected => (RelayFault::Unreachable, None),
            _ if !is_listening && self.wants_login => (RelayFault::WantsLogin, said),
            _ if !is_listening => (RelayFault::NotListening, said),
            Some((fault, words)) => (*fault, words.clone()),
            None => return None,
        };
        Some(RelayTrouble {
            position,
            url: url.to_owned(),
            fault,
            words,
        })
    }
}

fn wants_login(words: &RelayWords) -> bool {
    words.begins_with("auth-required")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> RelayWords {
        RelayWords::new(text).unwrap()
    }

    #[test]
    fn the_words_of_a_relay_become_one_short_line() {
        assert_eq!(
            words("rate-limited:\r\n \u{1b}[2Jslow\u{202e} down\0").text(),
            "rate-limited: [2Jslow down"
        );
        assert_eq!(words(&"a".repeat(1_000_000)).text().len(), MOST_CHARS);
        assert_eq!(RelayWords::new("\u{1b}\u{7}\n\u{200b}"), None);
    }

    #[test]
    fn a_log_gets_no_address_and_no_key_in_a_relays_words() {
        for (text, kept) in [
            ("pow: 24 bits needed", "pow: 24 bits needed"),
            ("blocked: 203.0.113.7 is banned.", "blocked: * is banned."),
            ("blocked: fd::a and p5b1.dip.example", "blocked: * and *"),
            ("pay at https://relay.example/", "pay at *"),
            ("no 79be667ef9dcbbac number 20001", "no * number *"),
            ("mail me@host or wss://relay/", "mail * or *"),
        ] {
            assert_eq!(words(text).unnamed(), kept);
        }
    }

    #[test]
    fn a_refusal_stays_until_an_envelope_is_taken() {
        let mut answers = RelayAnswers::default();
        let fault = |answers: &RelayAnswers, connected, listening| {
            let trouble = answers.trouble((1, "wss://relay.example"), connected, listening);
            trouble.map(|trouble| trouble.fault)
        };
        assert_eq!(fault(&answers, false, false), Some(RelayFault::Unreachable));
        answers.note_login();
        assert_eq!(fault(&answers, true, false), Some(RelayFault::WantsLogin));
        answers.note_listening();
        assert_eq!(fault(&answers, true, false), Some(RelayFault::NotListening));
        let slow = RelayWords::new("rate-limited: slow down");
        answers.note_outcome(PostVerdict::TryLater, slow);
        assert_eq!(fault(&answers, true, true), Some(RelayFault::Refuses));
        answers.note_outcome(PostVerdict::WantsLogin, None);
        assert_eq!(fault(&answers, true, true), Some(RelayFault::WantsLogin));
        answers.note_no_answer();
        assert_eq!(fault(&answers, false, false), Some(RelayFault::NoAnswer));
        assert!(answers.refuses());
        answers.note_outcome(PostVerdict::Taken, None);
        assert_eq!(fault(&answers, true, true), None);
    }

    proptest! {
        #[test]
        fn whatever_a_relay_says_is_a_line_that_a_terminal_can_show(text in any::<String>()) {
            if let Some(words) = RelayWords::new(&text) {
                for line in [words.text().to_owned(), words.unnamed()] {
                    prop_assert!(line.chars().count() <= MOST_CHARS);
                    prop_assert!(!line.contains(char::is_control), "{line:?}");
                }
                prop_assert_eq!(RelayWords::new(words.text()), Some(words));
            }
        }
    }
}
