//! Questions about numbers that change nothing.

use ringfence_book::number::Number;
use sqlx::AnyConnection;

use super::{read_bytes, read_count, read_next, read_number, stored, stored_number};
use crate::store::{NumberCounts, NumberState, REST, Record, Row, StoreError};

/// A row of `numbers` as the database gives it: number, record, epoch, listed, generation, due.
pub(super) type RawRow = (i64, Vec<u8>, i64, i64, i64, i64);

/// What says in which state a number is: number, owner, retired, expires.
type RawState = (i64, Option<Vec<u8>>, Option<i64>, Option<i64>);

pub(super) fn read_row(
    (number, record, epoch, listed, generation, due): RawRow,
) -> Result<Row, StoreError> {
    Ok(Row {
        number: read_number(number)?,
        record: read_bytes(&record, "listing")?,
        epoch: u32::try_from(epoch).map_err(|_| StoreError::Corrupt("epoch"))?,
        listed: listed != 0,
        next: read_next((generation, due))?,
    })
}

/// Numbers that were given up after this moment rest.
pub(super) fn rest_since(now: u64) -> i64 {
    stored(now) - stored(REST)
}

pub(super) async fn span(db: &mut AnyConnection) -> Result<Option<(Number, Number)>, StoreError> {
    let ends: (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT MIN(number), MAX(number) FROM numbers")
            .fetch_one(db)
            .await?;
    let (Some(first), Some(last)) = ends else {
        return Ok(None);
    };
    Ok(Some((read_number(first)?, read_number(last)?)))
}

pub(super) async fn rows(
    db: &mut AnyConnection,
    first: Number,
    last: Number,
) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<RawRow> = sqlx::query_as(
        "SELECT number, record, epoch, listed, generation, due FROM numbers WHERE number BETWEEN $1 AND $2 ORDER BY number",
    )
    .bind(stored_number(first))
    .bind(stored_number(last))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read_row).collect()
}

pub(super) async fn due(
    db: &mut AnyConnection,
    now: u64,
    limit: u16,
) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<RawRow> = sqlx::query_as(
        "SELECT number, record, epoch, listed, generation, due FROM numbers WHERE listed = 0 AND due <= $1
         ORDER BY due LIMIT $2",
    )
    .bind(stored(now))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.into_iter().map(read_row).collect()
}

pub(super) async fn free(db: &mut AnyConnection, now: u64) -> Result<Vec<Number>, StoreError> {
    let numbers: Vec<(i64,)> = sqlx::query_as(
        "SELECT number FROM numbers WHERE owner IS NULL AND (retired IS NULL OR retired <= $1)
         AND number NOT IN (SELECT number FROM codes WHERE expires > $2) ORDER BY number",
    )
    .bind(rest_since(now))
    .bind(stored(now))
    .fetch_all(db)
    .await?;
    let numbers = numbers.into_iter();
    numbers.map(|(number,)| read_number(number)).collect()
}

pub(super) async fn listing(
    db: &mut AnyConnection,
    number: Number,
) -> Result<Option<Record>, StoreError> {
    let record: Option<(Vec<u8>,)> = sqlx::query_as(
        "SELECT COALESCE(queue.record, numbers.record) FROM numbers LEFT JOIN queue ON queue.number = numbers.number
         WHERE numbers.number = $1 AND owner IS NOT NULL",
    )
    .bind(stored_number(number))
    .fetch_optional(db)
    .await?;
    let record = record.map(|(record,)| read_bytes(&record, "listing"));
    record.transpose()
}

pub(super) async fn number_counts(
    db: &mut AnyConnection,
    now: u64,
) -> Result<NumberCounts, StoreError> {
    let (all, active, retired, waiting, queued): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM numbers), (SELECT COUNT(*) FROM numbers WHERE owner IS NOT NULL),
         (SELECT COUNT(*) FROM numbers WHERE owner IS NULL AND retired > $1),
         (SELECT COUNT(*) FROM codes WHERE expires > $2), (SELECT COUNT(*) FROM queue)",
    )
    .bind(rest_since(now))
    .bind(stored(now))
    .fetch_one(db)
    .await?;
    Ok(NumberCounts {
        free: read_count(all - active - retired - waiting)?,
        waiting: read_count(waiting)?,
        active: read_count(active)?,
        retired: read_count(retired)?,
        queued: read_count(queued)?,
    })
}

pub(super) async fn states(
    db: &mut AnyConnection,
    from: Number,
    limit: u32,
    now: u64,
) -> Result<Vec<(Number, NumberState)>, StoreError> {
    let rows: Vec<RawState> = sqlx::query_as(
        "SELECT numbers.number, owner, retired, expires FROM numbers
         LEFT JOIN codes ON codes.number = numbers.number AND expires > $3
         WHERE numbers.number >= $1 AND (owner IS NOT NULL OR retired > $2 OR expires IS NOT NULL)
         ORDER BY numbers.number LIMIT $4",
    )
    .bind(stored_number(from))
    .bind(rest_since(now))
    .bind(stored(now))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    let state = |(number, owner, retired, expires): RawState| {
        let state = match (owner, retired, expires) {
            (Some(_), _, _) => NumberState::Active,
            (None, _, Some(until)) => NumberState::Waiting {
                until: read_count(until)?,
            },
            (None, Some(since), None) => NumberState::Retired {
                since: read_count(since)?,
            },
            (None, None, None) => return Err(StoreError::Corrupt("state of a number")),
        };
        Ok((read_number(number)?, state))
    };
    rows.into_iter().map(state).collect()
}
