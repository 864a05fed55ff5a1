//! The store in a database: an SQLite file, or PostgreSQL when several servers share a book. The statements are the same for both.
//! Every transaction is on disk before it is answered, and writers take turns, so that what one reads is not out of date when it
//! writes. A connection that failed is made anew at the next call. The methods block; call them where blocking is allowed, never
//! on a runtime's own thread.

mod copying;
mod epochs;
mod numbers;
mod opening;
mod reading;

use std::fmt;

use ringfence_book::code::CodeDigest;
use ringfence_book::keys::KEY_BYTES;
use ringfence_book::number::Number;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection};
use tokio::runtime::Handle;

use super::{
    Archive, BookSeed, Closing, Edition, NextKey, NumberCounts, NumberState, Record, Revision,
    RootBytes, Row, Store, StoreError, StoredStep,
};

/// Which database it is: what they do not have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// Settings of a new connection.
    const fn manners(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 5000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
            ],
            Self::Postgres => &[
                "SET synchronous_commit = on",
                "SET lock_timeout = '5s'",
                "SET idle_in_transaction_session_timeout = '10s'",
            ],
        }
    }

    /// A view of one moment, which waits for no writer.
    const fn begin_reading(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    const fn begin_writing(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// What makes writers take turns, where beginning does not.
    const fn turn(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(7420)"),
        }
    }
}

/// A database, and the connection to it.
struct Line {
    kind: Kind,
    options: AnyConnectOptions,
    connection: Option<AnyConnection>,
    runtime: Handle,
}

impl Line {
    fn another(&self) -> Self {
        Self {
            kind: self.kind,
            options: self.options.clone(),
            connection: None,
            runtime: self.runtime.clone(),
        }
    }

    /// The connection, made anew if there is none.
    async fn connected(&mut self) -> Result<&mut AnyConnection, StoreError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(connect(self.kind, &self.options).await?)),
        }
    }

    /// Works on the connection in one transaction. It is given up after an error of the database, whatever that was.
    fn transact<T>(
        &mut self,
        begin: &'static str,
        turn: Option<&'static str>,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.clone();
        let result = runtime.block_on(async {
            let mut transaction = self.connected().await?.begin_with(begin).await?;
            if let Some(turn) = turn {
                sqlx::query(turn).execute(&mut *transaction).await?;
            }
            let result = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(result)
        });
        if matches!(result, Err(StoreError::Database(_))) {
            self.connection = None;
        }
        result
    }

    fn read<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(self.kind.begin_reading(), None, work)
    }

    fn write<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(self.kind.begin_writing(), self.kind.turn(), work)
    }
}

async fn connect(kind: Kind, options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    let mut connection = options.connect().await?;
    for manner in kind.manners() {
        sqlx::query(*manner).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// An open database.
pub struct SqlStore(Line);

impl Store for SqlStore {
    fn seed_of_book(&mut self, proposal: &BookSeed) -> Result<BookSeed, StoreError> {
        self.0
            .write(async |db| numbers::seed_of_book(db, proposal).await)
    }

    fn span(&mut self) -> Result<Option<(Number, Number)>, StoreError> {
        self.0.read(async |db| reading::span(db).await)
    }

    fn rows(&mut self, first: Number, last: Number) -> Result<Vec<Row>, StoreError> {
        self.0.read(async |db| reading::rows(db, first, last).await)
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        self.0.write(async |db| numbers::fill(db, rows).await)
    }

    fn due(&mut self, now: u64, limit: u16) -> Result<Vec<Row>, StoreError> {
        self.0.read(async |db| reading::due(db, now, limit).await)
    }

    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError> {
        self.0.read(async |db| reading::free(db, now).await)
    }

    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError> {
        self.0
            .write(async |db| numbers::issue(db, number, code, now, expires).await)
    }

    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &Record,
        now: u64,
    ) -> Result<Option<Number>, StoreError> {
        self.0
            .write(async |db| numbers::redeem(db, code, record, now).await)
    }

    fn listing(&mut self, number: Number) -> Result<Option<Record>, StoreError> {
        self.0.read(async |db| reading::listing(db, number).await)
    }

    fn rotate(&mut self, number: Number, record: &Record) -> Result<Option<u64>, StoreError> {
        self.0
            .write(async |db| numbers::rotate(db, number, record).await)
    }

    fn retire(
        &mut self,
        owner: Option<&[u8; KEY_BYTES]>,
        decoy: &Revision,
        now: u64,
    ) -> Result<bool, StoreError> {
        self.0
            .write(async |db| numbers::retire(db, owner, decoy, now).await)
    }

    fn queue(&mut self, limit: u16) -> Result<Vec<Revision>, StoreError> {
        self.0.read(async |db| epochs::queue(db, limit).await)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Result<bool, StoreError> {
        self.0.write(async |db| epochs::close(db, closing).await)
    }

    fn last_root(&mut self) -> Result<Option<RootBytes>, StoreError> {
        self.0.read(async |db| epochs::last_root(db).await)
    }

    fn edition(&mut self, after: u32) -> Result<Option<Edition>, StoreError> {
        self.0.read(async |db| epochs::edition(db, after).await)
    }

    fn number_counts(&mut self, now: u64) -> Result<NumberCounts, StoreError> {
        self.0
            .read(async |db| reading::number_counts(db, now).await)
    }

    fn states(
        &mut self,
        from: Number,
        limit: u32,
        now: u64,
    ) -> Result<Vec<(Number, NumberState)>, StoreError> {
        self.0
            .read(async |db| reading::states(db, from, limit, now).await)
    }

    fn archive(&mut self) -> Result<Box<dyn Archive>, StoreError> {
        Ok(Box::new(SqlArchive(self.0.another())))
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlStore").field(&self.0.kind).finish()
    }
}

/// A second connection, which only reads.
struct SqlArchive(Line);

impl Archive for SqlArchive {
    fn roots(&mut self, first: u32, last: u32) -> Result<Vec<RootBytes>, StoreError> {
        self.0.read(async |db| epochs::roots(db, first, last).await)
    }

    fn steps(&mut self, first: u32, last: u32) -> Result<Vec<StoredStep>, StoreError> {
        self.0.read(async |db| epochs::steps(db, first, last).await)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Databases count in signed integers; no time and no count of ours reaches the end of them.
fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn stored_number(number: Number) -> i64 {
    i64::from(number.value())
}

fn read_number(stored: i64) -> Result<Number, StoreError> {
    u32::try_from(stored)
        .map(Number::new)
        .map_err(|_| StoreError::Corrupt("number"))
}

fn read_count(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| StoreError::Corrupt("count"))
}

fn read_bytes<const N: usize>(stored: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    stored.try_into().map_err(|_| StoreError::Corrupt(what))
}

fn read_next((generation, due): (i64, i64)) -> Result<NextKey, StoreError> {
    let corrupt = |_| StoreError::Corrupt("next ring key of a decoy");
    Ok(NextKey {
        generation: u32::try_from(generation).map_err(corrupt)?,
        due: u64::try_from(due).map_err(corrupt)?,
    })
}
