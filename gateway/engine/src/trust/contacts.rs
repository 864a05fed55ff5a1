//! Contacts: the identity key that a number had when a call with it was first answered, in either direction.
//!
//! From then on the number stands for that key. When the phone book, or a ring, shows another one, no call is placed and no phone
//! rings until the user has accepted it (trust on first use, as in RFC 4251 section 4.1 for hosts). Looking a number up pins nothing:
//! what is in the book before the first answer is the book's word alone. A new ring key under the same identity is no change.
//!
//! Not done here: keeping contacts on a disk. The shell saves what the engine [`ContactUpdate`], and hands over what the user edited.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use ringfence_book::{Day, IdentityKey, Number};

pub use super::contact_change::{ContactEdit, ContactError, ContactUpdate};

/// Contacts that are kept. Each of them was answered once, so an office needs years to get here. When it is full, further numbers
/// are not pinned; none that is pinned is forgotten.
pub const MOST_CONTACTS: usize = 4_096;

/// Things learnt that the shell has not saved yet. When it cannot save, the oldest are forgotten at the next edit of the user.
const MOST_UNSAVED: usize = 256;

/// Lines that are shown to contacts, all contacts together: each pair has a place in a round that has so many
/// ([`crate::presence`]).
pub const MOST_SHARED: usize = 8;

/// Longest name of a contact, in bytes. Phones show fewer.
pub(super) const MOST_NAME: usize = 64;

/// A number and the identity key that it shows: in the book, or in a message that the sender proved.
#[derive(Clone, Copy)]
pub(crate) struct PeerIdentity {
    pub(crate) number: Number,
    pub(crate) identity: IdentityKey,
}

/// A number with which a call was answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    /// The number.
    pub number: Number,
    /// The key that it stands for.
    pub identity: IdentityKey,
    /// When that was learnt.
    pub since: Day,
    /// Whether the user has compared the safety number of this key with the other side.
    pub verified: bool,
    /// What the user calls it; phones show it when it rings.
    pub name: Option<String>,
    /// Another key that was shown for the number, and that the user has not accepted.
    pub other: Option<OtherKey>,
    /// The user's own lines whose presence the contact may see: none, until the user says so.
    pub sees: BTreeSet<Number>,
}

impl Contact {
    /// Whether the user has done anything about it: a number that rang and was answered is pinned, and no more.
    pub(crate) fn is_chosen(&self) -> bool {
        self.name.is_some() || self.verified || !self.sees.is_empty()
    }
}

/// A key that a number should not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OtherKey {
    /// The key.
    pub identity: IdentityKey,
    /// When it was first seen.
    pub since: Day,
    /// Where.
    pub shown_by: ShownBy,
}

/// Where another key was seen. The phone book stands behind both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// The downloaded book lists it for the number.
    Book,
    /// A ring came from it, and the downloaded book lists it.
    Ring,
}

/// What a number's key is to this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// No call with the number was ever answered.
    Unknown,
    /// The key is the one that it always had.
    Pinned,
    /// The number had another key, and the user has not accepted this one.
    Changed,
}

/// All contacts, by number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contacts(BTreeMap<Number, Contact>);

impl Contacts {
    /// Puts a contact in as it was saved; false when there is no room.
    pub fn insert(&mut self, contact: Contact) -> bool {
        let room = self.0.len() < MOST_CONTACTS || self.0.contains_key(&contact.number);
        if room {
            self.0.insert(contact.number, contact);
        }
        room
    }

    /// The contacts, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.0.values()
    }

    /// The contact with this number.
    #[must_use]
    pub fn get(&self, number: Number) -> Option<&Contact> {
        self.0.get(&number)
    }

    /// What this key is to this number.
    #[must_use]
    pub fn standing(&self, number: Number, identity: &IdentityKey) -> KeyStanding {
        match self.0.get(&number) {
            None => KeyStanding::Unknown,
            Some(contact) if contact.identity == *identity => KeyStanding::Pinned,
            Some(_) => KeyStanding::Changed,
        }
    }

    /// Takes what an engine learnt; false when it is nothing new, or there is no room. A pin never replaces another.
    pub fn learn(&mut self, learnt: &ContactUpdate) -> bool {
        match *learnt {
            ContactUpdate::Pin {
                number,
                identity,
                day,
            } => {
                let contact = Contact {
                    number,
                    identity,
                    since: day,
                    verified: false,
                    name: None,
                    other: None,
                    sees: BTreeSet::new(),
                };
                !self.0.contains_key(&number) && self.insert(contact)
            }
            ContactUpdate::Other { number, key } => {
                let Some(contact) = self.0.get_mut(&number) else {
                    return false;
                };
                let known = |other: OtherKey| other.identity == key.identity;
                if contact.identity == key.identity || contact.other.is_some_and(known) {
                    return false;
                }
                contact.other = Some(key);
                true
            }
        }
    }

    /// The user trusts the other key that was shown: the number stands for it from `today` on, not yet verified.
    ///
    /// # Errors
    /// [`ContactError::Unknown`], [`ContactError::NothingToAccept`].
    pub fn accept(&mut self, number: Number, today: Day) -> Result<(), ContactError> {
        let contact = self.contact(number)?;
        let other = contact.other.take().ok_or(ContactError::NothingToAccept)?;
        contact.identity = other.identity;
        contact.since = today;
        contact.verified = false;
        // The holder of the new key was promised nothing.
        contact.sees.clear();
        Ok(())
    }

    /// The user lets the contact see the presence of an own line.
    ///
    /// # Errors
    /// [`ContactError::Unknown`], [`ContactError::Shared`].
    pub fn share(&mut self, number: Number, line: Number) -> Result<(), ContactError> {
        let is_full = self.shared().count() >= MOST_SHARED;
        let contact = self.contact(number)?;
        if is_full && !contact.sees.contains(&line) {
            return Err(ContactError::Shared);
        }
        contact.sees.insert(line);
        Ok(())
    }

    /// The user lets the contact see no presence any more.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub fn unshare(&mut self, number: Number) -> Result<(), ContactError> {
        self.contact(number)?.sees.clear();
        Ok(())
    }

    /// Who may see which of the own lines, in a fixed order.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (Number, &Contact)> {
        let pairs = |contact| {
            let Contact { sees, .. }: &Contact = contact;
            sees.iter().map(move |line| (*line, contact))
        };
        self.0.values().flat_map(pairs)
    }

    /// Does what the user decided.
    ///
    /// # Errors
    /// [`ContactError`]; nothing has changed then.
    pub fn edit(&mut self, number: Number, edit: &ContactEdit) -> Result<(), ContactError> {
        match edit {
            ContactEdit::Add(identity, day, name) => {
                let pin = ContactUpdate::Pin {
                    number,
                    identity: *identity,
                    day: *day,
                };
                if !self.learn(&pin) {
                    return Err(ContactError::Known);
                }
                self.name(number, name)?;
            }
            ContactEdit::Verified(yes) => self.contact(number)?.verified = *yes,
            ContactEdit::Accept(identity, today) => {
                let other = self.contact(number)?.other;
                if other.is_some_and(|other| other.identity != *identity) {
                    return Err(ContactError::NotThisKey);
                }
                self.accept(number, *today)?;
            }
            ContactEdit::Name(name) => self.name(number, name)?,
            ContactEdit::Remove => self.remove(number)?,
        }
        Ok(())
    }

    /// The user has compared the safety number.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub fn verify(&mut self, number: Number) -> Result<(), ContactError> {
        self.contact(number)?.verified = true;
        Ok(())
    }

    /// The user names the contact; an empty name takes the old one away.
    ///
    /// # Errors
    /// [`ContactError::Unknown`], [`ContactError::Name`].
    pub fn name(&mut self, number: Number, name: &str) -> Result<(), ContactError> {
        let name = name.trim();
        if name.len() > MOST_NAME || name.chars().any(char::is_control) {
            return Err(ContactError::Name);
        }
        self.contact(number)?.name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(())
    }

    /// The user forgets the contact; the next answered call pins the number anew.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub fn remove(&mut self, number: Number) -> Result<(), ContactError> {
        let removed = self.0.remove(&number);
        removed.map(drop).ok_or(ContactError::Unknown)
    }

    fn contact(&mut self, number: Number) -> Result<&mut Contact, ContactError> {
        self.0.get_mut(&number).ok_or(ContactError::Unknown)
    }
}

/// The engine's contacts, and what of them the shell has not saved yet: an edit of the user that arrives meanwhile must not undo it.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    contacts: Contacts,
    unsaved: VecDeque<(u64, ContactUpdate)>,
    count: u64,
}

impl AddressBook {
    pub(crate) fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Learns; the count by which the shell says later that it is saved, or `None` when it is nothing new.
    pub(crate) fn learn(&mut self, learnt: ContactUpdate) -> Option<u64> {
        if !self.contacts.learn(&learnt) {
            return None;
        }
        self.count += 1;
        if self.unsaved.len() >= MOST_UNSAVED {
            self.unsaved.pop_front();
        }
        self.unsaved.push_back((self.count, learnt));
        Some(self.count)
    }

    /// Takes the contacts as they were saved, with everything learnt up to `saved`.
    pub(crate) fn replace(&mut self, contacts: Contacts, saved: u64) {
        self.contacts = contacts;
        self.unsaved.retain(|(count, _)| *count > saved);
        for (_, learnt) in &self.unsaved {
            self.contacts.learn(learnt);
        }
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerIdentity(..)")
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(..)")
    }
}

impl fmt::Debug for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherKey(..)")
    }
}

impl fmt::Debug for Contacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contacts({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    const NUMBER: Number = Number::new(20_001);
    const TODAY: Day = Day::new(20_000);

    fn key(seed: u8) -> IdentityKey {
        IdentityKey::from(&SigningKey::from_bytes(&[seed; 32]))
    }

    fn pin(seed: u8) -> ContactUpdate {
        ContactUpdate::Pin {
            number: NUMBER,
            identity: key(seed),
            day: TODAY,
        }
    }

    fn other(seed: u8) -> ContactUpdate {
        let key = OtherKey {
            identity: key(seed),
            since: TODAY,
            shown_by: ShownBy::Book,
        };
        ContactUpdate::Other {
            number: NUMBER,
            key,
        }
    }

    #[test]
    fn the_first_key_is_pinned_and_no_later_one() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.standing(NUMBER, &key(1)), KeyStanding::Unknown);
        assert!(
            !contacts.learn(&other(2)),
            "there is nothing to differ from"
        );
        assert!(contacts.learn(&pin(1)));
        assert!(!contacts.learn(&pin(2)));
        assert_eq!(contacts.standing(NUMBER, &key(1)), KeyStanding::Pinned);
        assert_eq!(contacts.standing(NUMBER, &key(2)), KeyStanding::Changed);
    }

    #[test]
    fn a_changed_key_stands_when_the_user_accepts_it_and_is_not_verified_then() {
        let mut contacts = Contacts::default();
        contacts.learn(&pin(1));
        contacts.verify(NUMBER).unwrap();
        let nothing = Err(ContactError::NothingToAccept);
        assert_eq!(contacts.accept(NUMBER, TODAY), nothing);
        assert!(!contacts.learn(&other(1)), "it is the pinned one");
        assert!(contacts.learn(&other(2)));
        assert!(!contacts.learn(&other(2)), "it is known");
        assert_eq!(contacts.accept(NUMBER, TODAY.plus(1)), Ok(()));
        let contact = contacts.get(NUMBER).unwrap();
        assert_eq!(contact.identity, key(2));
        assert_eq!((contact.verified, contact.since), (false, TODAY.plus(1)));
        assert_eq!(contacts.accept(NUMBER, TODAY), nothing);
    }

    #[test]
    fn a_key_is_accepted_only_if_it_is_the_one_that_the_user_saw() {
        let mut contacts = Contacts::default();
        contacts.learn(&pin(1));
        contacts.learn(&other(2));
        contacts.learn(&other(3));
        let accept = |seed| ContactEdit::Accept(key(seed), TODAY);
        let fault = contacts.edit(NUMBER, &accept(2));
        assert_eq!(fault, Err(ContactError::NotThisKey));
        assert_eq!(contacts.get(NUMBER).unwrap().identity, key(1));
        assert_eq!(contacts.edit(NUMBER, &accept(3)), Ok(()));
        assert_eq!(contacts.get(NUMBER).unwrap().identity, key(3));
    }

    #[test]
    fn names_are_one_short_line() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.name(NUMBER, "Bob"), Err(ContactError::Unknown));
        contacts.learn(&pin(1));
        let long = "x".repeat(MOST_NAME + 1);
        for name in [long.as_str(), "Bob\r\nVia: x"] {
            assert_eq!(contacts.name(NUMBER, name), Err(ContactError::Name));
        }
        contacts.name(NUMBER, " Bob ").unwrap();
        assert_eq!(contacts.get(NUMBER).unwrap().name.as_deref(), Some("Bob"));
        contacts.name(NUMBER, "").unwrap();
        assert_eq!(contacts.get(NUMBER).unwrap().name, None);
    }

    #[test]
    fn a_full_list_pins_nothing_more_and_forgets_nothing() {
        let mut contacts = Contacts::default();
        let most = u32::try_from(MOST_CONTACTS).unwrap();
        let pin = |value| ContactUpdate::Pin {
            number: Number::new(value),
            identity: key(1),
            day: TODAY,
        };
        for value in 0..most {
            assert!(contacts.learn(&pin(value)));
        }
        assert!(!contacts.learn(&pin(most)));
        assert_eq!(contacts.iter().count(), MOST_CONTACTS);
    }

    #[test]
    fn what_is_not_saved_yet_outlives_an_edit() {
        let mut book = AddressBook::default();
        let first = book.learn(pin(1)).unwrap();
        assert_eq!(book.learn(pin(1)), None);
        book.replace(Contacts::default(), first - 1);
        assert_eq!(
            book.contacts().standing(NUMBER, &key(1)),
            KeyStanding::Pinned
        );
        book.replace(Contacts::default(), first);
        assert_eq!(
            book.contacts().standing(NUMBER, &key(1)),
            KeyStanding::Unknown
        );
    }

    #[test]
    fn sharing_has_as_many_places_as_the_round_and_ends_with_an_accepted_key() {
        let mut contacts = Contacts::default();
        let number = |index: u32| Number::new(20_001 + index);
        for index in 0..=8 {
            contacts.learn(&ContactUpdate::Pin {
                number: number(index),
                identity: key(1),
                day: TODAY,
            });
        }
        let line = Number::new(30_000);
        for index in 0..8 {
            assert_eq!(contacts.share(number(index), line), Ok(()));
        }
        assert_eq!(contacts.share(number(0), line), Ok(()), "it is so already");
        assert_eq!(contacts.share(number(8), line), Err(ContactError::Shared));
        let other = OtherKey {
            identity: key(2),
            since: TODAY,
            shown_by: ShownBy::Book,
        };
        contacts.learn(&ContactUpdate::Other {
            number: number(0),
            key: other,
        });
        contacts.accept(number(0), TODAY).unwrap();
        assert_eq!(contacts.shared().count(), 7);
        assert_eq!(contacts.share(number(8), line), Ok(()));
        contacts.unshare(number(8)).unwrap();
        assert!(
            contacts
                .shared()
                .all(|(_, contact)| contact.number != number(8))
        );
    }
}
