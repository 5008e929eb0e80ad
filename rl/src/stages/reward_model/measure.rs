//! How good a reward model is: accuracy, by length too, calibration, and the spread of its scores.

use super::{Question, loss::sigmoid};

/// Figures of some questions with their scores.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// Share of decided comparisons whose chosen answer has the larger score, or of judged answers on the right side of 0.
    pub accuracy: Option<f64>,
    /// Mean of `s_chosen − s_rejected`.
    pub margin: Option<f64>,
    /// The accuracy where the chosen answer is the longer one, in tokens.
    pub longer_chosen: Option<f64>,
    /// The accuracy where it is the shorter one.
    pub shorter_chosen: Option<f64>,
    /// Expected calibration error (Guo et al., arXiv 1706.04599, eq. 3), in ten bins of confidence from ½ to 1.
    pub calibration_error: Option<f64>,
    /// Scores.
    pub scores: usize,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their standard deviation.
    pub deviation: f64,
}

/// Bins of confidence.
const BINS: usize = 10;

/// A sum and how many it is of.
#[derive(Debug, Clone, Copy, Default)]
struct Mean(f64, usize);

impl Mean {
    fn add(&mut self, value: f64) {
        self.0 += value;
        self.1 += 1;
    }

    fn get(self) -> Option<f64> {
        (self.1 > 0).then(|| self.0 / self.1 as f64)
    }
}

/// The figures of `questions`, whose answers have these `scores`.
pub fn measure<'a>(
    questions: impl IntoIterator<Item = &'a Question>,
    scores: &[Vec<f32>],
) -> Measured {
    let [mut accuracy, mut margin, mut longer, mut shorter] = [Mean::default(); 4];
    let mut bins = [(Mean::default(), Mean::default()); BINS];
    for (question, scores) in questions.into_iter().zip(scores) {
        let mut hit = |margin: f64| {
            let right = f64::from(u8::from(margin > 0.0));
            let sure = sigmoid(margin.abs());
            let bin = (((sure - 0.5) * 2.0 * BINS as f64) as usize).min(BINS - 1);
            bins[bin].0.add(right);
            bins[bin].1.add(sure);
            accuracy.add(right);
            right
        };
        for comparison in question.comparisons.iter().filter(|c| c.label == 1.0) {
            let (chosen, rejected) = (comparison.chosen, comparison.rejected);
            let difference = f64::from(scores[chosen]) - f64::from(scores[rejected]);
            let right = hit(difference);
            margin.add(difference);
            let length = |answer: usize| question.answers[answer].followed();
            match length(chosen).cmp(&length(rejected)) {
                std::cmp::Ordering::Greater => longer.add(right),
                std::cmp::Ordering::Less => shorter.add(right),
                std::cmp::Ordering::Equal => {}
            }
        }
        for opinion in &question.opinions {
            let score = f64::from(scores[opinion.answer]);
            hit(if opinion.good { score } else { -score });
        }
    }
    let all = bins.iter().map(|(right, _)| right.1).sum::<usize>();
    let error = bins
        .iter()
        .filter_map(|(right, sure)| Some(right.1 as f64 * (right.get()? - sure.get()?).abs()));
    let error = error.sum::<f64>() / all.max(1) as f64;
    let mut measured = Measured {
        accuracy: accuracy.get(),
        margin: margin.get(),
        longer_chosen: longer.get(),
        shorter_chosen: shorter.get(),
        calibration_error: (all > 0).then_some(error),
        ..Measured::default()
    };
    spread(&mut measured, scores);
    measured
}

fn spread(measured: &mut Measured, scores: &[Vec<f32>]) {
    let all = || scores.iter().flatten().map(|&score| f64::from(score));
    let count = all().count();
    if count == 0 {
        return;
    }
    let mean = all().sum::<f64>() / count as f64;
    let square = all().map(|s| (s - mean) * (s - mean)).sum::<f64>() / count as f64;
    measured.scores = count;
    measured.mean = mean;
    measured.deviation = square.sqrt();
    // NaN stays: it is no score, and the figures have to say so.
    let lower = |a: f64, b: f64| if b < a || b.is_nan() { b } else { a };
    let higher = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    measured.min = all().fold(f64::INFINITY, lower);
    measured.max = all().fold(f64::NEG_INFINITY, higher);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        learner::Sequence,
        stages::reward_model::{Comparison, Opinion},
    };

    fn question(lengths: &[usize], pairs: &[(usize, usize)]) -> Question {
        let answer = |&length: &usize| Sequence::new([1u32], vec![7u32; length]);
        Question {
            answers: lengths.iter().map(answer).collect(),
            comparisons: pairs
                .iter()
                .map(|&(chosen, rejected)| Comparison {
                    chosen,
                    rejected,
                    label: 1.0,
                    margin: 0.0,
                })
                .collect(),
            opinions: Vec::new(),
        }
    }

    #[test]
    fn accuracy_is_told_by_length_and_doubt_has_its_price() {
        let questions = [
            question(&[3, 2], &[(0, 1)]),
            question(&[2, 5, 4], &[(0, 1), (2, 1)]),
        ];
        let scores = vec![vec![2.0, 1.0], vec![0.0, 1.0, 4.0]];
        let found = measure(&questions, &scores);
        assert_eq!(found.accuracy, Some(2.0 / 3.0));
        assert_eq!(
            (found.longer_chosen, found.shorter_chosen),
            (Some(1.0), Some(0.5))
        );
        assert_eq!(found.margin, Some((1.0 - 1.0 + 3.0) / 3.0));
        assert_eq!((found.min, found.max, found.scores), (0.0, 4.0, 5));
        assert_eq!(found.mean, 1.6);
        // σ(1) is 0.731 twice, once right; σ(3) is 0.953 and right.
        let expected = (2.0 * (sigmoid(1.0) - 0.5) + (1.0 - sigmoid(3.0))) / 3.0;
        assert!((found.calibration_error.unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn judged_answers_are_right_on_their_side_of_zero_and_nan_is_shown() {
        let mut judged = question(&[1, 1], &[]);
        judged.opinions = vec![
            Opinion {
                answer: 0,
                good: true,
            },
            Opinion {
                answer: 1,
                good: false,
            },
        ];
        let found = measure([&judged], &[vec![0.5, 0.25]]);
        assert_eq!((found.accuracy, found.margin), (Some(0.5), None));
        let found = measure([&judged], &[vec![f32::NAN, 0.25]]);
        assert!(found.min.is_nan() && found.max.is_nan());
        assert_eq!(measure([], &[]), Measured::default());
    }
}
