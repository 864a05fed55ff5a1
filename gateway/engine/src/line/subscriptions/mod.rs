//! Lamps on phones: waiting messages (RFC 3842), busy lines (RFC 4235) and contacts (RFC 3856), told to phones that subscribe.
//!
//! A phone may watch its own line's messages, and the calls of any line of this engine. Whom a line talks with is told to phones of
//! that very line only. Each notification is the full state. What is known of somebody's presence is the business of
//! [`crate::presence`]; here it is only shown.

mod document;
mod unasked;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ringfence_phonebook::Number;
use ringfence_sip as sip;

use crate::call::{Call, Phase};
use crate::engine::Engine;
use crate::line::saved_state::{News, Way};
use crate::output::CallLabel;
use crate::presence::Presence;
use crate::presence::document::pidf;

use document::{dialog_info, escape, summary};
pub use unasked::UnaskedLamps;

/// All lamps that are watched. The SIP side bounds how many.
#[derive(Debug, Default)]
pub(crate) struct Lamps {
    watches: BTreeMap<sip::WatchId, Watched>,
    /// What phones of each line were told without having asked.
    told: BTreeMap<usize, News>,
    /// A phone has joined a line since.
    has_joined: bool,
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
    /// The presence of a number, named as the phone did, as far as this line may know it.
    Presence {
        line: usize,
        of: Number,
        about: String,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Messages(News),
    Calls(BTreeMap<CallLabel, Dialog>),
    Presence(Option<Presence>),
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
            (sip::Package::Presence, Some(own), _) => self.presence_asked(own, line, about),
            (sip::Package::Presence, None, _) => Err(403),
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

    /// Whoever may be dialled may be asked about, whether or not there is somebody, and whether or not they show anything.
    fn presence_asked(&self, own: usize, line: Option<usize>, about: &str) -> Result<Shows, u16> {
        let named = line.and_then(|line| self.lines.get(line));
        let of = match named {
            Some(line) => line.number,
            None => about.parse().map_err(|_| 404_u16)?,
        };
        self.directory.plan().place(of).ok_or(404_u16)?;
        Ok(Shows::Presence {
            line: own,
            of,
            about: about.to_owned(),
        })
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
        self.tell_unasked(now) || changed
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
            Shows::Presence { line, of, .. } => State::Presence(self.presence_shown(line, of)),
        }
    }

    fn presence_shown(&self, line: usize, of: Number) -> Option<Presence> {
        let own = self.lines.get(line)?.number;
        if own == of {
            return self.presence_of(line);
        }
        self.presence_heard(own, of)
    }

    /// Whom a document is about, for an XML attribute.
    fn entity(&self, about: &str) -> String {
        format!("sip:{}@{}", escape(about), escape(&self.config.realm))
    }

    fn document(&self, watched: &Watched, state: &State) -> sip::Written {
        match (state, &watched.shows) {
            (State::Calls(dialogs), Shows::Calls { about, .. }) => {
                let before = match &watched.said {
                    Some(State::Calls(before)) => before.keys().copied().collect(),
                    _ => BTreeSet::new(),
                };
                dialog_info(
                    &self.entity(about),
                    watched.version,
                    dialogs,
                    &before,
                    &self.config.realm,
                )
            }
            (State::Presence(presence), Shows::Presence { about, .. }) => sip::Written {
                kind: "application/pidf+xml".to_owned(),
                body: pidf(&self.entity(about), *presence),
            },
            (State::Messages(news), _) => summary(*news),
            // A lamp's state is of the kind that it shows.
            (State::Calls(_) | State::Presence(_), _) => summary(News::default()),
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
