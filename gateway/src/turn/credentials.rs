//! TURN logins that the phone book gave in bulk, ahead of calls: one for each allocation, then thrown away, so that the TURN server
//! cannot tell which calls belong together. The book gives them to whoever is a member, and is never asked because of a call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::state::secret::Secret;

/// A login is used only when it is good for so many seconds more: a server that checks the end on every refresh must not end a call.
const LEAST_LIFE: u64 = 4 * 60 * 60;

/// Logins that are good for so many seconds more count for the future.
const GOOD_LIFE: u64 = 12 * 60 * 60;

/// With fewer than this for the future, more are fetched. A spare takes one every 10 to 20 minutes.
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

/// The logins that are left.
#[derive(Clone, Debug, Default)]
pub struct CredentialPool(Arc<Mutex<VecDeque<Login>>>);

/// The same purse, not one with the same logins in it.
impl PartialEq for CredentialPool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CredentialPool {}

impl CredentialPool {
    /// Puts logins in that end at `expires`, Unix seconds. When it is full, the oldest go.
    pub fn put(&self, logins: impl IntoIterator<Item = (String, String)>, expires: u64) {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, password) in logins {
            if purse.len() >= MOST {
                purse.pop_front();
            }
            purse.push_back(Login {
                user,
                password: Secret::new(password),
                expires,
            });
        }
    }

    /// The next login, once; `now` in Unix seconds.
    pub(crate) fn take(&self, now: u64) -> Option<(String, Secret)> {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purse.retain(|login| login.expires > now.saturating_add(LEAST_LIFE));
        let login = purse.pop_front()?;
        Some((login.user, login.password))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purse.is_empty()
    }

    /// Whether it is time to fetch more.
    #[must_use]
    pub fn is_low(&self, now: u64) -> bool {
        let purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |login: &&Login| login.expires > now.saturating_add(GOOD_LIFE);
        purse.iter().filter(good).count() < LOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn filled(count: usize, expires: u64) -> CredentialPool {
        let purse = CredentialPool::default();
        let login = |at: usize| (format!("{expires}:{at}"), "secret".to_owned());
        purse.put((0..count).map(login), expires);
        purse
    }

    #[test]
    fn each_login_is_given_once() {
        let purse = filled(3, DAY);
        let users: Vec<String> = std::iter::from_fn(|| purse.take(0))
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
        let purse = filled(LOW, DAY);
        assert!(!purse.is_low(0));
        assert!(purse.is_low(DAY - GOOD_LIFE));
        drop(purse.take(0));
        assert!(purse.is_low(0));
    }

    #[test]
    fn a_full_purse_gives_the_oldest_up() {
        let purse = filled(MOST, DAY);
        purse.put([("fresh".to_owned(), String::new())], 2 * DAY);
        let users: Vec<String> = std::iter::from_fn(|| purse.take(0))
            .map(|(user, _)| user)
            .collect();
        assert_eq!(users.len(), MOST);
        assert_eq!(users.last().map(String::as_str), Some("fresh"));
    }
}
