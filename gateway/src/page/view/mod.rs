//! The pages as HTML: one file for each page; this one has what they share. `maud` escapes every text. Names and texts from others are
//! also put in `bdi`, so that their writing direction cannot reorder the words around them.

pub(super) mod calls;
pub(super) mod contact;
pub(super) mod help;
pub(super) mod home;
pub(super) mod line;
mod plot;

use maud::{DOCTYPE, Markup, html};
use ringfence_book::Number;
use ringfence_engine::LiveState;
use ringfence_engine::line::saved_state::CallWay;
use ringfence_engine::time::UnixTime;

use crate::calendar::{local_moment, moment};
use crate::provisioning::registrar::RegistrarInfo;
use crate::state::keystore::EvidenceFile;
use crate::stats::snapshot::{CallSnapshot, Snapshot};

/// What a page is rendered from.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageContext<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) registrar: &'a RegistrarInfo,
    pub(super) evidence: &'a [EvidenceFile],
}

/// The pages in the menu.
const MENU: [(&str, &str); 4] = [
    ("/", "Overview"),
    ("/calls", "Calls and texts"),
    ("/contacts", "Contacts"),
    ("/help", "Help"),
];

/// A complete page. `path` is its entry in the menu.
pub(super) fn sheet(context: &PageContext<'_>, path: &str, title: &str, body: &Markup) -> String {
    let said = said(context);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Ringfence" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    p.brand { img src="/icon.svg" alt="" width="22" height="22"; "Ringfence" }
                    nav aria-label="Pages" {
                        @for (href, name) in MENU {
                            a href=(href) aria-current=[(href == path).then_some("page")] { (name) }
                        }
                    }
                }
                p #said .unseen role="status" { (said) }
                main #content tabindex="-1" {
                    h1 { (title) }
                    (body)
                }
                footer {
                    p { strong { "Emergency calls do not work: use another phone." } }
                    p { "Ringfence " (env!("CARGO_PKG_VERSION")) ". Only this machine can open this page." }
                }
            }
        }
    };
    markup.into_string()
}

/// What a screen reader announces when it changes.
fn said(context: &PageContext<'_>) -> String {
    let calls: Vec<String> = context
        .snapshot
        .calls
        .iter()
        .map(|CallSnapshot { call, .. }| {
            let name = context.name(call.number);
            let who = name.map_or_else(
                || call.number.to_string(),
                |name| format!("{name}, {}", call.number),
            );
            match (call.state, call.way) {
                (LiveState::Ringing, _) => format!("{who} is calling."),
                (LiveState::Calling, _) => format!("Calling {who}."),
                (LiveState::Connecting, _) => format!("Connecting with {who}."),
                (LiveState::Talking, _) => format!("Talking with {who}."),
            }
        })
        .collect();
    if calls.is_empty() {
        return "No call.".to_owned();
    }
    calls.join(" ")
}

/// A page that reports an error.
pub(super) fn refusal(context: &PageContext<'_>, what: &str, back: &str) -> String {
    let body = html! {
        p.warning.grave { strong { "Nothing was changed." } " " (what) }
        p { a href=(back) { "Back" } }
    };
    sheet(context, "", "That did not work", &body)
}

impl PageContext<'_> {
    /// The contact's name.
    fn name(&self, number: Number) -> Option<&str> {
        self.snapshot.contacts.get(number)?.name.as_deref()
    }

    /// A number with its contact's name.
    fn who(&self, number: Number) -> Markup {
        let contact = self.snapshot.contacts.get(number);
        html! {
            @if let Some(name) = self.name(number) { bdi { (name) } " " }
            @if contact.is_some() {
                a.number href={ "/contacts/" (number) } { (number) }
            } @else {
                span.number { (number) }
            }
        }
    }

    /// A line of this engine with its name.
    fn own(&self, number: Number) -> Markup {
        let name = self
            .registrar
            .line(number)
            .and_then(|line| line.name.as_deref());
        html! {
            a.number href={ "/lines/" (number) } { (number) }
            @if let Some(name) = name { " " bdi { (name) } }
        }
    }
}

/// A time of this machine, which the script writes as the user's browser does.
fn at(time: UnixTime) -> Markup {
    html! { time datetime=(moment(time)) { (local_moment(time)) } }
}

fn arrow(way: CallWay) -> Markup {
    let (sign, word) = match way {
        CallWay::Out => ("→", "to"),
        CallWay::In => ("←", "from"),
    };
    html! { span aria-hidden="true" { (sign) } span.unseen { (word) } }
}

/// A duration as minutes and seconds.
fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A form of one button, which sends a command for a line.
struct LineButton<'a> {
    line: Number,
    act: &'a str,
    /// A further field: its name and value.
    field: Option<(&'a str, &'a str)>,
    back: &'a str,
    id: &'a str,
    words: &'a str,
    /// What a screen reader adds to the words.
    about: &'a str,
}

impl LineButton<'_> {
    fn form(&self) -> Markup {
        html! {
            form.inline method="post" action={ "/lines/" (self.line) "/command" } data-quiet {
                input type="hidden" name="act" value=(self.act);
                input type="hidden" name="back" value=(self.back);
                @if let Some((name, value)) = self.field { input type="hidden" name=(name) value=(value); }
                button #(self.id) type="submit" { (self.words) span.unseen { " " (self.about) } }
            }
        }
    }
}
