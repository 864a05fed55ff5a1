//! The calls of the past, and the texts that no phone has taken.

use maud::{Markup, html};
use ringfence_engine::line::saved_state::{PastCall, WaitingText, Way};

use super::home::block;
use super::{Button, Scene, arrow, at, minutes, sheet};

/// Calls on the page; more stand in `ringfence calls`.
const MOST_SHOWN: usize = 100;

/// Calls and texts.
pub(in crate::page) fn calls(scene: &Scene<'_>) -> String {
    let body = html! { (texts(scene)) (missed(scene)) (history(scene)) };
    sheet(scene, "/calls", "Calls and texts", &body)
}

fn texts(scene: &Scene<'_>) -> Markup {
    let texts = &scene.picture.ledger.texts;
    html! {
        section #texts aria-labelledby="texts-title" data-live {
            h2 #texts-title { "Texts" }
            p.quiet { "Texts wait here until a phone has taken them. What is marked as read goes to no phone any more." }
            @if texts.is_empty() { p { "No text waits." } }
            @for text in texts.iter().rev() { (letter(scene, text)) }
        }
    }
}

fn letter(scene: &Scene<'_>, text: &WaitingText) -> Markup {
    let id = hex::encode(text.id.as_bytes());
    let read = Button {
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
            h3 { (scene.who(text.from)) " " (arrow(Way::Out)) " " (scene.own(text.line)) " " span.quiet { (at(text.dated)) } }
            p.letter { bdi { (text.text.as_str()) } }
            (read.form())
        }
    }
}

fn missed(scene: &Scene<'_>) -> Markup {
    let lines = scene.picture.lines.iter();
    let news: Vec<_> = lines
        .map(|line| (line.number, scene.picture.ledger.news(line.number).missed))
        .filter(|(_, missed)| *missed > 0)
        .collect();
    html! {
        section #missed aria-labelledby="missed-title" data-live {
            h2 #missed-title { "Missed calls" }
            @if news.is_empty() { p { "No missed call that you have not seen." } }
            @for (line, missed) in news {
                div.row {
                    (missed) " on line " (scene.own(line)) " "
                    (Button { line, act: "seen", field: None, back: "/calls", id: &format!("seen-{line}"), words: "Mark as seen",
                        about: &format!("the missed calls of line {line}") }.form())
                }
            }
        }
    }
}

fn history(scene: &Scene<'_>) -> Markup {
    let calls = &scene.picture.ledger.calls;
    html! {
        section #history aria-labelledby="history-title" data-live {
            h2 #history-title { "History" }
            @if calls.is_empty() { p { "No call yet." } } @else {
                div.wide { table {
                    thead { tr {
                        th scope="col" { "When" } th scope="col" { "Line" } th scope="col" { "Number" }
                        th scope="col" { "Talked" } th scope="col" { span.unseen { "Block" } }
                    } }
                    tbody { @for call in calls.iter().rev().take(MOST_SHOWN) { (row(scene, call)) } }
                } }
            }
        }
    }
}

fn row(scene: &Scene<'_>, call: &PastCall) -> Markup {
    let outcome = match (call.talked, call.way) {
        (Some(span), _) => minutes(span.as_secs()),
        (None, Way::Out) => "no answer".to_owned(),
        (None, Way::In) if call.is_new => "missed".to_owned(),
        (None, Way::In) => "not answered".to_owned(),
    };
    html! {
        tr .new[call.is_new] {
            td { (at(call.began)) }
            td { (scene.own(call.line)) " " (arrow(call.way)) }
            th scope="row" { (scene.who(call.number)) }
            td { (outcome) }
            td { @if call.way == Way::In { (block_of(scene, call)) } }
        }
    }
}

/// Only where a person would look for it: at the latest call of the number.
fn block_of(scene: &Scene<'_>, call: &PastCall) -> Markup {
    let mut latest = scene.picture.ledger.calls.iter().rev();
    let latest = latest.find(|other| {
        other.number == call.number && other.line == call.line && other.way == Way::In
    });
    html! { @if latest == Some(call) { (block(scene, call.line, call.number, "/calls")) } }
}
