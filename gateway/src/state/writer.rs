//! What a running gateway writes down: whose key a number stands for, proof against the phone book, and the ledger. And what the user changes
//! there meanwhile, with a command beside the engine: it is noticed within seconds.
//!
//! All of it happens in a task of its own, so that no call waits for a disk.

use std::time::Duration;

use ringfence_book::{BookKey, Day, Number};
use ringfence_engine::line::saved_state::Ledger;
use ringfence_engine::trust::contacts::{ContactFault, Contacts, Edit, Learnt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::state::keystore::{ContactsFile, Evidence, EvidenceFolder, KeystoreError, LedgerFile};

/// How often the file of the contacts is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Entries that wait to be written. One comes with the first answered call with a number, so there are never so many; when there
/// are, the engine remembers what the disk does not.
const WAITING: usize = 256;

/// Where a gateway writes.
#[derive(Debug)]
pub struct StateWriter {
    contacts: ContactsFile,
    ledger: LedgerFile,
    evidence: EvidenceFolder,
    book: BookKey,
}

impl StateWriter {
    /// The diary in a state folder, for the book with this key.
    #[must_use]
    pub fn new(
        (contacts, ledger): (ContactsFile, LedgerFile),
        evidence: EvidenceFolder,
        book: BookKey,
    ) -> Self {
        Self {
            contacts,
            ledger,
            evidence,
            book,
        }
    }

    /// The contacts as they are.
    ///
    /// # Errors
    /// [`KeystoreError`]: an engine that forgot whose keys it knows would trust anybody anew.
    pub fn contacts(&mut self) -> Result<Contacts, KeystoreError> {
        self.contacts.read()
    }

    /// The ledger as it is.
    ///
    /// # Errors
    /// [`KeystoreError`]: an engine that forgot what it has taken would show texts twice.
    pub fn ledger(&mut self) -> Result<Ledger, KeystoreError> {
        self.ledger.read()
    }

    /// Keeps evidence and says so.
    pub fn keep(&self, evidence: &Evidence) {
        let today = Day::of_unix(clock::unix_seconds());
        match self.evidence.keep(evidence, &self.book, today) {
            Ok(Some(_)) => {
                tracing::error!(
                    "evidence against the phone book was kept. To do: ringfence evidence"
                )
            }
            Ok(None) => {}
            Err(fault) => tracing::error!(
                "evidence against the phone book could not be kept: {}. To do: {}",
                fault.unnamed(),
                fault.remedy()
            ),
        }
    }
}

/// Something to be written down.
#[derive(Debug)]
pub(crate) enum StateChange {
    Learnt {
        count: u64,
        learnt: Learnt,
    },
    Evidence(Evidence),
    /// All of it; a later one replaces it.
    Ledger(Box<Ledger>),
    /// The user has decided something about a contact. Whoever asked is told when the engine knows.
    Edit(Number, Edit, EditReply),
}

/// Where the outcome of an edit is waited for.
pub(crate) type EditReply = oneshot::Sender<Result<(), EditError>>;

/// Why an edit is not in the contacts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It makes no sense.
    #[error(transparent)]
    Contact(#[from] ContactFault),
    /// It could not be saved; the contacts are as they were.
    #[error("it could not be saved: {}. To do: {}", .0.unnamed(), .0.remedy())]
    Disk(#[from] KeystoreError),
    /// The engine has stopped, or its disk is too slow.
    #[error("the engine does not answer")]
    Away,
}

/// The contacts as they are on the disk, with everything learnt up to `count`.
#[derive(Debug)]
pub(crate) struct SavedContacts {
    pub(crate) contacts: Contacts,
    pub(crate) count: u64,
    /// Edits that are in it, or were refused.
    pub(crate) told: Vec<(EditReply, Result<(), ContactFault>)>,
}

/// The open diary of a running gateway.
#[derive(Debug)]
pub(crate) struct RunningWriter {
    pub(crate) entries: mpsc::Sender<StateChange>,
    pub(crate) saved: mpsc::Receiver<SavedContacts>,
    pub(crate) task: JoinHandle<()>,
}

/// Begins to write. The task ends, with everything written, when nobody can bring entries any more.
pub(crate) fn open(diary: StateWriter) -> RunningWriter {
    let (entries, brought) = mpsc::channel(WAITING);
    let (tell, saved) = mpsc::channel(1);
    let page = WriterTask {
        edition: diary.contacts.edition(),
        diary,
        waiting: Vec::new(),
        count: 0,
        complained: false,
    };
    RunningWriter {
        entries,
        saved,
        task: tokio::spawn(write(page, brought, tell)),
    }
}

async fn write(
    mut page: WriterTask,
    mut brought: mpsc::Receiver<StateChange>,
    tell: mpsc::Sender<SavedContacts>,
) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_open = true;
    while is_open {
        tokio::select! {
            entry = brought.recv() => match entry {
                Some(entry) => page.waiting.push(entry),
                None => is_open = false,
            },
            _ = look.tick() => {}
        }
        while let Ok(entry) = brought.try_recv() {
            page.waiting.push(entry);
        }
        let turned = spawn_blocking(move || {
            let saved = page.turn();
            (page, saved)
        });
        let Ok((back, saved)) = turned.await else {
            return;
        };
        page = back;
        if let Some(saved) = saved {
            // The gateway may be gone: then nobody needs to know.
            drop(tell.send(saved).await);
        }
    }
}

/// The diary in the hands of the task that writes.
#[derive(Debug)]
struct WriterTask {
    diary: StateWriter,
    edition: Option<crate::state::keystore::FileIdentity>,
    waiting: Vec<StateChange>,
    count: u64,
    complained: bool,
}

impl WriterTask {
    /// Writes what waits, and reads what others wrote. The contacts, if they are others than before.
    fn turn(&mut self) -> Option<SavedContacts> {
        let (mut learnt, mut ledger, mut edits) = (Vec::new(), None, Vec::new());
        for entry in std::mem::take(&mut self.waiting) {
            match entry {
                StateChange::Evidence(evidence) => self.diary.keep(&evidence),
                StateChange::Ledger(newer) => ledger = Some(newer),
                StateChange::Learnt {
                    count,
                    learnt: about,
                } => learnt.push((count, about)),
                StateChange::Edit(number, edit, asker) => edits.push((number, edit, asker)),
            }
        }
        if let Some(ledger) = ledger
            && let Err(fault) = self.diary.ledger.write(&ledger)
        {
            self.complain(&fault);
            self.waiting.push(StateChange::Ledger(ledger));
        }
        let edition = self.diary.contacts.edition();
        if learnt.is_empty() && edits.is_empty() && edition == self.edition {
            return None;
        }
        let outcome = self.diary.contacts.edit(|contacts| {
            for (_, about) in &learnt {
                contacts.learn(about);
            }
            let done = edits
                .iter()
                .map(|(number, edit, _)| contacts.edit(*number, edit));
            done.collect::<Vec<_>>()
        });
        match outcome {
            Ok((contacts, done)) => {
                self.complained = false;
                self.edition = self.diary.contacts.edition();
                self.count = learnt.last().map_or(self.count, |(count, _)| *count);
                Some(SavedContacts {
                    contacts,
                    count: self.count,
                    told: edits
                        .into_iter()
                        .map(|(.., asker)| asker)
                        .zip(done)
                        .collect(),
                })
            }
            Err(fault) => {
                self.complain(&fault);
                for (.., asker) in edits {
                    // Whoever asked may have gone.
                    drop(asker.send(Err(EditError::Disk(fault.clone()))));
                }
                learnt.truncate(WAITING);
                let again = learnt
                    .into_iter()
                    .map(|(count, learnt)| StateChange::Learnt { count, learnt });
                self.waiting.extend(again);
                None
            }
        }
    }

    fn complain(&mut self, fault: &KeystoreError) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(
                "contacts or ledger cannot be saved or read, and are tried again: {}. To do: {}",
                fault.unnamed(),
                fault.remedy()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringfence_book::Number;
    use ringfence_engine::line::identity::Identity;

    use super::*;

    const NUMBER: Number = Number::new(20_001);

    fn diary(folder: &Path) -> StateWriter {
        let key = Identity::generate(Day::LAST, &mut rand::rng()).key();
        let key = BookKey::from_bytes(key.as_bytes()).unwrap();
        let contacts = ContactsFile::open(folder, None);
        let ledger = LedgerFile::open(folder, None);
        StateWriter::new((contacts, ledger), EvidenceFolder::of(folder), key)
    }

    fn pin() -> Learnt {
        Learnt::Pin {
            number: NUMBER,
            identity: Identity::generate(Day::LAST, &mut rand::rng()).key(),
            day: Day::new(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_learnt_is_on_the_disk_and_what_is_edited_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = open(diary(folder.path()));
        let learnt = pin();
        let entry = StateChange::Learnt { count: 1, learnt };
        open.entries.send(entry).await.unwrap();
        let saved = open.saved.recv().await.unwrap();
        assert_eq!((saved.contacts.iter().count(), saved.count), (1, 1));
        assert_eq!(diary(folder.path()).contacts().unwrap(), saved.contacts);

        let mut beside = ContactsFile::open(folder.path(), None);
        beside
            .edit(|contacts| contacts.verify(NUMBER).unwrap())
            .unwrap();
        let saved = open.saved.recv().await.unwrap();
        assert!(saved.contacts.get(NUMBER).unwrap().verified);
        assert_eq!(saved.count, 1);
    }

    #[tokio::test]
    async fn an_edit_of_the_user_is_on_the_disk_when_the_engine_hears_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = open(diary(folder.path()));
        let learnt = pin();
        let entries = [
            StateChange::Learnt { count: 1, learnt },
            StateChange::Edit(NUMBER, Edit::Name("Bob".to_owned()), oneshot::channel().0),
            StateChange::Edit(Number::new(7), Edit::Remove, oneshot::channel().0),
        ];
        for entry in entries {
            open.entries.send(entry).await.unwrap();
        }
        let mut told = Vec::new();
        while told.len() < 2 {
            let saved = open.saved.recv().await.unwrap();
            told.extend(saved.told.into_iter().map(|(_, outcome)| outcome));
        }
        assert_eq!(told, [Ok(()), Err(ContactFault::Unknown)]);
        let contacts = diary(folder.path()).contacts().unwrap();
        assert_eq!(contacts.get(NUMBER).unwrap().name.as_deref(), Some("Bob"));
    }

    #[tokio::test]
    async fn of_many_ledgers_the_last_one_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let open = open(diary(folder.path()));
        let mut ledger = Ledger::default();
        for line in 0..3 {
            ledger.habits.entry(Number::new(line)).or_default();
            let entry = StateChange::Ledger(Box::new(ledger.clone()));
            open.entries.send(entry).await.unwrap();
        }
        drop((open.entries, open.saved));
        open.task.await.unwrap();
        assert_eq!(diary(folder.path()).ledger().unwrap(), ledger);
    }

    #[tokio::test]
    async fn the_last_entries_are_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let open = open(diary(folder.path()));
        let entry = StateChange::Learnt {
            count: 1,
            learnt: pin(),
        };
        open.entries.send(entry).await.unwrap();
        drop((open.entries, open.saved));
        open.task.await.unwrap();
        assert_eq!(diary(folder.path()).contacts().unwrap().iter().count(), 1);
    }
}
