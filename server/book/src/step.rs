//! A step: a root, and the delta that leads to it from the root before: all that an engine needs that has the copy before.
//!
//! ```text
//!   0  257  root
//! 257    …  its delta; nothing where the root says that there is none
//! ```

use thiserror::Error;

use crate::delta::{Delta, DeltaError, MAX_CHANGES};
use crate::keys::BookKey;
use crate::root::{NO_DELTA, ROOT_BYTES, Root, RootError};

/// Most bytes of a step.
pub const MAX_STEP: usize = ROOT_BYTES + Delta::length(MAX_CHANGES);

/// A root with its delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The root.
    pub root: Root,
    /// The delta that leads to it. Whether it is the one that the root names is checked when it is applied.
    pub delta: Option<Delta>,
}

/// Whether the bytes of a root name a delta, so that both together are its step.
#[must_use]
pub fn names_delta(root: &[u8; ROOT_BYTES]) -> bool {
    root.get(DELTA_HASH).is_some_and(|hash| hash != NO_DELTA)
}

/// Where a root has the hash of its delta.
const DELTA_HASH: std::ops::Range<usize> = 129..161;

/// Why bytes are no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StepError {
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The delta.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

impl Step {
    /// Reads the first of several steps that stand one after the other, and what comes after it.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn decode_first<'a>(
        bytes: &'a [u8],
        book: &BookKey,
    ) -> Result<(Self, &'a [u8]), StepError> {
        let (root, rest) = bytes
            .split_at_checked(ROOT_BYTES)
            .ok_or(RootError::Length)?;
        let root = Root::decode(root, book)?;
        if root.states().delta == NO_DELTA {
            return Ok((Self { root, delta: None }, rest));
        }
        let (delta, rest) = Delta::decode_first(rest)?;
        let delta = Some(delta);
        Ok((Self { root, delta }, rest))
    }

    /// Reads a step.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn decode(bytes: &[u8], book: &BookKey) -> Result<Self, StepError> {
        let (step, rest) = Self::decode_first(bytes, book)?;
        if rest.is_empty() {
            Ok(step)
        } else {
            Err(RootError::Length.into())
        }
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let delta = self.delta.as_ref().map(Delta::encode);
        [self.root.encode().as_slice(), &delta.unwrap_or_default()].concat()
    }
}
