use super::*;

/// Pairs with margins of both signs, none near the corner of the hinge or a tie of AOT's orders.
fn pairs() -> Vec<PairScores> {
    let all = [
        ((-3.0, -4.0, 5), (-9.0, -6.5, 3), 1.0),
        ((-12.0, -7.0, 2), (-4.0, -5.0, 9), 1.0),
        ((-6.0, -6.5, 4), (-7.0, -6.0, 4), 0.5),
        ((-2.0, -14.0, 6), (-22.0, -9.0, 1), 1.0),
    ];
    all.map(|((a, b, n), (c, d, m), label)| PairScores {
        label,
        ..PairScores::new(Side::new(a, b, n), Side::new(c, d, m))
    })
    .to_vec()
}

/// Losses without a reference see none.
fn pairs_of(loss: &PreferenceLoss) -> Vec<PairScores> {
    let mut pairs = pairs();
    if !loss.loss_type.has_reference() {
        for pair in &mut pairs {
            pair.chosen.reference = 0.0;
            pair.rejected.reference = 0.0;
        }
    }
    pairs
}

fn variants() -> Vec<PreferenceLoss> {
    let all = LossType::ALL
        .into_iter()
        .filter(|&loss| loss != LossType::Kto);
    let mut variants = Vec::new();
    for loss in all {
        for (beta, smoothing) in [(0.1, None), (0.8, Some(0.15))] {
            let named = PreferenceLoss::named(loss);
            variants.push(PreferenceLoss {
                beta,
                label_smoothing: smoothing.unwrap_or(named.label_smoothing),
                discopop_tau: 0.4,
                ..named
            });
        }
        variants.push(PreferenceLoss {
            length: Length::Mean,
            ..PreferenceLoss::named(loss)
        });
    }
    variants
}

fn value(loss: &PreferenceLoss, pairs: &[PairScores]) -> f64 {
    loss.of_pairs(pairs)
        .iter()
        .map(|derived| derived.value)
        .sum()
}

/// Central differences of every loss by every side.
#[test]
fn derivatives_are_those_of_the_value() {
    let h = 1e-5;
    for loss in variants() {
        let at = pairs_of(&loss);
        for (index, derived) in loss.of_pairs(&at).into_iter().enumerate() {
            let moved = |by: f64, chosen: bool| {
                let mut pairs = at.clone();
                let pair = &mut pairs[index];
                let side = if chosen {
                    &mut pair.chosen
                } else {
                    &mut pair.rejected
                };
                side.policy += by;
                value(&loss, &pairs)
            };
            for (chosen, ours) in [(true, derived.by_chosen), (false, derived.by_rejected)] {
                let slope = (moved(h, chosen) - moved(-h, chosen)) / (2.0 * h);
                let error = (slope - ours).abs();
                assert!(
                    error < 1e-6 * slope.abs().max(1e-2),
                    "{loss:?} {index}: {slope} {ours}"
                );
            }
        }
    }
}

#[test]
fn dpo_begins_at_the_logarithm_of_two_and_a_tie_has_no_side() {
    let same = Side::new(-5.0, -5.0, 4);
    let dpo = PreferenceLoss::named(LossType::Sigmoid);
    let [found] = dpo.of_pairs(&[PairScores::new(same, same)])[..] else {
        panic!("one pair, one loss");
    };
    assert!((found.value - 2f64.ln()).abs() < 1e-12);
    assert!((found.by_chosen + 0.05).abs() < 1e-12, "{found:?}");
    for loss in variants() {
        let tie = PairScores {
            label: 0.5,
            ..PairScores::new(Side::new(-3.0, -4.0, 4), Side::new(-6.0, -5.0, 4))
        };
        let turned = PairScores {
            chosen: tie.rejected,
            rejected: tie.chosen,
            ..tie
        };
        let (one, other) = (value(&loss, &[tie]), value(&loss, &[turned]));
        assert!((one - other).abs() < 1e-12, "{loss:?}");
    }
}

/// Log-probabilities that are far apart give neither NaN nor infinity, where the loss itself is finite.
#[test]
fn far_apart_is_finite() {
    for loss in variants() {
        // e^{−x} is what DiscoPOP's paper has: it overflows beyond 700.
        let far = if loss.loss_type == LossType::Discopop {
            100.0
        } else {
            1e5
        };
        for (c, r) in [(-far, 0.0), (0.0, -far), (-far, -far)] {
            let pair = PairScores::new(Side::new(c, -1.0, 1), Side::new(r, -1.0, 1));
            for found in loss.of_pairs(&[pair]) {
                let all = [found.value, found.by_chosen, found.by_rejected];
                assert!(
                    all.iter().all(|x| x.is_finite()),
                    "{loss:?} {c} {r}: {found:?}"
                );
            }
        }
    }
    let nan = PairScores::new(Side::new(f64::NAN, 0.0, 1), Side::default());
    let dpo = PreferenceLoss::named(LossType::Sigmoid);
    assert!(value(&dpo, &[nan]).is_nan(), "NaN does not become a number");
}
