use burn::tensor::Device;
use serde_json::json;

use super::*;
use crate::{
    bundle::{Bundle, ModelSection},
    learner::{AdamW, AdamWConfig, Segment},
    model::Activations,
};

fn model(width: usize, seed: u64) -> Transformer {
    let section: ModelSection = serde_json::from_value(json!({
        "source": "scratch", "alphabet": "0123456789+=", "hidden_size": width, "intermediate_size": 12,
        "layers": 1, "heads": 2, "kv_heads": 1, "context": 32,
    }))
    .unwrap();
    Bundle::from_section(&section, seed, &Device::flex())
        .unwrap()
        .model
}

fn lessons() -> Vec<Lesson> {
    let turns = vec![
        Segment::sampled([3, 4]),
        Segment::given([5]),
        Segment::sampled([6]),
    ];
    let sequences = [
        Sequence::of_segments([1, 2], turns),
        Sequence::new([1, 2], [7, 8, 9, 10]),
        Sequence::new([11], [2]),
    ];
    let lesson = |sequence| Lesson {
        sequence,
        recorded: None,
    };
    sequences.map(lesson).into()
}

fn config(divergence: Option<Divergence>, top_k: Option<usize>, tokens: usize) -> StepConfig {
    let vocabulary = model(8, 1).config().vocab_size;
    StepConfig {
        divergence,
        top_k,
        gradient: GradientConfig {
            head: HeadConfig {
                temperature: 0.8,
                chunk_bytes: 4 * vocabulary * tokens,
            },
            activations: Activations::All,
            ..GradientConfig::default()
        },
        token_budget: 8,
        workers: 1,
        learning_rate: 0.01,
    }
}

fn learner() -> Learner {
    Learner::new(model(8, 1), AdamW::new(AdamWConfig::default()), 0)
}

/// What a teacher says, asked token by token.
fn known(teacher: &Transformer, temperature: f32, k: usize) -> Vec<Vec<Known>> {
    let of = |lesson: &Lesson| {
        let sequence = &lesson.sequence;
        let ids: Vec<u32> = sequence
            .prompt
            .iter()
            .copied()
            .chain(sequence.marked().map(|t| t.0))
            .collect();
        let rows = teacher.logprobs(&ids);
        let start = sequence.prompt.len();
        let targets = sequence
            .marked()
            .enumerate()
            .filter(|(_, (_, sampled))| *sampled);
        targets
            .map(|(place, (token, _))| {
                let scaled: Vec<f32> = rows[start + place - 1]
                    .iter()
                    .map(|x| x / temperature)
                    .collect();
                let sum: f32 = scaled.iter().map(|x| x.exp()).sum();
                let whole = TokenDistribution::Whole(scaled.iter().map(|x| x - sum.ln()).collect());
                Known {
                    logprob: whole.logprob(token).unwrap(),
                    top: whole.top(k),
                }
            })
            .collect()
    };
    lessons().iter().map(of).collect()
}

/// A teacher asked by micro-batch says what it says token by token, however the head is cut.
#[test]
fn a_teacher_in_the_process_is_the_one_whose_answers_were_kept() {
    let teacher = model(16, 2);
    let all = teacher.config().vocab_size;
    for divergence in [
        Some(Divergence::Reverse),
        Some(Divergence::JensenShannon(0.3)),
        None,
    ] {
        for (k, top_k) in [(all, None), (3, Some(3))] {
            let top_k = top_k.filter(|_| divergence.is_some());
            let known = known(&teacher, 0.8, k);
            let outcomes = [
                (Taught::By(&teacher), 100),
                (Taught::By(&teacher), 2),
                (Taught::Known(&known), 100),
            ]
            .map(|(taught, tokens)| {
                step(
                    &config(divergence, top_k, tokens),
                    &mut learner(),
                    &lessons(),
                    taught,
                )
                .unwrap()
            });
            let first = outcomes[0];
            assert_eq!(first.sums.tokens, 8);
            for other in &outcomes[1..] {
                let near = |a: f64, b: f64| (a - b).abs() < 2e-5 * a.abs().max(1.0);
                assert!(near(first.loss, other.loss), "{first:?} {other:?}");
                assert!(
                    near(first.grad_norm, other.grad_norm),
                    "{first:?} {other:?}"
                );
                assert!(near(first.sums.reverse_kl(), other.sums.reverse_kl()));
                assert!(near(
                    first.sums.teacher_logprob(),
                    other.sums.teacher_logprob()
                ));
                assert_eq!(first.sums.agreed, other.sums.agreed);
            }
        }
    }
}

#[test]
fn a_student_that_is_its_teacher_stays() {
    for divergence in [Some(Divergence::Reverse), Some(Divergence::Forward), None] {
        let teacher = model(8, 1);
        let config = config(divergence, None, 100);
        let outcome = step(&config, &mut learner(), &lessons(), Taught::By(&teacher)).unwrap();
        assert!(
            outcome.loss.abs() < 1e-6 && outcome.grad_norm < 1e-5,
            "{outcome:?}"
        );
        assert_eq!(outcome.sums.agreement(), divergence.map(|_| 1.0));
    }
}

#[test]
fn every_divergence_falls_by_learning() {
    let teacher = model(16, 2);
    for divergence in [
        Divergence::Reverse,
        Divergence::Forward,
        Divergence::JensenShannon(0.5),
        Divergence::SkewForward(0.1),
        Divergence::SkewReverse(0.1),
    ] {
        let mut learner = learner();
        let config = config(Some(divergence), None, 100);
        let mut losses = Vec::new();
        for _ in 0..12 {
            let outcome = step(&config, &mut learner, &lessons(), Taught::By(&teacher)).unwrap();
            losses.push(outcome.loss);
        }
        assert!(losses[11] < 0.6 * losses[0], "{divergence:?}: {losses:?}");
    }
}

#[test]
fn vocabularies_that_are_filled_up_to_other_sizes_are_made_to_fit() {
    let half = 0.5f32.ln();
    assert_eq!(fitted(vec![half, half], 3), [half, half, f32::NEG_INFINITY]);
    let cut = fitted(vec![half, 0.25f32.ln(), 0.25f32.ln()], 2);
    assert!((cut[0].exp() - 2.0 / 3.0).abs() < 1e-6, "{cut:?}");
}
