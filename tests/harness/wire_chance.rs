//! What befalls datagrams in one direction, as those of each client of a [`FaultyWire`](crate::faulty_wire::FaultyWire): losses, lateness,
//! and the queue in front of a slow wire.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::faulty_wire::WireFaults;

/// Headers of IPv4 and UDP.
const HEADERS: usize = 28;

/// How fast a wire is, each way of each client. Connections are as fast as ever.
#[derive(Clone, Copy, Debug)]
pub struct WireRate {
    /// Bits in a second, those of the headers of IPv4 and UDP too.
    pub bits: u32,
    /// Most datagrams that wait or are being sent; further ones are lost.
    pub queue: usize,
}

/// Losses and lateness, drawn from a seed.
#[derive(Debug)]
pub struct Chance {
    rng: ChaCha20Rng,
    /// Whether the one before was lost.
    is_losing: bool,
    /// How many of the next are lost for certain.
    certain: u32,
    /// When each of those that wait has been sent.
    queue: VecDeque<Instant>,
}

impl Chance {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha20Rng::seed_from_u64(seed),
            is_losing: false,
            certain: 0,
            queue: VecDeque::new(),
        }
    }

    /// How much later the next datagram arrives than over a perfect wire that has the same delay; `None` if it is lost.
    pub fn next(&mut self, faults: WireFaults, bytes: usize, now: Instant) -> Option<Duration> {
        if self.loses(faults) {
            return None;
        }
        let sent = match faults.rate {
            Some(rate) => self.wait(rate, bytes, now)?,
            None => now,
        };
        Some(sent - now + self.lateness(faults.jitter))
    }

    /// From 0 to 1.
    fn draw(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX)
    }

    /// Whether the next datagram is lost. The one after a burst is not.
    fn loses(&mut self, faults: WireFaults) -> bool {
        if self.certain > 0 {
            self.certain -= 1;
            return true;
        }
        let burst = faults.burst.max(1.0 / (1.0 - faults.loss).max(1e-6));
        let share = match self.is_losing {
            true if faults.is_burst_exact => 0.0,
            true => 1.0 - 1.0 / burst,
            false => faults.loss / (1.0 - faults.loss).max(1e-6) / burst,
        };
        self.is_losing = self.draw() < share;
        if self.is_losing && faults.is_burst_exact {
            self.certain = faults.burst as u32 - 1;
        }
        self.is_losing
    }

    /// When the next datagram has been sent, behind those that wait; `None` if there is no room for it.
    fn wait(&mut self, rate: WireRate, bytes: usize, now: Instant) -> Option<Instant> {
        while self.queue.front().is_some_and(|sent| *sent <= now) {
            self.queue.pop_front();
        }
        if self.queue.len() >= rate.queue {
            return None;
        }
        let begins = self.queue.back().copied().unwrap_or(now);
        let bits = 8 * (bytes + HEADERS);
        let sent = begins + Duration::from_secs_f64(bits as f64 / f64::from(rate.bits));
        self.queue.push_back(sent);
        Some(sent)
    }

    fn lateness(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - 0.999 * self.draw()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the bursts in 20,000 datagrams.
    fn bursts(faults: WireFaults) -> Vec<usize> {
        let (mut chance, now) = (Chance::new(1), Instant::now());
        let lost: Vec<_> = (0..20_000)
            .map(|_| chance.next(faults, 100, now).is_none())
            .collect();
        let bursts = lost.split(|is_lost| !is_lost).map(<[bool]>::len);
        bursts.filter(|length| *length > 0).collect()
    }

    #[test]
    fn losses_have_their_share_and_bursts_their_length() {
        for (loss, burst) in [(0.1, 3.0), (0.1, 6.0), (0.3, 4.0)] {
            let faults = WireFaults {
                loss,
                burst,
                ..WireFaults::default()
            };
            let exact = WireFaults {
                is_burst_exact: true,
                ..faults
            };
            for faults in [faults, exact] {
                let found = bursts(faults);
                let lost = found.iter().sum::<usize>() as f64;
                assert!((lost / 20_000.0 - loss).abs() < 0.02, "{faults:?}: {lost}");
                let mean = lost / found.len() as f64;
                assert!((mean - burst).abs() < 0.5, "{faults:?}: {mean}");
                let is_exact = found.iter().all(|length| *length == burst as usize);
                assert_eq!(is_exact, faults.is_burst_exact, "{faults:?}");
            }
        }
    }

    #[test]
    fn a_slow_wire_sends_one_after_the_other_and_loses_what_does_not_fit() {
        let faults = WireFaults {
            rate: Some(WireRate {
                bits: 20_000,
                queue: 4,
            }),
            ..WireFaults::default()
        };
        let (mut chance, now) = (Chance::new(1), Instant::now());
        // 1,000 bits each.
        let mut send = |at| chance.next(faults, 97, at);
        let millis = Duration::from_millis;
        let sent: Vec<_> = (0..6).map(|_| send(now)).collect();
        let [one, two, three, four] = [50, 100, 150, 200].map(|at| Some(millis(at)));
        assert_eq!(sent, [one, two, three, four, None, None]);
        let later = now + millis(60);
        assert_eq!(
            [send(later), send(later)],
            [Some(millis(190)), None],
            "one has gone"
        );
        assert_eq!(send(now + millis(500)), one);
    }
}
