//! What changes who has which number, and what waits for an epoch because of it.

use std::fmt::Write as _;

use ringfence_book::code::CodeDigest;
use ringfence_book::keys::KEY_BYTES;
use ringfence_book::number::Number;
use sqlx::{AnyConnection, AssertSqlSafe};
use zeroize::Zeroizing;

use super::reading::rest_since;
use super::{read_bytes, read_count, read_number, stored, stored_number};
use crate::book::admin_token::TokenDigest;
use crate::store::{BookSeed, Record, Revision, Row, StoreError};

/// Records in one statement. Both databases take a multiple of its parameters.
const BATCH: usize = 256;

pub(super) async fn seed_of_book(
    db: &mut AnyConnection,
    proposal: &BookSeed,
) -> Result<BookSeed, StoreError> {
    sqlx::query("INSERT INTO charter (id, seed, admin) VALUES (1, $1, $2) ON CONFLICT DO NOTHING")
        .bind(proposal.seed.as_slice())
        .bind(proposal.admin.as_bytes().as_slice())
        .execute(&mut *db)
        .await?;
    let (seed, admin): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT seed, admin FROM charter WHERE id = 1")
            .fetch_one(db)
            .await?;
    let seed = Zeroizing::new(seed);
    Ok(BookSeed {
        seed: Zeroizing::new(read_bytes(&seed, "seed")?),
        admin: TokenDigest::from_bytes(read_bytes(&admin, "token hash")?),
    })
}

pub(super) async fn fill(db: &mut AnyConnection, rows: &[Row]) -> Result<(), StoreError> {
    for batch in rows.chunks(BATCH) {
        let mut statement = String::from(
            "INSERT INTO numbers (number, record, epoch, listed, generation, due) VALUES ",
        );
        for row in 0..batch.len() {
            let (comma, place) = (if row == 0 { "" } else { ", " }, 6 * row);
            let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(|column| place + column);
            write!(statement, "{comma}(${a}, ${b}, ${c}, ${d}, ${e}, ${f})")
                .expect("a string takes all that is written to it");
        }
        statement.push_str(" ON CONFLICT DO NOTHING");
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for row in batch {
            query = query
                .bind(stored_number(row.number))
                .bind(row.record.as_slice())
                .bind(i64::from(row.epoch))
                .bind(i64::from(row.listed))
                .bind(i64::from(row.next.generation))
                .bind(stored(row.next.due));
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

pub(super) async fn issue(
    db: &mut AnyConnection,
    number: Number,
    code: &CodeDigest,
    now: u64,
    expires: u64,
) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM codes WHERE expires <= $1")
        .bind(stored(now))
        .execute(&mut *db)
        .await?;
    let done = sqlx::query(
        "INSERT INTO codes (digest, number, expires) SELECT $1, number, $2 FROM numbers
         WHERE number = $3 AND owner IS NULL AND (retired IS NULL OR retired <= $4) ON CONFLICT DO NOTHING",
    )
    .bind(code.as_bytes().as_slice())
    .bind(stored(expires))
    .bind(stored_number(number))
    .bind(rest_since(now))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn redeem(
    db: &mut AnyConnection,
    code: &CodeDigest,
    record: &Record,
    now: u64,
) -> Result<Option<Number>, StoreError> {
    let waiting: Option<(i64, i64)> =
        sqlx::query_as("DELETE FROM codes WHERE digest = $1 RETURNING number, expires")
            .bind(code.as_bytes().as_slice())
            .fetch_optional(&mut *db)
            .await?;
    match waiting {
        Some((_, expires)) if expires <= stored(now) => Ok(None),
        Some((number, _)) => {
            let (owner, _) = record.split_at(KEY_BYTES);
            let number = read_number(number)?;
            let done = sqlx::query(
                "UPDATE numbers SET code = $1, owner = $2, retired = NULL WHERE number = $3 AND owner IS NULL",
            )
            .bind(code.as_bytes().as_slice())
            .bind(owner)
            .bind(stored_number(number))
            .execute(&mut *db)
            .await?;
            if done.rows_affected() != 1 {
                return Err(StoreError::Corrupt("number that was free for its code"));
            }
            enqueue(db, &listing(number, record)).await?;
            Ok(Some(number))
        }
        None => {
            let number: Option<(i64,)> = sqlx::query_as(
                "SELECT numbers.number FROM numbers LEFT JOIN queue ON queue.number = numbers.number
                 WHERE code = $1 AND COALESCE(queue.record, numbers.record) = $2",
            )
            .bind(code.as_bytes().as_slice())
            .bind(record.as_slice())
            .fetch_optional(db)
            .await?;
            number.map(|(number,)| read_number(number)).transpose()
        }
    }
}

pub(super) async fn rotate(
    db: &mut AnyConnection,
    number: Number,
    record: &Record,
) -> Result<Option<u64>, StoreError> {
    let (owner, _) = record.split_at(KEY_BYTES);
    let owned: Option<(i64,)> =
        sqlx::query_as("SELECT number FROM numbers WHERE number = $1 AND owner = $2")
            .bind(stored_number(number))
            .bind(owner)
            .fetch_optional(&mut *db)
            .await?;
    if owned.is_none() {
        return Ok(None);
    }
    enqueue(db, &listing(number, record)).await?;
    let (waits,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM queue WHERE place <= (SELECT place FROM queue WHERE number = $1)",
    )
    .bind(stored_number(number))
    .fetch_one(db)
    .await?;
    read_count(waits).map(Some)
}

pub(super) async fn retire(
    db: &mut AnyConnection,
    owner: Option<&[u8; KEY_BYTES]>,
    decoy: &Revision,
    now: u64,
) -> Result<bool, StoreError> {
    let number = decoy.number;
    let retire = match owner {
        Some(owner) => sqlx::query(
            "UPDATE numbers SET owner = NULL, code = NULL, retired = $1 WHERE number = $2 AND owner = $3",
        )
        .bind(stored(now))
        .bind(stored_number(number))
        .bind(owner.as_slice()),
        None => sqlx::query(
            "UPDATE numbers SET owner = NULL, code = NULL, retired = $1 WHERE number = $2 AND owner IS NOT NULL",
        )
        .bind(stored(now))
        .bind(stored_number(number)),
    };
    if retire.execute(&mut *db).await?.rows_affected() == 1 {
        enqueue(db, decoy).await?;
        return Ok(true);
    }
    if owner.is_some() {
        return Ok(false);
    }
    let withdrawn = sqlx::query("DELETE FROM codes WHERE number = $1 AND expires > $2")
        .bind(stored_number(number))
        .bind(stored(now))
        .execute(db)
        .await?;
    Ok(withdrawn.rows_affected() == 1)
}

/// An owner's listing, which waits.
fn listing(number: Number, record: &Record) -> Revision {
    Revision {
        number,
        record: *record,
        listed: true,
        next: None,
    }
}

/// Queues a record, in the place of what already waits for the number.
async fn enqueue(db: &mut AnyConnection, new: &Revision) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO queue (number, place, record, listed, generation, due)
         VALUES ($1, (SELECT COALESCE(MAX(place), 0) + 1 FROM queue), $2, $3, $4, $5)
         ON CONFLICT (number) DO UPDATE
         SET record = excluded.record, listed = excluded.listed, generation = excluded.generation, due = excluded.due",
    )
    .bind(stored_number(new.number))
    .bind(new.record.as_slice())
    .bind(i64::from(new.listed))
    .bind(new.next.map(|next| i64::from(next.generation)))
    .bind(new.next.map(|next| stored(next.due)))
    .execute(db)
    .await?;
    Ok(())
}
