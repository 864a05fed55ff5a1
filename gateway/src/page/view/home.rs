//! The overview: warnings, the next step of a new user, current calls, lines, connections.

use maud::{Markup, html};
use ringfence_engine::time::UnixTime;
use ringfence_media::Codec;

use super::plot::plots;
use super::{LineButton, PageContext, arrow, at, minutes, sheet};
use crate::page::report::stage;
use crate::page::warnings::{span, warnings};
use crate::stats::snapshot::{CallSnapshot, LineSnapshot};

/// The overview.
pub(in crate::page) fn home(context: &PageContext<'_>) -> String {
    let body = html! {
        (alarms(context))
        (next_step(context))
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

/// What a new user does next; nothing once there were calls.
fn next_step(context: &PageContext<'_>) -> Markup {
    let lines = &context.snapshot.lines;
    let bare = lines.iter().find(|line| line.phones.is_empty());
    let has_phones = lines.iter().any(|line| !line.phones.is_empty());
    let is_new = context.snapshot.saved_state.calls.is_empty() && context.snapshot.calls.is_empty();
    html! {
        section #next aria-labelledby="next-title" data-live hidden[!is_new] {
            h2 #next-title { "Next step" }
            @if let (false, Some(line)) = (has_phones, bare) {
                p { "Set up a phone: a program such as Linphone on this machine, or a desk phone. "
                    a href={ "/lines/" (line.number) "#link-title" } { "Set up a phone for line " (line.number) } "." }
            } @else if let Some(line) = lines.first() {
                p { "Your number is " span.number { (line.number) } ". Give it to people with a number of the same phone book, and ask for theirs." }
                p { "Dial a number on your phone, or " a href="/contacts" { "add it as a contact" } " and call from there." }
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
                @if verified { " " span.mark { "verified" } } @else { " " span.quiet { "not compared" } }
            }
            p {
                span.state { (stage(call.state).word()) }
                @if let Some(talked) = talked { " " (minutes(talked)) }
                @if let Some((phone, carried)) = quality.codecs() { " " span.quiet { (codecs(phone, carried)) } }
            }
            @if !quality.samples.is_empty() { (plots(quality)) }
            (LineButton { line: call.line, act: "hangup", field: Some(("call", &call.label.to_string())), back: "/",
                id: &format!("hangup-{}", call.label), words: "Hang up", about: &format!("the call with {}", call.number) }.form())
        }
    }
}

/// The codec of a call, in words.
pub(super) fn codecs(phone: Codec, carried: Codec) -> String {
    match phone == carried {
        true => phone.name().to_owned(),
        false => format!("{} here, transcoded to {}", phone.name(), carried.name()),
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
            td data-label="Phones" {
                @if line.phones.is_empty() {
                    a href={ "/lines/" (line.number) "#link-title" } { "Set up a phone" }
                } @else { (line.phones.len()) " registered" }
            }
            td data-label="News" {
                @if news.missed == 0 && news.texts == 0 { span.quiet { "none" } }
                @if news.missed > 0 { a href="/calls" { (news.missed) " missed" } " " }
                @if news.texts > 0 { a href="/calls#texts" { (news.texts) " texts" } }
            }
            td data-label="Do not disturb" { (switch(context, line, "/")) }
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

/// The button that calls a number from a phone of one line; nothing if the line has no phone.
pub(super) fn call(
    context: &PageContext<'_>,
    line: ringfence_book::Number,
    number: ringfence_book::Number,
    back: &str,
) -> Markup {
    let mut lines = context.snapshot.lines.iter();
    let has_phone = lines.any(|own| own.number == line && !own.phones.is_empty());
    let button = LineButton {
        line,
        act: "call",
        field: Some(("number", &number.to_string())),
        back,
        id: &format!("call-{line}-{number}"),
        words: "Call",
        about: &format!("{number} from line {line}"),
    };
    html! { @if has_phone { (button.form()) } }
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
