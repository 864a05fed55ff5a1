//! What waits for an epoch, how one ends, and what the ended ones published.

use ringfence_book::blocks::{BLOCK_ROOTS, block_of, first_of_block};
use sha2::{Digest, Sha256};
use sqlx::AnyConnection;

use super::reading::{RawRow, read_row};
use super::{read_bytes, read_next, read_number, stored, stored_number};
use crate::store::{Closing, Edition, Revision, RootBytes, StoreError, StoredStep};

/// A row of `queue`: number, record, listed, generation, due.
type RawRevision = (i64, Vec<u8>, i64, Option<i64>, Option<i64>);

pub(super) async fn queue(db: &mut AnyConnection, limit: u16) -> Result<Vec<Revision>, StoreError> {
    let waiting: Vec<RawRevision> = sqlx::query_as(
        "SELECT number, record, listed, generation, due FROM queue ORDER BY place LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    let revision = |(number, record, listed, generation, due): RawRevision| {
        Ok(Revision {
            number: read_number(number)?,
            record: read_bytes(&record, "listing")?,
            listed: listed != 0,
            next: generation.zip(due).map(read_next).transpose()?,
        })
    };
    waiting.into_iter().map(revision).collect()
}

pub(super) async fn close(
    db: &mut AnyConnection,
    closing: &Closing<'_>,
) -> Result<bool, StoreError> {
    let epoch = i64::from(closing.epoch);
    if !begin(db, epoch, closing).await? {
        return Ok(false);
    }
    for new in closing.revisions {
        sqlx::query(
            "UPDATE numbers SET record = $1, listed = $2, epoch = $3, generation = COALESCE($4, generation),
             due = COALESCE($5, due) WHERE number = $6",
        )
        .bind(new.record.as_slice())
        .bind(i64::from(new.listed))
        .bind(epoch)
        .bind(new.next.map(|next| i64::from(next.generation)))
        .bind(new.next.map(|next| stored(next.due)))
        .bind(stored_number(new.number))
        .execute(&mut *db)
        .await?;
        sqlx::query("DELETE FROM queue WHERE number = $1 AND record = $2")
            .bind(stored_number(new.number))
            .bind(new.record.as_slice())
            .execute(&mut *db)
            .await?;
    }
    if let Some(delta) = closing.delta {
        sqlx::query("INSERT INTO deltas (epoch, delta) VALUES ($1, $2)")
            .bind(epoch)
            .bind(delta)
            .execute(&mut *db)
            .await?;
    }
    sqlx::query("DELETE FROM deltas WHERE epoch < $1")
        .bind(i64::from(closing.keep_from))
        .execute(db)
        .await?;
    Ok(true)
}

/// Stores the root, if it is the next one.
async fn begin(
    db: &mut AnyConnection,
    epoch: i64,
    closing: &Closing<'_>,
) -> Result<bool, StoreError> {
    let network = Sha256::digest(closing.network).0;
    sqlx::query("INSERT INTO networks (digest, settings) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(network.as_slice())
        .bind(closing.network)
        .execute(&mut *db)
        .await?;
    let done = sqlx::query(
        "INSERT INTO epochs (epoch, root, network) SELECT $1, $2, $3
         WHERE $4 = (SELECT COALESCE(MAX(epoch), 0) FROM epochs) ON CONFLICT DO NOTHING",
    )
    .bind(epoch)
    .bind(closing.root.as_slice())
    .bind(network.as_slice())
    .bind(i64::from(closing.after))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn last_root(db: &mut AnyConnection) -> Result<Option<RootBytes>, StoreError> {
    let root: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT root FROM epochs ORDER BY epoch DESC LIMIT 1")
            .fetch_optional(db)
            .await?;
    root.map(|(root,)| read_bytes(&root, "root")).transpose()
}

pub(super) async fn edition(
    db: &mut AnyConnection,
    after: u32,
) -> Result<Option<Edition>, StoreError> {
    let last: Option<(i64, Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT epoch, root, settings FROM epochs LEFT JOIN networks ON digest = network
         WHERE epoch > $1 ORDER BY epoch DESC LIMIT 1",
    )
    .bind(i64::from(after))
    .fetch_optional(&mut *db)
    .await?;
    let Some((epoch, root, network)) = last else {
        return Ok(None);
    };
    let epoch = u32::try_from(epoch).map_err(|_| StoreError::Corrupt("epoch"))?;
    let rows: Vec<RawRow> = sqlx::query_as(
        "SELECT number, record, epoch, listed, generation, due FROM numbers WHERE epoch > $1",
    )
    .bind(i64::from(after))
    .fetch_all(&mut *db)
    .await?;
    let first = first_of_block(block_of(epoch, BLOCK_ROOTS), BLOCK_ROOTS);
    Ok(Some(Edition {
        root: read_bytes(&root, "root")?,
        network: network.ok_or(StoreError::Corrupt("network settings of an epoch"))?,
        rows: rows.into_iter().map(read_row).collect::<Result<_, _>>()?,
        block: steps(db, first, epoch).await?,
    }))
}

pub(super) async fn roots(
    db: &mut AnyConnection,
    first: u32,
    last: u32,
) -> Result<Vec<RootBytes>, StoreError> {
    let roots: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT root FROM epochs WHERE epoch BETWEEN $1 AND $2 ORDER BY epoch")
            .bind(i64::from(first))
            .bind(i64::from(last))
            .fetch_all(db)
            .await?;
    let roots = roots.into_iter();
    roots.map(|(root,)| read_bytes(&root, "root")).collect()
}

pub(super) async fn steps(
    db: &mut AnyConnection,
    first: u32,
    last: u32,
) -> Result<Vec<StoredStep>, StoreError> {
    let steps: Vec<(i64, Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT epochs.epoch, root, delta FROM epochs LEFT JOIN deltas ON deltas.epoch = epochs.epoch
         WHERE epochs.epoch BETWEEN $1 AND $2 ORDER BY epochs.epoch",
    )
    .bind(i64::from(first))
    .bind(i64::from(last))
    .fetch_all(db)
    .await?;
    let step = |(epoch, root, delta): (i64, Vec<u8>, _)| {
        Ok(StoredStep {
            epoch: u32::try_from(epoch).map_err(|_| StoreError::Corrupt("epoch"))?,
            root: read_bytes(&root, "root")?,
            delta,
        })
    };
    steps.into_iter().map(step).collect()
}
