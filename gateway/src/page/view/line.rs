//! One line: its phones, what it wants, and how to set up a phone.

use maud::{Markup, html};
use ringfence_phonebook::Number;

use super::home::switch;
use crate::page::qr::code;
use super::{Button, Scene, sheet};
use crate::provisioning::registrar::BoardLine;
use crate::provisioning::{Model, Order, Place, Wire};
use crate::stats::snapshot::LineSnapshot;

/// A line.
pub(in crate::page) fn line(scene: &Scene<'_>, line: &LineSnapshot, own: &BoardLine) -> String {
    let number = line.number;
    let body = html! {
        section #phones aria-labelledby="phones-title" data-live {
            h2 #phones-title { "Phones" }
            @if line.phones.is_empty() { p { "No phone is registered." } }
            ul { @for phone in &line.phones { li { (phone.transport) " " span.number { (phone.address) } } } }
        }
        section #wishes aria-labelledby="wishes-title" data-live {
            h2 #wishes-title { "Do not disturb" }
            div.row { (switch(scene, line, &format!("/lines/{number}"))) " No phone of the line rings; calls count as missed." }
            (blocked(scene, number))
        }
        (link_form(scene, number))
        (by_hand(scene, own))
        (files(scene, number))
    };
    sheet(scene, "", &title(own), &body)
}

fn title(own: &BoardLine) -> String {
    own.name.as_ref().map_or_else(
        || format!("Line {}", own.number),
        |name| format!("Line {} ({name})", own.number),
    )
}

fn blocked(scene: &Scene<'_>, number: Number) -> Markup {
    let habits = scene.picture.ledger.habits.get(&number);
    let blocked = habits.map_or(&[][..], |habits| &habits.blocked);
    html! {
        h3 { "Blocked numbers" }
        @if blocked.is_empty() { p.quiet { "None." } }
        ul { @for other in blocked { li {
            (scene.who(*other)) " "
            (Button { line: number, act: "unblock", field: Some(("number", &other.to_string())), back: &format!("/lines/{number}"),
                id: &format!("unblock-{other}"), words: "Unblock", about: &other.to_string() }.form())
        } } }
        form.inline method="post" action={ "/lines/" (number) "/wish" } {
            input type="hidden" name="act" value="block";
            input type="hidden" name="back" value={ "/lines/" (number) };
            label for="block-number" { "Block a number" } " "
            input #block-number name="number" inputmode="numeric" pattern="[0-9]+" required autocomplete="off";
            button type="submit" { "Block" }
        }
    }
}

/// Places in which there is something to register at.
fn places(scene: &Scene<'_>) -> Vec<Place> {
    let has = |place: &Place| {
        Wire::ALL
            .into_iter()
            .any(|wire| scene.board.server(*place, wire).is_some())
    };
    let lan = scene.board.lan.map(|_| Place::Lan);
    [Some(Place::Here), lan]
        .into_iter()
        .flatten()
        .filter(has)
        .collect()
}

fn link_form(scene: &Scene<'_>, number: Number) -> Markup {
    html! {
        section aria-labelledby="link-title" {
            h2 #link-title { "Set up Linphone with a code" }
            p { "Makes a link that is good once, for ten minutes. Linphone: Assistant, " em { "Fetch remote configuration" } ", then scan the code or paste the link. Nothing is typed." }
            form method="post" action={ "/lines/" (number) "/provision" } {
                @for place in places(scene) {
                    button type="submit" name="from" value=(place.word()) {
                        @match place { Place::Here => "For a Linphone on this machine", Place::Lan => "For a Linphone on this network" }
                    }
                    " "
                }
            }
        }
    }
}

fn by_hand(scene: &Scene<'_>, own: &BoardLine) -> Markup {
    let account = &own.account;
    let first = places(scene).into_iter().next().unwrap_or(Place::Here);
    let server = |wire| {
        scene
            .board
            .server(first, wire)
            .map_or_else(|| "-".to_owned(), |at| at.to_string())
    };
    html! {
        section aria-labelledby="hand-title" {
            h2 #hand-title { "Settings to type" }
            details {
                summary { "Show the SIP account with its password" }
                dl.account {
                    @for (name, value) in [
                        ("Server, UDP", server(Wire::Udp)), ("Server, TCP", server(Wire::Tcp)), ("Server, TLS", server(Wire::Tls)),
                        ("User", account.user.clone()), ("Password", account.password.expose().to_owned()),
                        ("Mailbox", "*97".to_owned()),
                    ] { div { dt { (name) } dd { code { (value) } button.copy type="button" hidden data-copy=(value) aria-label={ "Copy: " (name) } { "Copy" } } } }
                }
                p.quiet { "No STUN, no ICE, no outbound proxy. The display shows missed calls when the phone subscribes to message-summary." }
            }
        }
    }
}

fn files(scene: &Scene<'_>, number: Number) -> Markup {
    html! {
        section aria-labelledby="files-title" {
            h2 #files-title { "Settings as a file" }
            p { "With the password of the line: keep such a file to yourself." }
            form method="get" action={ "/lines/" (number) "/file" } {
                label for="phone" { "Phone" } " "
                select #phone name="phone" { @for model in Model::ALL { option value=(model.word()) { (model.title()) } } } " "
                label for="from" { "Where" } " "
                select #from name="from" { @for place in places(scene) {
                    option value=(place.word()) { @match place { Place::Here => "this machine", Place::Lan => "this network" } }
                } } " "
                label for="wire" { "Over" } " "
                select #wire name="wire" { @for wire in Wire::ALL { option value=(wire.word()) selected[wire == Wire::Tls] { (wire.word().to_uppercase()) } } } " "
                button type="submit" { "Save the file" }
            }
        }
    }
}

/// The page of a new link.
pub(in crate::page) fn link(
    scene: &Scene<'_>,
    own: &BoardLine,
    order: &Order,
    url: &str,
) -> String {
    let unchecked =
        order.place == Place::Lan && order.wire == Wire::Tls && scene.board.certificate.is_none();
    let body = html! {
        p { "Good once, for ten minutes. Whoever opens it can use the line: show it to nobody else." }
        @if let Some(picture) = code(url, "The link as a code to scan") { (picture) }
        p.link { code #link-text { (url) } " " button.copy type="button" hidden data-copy=(url) { "Copy" } }
        p { "In Linphone: Assistant, " em { "Fetch remote configuration" } "." }
        @if unchecked {
            p.warning { strong { "Note: " } "Linphone does not know this engine's certificate authority and will not check it: what it says is hidden from whoever listens, not from whoever stands in between. Set sip.certificate to a certificate that phones trust to have that too." }
        }
        p { a href={ "/lines/" (own.number) } { "Back to the line" } }
    };
    sheet(
        scene,
        "",
        &format!("Set up Linphone for line {}", own.number),
        &body,
    )
}
