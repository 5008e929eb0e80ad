use super::*;
use crate::stages::{StepMetrics, grpo::GrpoMetrics, sft::SftMetrics};

const NEVER: [usize; 0] = [];

/// A step of a run in good health.
fn healthy() -> GrpoMetrics {
    GrpoMetrics {
        reward_mean: 0.6,
        reward_std: 0.4,
        pass_rate: 0.55,
        zero_variance_groups: 0.2,
        completions: 64,
        length_mean: 40.0,
        entropy: 0.4,
        mismatch_mean: 1e-6,
        grad_norm: 1.0,
        trained_tokens: 1000,
        ..GrpoMetrics::default()
    }
}

/// The steps at which alarms of a kind go off, counted from 1.
fn steps_of(kind: AlarmKind, steps: &[GrpoMetrics]) -> Vec<usize> {
    let raised = raised(steps);
    let of_kind = raised.into_iter().filter(|(_, alarm)| alarm.kind == kind);
    of_kind.map(|(step, _)| step).collect()
}

fn raised(steps: &[GrpoMetrics]) -> Vec<(usize, Alarm)> {
    let (mut monitor, config) = (Monitor::default(), AlarmsSection::default());
    let mut all = Vec::new();
    for (index, metrics) in steps.iter().enumerate() {
        let alarms = monitor.watch(&config, 1, &metrics.vitals());
        all.extend(alarms.into_iter().map(|alarm| (index + 1, alarm)));
    }
    all
}

/// `count` steps, each a change of a healthy one.
fn run(count: usize, change: impl Fn(usize, &mut GrpoMetrics)) -> Vec<GrpoMetrics> {
    (0..count)
        .map(|index| {
            let mut metrics = healthy();
            change(index, &mut metrics);
            metrics
        })
        .collect()
}

#[test]
fn a_healthy_run_raises_none() {
    // Noise of the size that 64 completions have, and a slow rise.
    let steps = run(200, |index, m| {
        let noise = [0.03, -0.05, 0.0, 0.04, -0.02][index % 5];
        m.reward_mean = 0.3 + 0.002 * index as f64 + noise;
        m.length_mean = 40.0 + 5.0 * noise;
    });
    assert_eq!(raised(&steps), []);
}

/// The quickstart: entropy falls to 0.03 and length doubles while nearly all answers become right.
#[test]
fn success_is_no_alarm() {
    let steps = run(200, |index, m| {
        let done = (index as f64 / 60.0).min(1.0);
        m.entropy = 0.17 - 0.15 * done;
        m.pass_rate = 0.3 + 0.69 * done;
        m.reward_mean = m.pass_rate + 0.1;
        m.reward_std = 0.3 * (1.0 - done) + 0.02;
        m.zero_variance_groups = done;
        m.length_mean = 18.0 + 130.0 * done;
    });
    assert_eq!(raised(&steps), []);
}

#[test]
fn no_number_stops_at_once() {
    let steps = run(3, |index, m| {
        if index == 1 {
            m.loss = f64::NAN;
            m.grad_norm = f64::NAN;
        }
        if index == 2 {
            m.grad_norm = f64::INFINITY;
        }
    });
    let alarms = raised(&steps);
    let told: Vec<String> = alarms.iter().map(|(_, alarm)| alarm.to_string()).collect();
    assert_eq!(
        told,
        [
            "not_finite: the loss is NaN; nothing was updated by it",
            "not_finite: the gradient norm is inf, 2 steps in a row; nothing was updated by it",
        ]
    );
    assert!(alarms.iter().all(|(_, alarm)| alarm.stops));

    let sft = SftMetrics {
        loss: f64::NAN,
        ..SftMetrics::default()
    };
    let mut config = AlarmsSection::default();
    config.not_finite.action = AlarmAction::Off;
    let mut monitor = Monitor::default();
    let mut stops = Vec::new();
    for _ in 0..5 {
        let alarms = monitor.watch(&config, 0, &sft.vitals());
        stops.push(alarms.iter().any(|alarm| alarm.stops));
    }
    assert_eq!(stops, [false, false, false, false, true]);
}

#[test]
fn equal_rewards_alarm_unless_the_tasks_are_solved() {
    let kind = AlarmKind::ConstantReward;
    let same = |pass_rate: f64| {
        run(45, move |_, m| {
            m.zero_variance_groups = 1.0;
            m.pass_rate = pass_rate;
            (m.entropy, m.trained_tokens) = (f64::NAN, 0);
        })
    };
    assert_eq!(steps_of(kind, &same(0.0)), [20, 40]);
    assert_eq!(steps_of(kind, &same(f64::NAN)), [20, 40]);
    assert_eq!(steps_of(kind, &same(0.96)), NEVER);
    // One group that differs, and it begins anew.
    let broken = run(45, |index, m| {
        m.zero_variance_groups = if index == 10 { 0.9 } else { 1.0 };
    });
    assert_eq!(steps_of(kind, &broken), [31]);
    let alarm = &raised(&same(0.0))[0].1;
    assert_eq!(
        alarm.to_string(),
        "constant_reward: no group had two different rewards (mean 0.600, 0.0 % right), 20 steps in a row"
    );
    assert!(alarm.stops);
}

#[test]
fn failing_judges_alarm_and_undecided_ones_do_not() {
    let failing = run(6, |_, m| m.failed_judgements = 32);
    assert_eq!(steps_of(AlarmKind::FailedJudges, &failing), [5]);
    let few = run(20, |_, m| m.failed_judgements = 31);
    assert_eq!(raised(&few), []);
    let undecided = run(40, |_, m| m.undecided_judgements = 40);
    assert_eq!(raised(&undecided), []);
    // Without any verdict nothing is known of the rewards.
    let none = run(30, |_, m| {
        (m.failed_judgements, m.zero_variance_groups) = (64, 1.0);
        (m.reward_mean, m.pass_rate) = (f64::NAN, f64::NAN);
    });
    assert_eq!(steps_of(AlarmKind::ConstantReward, &none), NEVER);
}

#[test]
fn a_policy_that_answers_the_same_and_wrong_has_collapsed() {
    let kind = AlarmKind::EntropyCollapse;
    let collapsed = |entropy: f64, same: f64, right: f64| {
        run(25, move |_, m| {
            m.entropy = entropy;
            m.zero_variance_groups = same;
            m.pass_rate = right;
        })
    };
    assert_eq!(steps_of(kind, &collapsed(0.01, 0.9, 0.4)), [10, 20]);
    assert_eq!(steps_of(kind, &collapsed(0.01, 0.5, 0.4)), NEVER);
    assert_eq!(steps_of(kind, &collapsed(0.01, 0.9, 0.98)), NEVER);
    assert_eq!(steps_of(kind, &collapsed(0.2, 0.9, 0.4)), NEVER);
    // Steps on which entropy was not measured neither count nor break a row.
    let gaps = run(25, |index, m| {
        m.entropy = if index % 2 == 0 { 0.01 } else { f64::NAN };
        (m.zero_variance_groups, m.pass_rate) = (0.9, 0.4);
    });
    assert_eq!(steps_of(kind, &gaps), [19]);
}

#[test]
fn length_that_grows_without_reward_runs_away() {
    let kind = AlarmKind::RunawayLength;
    let longer = |gain: f64| {
        run(80, move |index, m| {
            m.length_mean = 40.0 * 1.03_f64.powi(index as i32);
            m.reward_mean = 0.5 + gain * index as f64;
        })
    };
    let alarms = steps_of(kind, &longer(0.0));
    assert!(alarms.first().is_some_and(|&step| step >= 40), "{alarms:?}");
    assert!(alarms.windows(2).all(|pair| pair[1] - pair[0] >= 20));
    assert_eq!(steps_of(kind, &longer(0.001)), NEVER);
    // Long, but no longer growing.
    let level = run(120, |index, m| {
        m.length_mean = 40.0 * (1.0 + 0.1 * index.min(25) as f64);
        m.reward_mean = 0.3 + 0.01 * index.min(50) as f64;
    });
    assert_eq!(steps_of(kind, &level), NEVER);
    let cut = |start: f64| {
        run(80, move |index, m| {
            m.truncated = if index < 30 { start } else { 0.7 };
            m.reward_mean = 0.5 - 0.001 * index as f64;
        })
    };
    assert!(!steps_of(kind, &cut(0.05)).is_empty());
    // As long as it always was.
    assert_eq!(steps_of(kind, &cut(0.7)), NEVER);
}

#[test]
fn a_reward_that_is_lost_again_has_collapsed() {
    let kind = AlarmKind::RewardCollapse;
    let falls_to = |low: f64| {
        run(100, move |index, m| {
            m.reward_mean = if index < 50 { 0.8 } else { low };
        })
    };
    assert!(!steps_of(kind, &falls_to(0.2)).is_empty());
    assert_eq!(steps_of(kind, &falls_to(0.5)), NEVER);
    // Rewards from -1 on: half of what was won is half of the way.
    let below_zero = |low: f64| {
        run(150, move |index, m| {
            m.reward_mean = [-0.9, 0.5, low][index / 50];
        })
    };
    assert!(!steps_of(kind, &below_zero(-0.5)).is_empty());
    assert_eq!(steps_of(kind, &below_zero(0.0)), NEVER);
    // A fall that so few completions with such a spread show by chance.
    let noise = run(60, |index, m| {
        (m.reward_std, m.completions) = (1.0, 4);
        m.reward_mean = if index < 30 { 0.3 } else { 0.05 };
    });
    assert_eq!(steps_of(kind, &noise), NEVER);
}

#[test]
fn distance_and_disagreement_alarm() {
    let far = run(7, |_, m| m.kl = Some(1.5));
    assert_eq!(steps_of(AlarmKind::KlExplosion, &far), [5]);
    let in_reward = run(7, |_, m| (m.kl, m.kl_reward) = (Some(0.1), Some(2.0)));
    assert_eq!(steps_of(AlarmKind::KlExplosion, &in_reward), [5]);
    let differing = run(7, |_, m| m.mismatch_mean = 0.02);
    assert_eq!(steps_of(AlarmKind::Mismatch, &differing), [3, 6]);
    let stale = run(7, |_, m| (m.mismatch_mean, m.staleness_max) = (0.02, 1));
    assert_eq!(steps_of(AlarmKind::Mismatch, &stale), NEVER);
}

#[test]
fn what_is_off_is_quiet() {
    let mut config = AlarmsSection::default();
    config.constant_reward.action = AlarmAction::Off;
    let mut monitor = Monitor::default();
    for metrics in run(50, |_, m| m.zero_variance_groups = 1.0) {
        assert_eq!(monitor.watch(&config, 0, &metrics.vitals()), []);
    }
}

/// A run that is saved and read again after every step raises the same alarms at the same steps.
#[test]
fn a_monitor_goes_through_a_checkpoint() {
    let steps = run(120, |index, m| {
        m.reward_mean = 0.1 + 0.7 / (1.0 + (index as f64 - 60.0).abs());
        m.length_mean = 40.0 * 1.03_f64.powi(index as i32);
        m.truncated = 1.0 / 3.0;
        m.mismatch_mean = if index % 7 < 4 { 0.1 } else { 0.0 };
    });
    let config = AlarmsSection::default();
    let mut monitor = Monitor::default();
    let mut alarms = Vec::new();
    for (index, metrics) in steps.iter().enumerate() {
        let text = serde_json::to_string(&monitor).unwrap();
        let read: Monitor = serde_json::from_str(&text).unwrap();
        assert_eq!(read, monitor);
        monitor = read;
        let raised = monitor.watch(&config, 1, &metrics.vitals());
        alarms.extend(raised.into_iter().map(|alarm| (index + 1, alarm)));
    }
    assert!(!alarms.is_empty());
    assert_eq!(alarms, raised(&steps));
    // Another stage begins anew.
    monitor.watch(&config, 2, &healthy().vitals());
    let mut fresh = Monitor::default();
    fresh.watch(&config, 2, &healthy().vitals());
    assert_eq!(monitor, fresh);
}

#[test]
fn thresholds_are_checked() {
    let refused = |change: fn(&mut AlarmsSection), named: &str| {
        let mut config = AlarmsSection::default();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert!(error.contains(named), "{error}");
    };
    assert_eq!(AlarmsSection::default().validate(), Ok(()));
    refused(|c| c.window = 0, "alarms.window = 0");
    refused(|c| c.solved = 1.5, "alarms.solved = 1.5");
    refused(
        |c| c.runaway_length.growth = 1.0,
        "runaway_length.growth = 1",
    );
    refused(
        |c| c.kl_explosion.above = f64::NAN,
        "kl_explosion.above = NaN",
    );
    refused(|c| c.mismatch.steps = 0, "alarms.mismatch.steps = 0");
}

#[test]
fn experts_without_tokens_are_told() {
    let idle = |share| move |_: usize, m: &mut GrpoMetrics| m.idle_experts = Some(share);
    assert_eq!(
        steps_of(AlarmKind::IdleExperts, &run(50, idle(0.3))),
        [20, 40]
    );
    assert_eq!(steps_of(AlarmKind::IdleExperts, &run(50, idle(0.2))), NEVER);
    let now_and_then = run(50, |index, m| {
        m.idle_experts = Some((index % 15) as f64 / 15.0)
    });
    assert_eq!(steps_of(AlarmKind::IdleExperts, &now_and_then), NEVER);
    let supervised = SftMetrics {
        idle_experts: Some(1.0),
        ..SftMetrics::default()
    };
    assert_eq!(supervised.vitals().idle_experts, Some(1.0));
}
