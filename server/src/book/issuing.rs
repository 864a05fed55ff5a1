//! Issuing: any free number with the same chance, so that a number tells nothing about when it was given out, and a code for it.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use ringfence_book::code::ActivationCode;
use ringfence_book::number::{Number, NumberPlan};

use super::{Book, IssueError};

/// How long an activation code is good.
pub const CODE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a number is drawn blindly before the free ones are counted. With every second number free, so many misses never happen.
const MAX_BLIND_DRAWS: usize = 32;

/// How often another process may snatch the number just drawn before the book gives up. With any number free at all, losing
/// this often means that the store is broken.
const MAX_DRAWS: usize = 64;

/// A number and the code that activates it.
#[derive(Debug)]
pub struct Issue {
    /// The number, waiting for its code.
    pub number: Number,
    /// The code.
    pub code: ActivationCode,
}

impl Book {
    /// Draws a free number, any with the same chance, and a code for it. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(&mut self, now: u64) -> Result<Issue, IssueError> {
        let code = ActivationCode::draw(&self.key(), &mut self.rng);
        let expires = now.saturating_add(CODE_LIFE.as_secs());
        let plan = self.terms.plan;
        for _ in 0..MAX_BLIND_DRAWS {
            let number = draw(plan, &mut self.rng).ok_or(IssueError::Full)?;
            if self.store.issue(number, &code.digest(), now, expires)? {
                return Ok(Issue { number, code });
            }
        }
        for _ in 0..MAX_DRAWS {
            let mut free = self.store.free(now)?;
            free.retain(|number| plan.contains(*number));
            let number = pick(&free, &mut self.rng).ok_or(IssueError::Full)?;
            if self.store.issue(number, &code.digest(), now, expires)? {
                return Ok(Issue { number, code });
            }
        }
        Err(IssueError::Full)
    }
}

/// Any number of the plan with the same chance, but for a bias below 2^-16.
fn draw(plan: NumberPlan, rng: &mut ChaCha20Rng) -> Option<Number> {
    let tile = rng.next_u32() % u32::from(plan.tiles());
    let [slot, ..] = rng.next_u32().to_be_bytes();
    plan.number_at(u16::try_from(tile).ok()?, slot)
}

/// The bias of the remainder is below 2^-32 for any plan.
fn pick(free: &[Number], rng: &mut ChaCha20Rng) -> Option<Number> {
    let count = u64::try_from(free.len()).ok()?;
    let index = rng.next_u64().checked_rem(count)?;
    free.get(usize::try_from(index).ok()?).copied()
}
