//! `ringfence contacts`: whose key each number stands for, and what the user decides about it. Works beside a running engine, which
//! notices within seconds (see `keystore::contacts`).

mod listing;

use clap::{Args, Subcommand};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::{Contact, ContactFault, Learnt};
use ringfence_engine::trust::safety_number::{Party, SafetyNumber};
use ringfence_phonebook::{BookKey, Day, IdentityKey, Number};

use super::block::{self, Wanted};
use super::{Failure, Place, passphrase};
use crate::clock;
use crate::config::Config;
use crate::net::book::BookCopy;
use crate::run::assemble::{AssembleError, directory};
use crate::state::keystore::{ContactsFile, Keystore, LineFile};
use crate::state::secret::Secret;
use listing::{show, show_safety};

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
        Some(Act::Share { number, line }) => {
            let own = own_line(&Keystore::look(&config.state, secret.clone())?, *line)?;
            file.edit(|contacts| contacts.share(*number, own))?.1?;
        }
        Some(Act::Unshare { number }) => file.edit(|contacts| contacts.unshare(*number))?.1?,
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
            .map_err(|_| AssembleError::BadLine(line.number))?
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
fn listed(
    config: &Config,
    secret: &Option<Secret>,
    number: Number,
) -> Result<IdentityKey, Failure> {
    let lines = Keystore::look(&config.state, secret.clone())?;
    let line = lines.first().ok_or(AssembleError::NoLine)?;
    let key =
        BookKey::from_bytes(&line.book_key).map_err(|_| AssembleError::BadLine(line.number))?;
    let snapshot = BookCopy::open(&config.state, key)?
        .snapshot()
        .ok_or(Failure::NoBook)?;
    let now = UnixTime::from_seconds(clock::unix_seconds());
    let found = directory(&snapshot).look_up(number, now);
    found.map(|keys| keys.identity).map_err(Failure::NotListed)
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
