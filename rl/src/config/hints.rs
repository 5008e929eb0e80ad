//! What somebody meant who wrote a key or a value that there is none of: first by meaning, then by likeness.

use regex::Regex;

/// Words of other programs and of the field, and what they are called here; what is in brackets is a section.
///
/// Where a list of names is at hand the first of ours that is in it is proposed, else the place where it stands.
const MEANINGS: &[(&[&str], &[&str])] = &[
    // Values.
    (&["cpu", "ndarray", "candle"], &["flex"]),
    (
        &["gpu", "cuda", "metal", "mps", "vulkan", "rocm", "cuda:0"],
        &["wgpu"],
    ),
    (&["bfloat16", "fp8"], &["bf16"]),
    (&["float16", "fp16", "half"], &["f16"]),
    (&["float32", "fp32", "float"], &["f32"]),
    (&["ppo", "vanilla", "clip"], &["grpo"]),
    (&["drgrpo", "dr_grpo", "dr.grpo"], &["dr-grpo"]),
    (
        &["reinforce", "reinforce_pp", "reinforce_plus_plus", "rpp"],
        &["reinforce++"],
    ),
    (&["luffy"], &["dapo"]),
    (&["cosine_with_min_lr", "cosine_with_restarts"], &["cosine"]),
    (&["constant_with_warmup"], &["constant"]),
    (&["math_verify", "latex", "math-verify"], &["math"]),
    (&["accuracy", "exact_match", "exact-match"], &["exact"]),
    (&["think_format", "format_reward"], &["format"]),
    (&["soft_overlong_punishment", "overlong"], &["length"]),
    (&["python", "unit-tests", "execution"], &["code"]),
    (&["rejection", "best-of-n", "rft"], &["rejection-sampling"]),
    (&["rl", "ppo", "rlvr"], &["grpo"]),
    (&["finetune", "supervised", "instruct"], &["sft"]),
    // Keys of a stage.
    (
        &[
            "num_generations",
            "n",
            "group_size",
            "rollout_n",
            "num_return_sequences",
        ],
        &["group"],
    ),
    (
        &[
            "max_steps",
            "total_training_steps",
            "num_steps",
            "iterations_total",
        ],
        &["steps"],
    ),
    (
        &["num_train_epochs", "num_epochs", "total_epochs", "epoch"],
        &["epochs"],
    ),
    (
        &[
            "train_batch_size",
            "generation_batch_size",
            "rollout_batch_size",
            "num_prompts",
        ],
        &["prompts", "batch"],
    ),
    (
        &[
            "per_device_train_batch_size",
            "batch_size",
            "micro_batch_size",
        ],
        &["batch", "prompts"],
    ),
    (
        &[
            "gradient_accumulation_steps",
            "ppo_mini_batch_size",
            "steps_per_generation",
        ],
        &["mini_batches"],
    ),
    (
        &["num_iterations", "ppo_epochs", "mu", "num_inner_epochs"],
        &["iterations"],
    ),
    (&["lr", "rate", "step_size"], &["learning_rate"]),
    (
        &["lr_scheduler_type", "lr_scheduler", "scheduler"],
        &["schedule"],
    ),
    (
        &[
            "num_warmup_steps",
            "warmup",
            "lr_warmup_steps",
            "warmup_ratio",
        ],
        &["warmup_steps"],
    ),
    (
        &["loss_type", "objective", "algorithm", "adv_estimator"],
        &["loss"],
    ),
    (
        &[
            "kl_coef",
            "kl_coeff",
            "kl_loss_coef",
            "kl_beta",
            "kl_penalty",
        ],
        &["beta"],
    ),
    (&["kl_loss_type", "kl_type"], &["kl_estimator"]),
    (
        &["kl_ctrl", "kl_controller", "adaptive_kl_ctrl"],
        &["adaptive_kl"],
    ),
    (&["value_model", "value_head", "ppo"], &["critic"]),
    (&["lambda", "lambd", "gae_lambda"], &["lam"]),
    (
        &["value_clip", "vf_clip", "value_clip_range", "cliprange_vf"],
        &["cliprange_value"],
    ),
    (
        &["critic_warmup", "freezing_steps", "freezing_actor_steps"],
        &["warmup_steps"],
    ),
    (
        &[
            "cliprange",
            "clip_ratio",
            "clip_range",
            "clip_ratio_low",
            "epsilon_low",
        ],
        &["epsilon"],
    ),
    (
        &["clip_ratio_high", "cliprange_high", "clip_higher"],
        &["epsilon_high"],
    ),
    (&["clip_ratio_c"], &["delta"]),
    (
        &["entropy_coeff", "entropy_coef", "entropy_bonus"],
        &["entropy_coefficient"],
    ),
    (&["top_entropy_quantile"], &["top_entropy"]),
    (&["importance_sampling_level"], &["importance_level"]),
    (
        &["mask_truncated_completions", "overlong_filtering"],
        &["mask_truncated"],
    ),
    (
        &["ref_model_sync_steps", "sync_ref_model", "ref_update_steps"],
        &["reference_every"],
    ),
    (&["filter_groups", "dynamic_sample"], &["dynamic_sampling"]),
    (&["num_rollouts", "num_samples", "best_of"], &["samples"]),
    (&["async_steps", "off_policy_steps"], &["max_staleness"]),
    (
        &[
            "train_file",
            "train_files",
            "dataset",
            "dataset_name",
            "data_files",
            "path",
        ],
        &["file"],
    ),
    (
        &["val_files", "eval_dataset", "eval_file", "validation_file"],
        &["heldout_file"],
    ),
    (
        &[
            "max_seq_length",
            "max_seq_len",
            "cutoff_len",
            "model_max_length",
        ],
        &["max_length"],
    ),
    (&["filter_overlong_prompts", "truncation"], &["too_long"]),
    (
        &["max_prompt_length", "max_prompt_len"],
        &["max_prompt_tokens"],
    ),
    (
        &["test_size", "val_split", "validation_split"],
        &["heldout_fraction"],
    ),
    (
        &["reward_funcs", "reward_functions", "rewards"],
        &["components", "rubric"],
    ),
    // Adapters.
    (&["r", "lora_rank", "lora_r"], &["rank"]),
    (&["lora_alpha", "lora_scale"], &["alpha"]),
    (&["target_modules", "lora_target", "modules"], &["targets"]),
    // Sampling.
    (
        &[
            "max_completion_length",
            "max_new_tokens",
            "max_response_length",
            "max_length",
            "max_gen_len",
            "max_completion_tokens",
        ],
        &["max_tokens"],
    ),
    (&["temp"], &["temperature"]),
    (&["stop_strings", "stop_words", "stop_sequences"], &["stop"]),
    // The optimiser.
    (&["adam_beta1"], &["beta1"]),
    (&["adam_beta2"], &["beta2"]),
    (&["adam_epsilon", "adam_eps", "eps"], &["epsilon"]),
    (
        &["grad_clip", "max_norm", "clip_grad", "gradient_clip"],
        &["max_grad_norm"],
    ),
    (&["wd", "decay"], &["weight_decay"]),
    // The rest.
    (&["save_steps", "save_freq", "save_every"], &["every"]),
    (&["save_total_limit", "max_ckpt_to_keep"], &["keep"]),
    (&["eval_steps", "test_freq", "eval_every"], &["every"]),
    (
        &[
            "ppo_max_token_len_per_gpu",
            "max_token_len",
            "micro_batch_tokens",
        ],
        &["token_budget"],
    ),
    (
        &["gradient_checkpointing", "enable_gradient_checkpointing"],
        &["checkpoint_activations"],
    ),
    (&["num_workers", "threads", "n_jobs"], &["workers"]),
    (
        &["dtype", "torch_dtype", "load_in_4bit", "quantization"],
        &["frozen"],
    ),
    (&["random_seed"], &["seed"]),
    (
        &["model_name_or_path", "model_name", "pretrained", "name"],
        &["path"],
    ),
    (&["peft", "peft_config", "adapter"], &["lora"]),
    (&["rubric", "reward_model"], &["reward"]),
    (&["generation", "rollout", "generate"], &["sampling"]),
    (&["dataset", "train"], &["data"]),
    (&["eval", "validation", "test"], &["evaluation"]),
    (&["trainer", "training", "stage"], &["stages"]),
];

/// Where a key of ours stands, for those who wrote it, or its name elsewhere, into another section.
const PLACES: &[(&str, &str)] = &[
    ("max_tokens", "[sampling] max_tokens"),
    ("temperature", "[sampling] temperature"),
    ("top_p", "[sampling] top_p"),
    ("top_k", "[sampling] top_k"),
    ("min_p", "[sampling] min_p"),
    ("stop", "[sampling] stop"),
    ("max_prompt_tokens", "[data] max_prompt_tokens"),
    ("token_budget", "[memory] token_budget"),
    ("checkpoint_activations", "[memory] checkpoint_activations"),
    ("frozen", "[memory] frozen"),
    ("workers", "[memory] workers"),
    ("batch_rows", "[memory] batch_rows"),
    ("max_grad_norm", "[stages.optimizer] max_grad_norm"),
    ("weight_decay", "[stages.optimizer] weight_decay"),
    ("beta1", "[stages.optimizer] beta1"),
    ("beta2", "[stages.optimizer] beta2"),
    ("rank", "[lora] rank"),
    ("alpha", "[lora] alpha"),
    ("targets", "[lora] targets"),
    ("heldout_fraction", "[data] heldout_fraction"),
    ("learning_rate", "[[stages]] learning_rate"),
    ("group", "[[stages]] group"),
    ("prompts", "[[stages]] prompts"),
    ("loss", "[[stages]] loss"),
    ("beta", "[[stages]] beta"),
    ("steps", "[[stages]] steps"),
    ("epochs", "[[stages]] epochs"),
    ("seed", "seed, at the top of the file"),
    ("device", "device, at the top of the file"),
];

/// Adds to a message of serde about an unknown name the one that was meant.
pub(super) fn with_hint(message: &str) -> String {
    let Some(unknown) = unknown_key(message) else {
        return message.to_owned();
    };
    let expected = message.split_once("expected").map_or("", |(_, rest)| rest);
    let quoted = Regex::new("`([^`]*)`").expect("the pattern is fixed");
    let names: Vec<String> = quoted
        .captures_iter(expected)
        .map(|found| found[1].to_owned())
        .collect();
    match meant(&unknown, &names) {
        Some(hint) => format!("{message}\nhint: {hint}"),
        None => message.to_owned(),
    }
}

/// The key or value that a message of serde calls unknown.
pub(super) fn unknown_key(message: &str) -> Option<String> {
    let pattern = Regex::new("unknown (?:field|variant) `([^`]*)`").expect("the pattern is fixed");
    pattern.captures(message).map(|found| found[1].to_owned())
}

fn meant(unknown: &str, names: &[String]) -> Option<String> {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric() || *c == '+');
        letters.collect::<String>().to_lowercase()
    };
    // The same word, written otherwise.
    if let Some(same) = names.iter().find(|name| plain(name) == plain(unknown)) {
        return Some(format!("did you mean `{same}`?"));
    }
    let lower = unknown.to_lowercase();
    let ours = MEANINGS
        .iter()
        .filter(|(theirs, _)| theirs.contains(&lower.as_str()))
        .flat_map(|(_, ours)| *ours);
    let ours: Vec<&str> = ours.copied().collect();
    if let Some(here) = ours.iter().find(|name| names.iter().any(|n| n == *name)) {
        return Some(format!("`{unknown}` is `{here}` here"));
    }
    let mut elsewhere = ours.iter().copied().chain([lower.as_str()]);
    let place = elsewhere.find_map(|name| PLACES.iter().find(|(key, _)| *key == name));
    if let Some((_, place)) = place {
        return Some(format!("`{unknown}` stands elsewhere: {place}"));
    }
    nearest(unknown, names)
}

/// The name that looks most like `unknown`.
fn nearest(unknown: &str, names: &[String]) -> Option<String> {
    let closeness = |name: &String| strsim::jaro_winkler(unknown, name);
    let nearest = names
        .iter()
        .max_by(|a, b| closeness(a).total_cmp(&closeness(b)))?;
    // What looks like nothing that there is was not meant.
    (closeness(nearest) > 0.6).then(|| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(unknown: &str, names: &[&str]) -> String {
        let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let message = format!(
            "unknown field `{unknown}`, expected one of {}",
            listed.join(", ")
        );
        let hinted = with_hint(&message);
        hinted[message.len()..].trim().to_owned()
    }

    #[test]
    fn a_slip_gets_the_nearest() {
        let names = ["top_p", "temperature", "seed"];
        assert_eq!(
            hint("tempratur", &names),
            "hint: did you mean `temperature`?"
        );
        assert_eq!(hint("xyzzy", &names), "");
    }

    #[test]
    fn what_is_meant_comes_before_what_looks_alike() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("cpu", &["auto", "wgpu", "flex"], "`cpu` is `flex` here"),
            ("cuda", &["auto", "wgpu", "flex"], "`cuda` is `wgpu` here"),
            ("DAPO", &["grpo", "gmpo", "dapo"], "did you mean `dapo`?"),
            ("Dr_GRPO", &["grpo", "dr-grpo"], "did you mean `dr-grpo`?"),
            (
                "lora_alpha",
                &["rank", "alpha", "targets"],
                "`lora_alpha` is `alpha` here",
            ),
            ("r", &["rank", "alpha", "targets"], "`r` is `rank` here"),
            (
                "num_generations",
                &["steps", "prompts", "group"],
                "`num_generations` is `group` here",
            ),
            (
                "batch_size",
                &["steps", "prompts", "group"],
                "`batch_size` is `prompts` here",
            ),
            (
                "batch_size",
                &["steps", "batch"],
                "`batch_size` is `batch` here",
            ),
            (
                "max_completion_length",
                &["steps", "prompts", "group"],
                "`max_completion_length` stands elsewhere: [sampling] max_tokens",
            ),
            (
                "temperature",
                &["steps", "group"],
                "`temperature` stands elsewhere: [sampling] temperature",
            ),
        ];
        for (unknown, names, expected) in cases {
            assert_eq!(
                hint(unknown, names),
                format!("hint: {expected}"),
                "{unknown}"
            );
        }
    }

    /// A name that no section has would send people looking.
    #[test]
    fn what_is_proposed_exists() {
        let sources = [
            include_str!("../stages/grpo/config.rs"),
            include_str!("../stages/grpo/critic/config.rs"),
            include_str!("../stages/grpo/objective.rs"),
            include_str!("../stages/sft/config.rs"),
            include_str!("../stages/config.rs"),
            include_str!("../model/lora.rs"),
            include_str!("../model/precision.rs"),
            include_str!("../generation/sampling.rs"),
            include_str!("../learner/memory.rs"),
            include_str!("../learner/optimizer.rs"),
            include_str!("../tasks/section.rs"),
            include_str!("../bundle/section.rs"),
            include_str!("../device.rs"),
            include_str!("mod.rs"),
        ];
        let all = sources.concat();
        let is_there = |name: &str| {
            let variant: String = name
                .split(['-', '_', '+'])
                .map(|part| {
                    let mut letters = part.chars();
                    let first = letters.next().map(|c| c.to_ascii_uppercase());
                    first.into_iter().chain(letters).collect::<String>()
                })
                .collect();
            all.contains(&format!("pub {name}:"))
                || all.contains(&format!("\"{name}\""))
                || all.contains(&format!("    {variant}"))
        };
        let judges = [
            "exact",
            "math",
            "format",
            "length",
            "code",
            "components",
            "rubric",
            "samples",
            "every",
            "keep",
        ];
        for name in MEANINGS.iter().flat_map(|(_, ours)| *ours) {
            assert!(is_there(name) || judges.contains(name), "{name}");
        }
        for (name, _) in PLACES {
            assert!(is_there(name), "{name}");
        }
    }
}
