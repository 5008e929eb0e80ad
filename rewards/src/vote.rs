//! The majority among several answers to one task.

use crate::sample::Sample;

/// What a judge that compares answers knows of them beside the task's own: which answer a completion gives, and whether two
/// answers say the same. [`crate::Exact`] and [`crate::math::Math`] do.
pub trait Answers {
    /// The final answer that the judge reads in `sample`; `None` if it finds none.
    fn answer(&self, sample: &Sample) -> Option<String>;

    /// Whether two answers are one vote. What cannot be decided is not the same.
    fn same(&self, left: &str, right: &str) -> bool;
}

/// The largest groups of answers that say the same, as positions in `answers`: one group, or several that are equally large.
///
/// An answer joins the first group whose first answer says the same. Equality need not be transitive for answers that
/// cannot be decided, so the order of answers may matter for them, and only for them.
///
/// ```
/// use dunwu_rewards::{Answers, ComponentConfig, ExactConfig, Rubric, RubricConfig, majority};
///
/// let components = vec![ComponentConfig::Exact(ExactConfig::default())];
/// let rubric = Rubric::from_config(&RubricConfig::new(components))?;
/// let exact = rubric.answers("exact").expect("it compares answers");
/// assert_eq!(majority(&["7", "8", "08"], exact), [[1, 2]]);
/// assert_eq!(majority(&["7", "8"], exact), [[0], [1]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn majority(answers: &[&str], judge: &dyn Answers) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (position, answer) in answers.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| {
            let first = answers[group[0]];
            first == *answer || judge.same(first, answer)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(position),
            None => groups.push(vec![position]),
        }
    }
    let largest = groups.iter().map(Vec::len).max().unwrap_or(0);
    groups.retain(|group| group.len() == largest);
    groups
}

#[cfg(test)]
mod tests {
    use dunwu_datasets::{Prompt, Task};

    use super::*;
    use crate::{ComponentConfig, ExactConfig, Rubric, RubricConfig, math::MathConfig};

    fn rubric() -> Rubric {
        let components = vec![
            ComponentConfig::Exact(ExactConfig::default()),
            ComponentConfig::Math(MathConfig::default()),
            ComponentConfig::Format(Default::default()),
        ];
        Rubric::from_config(&RubricConfig::new(components)).unwrap()
    }

    #[test]
    fn equal_answers_vote_together() {
        let rubric = rubric();
        let math = rubric.answers("math").unwrap();
        let exact = rubric.answers("exact").unwrap();
        let answers = ["0.5", r"\frac{1}{2}", "2", "2", "1/2"];
        assert_eq!(majority(&answers, math), [[0, 1, 4]]);
        assert_eq!(majority(&answers, exact), [[2, 3]]);
        assert!(majority(&[], exact).is_empty());
        assert!(rubric.answers("format").is_none() && rubric.answers("none").is_none());
        // What is undecided votes alone, and does not keep the rest from voting.
        let towers = [r"5^{5^{5^5}}", r"7^{5^{5^5}}", "3", "3"];
        assert_eq!(majority(&towers, math), [[2, 3]]);
    }

    #[test]
    fn answers_are_read_as_the_judge_reads_them() {
        let rubric = rubric();
        let task = Task::new("t", Prompt::Text("?".to_owned()), "8");
        let read = |name: &str, completion: &str, truncated: bool| {
            let sample = Sample {
                task: &task,
                completion,
                truncated,
                completion_tokens: 1,
            };
            rubric.answers(name).unwrap().answer(&sample)
        };
        for name in ["exact", "math"] {
            assert_eq!(
                read(name, r"so \boxed{8}.", false).as_deref(),
                Some("8"),
                "{name}"
            );
            assert_eq!(read(name, "<think>8</think>", false), None, "{name}");
            assert_eq!(read(name, "it is 12", true), None, "{name}");
        }
    }
}
