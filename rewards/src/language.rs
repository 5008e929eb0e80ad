//! The reward `language`: the completion stays in one language's script.

use serde::{Deserialize, Serialize};

use crate::error::RewardError;
use crate::reward::Reward;
use crate::sample::Sample;

/// A script, by which languages are told apart here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Script {
    /// English and most languages of Europe, America and Africa.
    #[default]
    Latin,
    /// Chinese.
    Han,
    /// Japanese: Kana together with Han.
    Japanese,
    /// Korean.
    Hangul,
    /// Russian and others.
    Cyrillic,
    /// Arabic and Persian.
    Arabic,
    /// Hindi and others.
    Devanagari,
    /// Thai.
    Thai,
    /// Hebrew.
    Hebrew,
}

/// Which part of a completion is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// All of it.
    #[default]
    Completion,
    /// What stands before `</think>`; all of it if there is none.
    Thought,
}

/// Settings of [`Language`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// The component's name; `language` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// The script of the target language.
    pub script: Script,
    /// Which part is looked at.
    pub part: Part,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            script: Script::default(),
            part: Part::default(),
        }
    }
}

/// The share of words in the target language's script, from 0 to 1.
///
/// ```text
/// words in the target script / all words
/// ```
///
/// That is the language consistency reward of DeepSeek-R1 (arXiv 2501.12948, section 2.3.2: the proportion of target language
/// words in the chain of thought), with languages told apart by their script: French passes for English here, Chinese does
/// not. A word is a run of letters of one script; each Han, Hiragana or Katakana character is a word. Commands such as `\frac`
/// and single Latin or Greek letters, which formulas are full of, are no words. It does not apply where there are no words.
#[derive(Clone, Debug)]
pub struct Language {
    name: String,
    script: Script,
    part: Part,
}

impl Language {
    /// The judge that `config` describes.
    pub fn from_config(config: &LanguageConfig) -> Self {
        let LanguageConfig {
            name,
            weight: _,
            script,
            part,
        } = config;
        Self {
            name: name.clone().unwrap_or_else(|| "language".to_owned()),
            script: *script,
            part: *part,
        }
    }
}

/// The script of a letter; `None` for other characters and for scripts without a name here.
fn script_of(letter: char) -> Option<Script> {
    Some(match letter {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Script::Latin,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '\u{590}'..='\u{5ff}' => Script::Hebrew,
        '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => Script::Arabic,
        '\u{900}'..='\u{97f}' => Script::Devanagari,
        '\u{e00}'..='\u{e7f}' => Script::Thai,
        '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => Script::Hangul,
        '\u{3040}'..='\u{30ff}' => Script::Japanese,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2fa1f}' => {
            Script::Han
        }
        _ => return None,
    })
}

/// How many words there are, and how many of them are in `target`.
fn count(text: &str, target: Script) -> (usize, usize) {
    let (mut all, mut matching) = (0, 0);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' {
            // A command's name.
            while characters.next_if(char::is_ascii_alphabetic).is_some() {}
            continue;
        }
        if !character.is_alphabetic() {
            continue;
        }
        let script = script_of(character);
        let single = matches!(script, Some(Script::Han | Script::Japanese));
        let mut length = 1;
        while !single
            && characters
                .next_if(|next| next.is_alphabetic() && script_of(*next) == script)
                .is_some()
        {
            length += 1;
        }
        if length == 1 && !single && (script == Some(Script::Latin) || script.is_none()) {
            continue;
        }
        all += 1;
        let matches =
            script == Some(target) || (target == Script::Japanese && script == Some(Script::Han));
        matching += usize::from(matches);
    }
    (all, matching)
}

impl Reward for Language {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let text = match self.part {
            Part::Completion => sample.completion,
            Part::Thought => sample
                .completion
                .split("</think>")
                .next()
                .unwrap_or_default(),
        };
        // The tags are markup.
        let text = ["<think>", "</think>", "<answer>", "</answer>"]
            .iter()
            .fold(text.to_owned(), |text, tag| text.replace(tag, " "));
        let (all, matching) = count(&text, self.script);
        Ok((all > 0).then(|| matching as f64 / all as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn score(script: Script, part: Part, completion: &str) -> Option<f64> {
        let task = Task::new("t", Prompt::Text("?".to_owned()), "");
        let config = LanguageConfig {
            script,
            part,
            ..Default::default()
        };
        let sample = Sample {
            task: &task,
            completion,
            truncated: false,
            completion_tokens: 1,
        };
        Language::from_config(&config).score(&sample).unwrap()
    }

    #[test]
    fn words_of_other_scripts_cost() {
        let english = |text| score(Script::Latin, Part::Completion, text);
        assert_eq!(english("so the answer is 5"), Some(1.0));
        assert_eq!(english("so the answer 答案"), Some(3.0 / 5.0));
        assert_eq!(english("Итак, the answer"), Some(2.0 / 3.0));
        assert_eq!(english("¿qué será?"), Some(1.0));
        assert_eq!(english("$x + 5$"), None);
        assert_eq!(english(r"\frac{1}{2} \alpha"), None);
        assert_eq!(english(""), None);
        assert_eq!(
            score(Script::Han, Part::Completion, "我想 think"),
            Some(2.0 / 3.0)
        );
        assert_eq!(
            score(Script::Japanese, Part::Completion, "答えは"),
            Some(1.0)
        );
        assert_eq!(
            score(Script::Hangul, Part::Completion, "정답은 five"),
            Some(0.5)
        );
    }

    #[test]
    fn a_part_can_be_looked_at() {
        let text = "<think>so it is</think>答案是五";
        assert_eq!(score(Script::Latin, Part::Thought, text), Some(1.0));
        assert_eq!(
            score(Script::Latin, Part::Completion, text),
            Some(3.0 / 7.0)
        );
    }
}
