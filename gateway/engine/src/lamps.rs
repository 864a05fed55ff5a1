//! Lamps on phones: waiting messages (RFC 3842) and busy lines (RFC 4235), told to phones that subscribe.
//!
//! A phone may watch its own line's messages, and the calls of any line of this engine. Whom a line talks with is told to phones of
//! that very line only. Each notification is the full state. Presence (RFC 3856) is not done here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use ringfence_phonebook::Number;
use ringfence_sip as sip;

use crate::call::{Call, Phase};
use crate::engine::Engine;
use crate::ledger::{News, Way};
use crate::output::CallLabel;

/// All lamps that are watched. The SIP side bounds how many.
#[derive(Debug, Default)]
pub(crate) struct Lamps {
    watches: BTreeMap<sip::WatchId, Watched>,
}

#[derive(Debug)]
struct Watched {
    shows: Shows,
    /// Of the documents so far (RFC 4235 section 4.3).
    version: u32,
    said: Option<State>,
}

#[derive(Clone, Debug)]
enum Shows {
    /// The messages of this line.
    Messages(usize),
    /// The calls of this line, named as the phone did, to a phone of the same line or not.
    Calls {
        line: usize,
        about: String,
        is_own: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Messages(News),
    Calls(BTreeMap<CallLabel, Dialog>),
}

/// A call as a lamp shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Dialog {
    state: &'static str,
    way: Way,
    remote: Option<Number>,
}

impl Engine {
    /// A phone wants to watch something.
    pub(crate) fn handle_subscribed(
        &mut self,
        watch: sip::WatchId,
        user: &sip::User,
        (package, about): (sip::Package, &str),
        now: Instant,
    ) {
        let own = self
            .lines
            .iter()
            .position(|line| line.account.user == *user);
        let is_about = |line: &crate::Line| {
            line.account.user.as_str() == about || line.number.to_string() == about
        };
        let line = self.lines.iter().position(is_about);
        let shows = match (package, own, line) {
            (sip::Package::MessageSummary, Some(own), Some(line)) if own == line => {
                Ok(Shows::Messages(line))
            }
            (sip::Package::MessageSummary, ..) => Err(403),
            (sip::Package::Dialog, own, Some(line)) => Ok(Shows::Calls {
                line,
                about: about.to_owned(),
                is_own: own == Some(line),
            }),
            // Also for numbers of others: what they do is nobody's business.
            (sip::Package::Dialog, _, None) => Err(404),
            (sip::Package::Presence, ..) => Err(489),
        };
        match shows {
            Ok(shows) => {
                let watched = Watched {
                    shows,
                    version: 0,
                    said: None,
                };
                self.lamps.watches.insert(watch, watched);
                self.light_lamps(now);
            }
            Err(status) => self.agent.refuse_watch(watch, status, now),
        }
    }

    pub(crate) fn handle_unsubscribed(&mut self, watch: sip::WatchId) {
        self.lamps.watches.remove(&watch);
    }

    /// Tells every watching phone whose lamp has changed; true if there was one.
    pub(crate) fn light_lamps(&mut self, now: Instant) -> bool {
        let mut watches = std::mem::take(&mut self.lamps.watches);
        let mut changed = false;
        for (watch, watched) in &mut watches {
            let state = self.state(&watched.shows);
            if watched.said.as_ref() == Some(&state) {
                continue;
            }
            let written = self.document(watched, &state);
            self.agent.notify(*watch, written, now);
            watched.version = watched.version.wrapping_add(1);
            watched.said = Some(state);
            changed = true;
        }
        self.lamps.watches = watches;
        changed
    }

    fn state(&self, shows: &Shows) -> State {
        match *shows {
            Shows::Messages(line) => {
                let line = self.lines.get(line);
                State::Messages(
                    line.map_or_else(News::default, |line| self.ledger.news(line.number)),
                )
            }
            Shows::Calls { line, is_own, .. } => {
                let calls = self.calls.iter();
                let on_line = calls.filter(|(_, call)| call.common.line == line);
                State::Calls(
                    on_line
                        .filter_map(|(label, call)| Some((*label, dialog(call, is_own)?)))
                        .collect(),
                )
            }
        }
    }

    fn document(&self, watched: &Watched, state: &State) -> sip::Written {
        match (state, &watched.shows) {
            (State::Calls(dialogs), Shows::Calls { about, .. }) => {
                let before = match &watched.said {
                    Some(State::Calls(before)) => before.keys().copied().collect(),
                    _ => BTreeSet::new(),
                };
                let entity = format!("sip:{}@{}", escape(about), escape(&self.config.realm));
                dialog_info(
                    &entity,
                    watched.version,
                    dialogs,
                    &before,
                    &self.config.realm,
                )
            }
            (State::Messages(news), _) => summary(*news),
            (State::Calls(_), Shows::Messages(_)) => summary(News::default()),
        }
    }
}

/// What a lamp shows of a call; nothing of one that rings nowhere or is over.
fn dialog(call: &Call, is_own: bool) -> Option<Dialog> {
    let state = match call.phase {
        Phase::Dialling(_) => "trying",
        Phase::Calling(_) | Phase::Ringing(_) => "early",
        Phase::Answering(_) | Phase::Talking(_) => "confirmed",
        Phase::Unheard(_) | Phase::Ending(_) | Phase::Over => return None,
    };
    let entry = call.common.entry?;
    Some(Dialog {
        state,
        way: entry.way,
        remote: is_own.then_some(entry.number),
    })
}

/// RFC 3842 section 5.2: missed calls as voice messages, since phones have a lamp for these, and texts (RFC 3458).
fn summary(news: News) -> sip::Written {
    let waiting = if news == News::default() { "no" } else { "yes" };
    let News { missed, texts } = news;
    sip::Written {
        kind: "application/simple-message-summary".to_owned(),
        body: format!(
            "Messages-Waiting: {waiting}\r\nVoice-Message: {missed}/0\r\nText-Message: {texts}/0\r\n"
        )
        .into_bytes(),
    }
}

/// RFC 4235 section 4: the full state. Calls that are over since the last document are said to be so once, because some phones
/// forget none that is merely left out.
fn dialog_info(
    entity: &str,
    version: u32,
    dialogs: &BTreeMap<CallLabel, Dialog>,
    before: &BTreeSet<CallLabel>,
    realm: &str,
) -> sip::Written {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" entity=\"{entity}\">\r\n"
    );
    // Writing to a string never fails.
    for (label, dialog) in dialogs {
        let direction = match dialog.way {
            Way::Out => "initiator",
            Way::In => "recipient",
        };
        let state = dialog.state;
        let _ = write!(
            xml,
            "<dialog id=\"{label}\" direction=\"{direction}\"><state>{state}</state>"
        );
        if let Some(number) = dialog.remote {
            let realm = escape(realm);
            let _ = write!(
                xml,
                "<remote><identity>sip:{number}@{realm}</identity></remote>"
            );
        }
        xml.push_str("</dialog>\r\n");
    }
    for label in before.iter().filter(|label| !dialogs.contains_key(label)) {
        let _ = write!(
            xml,
            "<dialog id=\"{label}\"><state>terminated</state></dialog>\r\n"
        );
    }
    xml.push_str("</dialog-info>\r\n");
    sip::Written {
        kind: "application/dialog-info+xml".to_owned(),
        body: xml.into_bytes(),
    }
}

/// For XML text and attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            sign => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &sip::Written) -> String {
        String::from_utf8(written.body.clone()).expect("we wrote UTF-8")
    }

    #[test]
    fn a_summary_says_whether_something_waits_and_how_much() {
        assert!(text(&summary(News::default())).starts_with("Messages-Waiting: no\r\n"));
        let some = text(&summary(News {
            missed: 2,
            texts: 1,
        }));
        assert_eq!(
            some,
            "Messages-Waiting: yes\r\nVoice-Message: 2/0\r\nText-Message: 1/0\r\n"
        );
    }

    #[test]
    fn a_call_that_is_over_is_said_to_be_so_once() {
        let (over, on) = (CallLabel(1), CallLabel(2));
        let dialog = Dialog {
            state: "confirmed",
            way: Way::In,
            remote: None,
        };
        let dialogs = BTreeMap::from([(on, dialog)]);
        let xml = text(&dialog_info(
            "sip:a@b",
            7,
            &dialogs,
            &BTreeSet::from([over, on]),
            "b",
        ));
        assert!(xml.contains("version=\"7\" state=\"full\" entity=\"sip:a@b\""));
        assert!(xml.contains(
            "<dialog id=\"00000002\" direction=\"recipient\"><state>confirmed</state></dialog>"
        ));
        assert!(xml.contains("<dialog id=\"00000001\"><state>terminated</state></dialog>"));
        assert_eq!(xml.matches("terminated").count(), 1);
    }

    #[test]
    fn names_that_phones_choose_cannot_break_the_document() {
        assert_eq!(escape("a<b>&'\""), "a&lt;b&gt;&amp;&apos;&quot;");
    }
}
