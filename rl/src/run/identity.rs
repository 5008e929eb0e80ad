//! Which settings define a run, and which a resumed run may have otherwise.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

/// A setting that is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it was; `nothing` if it was not set.
    pub was: String,
    /// What it is.
    pub is: String,
}

/// How far a run has come: what is over cannot change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Come {
    /// Index of the stage under way.
    pub stage: usize,
    /// Steps made in it.
    pub stage_step: u64,
}

/// Settings that say how a run is carried out, and not what it is: whole sections, or single keys.
const OPERATIONAL: &[&str] = &[
    "device",
    "memory.token_budget",
    "memory.batch_rows",
    "memory.workers",
    "memory.recorded_tokens",
    "memory.head_chunk_mib",
    "memory.checkpoint_activations",
    "checkpoint",
    "alarms",
    "log",
    "cost",
    "evaluation.every",
    "evaluation.samples",
    "reward.deadline_s",
    "model.path", // what lies there is compared by its weights
    // A run that went on without skipping anything had nothing to skip.
    "data.too_long",
];

/// Settings that name files. Where these lie may be another place, as when a run is moved or started from another
/// directory; what they are called may not.
const FILES: &[&str] = &["file", "heldout_file", "adapter", "path"];

/// The length of a stage.
const LENGTH: &[&str] = &["steps", "epochs"];

/// Compares the configs of two sessions of a run, as TOML. Settings that a resumed run may have otherwise are returned.
///
/// # Errors
/// The first change of a setting that defines the run.
pub fn compare(before: &Table, now: &Table, come: Come) -> Result<Vec<Change>, Change> {
    let (was, is) = (flat(before), flat(now));
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let mut accepted = Vec::new();
    for key in keys {
        let (old, new) = (was.get(key), is.get(key));
        if old == new {
            continue;
        }
        let text = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
        let change = Change {
            key: key.clone(),
            was: text(old),
            is: text(new),
        };
        if !may_change(key, old, new, come) {
            return Err(change);
        }
        accepted.push(change);
    }
    Ok(accepted)
}

/// Whether the stage with this index is longer now than before, and that is said by the same key.
pub fn is_longer(before: &Table, now: &Table, stage: usize) -> bool {
    let (was, is) = (flat(before), flat(now));
    LENGTH.iter().any(|length| {
        let key = format!("stages.{stage}.{length}");
        let count = |values: &BTreeMap<String, String>| values.get(&key)?.parse::<u64>().ok();
        matches!((count(&was), count(&is)), (Some(was), Some(is)) if is > was)
    })
}

/// Whether a setting may be another in a resumed run.
fn may_change(key: &str, old: Option<&String>, new: Option<&String>, come: Come) -> bool {
    let is_below = |section: &&str| {
        let rest = key.strip_prefix(*section);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if OPERATIONAL.iter().any(is_below) {
        return true;
    }
    let named = |value: Option<&String>| {
        let path = value?.trim_matches(['"', '\'']);
        Some(path.rsplit(['/', '\\']).next()?.to_owned())
    };
    let names_file = FILES.contains(&key.rsplit('.').next().unwrap_or_default());
    if names_file && old.is_some() && named(old) == named(new) {
        return true;
    }
    let Some((index, setting)) = stage_setting(key) else {
        return false;
    };
    if index != come.stage {
        return index > come.stage;
    }
    if come.stage_step == 0 {
        return true;
    }
    // A stage under way may become longer, or end sooner, but not before where it is.
    let steps = new.and_then(|value| value.parse::<u64>().ok());
    LENGTH.contains(&setting) && (setting != "steps" || steps.is_none_or(|n| n > come.stage_step))
}

/// The index and the setting of a key such as `stages.1.steps`.
fn stage_setting(key: &str) -> Option<(usize, &str)> {
    let (index, setting) = key.strip_prefix("stages.")?.split_once('.')?;
    Some((index.parse().ok()?, setting))
}

/// Every value by its dotted key.
fn flat(table: &Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        flatten(key, value, &mut flat);
    }
    flat
}

fn flatten(key: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (inner, value) in table {
                flatten(&format!("{key}.{inner}"), value, flat);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (index, value) in list.iter().enumerate() {
                flatten(&format!("{key}.{index}"), value, flat);
            }
        }
        value => {
            flat.insert(key.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
        seed = 1
        [memory]
        token_budget = 1024
        [[stages]]
        kind = "sft"
        steps = 10
        [[stages]]
        kind = "grpo"
        steps = 100
        group = 8
    "#;

    fn compared(change: (&str, &str), come: Come) -> Result<Vec<String>, String> {
        let now = BEFORE.replace(change.0, change.1);
        assert_ne!(now, BEFORE);
        let parse = |text: &str| text.parse::<Table>().unwrap();
        let shown = |change: Change| format!("{} {} {}", change.key, change.was, change.is);
        compare(&parse(BEFORE), &parse(&now), come)
            .map(|changes| changes.into_iter().map(shown).collect())
            .map_err(shown)
    }

    #[test]
    fn what_defines_a_run_stays_and_the_rest_may_change() {
        let come = Come {
            stage: 1,
            stage_step: 40,
        };
        let accepted = [
            (("1024", "512"), "memory.token_budget 1024 512"),
            (("100", "400"), "stages.1.steps 100 400"),
            (
                ("[memory]", "device = \"cpu\"\n[memory]"),
                "device nothing \"cpu\"",
            ),
        ];
        for (change, expected) in accepted {
            assert_eq!(compared(change, come).unwrap(), [expected], "{change:?}");
        }
        let refused = [
            (("seed = 1", "seed = 2"), "seed 1 2"),
            (("group = 8", "group = 4"), "stages.1.group 8 4"),
            (("steps = 100", "steps = 40"), "stages.1.steps 100 40"),
            (("steps = 10\n", "steps = 20\n"), "stages.0.steps 10 20"),
        ];
        for (change, expected) in refused {
            assert_eq!(compared(change, come).unwrap_err(), expected, "{change:?}");
        }
    }

    #[test]
    fn files_may_lie_elsewhere_and_no_other_files_be_read() {
        let come = Come::default();
        let table = |file: &str| {
            let text = format!("[data]\nfile = {file:?}\n[[stages]]\nkind = \"grpo\"\n");
            text.parse::<Table>().unwrap()
        };
        let before = table("runs/a.jsonl");
        assert!(compare(&before, &table("../data/a.jsonl"), come).is_ok());
        assert!(compare(&before, &table("runs/b.jsonl"), come).is_err());
    }

    #[test]
    fn a_run_that_is_over_may_become_longer() {
        let parse = |text: &str| text.parse::<Table>().unwrap();
        let now = BEFORE.replace("steps = 100", "steps = 400");
        assert!(is_longer(&parse(BEFORE), &parse(&now), 1));
        assert!(!is_longer(&parse(BEFORE), &parse(&now), 0));
        assert!(!is_longer(&parse(&now), &parse(BEFORE), 1));
        assert!(!is_longer(&parse(BEFORE), &parse(BEFORE), 1));
    }

    #[test]
    fn what_has_not_begun_may_change() {
        let come = Come {
            stage: 0,
            stage_step: 3,
        };
        assert!(compared(("group = 8", "group = 4"), come).is_ok());
        let more = "group = 8\n[[stages]]\nkind = \"sft\"\nsteps = 3";
        assert_eq!(compared(("group = 8", more), come).unwrap().len(), 2);
        assert!(compared(("kind = \"sft\"", "kind = \"x\""), come).is_err());
    }
}
