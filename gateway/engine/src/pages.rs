//! The phone book's pages as several people see them: roots that were downloaded or heard of in calls are compared, and the own
//! records looked up, whenever there are new ones.

use crate::engine::Engine;
use crate::output::Output;
use crate::ring::BookView;
use crate::roots::SplitView;

impl Engine {
    /// Compares the book that somebody else saw with the one that is in use here.
    pub(crate) fn compare(&mut self, view: &BookView) {
        let split = view
            .root(&self.book_key)
            .and_then(|theirs| self.roots.hear(theirs));
        self.out.extend(split.map(alarm));
    }

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
