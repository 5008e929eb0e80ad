//! A learner with a scalar head, saved and gone on with.

use std::fs;

use burn::tensor::Device;

use crate::{
    bundle::{Bundle, ModelSection},
    learner::{
        AdamW, AdamWConfig, Head, Learner, ScalarHead, Sequence, accumulate_scalar_gradients,
        pack_ends,
        saved::{HEAD, load_head, load_moments},
        scalar_values,
    },
    model::{Activations, Parameters, parameters::to_host},
    run::checkpoint::{CONFIG, Checkpointer, state::State},
};

fn bundle(hidden_size: usize) -> Bundle {
    let section: ModelSection = serde_json::from_value(serde_json::json!({
        "source": "scratch",
        "alphabet": "0123456789",
        "hidden_size": hidden_size,
        "intermediate_size": 16,
        "layers": 1,
        "heads": 2,
        "kv_heads": 1,
        "context": 32,
    }))
    .unwrap();
    Bundle::from_section(&section, 1, &Device::flex()).unwrap()
}

fn sequences() -> Vec<Sequence> {
    let digits = |seed: u32, length: u32| -> Vec<u32> {
        (0..length).map(|i| (seed * 3 + i * 7) % 10).collect()
    };
    [(1, 2), (2, 5), (3, 3), (4, 1)]
        .map(|(seed, length)| Sequence::new(digits(seed, 2), digits(seed + 4, length)))
        .into()
}

/// One update towards values that tell the sequences apart: the loss before it.
fn update(learner: &mut Learner) -> f64 {
    let batch = &pack_ends(&sequences(), 100).unwrap()[0];
    let head = learner.head.scalar().unwrap().clone();
    let mut gradients = Parameters::default();
    let towards = |values: &[f32]| {
        let wanted = batch.members.iter().map(|&m| [1.0, -1.0, 0.5, -0.5][m]);
        let off: Vec<f32> = values.iter().zip(wanted).map(|(v, w)| v - w).collect();
        let loss = off.iter().map(|&x| f64::from(x * x)).sum();
        (loss, off.into_iter().map(|x| 2.0 * x).collect())
    };
    let activations = Activations::All;
    let model = &learner.model;
    let (_, loss) =
        accumulate_scalar_gradients(model, &head, batch, activations, &mut gradients, towards);
    learner.update(gradients, 0.02);
    loss
}

fn values(learner: &Learner) -> Vec<f32> {
    let batch = &pack_ends(&sequences(), 100).unwrap()[0];
    scalar_values(&learner.model, learner.head.scalar().unwrap(), batch)
}

#[test]
fn a_scalar_head_learns_is_saved_and_goes_on_to_the_bit() {
    let Bundle { model, codec } = bundle(8);
    let optimizer = || AdamW::new(AdamWConfig::default());
    let head = Head::from(ScalarHead::zeros(&model));
    let mut learner = Learner::new(model, optimizer(), 0).with_head(head);
    let losses: Vec<f64> = (0..40).map(|_| update(&mut learner)).collect();
    assert!(losses[39] < 0.1 * losses[0], "{losses:?}");
    assert!(to_host(learner.head.scalar().unwrap().bias.clone())[0] != 0.0);

    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join(CONFIG), "").unwrap();
    let checkpointer = Checkpointer::new(run.path(), 2).unwrap();
    let mut state = State {
        step: 40,
        optimizer_steps: learner.optimizer.steps,
        ..State::default()
    };
    let path = checkpointer
        .save(&learner, &codec, &mut state, None)
        .unwrap();

    let model = path.join("model").display().to_string();
    let Bundle { model, .. } = Bundle::open(&model, &Device::flex()).unwrap();
    let head = load_head(&path, &model).unwrap();
    let mut again = Learner::new(model, optimizer(), 40).with_head(head);
    again.optimizer.steps = 40;
    load_moments(&path, &mut again).unwrap();
    assert_eq!(values(&again), values(&learner));
    for _ in 0..3 {
        assert_eq!(update(&mut again), update(&mut learner));
    }
    assert_eq!(values(&again), values(&learner));

    // Without it the moments are of more than there is, and for another model it does not fit.
    let error = load_head(&path, &bundle(16).model).unwrap_err().to_string();
    assert!(
        error.contains("score.weight is F32 [1, 8]") && error.contains("[1, 16]"),
        "{error}"
    );
    fs::remove_file(path.join(HEAD)).unwrap();
    again.head = load_head(&path, &again.model).unwrap();
    let error = load_moments(&path, &mut again).unwrap_err().to_string();
    assert!(error.contains("score."), "{error}");
}
