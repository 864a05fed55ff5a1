//! Past calls, and texts that no phone has taken.

use maud::{Markup, html};
use ringfence_book::Number;
use ringfence_engine::line::call_quality::CallQuality;
use ringfence_engine::line::saved_state::{CallWay, PastCall, WaitingText};
use ringfence_engine::line::written::TextFate;

use super::home::{self, block};
use super::{LineButton, PageContext, arrow, at, minutes, sheet};

/// Calls on the page; `ringfence calls` lists all.
const MOST_SHOWN: usize = 100;

/// Calls and texts.
pub(in crate::page) fn calls(context: &PageContext<'_>) -> String {
    let body = html! { (texts(context)) (writing(context, None, "/calls")) (missed(context)) (history(context)) };
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

/// The form for a text, and what became of the last ones. `to`: the number, if the page is about one.
pub(super) fn writing(context: &PageContext<'_>, to: Option<Number>, back: &str) -> Markup {
    let lines = &context.snapshot.lines;
    let written = context.snapshot.written.iter().rev();
    let written: Vec<_> = written
        .filter(|text| to.is_none_or(|to| to == text.to))
        .collect();
    html! {
        section aria-labelledby="write-title" {
            h2 #write-title { "Write a text" }
            form method="post" action="/write" {
                input type="hidden" name="back" value=(back);
                @match lines.as_slice() {
                    [line] => input type="hidden" name="line" value=(line.number);,
                    lines => {
                        label for="write-line" { "From" } " "
                        select #write-line name="line" { @for line in lines { option value=(line.number) { (line.number) } } } " "
                    }
                }
                @match to {
                    Some(to) => input type="hidden" name="number" value=(to);,
                    None => {
                        label for="write-number" { "To the number" } " "
                        input #write-number name="number" inputmode="numeric" pattern="[0-9]+" required autocomplete="off";
                    }
                }
                p { label for="write-text" { "Text" } br; textarea #write-text name="text" rows="3" maxlength="6480" required {} }
                button type="submit" { "Send" }
            }
            div #written data-live {
                @for text in written {
                    p.quiet { (arrow(CallWay::Out)) " " (context.who(text.to)) " " (at(text.at)) ": "
                        @match text.fate {
                            TextFate::Underway => "on its way",
                            TextFate::Posted => "a relay keeps it for the other side",
                            TextFate::Refused => "not sent, because no relay took it: write it again",
                        }
                    }
                }
            }
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
                        th scope="col" { "Talked" } th scope="col" { "Sound" } th scope="col" { span.unseen { "Call or block" } }
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
            td { @if let Some(quality) = &call.quality { (sound(quality)) } }
            td { (buttons(context, call)) }
        }
    }
}

/// The score of a call, and what it is made of.
fn sound(quality: &CallQuality) -> Markup {
    let percent = |thousandths: u16| format!("{:.1} %", f64::from(thousandths) / 10.0);
    html! {
        (format!("{:.1}", f64::from(quality.mos) / 100.0)) " of 4.5"
        @if let Some((phone, carried)) = quality.codecs { br; span.quiet { (home::codecs(phone, carried)) } }
        @if quality.lost > 0 {
            br; span.quiet {
                (percent(quality.lost)) " lost on the way, " (percent(quality.repaired)) " repaired, "
                (percent(quality.concealed)) " imitated, " (percent(quality.missed())) " missed; buffer " (quality.delay) " ms"
            }
        }
    }
}

/// Only at the number's latest call, where a user looks for them.
fn buttons(context: &PageContext<'_>, call: &PastCall) -> Markup {
    let of_number = |other: &&PastCall| other.number == call.number && other.line == call.line;
    let calls = || {
        context
            .snapshot
            .saved_state
            .calls
            .iter()
            .rev()
            .filter(of_number)
    };
    let is_latest = calls().next() == Some(call);
    let is_latest_in = calls().find(|other| other.way == CallWay::In) == Some(call);
    html! {
        @if is_latest { (home::call(context, call.line, call.number, "/calls")) " " }
        @if is_latest_in { (block(context, call.line, call.number, "/calls")) }
    }
}
