//! The help: feature codes, plots, safety numbers, and the words that the page uses.

use maud::html;
use ringfence_engine::line::feature_codes::FEATURE_CODES;

use super::{PageContext, sheet};

/// The words of the page that a user may not know.
const WORDS: [(&str, &str); 9] = [
    (
        "line",
        "one of your numbers, with its keys and its account for phones",
    ),
    (
        "phone book",
        "the list of all numbers and their public keys; this machine has a copy of all of it, so that no server learns whom you look up",
    ),
    (
        "epoch",
        "a minute of the phone book: what has changed is published at its end, so a new number can be called within two minutes",
    ),
    (
        "Nostr relay",
        "a server that passes sealed messages on: that a call wants to begin, and texts; it cannot read them and does not see for whom they are",
    ),
    (
        "TURN server",
        "a server that carries the encrypted sound, so that neither side learns the other's address",
    ),
    (
        "allocation",
        "the address that a TURN server lends to this machine for a call; one is kept ready",
    ),
    (
        "contact, pinned key",
        "a number whose key this machine holds fast: a call with another key is refused until you accept that",
    ),
    (
        "safety number",
        "sixty digits that both of you see, unless the connection is intercepted",
    ),
    (
        "stranger",
        "a number that is no contact, and that you have not called within seven days",
    ),
];

/// The help.
pub(in crate::page) fn help(context: &PageContext<'_>) -> String {
    let body = html! {
        section aria-labelledby="codes-title" {
            h2 #codes-title { "What a phone can dial" }
            p { "Dial a number, or one of these feature codes. A code that worked is answered with two beeps (on a phone that has G.711), and a text says what was done. One that did not work is refused, with a phrase that the display shows." }
            div.wide { table {
                thead { tr { th scope="col" { "Dial" } th scope="col" { "What it does" } } }
                tbody { @for code in FEATURE_CODES { tr { th scope="row" { code { (code.digits) } } td { (code.does) } } } }
            } }
        }
        section aria-labelledby="curves-title" {
            h2 #curves-title { "What the plots mean" }
            p { "Each call, also a past one, names the codec of the phone here. Where the two phones share none, the engine of the called one transcodes, which costs it some work and a little of the sound." }
            p { "Each call shows its last five minutes, second by second. " em { "Heard" } " is what the phone here receives, " em { "said" } " what it sends. "
                "Lost is what the phone missed, or heard an imitation of; before repair is what the way lost, most of which the other engine's next packets bring again, for a delay of up to 80 ms while it lasts. "
                "Jitter is how irregularly packets arrive (RFC 3550). Quality is an estimate by the E-model (ITU-T G.107): 4.4 is the best for telephony, below 3.6 many users are dissatisfied. The delay of the network is unknown and not counted." }
        }
        section aria-labelledby="keys-title" {
            h2 #keys-title { "Whom you talk with" }
            p { "A number's key is pinned when a call with it is first answered. Compare the safety number once, by voice or in person: both of you see the same sixty digits, unless the connection is intercepted. If the number later has another key, calls with it are refused until you accept the new key." }
        }
        section aria-labelledby="words-title" {
            h2 #words-title { "Words" }
            dl.words { @for (word, meaning) in WORDS { div { dt { (word) } dd { (meaning) } } } }
        }
    };
    sheet(context, "/help", "Help", &body)
}
