//! Opening the database of a book, and the book in it. Both block, and the system's randomness is asked here.

use rand::TryRng;
use rand::rngs::SysRng;
use ringfence_daemon::clock::unix_now;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::StartError;
use crate::book::Book;
use crate::book::admin_token::AdminToken;
use crate::config::{Config, Database};
#[cfg(feature = "sql")]
use crate::store::sql::SqlStore;
use crate::store::{MemoryStore, Store};

/// Opens the book where the settings say. The token comes with it if this made the book.
pub(super) async fn open_book(config: &Config) -> Result<(Book, Option<AdminToken>), StartError> {
    let (database, terms, runtime) = (config.database.clone(), config.terms(), Handle::current());
    let seed = draw_seed()?;
    let open = move || {
        Ok(Book::open(
            open_store(database, runtime)?,
            terms,
            seed,
            unix_now(),
        )?)
    };
    spawn_blocking(open)
        .await
        .map_err(|_| StartError::Interrupted)?
}

/// Blocks.
#[cfg(feature = "sql")]
pub(crate) fn open_store(
    database: Database,
    runtime: Handle,
) -> Result<Box<dyn Store>, StartError> {
    Ok(match open_database(&database, runtime)? {
        Some(store) => Box::new(store),
        None => Box::new(MemoryStore::new()),
    })
}

/// Without SQL there is one kind of store.
#[cfg(not(feature = "sql"))]
fn open_store(database: Database, _runtime: Handle) -> Result<Box<dyn Store>, StartError> {
    let Database::Memory = database;
    Ok(Box::new(MemoryStore::new()))
}

/// `None` if nothing is to outlive the process. Blocks.
#[cfg(feature = "sql")]
pub(crate) fn open_database(
    database: &Database,
    runtime: Handle,
) -> Result<Option<SqlStore>, StartError> {
    match database {
        Database::Memory => Ok(None),
        Database::File(path) => match SqlStore::sqlite(path, runtime) {
            Ok(store) => Ok(Some(store)),
            Err(cause) => Err(StartError::Database {
                path: path.clone(),
                cause,
            }),
        },
        Database::Postgres(url) => SqlStore::postgres(url, runtime)
            .map(Some)
            .map_err(StartError::Postgres),
    }
}

/// From the system's random source.
pub(crate) fn draw_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|_| StartError::Random)?;
    Ok(seed)
}
