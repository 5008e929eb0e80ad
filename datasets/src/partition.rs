//! Lists of tasks: divided into two sides, and told apart by a number.

use std::borrow::Borrow;

use crate::error::DatasetError;
use crate::hash::{fnv1a, mix};
use crate::settings::check_fraction;
use crate::split::Split;
use crate::task::Task;

/// Divides `tasks` into training and held-out ones by the text of their problems ([`crate::Prompt::problem_text`]), whatever its
/// case and white space, in their order.
///
/// # Errors
/// [`DatasetError::InvalidSetting`] if `heldout_fraction` is not in 0..1.
pub fn partition(
    tasks: Vec<Task>,
    heldout_fraction: f64,
) -> Result<(Vec<Task>, Vec<Task>), DatasetError> {
    check_fraction(heldout_fraction)?;
    Ok(tasks.into_iter().partition(|task| {
        Split::of_text(&task.prompt.problem_text(), heldout_fraction) == Split::Train
    }))
}

/// A number for a list of problems: their names, texts and answers, in this order. Two lists with the same number are the
/// same list, so that verdicts on them may be compared problem by problem.
pub fn fingerprint<T: Borrow<Task>>(tasks: impl IntoIterator<Item = T>) -> u64 {
    tasks.into_iter().fold(0, |state, task| {
        let task = task.borrow();
        let parts = [&task.id, &task.prompt.problem_text(), &task.answer];
        parts.into_iter().fold(
            state,
            |state, part| mix(state ^ mix(fnv1a(part.as_bytes()))),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Prompt;

    #[test]
    fn a_fingerprint_tells_lists_apart() {
        let task = |id: &str, answer: &str| Task {
            id: id.to_owned(),
            prompt: Prompt::Text("1+1=".to_owned()),
            answer: answer.to_owned(),
            columns: Default::default(),
        };
        let lists = [
            vec![],
            vec![task("a", "2")],
            vec![task("b", "2")],
            vec![task("a", "3")],
            vec![task("a", "2"), task("b", "2")],
            vec![task("b", "2"), task("a", "2")],
        ];
        let prints: std::collections::HashSet<u64> = lists.iter().map(fingerprint).collect();
        assert_eq!(prints.len(), lists.len());
        assert_eq!(fingerprint(&lists[4]), fingerprint(lists[4].clone()));
    }

    #[test]
    fn partition_keeps_every_task_once() {
        let tasks: Vec<Task> = (0..500)
            .map(|number| Task {
                id: number.to_string(),
                prompt: Prompt::user(None, format!("What is {number}+1?")),
                answer: (number + 1).to_string(),
                columns: Default::default(),
            })
            .collect();
        let (train, heldout) = partition(tasks.clone(), 0.2).unwrap();
        assert_eq!(train.len() + heldout.len(), tasks.len());
        assert!(!heldout.is_empty());
        let error = partition(tasks, 1.0).unwrap_err().to_string();
        assert_eq!(error, "heldout_fraction is 1: expected at least 0, below 1");
    }
}
