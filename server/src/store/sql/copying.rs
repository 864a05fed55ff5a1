//! Copies a whole book from one database to another: a backup, its way back, and the move between SQLite and PostgreSQL. What is
//! read is a view of one moment, while others go on writing; what is written is there whole or not at all.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row as _};

use super::{Kind, SqlStore};
use crate::store::StoreError;

/// Rows in one statement, and in memory.
const PAGE: usize = 256;

#[derive(Clone, Copy)]
enum Column {
    Integer(&'static str),
    Bytes(&'static str),
}

use Column::{Bytes, Integer};

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Integer(name) | Bytes(name) => name,
        }
    }
}

/// A table, its key first.
struct Table {
    name: &'static str,
    columns: &'static [Column],
}

/// All tables, those first that others refer to.
const TABLES: [Table; 7] = [
    Table {
        name: "charter",
        columns: &[Integer("id"), Bytes("seed"), Bytes("admin")],
    },
    Table {
        name: "numbers",
        columns: &[
            Integer("number"),
            Bytes("record"),
            Integer("epoch"),
            Integer("listed"),
            Bytes("code"),
            Bytes("owner"),
            Integer("retired"),
            Integer("generation"),
            Integer("due"),
        ],
    },
    Table {
        name: "codes",
        columns: &[Bytes("digest"), Integer("number"), Integer("expires")],
    },
    Table {
        name: "queue",
        columns: &[
            Integer("number"),
            Integer("place"),
            Bytes("record"),
            Integer("listed"),
            Integer("generation"),
            Integer("due"),
        ],
    },
    Table {
        name: "networks",
        columns: &[Bytes("digest"), Bytes("settings")],
    },
    Table {
        name: "epochs",
        columns: &[Integer("epoch"), Bytes("root"), Bytes("network")],
    },
    Table {
        name: "deltas",
        columns: &[Integer("epoch"), Bytes("delta")],
    },
];

impl SqlStore {
    /// Copies everything into an empty store. False: it holds a book already, and stays as it is.
    ///
    /// # Errors
    /// [`StoreError`]; the other store is then as it was.
    pub fn copy_into(&mut self, other: &mut Self) -> Result<bool, StoreError> {
        let runtime = self.0.runtime.clone();
        runtime.block_on(async {
            let (reading, writing, turn) = (
                self.0.kind.begin_reading(),
                other.0.kind.begin_writing(),
                other.0.kind.turn(),
            );
            let mut from = self.0.connected().await?.begin_with(reading).await?;
            let mut to = other.0.connected().await?.begin_with(writing).await?;
            if let Some(turn) = turn {
                sqlx::query(turn).execute(&mut *to).await?;
            }
            if sqlx::query("SELECT id FROM charter")
                .fetch_optional(&mut *to)
                .await?
                .is_some()
            {
                return Ok(false);
            }
            for table in &TABLES {
                table.copy(&mut from, &mut to).await?;
            }
            to.commit().await?;
            Ok(true)
        })
    }

    /// Ends the connection. An SQLite file then needs no other beside it. The next use makes a new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle(&mut self) -> Result<(), StoreError> {
        let runtime = self.0.runtime.clone();
        runtime.block_on(async {
            if self.0.kind == Kind::Sqlite {
                let connection = self.0.connected().await?;
                sqlx::query("PRAGMA journal_mode = DELETE")
                    .execute(connection)
                    .await?;
            }
            if let Some(connection) = self.0.connection.take() {
                connection.close().await?;
            }
            Ok(())
        })
    }
}

impl Table {
    async fn copy(
        &self,
        from: &mut AnyConnection,
        to: &mut AnyConnection,
    ) -> Result<(), StoreError> {
        let mut last: Option<AnyRow> = None;
        loop {
            let page = self.page(from, last.as_ref()).await?;
            if page.is_empty() {
                return Ok(());
            }
            self.insert(to, &page).await?;
            last = page.into_iter().next_back();
        }
    }

    /// The rows after this one.
    async fn page(
        &self,
        from: &mut AnyConnection,
        last: Option<&AnyRow>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let (key, columns, name) = (names.first().unwrap_or(&""), names.join(", "), self.name);
        let after = last.map_or_else(String::new, |_| format!("WHERE {key} > $1"));
        let statement = format!("SELECT {columns} FROM {name} {after} ORDER BY {key} LIMIT {PAGE}");
        let mut query = sqlx::query(AssertSqlSafe(statement));
        if let (Some(last), Some(column)) = (last, self.columns.first()) {
            query = match column {
                Integer(_) => query.bind(last.try_get::<i64, _>(0)?),
                Bytes(_) => query.bind(last.try_get::<Vec<u8>, _>(0)?),
            };
        }
        Ok(query.fetch_all(from).await?)
    }

    async fn insert(&self, to: &mut AnyConnection, rows: &[AnyRow]) -> Result<(), StoreError> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let mut statement = format!("INSERT INTO {} ({}) VALUES ", self.name, names.join(", "));
        for place in 0..rows.len() * names.len() {
            let before = match (place % names.len(), place) {
                (0, 0) => "(",
                (0, _) => "), (",
                _ => ", ",
            };
            write!(statement, "{before}${}", place + 1)
                .expect("a string takes all that is written to it");
        }
        statement.push(')');
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for row in rows {
            for (place, column) in self.columns.iter().enumerate() {
                query = match column {
                    Integer(_) => query.bind(row.try_get::<Option<i64>, _>(place)?),
                    Bytes(_) => query.bind(row.try_get::<Option<Vec<u8>>, _>(place)?),
                };
            }
        }
        query.execute(to).await?;
        Ok(())
    }
}
