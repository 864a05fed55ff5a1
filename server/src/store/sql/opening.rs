//! Opening a database and bringing its tables up to date.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, ConnectOptions};
use tokio::runtime::Handle;

use super::{Kind, Line, SqlStore, connect};
use crate::store::StoreError;

static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Two processes that meet a new file both lay out its tables; the one that comes second finds them when it looks again.
const MIGRATION_TRIES: usize = 3;

impl SqlStore {
    /// Opens or creates an SQLite file, readable by its owner only, and brings its tables up to date. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sqlite(path: &Path, runtime: Handle) -> Result<Self, StoreError> {
        create_private(path).map_err(|error| StoreError::Database(error.into()))?;
        Self::open(Kind::Sqlite, &sqlite_url(path), runtime)
    }

    /// Opens an SQLite file that holds a book, and brings its tables up to date. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; another file is left as it is.
    pub fn sqlite_with_book(path: &Path, runtime: Handle) -> Result<Self, StoreError> {
        install_default_drivers();
        File::open(path).map_err(|error| StoreError::Database(error.into()))?;
        let options = AnyConnectOptions::from_str(&sqlite_url(path))?;
        runtime.block_on(async {
            let mut connection = options.connect().await?;
            let book = sqlx::query("SELECT id FROM charter").fetch_optional(&mut connection);
            book.await?.ok_or(StoreError::Corrupt("phone book"))
        })?;
        Self::open(Kind::Sqlite, &sqlite_url(path), runtime)
    }

    /// Opens a PostgreSQL database, `postgres://user:password@host/name`, and brings its tables up to date. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn postgres(url: &str, runtime: Handle) -> Result<Self, StoreError> {
        Self::open(Kind::Postgres, url, runtime)
    }

    fn open(kind: Kind, url: &str, runtime: Handle) -> Result<Self, StoreError> {
        install_default_drivers();
        let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
        let connection = runtime.block_on(async {
            let mut connection = connect(kind, &options).await?;
            lay_out(kind, &mut connection).await?;
            Ok::<_, StoreError>(connection)
        })?;
        Ok(Self(Line {
            kind,
            options,
            connection: Some(connection),
            runtime,
        }))
    }
}

fn sqlite_url(path: &Path) -> String {
    let name = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    format!("sqlite:{name}")
}

async fn lay_out(kind: Kind, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let migrator = match kind {
        Kind::Sqlite => &SQLITE,
        Kind::Postgres => &POSTGRES,
    };
    let mut result = Ok(());
    for _ in 0..MIGRATION_TRIES {
        result = migrator.run(&mut *connection).await;
        if result.is_ok() {
            break;
        }
    }
    result.map_err(|error| sqlx::Error::from(error).into())
}

/// The file holds the book's private key: no other user may read it, from its first byte on. SQLite gives its side files the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
