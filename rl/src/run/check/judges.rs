//! Whether the rubric finds anything to judge in the problems of a run.
//!
//! Judges that only read texts are asked about completions made of the problems' own answers. Those that run programs or
//! ask others are not; of `code` the tests are read.

use std::collections::{BTreeMap, btree_map::Entry};

use dunwu_datasets::Task;
use dunwu_rewards::{ComponentConfig, Fault, Rubric, RubricConfig, Sample};

use super::Finding;

/// What is found of a rubric that judges `tasks`; `correct` is the component that says whether an answer is right.
pub fn look(config: &RubricConfig, correct: &str, tasks: &[Task]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if tasks.is_empty() {
        return findings;
    }
    read_tests(config, tasks, &mut findings);
    let readers: Vec<ComponentConfig> = config
        .components
        .iter()
        .filter(|component| reads_only(component))
        .cloned()
        .collect();
    let all_read = readers.len() == config.components.len();
    let mut asked = RubricConfig::new(readers);
    asked.applies_to = config.applies_to.clone();
    let rubric = Rubric::from_config(&asked).or_else(|_| {
        // A name of `applies_to` that is of another component.
        asked.applies_to.clear();
        Rubric::from_config(&asked)
    });
    let Ok(rubric) = rubric else {
        return findings; // every component runs something
    };
    let said = Said::of(&rubric, correct, tasks);
    said.report(&rubric, config, all_read, tasks.len(), &mut findings);
    findings
}

/// Whether a component only reads texts: asking it costs nothing and starts nothing.
fn reads_only(component: &ComponentConfig) -> bool {
    match component {
        ComponentConfig::Code(_)
        | ComponentConfig::Wasm(_)
        | ComponentConfig::Command(_)
        | ComponentConfig::Http(_) => false,
        ComponentConfig::PerEntry(config) => config.entries.values().all(reads_only),
        ComponentConfig::Exact(_)
        | ComponentConfig::Math(_)
        | ComponentConfig::Countdown(_)
        | ComponentConfig::Procedural(_)
        | ComponentConfig::Format(_)
        | ComponentConfig::Length(_)
        | ComponentConfig::Repetition(_)
        | ComponentConfig::Language(_) => true,
        _ => false,
    }
}

/// Completions that give the answer of a task, in the forms that models are asked for.
fn completions(answer: &str) -> [String; 5] {
    let answer = answer.trim();
    [
        answer.to_owned(),
        format!("<think>\n…\n</think>\n<answer>{answer}</answer>"),
        format!("The answer is $\\boxed{{{answer}}}$."),
        format!("#### {answer}"),
        format!("The answer is {answer}."),
    ]
}

/// What the components said of all tasks.
#[derive(Default)]
struct Said {
    /// Tasks that a component has something to say about, by its name.
    judged: BTreeMap<String, usize>,
    /// Tasks whose answer or columns a component cannot use: how many, the first, and what it said.
    unusable: BTreeMap<String, (usize, String, String)>,
    /// Tasks with an answer that `correct` calls right in no form: how many, and the first with its answer.
    never_right: usize,
    first_never_right: Option<(String, String)>,
    /// Tasks with an answer that `correct` compares.
    compared: usize,
}

impl Said {
    fn of(rubric: &Rubric, correct: &str, tasks: &[Task]) -> Self {
        let mut said = Self::default();
        let compares = rubric.answers(correct).is_some();
        for task in tasks {
            let mut right = None;
            let mut heard: BTreeMap<&str, bool> = BTreeMap::new();
            let completions = completions(&task.answer);
            for completion in &completions {
                let sample = Sample::new(task, completion);
                for (name, verdict) in rubric.inspect(&sample) {
                    match verdict {
                        Ok(None) => {}
                        Ok(Some(value)) => {
                            heard.insert(name, true);
                            if name == correct {
                                right = Some(right.unwrap_or(false) || value > 0.5);
                            }
                        }
                        Err(error) if error.fault() == Fault::Task => {
                            let first = || (0, task.id.clone(), error.to_string());
                            if let Entry::Vacant(vacant) = heard.entry(name) {
                                vacant.insert(false);
                                let entry = said.unusable.entry(name.to_owned());
                                entry.or_insert_with(first).0 += 1;
                            }
                        }
                        Err(_) => {}
                    }
                }
                if right == Some(true) {
                    break;
                }
            }
            for (name, _) in heard.into_iter().filter(|(_, judged)| *judged) {
                *said.judged.entry(name.to_owned()).or_default() += 1;
            }
            if let Some(right) = right.filter(|_| compares && !task.answer.trim().is_empty()) {
                said.compared += 1;
                said.never_right += usize::from(!right);
                if !right && said.first_never_right.is_none() {
                    said.first_never_right = Some((task.id.clone(), task.answer.clone()));
                }
            }
        }
        said
    }

    fn report(
        &self,
        rubric: &Rubric,
        config: &RubricConfig,
        all_read: bool,
        tasks: usize,
        findings: &mut Vec<Finding>,
    ) {
        let about = |name: &str| format!("reward.rubric ({name})");
        let names = rubric.component_names();
        for name in &names {
            if let Some((count, first, message)) = self.unusable.get(*name) {
                let message = format!(
                    "cannot judge {count} of {tasks} problems, the first is {first}: {message}"
                );
                findings.push(if *count == tasks {
                    Finding::error(about(name), message)
                } else {
                    Finding::warning(about(name), message)
                });
                continue;
            }
            let judged = self.judged.get(*name).copied().unwrap_or(0);
            let for_some = config.applies_to.contains_key(*name);
            if judged == 0 {
                let message = format!(
                    "finds nothing to judge in any of {tasks} problems; hint: does a column that it reads miss, or the answer? `dunwu data` shows problems as they are posed"
                );
                let alone = all_read && self.judged.is_empty();
                findings.push(if alone {
                    Finding::error(about(name), message)
                } else {
                    Finding::warning(about(name), message)
                });
            } else if judged < tasks && !for_some {
                let message = format!(
                    "finds nothing to judge in {} of {tasks} problems",
                    tasks - judged
                );
                findings.push(Finding::warning(about(name), message));
            }
        }
        if let Some((task, answer)) = &self.first_never_right {
            let message = format!(
                "{} of {} answers are called wrong however they are written (as they are, in <answer>…</answer>, in \\boxed{{…}}, after ####, in a sentence), the first is that of task {task}: {answer:?}; hint: does the answer's column hold a whole solution? `answer_format` of [data.fields] takes the answer out of it",
                self.never_right, self.compared
            );
            findings.push(Finding::warning("evaluation.correct", message));
        }
    }
}

/// Whether tasks have the tests that the component `code` runs.
#[cfg(feature = "code")]
fn read_tests(config: &RubricConfig, tasks: &[Task], findings: &mut Vec<Finding>) {
    for component in &config.components {
        let ComponentConfig::Code(code) = component else {
            continue;
        };
        let name = code.name.clone();
        let about = format!("reward.rubric ({name})");
        let entries = config.applies_to.get(&name);
        let entry = |task: &Task| task.columns.get(dunwu_datasets::MIXTURE_COLUMN).cloned();
        let is_for = |task: &&Task| match entries {
            None => true,
            Some(entries) => entry(task)
                .is_some_and(|own| entries.iter().any(|e| Some(e.as_str()) == own.as_str())),
        };
        let (mut none, mut broken, mut count) = (0, 0, 0);
        let mut first = None;
        for task in tasks.iter().filter(is_for) {
            count += 1;
            match dunwu_rewards::tests_of(task) {
                Ok(Some(_)) => {}
                Ok(None) => none += 1,
                Err(error) => {
                    broken += 1;
                    first.get_or_insert_with(|| format!("{}: {error}", task.id));
                }
            }
        }
        if let Some(first) = first {
            let message = format!(
                "{broken} of {count} problems have tests that cannot be used, the first is {first}"
            );
            findings.push(Finding::warning(about.clone(), message));
        }
        if none > 0 {
            let message = format!(
                "{none} of {count} problems have no column of tests; known are {}",
                dunwu_rewards::TEST_COLUMNS
            );
            let alone = none == count && config.components.len() == 1;
            findings.push(if alone {
                Finding::error(about, message)
            } else {
                Finding::warning(about, message)
            });
        }
    }
}

#[cfg(not(feature = "code"))]
fn read_tests(_config: &RubricConfig, _tasks: &[Task], _findings: &mut Vec<Finding>) {}

#[cfg(test)]
mod tests {
    use dunwu_datasets::Prompt;
    use dunwu_rewards::{ExactConfig, FormatConfig, math::MathConfig};

    use super::*;
    use crate::run::check::Level;

    fn tasks(answers: &[&str]) -> Vec<Task> {
        let task = |(index, answer): (usize, &&str)| {
            Task::new(index.to_string(), Prompt::Text("1+1=".to_owned()), *answer)
        };
        answers.iter().enumerate().map(task).collect()
    }

    fn found(
        components: Vec<ComponentConfig>,
        correct: &str,
        answers: &[&str],
    ) -> Vec<(Level, String)> {
        let findings = look(&RubricConfig::new(components), correct, &tasks(answers));
        findings
            .into_iter()
            .map(|f| (f.level, format!("{}: {}", f.about, f.message)))
            .collect()
    }

    #[test]
    fn right_answers_are_no_finding() {
        let exact = || ComponentConfig::Exact(ExactConfig::default());
        let format = || ComponentConfig::Format(FormatConfig::default());
        let math = || ComponentConfig::Math(MathConfig::default());
        assert_eq!(
            found(vec![exact(), format()], "exact", &["2", "-17", "1,000"]),
            []
        );
        assert_eq!(
            found(
                vec![math()],
                "math",
                &["\\frac{1}{2}", "(-\\infty, 3]", "x^2+1"]
            ),
            []
        );
    }

    #[test]
    fn answers_that_are_missing_or_no_answers_are_told() {
        let exact = || ComponentConfig::Exact(ExactConfig::default());
        let format = || ComponentConfig::Format(FormatConfig::default());
        let nothing = found(vec![exact()], "exact", &["", ""]);
        assert_eq!(nothing.len(), 1, "{nothing:?}");
        assert_eq!(nothing[0].0, Level::Error);
        assert!(nothing[0].1.contains("exact") && nothing[0].1.contains("any of 2 problems"));
        // The format can still be judged: the run goes on.
        let shape = found(vec![exact(), format()], "exact", &["", ""]);
        assert_eq!(shape[0].0, Level::Warning, "{shape:?}");
        let some = found(vec![exact()], "exact", &["", "2"]);
        assert!(some[0].1.contains("nothing to judge in 1 of 2"), "{some:?}");
        let last_number = ExactConfig {
            extraction: vec![dunwu_rewards::Extraction::LastNumber],
            ..ExactConfig::default()
        };
        let solutions = found(
            vec![ComponentConfig::Exact(last_number)],
            "exact",
            &["3", "First 2 and then 3 make five of them"],
        );
        let (level, text) = &solutions[0];
        assert_eq!(*level, Level::Warning);
        assert!(
            text.contains("1 of 2 answers") && text.contains("task 1"),
            "{text}"
        );
    }
}
