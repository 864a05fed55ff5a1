//! Backups: one SQLite file that holds a whole book, taken while it is served, from SQLite or PostgreSQL; and their way back into
//! either. This is also how a book moves from the one to the other.

use std::fs;
use std::path::{Path, PathBuf};

use ringfence_book::root::{ROOT_BYTES, Root, RootError};
use ringfence_daemon::clock::unix_now;
use tokio::runtime::Handle;

use super::{OperatorError, at_desk, plan_of, with_book};
use crate::book::{Book, ResumeError, Schedule};
use crate::config::{Config, Database};
use crate::service::{StartError, draw_seed, open_database};
use crate::store::sql::SqlStore;
use crate::store::{Store, StoreError};

/// Copies the book into a new file, readable by its owner only.
///
/// # Errors
/// [`OperatorError`]; there is no file then.
pub async fn backup(config: &Config, file: &Path) -> Result<(), OperatorError> {
    let (database, file) = (config.database.clone(), file.to_owned());
    at_desk(move |runtime| {
        if file.exists() {
            return Err(OperatorError::Exists(file));
        }
        let mut book = existing(&database, runtime.clone())?;
        // Under another name until it is whole.
        let mut unfinished = file.clone().into_os_string();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        if unfinished.exists() {
            return Err(OperatorError::Exists(unfinished));
        }
        let copied = copy(&mut book, &unfinished, runtime);
        let named = copied.and_then(|()| {
            fs::rename(&unfinished, &file)
                .map_err(|cause| OperatorError::File { path: file, cause })
        });
        named.inspect_err(|_| remove(&unfinished))
    })
    .await
}

/// Copies a backup into a database without a book. Answers the last epoch in it (0: none): what was served of later ones will be
/// signed anew, which engines that saw them hold against the book.
///
/// # Errors
/// [`OperatorError`]; the database is as it was then.
pub async fn restore(config: &Config, file: &Path) -> Result<u32, OperatorError> {
    let (config, file) = (config.clone(), file.to_owned());
    at_desk(move |runtime| {
        let (mut backup, epoch) = checked(&config, &file, &runtime)?;
        if let Database::File(path) = &config.database {
            if path.exists() {
                return Err(OperatorError::Exists(path.clone()));
            }
            copy(&mut backup, path, runtime).inspect_err(|_| remove(path))?;
            return Ok(epoch);
        }
        let empty = open_database(&config.database, runtime)?;
        let mut empty = empty.ok_or(OperatorError::InMemory)?;
        if backup.copy_into(&mut empty)? {
            Ok(epoch)
        } else {
            Err(OperatorError::Occupied)
        }
    })
    .await
}

/// Goes on after the roots that an engine has seen since the backup that is in this database, so that engines follow. Answers the epoch
/// that was closed for it.
///
/// # Errors
/// [`OperatorError`]; see [`Book::resume`].
pub async fn resume(config: &Config, file: &Path) -> Result<u32, OperatorError> {
    let bytes = fs::read(file).map_err(|cause| OperatorError::File {
        path: file.to_owned(),
        cause,
    })?;
    with_book(config, move |book| {
        let (parts, rest) = bytes.as_chunks::<ROOT_BYTES>();
        let roots = parts.iter().map(|part| Root::decode(part, &book.key()));
        let roots: Vec<Root> = roots.collect::<Result<_, _>>().map_err(ResumeError::Root)?;
        if !rest.is_empty() {
            return Err(ResumeError::Root(RootError::Length).into());
        }
        Ok(book.resume(&roots, unix_now())?.states().epoch)
    })
    .await
}

/// The backup and its last epoch, if a book opens from it: its records are those that its last root names.
fn checked(
    config: &Config,
    file: &Path,
    runtime: &Handle,
) -> Result<(SqlStore, u32), OperatorError> {
    let refused = |cause| OperatorError::NoBackup {
        path: file.to_owned(),
        cause,
    };
    let open = || SqlStore::sqlite_with_book(file, runtime.clone());
    let mut backup = open().map_err(|cause| refused(cause.into()))?;
    let plan = plan_of(&mut backup).map_err(|cause| refused(cause.into()))?;
    let plan = plan.ok_or_else(|| refused(StoreError::Corrupt("number plan").into()))?;
    let terms = Schedule {
        plan,
        ..config.terms()
    };
    let (book, _) =
        Book::open(Box::new(backup), terms, draw_seed()?, unix_now()).map_err(refused)?;
    let epoch = book
        .published()
        .root()
        .map_or(0, |root| root.states().epoch);
    drop(book);
    let backup = open().map_err(|cause| refused(cause.into()))?;
    Ok((backup, epoch))
}

fn existing(database: &Database, runtime: Handle) -> Result<SqlStore, OperatorError> {
    if let Database::File(path) = database
        && !path.exists()
    {
        return Err(OperatorError::NoBook(database.place()));
    }
    let store = open_database(database, runtime)?;
    let mut store = store.ok_or(OperatorError::InMemory)?;
    match store.span()? {
        Some(_) => Ok(store),
        None => Err(OperatorError::NoBook(database.place())),
    }
}

/// Copies into a new SQLite file.
fn copy(from: &mut SqlStore, path: &Path, runtime: Handle) -> Result<(), OperatorError> {
    let mut to = SqlStore::sqlite(path, runtime).map_err(|cause| StartError::Database {
        path: path.to_owned(),
        cause,
    })?;
    if !from.copy_into(&mut to)? {
        return Err(OperatorError::Occupied);
    }
    Ok(to.settle()?)
}

/// A part must not be taken for the whole; that it cannot be removed is less than what went wrong before.
fn remove(file: &Path) {
    drop(fs::remove_file(file));
}
