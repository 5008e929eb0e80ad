use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::stages::{
    StepMetrics, distill::DistillMetrics, grpo::GrpoMetrics, pairs::PairsMetrics,
    preference::PreferenceMetrics, rejection::RejectionMetrics, reward_model::RewardModelMetrics,
    sft::SftMetrics,
};

const PAGE: &str = "docs/metrics.md";

/// `DUNWU_WRITE_DOCS=1` writes the page anew.
#[test]
fn the_page_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let rendered = render(&page).unwrap();
    if std::env::var_os("DUNWU_WRITE_DOCS").is_some() {
        std::fs::write(&path, &rendered).unwrap();
    } else {
        assert!(
            page == rendered,
            "rl/{PAGE} is stale: run this test with DUNWU_WRITE_DOCS=1"
        );
    }
    assert_eq!(render(&rendered).unwrap(), rendered, "rendering is stable");
}

/// What is written and what is explained are the same keys, in the same order.
#[test]
fn every_key_of_a_line_is_explained() {
    let line = |kind, metrics: &dyn StepMetrics| MetricsLine {
        step: 1,
        stage: 0,
        heldout_accuracy: Some(0.5),
        heldout_accuracy_interval: Some(Default::default()),
        peak_memory_bytes: Some(1),
        flops: Some(1.0),
        energy_wh: Some(1.0),
        energy_source: Some(crate::cost::EnergySource::Rapl),
        cost: Some(1.0),
        alarms: vec!["one".to_owned()],
        kind,
        metrics: metrics.figures().unwrap(),
    };
    let grpo = GrpoMetrics {
        kl: Some(0.0),
        kl_reward: Some(0.0),
        kl_coef: Some(0.0),
        value_loss: Some(0.0),
        explained_variance: Some(0.0),
        value_clip_fraction: Some(0.0),
        value_mean: Some(0.0),
        return_mean: Some(0.0),
        critic_grad_norm: Some(0.0),
        critic_learning_rate: Some(0.0),
        skipped_prompts: Some(0),
        unjudged_by: Some(Default::default()),
        reference_age: Some(0),
        correction_mean: Some(1.0),
        correction_clipped: Some(0.0),
        expert_load: Some(1.0),
        router_entropy: Some(1.0),
        idle_experts: Some(0.0),
        routes_changed: Some(0.0),
        ..GrpoMetrics::default()
    };
    let sft = SftMetrics {
        heldout_loss: Some(0.0),
        expert_load: Some(1.0),
        router_entropy: Some(1.0),
        idle_experts: Some(0.0),
        ..SftMetrics::default()
    };
    let rejection = RejectionMetrics::default();
    let distill = DistillMetrics {
        reverse_kl: Some(0.0),
        agreement: Some(1.0),
        length_mean: Some(1.0),
        truncated: Some(0.0),
        reward_mean: Some(0.0),
        pass_rate: Some(0.0),
        failed_judgements: Some(0),
        teacher_tokens: Some(0),
        teacher_cost: Some(0.0),
        ..DistillMetrics::default()
    };
    let pairs = PairsMetrics::default();
    let preference = PreferenceMetrics {
        sft_loss: Some(0.0),
        kl: Some(0.0),
        chosen_log_ratio: Some(0.0),
        rejected_log_ratio: Some(0.0),
        heldout_loss: Some(0.0),
        heldout_accuracies: Some(0.0),
        heldout_margins: Some(0.0),
        ..PreferenceMetrics::default()
    };
    let reward_model = RewardModelMetrics {
        heldout_loss: Some(0.0),
        heldout_accuracy_pairs: Some(0.0),
        heldout_accuracy_longer_chosen: Some(0.0),
        heldout_accuracy_shorter_chosen: Some(0.0),
        heldout_calibration_error: Some(0.0),
        ..RewardModelMetrics::default()
    };
    let metrics = |kind| -> &dyn StepMetrics {
        match kind {
            StageKind::Grpo => &grpo,
            StageKind::Sft => &sft,
            StageKind::RejectionSampling => &rejection,
            StageKind::Distill => &distill,
            StageKind::Pairs => &pairs,
            StageKind::Preference => &preference,
            StageKind::RewardModel => &reward_model,
        }
    };
    for &kind in StageKind::ALL {
        let value = serde_json::to_value(line(kind, metrics(kind))).unwrap();
        let kind = kind.name();
        assert_eq!(value["kind"], kind);
        let written: Vec<&String> = value.as_object().unwrap().keys().collect();
        let of_kind = |table: &&Table| {
            table.name == "step"
                || table.name == "kind"
                || table.name == kind
                || table.name.starts_with(&format!("{kind}-"))
        };
        let all = tables();
        let explained: Vec<&str> = all
            .iter()
            .filter(of_kind)
            .flat_map(|table| table.metrics.iter().map(|metric| metric.key))
            .collect();
        assert_eq!(written, explained, "{kind}");
        assert!(written.iter().all(|key| explain(kind, key).is_some()));
    }
}

/// A missing value leaves its key out only where the glossary says that this can be.
#[test]
fn what_is_left_out_is_optional() {
    let keys = |metrics: &GrpoMetrics| -> BTreeSet<String> {
        let value = serde_json::to_value(metrics).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let written = keys(&GrpoMetrics::default());
    for metric in GrpoMetrics::TABLES.iter().flat_map(|table| table.metrics) {
        assert_eq!(
            written.contains(metric.key),
            !metric.is_optional(),
            "{}",
            metric.key
        );
    }
}

#[test]
fn measurements_are_told_by_their_names() {
    let measured: BTreeSet<&str> = tables()
        .iter()
        .flat_map(|table| table.metrics)
        .filter(|metric| metric.is_measurement())
        .map(|metric| metric.key)
        .collect();
    for key in [
        "peak_memory_bytes",
        "step_s",
        "trained_tokens_per_s",
        "energy_wh",
        "cost",
    ] {
        assert!(measured.contains(key), "{key}");
    }
    for metric in tables().iter().flat_map(|table| table.metrics) {
        let of_machine = matches!(metric.unit, "s" | "tokens/s" | "bytes" | "Wh" | "money")
            || metric.key == "energy_source";
        assert_eq!(metric.is_measurement(), of_machine, "{}", metric.key);
        assert!(metric.otherwise.is_empty() || !metric.formula.is_empty());
    }
}

#[test]
fn wrong_markers_are_named() {
    let unknown = render("<!-- table: nothing -->\n<!-- end -->");
    assert_eq!(unknown, Err(PageError::Unknown("nothing".to_owned())));
    let open = render("<!-- table: step -->\n| key |");
    assert_eq!(open, Err(PageError::Open("step".to_owned())));
    let missing = render("nothing is here");
    assert_eq!(missing, Err(PageError::Missing("alarms".to_owned())));
}

#[test]
fn a_line_is_shown_with_its_meaning() {
    let line = serde_json::json!({"step": 3, "kind": "sft", "loss": 0.25, "mine": 1});
    let text = plain_line(&line);
    assert!(
        text.contains("loss = 0.25 (nats)\n    mean negative log-likelihood"),
        "{text}"
    );
    assert!(text.contains("mine = 1"), "{text}");
    assert!(plain().contains("zero_variance_groups (share)"));
}
