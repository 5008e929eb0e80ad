//! The families by name.

use std::fmt;

/// Decoder families that share one transformer; see [`ModelConfig`](super::ModelConfig) for what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Llama 2 and 3, SmolLM, and Mistral without a sliding window.
    Llama,
    /// Mistral with its sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3 (dense): an RMS norm over each head's query and key.
    Qwen3,
    /// Gemma 3, text: norms around parts, two rotary bases, windows.
    Gemma3,
    /// OLMo 2: norms after parts and over all heads.
    Olmo2,
    /// OLMo 3: OLMo 2 with windows.
    Olmo3,
    /// SmolLM3: some layers do not rotate.
    SmolLm3,
    /// Granite 3 (dense): four multipliers.
    Granite,
    /// Phi-3 and Phi-4-mini: fused matrices, part of a head rotated.
    Phi3,
    /// MiniCPM3: latent attention, dense, three multipliers.
    MiniCpm3,
    /// Youtu-LLM: latent attention, dense.
    Youtu,
    /// DeepSeek-V2.
    DeepseekV2,
    /// DeepSeek-V3.
    DeepseekV3,
    /// Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts, and one for all tokens behind a sigmoid.
    Qwen2Moe,
    /// Qwen3 with experts.
    Qwen3Moe,
    /// Llama with experts, whose weights always add up to 1.
    Mixtral,
    /// OLMoE: experts, and norms over all heads of queries and of keys.
    Olmoe,
    /// Granite with experts.
    GraniteMoe,
    /// GLM-4.5: the experts of DeepSeek-V3 under ordinary attention.
    Glm4Moe,
}

impl Family {
    /// Every family, in the order in which errors list them.
    pub const ALL: [Self; 20] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma3,
        Self::Olmo2,
        Self::Olmo3,
        Self::SmolLm3,
        Self::Granite,
        Self::Phi3,
        Self::MiniCpm3,
        Self::Youtu,
        Self::DeepseekV2,
        Self::DeepseekV3,
        Self::Qwen2Moe,
        Self::Qwen3Moe,
        Self::Mixtral,
        Self::Olmoe,
        Self::GraniteMoe,
        Self::Glm4Moe,
    ];

    /// Whether transformers keeps queries, keys and values in one matrix, so that PEFT has no map of the names that are used here.
    pub fn fuses_maps(self) -> bool {
        self == Self::Phi3
    }

    /// The `model_type` that Hugging Face gives the family.
    pub fn model_type(self) -> &'static str {
        self.names().0
    }

    /// The transformers class that runs the family.
    pub fn architecture(self) -> &'static str {
        self.names().1
    }

    /// The architecture of its GGUF files, if they are read.
    pub fn gguf_architecture(self) -> Option<&'static str> {
        match self.names().2 {
            "" => None,
            name => Some(name),
        }
    }

    /// The padding token that transformers takes for the family where a `config.json` names none. With a smaller vocabulary it
    /// would not open the model.
    pub(super) fn padding(self) -> Option<usize> {
        match self {
            Self::Phi3 => Some(32_000),
            Self::SmolLm3 => Some(128_004),
            _ => None,
        }
    }

    /// The family of a `model_type`.
    pub fn of_model_type(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| family.model_type() == name)
    }

    /// Model type, class, architecture in GGUF files (empty where these are not read).
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Llama => ("llama", "LlamaForCausalLM", "llama"),
            Self::Mistral => ("mistral", "MistralForCausalLM", ""),
            Self::Qwen2 => ("qwen2", "Qwen2ForCausalLM", "qwen2"),
            Self::Qwen3 => ("qwen3", "Qwen3ForCausalLM", "qwen3"),
            Self::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM", "gemma3"),
            Self::Olmo2 => ("olmo2", "Olmo2ForCausalLM", "olmo2"),
            Self::Olmo3 => ("olmo3", "Olmo3ForCausalLM", ""),
            Self::SmolLm3 => ("smollm3", "SmolLM3ForCausalLM", "smollm3"),
            Self::Granite => ("granite", "GraniteForCausalLM", "granite"),
            Self::Phi3 => ("phi3", "Phi3ForCausalLM", "phi3"),
            Self::MiniCpm3 => ("minicpm3", "MiniCPM3ForCausalLM", ""),
            Self::Youtu => ("youtu", "YoutuForCausalLM", ""),
            Self::DeepseekV2 => ("deepseek_v2", "DeepseekV2ForCausalLM", ""),
            Self::DeepseekV3 => ("deepseek_v3", "DeepseekV3ForCausalLM", "deepseek2"),
            Self::Qwen2Moe => ("qwen2_moe", "Qwen2MoeForCausalLM", "qwen2moe"),
            Self::Qwen3Moe => ("qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe"),
            Self::Mixtral => ("mixtral", "MixtralForCausalLM", "llama"),
            Self::Olmoe => ("olmoe", "OlmoeForCausalLM", "olmoe"),
            Self::GraniteMoe => ("granitemoe", "GraniteMoeForCausalLM", "granitemoe"),
            Self::Glm4Moe => ("glm4_moe", "Glm4MoeForCausalLM", ""),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

/// The model types of all families, for errors.
pub(super) fn listed() -> String {
    Family::ALL.map(Family::model_type).join(", ")
}
