use burn::tensor::Device;

use super::*;
use crate::{
    bundle::{Bundle, ScratchAttention, ScratchModel},
    learner::{Segment, TokenScores, Upstream, batch_gradients, token_logprobs},
    model::Parameters,
};

fn model() -> Transformer {
    let scratch = ScratchModel {
        alphabet: "0123456789".to_owned(),
        special_tokens: Vec::new(),
        hidden_size: 16,
        intermediate_size: 24,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        context: 64,
        experts: None,
        family: None,
        attention: ScratchAttention::Grouped,
        latent: None,
        window: None,
    };
    let section = crate::bundle::ModelSection::Scratch(scratch);
    Bundle::from_section(&section, 5, &Device::flex())
        .unwrap()
        .model
}

/// An example of ids from `seed` on, of which `learnt` says what is learnt.
fn example(prompt: usize, learnt: &[bool], seed: u32) -> Encoded {
    let ids = |count: usize, from: u32| (0..count as u32).map(|i| (from + 7 * i) % 10).collect();
    encoded(ids(prompt, seed), ids(learnt.len(), seed + 3), learnt)
}

fn encoded(prompt: Vec<u32>, tokens: Vec<u32>, learnt: &[bool]) -> Encoded {
    let marked: Vec<(u32, bool)> = tokens.into_iter().zip(learnt.iter().copied()).collect();
    let segments = marked.chunk_by(|a, b| a.1 == b.1).map(|run| {
        let tokens: Vec<u32> = run.iter().map(|(token, _)| *token).collect();
        if run[0].1 {
            Segment::sampled(tokens)
        } else {
            Segment::given(tokens)
        }
    });
    Encoded {
        sequence: Sequence::of_segments(prompt, segments.collect()),
    }
}

/// The same tokens, all of them sampled.
fn unmasked(sequence: &Sequence) -> Sequence {
    let tokens: Vec<u32> = sequence.marked().map(|(token, _)| token).collect();
    Sequence::new(sequence.prompt.clone(), tokens)
}

fn examples() -> Vec<Encoded> {
    vec![
        example(4, &[true, true, false, false, true], 1),
        example(2, &[true; 3], 2),
        example(4, &[true, false, true], 1),
        example(9, &[true, true, false, true, true, true], 3),
    ]
}

/// Every learnt token once, with the likelihood that the model gives it when nothing else is there.
#[test]
fn rows_do_not_see_each_other_and_nothing_is_padded() {
    let model = model();
    let head = HeadConfig::default();
    let examples = examples();
    let mut expected: Vec<f64> = Vec::new();
    for example in &examples {
        let alone = token_logprobs(&model, &[unmasked(&example.sequence)], 64, head);
        let TokenScores { logprobs, .. } = &alone.unwrap()[0];
        let marked = logprobs.iter().zip(example.sequence.marked());
        let learnt = marked.filter(|(_, (_, learnt))| *learnt);
        expected.extend(learnt.map(|(x, _)| f64::from(*x)));
    }
    let mean = -expected.iter().sum::<f64>() / expected.len() as f64;
    for budget in [14, 20, 1000] {
        let batches = pack_examples(&examples, budget).unwrap();
        let targets: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        assert_eq!(targets, expected.len());
        for batch in &batches {
            assert_eq!(batch.rows.len(), batch.targets.len());
            assert_eq!(batch.lengths.iter().sum::<usize>(), batch.targets.len());
        }
        // The first and the third share a prompt, which is then there once.
        let rows: usize = batches.iter().map(|batch| batch.packing.len()).sum();
        let all: usize = examples.iter().map(|e| e.sequence.len() - 1).sum();
        assert!(rows <= all, "{rows} rows for {all} tokens");
        let loss = heldout_loss(&model, &examples, budget, head).unwrap();
        // Float32 sums in another order.
        assert!((loss - mean).abs() < 1e-5, "{budget}: {loss} for {mean}");
    }
}

/// The gradient of a masked conversation is the sum of those of its turns, each with everything
/// before it as its prompt.
#[test]
fn a_conversation_in_one_piece_has_the_gradient_of_its_turns() {
    let model = model();
    let gradients = |examples: &[Encoded]| -> Parameters {
        let batches = pack_examples(examples, 64).unwrap();
        let sum = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| {
            let value = logprobs.iter().map(|&x| f64::from(x)).sum();
            Upstream::of_logprobs(value, vec![1.0; logprobs.len()])
        };
        let config = GradientConfig::default();
        batch_gradients(&model, &batches, config, 1, Parameters::default(), sum).0
    };
    let whole = example(3, &[true, true, false, false, true, true], 4);
    let prompt = whole.sequence.prompt.to_vec();
    let completion: Vec<u32> = whole.sequence.marked().map(|(token, _)| token).collect();
    let turn = |prompt: Vec<u32>, completion: &[u32]| {
        encoded(prompt, completion.to_vec(), &vec![true; completion.len()])
    };
    let second = [&prompt[..], &completion[..4]].concat();
    let turns = [
        turn(prompt, &completion[..2]),
        turn(second, &completion[4..]),
    ];
    let (whole, turns) = (gradients(&[whole]), gradients(&turns));
    let mut compared = 0;
    for (name, gradient) in whole.iter() {
        let host = crate::model::parameters::to_host::<1>;
        let a = host(gradient.clone());
        let other = turns.iter().find(|(other, _)| *other == name);
        let b = host(other.expect("the same weights").1.clone());
        let largest = a.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            // Sums of the same numbers in another order.
            assert!(
                (x - y).abs() <= 1e-4 * largest.max(1e-3),
                "{name}: {x} for {y}"
            );
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared}");
}
