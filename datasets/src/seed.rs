//! How every random draw gets its seed.
//!
//! A draw belongs to a place, such as (run, step, task, sample). Its seed is a function of that place alone, so the order
//! in which work is done, or the number of workers that do it, cannot change a result.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::hash::mix;

/// 2⁶⁴ divided by the golden ratio: the increment of SplitMix64.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the seed of a shuffle is for: the first step of its path.
const SHUFFLE: u64 = 3;

/// The seed for the place that `path` names below `root`.
///
/// Each part of the path is folded in as `state = mix(mix(state + γ) + part)`, where `mix` is the output function of
/// SplitMix64 and `γ` its increment. Order and length of the path matter: `[1, 2]`, `[2, 1]` and `[1]` lead to
/// different seeds. Start a path with a number that says what the draw is for, so that two uses never share a stream.
///
/// The mapping is fixed: a change to it would change every run.
pub fn derive_seed(root: u64, path: &[u64]) -> u64 {
    path.iter().fold(root, |state, part| {
        mix(mix(state.wrapping_add(GOLDEN_GAMMA)).wrapping_add(*part))
    })
}

/// The generator that `seed` starts: ChaCha with 8 rounds, whose stream is the same on every platform.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The numbers below `len` in the order of `epoch`: a Fisher-Yates shuffle.
pub fn shuffled(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = rng(derive_seed(seed, &[SHUFFLE, epoch]));
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        // Drawn as `u64`, so that the order does not depend on the platform's word size.
        order.swap(last, rng.random_range(0..=last as u64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    #[test]
    fn places_near_each_other_have_different_seeds() {
        let mut seen = HashSet::new();
        for root in 0..10 {
            assert!(seen.insert(derive_seed(root, &[])));
            for a in 0..50 {
                assert!(seen.insert(derive_seed(root, &[a])));
                for b in 0..50 {
                    assert!(
                        seen.insert(derive_seed(root, &[a, b])),
                        "root {root}, path [{a}, {b}]"
                    );
                }
            }
        }
    }

    #[test]
    fn the_mapping_is_fixed() {
        // SplitMix64 seeded with 1234567 yields 6457827717110365317 first: the reference output of Vigna's splitmix64.c.
        assert_eq!(
            mix(1_234_567_u64.wrapping_add(GOLDEN_GAMMA)),
            6_457_827_717_110_365_317
        );
        assert_eq!(derive_seed(1_234_567, &[0]), mix(6_457_827_717_110_365_317));
    }

    #[test]
    fn a_stream_repeats() {
        assert_eq!(rng(5).next_u64(), rng(5).next_u64());
        assert_ne!(rng(5).next_u64(), rng(6).next_u64());
    }

    #[test]
    fn orders_are_even() {
        // The place of task 0 over 5000 epochs: 1000 each are expected, with a deviation of 28.
        let mut places = [0_u32; 5];
        for epoch in 0..5_000 {
            let order = shuffled(5, 9, epoch);
            places[order.iter().position(|position| *position == 0).unwrap()] += 1;
        }
        assert!(
            places.iter().all(|count| count.abs_diff(1_000) < 150),
            "{places:?}"
        );
    }
}
