//! Imperfect searches for [`super::Countdown`].

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::TraceMix;
use super::arithmetic::operate;

/// Attempts after which a search gives up.
const MAX_ATTEMPTS: usize = 4;

/// An attempt at making `target` out of `numbers`.
///
/// With probability `mix.think` it is a search: blind attempts, one after the other, until one hits the target or
/// four are made, as in `<think>3*8=24,24-5=19;3+8=11,11+5=16</think><answer>(3+8)+5</answer>` for 16. Each step slips with
/// probability `mix.slip`: its result is off by one, and what follows goes on from there. The others answer a single
/// attempt at once, `<think></think><answer>(3-5)*8</answer>`. `mix.malformed` is as for chain sums; `mix.guess_sd` says
/// nothing here. `mix` has been validated.
pub(super) fn completion(
    rng: &mut ChaCha8Rng,
    numbers: &[u32],
    target: u32,
    mix: &TraceMix,
) -> String {
    let mut thoughts: Vec<String> = Vec::new();
    let mut answer = attempt(rng, numbers, 0.0).expression;
    if rng.random_bool(mix.think) {
        for _ in 0..MAX_ATTEMPTS {
            let attempt = attempt(rng, numbers, mix.slip);
            thoughts.push(attempt.steps.join(","));
            answer = attempt.expression;
            if attempt.value == target {
                break;
            }
        }
    }
    let (open, close) = match (rng.random_bool(mix.malformed), rng.random_bool(0.5)) {
        (false, _) => ("<answer>", "</answer>"),
        (true, false) => ("<answer>", ""),
        (true, true) => ("", ""),
    };
    format!("<think>{}</think>{open}{answer}{close}", thoughts.join(";"))
}

/// One way to put all numbers together.
struct Attempt {
    steps: Vec<String>,
    expression: String,
    /// What the steps arrive at.
    value: u32,
}

/// Draws operations until none of them leads below 1 or to a fraction. Adding never does, so that ends.
fn attempt(rng: &mut ChaCha8Rng, numbers: &[u32], slip: f64) -> Attempt {
    loop {
        if let Some(attempt) = try_attempt(rng, numbers, slip) {
            return attempt;
        }
    }
}

fn try_attempt(rng: &mut ChaCha8Rng, numbers: &[u32], slip: f64) -> Option<Attempt> {
    let mut terms: Vec<(u32, String)> = numbers.iter().map(|n| (*n, n.to_string())).collect();
    let mut steps = Vec::with_capacity(numbers.len() - 1);
    while terms.len() > 1 {
        let (left, left_text) = terms.swap_remove(rng.random_range(0..terms.len()));
        let (right, right_text) = terms.swap_remove(rng.random_range(0..terms.len()));
        let (sign, value) = operate(rng, left, right);
        let mut value = value?;
        if rng.random_bool(slip) {
            value = if value > 1 && rng.random_bool(0.5) {
                value - 1
            } else {
                value + 1
            };
        }
        steps.push(format!("{left}{sign}{right}={value}"));
        let text = if terms.is_empty() {
            format!("{left_text}{sign}{right_text}")
        } else {
            format!("({left_text}{sign}{right_text})")
        };
        terms.push((value, text));
    }
    let (value, expression) = terms.pop().expect("a problem has numbers");
    Some(Attempt {
        steps,
        expression,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{CountdownConfig, Generator, GeneratorConfig};

    fn generator() -> Generator {
        let config = CountdownConfig {
            numbers_min: 2,
            numbers_max: 3,
            value_max: 9,
            ..Default::default()
        };
        Generator::from_config(&GeneratorConfig::Countdown(config)).unwrap()
    }

    /// The two numbers, the sign and the result of `3*8=24`.
    fn step(text: &str) -> (u64, char, u64, u64) {
        let (operation, result) = text.split_once('=').unwrap();
        let sign = operation.find(['+', '-', '*', '/']).unwrap();
        let (left, right) = (&operation[..sign], &operation[sign + 1..]);
        let number = |text: &str| text.parse().unwrap();
        let sign = operation[sign..].chars().next().unwrap();
        (number(left), sign, number(right), number(result))
    }

    #[test]
    fn searches_end_with_a_hit_or_after_four_attempts() {
        let mix = TraceMix {
            think: 1.0,
            slip: 0.0,
            malformed: 0.0,
            ..Default::default()
        };
        let (mut hits, mut longest) = (0, 0);
        for index in 0..2_000 {
            let (task, completion) = generator().demonstrated_task(1, index, &mix).unwrap();
            let target = task.columns["target"].as_u64().unwrap();
            let thought = completion.strip_prefix("<think>").unwrap();
            let (thought, answer) = thought.split_once("</think><answer>").unwrap();
            let attempts: Vec<u64> = thought
                .split(';')
                .map(|attempt| {
                    let mut results = attempt.split(',').map(|text| {
                        let (left, sign, right, result) = step(text);
                        let right_result = match sign {
                            '+' => left + right,
                            '-' => left - right,
                            '*' => left * right,
                            _ => left / right,
                        };
                        assert_eq!(result, right_result, "{completion}");
                        result
                    });
                    results.next_back().unwrap()
                })
                .collect();
            let (last, earlier) = attempts.split_last().unwrap();
            assert!(earlier.iter().all(|value| *value != target), "{completion}");
            assert!(
                *last == target || attempts.len() == MAX_ATTEMPTS,
                "{completion}"
            );
            assert!(answer.ends_with("</answer>"));
            hits += u32::from(*last == target);
            longest = longest.max(attempts.len());
        }
        // Blind search finds something now and then, and far from always.
        assert!(hits > 200 && hits < 1_800, "{hits}");
        assert_eq!(longest, MAX_ATTEMPTS);
    }

    #[test]
    fn the_rest_answers_at_once_and_slips_show() {
        let mix = |think, slip| TraceMix {
            think,
            slip,
            malformed: 0.0,
            ..Default::default()
        };
        let all = |mix: &TraceMix| -> Vec<String> {
            (0..500)
                .map(|index| generator().demonstrated_task(2, index, mix).unwrap().1)
                .collect()
        };
        assert!(
            all(&mix(0.0, 0.0))
                .iter()
                .all(|c| c.starts_with("<think></think>"))
        );
        let thinking = all(&mix(0.3, 0.0));
        let thinking = thinking
            .iter()
            .filter(|c| !c.starts_with("<think></think>"));
        // 150 are expected with a deviation of 10.
        assert!(thinking.count().abs_diff(150) < 51);
        let slipped = all(&mix(1.0, 1.0));
        let wrong = |completion: &String| {
            let thought = completion["<think>".len()..]
                .split("</think>")
                .next()
                .unwrap();
            let first = thought.split([',', ';']).next().unwrap();
            let (left, sign, right, result) = step(first);
            match sign {
                '+' => left + right != result,
                '-' => left - right != result,
                '*' => left * right != result,
                _ => left / right != result,
            }
        };
        assert!(slipped.iter().all(wrong));
    }
}
