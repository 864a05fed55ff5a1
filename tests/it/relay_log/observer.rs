//! What a relay concludes from its log: whom a call was for, and whom each address calls most.
//!
//! Its rules are those that named 96 of 100 pairs of the first protocol, in which a callee posted an answer: the address that posts next after
//! a ring is the callee's; over a week, one that posts more often than usual after the rings of another is its friend's. A ring's tag
//! names the callee's bucket, and the relay knows the bucket to which each address is subscribed.

use super::traffic::Dice;

/// How long after a ring an address that posts may be the callee's, in seconds.
const SOON: f64 = 60.0;

/// How long after a ring a callee may be calling back, in seconds.
const LATER: f64 = 900.0;

/// Of so many addresses at most the relay asks whom they call: more change no share.
const ASKED: usize = 300;

/// Of so many rings at most, evenly spread over the log, it names the callee.
const MOST_RINGS: usize = 20_000;

/// What a relay saw, by time. Covers are left out: each address posts them by one law after a ring of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct RelayLog {
    /// Rings: seconds, the address, and the bucket of the callee.
    pub(super) rings: Vec<(f64, usize, usize)>,
    /// Envelopes that belong to no ring of their address: seconds, and the address.
    pub(super) others: Vec<(f64, usize)>,
    /// The bucket to which each address is subscribed.
    pub(super) subscribed: Vec<usize>,
}

/// How often the relay was right, and how often it would be by drawing lots among those of the bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    /// Questions that were asked.
    pub(super) asked: usize,
    /// The share of right answers.
    pub(super) right: f64,
    /// The share of right answers of one who draws lots.
    pub(super) chance: f64,
}

impl Score {
    /// Standard deviation of the share, if only chance were at work.
    pub(super) fn noise(&self) -> f64 {
        (self.chance * (1.0 - self.chance) / self.asked.max(1) as f64).sqrt()
    }

    fn of_all(self) -> Self {
        let asked = self.asked.max(1) as f64;
        Self {
            right: self.right / asked,
            chance: self.chance / asked,
            ..self
        }
    }
}

impl RelayLog {
    /// The same log where all addresses share one bucket.
    pub(super) fn without_buckets(&self) -> Self {
        let rings = self.rings.iter().map(|(at, from, _)| (*at, *from, 0));
        let (others, subscribed) = (self.others.clone(), vec![0; self.subscribed.len()]);
        Self {
            rings: rings.collect(),
            others,
            subscribed,
        }
    }

    /// Names the callee of each ring; `callees` are the true ones, in the order of the rings.
    pub(super) fn name_callees(&self, callees: &[usize], dice: &mut Dice) -> Score {
        let mut score = Score {
            asked: 0,
            right: 0.0,
            chance: 0.0,
        };
        let members = self.members();
        let step = callees.len().div_ceil(MOST_RINGS).max(1);
        for ((at, from, bucket), callee) in self.rings.iter().zip(callees).step_by(step) {
            let members = &members[*bucket];
            let fits = |address: usize| address != *from && self.subscribed[address] == *bucket;
            let other = after(&self.others, *at, SOON).map(|(_, address)| *address);
            let rings = self.rings.partition_point(|ring| ring.0 <= *at);
            let next = self.rings[rings..]
                .iter()
                .take_while(|ring| ring.0 <= at + SOON);
            let next = next.map(|(_, address, _)| *address);
            let guess = other.chain(next).find(|address| fits(*address));
            let guess = guess.unwrap_or_else(|| members[dice.one_of(members.len())]);
            score.asked += 1;
            score.right += f64::from(u8::from(guess == *callee));
            score.chance += chance(*from, members);
        }
        score.of_all()
    }

    /// Names whom each address calls most; `callees` as for [`RelayLog::name_callees`].
    pub(super) fn name_friends(&self, callees: &[usize]) -> Score {
        let (engines, members) = (self.subscribed.len(), self.members());
        let mut score = Score {
            asked: 0,
            right: 0.0,
            chance: 0.0,
        };
        let step = engines.div_ceil(ASKED);
        let usual = counts(engines, self.rings.iter().map(|ring| ring.1));
        let usual_others = counts(engines, self.others.iter().map(|other| other.1));
        let span = self.rings.last().map_or(1.0, |ring| ring.0);
        for own in (0..engines).step_by(step) {
            let own_rings: Vec<_> = self.rings.iter().filter(|ring| ring.1 == own).collect();
            let true_ones = self.rings.iter().zip(callees);
            let true_ones = true_ones
                .filter(|(ring, _)| ring.1 == own)
                .map(|(_, callee)| *callee);
            let called = counts(engines, true_ones);
            let Some(friend) = most(&called) else {
                continue;
            };
            let buckets = counts(members.len(), own_rings.iter().map(|ring| ring.2));
            let Some(bucket) = most(&buckets) else {
                continue;
            };
            let (mut later, mut soon) = (vec![0.0; engines], vec![0.0; engines]);
            for (at, ..) in own_rings.iter().copied() {
                let from = self.rings.partition_point(|ring| ring.0 <= *at);
                for ring in self.rings[from..]
                    .iter()
                    .take_while(|ring| ring.0 <= at + LATER)
                {
                    later[ring.1] += 1.0;
                }
                for (_, address) in after(&self.others, *at, SOON) {
                    soon[*address] += 1.0;
                }
            }
            let surprise = |seen: f64, usual: f64, window: f64| {
                let expected = usual * window * own_rings.len() as f64 / span;
                (seen - expected) / (expected + 0.5).sqrt()
            };
            let members = &members[bucket];
            let weight = |address: &usize| {
                surprise(later[*address], usual[*address], LATER)
                    + surprise(soon[*address], usual_others[*address], SOON)
            };
            let candidates = members.iter().filter(|address| **address != own);
            let guess = candidates.max_by(|a, b| weight(a).total_cmp(&weight(b)));
            score.asked += 1;
            score.right += f64::from(u8::from(guess == Some(&friend)));
            score.chance += chance(own, members);
        }
        score.of_all()
    }

    /// The addresses of each bucket.
    fn members(&self) -> Vec<Vec<usize>> {
        let most = self.subscribed.iter().max().copied().unwrap_or(0);
        let mut members = vec![Vec::new(); most + 1];
        for (address, bucket) in self.subscribed.iter().enumerate() {
            members[*bucket].push(address);
        }
        members
    }
}

fn after(posts: &[(f64, usize)], at: f64, window: f64) -> impl Iterator<Item = &(f64, usize)> {
    let from = posts.partition_point(|post| post.0 <= at);
    posts[from..]
        .iter()
        .take_while(move |post| post.0 <= at + window)
}

fn counts(size: usize, places: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut counts = vec![0.0; size];
    for place in places {
        counts[place] += 1.0;
    }
    counts
}

fn most(counts: &[f64]) -> Option<usize> {
    let places = counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
    places
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(place, _)| place)
}

/// How likely it is to draw the right one among these by lot.
fn chance(own: usize, members: &[usize]) -> f64 {
    let others = members.len() - usize::from(members.contains(&own));
    1.0 / others.max(1) as f64
}
