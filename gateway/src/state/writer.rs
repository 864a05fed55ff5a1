//! The state writer of a running gateway: contacts, saved state and evidence reach the disk in a thread of their own, so that no call
//! waits for a disk. Contacts that a `ringfence contacts` command changes meanwhile are noticed within seconds.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use ringfence_book::{BookKey, Day, Number};
use ringfence_engine::line::saved_state::SavedState;
use ringfence_engine::restart::RestartState;
use ringfence_engine::trust::contacts::{ContactEdit, ContactError, ContactUpdate, Contacts};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::state::keystore::{
    ContactsFile, DamagedFile, Evidence, EvidenceFolder, FileIdentity, KeystoreError, RestartFile,
    SavedStateFile,
};

/// How often the contacts file is checked for changes by other programs.
const CHECK: Duration = Duration::from_secs(2);

/// Changes that wait to be written. The first answered call with a number brings one, so there are never so many; if there are, the
/// engine still has what the disk lacks.
const WAITING: usize = 256;

/// The files that a gateway writes.
#[derive(Debug)]
pub struct StateWriter {
    contacts: ContactsFile,
    /// The contacts as they were last read or written; `None` before that.
    known: Option<Contacts>,
    saved_state: SavedStateFile,
    restart: RestartFile,
    evidence: EvidenceFolder,
    book: BookKey,
}

impl StateWriter {
    /// The writer of these files, for the book with this key.
    #[must_use]
    pub fn new(
        (contacts, saved_state, restart): (ContactsFile, SavedStateFile, RestartFile),
        evidence: EvidenceFolder,
        book: BookKey,
    ) -> Self {
        Self {
            contacts,
            known: None,
            saved_state,
            restart,
            evidence,
            book,
        }
    }

    /// The contacts on the disk. A damaged file is set aside: the engine then pins the keys of known numbers anew, which the log and
    /// the status say until the user has acted.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn contacts(&mut self) -> Result<Contacts, KeystoreError> {
        let contacts = self.contacts.read_or_set_aside()?;
        self.known = Some(contacts.clone());
        Ok(contacts)
    }

    /// The saved state on the disk. A damaged file is set aside: relays give out the texts of the last seven days again, so that each
    /// of them is shown once more rather than never.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn saved_state(&mut self) -> Result<SavedState, KeystoreError> {
        self.saved_state.read_or_set_aside()
    }

    /// What the process before this one left. A file that cannot be read is replaced by the next change: it is worth something for
    /// minutes, and what it would have told phones and other engines they notice themselves.
    pub fn restart_state(&mut self) -> RestartState {
        self.restart.read().unwrap_or_else(|error| {
            tracing::warn!(
                "what the engine knew of phones and calls before its restart cannot be read, and phones have to register again: {}",
                error.unnamed()
            );
            RestartState::default()
        })
    }

    /// Writes evidence, and says so in the log.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses; nothing was written.
    pub fn keep(&self, evidence: &Evidence) -> Result<(), KeystoreError> {
        let today = Day::of_unix(clock::unix_seconds());
        if self.evidence.keep(evidence, &self.book, today)?.is_some() {
            tracing::error!("evidence against the phone book was saved. To do: ringfence evidence");
        }
        Ok(())
    }
}

/// A change that is to be written.
#[derive(Debug)]
pub(crate) enum StateChange {
    /// A key that the engine has learnt, and how many of them it has learnt so far.
    Learnt { count: u64, learnt: ContactUpdate },
    /// Proof against the phone book.
    Evidence(Evidence),
    /// The whole saved state; a later one replaces it.
    SavedState(Box<SavedState>),
    /// What the next process must know, all of it; a later one replaces it.
    Restart(Box<RestartState>),
    /// A change of a contact by the user. The reply comes when the engine has it.
    EditContact(Number, ContactEdit, EditReply),
}

/// Receives the outcome of an edit.
pub(crate) type EditReply = oneshot::Sender<Result<(), EditError>>;

/// Why a contact was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The change is not possible.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The disk refused; the contacts are as they were.
    #[error("the contacts could not be saved: {}. To do: {}", .0.unnamed(), .0.remedy())]
    Disk(#[from] KeystoreError),
    /// The engine has stopped, or its disk is too slow.
    #[error("the engine does not answer")]
    Stopped,
}

/// The contacts on the disk, with everything that the engine had learnt up to `count`.
#[derive(Debug)]
pub(crate) struct SavedContacts {
    pub(crate) contacts: Contacts,
    pub(crate) count: u64,
    /// Edits that are in it, or were refused.
    pub(crate) replies: Vec<(EditReply, Result<(), ContactError>)>,
}

/// A writer that runs.
#[derive(Debug)]
pub(crate) struct RunningWriter {
    pub(crate) changes: mpsc::Sender<StateChange>,
    pub(crate) saved: mpsc::Receiver<SavedContacts>,
    /// How many files of evidence against the phone book there are.
    pub(crate) evidence: watch::Receiver<usize>,
    /// The damaged files that lie beside, the first one of each kind.
    pub(crate) damaged: watch::Receiver<Vec<DamagedFile>>,
    /// Why something is not on the disk, which is tried again every two seconds.
    pub(crate) unsaved: watch::Receiver<Option<KeystoreError>>,
    task: JoinHandle<()>,
}

impl RunningWriter {
    /// Ends when everything is written.
    pub(crate) async fn finish(self) {
        drop((self.changes, self.saved));
        self.task.await.ok();
    }
}

impl StateWriter {
    /// Begins to write. The task ends, with everything written, when the changes' sender is gone.
    pub(crate) fn start(self) -> RunningWriter {
        let (changes, received) = mpsc::channel(WAITING);
        let (to_loop, saved) = mpsc::channel(1);
        let (shown, evidence) = watch::channel(self.evidence.count());
        let (seen, damaged) = watch::channel(self.contacts.damaged_beside());
        let (failed, unsaved) = watch::channel(None);
        let task = WriterTask {
            written: self.contacts.identity(),
            files: self,
            waiting: Vec::new(),
            count: 0,
            evidence: shown,
            damaged: seen,
            unsaved: failed,
        };
        RunningWriter {
            changes,
            saved,
            evidence,
            damaged,
            unsaved,
            task: tokio::spawn(write(task, received, to_loop)),
        }
    }
}

async fn write(
    task: WriterTask,
    mut changes: mpsc::Receiver<StateChange>,
    to_loop: mpsc::Sender<SavedContacts>,
) {
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let unsaved = task.unsaved.subscribe();
    let (to_thread, mut written) = start_thread(task);
    let (mut is_open, mut waiting) = (true, Vec::new());
    while is_open {
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => waiting.push(change),
                None => is_open = false,
            },
            _ = check.tick() => {}
        }
        while let Ok(change) = changes.try_recv() {
            waiting.push(change);
        }
        if to_thread.send(std::mem::take(&mut waiting)).is_err() {
            return;
        }
        let Some(saved) = written.recv().await else {
            return;
        };
        if let Some(saved) = saved {
            // At shutdown the loop may be gone.
            to_loop.send(saved).await.ok();
        }
    }
    if let Some(error) = &*unsaved.borrow() {
        tracing::error!(
            "what was new of contacts, calls, texts and evidence could not be saved before the end, and is lost: {}. To do: {}",
            error.unnamed(),
            error.remedy()
        );
    }
}

/// The thread that writes, for as long as changes can come. It is always the same one: with many calls a write takes megabytes for a moment,
/// which the allocator keeps for the thread that had them.
fn start_thread(
    mut task: WriterTask,
) -> (
    Sender<Vec<StateChange>>,
    mpsc::Receiver<Option<SavedContacts>>,
) {
    let (to_thread, received) = channel::<Vec<StateChange>>();
    let (to_task, written) = mpsc::channel(1);
    let failed = task.unsaved.clone();
    let thread = Builder::new().name("state".to_owned()).spawn(move || {
        for changes in received {
            task.waiting.extend(changes);
            if to_task.blocking_send(task.write()).is_err() {
                return;
            }
        }
    });
    if let Err(error) = thread {
        tracing::error!(%error, "there is no thread that writes contacts, saved state and restart state");
        failed.send_replace(Some(KeystoreError::Disk {
            act: "write",
            path: PathBuf::new(),
            kind: error.kind(),
        }));
    }
    (to_thread, written)
}

/// The files and the waiting changes, in the hands of the thread that writes.
#[derive(Debug)]
struct WriterTask {
    files: StateWriter,
    /// The contacts file as this task last wrote or read it.
    written: Option<FileIdentity>,
    waiting: Vec<StateChange>,
    count: u64,
    evidence: watch::Sender<usize>,
    damaged: watch::Sender<Vec<DamagedFile>>,
    unsaved: watch::Sender<Option<KeystoreError>>,
}

impl WriterTask {
    /// Writes the waiting changes, and reads what other programs wrote. Returns the contacts if they differ from before.
    fn write(&mut self) -> Option<SavedContacts> {
        let mut failed = None;
        let saved = self.write_all(&mut failed);
        self.unsaved
            .send_if_modified(|before| std::mem::replace(before, failed.clone()) != failed);
        saved
    }

    /// The same; the last error stays in `failed`. What the disk refuses waits for the next time, but for edits, whose user is told.
    fn write_all(&mut self, failed: &mut Option<KeystoreError>) -> Option<SavedContacts> {
        let (mut learnt, mut edits) = (Vec::new(), Vec::new());
        let (mut saved_state, mut restart) = (None, None);
        for change in std::mem::take(&mut self.waiting) {
            match change {
                StateChange::Evidence(evidence) => {
                    if let Err(error) = self.files.keep(&evidence) {
                        *failed = Some(error);
                        if self.waiting.len() < WAITING {
                            self.waiting.push(StateChange::Evidence(evidence));
                        }
                    }
                }
                StateChange::SavedState(newer) => saved_state = Some(newer),
                StateChange::Restart(newer) => restart = Some(newer),
                StateChange::Learnt {
                    count,
                    learnt: about,
                } => learnt.push((count, about)),
                StateChange::EditContact(number, edit, reply) => edits.push((number, edit, reply)),
            }
        }
        // First: a kill in this moment is what it is for.
        if let Some(restart) = restart
            && let Err(error) = self.files.restart.write(&restart)
        {
            *failed = Some(error);
            self.waiting.push(StateChange::Restart(restart));
        }
        // The user removes damaged files and evidence that are settled.
        self.damaged
            .send_replace(self.files.contacts.damaged_beside());
        let files = self.files.evidence.count();
        self.evidence
            .send_if_modified(|old| std::mem::replace(old, files) != files);
        if let Some(saved_state) = saved_state
            && let Err(error) = self.files.saved_state.write(&saved_state)
        {
            *failed = Some(error);
            self.waiting.push(StateChange::SavedState(saved_state));
        }
        if learnt.is_empty() && edits.is_empty() && self.files.contacts.identity() == self.written {
            return None;
        }
        let known = self.files.known.as_ref();
        let outcome = self.files.contacts.edit_from(known, |contacts| {
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
                self.files.known = Some(contacts.clone());
                self.written = self.files.contacts.identity();
                self.count = learnt.last().map_or(self.count, |(count, _)| *count);
                let replies = edits.into_iter().map(|(.., reply)| reply).zip(done);
                Some(SavedContacts {
                    contacts,
                    count: self.count,
                    replies: replies.collect(),
                })
            }
            Err(error) => {
                for (.., reply) in edits {
                    reply.send(Err(EditError::Disk(error.clone()))).ok();
                }
                if !learnt.is_empty() {
                    *failed = Some(error);
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
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringfence_book::Number;
    use ringfence_engine::line::identity::Identity;

    use super::*;
    use crate::state::keystore::damaged_files;
    use crate::state::keystore::evidence::tests as evidence_tests;
    use crate::state::keystore::restart_state;
    use crate::state::keystore::vault::Vault;
    use ringfence_engine::time::UnixTime;

    const NUMBER: Number = Number::new(20_001);

    fn writer(folder: &Path) -> StateWriter {
        let key = Identity::generate(&mut rand::rng()).key();
        let key = BookKey::from_bytes(key.as_bytes()).unwrap();
        let contacts = ContactsFile::open(folder, None);
        let saved_state = SavedStateFile::open(folder, None);
        let restart = RestartFile::new(folder, Vault::new(folder, None));
        let files = (contacts, saved_state, restart);
        StateWriter::new(files, EvidenceFolder::of(folder), key)
    }

    fn pin() -> ContactUpdate {
        ContactUpdate::Pin {
            number: NUMBER,
            identity: Identity::generate(&mut rand::rng()).key(),
            day: Day::new(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_learnt_is_on_the_disk_and_what_is_edited_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = writer(folder.path()).start();
        let learnt = pin();
        let change = StateChange::Learnt { count: 1, learnt };
        running.changes.send(change).await.unwrap();
        let saved = running.saved.recv().await.unwrap();
        assert_eq!((saved.contacts.iter().count(), saved.count), (1, 1));
        assert_eq!(writer(folder.path()).contacts().unwrap(), saved.contacts);

        let mut command = ContactsFile::open(folder.path(), None);
        command
            .edit(|contacts| contacts.verify(NUMBER).unwrap())
            .unwrap();
        let saved = running.saved.recv().await.unwrap();
        assert!(saved.contacts.get(NUMBER).unwrap().verified);
        assert_eq!(saved.count, 1);
    }

    #[tokio::test]
    async fn an_edit_of_the_user_is_on_the_disk_when_the_engine_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = writer(folder.path()).start();
        let learnt = pin();
        let changes = [
            StateChange::Learnt { count: 1, learnt },
            StateChange::EditContact(
                NUMBER,
                ContactEdit::Name("Bob".to_owned()),
                oneshot::channel().0,
            ),
            StateChange::EditContact(Number::new(7), ContactEdit::Remove, oneshot::channel().0),
        ];
        for change in changes {
            running.changes.send(change).await.unwrap();
        }
        let mut outcomes = Vec::new();
        while outcomes.len() < 2 {
            let saved = running.saved.recv().await.unwrap();
            outcomes.extend(saved.replies.into_iter().map(|(_, outcome)| outcome));
        }
        assert_eq!(outcomes, [Ok(()), Err(ContactError::Unknown)]);
        let contacts = writer(folder.path()).contacts().unwrap();
        assert_eq!(contacts.get(NUMBER).unwrap().name.as_deref(), Some("Bob"));
    }

    #[tokio::test]
    async fn contacts_that_are_damaged_while_the_engine_runs_are_written_anew_from_its_memory() {
        let folder = tempfile::tempdir().unwrap();
        ContactsFile::open(folder.path(), None)
            .edit(|contacts| contacts.learn(&pin()))
            .unwrap();
        let mut writer = writer(folder.path());
        let before = writer.contacts().unwrap();
        let running = writer.start();
        let path = folder.path().join("contacts.json");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        running.finish().await;
        let after = ContactsFile::open(folder.path(), None).read().unwrap();
        assert_eq!((after.iter().count(), after == before), (1, true));
        assert!(damaged_files(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn of_many_saved_states_the_last_one_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let running = writer(folder.path()).start();
        let mut saved_state = SavedState::default();
        for line in 0..3 {
            saved_state.settings.entry(Number::new(line)).or_default();
            let change = StateChange::SavedState(Box::new(saved_state.clone()));
            running.changes.send(change).await.unwrap();
        }
        running.finish().await;
        assert_eq!(writer(folder.path()).saved_state().unwrap(), saved_state);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_disk_refuses_is_said_while_it_does_and_written_once_it_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = writer(folder.path()).start();
        let mut saved_state = SavedState::default();
        for line in 0..2 {
            // A folder cannot be replaced by a file.
            let place = folder.path().join("ledger.json");
            std::fs::remove_file(&place).ok();
            std::fs::create_dir(&place).unwrap();
            saved_state.settings.entry(Number::new(line)).or_default();
            let change = StateChange::SavedState(Box::new(saved_state.clone()));
            running.changes.send(change).await.unwrap();
            let said = running.unsaved.wait_for(Option::is_some).await.unwrap();
            assert!(matches!(*said, Some(KeystoreError::Disk { .. })));
            drop(said);
            std::fs::remove_dir(&place).unwrap();
            running.unsaved.wait_for(Option::is_none).await.unwrap();
            assert_eq!(writer(folder.path()).saved_state().unwrap(), saved_state);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn evidence_that_a_disk_refuses_is_kept_once_it_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        let book = tempfile::tempdir().unwrap();
        let made = std::thread::spawn(move || evidence_tests::root(book.path()));
        let (root, _) = made.join().unwrap();
        // A file is where the folder should be.
        std::fs::write(&evidence, "").unwrap();
        let mut running = writer(folder.path()).start();
        let change = StateChange::Evidence(Evidence::Roots {
            known: Box::new(root),
            shown: Box::new(root),
        });
        running.changes.send(change).await.unwrap();
        running.unsaved.wait_for(Option::is_some).await.unwrap();
        std::fs::remove_file(&evidence).unwrap();
        running.unsaved.wait_for(Option::is_none).await.unwrap();
        assert_eq!(EvidenceFolder::of(folder.path()).count(), 1);
    }

    #[tokio::test]
    async fn a_damaged_restart_state_is_said_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = RestartState {
            written: UnixTime::from_millis(7),
            ..RestartState::default()
        };
        let running = writer(folder.path()).start();
        let change = StateChange::Restart(Box::new(state.clone()));
        running.changes.send(change).await.unwrap();
        running.finish().await;
        assert_eq!(writer(folder.path()).restart_state(), state);
        let path = folder.path().join(restart_state::FILE);
        for damaged in [&b"{"[..], b"", b"\0\xff"] {
            std::fs::write(&path, damaged).unwrap();
            let read = writer(folder.path()).restart_state();
            assert_eq!(read, RestartState::default());
        }
    }

    #[tokio::test]
    async fn the_last_changes_are_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let running = writer(folder.path()).start();
        let change = StateChange::Learnt {
            count: 1,
            learnt: pin(),
        };
        running.changes.send(change).await.unwrap();
        running.finish().await;
        assert_eq!(writer(folder.path()).contacts().unwrap().iter().count(), 1);
    }
}
