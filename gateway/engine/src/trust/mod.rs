//! What the engine holds for true about others: whose key a number stands for, what the phone book showed to whom, and whether it
//! lists this engine's own numbers rightly.

pub mod contacts;
pub mod directory;
pub(crate) mod own_record;
pub mod roots;
pub mod safety_number;

use std::time::Instant;

use crate::engine::Engine;
use crate::output::Output;
use crate::sealed::ring::BookView;
use crate::trust::contacts::{Contacts, Learnt};
use crate::trust::roots::SplitView;

impl Engine {
    /// The contacts as they are saved, with everything that was learnt up to the count `saved` (0 at the start). To be called at the
    /// start, and whenever the user has edited them.
    pub fn handle_contacts(&mut self, contacts: Contacts, saved: u64, now: Instant) {
        self.address_book.replace(contacts, saved);
        self.plan_round(now);
        self.settle(now);
    }

    /// The numbers with which calls were answered.
    #[must_use]
    pub fn contacts(&self) -> &Contacts {
        self.address_book.contacts()
    }

    /// Learns something about a number; true when it is news.
    pub(crate) fn learn(&mut self, learnt: Learnt) -> bool {
        let count = self.address_book.learn(learnt);
        if let Some(count) = count {
            self.push(Output::Learnt { count, learnt });
        }
        count.is_some()
    }

    /// Compares the book that somebody else saw with the one that is in use here.
    pub(crate) fn compare(&mut self, view: &BookView) {
        let split = view
            .root(&self.book_key)
            .and_then(|theirs| self.roots.hear(theirs));
        self.out.extend(split.map(alarm));
    }

    /// Takes the roots that came with the directory, and looks the own numbers up in it.
    pub(crate) fn take_roots(&mut self) {
        for root in self.directory.take_roots() {
            let split = self.roots.add(root);
            self.out.extend(split.map(alarm));
        }
        self.look_own_records_up();
    }

    fn look_own_records_up(&mut self) {
        let Some(root) = self.roots.newest() else {
            return;
        };
        for (line, watch) in self.lines.iter().zip(&mut self.records) {
            let own = (line.number, &line.identity);
            if let Some(record) = watch.look(own, &self.directory, root) {
                tracing::error!(
                    epoch = root.states().epoch,
                    "THE PHONE BOOK LISTS A NUMBER OF YOURS WITH KEYS OF SOMEBODY ELSE: whoever dials it now reaches them. To do: warn those who call you, and show the evidence to the book's operator (ringfence evidence)"
                );
                self.out.push_back(Output::FalseRecord(record));
            }
        }
    }
}

/// Says aloud what must never happen. The roots name nobody.
pub(crate) fn alarm(split: SplitView) -> Output {
    tracing::error!(
        epoch = split.ours.states().epoch,
        "THE PHONE BOOK SHOWS DIFFERENT PEOPLE DIFFERENT PAGES. To do: compare safety numbers before you trust a number, and show the evidence to the book's operator and to others who use it (ringfence evidence)"
    );
    Output::SplitView(Box::new(split))
}
