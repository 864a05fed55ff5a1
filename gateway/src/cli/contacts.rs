//! `ringfence contacts`: the key that each number stands for, and the user's decisions about it. A running engine takes changes over
//! within seconds (see `keystore::contacts`).

mod listing;

use clap::{Args, Subcommand};
use ringfence_book::{Day, IdentityKey, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::contacts::{Contact, ContactError, ContactUpdate};
use ringfence_engine::trust::safety_number::{SafetyNumber, SafetyNumberParty};

use super::block::{self, BlockRequest};
use super::say;
use super::{CommandError, PathArgs, book_copy, unlock};
use crate::clock;
use crate::config::Config;
use crate::run::assemble::{AssembleError, directory};
use crate::state::keystore::{ContactsFile, Keystore, LineFile};
use crate::state::secret::Secret;
use listing::{show, show_safety};

#[derive(Debug, Args)]
pub(super) struct ContactsArgs {
    #[command(subcommand)]
    action: Option<ContactAction>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

#[derive(Debug, Subcommand)]
enum ContactAction {
    /// Make a number a contact before it is called: its key is pinned as the copy of the phone book lists it now
    ///
    /// Only the phone book vouches for that key: compare the safety number. Numbers that are not in use are listed too; when such a
    /// number is assigned, the contact shows a changed key.
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
        /// On this line only
        #[arg(long, value_name = "NUMBER")]
        line: Option<Number>,
    },
    /// List the contacts, as without a command
    List,
    /// Let a blocked number call and write again
    Unblock {
        /// The number
        number: Number,
        /// On this line only
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
    /// Trust the new key that a contact's number was seen with
    Accept {
        /// The contact
        number: Number,
    },
    /// Name a contact; phones show the name when the contact calls
    Name {
        /// The contact
        number: Number,
        /// The name; an empty one removes the old one
        name: String,
    },
    /// Show a contact whether you are available, in a call or on do not disturb
    Share {
        /// The contact
        number: Number,
        /// Your line that it may see; needed when you have several
        #[arg(long)]
        line: Option<Number>,
    },
    /// Stop showing a contact whether you are available
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

/// A number that is not activated yet is listed with a key that changes when its owner comes.
const ADDED: &str = "The key that the phone book lists today is pinned. If the person gets the number only later, the phone book lists another key then, and calls are refused until you accept it: ringfence contacts accept NUMBER\n";

/// Runs the command.
pub(super) async fn run(args: &ContactsArgs) -> Result<(), CommandError> {
    let mut config = args.paths.config()?;
    let secret = unlock(&mut config)?;
    let mut file = ContactsFile::open(&config.state, secret.clone());
    let today = Day::of_unix(clock::unix_seconds());
    let want = |number: &Number, line: &Option<Number>, is_blocked| BlockRequest {
        number: *number,
        line: *line,
        is_blocked,
    };
    match &args.action {
        None | Some(ContactAction::List) => {}
        Some(ContactAction::Add { number, name }) => {
            let identity = listed(&config, &secret, *number)?;
            add(&mut file, *number, name.as_deref(), (identity, today))?;
            if !args.json {
                say(ADDED)?;
            }
        }
        Some(ContactAction::Block { number, line }) => {
            block::carry_out(&config, secret.clone(), want(number, line, true)).await?;
        }
        Some(ContactAction::Unblock { number, line }) => {
            block::carry_out(&config, secret.clone(), want(number, line, false)).await?;
        }
        Some(ContactAction::Verify { number, yes: false }) => {
            let contacts = file.read()?;
            let contact = contacts.get(*number).ok_or(ContactError::Unknown)?;
            let numbers = safety_numbers(&config, secret, contact)?;
            return show_safety(contact, numbers, args.json);
        }
        Some(ContactAction::Verify { number, yes: true }) => {
            file.edit(|contacts| contacts.verify(*number))?.1?
        }
        Some(ContactAction::Accept { number }) => {
            file.edit(|contacts| contacts.accept(*number, today))?.1?
        }
        Some(ContactAction::Name { number, name }) => {
            file.edit(|contacts| contacts.name(*number, name))?.1?
        }
        Some(ContactAction::Share { number, line }) => {
            let own = own_line(&Keystore::look(&config.state, secret.clone())?, *line)?;
            file.edit(|contacts| contacts.share(*number, own))?.1?;
        }
        Some(ContactAction::Unshare { number }) => {
            file.edit(|contacts| contacts.unshare(*number))?.1?
        }
        Some(ContactAction::Remove { number }) => {
            file.edit(|contacts| contacts.remove(*number))?.1?
        }
    }
    let blocked = block::list(&config, secret)?;
    show(&file.read()?, &blocked, args.json)
}

/// Pins a key that no call has proved yet. An existing contact stays as it is.
fn add(
    file: &mut ContactsFile,
    number: Number,
    name: Option<&str>,
    (identity, day): (IdentityKey, Day),
) -> Result<(), CommandError> {
    let pin = ContactUpdate::Pin {
        number,
        identity,
        day,
    };
    let (_, added) = file.edit(|contacts| {
        let is_new = contacts.learn(&pin);
        let named = name.filter(|_| is_new);
        named.map_or(Ok(()), |name| contacts.name(number, name))?;
        Ok::<_, ContactError>(is_new)
    })?;
    if added? {
        Ok(())
    } else {
        Err(CommandError::IsContact)
    }
}

/// The safety number that each line shares with a contact.
fn safety_numbers(
    config: &Config,
    secret: Option<Secret>,
    contact: &Contact,
) -> Result<Vec<(Number, SafetyNumber)>, CommandError> {
    let lines = Keystore::look(&config.state, secret)?;
    let mut numbers = Vec::new();
    for line in lines {
        let identity = Identity::from_bytes(&line.identity)
            .map_err(|_| AssembleError::BadLine(line.number))?
            .key();
        let own = SafetyNumberParty {
            number: Number::new(line.number),
            identity: &identity,
        };
        let other = SafetyNumberParty {
            number: contact.number,
            identity: &contact.identity,
        };
        numbers.push((own.number, SafetyNumber::of(own, other)));
    }
    Ok(numbers)
}

/// The key of a number from the copy on this machine; no server is asked.
fn listed(
    config: &Config,
    secret: &Option<Secret>,
    number: Number,
) -> Result<IdentityKey, CommandError> {
    let found = directory(&book_copy(config, secret)?).look_up(number);
    found
        .map(|keys| keys.identity)
        .map_err(CommandError::NotListed)
}

/// The named line, or the only one.
pub(super) fn own_line(lines: &[LineFile], named: Option<Number>) -> Result<Number, CommandError> {
    let mut own = lines.iter().map(|line| Number::new(line.number));
    match (named, lines.len()) {
        (Some(named), _) => own
            .find(|line| *line == named)
            .ok_or(CommandError::NoSuchLine),
        (None, ..=1) => own.next().ok_or(CommandError::NoSuchLine),
        (None, _) => Err(CommandError::WhichLine),
    }
}
