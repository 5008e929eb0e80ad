//! `[model]`: where the weights come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::scratch_family::{ScratchAttention, ScratchLatent};
use super::{BundleError, at_home, expand, scratch_family::scratch_config};
use crate::{
    checks::positive,
    model::{
        config::ExpertsConfig,
        router::{GroupScore, Groups, Router, Scores},
    },
    tokenizer::Tokenizer,
};

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSection {
    /// A new one with random weights.
    Scratch(ScratchModel),
    /// One with weights: a Hugging Face directory, a GGUF file or a name on the hub.
    Pretrained(PretrainedModel),
}

/// A small transformer over characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchModel {
    /// The characters it knows, each a token.
    pub alphabet: String,
    /// Texts that are one token each.
    #[serde(default)]
    pub special_tokens: Vec<String>,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of key-value heads; it divides `heads`.
    pub kv_heads: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// The family by its `model_type`, such as `gemma3_text`; without it, `llama` or with latent attention `youtu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// What keys and values are made of.
    #[serde(default, skip_serializing_if = "is_grouped")]
    pub attention: ScratchAttention,
    /// Widths of latent attention; without them they follow from `hidden_size / heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<ScratchLatent>,
    /// Tokens that a token sees in layers with a window, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Layers that are mixtures of experts; without it all are dense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<Box<ScratchExperts>>,
}

/// The mixtures of experts of a small transformer: those of DeepSeek-V3 (arXiv 2412.19437, section 2.1.2), with sigmoids, a
/// correction for the choice, weights that add up to `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchExperts {
    /// Experts to choose from in a layer.
    pub count: usize,
    /// Experts that a token goes to.
    pub active: usize,
    /// Inner width of each.
    pub intermediate_size: usize,
    /// Experts besides that every token goes to: one map as wide as so many.
    #[serde(default = "one")]
    pub shared: usize,
    /// Layers at the bottom that stay dense.
    #[serde(default)]
    pub dense_layers: usize,
    /// Groups that compete first, by the sum of their two largest scores.
    #[serde(default = "one")]
    pub groups: usize,
    /// Groups that stay.
    #[serde(default = "one")]
    pub kept_groups: usize,
    /// What the weights of a token add up to.
    #[serde(default = "whole")]
    pub scale: f32,
}

fn one() -> usize {
    1
}

fn whole() -> f32 {
    1.0
}

impl ScratchExperts {
    /// The same as part of an architecture.
    pub(super) fn config(&self) -> ExpertsConfig {
        let groups = Groups {
            count: self.groups,
            kept: self.kept_groups,
            score: GroupScore::TwoLargest,
            excluded: f32::NEG_INFINITY,
        };
        let router = Router {
            experts: self.count,
            chosen: self.active,
            scores: Scores::Sigmoid,
            correction: true,
            groups: (groups.count, groups.kept).ne(&(1, 1)).then_some(groups),
            normalized: Some(1e-20),
            scale: self.scale,
        };
        ExpertsConfig {
            shared_intermediate_size: self.shared * self.intermediate_size,
            first_layer: self.dense_layers,
            ..ExpertsConfig::new(router, self.intermediate_size)
        }
    }
}

fn is_grouped(attention: &ScratchAttention) -> bool {
    *attention == ScratchAttention::Grouped
}

/// Where a pretrained model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedModel {
    /// A directory, a `.gguf` file, or `owner/name` on the hub. `${NAME}` stands for an environment
    /// variable, `${NAME:-text}` for it or `text`. `owner/name@revision` is a branch, tag or commit of the hub.
    pub path: String,
    /// A directory of low-rank adapters in PEFT's format that the run begins with. With `[lora]` they are trained further;
    /// without it they are added to the weights, all of which are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Whether a raw text begins with what the tokenizer's post-processor puts there, usually BOS. Conversations have what
    /// their template writes.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub add_special_tokens: bool,
    /// What the chat template is given besides the conversation: `{ enable_thinking = false, date_string = "26 Jul 2024" }`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub template_variables: Map<String, Value>,
}

impl PretrainedModel {
    /// Its path with environment variables replaced, and a `~` in front by the home directory.
    ///
    /// # Errors
    /// [`BundleError::Path`] when a variable without a default is not set, or `${` has no `}`.
    pub fn place(&self) -> Result<String, BundleError> {
        let path = expand("model.path", &self.path)?;
        Ok(at_home(&path).unwrap_or(path))
    }

    /// The model at `path`, as it comes.
    pub fn at(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            adapter: None,
            add_special_tokens: true,
            template_variables: Map::new(),
        }
    }
}

fn yes() -> bool {
    true
}

fn is_yes(flag: &bool) -> bool {
    *flag
}

impl ScratchModel {
    /// # Errors
    /// When a number is out of range, or the alphabet makes no tokenizer.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let ScratchModel {
            alphabet,
            special_tokens: _,
            hidden_size,
            intermediate_size,
            layers,
            heads,
            kv_heads,
            context,
            experts,
            family: _,
            attention: _,
            latent: _,
            window: _,
        } = self;
        self.validate_family()?;
        if alphabet.is_empty() {
            return Err("model.alphabet is empty".to_owned());
        }
        for (name, value) in [
            ("model.hidden_size", hidden_size),
            ("model.intermediate_size", intermediate_size),
            ("model.layers", layers),
            ("model.heads", heads),
            ("model.kv_heads", kv_heads),
            ("model.context", context),
        ] {
            positive(name, *value)?;
        }
        if let Some(experts) = experts {
            positive("model.experts.count", experts.count)?;
            positive("model.experts.active", experts.active)?;
            positive("model.experts.intermediate_size", experts.intermediate_size)?;
            if experts.dense_layers >= *layers {
                return Err(format!(
                    "model.experts.dense_layers = {} leaves none of model.layers = {layers} to experts",
                    experts.dense_layers
                ));
            }
        }
        if hidden_size % heads != 0 || (hidden_size / heads) % 2 != 0 {
            return Err(format!(
                "model.hidden_size = {hidden_size} must be an even multiple of model.heads = {heads}"
            ));
        }
        if heads % kv_heads != 0 {
            return Err(format!(
                "model.heads = {heads} must be a multiple of model.kv_heads = {kv_heads}"
            ));
        }
        let special: Vec<&str> = self.special_tokens.iter().map(String::as_str).collect();
        let tokenizer = Tokenizer::characters(alphabet, &special)
            .map_err(|e| format!("model.alphabet and model.special_tokens: {e}"))?;
        scratch_config(self, tokenizer.vocab_size() + 1)
            .validate()
            .map_err(|e| format!("model: {e}"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ModelConfig,
        config::{Family, NormPlacement},
    };

    fn section(more: &str) -> ScratchModel {
        let text = format!(
            "alphabet = \"01\"\nhidden_size = 16\nintermediate_size = 24\nlayers = 4\nheads = 2\nkv_heads = 1\ncontext = 64\n{more}"
        );
        toml::from_str(&text).unwrap()
    }

    fn config(more: &str) -> ModelConfig {
        let section = section(more);
        section.validate().unwrap();
        scratch_config(&section, 8)
    }

    #[test]
    fn a_model_from_scratch_can_be_of_any_family() {
        assert_eq!(config("").family, Family::Llama);
        let latent = config("attention = \"latent\"");
        assert_eq!(latent.family, Family::Youtu);
        // Two heads wide, and what is rotated.
        assert_eq!(latent.cached_values(), 4 * (16 + 4));
        let widths = "{ kv_lora_rank = 6, qk_nope_head_dim = 5, qk_rope_head_dim = 2, v_head_dim = 3, q_lora_rank = 7 }";
        let named = config(&format!(
            "attention = \"latent\"\nfamily = \"deepseek_v3\"\nlatent = {widths}\nexperts = {{ count = 4, active = 2, intermediate_size = 8 }}"
        ));
        assert_eq!((named.family, named.head_dim), (Family::DeepseekV3, 7));
        let gemma = config("family = \"gemma3_text\"\nwindow = 8");
        assert_eq!(gemma.variation.norms, NormPlacement::Around);
        let layers = gemma.variation.window.clone().unwrap().layers;
        assert_eq!(layers, [true, true, true, false]);
        for config in [latent, named, gemma, config("family = \"granite\"")] {
            let json = config.to_hf_json(None, &[1]);
            assert_eq!(
                ModelConfig::from_hf_json(&json, "config.json").unwrap(),
                config
            );
        }
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        for (more, message) in [
            (
                "family = \"gpt2\"",
                "model.family = \"gpt2\" is none of: llama",
            ),
            (
                "family = \"youtu\"",
                "model.family = \"youtu\" has latent attention",
            ),
            (
                "attention = \"latent\"\nfamily = \"olmo2\"",
                "model.family = \"olmo2\" has grouped attention",
            ),
            (
                "window = 8",
                "no layer of the family \"llama\" has a window",
            ),
            ("family = \"olmo3\"", "model.window is missing"),
        ] {
            let found = section(more).validate().unwrap_err();
            assert!(found.contains(message), "{found}");
        }
    }
}
