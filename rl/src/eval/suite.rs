//! Benchmarks from files: which judge belongs to a format, and which sampling.

use dunwu_datasets::{DataFormat, PromptStyle};
use dunwu_rewards::{CodeConfig, CodeExtraction, ComponentConfig, RubricConfig, math::MathConfig};

/// Longest completion of a benchmark unless something else is said, in tokens.
pub const MAX_TOKENS: usize = 512;

/// Seconds after which a judge counts as failed unless something else is said. Tests of a program may take their wall-clock
/// limit, twice.
pub const DEADLINE_S: f64 = 150.0;

/// The judge of a benchmark: tests for programs, mathematics for answers. Its one component says whether an answer is right.
pub fn rubric(format: DataFormat, style: PromptStyle) -> RubricConfig {
    let component = match (format, style) {
        (DataFormat::Gsm8k | DataFormat::Math | DataFormat::Svamp | DataFormat::Aime, _) => {
            ComponentConfig::Math(MathConfig::default())
        }
        (DataFormat::Humaneval | DataFormat::Mbpp | DataFormat::Code, PromptStyle::Chat) => {
            code(CodeExtraction::LastBlock)
        }
        (DataFormat::Humaneval, PromptStyle::Text) => code(CodeExtraction::FunctionBody),
        (DataFormat::Mbpp | DataFormat::Code, PromptStyle::Text) => code(CodeExtraction::OpenBlock),
    };
    RubricConfig::new(vec![component])
}

/// The component of [`rubric`] that says whether an answer is right.
pub fn correct(format: DataFormat) -> &'static str {
    if format.is_code() { "code" } else { "math" }
}

/// Texts that end a completion: a model that only continues text would go on to a problem of its own.
pub fn stop(format: DataFormat, style: PromptStyle) -> Vec<String> {
    let texts: &[&str] = match (format, style) {
        (_, PromptStyle::Chat) => &[],
        (DataFormat::Humaneval, PromptStyle::Text) => &["\ndef ", "\nclass ", "\nif ", "\nprint("],
        (DataFormat::Mbpp | DataFormat::Code, PromptStyle::Text) => &["\n```"],
        (_, PromptStyle::Text) => &["\nProblem:"],
    };
    texts.iter().map(ToString::to_string).collect()
}

fn code(extraction: CodeExtraction) -> ComponentConfig {
    ComponentConfig::Code(CodeConfig {
        extraction,
        ..CodeConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use dunwu_rewards::Rubric;

    use super::*;

    #[test]
    fn every_format_has_a_judge() {
        for format in DataFormat::ALL {
            for style in [PromptStyle::Chat, PromptStyle::Text] {
                let rubric = Rubric::from_config(&rubric(format, style)).unwrap();
                assert_eq!(rubric.component_names(), [correct(format)]);
                let votes = rubric.answers(correct(format)).is_some();
                assert_eq!(votes, !format.is_code(), "{format}");
            }
        }
    }
}
