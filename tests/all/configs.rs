//! Every shipped config loads, and comes back unchanged from its own printed form.

use std::path::{Path, PathBuf};

use dunwu::{config, stages::StageConfig};

/// All TOML files below `directory`.
fn configs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(configs(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

#[test]
fn every_shipped_config_loads_and_round_trips() {
    let paths = configs(&shipped());
    assert!(paths.len() >= 14, "{paths:?}");
    for path in paths {
        let config = config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let printed = config.to_toml().unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(copy.path(), &printed).unwrap();
        assert_eq!(
            config::load(copy.path(), &[]).unwrap(),
            config,
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_preset_has_a_twin_that_keeps_its_objective() {
    let presets = shipped().join("presets");
    let mut seen = 0;
    for path in configs(&presets) {
        let twin = presets.join("mini").join(path.file_name().unwrap());
        if path == twin {
            continue;
        }
        let objective = |path: &Path| {
            let config = config::load(path, &[]).unwrap_or_else(|error| panic!("{error}"));
            let stage = config.stages.into_iter().find_map(|stage| match stage {
                StageConfig::Grpo(grpo) => Some(grpo),
                _ => None,
            });
            let grpo = stage.expect("a GRPO stage").resolved();
            (
                (grpo.loss, grpo.importance_level, grpo.iterations),
                (grpo.epsilon, grpo.epsilon_high, grpo.delta),
                (grpo.beta, grpo.kl_estimator, grpo.kl_in),
                (grpo.baseline, grpo.scale_rewards, grpo.mask_truncated),
                (grpo.entropy_coefficient, grpo.dynamic_sampling),
            )
        };
        assert_eq!(objective(&path), objective(&twin), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 5);
}
