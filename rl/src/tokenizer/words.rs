//! Rules that cut a text into words before merging, by their names in GGUF files.
//!
//! A GGUF file holds only such a name. The rules here are those of the `tokenizer.json` files from which files of that name
//! are made; llama.cpp (`src/llama-vocab.cpp`) has them as well, some in another spelling.

use serde_json::{Value, json};

/// A step of a rule; each cuts what the one before has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// At every match of an expression.
    Split(&'static str),
    /// Between digits, each alone.
    Digits,
    /// At runs of punctuation.
    Punctuation,
    /// The expression of GPT-2, which the byte-level step of the `tokenizers` crate brings along.
    Gpt2,
}

/// A rule for cutting text into words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// Its names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    steps: &'static [Step],
    /// Whether characters are composed first.
    composes: bool,
    /// Whether a word that is a token is taken as it is, even where merging would not reach it.
    pub(super) ignores_merges: bool,
    /// Whether a text begins with BOS where the file does not say.
    pub(super) adds_bos: bool,
}

/// Word splitting of Llama 3 and of the families that took it over.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// That of Qwen2 to Qwen3: Llama 3's with single digits.
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// That of Qwen3.5: accents belong to their letters.
const QWEN35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// That of Mistral's Tekken: words are cut where small letters are followed by capitals.
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// That of GPT-4o: Tekken's with contractions, and up to three digits.
const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// The last step of DeepSeek-V3.
const DEEPSEEK_V3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// Chinese characters, hiragana and katakana.
const KANA: &str = "[一-龥぀-ゟ゠-ヿ]+";
/// Chinese, Japanese and Korean characters, as DeepSeek's first tokenizers have them.
const CJK: &str = "[一-龥ࠀ-一가-퟿]+";
/// Letters with a case, listed one by one in DeepSeek LLM's tokenizer.
const CASED: &str = concat!(
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ",
    r"-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ",
    r"-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
);
/// Punctuation, narrow and wide.
const MARKS: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
/// The expression of GPT-2 where nothing is done about bytes.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

/// Every rule that is known.
const RULES: &[Words] = &[
    rule(&["gpt-2", "phi-2"], &[Step::Gpt2]),
    rule(&["mpt", "olmo"], &[Step::Gpt2]).composing(),
    rule(
        &["smollm", "starcoder", "refact", "codeshell"],
        &[Step::Digits, Step::Gpt2],
    ),
    rule(&["command-r"], &[Step::Digits, Step::Gpt2]).composing(),
    rule(
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "pixtral",
            "lfm2",
        ],
        &[Step::Split(LLAMA3)],
    )
    .ignoring_merges()
    .adding_bos(),
    rule(
        &["smaug-bpe", "dbrx", "chatglm-bpe"],
        &[Step::Split(LLAMA3)],
    ),
    rule(&["glm4"], &[Step::Split(LLAMA3)]).ignoring_merges(),
    rule(&["qwen2", "deepseek-r1-qwen"], &[Step::Split(QWEN2)]).composing(),
    rule(&["qwen35"], &[Step::Split(QWEN35)]).composing(),
    rule(&["tekken"], &[Step::Split(TEKKEN)])
        .ignoring_merges()
        .adding_bos(),
    rule(&["gpt-4o", "llama4"], &[Step::Split(GPT4O)]),
    rule(
        &["deepseek-llm"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(CASED),
            Step::Split(MARKS),
            Step::Split(r"\s+$"),
            Step::Split(CJK),
            Step::Digits,
        ],
    ),
    rule(
        &["deepseek-coder"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(CJK),
            Step::Digits,
        ],
    ),
    rule(
        &["deepseek-v3"],
        &[
            Step::Split(r"\p{N}{1,3}"),
            Step::Split(KANA),
            Step::Split(DEEPSEEK_V3),
        ],
    ),
    rule(
        &["falcon"],
        &[
            Step::Punctuation,
            Step::Gpt2,
            Step::Split(r"[0-9][0-9][0-9]"),
        ],
    ),
    rule(
        &["default"],
        &[
            Step::Split(r"[\p{P}\$\+<=>\^~\|]+"),
            Step::Split(GPT2),
            Step::Split(r"\p{N}+"),
            Step::Split(r"[0-9][0-9][0-9]"),
        ],
    ),
];

const fn rule(names: &'static [&'static str], steps: &'static [Step]) -> Words {
    Words {
        names,
        steps,
        composes: false,
        ignores_merges: false,
        adds_bos: false,
    }
}

impl Words {
    const fn composing(mut self) -> Self {
        self.composes = true;
        self
    }

    const fn ignoring_merges(mut self) -> Self {
        self.ignores_merges = true;
        self
    }

    const fn adding_bos(mut self) -> Self {
        self.adds_bos = true;
        self
    }

    /// The rule of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.names.contains(&name))
    }

    /// All names, for errors.
    pub(super) fn names() -> String {
        let names: Vec<&str> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
        names.join(", ")
    }

    /// The first name of the rule under which a `tokenizer.json` cuts text so, if there is one.
    pub(super) fn of_json(tokenizer: &Value) -> Option<&'static str> {
        let found = tokenizer.get("pre_tokenizer")?;
        let ignores = tokenizer["model"]["ignore_merges"]
            .as_bool()
            .unwrap_or(false);
        let composes = tokenizer["normalizer"]["type"] == "NFC";
        let cuts_alike: Vec<&Words> = RULES
            .iter()
            .filter(|rule| same(&rule.json(), found))
            .collect();
        // Of rules that cut alike, the one that agrees in the most of what else they say.
        let agrees = |rule: &&Words| {
            usize::from(rule.ignores_merges == ignores) * 2 + usize::from(rule.composes == composes)
        };
        let best = cuts_alike.iter().map(agrees).max()?;
        let rule = cuts_alike.into_iter().find(|rule| agrees(rule) == best)?;
        Some(rule.names[0])
    }

    /// The `pre_tokenizer` of a `tokenizer.json`.
    pub(super) fn json(&self) -> Value {
        let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
        let mut steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| match step {
                Step::Split(expression) => json!({
                    "type": "Split",
                    "pattern": { "Regex": expression },
                    "behavior": "Isolated",
                    "invert": false,
                }),
                Step::Digits => json!({ "type": "Digits", "individual_digits": true }),
                Step::Punctuation => json!({ "type": "Punctuation", "behavior": "Contiguous" }),
                Step::Gpt2 => byte_level(true),
            })
            .collect();
        if !self.steps.contains(&Step::Gpt2) {
            steps.push(byte_level(false));
        }
        if steps.len() == 1 {
            return steps.remove(0);
        }
        json!({ "type": "Sequence", "pretokenizers": steps })
    }

    /// The `normalizer` of a `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Value {
        if self.composes {
            json!({ "type": "NFC" })
        } else {
            Value::Null
        }
    }
}

/// Whether two steps cut alike: what they say of offsets does not matter.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let mut keys = keys.filter(|key| *key != "trim_offsets");
            keys.all(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => same(a, b),
                _ => false,
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_by_what_it_makes_of_a_tokenizer() {
        for rule in RULES {
            let json = json!({
                "pre_tokenizer": rule.json(),
                "normalizer": rule.normalizer(),
                "model": { "ignore_merges": rule.ignores_merges },
            });
            // Two rules may cut alike and differ in what a tokenizer.json does not say.
            let found = Words::named(Words::of_json(&json).unwrap()).unwrap();
            assert_eq!(found.json(), rule.json());
            assert_eq!(
                (found.ignores_merges, found.composes),
                (rule.ignores_merges, rule.composes)
            );
            assert_eq!(Words::named(rule.names[0]), Some(rule));
        }
        let other = json!({ "pre_tokenizer": { "type": "Whitespace" }, "model": {} });
        assert_eq!(Words::of_json(&other), None);
        let names = Words::names();
        let mut names: Vec<&str> = names.split(", ").collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "no name stands for two rules");
    }
}
