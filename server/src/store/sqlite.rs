//! The store in an SQLite file: write-ahead log, every transaction on disk before it is answered (`synchronous = FULL`), several
//! processes side by side. The methods block; call them where blocking is allowed, never on a runtime's own thread.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::{Charter, Row, Store, StoreError};
use crate::admin::TokenDigest;
use crate::code::CodeDigest;
use crate::listing::LISTING_BYTES;
use crate::number::Number;

/// How long a transaction waits for another process's. All of ours last milliseconds.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Two processes that meet a new file both lay out its tables; the one that comes second finds them when it looks again.
const MIGRATION_TRIES: usize = 3;

/// An open database file.
pub struct SqliteStore {
    connection: SqliteConnection,
    runtime: Handle,
}

impl SqliteStore {
    /// Opens or creates the file, readable by its owner only, and brings its tables up to date. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn open(path: &Path, runtime: Handle) -> Result<Self, StoreError> {
        create_private(path).map_err(|error| StoreError::Database(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT);
        let connection = runtime.block_on(async {
            let mut connection = options.connect().await?;
            let mut result = Ok(());
            for _ in 0..MIGRATION_TRIES {
                result = sqlx::migrate!("./migrations").run(&mut connection).await;
                if result.is_ok() {
                    break;
                }
            }
            result.map(|()| connection).map_err(sqlx::Error::from)
        })?;
        Ok(Self {
            connection,
            runtime,
        })
    }

    fn transact<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Transaction<'_, Sqlite>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Self {
            connection,
            runtime,
        } = self;
        runtime.block_on(async {
            // Takes the write lock at once: what is read inside cannot be out of date when something is written.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let result = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(result)
        })
    }
}

impl Store for SqliteStore {
    fn charter(&mut self, proposal: &Charter) -> Result<Charter, StoreError> {
        self.transact(async |transaction| {
            sqlx::query(
                "INSERT INTO charter (id, seed, admin) VALUES (1, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(proposal.seed.as_slice())
            .bind(proposal.admin.as_bytes().as_slice())
            .execute(&mut **transaction)
            .await?;
            let (seed, admin): (Vec<u8>, Vec<u8>) =
                sqlx::query_as("SELECT seed, admin FROM charter WHERE id = 1")
                    .fetch_one(&mut **transaction)
                    .await?;
            let seed = Zeroizing::new(seed);
            Ok(Charter {
                seed: Zeroizing::new(
                    seed.as_slice()
                        .try_into()
                        .map_err(|_| StoreError::Corrupt("seed"))?,
                ),
                admin: TokenDigest::from_bytes(
                    admin
                        .try_into()
                        .map_err(|_| StoreError::Corrupt("token hash"))?,
                ),
            })
        })
    }

    fn fill(&mut self, records: &[(Number, [u8; LISTING_BYTES])]) -> Result<(), StoreError> {
        self.transact(async |transaction| {
            for (number, record) in records {
                sqlx::query(
                    "INSERT INTO numbers (number, record) VALUES (?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(i64::from(number.value()))
                .bind(record.as_slice())
                .execute(&mut **transaction)
                .await?;
            }
            Ok(())
        })
    }

    fn rows(&mut self, after: Option<u64>) -> Result<Vec<Row>, StoreError> {
        let Self {
            connection,
            runtime,
        } = self;
        let rows: Vec<(i64, Vec<u8>, i64)> = runtime.block_on(
            sqlx::query_as(
                "SELECT number, record, change FROM numbers WHERE change > ? ORDER BY number",
            )
            .bind(after.map_or(-1, stored))
            .fetch_all(connection),
        )?;
        rows.into_iter()
            .map(|(number, record, change)| {
                Ok(Row {
                    number: read_number(number)?,
                    record: record
                        .try_into()
                        .map_err(|_| StoreError::Corrupt("listing"))?,
                    change: u64::try_from(change).map_err(|_| StoreError::Corrupt("change"))?,
                })
            })
            .collect()
    }

    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError> {
        let Self {
            connection,
            runtime,
        } = self;
        let rows: Vec<(i64,)> = runtime.block_on(
            sqlx::query_as(
                "SELECT number FROM numbers WHERE code IS NULL
                 AND number NOT IN (SELECT number FROM codes WHERE expires > ?) ORDER BY number",
            )
            .bind(stored(now))
            .fetch_all(connection),
        )?;
        rows.into_iter()
            .map(|(number,)| read_number(number))
            .collect()
    }

    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError> {
        self.transact(async |transaction| {
            sqlx::query("DELETE FROM codes WHERE expires <= ?").bind(stored(now)).execute(&mut **transaction).await?;
            let done = sqlx::query(
                "INSERT INTO codes (digest, number, expires)
                 SELECT ?1, number, ?3 FROM numbers WHERE number = ?2 AND code IS NULL ON CONFLICT DO NOTHING",
            )
            .bind(code.as_bytes().as_slice())
            .bind(i64::from(number.value()))
            .bind(stored(expires))
            .execute(&mut **transaction)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &[u8; LISTING_BYTES],
        now: u64,
    ) -> Result<Option<Number>, StoreError> {
        self.transact(async |transaction| {
            let waiting: Option<(i64, i64)> = sqlx::query_as("DELETE FROM codes WHERE digest = ? RETURNING number, expires")
                .bind(code.as_bytes().as_slice())
                .fetch_optional(&mut **transaction)
                .await?;
            let row: Option<(i64,)> = match waiting {
                Some((_, expires)) if expires <= stored(now) => None,
                Some((number, _)) => {
                    sqlx::query_as(
                        "UPDATE numbers SET record = ?1, code = ?2, change = (SELECT MAX(change) + 1 FROM numbers)
                         WHERE number = ?3 AND code IS NULL RETURNING number",
                    )
                    .bind(record.as_slice())
                    .bind(code.as_bytes().as_slice())
                    .bind(number)
                    .fetch_optional(&mut **transaction)
                    .await?
                }
                None => {
                    sqlx::query_as("SELECT number FROM numbers WHERE code = ?1 AND record = ?2")
                        .bind(code.as_bytes().as_slice())
                        .bind(record.as_slice())
                        .fetch_optional(&mut **transaction)
                        .await?
                }
            };
            row.map(|(number,)| read_number(number)).transpose()
        })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore(..)")
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The file holds the book's private key: nobody else may read it, from its first byte on. SQLite gives its side files the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// SQLite counts in signed integers; no time and no count of ours reaches the end of them.
fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn read_number(stored: i64) -> Result<Number, StoreError> {
    u32::try_from(stored)
        .map(Number::new)
        .map_err(|_| StoreError::Corrupt("number"))
}
