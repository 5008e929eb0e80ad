//! What a reward model was made from, and the scale of its scores: `reward_model.json`.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RewardModelError;
use crate::{bundle::Codec, learner::saved::sync};

/// The file.
pub const CARD: &str = "reward_model.json";

/// Version of this file.
const FORMAT: u32 = 1;

/// What a reward model was made from, and the scale of its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Card {
    /// Version of the file.
    pub format: u32,
    /// Mean of the scores of `count` answers of the data.
    pub mean: f64,
    /// Their standard deviation, `sqrt(Σ (s − mean)² / count)`.
    pub deviation: f64,
    /// How many there were.
    pub count: usize,
    /// SHA-256 of the data's tokens.
    pub data: String,
    /// SHA-256 of the weights that its adapters stand on; absent where it is all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Where these are from.
    pub origin: String,
    /// SHA-256 of the chat template's text; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The token that every sequence ended with.
    pub end: End,
    /// Share of held-out comparisons that it was right about, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout_accuracy: Option<f64>,
}

/// A token that ends a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

impl End {
    /// The token `id` of a tokenizer.
    pub fn of(codec: &Codec, id: u32) -> Self {
        let text = codec.encoder.tokenizer.token(id).unwrap_or_default();
        Self { id, text }
    }
}

impl Card {
    /// The card of a model whose scores have not been measured yet: mean 0 and deviation 1, of no answers.
    pub fn new(codec: &Codec, end: u32, data: String, base: Option<String>) -> Self {
        // All weights stand on nothing, and a resumed run has them from its checkpoint.
        let origin = if base.is_some() {
            codec.encoder.origin.clone()
        } else {
            "all weights".to_owned()
        };
        Self {
            format: FORMAT,
            mean: 0.0,
            deviation: 1.0,
            count: 0,
            data,
            base,
            origin,
            template: template_of(codec),
            end: End::of(codec, end),
            heldout_accuracy: None,
        }
    }

    /// Reads the card of the reward model in `directory`.
    ///
    /// # Errors
    /// When there is none, or it is none of this version.
    pub fn read(directory: &Path) -> Result<Self, RewardModelError> {
        let path = directory.join(CARD);
        if !path.is_file() {
            return Err(RewardModelError::NoRewardModel {
                path: directory.to_owned(),
                missing: CARD.to_owned(),
            });
        }
        let text = fs::read_to_string(&path).map_err(RewardModelError::io(&path))?;
        let invalid = |message: String| RewardModelError::Invalid {
            path: path.clone(),
            message,
        };
        let card: Self = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        if card.format != FORMAT {
            let other = card.format;
            return Err(invalid(format!(
                "format {other}, this program reads {FORMAT}"
            )));
        }
        Ok(card)
    }

    /// Writes it into `directory`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, directory: &Path) -> Result<(), RewardModelError> {
        let path = directory.join(CARD);
        let text =
            serde_json::to_string_pretty(self).map_err(|error| RewardModelError::Invalid {
                path: path.clone(),
                message: error.to_string(),
            })?;
        fs::write(&path, text + "\n").map_err(RewardModelError::io(&path))?;
        Ok(sync(&path)?)
    }

    /// Compares the text side that it was trained with to `codec`.
    ///
    /// # Errors
    /// When the template or the end token is another.
    pub fn check_text(&self, path: &Path, codec: &Codec) -> Result<(), RewardModelError> {
        let shown = |template: &Option<String>| match template {
            Some(hash) => format!("one with SHA-256 {hash}"),
            None => "none".to_owned(),
        };
        let now = template_of(codec);
        if now != self.template {
            return Err(RewardModelError::Other {
                path: path.to_owned(),
                what: "chat template",
                saved: shown(&self.template),
                run: shown(&now),
                hint: "a reward model has to read answers as it learnt to: train it with the template that is used now",
            });
        }
        let now = End::of(codec, self.end.id);
        if now.text != self.end.text || !codec.ends(self.end.id) {
            let ends: Vec<String> = codec.eos.iter().map(|&id| shown_end(codec, id)).collect();
            return Err(RewardModelError::Other {
                path: path.to_owned(),
                what: "end token",
                saved: format!("{:?} ({})", self.end.text, self.end.id),
                run: ends.join(", "),
                hint: "what a reward model reads last is the end of the turn, and that has to be the same token",
            });
        }
        Ok(())
    }

    /// Compares the base that it was trained on to that of a run, known by its weights.
    ///
    /// # Errors
    /// When it is another.
    pub fn check_base(
        &self,
        path: &Path,
        weights: &str,
        origin: &str,
    ) -> Result<(), RewardModelError> {
        if self.base.as_deref() == Some(weights) {
            return Ok(());
        }
        let saved = self.base.as_deref().unwrap_or("unknown weights");
        Err(RewardModelError::Other {
            path: path.to_owned(),
            what: "base",
            saved: format!("{} (SHA-256 {saved})", self.origin),
            run: format!("{origin} (SHA-256 {weights})"),
            hint: "adapters are good on the weights that they were trained on only: use that model, with the same memory.frozen, or train the reward model without [lora]",
        })
    }

    /// There is no base to put it on.
    pub(super) fn no_base(&self, path: &Path) -> RewardModelError {
        RewardModelError::NoBase {
            path: path.to_owned(),
            origin: self.origin.clone(),
        }
    }
}

fn shown_end(codec: &Codec, id: u32) -> String {
    let End { id, text } = End::of(codec, id);
    format!("{text:?} ({id})")
}

fn template_of(codec: &Codec) -> Option<String> {
    let template = codec.encoder.template.as_ref()?;
    Some(format!(
        "{:x}",
        Sha256::digest(template.source().as_bytes())
    ))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::bundle::{ModelSection, Outline};

    fn codec(alphabet: &str) -> Codec {
        let section: ModelSection = serde_json::from_value(serde_json::json!({
            "source": "scratch", "alphabet": alphabet, "hidden_size": 8, "intermediate_size": 16,
            "layers": 1, "heads": 2, "kv_heads": 1, "context": 32,
        }))
        .unwrap();
        Outline::of(&section).unwrap().codec
    }

    #[test]
    fn a_card_comes_back_and_names_what_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Card::read(dir.path()).unwrap_err().to_string();
        assert!(
            missing.contains("reward_model.json is missing"),
            "{missing}"
        );
        let codec_ = codec("0123456789");
        let end = codec_.end().unwrap();
        let card = Card::new(&codec_, end, "d".into(), Some("aa".into()));
        card.write(dir.path()).unwrap();
        assert_eq!(Card::read(dir.path()).unwrap(), card);
        card.check_text(dir.path(), &codec_).unwrap();
        card.check_base(dir.path(), "aa", "here").unwrap();
        let error = card.check_base(dir.path(), "bb", "here").unwrap_err();
        let error = error.to_string();
        for word in ["another base", "SHA-256 aa", "here (SHA-256 bb)", "hint:"] {
            assert!(error.contains(word), "{error}");
        }
        let mut other = card.clone();
        other.template = Some("cc".into());
        let error = other.check_text(dir.path(), &codec_).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("SHA-256 cc, in this run none"), "{error}");
        let mut other = card.clone();
        other.end.text = "<|other|>".into();
        let error = other.check_text(dir.path(), &codec_).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("another end token: there \"<|other|>\""),
            "{error}"
        );
        let mut later = card;
        later.format = 2;
        later.write(dir.path()).unwrap();
        let error = Card::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 2, this program reads 1"), "{error}");
    }
}
