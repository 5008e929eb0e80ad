//! A new model over characters, with weights drawn from a seed.

use burn::tensor::Device;
use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;

use super::{
    Bundle, BundleError, Codec, Outline, PromptEncoder, ScratchModel,
    scratch_family::scratch_config,
};
use crate::{
    model::{Transformer, weights::HostTensor},
    tokenizer::{SpecialTokens, Tokenizer},
};

/// The end-of-sequence token of a model made from scratch.
const SCRATCH_EOS: &str = "<eos>";

/// A new model, its weights drawn by `seed`.
///
/// # Errors
/// When its alphabet makes no tokenizer.
pub(super) fn open(
    scratch: &ScratchModel,
    seed: u64,
    device: &Device,
) -> Result<Bundle, BundleError> {
    let Outline { config, codec } = outline(scratch)?;
    let mut index = 0;
    let norm = if config.variation.norm_offset {
        0.0
    } else {
        1.0
    };
    let model = Transformer::build(config, device, |name, shape| {
        index += 1;
        let place = Place {
            layers: scratch.layers,
            norm,
            seed: derive_seed(seed, &[index]),
        };
        Ok::<_, BundleError>(initial(name, shape, place))
    })?;
    Ok(Bundle { model, codec })
}

/// Its shape and its text, without weights.
///
/// # Errors
/// When its alphabet makes no tokenizer.
pub(super) fn outline(scratch: &ScratchModel) -> Result<Outline, BundleError> {
    let mut special: Vec<&str> = scratch.special_tokens.iter().map(String::as_str).collect();
    special.push(SCRATCH_EOS);
    let tokenizer = Tokenizer::characters(&scratch.alphabet, &special)?;
    let eos = tokenizer.token_id(SCRATCH_EOS).into_iter().collect();
    Ok(Outline {
        config: scratch_config(scratch, tokenizer.vocab_size()),
        codec: Codec {
            encoder: PromptEncoder {
                tokenizer,
                template: None,
                origin: "a model from scratch".to_owned(),
            },
            eos,
            special: SpecialTokens {
                eos_token: Some(SCRATCH_EOS.to_owned()),
                ..SpecialTokens::default()
            },
        },
    })
}

/// What the first values of a weight depend on besides its name and shape.
struct Place {
    /// Of the model.
    layers: usize,
    /// What norm weights begin as.
    norm: f32,
    /// Of this weight.
    seed: u64,
}

/// Norms do nothing, biases are 0; matrices are normal with standard deviation 0.02 (the embedding, as GPT-2)
/// or `1 / sqrt(inputs)`, divided by `sqrt(2 · layers)` where they write to the residual stream.
fn initial(name: &str, shape: &[usize], place: Place) -> HostTensor {
    let Place { layers, norm, seed } = place;
    let count: usize = shape.iter().product();
    let values = match shape {
        [_] if name.ends_with(".bias") || name.ends_with("_bias") => vec![0.0; count],
        [_] => vec![norm; count],
        _ => {
            let fan_in = *shape.last().expect("weights have a shape") as f64;
            let writes = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
            let std = match (name.contains("embed_tokens"), writes) {
                (true, _) => 0.02,
                (false, false) => fan_in.sqrt().recip(),
                (false, true) => (fan_in * 2.0 * layers as f64).sqrt().recip(),
            };
            normal(count, std, seed)
        }
    };
    HostTensor {
        shape: shape.to_vec(),
        values,
    }
}

/// Normal numbers by the Box–Muller transform, on the host: the same on every device.
fn normal(count: usize, std: f64, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed);
    let mut draw = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        (std * radius * angle.cos()) as f32
    };
    (0..count).map(|_| draw()).collect()
}
