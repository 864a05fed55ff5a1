//! The page of a line: its phones, its settings, and how to set up a phone.

use maud::{Markup, html};
use ringfence_book::Number;

use super::home::{contacts_only, switch};
use super::{LineButton, PageContext, sheet};
use crate::page::qr;
use crate::provisioning::registrar::LineAccount;
use crate::provisioning::{PhoneKind, PhoneLocation, PhoneTransport, SetupRequest};
use crate::stats::snapshot::LineSnapshot;

/// The page of a line.
pub(crate) fn line(context: &PageContext<'_>, line: &LineSnapshot, own: &LineAccount) -> String {
    let number = line.number;
    let body = html! {
        section #phones aria-labelledby="phones-title" data-live {
            h2 #phones-title { "Phones" }
            @if line.phones.is_empty() { p { "No phone is registered." } }
            ul { @for phone in &line.phones { li { (phone.transport) " " span.number { (phone.address) } } } }
        }
        section #settings aria-labelledby="settings-title" data-live {
            h2 #settings-title { "Do not disturb" }
            div.row { (switch(context, line, &format!("/lines/{number}"))) " No phone of the line rings; calls count as missed." }
            h2 { "Contacts only" }
            div.row { (contacts_only(context, line, &format!("/lines/{number}"))) " Phones ring for contacts, and for numbers that this line called; calls of others are listed." }
            (blocked(context, number))
        }
        (link_form(context, number))
        (by_hand(context, own))
        (files(context, number))
    };
    sheet(context, "", &title(own), &body)
}

fn title(own: &LineAccount) -> String {
    own.name.as_ref().map_or_else(
        || format!("Line {}", own.number),
        |name| format!("Line {} ({name})", own.number),
    )
}

fn blocked(context: &PageContext<'_>, number: Number) -> Markup {
    let settings = context.snapshot.saved_state.settings.get(&number);
    let blocked = settings.map_or(&[][..], |settings| &settings.blocked);
    html! {
        h3 { "Blocked numbers" }
        @if blocked.is_empty() { p.quiet { "None." } }
        ul { @for other in blocked { li {
            (context.who(*other)) " "
            (LineButton { line: number, act: "unblock", field: Some(("number", &other.to_string())), back: &format!("/lines/{number}"),
                id: &format!("unblock-{other}"), words: "Unblock", about: &other.to_string() }.form())
        } } }
        form.inline method="post" action={ "/lines/" (number) "/command" } {
            input type="hidden" name="act" value="block";
            input type="hidden" name="back" value={ "/lines/" (number) };
            label for="block-number" { "Block a number" } " "
            input #block-number name="number" inputmode="numeric" pattern="[0-9]+" required autocomplete="off";
            button type="submit" { "Block" }
        }
    }
}

/// The locations of phones at which the engine listens.
fn places(context: &PageContext<'_>) -> Vec<PhoneLocation> {
    let has = |location: &PhoneLocation| {
        PhoneTransport::ALL
            .into_iter()
            .any(|transport| context.registrar.server(*location, transport).is_some())
    };
    let lan = context.registrar.lan.map(|_| PhoneLocation::Lan);
    [Some(PhoneLocation::Here), lan]
        .into_iter()
        .flatten()
        .filter(has)
        .collect()
}

fn link_form(context: &PageContext<'_>, number: Number) -> Markup {
    html! {
        section aria-labelledby="link-title" {
            h2 #link-title { "Set up Linphone with a link" }
            p { "Makes a link that works once, within ten minutes, for Linphone's " em { "Fetch remote configuration" } ". Nothing needs to be typed." }
            form method="post" action={ "/lines/" (number) "/provision" } {
                @for location in places(context) {
                    button type="submit" name="from" value=(location.word()) {
                        @match location { PhoneLocation::Here => "For a Linphone on this machine", PhoneLocation::Lan => "For a Linphone on this network" }
                    }
                    " "
                }
            }
        }
    }
}

fn by_hand(context: &PageContext<'_>, own: &LineAccount) -> Markup {
    let account = &own.account;
    let first = places(context)
        .into_iter()
        .next()
        .unwrap_or(PhoneLocation::Here);
    let server = |transport| {
        context
            .registrar
            .server(first, transport)
            .map_or_else(|| "-".to_owned(), |at| at.to_string())
    };
    html! {
        section aria-labelledby="hand-title" {
            h2 #hand-title { "Settings to type" }
            details {
                summary { "Show the SIP account with its password" }
                dl.account {
                    @for (name, value) in [
                        ("Server, UDP", server(PhoneTransport::Udp)), ("Server, TCP", server(PhoneTransport::Tcp)), ("Server, TLS", server(PhoneTransport::Tls)),
                        ("User", account.user.clone()), ("Password", account.password.expose().to_owned()),
                        ("Mailbox", "*97".to_owned()),
                    ] { div { dt { (name) } dd { code { (value) } button.copy type="button" hidden data-copy=(value) aria-label={ "Copy: " (name) } { "Copy" } } } }
                }
                p.quiet { "No STUN, no ICE, no outbound proxy. The phone shows missed calls if it subscribes to message-summary." }
            }
        }
    }
}

fn files(context: &PageContext<'_>, number: Number) -> Markup {
    html! {
        section aria-labelledby="files-title" {
            h2 #files-title { "Settings as a file" }
            p { "The file contains the line's password: keep it private." }
            form method="get" action={ "/lines/" (number) "/file" } {
                label for="phone" { "Phone" } " "
                select #phone name="phone" { @for model in PhoneKind::ALL { option value=(model.word()) { (model.title()) } } } " "
                label for="from" { "Where" } " "
                select #from name="from" { @for location in places(context) {
                    option value=(location.word()) { @match location { PhoneLocation::Here => "this machine", PhoneLocation::Lan => "this network" } }
                } } " "
                label for="wire" { "Over" } " "
                select #wire name="wire" { @for transport in PhoneTransport::ALL { option value=(transport.word()) selected[transport == PhoneTransport::Tls] { (transport.word().to_uppercase()) } } } " "
                button type="submit" { "Save the file" }
            }
        }
    }
}

/// The page that shows a new link.
pub(crate) fn link(
    context: &PageContext<'_>,
    own: &LineAccount,
    request: &SetupRequest,
    url: &str,
) -> String {
    let unchecked = request.location == PhoneLocation::Lan
        && request.transport == PhoneTransport::Tls
        && context.registrar.certificate.is_none();
    let body = html! {
        p { "Works once, within ten minutes. It gives access to the line: show it to no one else." }
        // A Linphone on this machine has no camera that sees this screen.
        @if request.location == PhoneLocation::Lan {
            @if let Some(image) = qr::image(url, "The link as a code to scan") { (image) }
        }
        p.link { code #link-text { (url) } " " button.copy type="button" hidden data-copy=(url) { "Copy" } }
        ol {
            li { "In Linphone open the assistant. Linphone on a computer first asks to accept the terms of its maker." }
            li { "Choose " em { "Fetch remote configuration" } " and paste the link" @if request.location == PhoneLocation::Lan { ", or scan the code" } "." }
            li { "Let Linphone start again, as it asks: it fetches the settings then, and registers." }
        }
        @if unchecked {
            p.warning { strong { "Note: " } "Linphone does not know this engine's certificate authority and will not check its certificate. This protects against eavesdropping, but not against an attacker who intercepts the connection. Set sip.certificate to a certificate that phones trust to be protected from both." }
        }
        p { a href={ "/lines/" (own.number) } { "Back to the line" } }
    };
    sheet(
        context,
        "",
        &format!("Set up Linphone for line {}", own.number),
        &body,
    )
}
