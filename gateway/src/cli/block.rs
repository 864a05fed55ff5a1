//! `ringfence contacts block|unblock`: numbers whose calls and texts are dropped, line by line, as by the star codes *60 and *80.
//!
//! The ledger belongs to the running engine, which is asked over its page; when none runs, it is changed here, under the lock that
//! would keep an engine out.

use std::time::Duration;

use ringfence_engine::line::command::WishFault;
use ringfence_engine::line::saved_state::{Habits, Ledger, MOST_BLOCKED};
use ringfence_phonebook::Number;
use tokio::time::sleep;

use super::Failure;
use crate::clock;
use crate::config::Config;
use crate::page::client::{self, VisitFault};
use crate::state::keystore::{Keystore, KeystoreError, LedgerFile};
use crate::state::secret::Secret;

/// How long a running engine may take to write something down, and how often that is looked at.
const SAVING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) number: Number,
    /// Of this line alone.
    pub(super) line: Option<Number>,
    pub(super) is_blocked: bool,
}

/// Does it, by the engine or without one.
pub(super) async fn carry_out(
    config: &Config,
    secret: Option<Secret>,
    wanted: Wanted,
) -> Result<(), Failure> {
    let lines = Keystore::look(&config.state, secret.clone())?;
    let numbers = lines.iter().map(|line| Number::new(line.number));
    let meant: Vec<Number> = numbers
        .filter(|own| wanted.line.is_none_or(|line| line == *own))
        .collect();
    if meant.is_empty() {
        return Err(Failure::NoSuchLine);
    }
    match Keystore::open(&config.state, secret.clone()) {
        Ok(store) => {
            let mut file = store.ledger();
            let mut ledger = file.read()?;
            for line in meant {
                apply(&mut ledger, line, wanted)?;
            }
            Ok(file.write(&ledger)?)
        }
        Err(KeystoreError::InUse { .. }) => {
            let act = if wanted.is_blocked {
                "block"
            } else {
                "unblock"
            };
            for line in meant.iter().copied() {
                let done = visit::wish(&config.state, line, act, wanted.number).await;
                done.map_err(|fault| match fault {
                    VisitFault::NobodyHome => Failure::NoPage,
                    fault => fault.into(),
                })?;
            }
            saved(LedgerFile::open(&config.state, secret), &meant, wanted).await
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Waits until the engine has written it down: it answers before that.
async fn saved(mut file: LedgerFile, meant: &[Number], wanted: Wanted) -> Result<(), Failure> {
    let start = clock::now();
    while start.elapsed() < SAVING {
        let ledger = file.read()?;
        let is_done = |line: &Number| ledger.is_blocked(*line, wanted.number) == wanted.is_blocked;
        if meant.iter().all(is_done) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    Err(Failure::NotSaved)
}

fn apply(ledger: &mut Ledger, line: Number, wanted: Wanted) -> Result<(), Failure> {
    let Habits { blocked, .. } = ledger.habits.entry(line).or_default();
    blocked.retain(|number| *number != wanted.number);
    if wanted.is_blocked {
        if blocked.len() >= MOST_BLOCKED {
            return Err(Failure::Wish(WishFault::TooMany));
        }
        blocked.push(wanted.number);
    }
    Ok(())
}

/// Blocked numbers with their lines, as the ledger has them.
pub(super) fn list(
    config: &Config,
    secret: Option<Secret>,
) -> Result<Vec<(Number, Number)>, Failure> {
    let ledger = LedgerFile::open(&config.state, secret).read()?;
    let pairs = ledger
        .habits
        .iter()
        .flat_map(|(line, habits)| habits.blocked.iter().map(|number| (*line, *number)));
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_blocked_once_and_no_more_than_may_be() {
        let (mut ledger, line) = (Ledger::default(), Number::new(20_001));
        let block = |number, is_blocked| Wanted {
            number: Number::new(number),
            line: None,
            is_blocked,
        };
        for _ in 0..2 {
            apply(&mut ledger, line, block(20_002, true)).unwrap();
        }
        assert_eq!(ledger.habits[&line].blocked, [Number::new(20_002)]);
        apply(&mut ledger, line, block(20_002, false)).unwrap();
        assert!(ledger.habits[&line].blocked.is_empty());
        for number in 0..u32::try_from(MOST_BLOCKED).unwrap() {
            apply(&mut ledger, line, block(number, true)).unwrap();
        }
        assert!(apply(&mut ledger, line, block(70_000, true)).is_err());
        assert_eq!(ledger.habits[&line].blocked.len(), MOST_BLOCKED);
    }
}
