//! `ringfence contacts block|unblock`: numbers whose calls and texts are dropped, per line, as by the feature codes *60 and *80.
//!
//! A running engine owns the saved state, so it is asked over its page. When none runs, this command changes the file, under the lock
//! that keeps an engine from starting meanwhile.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::line::command::LineCommandError;
use ringfence_engine::line::saved_state::{LineSettings, MOST_BLOCKED, SavedState};
use tokio::time::sleep;

use super::CommandError;
use crate::clock;
use crate::config::Config;
use crate::page::client::{self, PageClientError};
use crate::state::keystore::{Keystore, KeystoreError, SavedStateFile};
use crate::state::secret::Secret;

/// How long a running engine may take to save a change, and the pause between two looks.
const SAVING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What to block or unblock.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockRequest {
    pub(super) number: Number,
    /// On this line only; on every line if `None`.
    pub(super) line: Option<Number>,
    pub(super) is_blocked: bool,
}

/// Carries it out, through the running engine or on the file.
pub(super) async fn carry_out(
    config: &Config,
    secret: Option<Secret>,
    request: BlockRequest,
) -> Result<(), CommandError> {
    let lines = Keystore::look(&config.state, secret.clone())?;
    let numbers = lines.iter().map(|line| Number::new(line.number));
    let meant: Vec<Number> = numbers
        .filter(|own| request.line.is_none_or(|line| line == *own))
        .collect();
    if meant.is_empty() {
        return Err(CommandError::NoSuchLine);
    }
    match Keystore::open(&config.state, secret.clone()) {
        Ok(store) => {
            let mut file = store.saved_state();
            let mut saved_state = file.read()?;
            for line in meant {
                apply(&mut saved_state, line, request)?;
            }
            Ok(file.write(&saved_state)?)
        }
        Err(KeystoreError::InUse { .. }) => {
            let act = if request.is_blocked {
                "block"
            } else {
                "unblock"
            };
            for line in meant.iter().copied() {
                let done = client::line_command(&config.state, line, act, request.number).await;
                done.map_err(|error| match error {
                    PageClientError::NotRunning => CommandError::NoPage,
                    error => error.into(),
                })?;
            }
            saved(SavedStateFile::open(&config.state, secret), &meant, request).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until the engine has saved the change: it answers the request before that.
async fn saved(
    mut file: SavedStateFile,
    meant: &[Number],
    request: BlockRequest,
) -> Result<(), CommandError> {
    let start = clock::now();
    while start.elapsed() < SAVING {
        let saved_state = file.read()?;
        let is_done =
            |line: &Number| saved_state.is_blocked(*line, request.number) == request.is_blocked;
        if meant.iter().all(is_done) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    Err(CommandError::NotSaved)
}

fn apply(
    saved_state: &mut SavedState,
    line: Number,
    request: BlockRequest,
) -> Result<(), CommandError> {
    let LineSettings { blocked, .. } = saved_state.settings.entry(line).or_default();
    blocked.retain(|number| *number != request.number);
    if request.is_blocked {
        if blocked.len() >= MOST_BLOCKED {
            return Err(CommandError::Line(LineCommandError::TooMany));
        }
        blocked.push(request.number);
    }
    Ok(())
}

/// Blocked numbers with their lines, as they are saved.
pub(super) fn list(
    config: &Config,
    secret: Option<Secret>,
) -> Result<Vec<(Number, Number)>, CommandError> {
    let saved_state = SavedStateFile::open(&config.state, secret).read()?;
    let pairs = saved_state
        .settings
        .iter()
        .flat_map(|(line, settings)| settings.blocked.iter().map(|number| (*line, *number)));
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_blocked_once_and_the_list_is_bounded() {
        let (mut saved_state, line) = (SavedState::default(), Number::new(20_001));
        let block = |number, is_blocked| BlockRequest {
            number: Number::new(number),
            line: None,
            is_blocked,
        };
        for _ in 0..2 {
            apply(&mut saved_state, line, block(20_002, true)).unwrap();
        }
        assert_eq!(saved_state.settings[&line].blocked, [Number::new(20_002)]);
        apply(&mut saved_state, line, block(20_002, false)).unwrap();
        assert!(saved_state.settings[&line].blocked.is_empty());
        for number in 0..u32::try_from(MOST_BLOCKED).unwrap() {
            apply(&mut saved_state, line, block(number, true)).unwrap();
        }
        assert!(apply(&mut saved_state, line, block(70_000, true)).is_err());
        assert_eq!(saved_state.settings[&line].blocked.len(), MOST_BLOCKED);
    }
}
