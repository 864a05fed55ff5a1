//! How the engine logs in to TURN servers, and the pool of logins that the phone book gives in bulk, ahead of calls.
//!
//! Each login of the pool is used for one allocation, then thrown away, so that the TURN server cannot tell which calls belong
//! together. The book gives logins to every member, and is never asked because of a call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::state::secret::Secret;

/// Seconds for which a login must still be good when it is used: a server that checks the expiry at each refresh must not end a call.
const LEAST_LIFE: u64 = 4 * 60 * 60;

/// Seconds for which a login must still be good to count as stock.
const GOOD_LIFE: u64 = 12 * 60 * 60;

/// With a smaller stock, more logins are fetched. The allocation pool uses one every 10 to 20 minutes.
const LOW: usize = 24;

/// Logins that are kept: two deliveries.
const MOST: usize = 128;

/// How the engine logs in to the TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnLogin {
    /// Nothing is set.
    None,
    /// Logins that the phone book gives in bulk, each used once.
    Book(CredentialPool),
    /// A secret shared with the server, from which one-use credentials are made (draft-uberti-behave-turn-rest).
    Shared(Secret),
    /// One fixed account. The server can then tell this engine's calls from others'.
    Fixed {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
}

#[derive(Debug)]
struct Login {
    user: String,
    password: Secret,
    expires: u64,
}

/// The logins that are left. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CredentialPool(Arc<Mutex<VecDeque<Login>>>);

/// Two handles are equal when they share one pool.
impl PartialEq for CredentialPool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CredentialPool {}

/// What is left of the phone book's logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginStock {
    /// Logins that can still be used.
    pub left: usize,
    /// Seconds until the last of them can no longer be used.
    pub seconds: u64,
}

impl CredentialPool {
    /// What is left; `now` in Unix seconds.
    pub(crate) fn stock(&self, now: u64) -> LoginStock {
        let pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let life = |login: &Login| login.expires.saturating_sub(now.saturating_add(LEAST_LIFE));
        let left = pool.iter().map(life).filter(|seconds| *seconds > 0);
        LoginStock {
            left: left.clone().count(),
            seconds: left.max().unwrap_or_default(),
        }
    }

    /// Adds logins that end at `expires`, in Unix seconds. A full pool drops the oldest.
    pub fn add(&self, logins: impl IntoIterator<Item = (String, String)>, expires: u64) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, password) in logins {
            if pool.len() >= MOST {
                pool.pop_front();
            }
            pool.push_back(Login {
                user,
                password: Secret::new(password),
                expires,
            });
        }
    }

    /// The next login, once; `now` in Unix seconds.
    pub(crate) fn take(&self, now: u64) -> Option<(String, Secret)> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|login| login.expires > now.saturating_add(LEAST_LIFE));
        let login = pool.pop_front()?;
        Some((login.user, login.password))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.is_empty()
    }

    /// Whether it is time to fetch more; `now` in Unix seconds.
    #[must_use]
    pub fn is_low(&self, now: u64) -> bool {
        let pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |login: &&Login| login.expires > now.saturating_add(GOOD_LIFE);
        pool.iter().filter(good).count() < LOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn filled(count: usize, expires: u64) -> CredentialPool {
        let pool = CredentialPool::default();
        let login = |at: usize| (format!("{expires}:{at}"), "secret".to_owned());
        pool.add((0..count).map(login), expires);
        pool
    }

    #[test]
    fn each_login_is_given_once() {
        let pool = filled(3, DAY);
        let users: Vec<String> = std::iter::from_fn(|| pool.take(0))
            .map(|(user, _)| user)
            .collect();
        assert_eq!(users, ["86400:0", "86400:1", "86400:2"]);
    }

    #[test]
    fn a_login_that_would_end_in_the_call_is_not_given() {
        assert!(filled(1, DAY).take(DAY - LEAST_LIFE - 1).is_some());
        assert!(filled(1, DAY).take(DAY - LEAST_LIFE).is_none());
    }

    #[test]
    fn more_are_fetched_when_few_are_left_or_when_they_grow_old() {
        assert!(CredentialPool::default().is_low(0));
        let pool = filled(LOW, DAY);
        assert!(!pool.is_low(0));
        assert!(pool.is_low(DAY - GOOD_LIFE));
        drop(pool.take(0));
        assert!(pool.is_low(0));
    }

    #[test]
    fn the_stock_counts_the_logins_that_a_call_may_still_use() {
        let pool = filled(3, DAY);
        pool.add([("longer".to_owned(), String::new())], 2 * DAY);
        let stock = |now| {
            let LoginStock { left, seconds } = pool.stock(now);
            (left, seconds)
        };
        assert_eq!(stock(0), (4, 2 * DAY - LEAST_LIFE));
        assert_eq!(stock(DAY), (1, DAY - LEAST_LIFE));
        assert_eq!(stock(2 * DAY), (0, 0));
    }

    #[test]
    fn a_full_pool_drops_the_oldest() {
        let pool = filled(MOST, DAY);
        pool.add([("fresh".to_owned(), String::new())], 2 * DAY);
        let users: Vec<String> = std::iter::from_fn(|| pool.take(0))
            .map(|(user, _)| user)
            .collect();
        assert_eq!(users.len(), MOST);
        assert_eq!(users.last().map(String::as_str), Some("fresh"));
    }
}
