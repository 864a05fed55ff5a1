//! The overview (warnings, current calls, lines, connections) and the help.

use maud::{Markup, html};
use ringfence_engine::line::feature_codes::FEATURE_CODES;
use ringfence_engine::time::UnixTime;

use super::plot::plots;
use super::{LineButton, PageContext, arrow, at, minutes, sheet};
use crate::page::report::stage;
use crate::page::warnings::{span, warnings};
use crate::stats::snapshot::{CallSnapshot, LineSnapshot};

/// The overview.
pub(in crate::page) fn home(context: &PageContext<'_>) -> String {
    let body = html! {
        (alarms(context))
        section #live aria-labelledby="live-title" data-live {
            h2 #live-title { "Calls now" }
            @if context.snapshot.calls.is_empty() { p.quiet { "No call." } }
            @for call in &context.snapshot.calls { (live(context, call)) }
        }
        (lines(context))
        (connections(context))
    };
    sheet(context, "/", "Overview", &body)
}

fn alarms(context: &PageContext<'_>) -> Markup {
    let warnings = warnings(context.snapshot, context.registrar);
    html! {
        section #alarms aria-label="Warnings" data-live {
            @if warnings.is_empty() { p.well { "Everything works." } }
            @for warning in &warnings {
                p .warning .grave[warning.grave] {
                    strong { @if warning.grave { "Alarm: " } @else { "Note: " } (warning.what) }
                    " " (warning.remedy) " "
                    span.quiet { "Since " (at(UnixTime::from_seconds(warning.since))) "." }
                }
            }
        }
    }
}

fn live(context: &PageContext<'_>, CallSnapshot { call, quality }: &CallSnapshot) -> Markup {
    let verified = context
        .snapshot
        .contacts
        .get(call.number)
        .is_some_and(|contact| contact.verified);
    let talked = call.answered.map(|since| {
        context
            .snapshot
            .at
            .seconds()
            .saturating_sub(since.seconds())
    });
    html! {
        article.call {
            h3 {
                (context.own(call.line)) " " (arrow(call.way)) " " (context.who(call.number))
                @if verified { " " span.mark { "verified" } }
            }
            p { span.state { (stage(call.state).word()) } @if let Some(talked) = talked { " " (minutes(talked)) } }
            @if !quality.samples.is_empty() { (plots(quality)) }
        }
    }
}

fn lines(context: &PageContext<'_>) -> Markup {
    html! {
        section #lines aria-labelledby="lines-title" data-live {
            h2 #lines-title { "Lines" }
            div.wide { table {
                thead { tr {
                    th scope="col" { "Line" }
                    th scope="col" { "Phones" }
                    th scope="col" { "News" }
                    th scope="col" { "Do not disturb" }
                } }
                tbody { @for line in &context.snapshot.lines { (row(context, line)) } }
            } }
        }
    }
}

fn row(context: &PageContext<'_>, line: &LineSnapshot) -> Markup {
    let news = context.snapshot.saved_state.news(line.number);
    html! {
        tr {
            th scope="row" { (context.own(line.number)) }
            td {
                @if line.phones.is_empty() {
                    a href={ "/lines/" (line.number) } { "Set up a phone" }
                } @else { (line.phones.len()) " registered" }
            }
            td {
                @if news.missed == 0 && news.texts == 0 { span.quiet { "none" } }
                @if news.missed > 0 { a href="/calls" { (news.missed) " missed" } " " }
                @if news.texts > 0 { a href="/calls#texts" { (news.texts) " texts" } }
            }
            td { (switch(context, line, "/")) }
        }
    }
}

/// The do-not-disturb switch.
pub(super) fn switch(context: &PageContext<'_>, line: &LineSnapshot, back: &str) -> Markup {
    let on = context.snapshot.saved_state.do_not_disturb(line.number);
    let acts = ("undisturbed", "disturb");
    line_switch(line.number, on, acts, ("dnd", "Do not disturb"), back)
}

/// The switch of a line by which only its contacts ring.
pub(super) fn contacts_only(context: &PageContext<'_>, line: &LineSnapshot, back: &str) -> Markup {
    let on = context.snapshot.saved_state.contacts_only(line.number);
    let acts = ("contacts", "everyone");
    line_switch(
        line.number,
        on,
        acts,
        ("contacts", "Ring for contacts only"),
        back,
    )
}

/// A switch of a line; `acts` turn it on and off.
fn line_switch(
    number: ringfence_book::Number,
    on: bool,
    acts: (&str, &str),
    (id, label): (&str, &str),
    back: &str,
) -> Markup {
    html! {
        form.inline method="post" action={ "/lines/" (number) "/command" } data-quiet {
            input type="hidden" name="act" value=(if on { acts.1 } else { acts.0 });
            input type="hidden" name="back" value=(back);
            button #{ (id) "-" (number) } .switch type="submit" role="switch" aria-checked=(if on { "true" } else { "false" })
                aria-label={ (label) ", line " (number) } { span aria-hidden="true" { (if on { "on" } else { "off" }) } }
        }
    }
}

fn connections(context: &PageContext<'_>) -> Markup {
    let (relays, book) = (&context.snapshot.status.relays, context.snapshot.book);
    html! {
        section #ways aria-labelledby="ways-title" data-live {
            h2 #ways-title { "Connections" }
            dl {
                div { dt { "Nostr relays" } dd { (relays.listening) " of " (relays.configured) " deliver rings" } }
                div { dt { "TURN" } dd {
                    @if context.snapshot.status.turn_ready { "allocation ready" }
                    @else { "no allocation ready; the next call makes one" }
                } }
                div { dt { "Phone book" } dd {
                    @if let Some(book) = book {
                        "epoch " (book.epoch) ", closed "
                        (span(context.snapshot.at.seconds().saturating_sub(book.closed.seconds()))) " ago"
                    } @else { "not downloaded" }
                } }
            }
        }
    }
}

/// The block button of a number, for one line.
pub(super) fn block(
    context: &PageContext<'_>,
    line: ringfence_book::Number,
    number: ringfence_book::Number,
    back: &str,
) -> Markup {
    let blocked = context.snapshot.saved_state.is_blocked(line, number);
    let (act, words) = if blocked {
        ("unblock", "Unblock")
    } else {
        ("block", "Block")
    };
    LineButton {
        line,
        act,
        field: Some(("number", &number.to_string())),
        back,
        id: &format!("block-{line}-{number}"),
        words,
        about: &format!("{number} on line {line}"),
    }
    .form()
}

/// The help.
pub(in crate::page) fn help(context: &PageContext<'_>) -> String {
    let body = html! {
        section aria-labelledby="codes-title" {
            h2 #codes-title { "What a phone can dial" }
            p { "Dial a number, or one of these feature codes. The engine plays no announcement: it refuses the call with a phrase that the display shows, and sends the same phrase as a text." }
            div.wide { table {
                thead { tr { th scope="col" { "Dial" } th scope="col" { "What it does" } } }
                tbody { @for code in FEATURE_CODES { tr { th scope="row" { code { (code.digits) } } td { (code.does) } } } }
            } }
        }
        section aria-labelledby="curves-title" {
            h2 #curves-title { "What the plots mean" }
            p { "Each call shows its last five minutes, second by second. " em { "Heard" } " is what the phone here receives, " em { "said" } " what it sends. "
                "Lost is what the phone missed, or heard an imitation of; before repair is what the way lost, most of which the other engine's next packets bring again, for a delay of up to 80 ms while it lasts. "
                "Jitter is how irregularly packets arrive (RFC 3550). Quality is an estimate by the E-model (ITU-T G.107): 4.4 is the best for telephony, below 3.6 many users are dissatisfied. The delay of the network is unknown and not counted." }
        }
        section aria-labelledby="keys-title" {
            h2 #keys-title { "Whom you talk with" }
            p { "A number's key is pinned when a call with it is first answered. Compare the safety number once, by voice or in person: both of you see the same sixty digits, unless the connection is intercepted. If the number later has another key, calls with it are refused until you accept the new key." }
        }
    };
    sheet(context, "/help", "Help", &body)
}
