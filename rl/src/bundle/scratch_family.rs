//! What a model made from scratch has beyond a Llama: its family, and the widths of latent attention.

use serde::{Deserialize, Serialize};

use super::ScratchModel;
use crate::model::{
    ModelConfig,
    config::{
        Activation, Family, Latent, LocalRope, NormPlacement, NormSpan, Scales, Variation, Window,
    },
};

/// A layer without a window after so many with one, where families have both.
const PATTERN: usize = 4;

/// What keys and values of a model from scratch are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScratchAttention {
    /// Of the stream; several query heads share them.
    #[default]
    Grouped,
    /// Of one latent a token.
    Latent,
}

/// Widths of latent attention, called as in `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchLatent {
    /// Of the latent of queries; without it they are made of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_lora_rank: Option<usize>,
    /// Of the latent of keys and values.
    pub kv_lora_rank: usize,
    /// Of a head's queries and keys without position.
    pub qk_nope_head_dim: usize,
    /// Of what is rotated of them.
    pub qk_rope_head_dim: usize,
    /// Of a head's values.
    pub v_head_dim: usize,
}

impl ScratchLatent {
    /// Half as wide as a head of `head_dim` where it is rotated, and a latent of two heads.
    fn of(head_dim: usize) -> Self {
        Self {
            q_lora_rank: None,
            kv_lora_rank: 2 * head_dim,
            qk_nope_head_dim: head_dim,
            qk_rope_head_dim: (head_dim / 2).next_multiple_of(2),
            v_head_dim: head_dim,
        }
    }
}

/// Whether a family has latent attention.
fn is_latent(family: Family) -> bool {
    matches!(
        family,
        Family::MiniCpm3 | Family::Youtu | Family::DeepseekV2 | Family::DeepseekV3
    )
}

/// Whether layers of a family may have a window.
fn has_windows(family: Family) -> bool {
    matches!(
        family,
        Family::Mistral | Family::Gemma3 | Family::Olmo3 | Family::Phi3
    )
}

impl ScratchModel {
    /// The family: the one that is named, or else the plainest with its attention.
    pub(super) fn family(&self) -> Result<Family, String> {
        let Some(name) = &self.family else {
            return Ok(match (self.attention, self.experts.is_some()) {
                (ScratchAttention::Grouped, false) => Family::Llama,
                (ScratchAttention::Grouped, true) => Family::Glm4Moe,
                (ScratchAttention::Latent, false) => Family::Youtu,
                (ScratchAttention::Latent, true) => Family::DeepseekV3,
            });
        };
        Family::of_model_type(name).ok_or_else(|| {
            let known = Family::ALL.map(Family::model_type).join(", ");
            format!("model.family = {name:?} is none of: {known}")
        })
    }

    /// Checks of the family, its attention and its window.
    pub(super) fn validate_family(&self) -> Result<(), String> {
        let family = self.family()?;
        let latent = self.attention == ScratchAttention::Latent;
        if is_latent(family) != latent {
            let needed = if latent { "grouped" } else { "latent" };
            return Err(format!(
                "model.family = \"{family}\" has {needed} attention; hint: model.attention = \"{needed}\""
            ));
        }
        let experts = matches!(family, Family::Glm4Moe | Family::DeepseekV3);
        if self.experts.is_some() && !experts {
            return Err(format!(
                "model.experts: models from scratch have the experts of DeepSeek-V3, and the family \"{family}\" has others or none; hint: remove model.family, or set it to \"glm4_moe\" or \"deepseek_v3\""
            ));
        }
        if family.has_experts() && family != Family::DeepseekV2 && self.experts.is_none() {
            return Err(format!(
                "model.experts is missing: the family \"{family}\" has experts"
            ));
        }
        if self.latent.is_some() && !latent {
            return Err("model.latent needs model.attention = \"latent\"".to_owned());
        }
        match (self.window, has_windows(family)) {
            (Some(0), _) => Err("model.window = 0 must be at least 1".to_owned()),
            (Some(window), false) => Err(format!(
                "model.window = {window}: no layer of the family \"{family}\" has a window; hint: model.family = \
                 \"mistral\", \"gemma3_text\", \"olmo3\" or \"phi3\""
            )),
            (None, true) if family != Family::Phi3 => Err(format!(
                "model.window is missing: the family \"{family}\" has layers with a window"
            )),
            _ => Ok(()),
        }
    }

    /// `plain`, with what the family has beyond a Llama.
    fn vary(&self, plain: ModelConfig) -> ModelConfig {
        let family = self.family().unwrap_or(Family::Llama);
        let layers = plain.num_hidden_layers;
        let window = self.window.map(|width| Window {
            width,
            layers: match family {
                Family::Gemma3 | Family::Olmo3 => every(PATTERN, layers),
                _ => vec![true; layers],
            },
        });
        let local_rope = matches!(family, Family::Gemma3 | Family::Olmo3).then_some(LocalRope {
            theta: plain.rope_theta,
            scaling: None,
        });
        let widths = self.latent.unwrap_or(ScratchLatent::of(plain.head_dim));
        let latent = is_latent(family).then_some(Latent {
            q_lora_rank: widths.q_lora_rank,
            kv_lora_rank: widths.kv_lora_rank,
            qk_nope_head_dim: widths.qk_nope_head_dim,
            qk_rope_head_dim: widths.qk_rope_head_dim,
            v_head_dim: widths.v_head_dim,
            rope_interleave: family != Family::MiniCpm3,
        });
        let base = Variation {
            window,
            local_rope,
            latent,
            ..Variation::default()
        };
        let head_dim = plain.head_dim;
        let variation = match family {
            Family::Gemma3 => Variation {
                norms: NormPlacement::Around,
                norm_offset: true,
                activation: Activation::GeluTanh,
                scales: Scales {
                    embedding: f64::from((plain.hidden_size as f32).sqrt()),
                    attention: Some((head_dim as f64).sqrt().recip()),
                    ..Scales::default()
                },
                ..base
            },
            Family::Olmo2 | Family::Olmo3 => Variation {
                norms: NormPlacement::After,
                qk_norm_span: NormSpan::Row,
                ..base
            },
            Family::SmolLm3 => Variation {
                rotates: Some(every(PATTERN, layers)),
                ..base
            },
            Family::Granite => Variation {
                scales: Scales {
                    attention: Some((head_dim as f64).sqrt().recip()),
                    ..Scales::default()
                },
                ..base
            },
            _ => base,
        };
        ModelConfig {
            family,
            head_dim: latent.map_or(head_dim, |latent| latent.query_dim()),
            num_key_value_heads: match latent {
                Some(_) => plain.num_attention_heads,
                None => plain.num_key_value_heads,
            },
            attention_bias: family == Family::Qwen2,
            qk_norm: matches!(
                family,
                Family::Qwen3 | Family::Gemma3 | Family::Olmo2 | Family::Olmo3
            ),
            variation,
            ..plain
        }
    }
}

/// The architecture of a model from scratch that knows `vocab_size` tokens.
pub(super) fn scratch_config(scratch: &ScratchModel, vocab_size: usize) -> ModelConfig {
    scratch.vary(ModelConfig {
        family: Family::Llama,
        vocab_size,
        hidden_size: scratch.hidden_size,
        intermediate_size: scratch.intermediate_size,
        num_hidden_layers: scratch.layers,
        num_attention_heads: scratch.heads,
        num_key_value_heads: scratch.kv_heads,
        head_dim: scratch.hidden_size / scratch.heads,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: scratch.context,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: false,
        variation: Variation::default(),
        experts: scratch.experts.as_deref().map(|experts| experts.config()),
    })
}

/// All layers but every `interval`-th.
fn every(interval: usize, layers: usize) -> Vec<bool> {
    (0..layers)
        .map(|layer| !(layer + 1).is_multiple_of(interval))
        .collect()
}
