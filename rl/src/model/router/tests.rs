//! Choices by hand, and gradients against differences, for every kind of router.

use super::*;

/// Every kind that a family has, for eight experts.
pub(crate) fn kinds() -> Vec<(&'static str, Router)> {
    let plain = Router {
        experts: 8,
        chosen: 3,
        scores: Scores::Softmax,
        correction: false,
        groups: None,
        normalized: None,
        scale: 1.0,
    };
    let groups = |score, excluded| {
        Some(Groups {
            count: 4,
            kept: 2,
            score,
            excluded,
        })
    };
    vec![
        ("greedy", plain.clone()),
        (
            "normalized",
            Router {
                normalized: Some(0.0),
                ..plain.clone()
            },
        ),
        (
            "group_limited_greedy",
            Router {
                groups: groups(GroupScore::Largest, 0.0),
                scale: 4.0,
                ..plain.clone()
            },
        ),
        (
            "noaux_tc",
            Router {
                scores: Scores::Sigmoid,
                correction: true,
                groups: groups(GroupScore::TwoLargest, f32::NEG_INFINITY),
                normalized: Some(1e-20),
                scale: 2.5,
                ..plain.clone()
            },
        ),
        (
            "softmax of the chosen",
            Router {
                scores: Scores::SoftmaxOfChosen,
                ..plain
            },
        ),
    ]
}

fn logits(rows: usize) -> Vec<f32> {
    let value = |i: usize| 1.7 * (12.9898 * (i + 1) as f32).sin();
    (0..8 * rows).map(value).collect()
}

const CORRECTION: [f32; 8] = [0.3, -0.2, 0.0, 0.25, -0.3, 0.1, -0.1, 0.2];

#[test]
fn the_correction_chooses_and_does_not_weigh() {
    let router = Router {
        chosen: 1,
        groups: None,
        normalized: None,
        scale: 1.0,
        ..kinds()[3].1.clone()
    };
    let logits = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let mut correction = [0.0; 8];
    assert_eq!(router.routes(&logits, &correction).experts, [1]);
    correction[4] = 0.5;
    let routes = router.routes(&logits, &correction);
    assert_eq!((routes.experts, routes.weights), (vec![4], vec![0.5]));
}

#[test]
fn of_equal_experts_the_lower_are_chosen() {
    for (name, router) in kinds() {
        let routes = router.routes(&[0.25; 8], &[]);
        // Of equal groups the first two stay, and of their four experts the first three.
        assert_eq!(routes.experts, [0, 1, 2], "{name}");
    }
}

#[test]
fn groups_compete_by_what_their_family_says() {
    // Group 0 has the largest score, groups 1 and 2 the largest sums of two.
    let logits = [3.0, -9.0, 2.0, 2.0, 1.9, 1.9, -1.0, -1.0];
    let by = |score| Router {
        groups: Some(Groups {
            count: 4,
            kept: 2,
            score,
            excluded: f32::NEG_INFINITY,
        }),
        ..kinds()[3].1.clone()
    };
    let choice = |router: Router| router.routes(&logits, &[]).experts;
    assert_eq!(choice(by(GroupScore::Largest)), [0, 2, 3]);
    assert_eq!(choice(by(GroupScore::TwoLargest)), [2, 3, 4]);
    // With a correction below, excluded experts at 0 would win: those at -inf never do.
    let low = [-2.0; 8];
    let router = by(GroupScore::TwoLargest);
    assert_eq!(router.routes(&logits, &low).experts, [2, 3, 4]);
    let zero = Router {
        groups: router.groups.map(|groups| Groups {
            excluded: 0.0,
            ..groups
        }),
        ..router
    };
    assert_ne!(zero.routes(&logits, &low).experts, [2, 3, 4]);
}

#[test]
fn weights_are_normalized_and_scaled() {
    for (name, router) in kinds() {
        let routes = router.routes(&logits(5), &CORRECTION);
        for weights in routes.weights.chunks(3) {
            let sum: f32 = weights.iter().sum();
            if router.normalized.is_some() || router.scores == Scores::SoftmaxOfChosen {
                assert!((sum - router.scale).abs() < 1e-5, "{name}: {sum}");
            } else {
                assert!(sum < router.scale, "{name}: {sum}");
            }
        }
    }
}

#[test]
fn known_routes_are_the_chosen_ones_again() {
    for (name, router) in kinds() {
        let logits = logits(5);
        let routes = router.routes(&logits, &CORRECTION);
        let again = router.routes_to(&logits, routes.experts.clone());
        assert_eq!(routes, again, "{name}");
    }
}

/// With and without a gradient by the shares of all experts.
#[test]
fn gradients_are_differences() {
    let by_weights: Vec<f32> = (0..15).map(|i| (0.9 * i as f32).cos()).collect();
    let by_share: Vec<f32> = (0..8).map(|i| (1.3 * i as f32).sin()).collect();
    for (name, router) in kinds() {
        for shares in [false, true] {
            let mut logits = logits(5);
            let routes = router.routes(&logits, &CORRECTION);
            let by_shares = |row: usize| (shares && row != 1).then(|| by_share.clone());
            let ours = router.backward(&logits, &routes, &by_weights, by_shares);
            let loss = |logits: &[f32]| {
                let weights = router.routes_to(logits, routes.experts.clone()).weights;
                let products = weights.iter().zip(&by_weights);
                let mut loss: f64 = products.map(|(w, b)| f64::from(w * b)).sum();
                for (row, logits) in logits.chunks(8).enumerate() {
                    let mut own = [0.0; 8];
                    router.shares(logits, &mut own);
                    if by_shares(row).is_some() {
                        let products = own.iter().zip(&by_share);
                        loss += products.map(|(s, b)| f64::from(s * b)).sum::<f64>();
                    }
                }
                loss
            };
            for place in 0..logits.len() {
                let value = logits[place];
                logits[place] = value + 1e-2;
                let above = loss(&logits);
                logits[place] = value - 1e-2;
                let below = loss(&logits);
                logits[place] = value;
                let slope = (above - below) / 2e-2;
                let error = (f64::from(ours[place]) - slope).abs();
                // The third derivative times 1e-4 / 6, and f32 over 2e-2.
                assert!(
                    error < 2e-4,
                    "{name}, {shares}: {} for {slope}",
                    ours[place]
                );
            }
        }
    }
}

#[test]
fn numbers_that_make_no_sense_are_named() {
    let wrong = |change: fn(&mut Router)| {
        let mut router = kinds()[3].1.clone();
        router.validate().unwrap();
        change(&mut router);
        router.validate().unwrap_err().0
    };
    assert_eq!(wrong(|r| r.chosen = 9), "experts per token");
    assert_eq!(wrong(|r| r.experts = 0), "experts");
    assert_eq!(wrong(|r| r.scale = f32::NAN), "the scale of routed experts");
    assert_eq!(
        wrong(|r| r.groups.iter_mut().for_each(|g| g.kept = 5)),
        "topk_group"
    );
    assert_eq!(
        wrong(|r| r.groups.iter_mut().for_each(|g| g.count = 3)),
        "n_group"
    );
    assert_eq!(
        wrong(|r| {
            r.groups.iter_mut().for_each(|g| g.count = 8);
            r.chosen = 2;
        }),
        "n_group"
    );
    assert_eq!(
        wrong(|r| {
            r.groups.iter_mut().for_each(|g| g.kept = 1);
        }),
        "experts per token"
    );
}
