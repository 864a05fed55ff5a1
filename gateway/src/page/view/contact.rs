//! Contacts: the key that each number stands for, safety numbers to compare, and the user's decisions.

use maud::{Markup, html};
use ringfence_book::Number;
use ringfence_engine::trust::contacts::{Contact, OtherKey, ShownBy};
use ringfence_engine::trust::safety_number::{SafetyNumber, SafetyNumberParty};

use super::calls::writing;
use super::home::{block, call};
use super::{PageContext, sheet};
use crate::calendar::day_text;
use crate::page::qr;

/// The list of contacts, and the evidence.
pub(in crate::page) fn contacts(context: &PageContext<'_>) -> String {
    let body = html! {
        section aria-label="Contacts" {
            @if context.snapshot.contacts.iter().next().is_none() {
                p { "No contact yet. A number becomes one when a call with it is answered, or when you add it." }
            } @else {
                div.wide { table {
                    thead { tr { th scope="col" { "Number" } th scope="col" { "Name" } th scope="col" { "Known since" } th scope="col" { "Key" } th scope="col" { span.unseen { "Call" } } } }
                    tbody { @for contact in context.snapshot.contacts.iter() { (row(context, contact)) } }
                } }
            }
        }
        section aria-labelledby="add-title" {
            h2 #add-title { "Add a contact" }
            p.quiet { "This pins the key that the phone book lists today. If the person gets the number only later, calls with it are refused until you accept the new key." }
            form method="post" action="/contacts/add" {
                label for="add-number" { "Number" } input #add-number name="number" inputmode="numeric" pattern="[0-9]+" required autocomplete="off";
                label for="add-name" { "Name" } input #add-name name="name" maxlength="64" autocomplete="off";
                button type="submit" { "Add" }
            }
        }
        (evidence(context))
    };
    sheet(context, "/contacts", "Contacts", &body)
}

fn row(context: &PageContext<'_>, contact: &Contact) -> Markup {
    let mut lines = context.snapshot.lines.iter();
    let line = lines.find(|line| !line.phones.is_empty());
    html! {
        tr {
            th scope="row" { a.number href={ "/contacts/" (contact.number) } { (contact.number) } }
            td { @if let Some(name) = &contact.name { bdi { (name) } } @else { span.quiet { "no name" } } }
            td { (day_text(contact.since)) }
            td { (mark(contact)) }
            td { @if let Some(line) = line { (call(context, line.number, contact.number, "/")) } }
        }
    }
}

fn mark(contact: &Contact) -> Markup {
    html! {
        @if contact.other.is_some() { span.mark.bad { "changed" } }
        @else if contact.verified { span.mark { "verified" } }
        @else { span.quiet { "not compared" } }
    }
}

fn evidence(context: &PageContext<'_>) -> Markup {
    html! {
        @if !context.evidence.is_empty() {
            section aria-labelledby="evidence-title" {
                h2 #evidence-title { "Evidence against the phone book" }
                p { "Each file is a proof that stands on its own. Show it to the phone book's operator and to others who use it, and trust no number that you have not verified." }
                ul { @for file in context.evidence { li { (day_text(file.day)) ": " (file.says) br; code { (file.path.display()) } } } }
            }
        }
    }
}

/// The page of a contact.
pub(in crate::page) fn contact(context: &PageContext<'_>, contact: &Contact) -> String {
    let number = contact.number;
    let title = contact
        .name
        .as_ref()
        .map_or_else(|| number.to_string(), |name| format!("{name} ({number})"));
    let body = html! {
        @if let Some(other) = contact.other { (changed(contact, other)) }
        section #calling aria-labelledby="call-title" data-live {
            h2 #call-title { "Call" }
            p.quiet { "Your phone rings first. When you pick it up, the other side is called." }
            @if context.snapshot.lines.iter().all(|line| line.phones.is_empty()) { p { "No phone is registered." } }
            @for line in &context.snapshot.lines { div.row { (call(context, line.number, number, "/")) " from line " (context.own(line.number)) } }
        }
        (writing(context, Some(number), &format!("/contacts/{number}")))
        section aria-labelledby="safety-title" {
            h2 #safety-title { "Safety number " (mark(contact)) }
            p { "The other end shows the same sixty digits, unless the connection is intercepted. Compare them by voice or in person. Any program that reads such codes, on a mobile phone too, shows the digits of the other side's code." }
            @for line in &context.snapshot.lines {
                (safety((line.number, &line.identity), contact, context.snapshot.lines.len() > 1))
            }
            @if contact.verified {
                (decide(number, "unverify", "Remove the mark"))
            } @else {
                (decide(number, "verify", "They match: mark as verified"))
            }
        }
        section aria-labelledby="name-title" {
            h2 #name-title { "Name" }
            form method="post" action={ "/contacts/" (number) "/edit" } {
                input type="hidden" name="act" value="name";
                label for="name" { "Phones show this name when the contact calls" }
                input #name name="name" maxlength="64" autocomplete="off" value=[contact.name.as_deref()];
                button type="submit" { "Save" }
            }
        }
        section #blocking aria-labelledby="block-title" data-live {
            h2 #block-title { "Calls and texts from it" }
            @for line in &context.snapshot.lines {
                div.row { "On line " (context.own(line.number)) ": "
                    @if context.snapshot.saved_state.is_blocked(line.number, number) { "blocked " } @else { "allowed " }
                    (block(context, line.number, number, &format!("/contacts/{number}"))) }
            }
        }
        section aria-labelledby="forget-title" {
            h2 #forget-title { "Forget" }
            p { "The number's key is forgotten. The next answered call pins the key that the number has then." }
            (decide(number, "remove", "Forget this contact"))
        }
    };
    sheet(context, "/contacts", &title, &body)
}

fn safety(
    (line, identity): (Number, &ringfence_book::IdentityKey),
    contact: &Contact,
    named: bool,
) -> Markup {
    let own = SafetyNumberParty {
        number: line,
        identity,
    };
    let other = SafetyNumberParty {
        number: contact.number,
        identity: &contact.identity,
    };
    let digits = SafetyNumber::of(own, other);
    let text = digits.to_string();
    html! {
        div.safety {
            @if named { p { "With your line " span.number { (line) } } }
            p.digits { @for group in text.split(' ') { span { (group) } " " } }
            @if let Some(image) = qr::image(digits.digits(), "The safety number as a code to scan") { (image) }
        }
    }
}

fn changed(contact: &Contact, other: OtherKey) -> Markup {
    let shown = match other.shown_by {
        ShownBy::Book => "the phone book lists it with another key",
        ShownBy::Ring => "a call from it came with another key",
    };
    html! {
        p.warning.grave {
            strong { "The key has changed: since " (day_text(other.since)) " " (shown) ". Calls with it are refused." }
            " Either the person has a new line, or the connection is being intercepted. Ask the person in another way. "
            a href={ "/contacts/" (contact.number) "/accept" } { "I have asked: show the new key" }
        }
    }
}

/// The page on which the user accepts another key.
pub(in crate::page) fn accept(
    context: &PageContext<'_>,
    contact: &Contact,
    other: OtherKey,
) -> String {
    let number = contact.number;
    let key = hex::encode(other.identity.as_bytes());
    let body = html! {
        p.warning.grave { strong { "This makes " (number) " stand for another key." }
            " If the connection is being intercepted, accepting lets the attacker in. Accept only if the person told you, in another way than over this number, that they have a new line." }
        form method="post" action={ "/contacts/" (number) "/edit" } {
            input type="hidden" name="act" value="accept";
            input type="hidden" name="identity" value=(key);
            p { input #sure type="checkbox" name="sure" value="yes" required; " "
                label for="sure" { "I have asked the person in another way, and they have a new key" } }
            button.bad type="submit" { "Accept the new key" }
            " " a href={ "/contacts/" (number) } { "No, go back" }
        }
        section aria-labelledby="new-title" {
            h2 #new-title { "The safety number with the new key" }
            @for line in &context.snapshot.lines {
                (safety((line.number, &line.identity), &Contact { identity: other.identity, ..contact.clone() }, true))
            }
        }
    };
    sheet(
        context,
        "/contacts",
        &format!("Another key for {number}"),
        &body,
    )
}

fn decide(number: Number, act: &str, words: &str) -> Markup {
    html! {
        form.inline method="post" action={ "/contacts/" (number) "/edit" } {
            input type="hidden" name="act" value=(act);
            button type="submit" { (words) }
        }
    }
}
