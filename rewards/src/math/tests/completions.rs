//! Answers inside of what a model writes.

use super::*;

#[test]
fn answers_are_found_in_completions() {
    let equal = [
        ("1000.99", "1,000.99m²"),
        ("1000.99", "so the number is 10 which is 1,000.99m²"),
        ("9", "Answer $ 9 $"),
        ("72", "so 48+24 = 72.\n#### 72"),
        ("72", "<think>maybe 71</think><answer>72</answer>"),
        ("72", "The answer is 72 clips in total for April and May."),
        ("72", "Thus she sold **72** clips."),
        ("1/2", "Therefore $x=\\frac12$ is the probability."),
        ("C", "The answer is (C) 12 apples."),
        ("1, 2", r"\boxed{1}\boxed{2}"),
        (
            "(98, 2), (99, 503)",
            r"$$\boxed{(98, 2)} \quad \text{and} \quad \boxed{(99, 503)}$$",
        ),
        ("42", r"first \boxed{41}, but finally \boxed{42}"),
        ("10", "He pays $4 for one and $6 for the other, so $10."),
        (r"\frac{14}{3}", r"= 2+\frac53+1=\boxed{\frac{14}{3}}$"),
        ("-17.5", "in the end he has -17.5 left"),
        (r"\sqrt{2}", "I think\n\\[ x = \\sqrt{2} \\]\nis right"),
        ("73", "**73**"),
        (
            "18",
            r"Final Answer: The final answer is $18$. I hope it is correct.",
        ),
        ("5", "A: 5"),
        ("x > 5", "Therefore $x > 5$ is the solution."),
        ("Paris", "The answer is Paris."),
    ];
    for (gold, pred) in equal {
        let judgement = judge(gold, pred, &MathOptions::default());
        assert_eq!(
            judgement.verdict,
            Verdict::Equal,
            "{gold} | {pred} | {:?} {}",
            judgement.pred_parsed(),
            judgement.why
        );
    }
    let not_equal = [
        ("71", "<think>maybe 71</think><answer>72</answer>"),
        ("12", r"<think>\boxed{12}</think> I do not know"),
        ("2", "AZYUK2A"),
        ("1, 2", r"\boxed{1} no no no no no \boxed{2}"),
        ("1", "$-[0,1)$"),
        ("5", "I have no idea"),
        ("5", ""),
        ("1", r"\boxed{1} \boxed{2} \boxed{3}"),
        ("5", r"\boxed{}"),
    ];
    for (gold, pred) in not_equal {
        assert_ne!(verdict(gold, pred), Verdict::Equal, "{gold} | {pred}");
    }
}

#[test]
fn cut_off_completions_are_not_credited() {
    let options = MathOptions {
        truncated: true,
        form: Form::Completion,
        ..Default::default()
    };
    for pred in [
        "so x = 12",
        "The answer is 12",
        "#### 12",
        "$12$",
        r"\boxed{12",
        "<answer>12",
    ] {
        assert_eq!(
            judge("12", pred, &options).verdict,
            Verdict::Different,
            "{pred}"
        );
    }
    assert_eq!(
        judge("12", r"\boxed{12} and", &options).verdict,
        Verdict::Equal
    );
    let thoughts = MathOptions {
        search_thoughts: true,
        form: Form::Completion,
        ..Default::default()
    };
    assert_eq!(
        judge("12", r"<think>\boxed{12}", &thoughts).verdict,
        Verdict::Equal
    );
}
