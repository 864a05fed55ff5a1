//! Prints contacts and safety numbers, as text and as JSON.

use ringfence_book::Number;
use ringfence_engine::trust::contacts::{Contact, Contacts, ShownBy};
use ringfence_engine::trust::safety_number::SafetyNumber;
use serde_json::{Value, json};

use crate::calendar::day_text;
use crate::cli::{CommandError, say};

pub(super) fn show(
    contacts: &Contacts,
    blocked: &[(Number, Number)],
    as_json: bool,
) -> Result<(), CommandError> {
    if as_json {
        let lines = |number| blocked.iter().filter(move |(_, other)| *other == number);
        let contact = |contact: &Contact| {
            let mut value = as_value(contact);
            let lines = lines(contact.number).map(|(line, _)| line.value());
            value["blocked_on"] = lines.collect();
            value
        };
        let list: Vec<Value> = contacts.iter().map(contact).collect();
        return say(&Value::from(list).to_string());
    }
    say(&table(contacts))?;
    for (line, number) in blocked {
        say(&format!("blocked    {number} on line {line}"))?;
    }
    Ok(())
}

fn as_value(contact: &Contact) -> Value {
    json!({
        "number": contact.number.value(),
        "name": contact.name,
        "identity": hex::encode(contact.identity.as_bytes()),
        "since": day_text(contact.since),
        "verified": contact.verified,
        "sees": contact.sees.iter().map(|line| line.value()).collect::<Vec<_>>(),
        "changed": contact.other.map(|other| json!({
            "identity": hex::encode(other.identity.as_bytes()),
            "since": day_text(other.since),
            "shown_by": source(other.shown_by),
        })),
    })
}

fn source(shown_by: ShownBy) -> &'static str {
    match shown_by {
        ShownBy::Book => "book",
        ShownBy::Ring => "ring",
    }
}

fn table(contacts: &Contacts) -> String {
    let lines: Vec<String> = contacts.iter().map(line).collect();
    if lines.is_empty() {
        return "There is no contact yet. A number becomes one when a call with it is answered."
            .to_owned();
    }
    lines.join("\n")
}

fn line(contact: &Contact) -> String {
    let name = contact.name.as_deref().unwrap_or("-");
    let verified = if contact.verified {
        "verified"
    } else {
        "not verified"
    };
    let mut text = format!(
        "{:<10} {name:<20} since {}  {verified}",
        contact.number,
        day_text(contact.since)
    );
    for own in &contact.sees {
        text.push_str(&format!(
            "\n           sees the presence of your line {own}"
        ));
    }
    if let Some(other) = contact.other {
        let shown = match other.shown_by {
            ShownBy::Book => "the phone book lists it with another",
            ShownBy::Ring => "a call from it came with another",
        };
        text.push_str(&format!(
            "\n           KEY CHANGED: since {} {shown}. Calls are refused. Ask the person in another way, then: ringfence contacts accept {}",
            day_text(other.since),
            contact.number
        ));
    }
    text
}

pub(super) fn show_safety(
    contact: &Contact,
    numbers: Vec<(Number, SafetyNumber)>,
    as_json: bool,
) -> Result<(), CommandError> {
    if as_json {
        let list: Vec<Value> = numbers
            .iter()
            .map(|(line, safety)| json!({ "line": line.value(), "safety_number": safety.digits() }))
            .collect();
        return say(&json!({ "number": contact.number.value(), "verified": contact.verified, "safety_numbers": list }).to_string());
    }
    let paragraphs: Vec<String> = numbers
        .iter()
        .map(|(line, safety)| format!("With your line {line}:\n\n{}", in_rows(safety)))
        .collect();
    say(&format!(
        "Safety number of {}\n\n{}\n\nCompare it with the other side, by voice in a call or in person: `ringfence contacts verify` prints the same there. If it is the same: ringfence contacts verify {} --yes",
        contact.number,
        paragraphs.join("\n\n"),
        contact.number
    ))
}

/// Three rows of four groups.
fn in_rows(safety: &SafetyNumber) -> String {
    let text = safety.to_string();
    let groups: Vec<&str> = text.split(' ').collect();
    let rows: Vec<String> = groups
        .chunks(4)
        .map(|row| format!("  {}", row.join(" ")))
        .collect();
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use ringfence_book::Day;
    use ringfence_engine::line::identity::Identity;
    use ringfence_engine::trust::contacts::{ContactUpdate, OtherKey};
    use ringfence_engine::trust::safety_number::SafetyNumberParty;

    use super::*;

    #[test]
    fn a_changed_key_is_shown_with_what_to_do() {
        let key = || Identity::generate(&mut rand::rng()).key();
        let (number, identity) = (Number::new(20_002), key());
        let mut contacts = Contacts::default();
        assert!(table(&contacts).contains("no contact"));
        let day = Day::new(20_416);
        contacts.learn(&ContactUpdate::Pin {
            number,
            identity,
            day,
        });
        contacts.name(number, "Bob").unwrap();
        let text = table(&contacts);
        assert!(text.contains("20002") && text.contains("Bob") && text.contains("2025-11-24"));
        assert!(text.contains("not verified") && !text.contains("CHANGED"));
        let key = OtherKey {
            identity: key(),
            since: day,
            shown_by: ShownBy::Book,
        };
        contacts.learn(&ContactUpdate::Other { number, key });
        assert!(table(&contacts).contains("ringfence contacts accept 20002"));
        let value = as_value(contacts.get(number).unwrap());
        assert_eq!(value["changed"]["shown_by"], "book");
    }

    #[test]
    fn sixty_digits_stand_in_three_rows() {
        let key = Identity::generate(&mut rand::rng()).key();
        let party = |number| SafetyNumberParty {
            number: Number::new(number),
            identity: &key,
        };
        let rows = in_rows(&SafetyNumber::of(party(1), party(2)));
        assert_eq!(rows.lines().count(), 3);
        assert_eq!(rows.split_whitespace().map(str::len).sum::<usize>(), 60);
    }

    #[test]
    fn a_contact_that_sees_a_line_is_shown_with_it() {
        let (number, own) = (Number::new(20_002), Number::new(24_440));
        let mut contacts = Contacts::default();
        contacts.learn(&ContactUpdate::Pin {
            number,
            identity: Identity::generate(&mut rand::rng()).key(),
            day: Day::new(20_416),
        });
        assert!(!table(&contacts).contains("24440"));
        contacts.share(number, own).unwrap();
        assert!(table(&contacts).contains("sees the presence of your line 24440"));
        let value = as_value(contacts.get(number).unwrap());
        assert_eq!(value["sees"], json!([24_440]));
    }
}
