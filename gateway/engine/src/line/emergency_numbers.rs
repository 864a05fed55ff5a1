//! Emergency numbers: no call through this engine reaches an emergency service, and a person who dials one must see that at once.
//!
//! They are refused before everything else that may refuse a call, and before the phone book, which might list the same digits: with
//! 503, after which a phone with a second account may try that one (RFC 3261 section 21.5.4), and with words. The words begin with what
//! to do, since small displays show 16 characters. Softphones that replace the phrase by their own get the same as a text.
//!
//! A phone's emergency key may dial `urn:service:sos` in place of digits (RFC 5031 section 4.2), or one of its kinds, as
//! `urn:service:sos.fire`: the same.

use std::time::Instant;

use ringfence_sip as sip;

use super::feature_codes::announce;
use crate::environment::Environment;

/// What a display shows: two lines of 20 characters.
const PHRASE: &str = "Use other phone: no emergency calls here";

/// The emergency service of RFC 5031, whose kinds follow after a full stop.
const SERVICE: &str = "sos";

/// The status of the refusal, also for a text and a transfer.
pub(crate) const STATUS: u16 = 503;

/// Whether these digits are an emergency number. A phone may send separators and parameters with them (RFC 3966 section 3).
pub(crate) fn is_emergency(dialled: &str, numbers: &[String]) -> bool {
    let digits = dialled.split(';').next().unwrap_or_default();
    let service = digits.split('.').next().unwrap_or_default();
    if service.eq_ignore_ascii_case(SERVICE) {
        return true;
    }
    let digits = digits.bytes().filter(|sign| !b"-.() ".contains(sign));
    numbers
        .iter()
        .any(|number| number.bytes().eq(digits.clone()))
}

/// Refuses the call of a line's phone to an emergency number.
pub(crate) fn refuse(
    (line, leg): (usize, sip::LegId),
    dialled: &str,
    env: &mut Environment,
    now: Instant,
) {
    let refusal = sip::Refusal {
        status: STATUS,
        text: PHRASE,
    };
    env.agent.refuse_with(leg, refusal, now);
    announce(line, dialled, format!("{PHRASE}."), env, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_recognised_however_a_phone_writes_them() {
        let numbers = ["112".to_owned(), "911".to_owned()];
        for dialled in ["112", "911", "1-1-2", "112;phone-context=+49", "1 12"] {
            assert!(is_emergency(dialled, &numbers), "{dialled}");
        }
        for dialled in ["", "11", "1121", "20112", "*112", "112a", "999", ";112"] {
            assert!(!is_emergency(dialled, &numbers), "{dialled}");
        }
        assert!(!is_emergency("112", &[]));
        for dialled in ["sos", "SOS.fire", "sos.police;x=y"] {
            assert!(is_emergency(dialled, &[]), "{dialled}");
        }
        for dialled in ["soso", "counseling.sos", "s"] {
            assert!(!is_emergency(dialled, &numbers), "{dialled}");
        }
    }

    #[test]
    fn a_small_display_says_what_to_do_first() {
        assert_eq!(&PHRASE[..16], "Use other phone:");
        assert_eq!((&PHRASE[20..], PHRASE.len()), ("emergency calls here", 40));
    }
}
