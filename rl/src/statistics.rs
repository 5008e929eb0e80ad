//! How sure a measurement is: bootstrap intervals, exact tests, and estimates without bias.
//!
//! A bootstrap draws the problems again, with replacement, [`RESAMPLES`] times, and takes the 2.5th and 97.5th percentile of
//! what it finds (Efron, "Bootstrap methods", 1979; the percentile interval of Efron and Tibshirani, 1993, chapter 13). It says
//! how much an accuracy depends on which problems were posed. When all answers are alike it is a point, which says only that
//! there were too few problems to see a difference.

use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// The mean; of nothing it is NaN, which JSON shows as null.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation, divided by the number of values; of nothing it is NaN.
pub fn deviation(values: &[f64]) -> f64 {
    let average = mean(values);
    let squares: Vec<f64> = values.iter().map(|x| (x - average).powi(2)).collect();
    mean(&squares).sqrt()
}

/// Resamples of every bootstrap.
pub const RESAMPLES: usize = 10_000;

/// Share of an interval's resamples within it.
pub const LEVEL: f64 = 0.95;

/// What a bootstrap's seed is for: the first step of its path. Samples of completions start theirs with the number of their
/// problem, which never gets there.
const BOOTSTRAP: u64 = 0x626f_6f74_7374_7261;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` is in it, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The percentiles of `values`, which may be in any order; `None` of nothing.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let beyond = (1.0 - LEVEL) / 2.0;
        Some(Self {
            low: values[(last as f64 * beyond).floor() as usize],
            high: values[(last as f64 * (1.0 - beyond)).ceil() as usize],
        })
    }
}

/// What one problem adds to a ratio: a figure is the sum of the first numbers divided by the sum of the second. An accuracy
/// over greedy answers has (1, 1) where one is right and (0, 1) where it is wrong; over samples, (right, judged).
pub type Item = (f64, f64);

/// The figure itself; `None` when nothing counts.
pub fn ratio(items: &[Item]) -> Option<f64> {
    let (above, below) = sums(items.iter().copied());
    (below > 0.0).then(|| above / below)
}

/// The interval of [`ratio`] by drawing problems again; `seed` and `figure` decide the draws.
pub fn bootstrap(items: &[Item], seed: u64, figure: u64) -> Option<Interval> {
    Interval::of(resampled(items, seed, figure))
}

/// The interval of the difference of two ratios over the same problems, the second minus the first, drawn together: problems
/// that both find easy or hard say nothing about the difference.
///
/// # Panics
/// When the lists are not of one length.
pub fn paired_bootstrap(
    first: &[Item],
    second: &[Item],
    seed: u64,
    figure: u64,
) -> Option<Interval> {
    assert_eq!(first.len(), second.len(), "pairs need two of each");
    let mut rng = rng(derive_seed(seed, &[BOOTSTRAP, figure]));
    let count = first.len();
    let mut draw = || {
        let mut sums = [0.0; 4];
        for _ in 0..count {
            let at = rng.random_range(0..count);
            for (sum, value) in
                sums.iter_mut()
                    .zip([first[at].0, first[at].1, second[at].0, second[at].1])
            {
                *sum += value;
            }
        }
        let [above, below, other_above, other_below] = sums;
        (below > 0.0 && other_below > 0.0).then(|| other_above / other_below - above / below)
    };
    let resamples = if count == 0 { 0 } else { RESAMPLES };
    Interval::of((0..resamples).filter_map(|_| draw()).collect())
}

/// The interval of the difference of two ratios over problems that need not be the same, the second minus the first.
pub fn two_sample_bootstrap(
    first: &[Item],
    second: &[Item],
    seed: u64,
    figure: u64,
) -> Option<Interval> {
    let draws = |items, side| resampled(items, derive_seed(seed, &[side]), figure);
    let pairs = draws(first, 1).into_iter().zip(draws(second, 2));
    Interval::of(pairs.map(|(first, second)| second - first).collect())
}

/// Means of the series drawn again in blocks of neighbours, which keeps what they have to do with each other: the moving-block
/// bootstrap of Künsch (Annals of Statistics 17, 1989), with blocks of the cube root of the length, rounded up.
pub fn block_means(series: &[f64], seed: u64, figure: u64) -> Vec<f64> {
    let count = series.len();
    if count == 0 {
        return Vec::new();
    }
    let block = block_length(count);
    let mut rng = rng(derive_seed(seed, &[BOOTSTRAP, figure]));
    let mut draw = || {
        let mut sum = 0.0;
        let mut drawn = 0;
        while drawn < count {
            let start = rng.random_range(0..=count - block);
            let taken = block.min(count - drawn);
            sum += series[start..start + taken].iter().sum::<f64>();
            drawn += taken;
        }
        sum / count as f64
    };
    (0..RESAMPLES).map(|_| draw()).collect()
}

/// The interval of the mean of a series, by [`block_means`].
pub fn block_bootstrap(series: &[f64], seed: u64, figure: u64) -> Option<Interval> {
    Interval::of(block_means(series, seed, figure))
}

/// The interval of the difference of two series' means, the second minus the first, by [`block_means`] of each.
pub fn block_difference(first: &[f64], second: &[f64], seed: u64, figure: u64) -> Option<Interval> {
    let draws = |series, side| block_means(series, derive_seed(seed, &[side]), figure);
    let pairs = draws(first, 1).into_iter().zip(draws(second, 2));
    Interval::of(pairs.map(|(first, second)| second - first).collect())
}

/// Neighbours in a block of [`block_means`].
pub fn block_length(count: usize) -> usize {
    ((count as f64).cbrt().ceil() as usize).clamp(1, count.max(1))
}

/// The chance of a split at least as uneven as `only_first` to `only_second` if neither side were better: McNemar's test,
/// exact (two-sided binomial at one half), of problems that just one of two answered right.
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let count = only_first + only_second;
    let fewer = only_first.min(only_second);
    // ln C(count, i) − count · ln 2, from the last to the next by a factor.
    let mut log_term = -(count as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for i in 1..=fewer {
        log_term += ((count - i + 1) as f64 / i as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// The probability that at least one of `k` samples is right, estimated without bias from `n`
/// samples of which `c` are: `1 − C(n − c, k) / C(n, k)` (Chen et al., arXiv 2107.03374, eq. 1).
///
/// # Panics
/// When `k > n` or `c > n`.
pub fn pass_at_k(n: usize, c: usize, k: usize) -> f64 {
    assert!(k <= n && c <= n, "pass@{k} of {n} samples with {c} right");
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n)
        .map(|i| 1.0 - k as f64 / i as f64)
        .product::<f64>()
}

/// The mean with its block-bootstrap interval; `None` of nothing.
pub fn series_mean(series: &[f64], seed: u64, figure: u64) -> Option<(f64, Interval)> {
    block_bootstrap(series, seed, figure).map(|interval| (mean(series), interval))
}

fn resampled(items: &[Item], seed: u64, figure: u64) -> Vec<f64> {
    let mut rng = rng(derive_seed(seed, &[BOOTSTRAP, figure]));
    let count = items.len();
    if count == 0 {
        return Vec::new();
    }
    let mut draw = || {
        let (above, below) = sums((0..count).map(|_| items[rng.random_range(0..count)]));
        (below > 0.0).then(|| above / below)
    };
    (0..RESAMPLES).filter_map(|_| draw()).collect()
}

fn sums(items: impl Iterator<Item = Item>) -> Item {
    items.fold((0.0, 0.0), |sum, item| (sum.0 + item.0, sum.1 + item.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `right` right answers among `count`.
    fn answers(right: usize, count: usize) -> Vec<Item> {
        (0..count)
            .map(|i| (f64::from(u8::from(i < right)), 1.0))
            .collect()
    }

    #[test]
    fn pass_at_k_counts_subsets() {
        // n = 4, c = 1: of the 6 pairs, 3 hold the right one.
        assert!((pass_at_k(4, 1, 2) - 0.5).abs() < 1e-12);
        assert_eq!(pass_at_k(4, 0, 2), 0.0);
        assert_eq!(pass_at_k(4, 3, 2), 1.0);
        assert!((pass_at_k(10, 3, 1) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn mcnemar_is_the_binomial_test() {
        // By hand: 2 · (1 + 10) / 2^10, 2 · 1 / 2^5, and sides that are equal.
        assert!((mcnemar(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert!((mcnemar(5, 0) - 2.0 / 32.0).abs() < 1e-12);
        assert_eq!(mcnemar(4, 4), 1.0);
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(3, 8), mcnemar(8, 3));
        // Far out, where C(n, i) overflows any float: the tail of 4000 coins at 1800, 6.3 deviations.
        let far = mcnemar(1800, 2200);
        assert!(far > 1e-11 && far < 1e-9, "{far}");
    }

    #[test]
    fn an_interval_is_as_wide_as_theory_says() {
        // 60 of 200: deviation √(0.3 · 0.7 / 200) = 0.0324. The bootstrap's own error at 10 000 resamples is about a
        // fiftieth of that, and steps of 1/200 add 0.0025.
        let items = answers(60, 200);
        assert_eq!(ratio(&items), Some(0.3));
        let found = bootstrap(&items, 1, 0).unwrap();
        assert!(
            (found.low - (0.3 - 1.96 * 0.0324)).abs() < 0.008,
            "{found:?}"
        );
        assert!(
            (found.high - (0.3 + 1.96 * 0.0324)).abs() < 0.008,
            "{found:?}"
        );
        assert_eq!(bootstrap(&items, 1, 0), Some(found));
        assert_ne!(bootstrap(&items, 2, 0), Some(found));
        assert_eq!(bootstrap(&[], 1, 0), None);
        assert_eq!(bootstrap(&[(0.0, 0.0)], 1, 0), None);
        let point = Interval {
            low: 1.0,
            high: 1.0,
        };
        assert_eq!(bootstrap(&answers(9, 9), 1, 0), Some(point));
    }

    #[test]
    fn intervals_cover_what_they_estimate() {
        // 300 samples of 100 coins at 0.4: a 95 % interval misses 15 of them, with a deviation of 3.8; the percentile
        // interval is known to be a little narrow, so up to 8 % are let pass.
        let mut missed = 0;
        for trial in 0..300 {
            let mut rng = rng(derive_seed(9, &[trial]));
            let items: Vec<Item> = (0..100)
                .map(|_| (f64::from(u8::from(rng.random::<f64>() < 0.4)), 1.0))
                .collect();
            missed += usize::from(!bootstrap(&items, trial, 0).unwrap().contains(0.4));
        }
        assert!((3..=32).contains(&missed), "{missed}");
    }

    #[test]
    fn pairs_see_what_two_samples_cannot() {
        // The second answers 12 more of the same 200 problems and loses none.
        let (first, second) = (answers(100, 200), answers(112, 200));
        let paired = paired_bootstrap(&first, &second, 1, 0).unwrap();
        let apart = two_sample_bootstrap(&first, &second, 1, 0).unwrap();
        assert!(paired.low > 0.0 && paired.contains(0.06), "{paired:?}");
        assert!(apart.low < 0.0 && apart.contains(0.06), "{apart:?}");
        assert_eq!(paired_bootstrap(&[], &[], 1, 0), None);
    }

    #[test]
    fn blocks_keep_neighbours_together() {
        // Ten runs of ten equal values: drawn one by one their mean would seem far surer than it is.
        let series: Vec<f64> = (0..100).map(|i| f64::from((i / 10) % 2)).collect();
        let items: Vec<Item> = series.iter().map(|value| (*value, 1.0)).collect();
        let width = |interval: Interval| interval.high - interval.low;
        let blocks = width(block_bootstrap(&series, 1, 0).unwrap());
        let single = width(bootstrap(&items, 1, 0).unwrap());
        assert!(blocks > 1.5 * single, "{blocks} {single}");
        assert_eq!(block_length(100), 5);
        assert_eq!(block_length(1), 1);
        assert_eq!(block_bootstrap(&[], 1, 0), None);
        let point = Interval {
            low: 3.0,
            high: 3.0,
        };
        assert_eq!(block_bootstrap(&[3.0], 1, 0), Some(point));
        let difference = block_difference(&[1.0, 1.0], &[3.0], 1, 0).unwrap();
        assert_eq!(
            difference,
            Interval {
                low: 2.0,
                high: 2.0
            }
        );
    }
}
