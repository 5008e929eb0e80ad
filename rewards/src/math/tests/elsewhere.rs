//! Cases of other checkers, and answers of data sets, where these are at hand.

use super::*;

/// The lines of a file of the shared data, or nothing, said aloud.
fn shared_lines(name: &str) -> Option<Vec<serde_json::Value>> {
    let Some(directory) = std::env::var_os("DUNWU_SHARED_DATA") else {
        eprintln!("skipped: DUNWU_SHARED_DATA names no directory with {name}");
        return None;
    };
    let path = std::path::Path::new(&directory).join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

#[test]
fn cases_of_other_checkers_are_judged_as_labelled() {
    let Some(cases) = shared_lines("math_cases.jsonl") else {
        return;
    };
    // Labels that are wrong: 10{,}000 is 10000, and a line break inside dollar signs changes no number.
    let mislabelled = |gold: &str, pred: &str| {
        (gold == "$10{,}000$" && pred == r"\boxed{10000}") || (gold == "$9$" && pred.contains('\n'))
    };
    let (mut agree, mut labelled) = (0, 0);
    for case in &cases {
        let (gold, pred) = (
            case["gold"].as_str().unwrap(),
            case["pred"].as_str().unwrap(),
        );
        let options = MathOptions {
            tolerance: case["opts"]["precision"]
                .as_u64()
                .map(|decimals| Tolerance::Decimals(decimals as u32)),
            ..MathOptions::default()
        };
        let equal = judge(gold, pred, &options).verdict == Verdict::Equal;
        if mislabelled(gold, pred) {
            continue;
        }
        let expected = case["expect"].as_bool().unwrap();
        assert!(expected || !equal, "wrongly equal: {gold} | {pred}");
        labelled += 1;
        agree += usize::from(equal == expected);
    }
    assert!(agree * 100 >= labelled * 98, "{agree} of {labelled}");
}

#[test]
fn every_gold_of_math500_equals_itself() {
    let Some(problems) = shared_lines("math500.jsonl") else {
        return;
    };
    for problem in problems {
        let gold = problem["answer"].as_str().unwrap();
        let printed = judge(gold, gold, &MathOptions::default())
            .gold_parsed()
            .unwrap();
        for pred in [format!("so it is $\\boxed{{ {gold} }}$."), printed] {
            assert_eq!(verdict(gold, &pred), Verdict::Equal, "{gold} | {pred}");
        }
    }
}
