//! What must hold for any answer.

use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

/// A polynomial with rational coefficients, as text: it has a value everywhere.
fn polynomial() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0i32..40).prop_map(|n| n.to_string()),
        (1i32..30, 1i32..9).prop_map(|(n, d)| format!("\\frac{{{n}}}{{{d}}}")),
        (1i32..999).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        prop::sample::select(vec!["x", "y", "z_1", "\\alpha"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} + {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} - ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) \\cdot ({b})")),
            (inner.clone(), 0u32..4).prop_map(|(a, n)| format!("({a})^{{{n}}}")),
            (inner.clone(), 1i32..9).prop_map(|(a, n)| format!("\\frac{{{a}}}{{{n}}}")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
}

/// A constant that need not have a value.
fn constant() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0i32..60).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "\\pi",
            "e",
            "i",
            "\\frac12",
            "0.75",
            "1011_2",
            "30^\\circ"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 10, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) + ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) \\times ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
            inner.clone().prop_map(|a| format!("\\sqrt{{{a}}}")),
            inner.clone().prop_map(|a| format!("\\sqrt[3]{{{a}}}")),
            inner.clone().prop_map(|a| format!("\\sin({a})")),
            inner.clone().prop_map(|a| format!("\\ln({a})")),
            (inner, 0u32..5).prop_map(|(a, n)| format!("({a})^{{{n}}}")),
        ]
    })
}

/// Answers of all kinds, made of scalars.
fn answer() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![polynomial(), constant()].boxed();
    let many = prop::collection::vec(scalar.clone(), 2..4);
    prop_oneof![
        4 => scalar.clone(),
        1 => many.clone().prop_map(|items| format!("({})", items.join(", "))),
        1 => many.clone().prop_map(|items| format!("\\{{{}\\}}", items.join(", "))),
        1 => many.prop_map(|items| items.join(" \\text{ or } ")),
        1 => (scalar.clone(), scalar.clone()).prop_map(|(a, b)| format!("[{a}, {b})")),
        1 => (scalar.clone(), scalar.clone()).prop_map(|(a, b)| format!("{a} = {b}")),
        1 => (scalar.clone(), scalar.clone()).prop_map(|(a, b)| format!("{a} \\leq {b}")),
        1 => (scalar.clone(), scalar.clone()).prop_map(|(a, b)| format!("{a} : {b}")),
        1 => scalar.clone().prop_map(|a| format!("1 \\pm ({a})")),
        1 => scalar.clone().prop_map(|a| format!("({a}) \\text{{ cm}}^2")),
        1 => scalar.clone().prop_map(|a| format!("({a})\\%")),
        1 => (scalar.clone(), scalar).prop_map(|(a, b)| format!("\\begin{{pmatrix}} {a} & 1 \\\\ 0 & {b} \\end{{pmatrix}}")),
    ]
}

/// Text out of pieces that answers are made of, in no order.
fn debris() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    let pieces = vec![
        "\\frac", "\\sqrt", "\\text", "\\left", "\\right", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "\\boxed", "{", "}", "(", ")",
        "[", "]", "\\{", "\\}", "|", "^", "_", "+", "-", "*", "/", "=", "<", ">", "\\le", ",", ";", ":", "!", "%", "'", "&", "$", "~", "1",
        "23", "4.5", ".6", "1e9", "x", "sin", "\\ln", "\\sum_{k=1}^", "\\int", "dx", "\\pm", "\\cup", "\\infty", "i", "e", "\\pi", "and",
        "or", "cm", "percent", "am", "the answer is", "½", "√", "²", "∞", "≤", "顿", "\u{301}", "\u{0}", " ", "\n", "**", "#### ", "<think>",
        "</think>", "<answer>", "</answer>", "\\zzz", "\\", "°", "€", "\\overline{3}", "base", "2",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

fn name(gold: &str, pred: &str) -> &'static str {
    judge(gold, pred, &MathOptions::default()).verdict.name()
}

/// The same cases at every run, so that a test that failed fails again; `PROPTEST_RNG_SEED=N` tries others.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        chosen => chosen,
    };
    ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed,
        ..default
    }
}

/// Found by the test of debris below.
#[test]
fn a_power_of_the_letter_o_is_no_degree() {
    for text in ["1**or", "x^{(o)}", "2^{(o)} + 1"] {
        let first = parse(text).unwrap();
        let printed = first.to_string();
        assert_eq!(parse(&printed), Ok(first), "{text} printed as {printed}");
    }
}

/// Found by the test of order below: one item that is none of the others settles it, on either side.
#[test]
fn doubt_about_one_item_does_not_hide_another() {
    for (left, right) in [
        (r"\{2, \sqrt[3]{\sin(\pi)}\}", r"\{0, 3\}"),
        (r"\sqrt{\sin(4)} \text{ or } 0", r"\{\frac{1}{1}, x\}"),
        (
            r"1 \pm (0)",
            r"\frac{\frac{6}{4}}{4} \text{ or } \ln(\ln(0))",
        ),
    ] {
        assert_eq!(name(left, right), "different", "{left} | {right}");
        assert_eq!(name(right, left), "different", "{right} | {left}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_printed_reads_back_the_same(text in answer()) {
        let first = parse(&text).unwrap();
        let printed = first.to_string();
        let second = parse(&printed);
        prop_assert_eq!(second.as_ref(), Ok(&first), "{} printed as {}", text, printed);
        prop_assert_eq!(second.unwrap().to_string(), printed);
    }

    #[test]
    fn debris_that_reads_reads_back_the_same(text in debris()) {
        if let Ok(first) = parse(&text) {
            let printed = first.to_string();
            prop_assert_eq!(parse(&printed), Ok(first), "{} printed as {}", text, printed);
        }
    }

    #[test]
    fn an_answer_is_never_different_from_itself(text in answer()) {
        prop_assert_eq!(name(&text, &text), "equal");
        let printed = parse(&text).unwrap().to_string();
        prop_assert_ne!(name(&text, &printed), "different", "{}", printed);
    }

    #[test]
    fn order_makes_no_difference(left in answer(), right in answer()) {
        prop_assert_eq!(name(&left, &right), name(&right, &left), "{} | {}", left, right);
    }

    #[test]
    fn rewritten_polynomials_stay_equal(a in polynomial(), b in polynomial(), c in 1i32..20) {
        let rewrites = [
            (format!("{a} + {b}"), format!("{b} + {a}")),
            (format!("({a})({b})"), format!("({b}) \\cdot ({a})")),
            (format!("({a}) - ({b})"), format!("-(({b}) - ({a}))")),
            (format!("({a} + {b})^2"), format!("({a})^2 + 2({a})({b}) + ({b})^2")),
            (format!("({a})({b} + {c})"), format!("({a})({b}) + {c}({a})")),
            (a.clone(), format!("\\frac{{{c}({a})}}{{{c}}}")),
            (a.clone(), format!("({a}) + ({b}) - ({b})")),
            (a.clone(), format!("--({a})")),
        ];
        for (left, right) in rewrites {
            // Powers of powers of decimals may go past what a judgement may cost.
            match left.len() + right.len() {
                ..100 => prop_assert_eq!(name(&left, &right), "equal", "{} | {}", left, right),
                _ => prop_assert_ne!(name(&left, &right), "different", "{} | {}", left, right),
            }
        }
    }

    #[test]
    fn perturbed_polynomials_are_different(a in polynomial(), b in polynomial(), c in 1i32..1000) {
        for right in [format!("({a}) + {c}"), format!("({a}) - \\frac{{1}}{{{c}}}"), format!("({a}) + x^2 + 1")] {
            prop_assert_eq!(name(&a, &right), "different", "{} | {}", a, right);
        }
        let (left, right) = (format!("({a}, {b})"), format!("({a}, {b} + {c})"));
        prop_assert_eq!(name(&left, &right), "different");
    }

    #[test]
    fn rewritten_constants_are_never_different(a in constant(), b in constant()) {
        let rewrites = [
            (format!("({a}) + ({b})"), format!("({b}) + ({a})")),
            (format!("({a})({b})"), format!("({b})({a})")),
            (a.clone(), format!("(\\sqrt{{{a}}})^2")),
            (a.clone(), format!("({a}) + \\sin^2(1) + \\cos^2(1) - 1")),
            (format!("(({a}) - ({b}))(({a}) + ({b}))"), format!("({a})^2 - ({b})^2")),
        ];
        for (left, right) in rewrites {
            prop_assert_ne!(name(&left, &right), "different", "{} | {}", left, right);
        }
    }

    #[test]
    fn perturbed_constants_are_never_equal(a in constant(), digits in 1usize..40) {
        let right = format!("({a}) + 0.{}1", "0".repeat(digits));
        prop_assert_ne!(name(&a, &right), "equal", "{}", right);
    }

    #[test]
    fn nothing_panics_or_outspends_its_budget(gold in debris(), pred in debris(), steps in 0u32..5000) {
        for form in [Form::Auto, Form::Answer, Form::Completion] {
            let options = MathOptions { form, steps, ..MathOptions::default() };
            let judgement = judge(&gold, &pred, &options);
            prop_assert!(judgement.steps <= steps);
            let _ = (judgement.gold_parsed(), judgement.pred_parsed());
        }
    }
}
