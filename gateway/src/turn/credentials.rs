//! How the engine logs in to TURN servers, and what it remembers of them: the logins that the phone book gives in bulk, ahead of calls,
//! and the order in which this engine uses the servers.
//!
//! One login serves one server, one network and one UTC day, for up to six allocations at once; a seventh takes another. So a server
//! that compares user names learns no more than the client's address tells it anyway: other days and networks have other names. The
//! network is the local address from which the server is reached: two networks behind NAT that give out the same private address look
//! like one. When every login was used already, one is used again rather than a call refused. The book gives logins to every
//! member, and is never asked because of a call.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_book::turn_credentials::{TurnSecret, daily_credentials, daily_end, expiry};
use tokio::sync::Notify;

use super::lot::redraw;
use crate::state::secret::Secret;

const DAY: u64 = 24 * 60 * 60;

/// Seconds for which a login must still be good when it is used, as long as there is such a one: a server that checks the expiry at
/// each refresh must not end a call.
const LEAST_LIFE: u64 = 4 * 60 * 60;

/// With fewer unused logins for a server, more are fetched.
const LOW: usize = 8;

/// Logins that are kept for each server: three deliveries.
const MOST: usize = 96;

/// Servers whose logins are kept.
pub(crate) const MOST_SERVERS: usize = 16;

/// Allocations at once with one login. Servers limit the allocations of a user name ([`ringfence_box`] and coturn: `user-quota`).
const MOST_AT_ONCE: usize = 6;

/// Seconds for which a login is not used whose quota was reached (RFC 8656 section 7.4: at least a minute). Servers that restart without
/// us keep our old allocations for as long.
const FULL_FOR: u64 = 10 * 60;

/// Logins whose quota was reached, of one day and network at one server: then no further one is tried there.
const MOST_FULL: usize = 3;

/// How the engine logs in to the TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnLogin {
    /// Nothing is set.
    None,
    /// Logins that the phone book gives in bulk.
    Book(CredentialPool),
    /// A secret shared with the server, from which logins are made (draft-uberti-behave-turn-rest).
    Shared(Secret),
    /// One fixed account. The server can then tell this engine's calls from others'.
    Fixed {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
}

/// What lasts on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnMemory {
    /// The hosts of the servers in the order in which this engine uses them.
    pub(crate) order: Vec<String>,
    /// The phone book's logins.
    pub(crate) logins: Vec<KeptLogin>,
}

/// A login that the phone book gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptLogin {
    /// The host of its server.
    pub(crate) server: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
    /// Unix seconds.
    pub(crate) expires: u64,
    /// The UTC day since 1970 and the network on which it was used last.
    pub(crate) used: Option<(u64, IpAddr)>,
}

#[derive(Debug)]
struct PooledLogin {
    login: KeptLogin,
    /// The secret of the settings from which it was made; `None`: the phone book gave it.
    made_from: Option<Secret>,
    holders: Arc<LoginUse>,
}

/// What those who have a login share; how many they are counts.
#[derive(Debug, Default)]
struct LoginUse {
    /// Unix seconds; until then the server grants it no more allocations.
    full_until: AtomicU64,
}

#[derive(Debug, Default)]
struct PoolContent {
    order: Vec<String>,
    logins: Vec<PooledLogin>,
    book_gives_none: bool,
}

/// The logins and the order of the servers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CredentialPool(Arc<(Mutex<PoolContent>, Notify)>);

/// Two handles are equal when they share one pool.
impl PartialEq for CredentialPool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CredentialPool {}

/// A login as long as an allocation has it.
#[derive(Debug)]
pub(crate) struct LoginLease(Arc<LoginUse>);

impl LoginLease {
    /// The server has said that the quota of this login is reached; `now` in Unix seconds.
    pub(crate) fn note_full(&self, now: u64) {
        let until = now.saturating_add(FULL_FOR);
        self.0.full_until.store(until, Relaxed);
    }
}

/// What is left of the phone book's logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginStock {
    /// Logins that have not ended.
    pub left: usize,
    /// Seconds until the last of them ends.
    pub seconds: u64,
}

/// Logins that end at no midnight, or later than any book gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StrangeEnd;

impl PooledLogin {
    fn held(&self) -> usize {
        Arc::strong_count(&self.holders) - 1
    }

    fn lasts(&self, now: u64) -> bool {
        self.login.expires > now.saturating_add(LEAST_LIFE)
    }

    fn is_full(&self, now: u64) -> bool {
        now < self.holders.full_until.load(Relaxed)
    }
}

impl CredentialPool {
    /// A pool with what an earlier process remembered.
    pub(crate) fn remembered(memory: TurnMemory) -> Self {
        let logins = memory.logins.into_iter().map(|login| PooledLogin {
            login,
            made_from: None,
            holders: Arc::default(),
        });
        let content = PoolContent {
            order: memory.order,
            logins: logins.collect(),
            book_gives_none: false,
        };
        Self(Arc::new((Mutex::new(content), Notify::new())))
    }

    /// What the next process must remember.
    pub(crate) fn memory(&self) -> TurnMemory {
        let content = self.content();
        let given = content
            .logins
            .iter()
            .filter(|login| login.made_from.is_none());
        TurnMemory {
            order: content.order.clone(),
            logins: given.map(|login| login.login.clone()).collect(),
        }
    }

    /// Waits until there is something else to remember than before.
    pub(crate) async fn changed(&self) {
        self.0.1.notified().await;
    }

    fn content(&self) -> MutexGuard<'_, PoolContent> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts in the order in which this engine uses them: drawn by lot, and kept.
    pub(crate) fn order(&self, hosts: &[String]) -> Vec<String> {
        let mut content = self.content();
        let order = redraw(&content.order, hosts, &mut rand::rng());
        if content.order != order {
            content.order.clone_from(&order);
            self.0.1.notify_one();
        }
        order
    }

    /// What is left; `now` in Unix seconds.
    pub(crate) fn stock(&self, now: u64) -> LoginStock {
        let content = self.content();
        let given = content
            .logins
            .iter()
            .filter(|login| login.made_from.is_none());
        let lives = given.map(|login| login.login.expires.saturating_sub(now));
        let left = lives.filter(|seconds| *seconds > 0);
        LoginStock {
            left: left.clone().count(),
            seconds: left.max().unwrap_or_default(),
        }
    }

    /// Adds a delivery: for each server's host its logins, which end at `expires`; both times in Unix seconds. Those of a server
    /// that are too many push out the ones that end first.
    ///
    /// # Errors
    /// [`StrangeEnd`]: an end of another kind would make this engine known by it.
    pub(crate) fn add(
        &self,
        servers: BTreeMap<String, Vec<(String, String)>>,
        expires: u64,
        now: u64,
    ) -> Result<(), StrangeEnd> {
        if !expires.is_multiple_of(DAY) || expires > daily_end(now).saturating_add(DAY) {
            return Err(StrangeEnd);
        }
        let mut content = self.content();
        content.logins.retain(|login| login.login.expires > now);
        for (server, logins) in servers.into_iter().take(MOST_SERVERS) {
            for (user, password) in logins.into_iter().take(MOST) {
                let login = KeptLogin {
                    server: server.clone(),
                    user,
                    password: Secret::new(password),
                    expires,
                    used: None,
                };
                content.push(login, None);
            }
        }
        content.book_gives_none = false;
        self.0.1.notify_one();
        Ok(())
    }

    /// The login for one more allocation at `server`, reached from `network`; `now` in Unix seconds. With the `secret` of the
    /// server it is made here, otherwise it is one of the phone book's.
    pub(crate) fn take(
        &self,
        server: &str,
        network: IpAddr,
        now: u64,
        secret: Option<&Secret>,
    ) -> Option<(String, Secret, LoginLease)> {
        let mut content = self.content();
        content.logins.retain(|login| login.login.expires > now);
        let today = Some((now / DAY, network));
        let at = content.choose(server, (today, now), secret)?;
        let taken = content.logins.get_mut(at)?;
        if std::mem::replace(&mut taken.login.used, today) != today && secret.is_none() {
            self.0.1.notify_one();
        }
        let lease = LoginLease(Arc::clone(&taken.holders));
        Some((
            taken.login.user.clone(),
            taken.login.password.clone(),
            lease,
        ))
    }

    /// The phone book has answered that it gives no logins.
    pub(crate) fn note_book_gives_none(&self) {
        self.content().book_gives_none = true;
    }

    /// Whether logins cannot be expected: there is none, and the phone book gives none.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        let content = self.content();
        content.logins.is_empty() && content.book_gives_none
    }

    /// Whether it is time to fetch more: a server has few that are unused, or the youngest were made before yesterday, so that in a
    /// day they would no longer last for a week. `now` in Unix seconds.
    #[must_use]
    pub fn is_low(&self, now: u64) -> bool {
        let content = self.content();
        let mut unused: BTreeMap<&str, usize> = BTreeMap::new();
        let given = content
            .logins
            .iter()
            .filter(|login| login.made_from.is_none());
        for login in given.clone() {
            let fresh = login.login.used.is_none() && login.lasts(now);
            *unused.entry(&login.login.server).or_default() += usize::from(fresh);
        }
        let youngest = given
            .map(|login| login.login.expires)
            .max()
            .unwrap_or_default();
        youngest < daily_end(now).saturating_sub(DAY) || unused.values().any(|left| *left < LOW)
    }
}

impl PoolContent {
    /// Which login to take. One that was used before, and is in use least, if there is no other.
    fn choose(
        &mut self,
        server: &str,
        (today, now): (Option<(u64, IpAddr)>, u64),
        secret: Option<&Secret>,
    ) -> Option<usize> {
        let fits = |login: &&PooledLogin| {
            login.login.server == server && login.made_from.as_ref() == secret
        };
        let all = || {
            self.logins
                .iter()
                .enumerate()
                .filter(|(_, login)| fits(login))
        };
        let todays = all().find(|(_, login)| {
            let has_room = login.held() < MOST_AT_ONCE && !login.is_full(now);
            login.login.used == today && has_room && login.lasts(now)
        });
        // A server that refuses them all does not get to see, or use up, more than these.
        let full = all().filter(|(_, login)| login.login.used == today && login.is_full(now));
        let may_begin = full.count() < MOST_FULL;
        let unused =
            all().filter(|(_, login)| may_begin && login.login.used.is_none() && login.lasts(now));
        let found = todays.or_else(|| unused.max_by_key(|(_, login)| login.login.expires));
        if let Some((at, _)) = found {
            return Some(at);
        }
        if let Some(secret) = secret.filter(|_| may_begin) {
            let key = TurnSecret::new(secret.expose().to_owned());
            let (user, password) = daily_credentials(&key, now, &mut rand::rng());
            let login = KeptLogin {
                server: server.to_owned(),
                expires: expiry(&user)?,
                user,
                password: Secret::new(password),
                used: None,
            };
            self.push(login, Some(secret.clone()));
            return self.logins.len().checked_sub(1);
        }
        let again = all().filter(|(_, login)| may_begin || login.login.used == today);
        let again = again.min_by_key(|(_, login)| {
            (
                !login.lasts(now),
                login.is_full(now),
                login.held(),
                Reverse(login.login.expires),
            )
        });
        again.map(|(at, _)| at)
    }

    fn push(&mut self, login: KeptLogin, made_from: Option<Secret>) {
        let same = self.logins.iter().enumerate();
        let same = same.filter(|(_, other)| other.login.server == login.server);
        if same.clone().count() >= MOST
            && let Some((at, _)) = same.min_by_key(|(_, other)| (other.held(), other.login.expires))
        {
            self.logins.remove(at);
        }
        self.logins.push(PooledLogin {
            login,
            made_from,
            holders: Arc::default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The middle of a UTC day.
    const NOW: u64 = 20_000 * DAY + DAY / 2;
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));
    const CAFE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn deliver(pool: &CredentialPool, server: &str, count: usize, now: u64) {
        let expires = daily_end(now);
        let login = |at: usize| (format!("{expires}:{now}.{at}"), "secret".to_owned());
        let logins = [(server.to_owned(), (0..count).map(login).collect())];
        pool.add(logins.into(), expires, now).unwrap();
    }

    fn filled(count: usize) -> CredentialPool {
        let pool = CredentialPool::default();
        deliver(&pool, "a", count, NOW);
        pool
    }

    fn user(pool: &CredentialPool, network: IpAddr, now: u64) -> Option<String> {
        pool.take("a", network, now, None).map(|(user, ..)| user)
    }

    #[test]
    fn a_login_serves_one_network_on_one_day_and_six_allocations_at_once() {
        let pool = filled(32);
        let mut taken: Vec<_> = (0..6)
            .filter_map(|_| pool.take("a", HOME, NOW, None))
            .collect();
        let users: BTreeSet<_> = taken.iter().map(|(user, ..)| user.clone()).collect();
        assert_eq!((taken.len(), users.len()), (6, 1));
        let seventh = user(&pool, HOME, NOW).unwrap();
        assert!(!users.contains(&seventh));
        drop(taken.pop());
        let again = user(&pool, HOME, NOW).unwrap();
        assert!(again == seventh || users.contains(&again));
        let elsewhere = user(&pool, CAFE, NOW).unwrap();
        let tomorrow = user(&pool, HOME, NOW + DAY).unwrap();
        let all: BTreeSet<_> = users
            .into_iter()
            .chain([seventh, elsewhere, tomorrow])
            .collect();
        assert_eq!(all.len(), 4);
        assert!(pool.take("b", HOME, NOW, None).is_none());
    }

    #[test]
    fn a_login_whose_quota_is_reached_is_left_alone_for_ten_minutes_and_three_at_most_are_tried() {
        let pool = filled(32);
        let (secret, shared) = (Secret::new("north".to_owned()), CredentialPool::default());
        for (pool, secret) in [(&pool, None), (&shared, Some(&secret))] {
            let mut users = BTreeSet::new();
            for _ in 0..20 {
                let (user, _, lease) = pool.take("a", HOME, NOW, secret).unwrap();
                lease.note_full(NOW);
                users.insert(user);
            }
            assert_eq!(users.len(), MOST_FULL);
            let later = pool.take("a", HOME, NOW + FULL_FOR, secret).unwrap().0;
            assert!(users.contains(&later));
            let elsewhere = pool.take("a", CAFE, NOW, secret).unwrap().0;
            assert!(!users.contains(&elsewhere));
        }
    }

    #[test]
    fn with_an_empty_stock_a_login_is_used_again_rather_than_refused() {
        let pool = filled(2);
        let taken: Vec<_> = (0..200)
            .filter_map(|_| pool.take("a", HOME, NOW, None))
            .collect();
        assert_eq!(taken.len(), 200);
        let count = |name: &str| taken.iter().filter(|(user, ..)| user == name).count();
        assert_eq!(count(&taken[0].0), 100, "each bears its share");
        let last_hour = daily_end(NOW) - 60;
        assert!(user(&pool, CAFE, last_hour).is_some());
        assert!(user(&pool, CAFE, daily_end(NOW)).is_none());
    }

    #[test]
    fn a_login_that_would_end_in_the_call_is_taken_only_without_another() {
        let pool = filled(1);
        let last_day = daily_end(NOW) - DAY;
        let old = user(&pool, HOME, last_day).unwrap();
        let late = daily_end(NOW) - LEAST_LIFE;
        assert_eq!(user(&pool, HOME, late).unwrap(), old);
        deliver(&pool, "a", 1, last_day);
        assert_eq!(user(&pool, HOME, late - 1).unwrap(), old);
        assert_ne!(user(&pool, HOME, late).unwrap(), old);
    }

    #[test]
    fn more_are_fetched_when_few_are_unused_and_before_the_youngest_fail_to_last_a_week() {
        assert!(CredentialPool::default().is_low(NOW));
        let pool = filled(LOW);
        assert!(!pool.is_low(NOW) && !pool.is_low(NOW + DAY));
        assert!(pool.is_low(NOW + 2 * DAY));
        // A week after the last moment at which none were fetched, there is still one.
        let week_later = (NOW / DAY + 2) * DAY - 1 + 7 * DAY;
        assert!(user(&filled(LOW), HOME, week_later).is_some());
        drop(pool.take("a", HOME, NOW, None));
        assert!(pool.is_low(NOW));
    }

    #[test]
    fn a_shared_secret_makes_logins_by_the_same_rule() {
        let pool = CredentialPool::default();
        let (north, south) = (
            Secret::new("north".to_owned()),
            Secret::new("south".to_owned()),
        );
        let take = |network, now, secret| pool.take("a", network, now, Some(secret)).unwrap();
        let (user, password, _lease) = take(HOME, NOW, &north);
        let key = TurnSecret::new("north".to_owned());
        assert_eq!(
            password.expose(),
            ringfence_book::turn_credentials::password_for(&key, &user)
        );
        assert_eq!(expiry(&user), Some(daily_end(NOW)));
        assert_eq!(take(HOME, NOW + 60, &north).0, user);
        for other in [
            take(CAFE, NOW, &north),
            take(HOME, NOW + DAY, &north),
            take(HOME, NOW, &south),
        ] {
            assert_ne!(other.0, user);
        }
        assert_eq!(
            pool.memory(),
            TurnMemory::default(),
            "the settings have the secret"
        );
        assert_eq!(pool.stock(NOW), LoginStock::default());
        let busy: Vec<_> = (0..7 * MOST).map(|_| take(HOME, NOW, &north)).collect();
        assert_eq!(busy.len(), 7 * MOST);
        assert!(pool.content().logins.len() <= MOST + 3);
    }

    #[test]
    fn what_is_remembered_is_used_on_the_same_day_and_network_by_the_next_process() {
        let pool = filled(16);
        let before = user(&pool, HOME, NOW).unwrap();
        let next = CredentialPool::remembered(pool.memory());
        assert_ne!(user(&next, CAFE, NOW + 60).unwrap(), before);
        assert_eq!(user(&next, HOME, NOW + 60).unwrap(), before);
        assert_eq!(next.stock(NOW).left, 16);
    }

    /// The book was asked for the last time a moment before it would have been asked again, and is away since then. Each day the engine
    /// is in two networks, restarts, has four allocations of its pool and makes up to eight calls at once.
    #[test]
    fn a_week_without_the_book_has_logins_for_every_call_each_day_and_network_its_own() {
        let mut pool = CredentialPool::default();
        for server in ["a", "b"] {
            deliver(&pool, server, 32, NOW);
        }
        let away_since = (NOW / DAY + 2) * DAY - 1;
        assert!(!pool.is_low(away_since));
        let mut used: BTreeMap<String, (u64, IpAddr)> = BTreeMap::new();
        for hour in 0..7 * 24 {
            let now = away_since + hour * 3_600;
            let network = if now % DAY < DAY / 2 { HOME } else { CAFE };
            let at_once = if hour % 24 == 20 { 12 } else { 6 };
            let taken: Vec<_> = (0..at_once)
                .map(|_| pool.take("a", network, now, None).expect("a login"))
                .collect();
            for (user, ..) in &taken {
                assert!(expiry(user).unwrap() > now);
                let before = used.insert(user.clone(), (now / DAY, network));
                assert!(before.is_none_or(|before| before == (now / DAY, network)));
            }
            if hour % 24 == 10 {
                pool = CredentialPool::remembered(pool.memory());
            }
        }
        assert!(used.len() > 14, "{}", used.len());
        assert!(
            pool.take("b", HOME, away_since + 7 * DAY - 1, None)
                .is_some()
        );
    }

    #[test]
    fn an_end_that_would_mark_an_engine_is_refused() {
        let pool = CredentialPool::default();
        let logins = || {
            [(
                "a".to_owned(),
                vec![("user".to_owned(), "password".to_owned())],
            )]
        };
        for expires in [daily_end(NOW) - 1, daily_end(NOW) + 2 * DAY, u64::MAX, NOW] {
            assert_eq!(pool.add(logins().into(), expires, NOW), Err(StrangeEnd));
        }
        // A book whose clock is some minutes ahead, past midnight.
        assert_eq!(pool.add(logins().into(), daily_end(NOW) + DAY, NOW), Ok(()));
    }

    #[test]
    fn the_stock_has_a_bound_and_keeps_the_youngest() {
        let pool = CredentialPool::default();
        for day in 0..5 {
            deliver(&pool, "a", 32, NOW + day * DAY);
        }
        let LoginStock { left, seconds } = pool.stock(NOW + 4 * DAY);
        assert_eq!(
            (left, seconds),
            (MOST, daily_end(NOW + 4 * DAY) - (NOW + 4 * DAY))
        );
        assert!(!pool.is_hopeless());
        pool.note_book_gives_none();
        assert!(!pool.is_hopeless(), "those of before are good");
    }
}
