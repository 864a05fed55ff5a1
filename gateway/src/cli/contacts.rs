//! `ringfence contacts`: whose key each number stands for, and what the user decides about it. Works beside a running engine, which
//! notices within seconds (see `keystore::contacts`).

use clap::{Args, Subcommand};
use ringfence_engine::contacts::{Contact, ContactFault, Contacts, ShownBy};
use ringfence_engine::identity::Identity;
use ringfence_engine::safety::{Party, SafetyNumber};
use ringfence_phonebook::{Day, Number};
use serde_json::{Value, json};

use super::{Failure, Place, passphrase, say};
use crate::assemble::AssembleFault;
use crate::calendar::day_text;
use crate::clock;
use crate::keystore::{ContactsFile, Keystore, LineFile};

#[derive(Debug, Args)]
pub(super) struct ContactsArgs {
    #[command(subcommand)]
    act: Option<Act>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the safety number that you and a contact share, to compare by voice or in person
    Verify {
        /// The contact
        number: Number,
        /// You have compared it: mark the contact as verified
        #[arg(long)]
        yes: bool,
    },
    /// Trust the other key that a contact's number was shown with
    Accept {
        /// The contact
        number: Number,
    },
    /// Name a contact; phones show the name when it rings
    Name {
        /// The contact
        number: Number,
        /// The name; an empty one takes the old one away
        name: String,
    },
    /// Let a contact see whether you are available, on the phone or not to be disturbed
    Share {
        /// The contact
        number: Number,
        /// Your line that it may see; needed when you have several
        #[arg(long)]
        line: Option<Number>,
    },
    /// Let a contact see nothing of that any more
    Unshare {
        /// The contact
        number: Number,
    },
    /// Forget a contact: the next answered call pins its key anew
    Remove {
        /// The contact
        number: Number,
    },
}

/// Runs the command.
pub(super) fn run(args: &ContactsArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    let secret = passphrase(&config, false)?;
    let mut file = ContactsFile::open(&config.state, secret.clone());
    let today = Day::of_unix(clock::unix_seconds());
    match &args.act {
        None => return show(&file.read()?, args.json),
        Some(Act::Verify { number, yes: false }) => {
            let contacts = file.read()?;
            let contact = contacts.get(*number).ok_or(ContactFault::Unknown)?;
            let lines = Keystore::look(&config.state, secret)?;
            let mut pairs = Vec::new();
            for line in lines {
                let identity = Identity::from_bytes(&line.identity)
                    .map_err(|_| AssembleFault::BadLine(line.number))?;
                pairs.push((Number::new(line.number), identity.key()));
            }
            let numbers = pairs.iter().map(|(number, identity)| {
                let (own, other) = (
                    Party {
                        number: *number,
                        identity,
                    },
                    Party {
                        number: contact.number,
                        identity: &contact.identity,
                    },
                );
                (*number, SafetyNumber::of(own, other))
            });
            return show_safety(contact, numbers.collect(), args.json);
        }
        Some(Act::Verify { number, yes: true }) => {
            file.edit(|contacts| contacts.verify(*number))?.1?
        }
        Some(Act::Accept { number }) => file.edit(|contacts| contacts.accept(*number, today))?.1?,
        Some(Act::Name { number, name }) => file.edit(|contacts| contacts.name(*number, name))?.1?,
        Some(Act::Share { number, line }) => {
            let own = own_line(&Keystore::look(&config.state, secret)?, *line)?;
            file.edit(|contacts| contacts.share(*number, own))?.1?;
        }
        Some(Act::Unshare { number }) => file.edit(|contacts| contacts.unshare(*number))?.1?,
        Some(Act::Remove { number }) => file.edit(|contacts| contacts.remove(*number))?.1?,
    }
    show(&file.read()?, args.json)
}

/// The line that was named, or the only one there is.
fn own_line(lines: &[LineFile], named: Option<Number>) -> Result<Number, Failure> {
    let mut own = lines.iter().map(|line| Number::new(line.number));
    match (named, lines.len()) {
        (Some(named), _) => own.find(|line| *line == named).ok_or(Failure::NoSuchLine),
        (None, ..=1) => own.next().ok_or(Failure::NoSuchLine),
        (None, _) => Err(Failure::WhichLine),
    }
}

fn show(contacts: &Contacts, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<Value> = contacts.iter().map(as_value).collect();
        return say(&Value::from(list).to_string());
    }
    say(&table(contacts))
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
            "shown_by": place(other.shown_by),
        })),
    })
}

fn place(shown_by: ShownBy) -> &'static str {
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
            ShownBy::Ring => "somebody rang from it with another",
        };
        text.push_str(&format!(
            "\n           KEY CHANGED: since {} {shown}. Calls are refused. Ask the person by another way, then: ringfence contacts accept {}",
            day_text(other.since),
            contact.number
        ));
    }
    text
}

fn show_safety(
    contact: &Contact,
    numbers: Vec<(Number, SafetyNumber)>,
    as_json: bool,
) -> Result<(), Failure> {
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
    use ringfence_engine::contacts::{Learnt, OtherKey};

    use super::*;

    #[test]
    fn a_changed_key_is_shown_with_what_to_do() {
        let key = || Identity::generate(Day::LAST, &mut rand::rng()).key();
        let (number, identity) = (Number::new(20_002), key());
        let mut contacts = Contacts::default();
        assert!(table(&contacts).contains("no contact"));
        let day = Day::new(20_416);
        contacts.learn(&Learnt::Pin {
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
        contacts.learn(&Learnt::Other { number, key });
        assert!(table(&contacts).contains("ringfence contacts accept 20002"));
        let value = as_value(contacts.get(number).unwrap());
        assert_eq!(value["changed"]["shown_by"], "book");
    }

    #[test]
    fn whoever_sees_a_line_is_shown_with_it() {
        let (number, own) = (Number::new(20_002), Number::new(24_440));
        let mut contacts = Contacts::default();
        contacts.learn(&Learnt::Pin {
            number,
            identity: Identity::generate(Day::LAST, &mut rand::rng()).key(),
            day: Day::new(20_416),
        });
        assert!(!table(&contacts).contains("24440"));
        contacts.share(number, own).unwrap();
        assert!(table(&contacts).contains("sees the presence of your line 24440"));
        let value = as_value(contacts.get(number).unwrap());
        assert_eq!(value["sees"], json!([24_440]));
    }

    #[test]
    fn sixty_digits_stand_in_three_rows() {
        let key = Identity::generate(Day::LAST, &mut rand::rng()).key();
        let party = |number| Party {
            number: Number::new(number),
            identity: &key,
        };
        let rows = in_rows(&SafetyNumber::of(party(1), party(2)));
        assert_eq!(rows.lines().count(), 3);
        assert_eq!(rows.split_whitespace().map(str::len).sum::<usize>(), 60);
    }
}
