//! Past calls, and texts that no phone has taken.

use maud::{Markup, html};
use ringfence_engine::line::saved_state::{CallWay, PastCall, WaitingText};

use super::home::block;
use super::{LineButton, PageContext, arrow, at, minutes, sheet};

/// Calls on the page; `ringfence calls` lists all.
const MOST_SHOWN: usize = 100;

/// Calls and texts.
pub(in crate::page) fn calls(context: &PageContext<'_>) -> String {
    let body = html! { (texts(context)) (missed(context)) (history(context)) };
    sheet(context, "/calls", "Calls and texts", &body)
}

fn texts(context: &PageContext<'_>) -> Markup {
    let texts = &context.snapshot.saved_state.texts;
    html! {
        section #texts aria-labelledby="texts-title" data-live {
            h2 #texts-title { "Texts" }
            p.quiet { "Texts wait here until a phone takes them. A text that is marked as read is no longer sent to phones." }
            @if texts.is_empty() { p { "No text waits." } }
            @for text in texts.iter().rev() { (text_row(context, text)) }
        }
    }
}

fn text_row(context: &PageContext<'_>, text: &WaitingText) -> Markup {
    let id = hex::encode(text.id.as_bytes());
    let read = LineButton {
        line: text.line,
        act: "read",
        field: Some(("text", &id)),
        back: "/calls#texts",
        id: &format!("read-{id}"),
        words: "Mark as read",
        about: &format!("the text from {}", text.from),
    };
    html! {
        article.text {
            h3 { (context.who(text.from)) " " (arrow(CallWay::Out)) " " (context.own(text.line)) " " span.quiet { (at(text.dated)) } }
            p.letter { bdi { (text.text.as_str()) } }
            (read.form())
        }
    }
}

fn missed(context: &PageContext<'_>) -> Markup {
    let lines = context.snapshot.lines.iter();
    let news: Vec<_> = lines
        .map(|line| {
            (
                line.number,
                context.snapshot.saved_state.news(line.number).missed,
            )
        })
        .filter(|(_, missed)| *missed > 0)
        .collect();
    html! {
        section #missed aria-labelledby="missed-title" data-live {
            h2 #missed-title { "Missed calls" }
            @if news.is_empty() { p { "No new missed calls." } }
            @for (line, missed) in news {
                div.row {
                    (missed) " on line " (context.own(line)) " "
                    (LineButton { line, act: "seen", field: None, back: "/calls", id: &format!("seen-{line}"), words: "Mark as seen",
                        about: &format!("the missed calls of line {line}") }.form())
                }
            }
        }
    }
}

fn history(context: &PageContext<'_>) -> Markup {
    let calls = &context.snapshot.saved_state.calls;
    html! {
        section #history aria-labelledby="history-title" data-live {
            h2 #history-title { "History" }
            @if calls.is_empty() { p { "No call yet." } } @else {
                div.wide { table {
                    thead { tr {
                        th scope="col" { "When" } th scope="col" { "Line" } th scope="col" { "Number" }
                        th scope="col" { "Talked" } th scope="col" { span.unseen { "Block" } }
                    } }
                    tbody { @for call in calls.iter().rev().take(MOST_SHOWN) { (row(context, call)) } }
                } }
            }
        }
    }
}

fn row(context: &PageContext<'_>, call: &PastCall) -> Markup {
    let talked = || minutes(call.talked.map_or(0, |span| span.as_secs()));
    let outcome = call.unanswered().map_or_else(talked, str::to_owned);
    html! {
        tr .new[call.is_new] {
            td { (at(call.began)) }
            td { (context.own(call.line)) " " (arrow(call.way)) }
            th scope="row" { (context.who(call.number)) }
            td { (outcome) }
            td { @if call.way == CallWay::In { (block_of(context, call)) } }
        }
    }
}

/// Only at the number's latest call, where a user looks for it.
fn block_of(context: &PageContext<'_>, call: &PastCall) -> Markup {
    let mut latest = context.snapshot.saved_state.calls.iter().rev();
    let latest = latest.find(|other| {
        other.number == call.number && other.line == call.line && other.way == CallWay::In
    });
    html! { @if latest == Some(call) { (block(context, call.line, call.number, "/calls")) } }
}
