//! What the engine holds for true about others: which key a number stands for, what the phone book showed to whom, and whether
//! it lists this engine's own numbers with this engine's keys.
//!
//! Not here: downloading the book, and saving contacts and evidence; both are the shell's.

pub mod callers;
mod contact_change;
pub mod contacts;
pub mod directory;
pub(crate) mod own_record;
pub mod roots;
pub mod safety_number;
pub mod secrets;
pub(crate) mod shares;
pub(crate) mod tags;

use ringfence_book::{BookKey, Day, Number};

use crate::line::Lines;
use crate::output::{Outbox, Output};
use crate::sealed::book_view::BookView;

use crate::time::UnixTime;
use callers::Callers;
use contacts::{
    AddressBook, ContactUpdate, Contacts, KeyStanding, OtherKey, PeerIdentity, ShownBy,
};
use directory::Directory;
use own_record::OwnRecordWatch;
use roots::{Roots, SplitView};

/// Contacts, the phone book, and what is known of its honesty.
#[derive(Debug)]
pub(crate) struct Trust {
    book_key: BookKey,
    directory: Directory,
    contacts: AddressBook,
    roots: Roots,
    /// One for each line, in their order.
    own_records: Vec<OwnRecordWatch>,
}

/// The copy of the phone book that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookAge {
    /// Its epoch, counted from 1.
    pub epoch: u32,
    /// When that was closed.
    pub closed: UnixTime,
    /// Seconds from one epoch to the next.
    pub period: u32,
}

impl Trust {
    pub(crate) fn new(book_key: BookKey, directory: Directory, lines: &Lines) -> Self {
        Self {
            book_key,
            directory,
            contacts: AddressBook::default(),
            roots: Roots::default(),
            own_records: lines.iter().map(|_| OwnRecordWatch::default()).collect(),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn contacts(&self) -> &Contacts {
        self.contacts.contacts()
    }

    /// Who may send this engine something, by the copy in use.
    pub(crate) fn callers(&self) -> Callers<'_> {
        Callers::new(&self.directory, self.contacts.contacts())
    }

    /// Takes the contacts as they were saved, with everything learnt up to the count `saved`.
    pub(crate) fn replace_contacts(&mut self, contacts: Contacts, saved: u64) {
        self.contacts.replace(contacts, saved);
    }

    /// The other side has proved its key in an answered call: from now on its number stands for it.
    pub(crate) fn pin(&mut self, peer: PeerIdentity, day: Day, out: &mut Outbox) {
        let PeerIdentity { number, identity } = peer;
        self.learn(
            ContactUpdate::Pin {
                number,
                identity,
                day,
            },
            out,
        );
    }

    /// Whether the number stood for another key until now. That is noted for the user, and logged once for each new key.
    pub(crate) fn has_changed(
        &mut self,
        sender: PeerIdentity,
        (shown_by, since): (ShownBy, Day),
        out: &mut Outbox,
    ) -> bool {
        let PeerIdentity { number, identity } = sender;
        if self.contacts().standing(number, &identity) != KeyStanding::Changed {
            return false;
        }
        let key = OtherKey {
            identity,
            since,
            shown_by,
        };
        if self.learn(ContactUpdate::Other { number, key }, out) {
            tracing::warn!(
                "a contact's number has another key than before: no call with it until you accept that. To do: ringfence contacts shows which; ask the person by another way, then ringfence contacts accept NUMBER"
            );
        }
        true
    }

    /// Learns something about a number; true when it is new.
    fn learn(&mut self, learnt: ContactUpdate, out: &mut Outbox) -> bool {
        let count = self.contacts.learn(learnt);
        if let Some(count) = count {
            out.push(Output::ContactUpdate { count, learnt });
        }
        count.is_some()
    }

    /// The book as this engine sees it, to be shown to the other side of a call.
    pub(crate) fn book_view(&self) -> BookView {
        BookView::of(self.roots.newest())
    }

    /// The age of the copy in use; `None` while there is none.
    pub(crate) fn book_age(&self) -> Option<BookAge> {
        let states = self.roots.newest()?.states();
        Some(BookAge {
            epoch: states.epoch,
            closed: UnixTime::from_seconds(states.closed),
            period: states.period,
        })
    }

    /// The lines whose keys another machine holds: it renewed their ring keys in the book.
    pub(crate) fn lines_elsewhere(&self, lines: &Lines) -> Vec<Number> {
        let watched = lines.iter().zip(&self.own_records);
        let elsewhere = watched.filter(|(_, watch)| watch.is_elsewhere());
        elsewhere.map(|(line, _)| line.number).collect()
    }

    /// Compares the book that the other side of a call saw with the one in use here. Whatever comes out, the call goes on: it is
    /// the one place where the two people can read their safety number to each other.
    pub(crate) fn compare(&mut self, view: &BookView, out: &mut Outbox) {
        let split = view
            .root(&self.book_key)
            .and_then(|theirs| self.roots.handle_foreign(theirs));
        out.extend(split.map(report_split));
    }

    /// Takes a newer copy of the book. Calls that ring keep the keys they rang.
    pub(crate) fn replace_directory(
        &mut self,
        directory: Directory,
        lines: &Lines,
        out: &mut Outbox,
    ) {
        self.directory = directory;
        self.check_book(lines, out);
    }

    /// Takes the roots that came with the directory, and looks the own numbers up in it.
    pub(crate) fn check_book(&mut self, lines: &Lines, out: &mut Outbox) {
        for root in self.directory.take_roots() {
            let split = self.roots.add(root);
            out.extend(split.map(report_split));
        }
        let Some(root) = self.roots.newest() else {
            return;
        };
        for (line, watch) in lines.iter().zip(&mut self.own_records) {
            let own = (line.number, &line.identity);
            if let Some(record) = watch.look(own, &self.directory, root) {
                tracing::error!(
                    epoch = root.states().epoch,
                    "THE PHONE BOOK LISTS A NUMBER OF YOURS WITH KEYS THAT ARE NOT YOURS: a caller who dials it now reaches their owner. To do: warn those who call you, and show the evidence to the book's operator (ringfence evidence)"
                );
                out.push(Output::FalseRecord(record));
            }
        }
    }
}

/// Logs two roots that cannot both be true as what must never happen. The roots name no number.
fn report_split(split: SplitView) -> Output {
    tracing::error!(
        epoch = split.ours.states().epoch,
        "THE PHONE BOOK SHOWS DIFFERENT PEOPLE DIFFERENT PAGES. To do: compare safety numbers before you trust a number, and show the evidence to the book's operator and to others who use it (ringfence evidence)"
    );
    Output::SplitView(Box::new(split))
}
