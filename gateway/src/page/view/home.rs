//! The overview: what is wrong, the ways out, the lines, the calls of this moment. And the help.

use maud::{Markup, html};
use ringfence_engine::line::feature_codes::STAR_CODES;

use super::plot::plots;
use super::{Button, Scene, arrow, minutes, sheet};
use crate::page::warnings::{span, warnings};
use crate::page::report::state;
use crate::stats::snapshot::{CallSnapshot, LineSnapshot};

/// The overview.
pub(in crate::page) fn home(scene: &Scene<'_>) -> String {
    let body = html! {
        (alarms(scene))
        section #live aria-labelledby="live-title" data-live {
            h2 #live-title { "Calls now" }
            @if scene.picture.calls.is_empty() { p.quiet { "No call." } }
            @for call in &scene.picture.calls { (live(scene, call)) }
        }
        (lines(scene))
        (ways_out(scene))
    };
    sheet(scene, "/", "Overview", &body)
}

fn alarms(scene: &Scene<'_>) -> Markup {
    let warnings = warnings(scene.picture, scene.board, scene.evidence);
    html! {
        section #alarms aria-label="Warnings" data-live {
            @if warnings.is_empty() { p.well { "All is well." } }
            @for warning in &warnings {
                p .warning .grave[warning.is_grave] {
                    strong { @if warning.is_grave { "Alarm: " } @else { "Note: " } (warning.what) }
                    " " (warning.remedy)
                }
            }
        }
    }
}

fn live(scene: &Scene<'_>, CallSnapshot { call, curve }: &CallSnapshot) -> Markup {
    let verified = scene
        .picture
        .contacts
        .get(call.number)
        .is_some_and(|contact| contact.verified);
    let talked = call
        .answered
        .map(|since| scene.picture.at.seconds().saturating_sub(since.seconds()));
    html! {
        article.call {
            h3 {
                (scene.own(call.line)) " " (arrow(call.way)) " " (scene.who(call.number))
                @if verified { " " span.mark { "verified" } }
            }
            p { span.state { (state(call.state)) } @if let Some(talked) = talked { " " (minutes(talked)) } }
            @if !curve.samples.is_empty() { (plots(curve)) }
        }
    }
}

fn lines(scene: &Scene<'_>) -> Markup {
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
                tbody { @for line in &scene.picture.lines { (row(scene, line)) } }
            } }
        }
    }
}

fn row(scene: &Scene<'_>, line: &LineSnapshot) -> Markup {
    let news = scene.picture.ledger.news(line.number);
    html! {
        tr {
            th scope="row" { (scene.own(line.number)) }
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
            td { (switch(scene, line, "/")) }
        }
    }
}

/// The switch for do not disturb.
pub(super) fn switch(scene: &Scene<'_>, line: &LineSnapshot, back: &str) -> Markup {
    let on = scene.picture.ledger.is_undisturbed(line.number);
    let number = line.number;
    html! {
        form.inline method="post" action={ "/lines/" (number) "/wish" } data-quiet {
            input type="hidden" name="act" value=(if on { "disturb" } else { "undisturbed" });
            input type="hidden" name="back" value=(back);
            button #{ "dnd-" (number) } .switch type="submit" role="switch" aria-checked=(if on { "true" } else { "false" })
                aria-label={ "Do not disturb, line " (number) } { span aria-hidden="true" { (if on { "on" } else { "off" }) } }
        }
    }
}

fn ways_out(scene: &Scene<'_>) -> Markup {
    let (relays, book) = (scene.picture.status.relays, scene.picture.book);
    html! {
        section #ways aria-labelledby="ways-title" data-live {
            h2 #ways-title { "Ways out" }
            dl {
                div { dt { "Nostr relays" } dd { (relays.listening) " of " (relays.configured) " bring rings" } }
                div { dt { "TURN" } dd {
                    @if scene.picture.status.turn_ready { "an address is ready" }
                    @else { "no address is ready now; the next call dials" }
                } }
                div { dt { "Phone book" } dd {
                    @if let Some(book) = book {
                        "epoch " (book.epoch) ", closed "
                        (span(scene.picture.at.seconds().saturating_sub(book.closed.seconds()))) " ago"
                    } @else { "not downloaded" }
                } }
            }
        }
    }
}

/// The block button of a number, for one line.
pub(super) fn block(
    scene: &Scene<'_>,
    line: ringfence_phonebook::Number,
    number: ringfence_phonebook::Number,
    back: &str,
) -> Markup {
    let blocked = scene.picture.ledger.is_blocked(line, number);
    let (act, words) = if blocked {
        ("unblock", "Unblock")
    } else {
        ("block", "Block")
    };
    Button {
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
pub(in crate::page) fn help(scene: &Scene<'_>) -> String {
    let body = html! {
        section aria-labelledby="codes-title" {
            h2 #codes-title { "What a phone can dial" }
            p { "Dial a number, or one of these. The engine plays no sound: it refuses such a call with a phrase that the display shows, and sends the same as a text." }
            div.wide { table {
                thead { tr { th scope="col" { "Dial" } th scope="col" { "What it does" } } }
                tbody { @for code in STAR_CODES { tr { th scope="row" { code { (code.digits) } } td { (code.does) } } } }
            } }
        }
        section aria-labelledby="curves-title" {
            h2 #curves-title { "What the curves mean" }
            p { "Each call shows its last five minutes, second by second. " em { "Heard" } " is what comes to the phone here, " em { "said" } " what goes out. "
                "Jitter is how unevenly packets come (RFC 3550). Quality is an estimate by the E-model (ITU-T G.107): 4.4 is the best that a telephone can be, below 3.6 many people complain. The delay on the way is not known and not counted." }
        }
        section aria-labelledby="keys-title" {
            h2 #keys-title { "Whom you talk with" }
            p { "A number's key is pinned when a call with it is first answered. Compare the safety number once, by voice or in person: sixty digits that both of you see if nobody stands between you. If a number shows another key later, calls with it are refused until you accept that." }
        }
    };
    sheet(scene, "/help", "Help", &body)
}
