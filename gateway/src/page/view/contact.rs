//! The contacts: whose key each number stands for, safety numbers to compare, and what the user decides.

use maud::{Markup, html};
use ringfence_engine::trust::contacts::{Contact, OtherKey, ShownBy};
use ringfence_engine::trust::safety_number::{Party, SafetyNumber};
use ringfence_phonebook::Number;

use super::home::block;
use crate::page::qr::code;
use super::{Scene, sheet};
use crate::calendar::day_text;

/// All of them, and the evidence.
pub(in crate::page) fn contacts(scene: &Scene<'_>) -> String {
    let body = html! {
        section aria-label="Contacts" {
            @if scene.picture.contacts.iter().next().is_none() {
                p { "No contact yet. A number becomes one when a call with it is answered." }
            } @else {
                div.wide { table {
                    thead { tr { th scope="col" { "Number" } th scope="col" { "Name" } th scope="col" { "Known since" } th scope="col" { "Key" } } }
                    tbody { @for contact in scene.picture.contacts.iter() { (row(contact)) } }
                } }
            }
        }
        (evidence(scene))
    };
    sheet(scene, "/contacts", "Contacts", &body)
}

fn row(contact: &Contact) -> Markup {
    html! {
        tr {
            th scope="row" { a.number href={ "/contacts/" (contact.number) } { (contact.number) } }
            td { @if let Some(name) = &contact.name { bdi { (name) } } @else { span.quiet { "no name" } } }
            td { (day_text(contact.since)) }
            td { (mark(contact)) }
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

fn evidence(scene: &Scene<'_>) -> Markup {
    html! {
        @if !scene.evidence.is_empty() {
            section aria-labelledby="evidence-title" {
                h2 #evidence-title { "Evidence against the phone book" }
                p { "Each file is proof by itself. Show it to the operator of the phone book and to others who use it, and trust no number that you have not verified." }
                ul { @for file in scene.evidence { li { (day_text(file.day)) ": " (file.says) br; code { (file.path.display()) } } } }
            }
        }
    }
}

/// One contact.
pub(in crate::page) fn contact(scene: &Scene<'_>, contact: &Contact) -> String {
    let number = contact.number;
    let title = contact
        .name
        .as_ref()
        .map_or_else(|| number.to_string(), |name| format!("{name} ({number})"));
    let body = html! {
        @if let Some(other) = contact.other { (changed(contact, other)) }
        section aria-labelledby="safety-title" {
            h2 #safety-title { "Safety number " (mark(contact)) }
            p { "The other side sees the same sixty digits, if nobody stands between you. Compare them by voice or in person, or scan the code with the other's page open." }
            @for line in &scene.picture.lines {
                (safety((line.number, &line.identity), contact, scene.picture.lines.len() > 1))
            }
            @if contact.verified {
                (decide(number, "unverify", "Take the mark back"))
            } @else {
                (decide(number, "verify", "They are the same: mark as verified"))
            }
        }
        section aria-labelledby="name-title" {
            h2 #name-title { "Name" }
            form method="post" action={ "/contacts/" (number) "/edit" } {
                input type="hidden" name="act" value="name";
                label for="name" { "What phones show when it rings" }
                input #name name="name" maxlength="64" autocomplete="off" value=[contact.name.as_deref()];
                button type="submit" { "Save" }
            }
        }
        section #blocking aria-labelledby="block-title" data-live {
            h2 #block-title { "Calls and texts from it" }
            @for line in &scene.picture.lines {
                div.row { "On line " (scene.own(line.number)) ": "
                    @if scene.picture.ledger.is_blocked(line.number, number) { "blocked " } @else { "welcome " }
                    (block(scene, line.number, number, &format!("/contacts/{number}"))) }
            }
        }
        section aria-labelledby="forget-title" {
            h2 #forget-title { "Forget" }
            p { "The number's key is forgotten; the next answered call pins whatever key it then has." }
            (decide(number, "remove", "Forget this contact"))
        }
    };
    sheet(scene, "/contacts", &title, &body)
}

fn safety(
    (line, identity): (Number, &ringfence_phonebook::IdentityKey),
    contact: &Contact,
    named: bool,
) -> Markup {
    let own = Party {
        number: line,
        identity,
    };
    let other = Party {
        number: contact.number,
        identity: &contact.identity,
    };
    let digits = SafetyNumber::of(own, other);
    let text = digits.to_string();
    html! {
        div.safety {
            @if named { p { "With your line " span.number { (line) } } }
            p.digits { @for group in text.split(' ') { span { (group) } " " } }
            @if let Some(picture) = code(digits.digits(), "The safety number as a code to scan") { (picture) }
        }
    }
}

fn changed(contact: &Contact, other: OtherKey) -> Markup {
    let shown = match other.shown_by {
        ShownBy::Book => "the phone book lists it with another key",
        ShownBy::Ring => "somebody rang from it with another key",
    };
    html! {
        p.warning.grave {
            strong { "The key has changed: since " (day_text(other.since)) " " (shown) ". Calls with it are refused." }
            " Either the person has a new phone line, or somebody stands between you. Ask the person by another way. "
            a href={ "/contacts/" (contact.number) "/accept" } { "I have asked: look at the new key" }
        }
    }
}

/// The step before another key is trusted.
pub(in crate::page) fn accept(scene: &Scene<'_>, contact: &Contact, other: OtherKey) -> String {
    let number = contact.number;
    let key = hex::encode(other.identity.as_bytes());
    let body = html! {
        p.warning.grave { strong { "From now on " (number) " would stand for another key." }
            " If somebody stands between you, this is the moment that they wait for. Accept only if the person told you, by another way than this number, that they have a new line." }
        form method="post" action={ "/contacts/" (number) "/edit" } {
            input type="hidden" name="act" value="accept";
            input type="hidden" name="identity" value=(key);
            p { input #sure type="checkbox" name="sure" value="yes" required; " "
                label for="sure" { "I have asked the person by another way, and they have a new key" } }
            button.bad type="submit" { "Accept the new key" }
            " " a href={ "/contacts/" (number) } { "No, go back" }
        }
        section aria-labelledby="new-title" {
            h2 #new-title { "The safety number with the new key" }
            @for line in &scene.picture.lines {
                (safety((line.number, &line.identity), &Contact { identity: other.identity, ..contact.clone() }, true))
            }
        }
    };
    sheet(
        scene,
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
