//! Subscriptions of phones: waiting messages (RFC 3842), dialogs of a line (RFC 4235) and presence of contacts (RFC 3856).
//!
//! A phone may subscribe to its own line's messages, and to the calls of any line of this engine. The other number of a call is shown
//! to phones of that very line only. Each notification is the full state. What is known of a contact's presence is held in
//! [`crate::presence`]; here it is only shown.

mod document;
mod unsolicited;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ringfence_book::Number;
use ringfence_sip as sip;

use crate::call::calls::Calls;
use crate::call::live::ShownDialog;
use crate::environment::Environment;
use crate::line::saved_state::MessagesWaiting;
use crate::output::CallLabel;
use crate::presence::PresenceService;
use crate::presence::document::pidf;
use crate::sealed::presence::PresenceStatus;

use document::{dialog_info, summary};
use sip::xml::escape;

/// All subscriptions of phones. The SIP side bounds how many.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    subscriptions: BTreeMap<sip::SubscriptionId, Subscription>,
    /// What phones of each line were last told without a subscription.
    unsolicited: BTreeMap<usize, MessagesWaiting>,
    /// A phone has registered since.
    has_joined: bool,
}

#[derive(Debug)]
struct Subscription {
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
    Messages(MessagesWaiting),
    Calls(BTreeMap<CallLabel, ShownDialog>),
    Presence(Option<PresenceStatus>),
}

impl Subscriptions {
    /// A phone subscribes to something.
    pub(crate) fn handle_subscribed(
        &mut self,
        watch: sip::SubscriptionId,
        (user, package, about): (&sip::User, sip::Package, &str),
        env: &mut Environment,
        now: Instant,
    ) -> bool {
        let own = env.lines.of_user(user);
        let mut lines = env.lines.iter();
        let line = lines.position(|line| {
            line.account.user.as_str() == about || line.number.to_string() == about
        });
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
            // Also for numbers of other engines: their calls are shown to no phone.
            (sip::Package::Dialog, _, None) => Err(404),
            (sip::Package::Presence, Some(own), _) => presence_of(own, line, about, env),
            (sip::Package::Presence, None, _) => Err(403),
        };
        match shows {
            Ok(shows) => {
                let subscription = Subscription {
                    shows,
                    version: 0,
                    said: None,
                };
                self.subscriptions.insert(watch, subscription);
                true
            }
            Err(status) => {
                env.agent.refuse_subscription(watch, status, now);
                false
            }
        }
    }

    pub(crate) fn handle_unsubscribed(&mut self, watch: sip::SubscriptionId) {
        self.subscriptions.remove(&watch);
    }

    /// Notifies every phone whose subscription shows something else now; true if there may have been one.
    pub(crate) fn notify_changes(
        &mut self,
        (calls, presence): (&Calls, &PresenceService),
        env: &mut Environment,
        now: Instant,
    ) -> bool {
        let mut changed = false;
        for (watch, subscription) in &mut self.subscriptions {
            let state = subscription.shows.state((calls, presence), env);
            if subscription.said.as_ref() == Some(&state) {
                continue;
            }
            let document = subscription.document(&state, &env.config.realm);
            env.agent.notify(*watch, document, now);
            subscription.version = subscription.version.wrapping_add(1);
            subscription.said = Some(state);
            changed = true;
        }
        self.notify_unsolicited(env, now) || changed
    }
}

/// Every number that can be dialled can be asked about, whether or not it is assigned or shows anything.
fn presence_of(
    own: usize,
    line: Option<usize>,
    about: &str,
    env: &Environment,
) -> Result<Shows, u16> {
    let of = match line.and_then(|line| env.lines.number(line)) {
        Some(number) => number,
        None => about.parse().map_err(|_| 404_u16)?,
    };
    env.trust.directory().plan().place(of).ok_or(404_u16)?;
    Ok(Shows::Presence {
        line: own,
        of,
        about: about.to_owned(),
    })
}

impl Shows {
    fn state(&self, (calls, presence): (&Calls, &PresenceService), env: &Environment) -> State {
        match *self {
            Self::Messages(line) => {
                let number = env.lines.number(line);
                State::Messages(number.map_or_else(MessagesWaiting::default, |number| {
                    env.saved.state().news(number)
                }))
            }
            Self::Calls { line, is_own, .. } => State::Calls(calls.dialogs(line, is_own)),
            Self::Presence { line, of, .. } => {
                State::Presence(presence.shown_to(line, of, calls, env))
            }
        }
    }
}

impl Subscription {
    fn document(&self, state: &State, realm: &str) -> sip::Body {
        let entity = |about: &str| format!("sip:{}@{}", escape(about), escape(realm));
        match (state, &self.shows) {
            (State::Calls(dialogs), Shows::Calls { about, .. }) => {
                let before = match &self.said {
                    Some(State::Calls(before)) => before.keys().copied().collect(),
                    _ => BTreeSet::new(),
                };
                dialog_info(&entity(about), self.version, dialogs, &before, realm)
            }
            (State::Presence(presence), Shows::Presence { about, .. }) => sip::Body {
                content_type: "application/pidf+xml".to_owned(),
                bytes: pidf(&entity(about), *presence),
            },
            (State::Messages(news), _) => summary(*news),
            // A state is of the kind that its subscription shows.
            (State::Calls(_) | State::Presence(_), _) => summary(MessagesWaiting::default()),
        }
    }
}
