//! `ringfence contacts`: whose key each number stands for, and what the user decides about it. Works beside a running engine, which
//! notices within seconds (see `keystore::contacts`).

use clap::{Args, Subcommand};
use ringfence_engine::contacts::{Contact, ContactFault, Contacts, Learnt, ShownBy};
use ringfence_engine::date::UnixTime;
use ringfence_engine::identity::Identity;
use ringfence_engine::safety::{Party, SafetyNumber};
use ringfence_phonebook::{BookKey, Day, IdentityKey, Number};
use serde_json::{Value, json};

use super::block::{self, Wanted};
use super::{Failure, Place, passphrase, say};
use crate::assemble::{AssembleFault, directory};
use crate::calendar::day_text;
use crate::clock;
use crate::config::Config;
use crate::io::book::BookCopy;
use crate::keystore::{ContactsFile, Keystore};
use crate::secret::Secret;

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
    /// Make a number a contact before it is called: its key is pinned as the copy of the phone book lists it now
    ///
    /// That is the phone book's word alone: compare the safety number. A number that nobody has yet is listed too; when somebody gets
    /// it, the contact shows a changed key.
    Add {
        /// The number
        number: Number,
        /// Its name
        #[arg(long)]
        name: Option<String>,
    },
    /// Drop calls and texts of a number, which need not be a contact
    Block {
        /// The number
        number: Number,
        /// On this line alone
        #[arg(long, value_name = "NUMBER")]
        line: Option<Number>,
    },
    /// Let a blocked number call and write again
    Unblock {
        /// The number
        number: Number,
        /// On this line alone
        #[arg(long, value_name = "NUMBER")]
        line: Option<Number>,
    },
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
    /// Forget a contact: the next answered call pins its key anew
    Remove {
        /// The contact
        number: Number,
    },
}

/// Runs the command.
pub(super) async fn run(args: &ContactsArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    let secret = passphrase(&config, false)?;
    let mut file = ContactsFile::open(&config.state, secret.clone());
    let today = Day::of_unix(clock::unix_seconds());
    let want = |number: &Number, line: &Option<Number>, is_blocked| Wanted {
        number: *number,
        line: *line,
        is_blocked,
    };
    match &args.act {
        None => {}
        Some(Act::Add { number, name }) => {
            let identity = listed(&config, &secret, *number)?;
            add(&mut file, *number, name.as_deref(), (identity, today))?;
        }
        Some(Act::Block { number, line }) => {
            block::carry_out(&config, secret.clone(), want(number, line, true)).await?;
        }
        Some(Act::Unblock { number, line }) => {
            block::carry_out(&config, secret.clone(), want(number, line, false)).await?;
        }
        Some(Act::Verify { number, yes: false }) => {
            let contacts = file.read()?;
            let contact = contacts.get(*number).ok_or(ContactFault::Unknown)?;
            let numbers = safety_numbers(&config, secret, contact)?;
            return show_safety(contact, numbers, args.json);
        }
        Some(Act::Verify { number, yes: true }) => {
            file.edit(|contacts| contacts.verify(*number))?.1?
        }
        Some(Act::Accept { number }) => file.edit(|contacts| contacts.accept(*number, today))?.1?,
        Some(Act::Name { number, name }) => file.edit(|contacts| contacts.name(*number, name))?.1?,
        Some(Act::Remove { number }) => file.edit(|contacts| contacts.remove(*number))?.1?,
    }
    let blocked = block::list(&config, secret)?;
    show(&file.read()?, &blocked, args.json)
}

/// Pins a key that nobody has proved yet. A contact that is there stays as it is.
fn add(
    file: &mut ContactsFile,
    number: Number,
    name: Option<&str>,
    (identity, day): (IdentityKey, Day),
) -> Result<(), Failure> {
    let pin = Learnt::Pin {
        number,
        identity,
        day,
    };
    let (_, added) = file.edit(|contacts| {
        let is_new = contacts.learn(&pin);
        let named = name.filter(|_| is_new);
        named.map_or(Ok(()), |name| contacts.name(number, name))?;
        Ok::<_, ContactFault>(is_new)
    })?;
    if added? {
        Ok(())
    } else {
        Err(Failure::IsContact)
    }
}

/// The safety number that each line shares with a contact.
fn safety_numbers(
    config: &Config,
    secret: Option<Secret>,
    contact: &Contact,
) -> Result<Vec<(Number, SafetyNumber)>, Failure> {
    let lines = Keystore::look(&config.state, secret)?;
    let mut numbers = Vec::new();
    for line in lines {
        let identity = Identity::from_bytes(&line.identity)
            .map_err(|_| AssembleFault::BadLine(line.number))?
            .key();
        let own = Party {
            number: Number::new(line.number),
            identity: &identity,
        };
        let other = Party {
            number: contact.number,
            identity: &contact.identity,
        };
        numbers.push((own.number, SafetyNumber::of(own, other)));
    }
    Ok(numbers)
}

/// The key of a number, as the copy on this machine has it: nobody is asked.
fn listed(config: &Config, secret: &Option<Secret>, number: Number) -> Result<IdentityKey, Failure> {
    let lines = Keystore::look(&config.state, secret.clone())?;
    let line = lines.first().ok_or(AssembleFault::NoLine)?;
    let key = BookKey::from_bytes(&line.book_key).map_err(|_| AssembleFault::BadLine(line.number))?;
    let snapshot = BookCopy::open(&config.state, key)?.snapshot().ok_or(Failure::NoBook)?;
    let now = UnixTime::from_seconds(clock::unix_seconds());
    let found = directory(&snapshot).look_up(number, now);
    found.map(|keys| keys.identity).map_err(Failure::NotListed)
}

fn show(
    contacts: &Contacts,
    blocked: &[(Number, Number)],
    as_json: bool,
) -> Result<(), Failure> {
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
