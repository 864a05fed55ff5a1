//! Nonces: issued without state, remembered from their first valid use on (RFC 7616 section 3.3).
//!
//! A nonce is `serial | age of the verifier in seconds | keyed hash`, so a flood of challenges costs no memory. After its first
//! use its counts are kept in a window until it is too old: counts may arrive out of order, and none is accepted twice. A client
//! without `qop` sends no count, so it may use a nonce once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::hex::hex;
use crate::random::keyed;

/// The lifetime of a nonce. A phone with an older nonce gets `stale=true` and needs one more round trip.
pub(super) const LIFE: Duration = Duration::from_secs(300);
/// How many used nonces are remembered. Each belongs to a phone that knew its password. The oldest is forgotten first and is
/// stale from then on. At 2,000 registrations a second, each with a new nonce, a nonce is remembered for 16 s.
const MAX_USED: usize = 32_768;

pub(super) struct Nonces {
    key: Zeroizing<[u8; 32]>,
    birth: Option<Instant>,
    last: u64,
    used: BTreeMap<u64, NonceWindow>,
    /// Nonces with a smaller serial are stale unless they are in `used`.
    floor: u64,
}

/// Which counts of one nonce were used.
#[derive(Clone, Copy, Default)]
struct NonceWindow {
    /// The age of the verifier when the nonce was made.
    born: u64,
    highest: u32,
    /// Bit n: `highest - n` was used.
    seen: u64,
}

impl NonceWindow {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else {
            return false;
        };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

impl Nonces {
    pub(super) const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self {
            key,
            birth: None,
            last: 0,
            used: BTreeMap::new(),
            floor: 0,
        }
    }

    pub(super) fn make(&mut self, now: Instant) -> String {
        self.last = self.last.saturating_add(1);
        let age = self.age(now);
        self.write(self.last, age)
    }

    /// Uses a nonce, and gives its serial, by which a later one is known. `None` if it is stale: not ours, too old, or used with this
    /// count before.
    pub(super) fn spend(&mut self, nonce: &str, count: Option<u32>, now: Instant) -> Option<u64> {
        let (serial, born) = self.read(nonce)?;
        let age = self.age(now).saturating_sub(born);
        self.forget_old(now);
        let is_known = self.used.contains_key(&serial);
        if age > LIFE.as_secs() || (serial < self.floor && !is_known) {
            return None;
        }
        if self.used.len() >= MAX_USED
            && !is_known
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.floor = self.floor.max(oldest.saturating_add(1));
        }
        let window = self.used.entry(serial).or_insert(NonceWindow {
            born,
            ..NonceWindow::default()
        });
        let is_fresh = match count {
            Some(0) => false,
            Some(count) => window.take(count),
            // Without a count the nonce is used up, as if all counts had been used.
            None => !is_known && window.take(u32::MAX),
        };
        is_fresh.then_some(serial)
    }

    /// Serials rise with age, and a nonce that is too old is refused for its age alone.
    fn forget_old(&mut self, now: Instant) {
        let age = self.age(now);
        while let Some(oldest) = self.used.first_entry()
            && age.saturating_sub(oldest.get().born) > LIFE.as_secs()
        {
            oldest.remove();
        }
    }

    fn age(&mut self, now: Instant) -> u64 {
        let birth = *self.birth.get_or_insert(now);
        now.saturating_duration_since(birth).as_secs()
    }

    fn write(&self, serial: u64, age: u64) -> String {
        let mac = keyed(&self.key, &[&serial.to_be_bytes(), &age.to_be_bytes()]);
        format!(
            "{serial:016x}{age:016x}{}",
            hex(mac.get(..16).unwrap_or_default())
        )
    }

    fn read(&self, nonce: &str) -> Option<(u64, u64)> {
        let serial = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let age = u64::from_str_radix(nonce.get(16..32)?, 16).ok()?;
        let is_ours: bool = self
            .write(serial, age)
            .as_bytes()
            .ct_eq(nonce.as_bytes())
            .into();
        is_ours.then_some((serial, age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timers::some_instant;

    fn nonces() -> Nonces {
        Nonces::new(Zeroizing::new([3; 32]))
    }

    #[test]
    fn counts_may_grow_and_swap_places_but_not_come_twice() {
        let (mut nonces, now) = (nonces(), some_instant());
        let nonce = nonces.make(now);
        for (count, is_good) in [
            (1, true),
            (3, true),
            (2, true),
            (2, false),
            (200, true),
            (199, true),
            (100, false),
            (0, false),
        ] {
            let spent = nonces.spend(&nonce, Some(count), now).is_some();
            assert_eq!(spent, is_good, "{count}");
        }
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        let (mut nonces, now) = (nonces(), some_instant());
        let nonce = nonces.make(now);
        assert!(nonces.spend(&nonce, None, now).is_some());
        assert_eq!(nonces.spend(&nonce, None, now), None);
        assert_eq!(nonces.spend(&nonce, Some(7), now), None);
    }

    #[test]
    fn old_and_foreign_nonces_are_stale() {
        let (mut nonces, now) = (nonces(), some_instant());
        let nonce = nonces.make(now);
        let late = now + LIFE + Duration::from_secs(2);
        assert_eq!(nonces.spend(&nonce, Some(1), late), None);
        let foreign = Nonces::new(Zeroizing::new([4; 32])).make(now);
        assert_eq!(nonces.spend(&foreign, Some(1), now), None);
        let broken = "0000000000000001\u{e9}";
        assert_eq!(nonces.spend(broken, Some(1), now), None);
    }

    #[test]
    fn of_nonces_that_are_too_old_nothing_is_kept() {
        let (mut nonces, begin) = (nonces(), some_instant());
        for minute in 0..60 {
            let now = begin + Duration::from_secs(60) * minute;
            let nonce = nonces.make(now);
            assert!(nonces.spend(&nonce, Some(1), now).is_some());
            assert!(nonces.used.len() <= 6, "{}", nonces.used.len());
        }
    }

    #[test]
    fn a_forgotten_nonce_does_not_become_fresh_again() {
        let (mut nonces, now) = (nonces(), some_instant());
        let first = nonces.make(now);
        assert!(nonces.spend(&first, Some(1), now).is_some());
        for _ in 0..MAX_USED {
            let nonce = nonces.make(now);
            assert!(nonces.spend(&nonce, Some(1), now).is_some());
        }
        assert_eq!(nonces.used.len(), MAX_USED);
        assert_eq!(nonces.spend(&first, Some(1), now), None);
    }
}
