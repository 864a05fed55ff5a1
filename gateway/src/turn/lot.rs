//! The order in which an engine uses TURN servers: drawn by lot, so that the two sides of a call often have different ones, and kept,
//! so that no server sees more engines than it must.
//!
//! A server is a host: entries that differ in port or transport lead to one machine, and keep the order in which they are named.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// The order of `named` after that of before. The first stays first as long as it is named, and new ones are put in at random after
/// it; without it everything is drawn anew.
pub(super) fn redraw(before: &[String], named: &[String], rng: &mut impl Rng) -> Vec<String> {
    let is_named = |host: &&String| named.contains(host);
    if before.first().filter(is_named).is_none() {
        let mut drawn = named.to_vec();
        drawn.shuffle(rng);
        return drawn;
    }
    let mut order: Vec<String> = before.iter().filter(is_named).cloned().collect();
    for host in named {
        if !order.contains(host) {
            order.insert(rng.random_range(1..=order.len()), host.clone());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn hosts(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    #[test]
    fn every_server_is_drawn_as_often_as_another() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..3_000 {
            let order = redraw(&[], &hosts("abc"), &mut rng);
            *first.entry(order[0].clone()).or_default() += 1;
        }
        assert!(first.len() == 3 && first.values().all(|count| (850..1_150).contains(count)));
    }

    #[test]
    fn the_order_lasts_and_the_first_changes_only_when_it_is_gone() {
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        for _ in 0..100 {
            let order = redraw(&[], &hosts("abcd"), &mut rng);
            assert_eq!(redraw(&order, &hosts("dcba"), &mut rng), order);
            let more = redraw(&order, &hosts("abcdef"), &mut rng);
            assert_eq!(more[0], order[0]);
            let kept: Vec<_> = more.iter().filter(|host| order.contains(host)).collect();
            assert!(kept.into_iter().eq(&order) && more.len() == 6);
            let without: Vec<_> = order[1..].to_vec();
            let mut drawn = redraw(&order, &without, &mut rng);
            drawn.sort();
            let mut left = without;
            left.sort();
            assert_eq!(drawn, left);
        }
        assert!(redraw(&hosts("ab"), &[], &mut rng).is_empty());
    }
}
