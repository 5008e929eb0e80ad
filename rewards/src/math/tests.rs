//! A table of our own answers, by kind; and what a decision may never do.

mod claims;
mod completions;
mod elsewhere;
mod formulas;
mod markers;
mod meaning;
mod notation;
mod offers;
mod sentences;

use super::*;

fn verdict(gold: &str, pred: &str) -> Verdict {
    judge(gold, pred, &MathOptions::default()).verdict
}

/// Every pair gets the same verdict in both directions.
fn check(expected: &str, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (gold, pred) in cases {
        for (gold, pred) in [(gold, pred), (pred, gold)] {
            let judgement = judge(gold, pred, &MathOptions::default());
            if judgement.verdict.name() != expected {
                wrong.push(format!(
                    "{gold:?} {pred:?}: {} ({}), read as {:?} and {:?}",
                    judgement.verdict.name(),
                    judgement.why,
                    judgement.gold_parsed(),
                    judgement.pred_parsed(),
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "expected {expected}:\n{}",
        wrong.join("\n")
    );
}

/// One kind of answers, from gold to predicted: what is equal, what must never be called equal, and what nobody can tell.
fn check_kind(
    form: Form,
    equal: &[(&str, &str)],
    different: &[(&str, &str)],
    undecided: &[(&str, &str)],
) {
    let options = MathOptions {
        form,
        ..MathOptions::default()
    };
    let mut wrong = Vec::new();
    for (expected, cases) in [
        ("equal", equal),
        ("different", different),
        ("undecided", undecided),
    ] {
        for (gold, pred) in cases {
            let judgement = judge(gold, pred, &options);
            let found = judgement.verdict.name();
            // What is different may be undecided, which pays as little; it must not be equal.
            let right = found == expected || (expected == "different" && found == "undecided");
            if !right {
                wrong.push(format!(
                    "{gold:?} {pred:?}: {found}, not {expected} ({}), read as {:?} and {:?}",
                    judgement.why,
                    judgement.gold_parsed(),
                    judgement.pred_parsed(),
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers() {
    check(
        "equal",
        &[
            ("1/2", "0.5"),
            (r"\frac12", r"\dfrac{1}{2}"),
            (r"\frac{1}{3}", r"0.\overline{3}"),
            (r"\tfrac{270}7", r"38\frac{4}{7}"),
            ("1 1/2", "3/2"),
            (r"1\frac{4}{5}", "1.8"),
            ("½", "0.5"),
            ("2½", "5/2"),
            ("1,234,567", "1234567"),
            ("10{,}000", "10000"),
            (r"32,\! 349", "32349"),
            (r"10\,000", "10000"),
            ("1 000 000", "10^6"),
            ("1.5e3", "1500"),
            (r"6.02 \times 10^{23}", r"602 \cdot 10^{21}"),
            (".0000672", r"6.72 \times 10^{-5}"),
            ("−5", "-5"),
            ("- 5", "-5"),
            ("--5", "5"),
            ("2^10", "1024"),
            ("2**10", "1024"),
            ("5!", "120"),
            ("6!!", "48"),
            (r"\binom{5}{2}", "10"),
            (r"\lfloor 3.7 \rfloor", "3"),
            (r"\lceil -1.5 \rceil", "-1"),
            (r"|-5|", "5"),
            (r"\gcd(12, 18)", "6"),
            (r"\operatorname{lcm}(4, 6)", "12"),
            (r"17 \bmod 5", "2"),
            (r"\log_2 8", "3"),
            (r"\log 1000", "3"),
            ("3 + 4 \\cdot 2", "11"),
            ("(3+4)2", "14"),
            ("2(3)", "6"),
            (r"\sum_{k=1}^{100} k", "5050"),
            (r"\prod_{i=1}^{5} i", "120"),
            ("1011_2", "11"),
            ("4210_{5}", r"4210_5"),
            ("12 base 8", "12_8"),
            ("twelve", "12"),
            ("5 million", "5000000"),
            (r"\$18.90", "18.9"),
            ("8÷2", "4"),
            ("3×4", "12"),
            ("10^{-2}", "0.01"),
            (r"\left(\frac{1}{2}\right)^{3}", "0.125"),
            ("+7", "7"),
            ("７", "7"),
        ],
    );
    let thirds = format!("0.{}", "3".repeat(300));
    check(
        "different",
        &[
            ("1/3", "0.333"),
            ("1/3", &thirds),
            ("2", "-2"),
            ("1/2", "2"),
            (r"\frac{63}{400}", r"\frac{64}{400}"),
            ("10000", "1000"),
            ("52_8", "52"),
            ("5!", "5"),
            ("2^10", "2^11"),
            ("-2^2", "4"),
            ("1,234", "1.234"),
        ],
    );
}

#[test]
fn algebraic_numbers() {
    check(
        "equal",
        &[
            (r"\sqrt{8}", r"2\sqrt2"),
            (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
            (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
            (r"\sqrt[3]{2+\sqrt5}", r"\frac{1+\sqrt5}{2}"),
            (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"),
            (r"\frac{5\sqrt{42}}{27}", r"\frac{10\sqrt{10.5}}{27}"),
            (r"\sqrt[3]{-8}", "-2"),
            (r"27^{2/3}", "9"),
            (r"2^{1/2}", "√2"),
            (r"\frac{1}{1+\sqrt2}", r"\sqrt{2}-1"),
            (r"(1+i)^8", "16"),
            (r"\sqrt{-9}", "3i"),
            ("6 - 5i", "-5i+6"),
            (r"\frac{1}{i}", "-i"),
            (r"\frac{3+i}{1-i}", "1+2i"),
            (r"e^{i\pi}", "-1"),
            (r"|3+4i|", "5"),
            (r"\varphi", r"\frac{1+\sqrt5}{2}"),
            (
                r"\sqrt{\sqrt{11}+\sqrt{194}}",
                r"(\sqrt{11}+\sqrt{194})^{0.5}",
            ),
            (r"\sqrt{12}\cdot\sqrt{3}", "6"),
        ],
    );
    check(
        "different",
        &[
            (r"\sqrt{2}", "1.41421356"),
            (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5}"),
            ("3i", "3"),
            (r"1+2i", "1-2i"),
            // Agree to 20 digits.
            (r"\sqrt{10^{20}+1}", r"10^{10}"),
            (r"\frac{34}{16}+\frac{\sqrt{1358}}{16}", "4"),
        ],
    );
}

#[test]
fn transcendental_numbers() {
    check(
        "equal",
        &[
            (r"\frac{9}{4}\pi", r"\frac{9\pi}{4}"),
            (r"\sin\frac{\pi}{6}", "1/2"),
            (r"\cos(36^\circ)", r"\frac{1+\sqrt5}{4}"),
            (r"\ln 8", r"3\ln2"),
            (r"\ln(e^2)", "2"),
            (r"\log_4 8", "1.5"),
            (r"\arctan 1", r"\pi/4"),
            (r"\sin^{-1}(1/2)", r"\frac{\pi}{6}"),
            (r"\tan^2 60^\circ", "3"),
            (r"e^{\ln 5}", "5"),
            (r"\arctan\frac12+\arctan\frac13", r"\frac\pi4"),
            (r"16\arctan\frac15-4\arctan\frac1{239}", r"\pi"),
            (r"2\ln 3 - \ln 2", r"\ln\frac92"),
            ("18+2π", r"2(9+\pi)"),
            ("180^\\circ", r"\pi"),
            (r"\cosh 0", "1"),
            (r"\frac{20000}{\pi}", r"20000\pi^{-1}"),
            ("exp(2)", "e^2"),
        ],
    );
    check(
        "different",
        &[
            (r"\pi", "3.14"),
            (r"\pi", "22/7"),
            (r"\pi", r"\frac{355}{113}"),
            ("e", "2.718281828459045"),
            (r"e^{\pi\sqrt{163}}", "262537412640768744"),
            (r"\sin 1", r"\sin 1^\circ"),
            (r"2\pi", r"\pi^2"),
            (r"\ln 2 + \ln 3", r"\ln 5"),
        ],
    );
}

#[test]
fn expressions_with_variables() {
    check(
        "equal",
        &[
            ("1+x", "x+1"),
            ("(x+1)^2", "x^2+2x+1"),
            ("(a+5)(b+2)", "ab+2a+5b+10"),
            (r"\frac{x^2-1}{x-1}", "x+1"),
            (r"\frac{11+9a}{20}", r"\frac{9a}{20}+\frac{11}{20}"),
            (r"\tan^2(y)+1", r"\sec^2(y)"),
            (r"\sin 2x", r"2\sin x\cos x"),
            (r"\frac{1}{3\sqrt[3]{x}^2}", r"\frac{1}{3x^{2/3}}"),
            ("x^5 - x^4 + x^3 - x^2 + x - 1", "(x-1)(x^4+x^2+1)"),
            ("2^{n+1}", r"2\cdot 2^n"),
            (r"e^{x+y}", "e^x e^y"),
            (r"\frac{n(n+1)}{2}", r"\binom{n+1}{2}"),
            (r"\frac{a}{b}", "ab^{-1}"),
            (r"3R^2", "3 R^2"),
            ("x_1 + x_2", "x_2+x_{1}"),
            (r"\cot x", r"\frac{\cos x}{\sin x}"),
            (r"\sqrt{x^2}", "|x|"),
            (
                r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}",
                r"F_n = \sum_{k=0}^{n-1} F_{n-k-1} F_k",
            ),
            ("f(x)+1", "1+f(x)"),
            ("xy", "yx"),
            (r"\alpha\beta", "βα"),
            (r"\log_a b", r"\frac{\ln b}{\ln a}"),
            (r"n!", r"n \cdot (n-1)!"),
            (r"\ln x^2 - \ln x", r"\ln x"),
        ],
    );
    check(
        "different",
        &[
            ("x+1", "x+2"),
            ("x+2n+1", "x+1"),
            ("x^2", "x^3"),
            (r"\sqrt{x^2}", "x"),
            ("x", "y"),
            ("2k", "2"),
            (r"\sin x", r"\cos x"),
            (
                r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}",
                r"F_n = \sum_{k=0}^{n-2} F_k F_{n-k-2}",
            ),
            ("R", "r"),
            ("3R^2", "3r^2"),
            ("x+1", "5"),
        ],
    );
    // The left has a value at negative x, the right has none.
    check("undecided", &[(r"\ln(x^2)", r"2\ln x")]);
}

#[test]
fn percent_units_and_degrees() {
    check(
        "equal",
        &[
            (r"28\%", "28 pct"),
            (r"28\%", "$28$ percent"),
            (r"28\%", "0.28"),
            (r"28\%", "28"),
            ("5.4 \\text{ cents}", "5.4"),
            (r"864 \mbox{ inches}^2", "864"),
            ("15 cm^2", r"15\mbox{ cm}^2"),
            ("2 hours", "120 minutes"),
            ("5 m", "500 cm"),
            (r"\$36", "36 dollars"),
            ("60 mph", "60 miles per hour"),
            (r"90^\circ", "90 degrees"),
            (r"90^\circ", "90"),
            (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}^\circ"),
            ("5 apples", "5"),
            (r"0.06 \text{ yuan}", "0.06"),
            ("€5", "5 euros"),
            (r"20\text{ square feet}", "20 ft^2"),
            (r"5\,\text{km/h}", "5 kilometers per hour"),
        ],
    );
    check(
        "different",
        &[
            ("0.28", "28"),
            (r"28 \cdot \frac{1}{100}", "28"),
            (r"28\%", r"0.28\%"),
            ("5 m", "5 cm"),
            ("5 m", "5 s"),
            ("5 dollars", "5 euros"),
            (r"36^\circ", r"\$36"),
            (r"28\%", r"\$28"),
            ("28 m", r"28\%"),
            ("5 hours", "6 hours"),
            (r"30^\circ", r"30\pi"),
        ],
    );
}

#[test]
fn percent_policies_and_strictness() {
    let with = |gold: &str, pred: &str, percent, strict| {
        let options = MathOptions {
            percent,
            strict,
            ..Default::default()
        };
        judge(gold, pred, &options).verdict == Verdict::Equal
    };
    use PercentPolicy::{Either, Hundredths, Unit};
    for (policy, as_fraction, as_points) in [
        (Either, true, true),
        (Hundredths, true, false),
        (Unit, false, true),
    ] {
        assert_eq!(with("0.28", r"28\%", policy, false), as_fraction);
        assert_eq!(with("28", r"28\%", policy, false), as_points);
        assert!(with(r"28\%", "28%", policy, false));
    }
    assert!(with("5 cm", "5", Either, false) && !with("5 cm", "5", Either, true));
    assert!(with("5 cm", "50 mm", Either, true));
    assert!(with("(1, 2)", "x=1, y=2", Either, false) && !with("(1, 2)", "x=1, y=2", Either, true));
}

#[test]
fn sets_tuples_and_lists() {
    check(
        "equal",
        &[
            ("1,-2", "-2, 1"),
            ("3, 5, 7", r"\{7, 5, 3\}"),
            (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}"),
            (r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt5, 1+\sqrt5"),
            (r"\pm 2021", "{-2021, 2021}"),
            ("x = 1 or x = 2", "1, 2"),
            ("x = 1, 2", r"x=2 \text{ and } x=1"),
            ("n=1, 2, 3", "1,2,3"),
            ("(1, 4.5)", r"\left(1,\frac{9}{2}\right)"),
            ("(0;0;1)", "(0,0,1)"),
            ("x=1, y=2", "(1,2)"),
            ("(x,y)=(1,2)", "(1, 2)"),
            ("k = 45, n = 2", "n=2 and k=45"),
            ("(98, 2), (99, 503)", "(99,503) and (98,2)"),
            (r"\{1, 1, 2\}", r"\{1,2\}"),
            (r"\emptyset", r"\{\}"),
            ("12 and 13", "12, 13"),
            (r"\langle 1, 2\rangle", "(1,2)"),
            ("1,234", "1, 234"),
            ("W(n) = 1 and W(n) = -1", "W(x)=1orW(x)=-1"),
        ],
    );
    check(
        "different",
        &[
            ("(1,2)", "(2,1)"),
            ("(1,2)", r"\{1,2\}"),
            ("1,2", "1,2,3"),
            ("1,2", "1"),
            (r"\pm 2021", "2021"),
            ("1 or 2", "2"),
            ("-2,1", "(-2,1)"),
            ("1,1,2", "1,2"),
            ("(37,3,3),(17,3,3,7)", "(37,3,3),(17,3,3,7),(1,2)"),
            (r"\emptyset", "0"),
        ],
    );
}

#[test]
fn intervals_and_inequalities() {
    check(
        "equal",
        &[
            ("(2,\\infty)", "x > 2"),
            ("[0,1)", r"0 \le x < 1"),
            ("x > 5", "5 < x"),
            (r"x \geq 5", "x >= 5"),
            (r"x \neq 5", "x != 5"),
            (r"(-\infty, 2) \cup (3, \infty)", r"x<2 \text{ or } x>3"),
            (r"(-\infty,5)\cup(5,\infty)", r"\mathbb{R}\setminus\{5\}"),
            (r"x \neq 5", r"ℝ ∖ {5}"),
            (r"[-2,7]", r"x \in [-2,7]"),
            ("(0,9) ∪ (9,36)", r"(9,36)\cup(0,9)"),
            ("(1,2) U (3,4)", r"(1,2)\cup(3,4)"),
            (r"[1,3] \cap [2,4]", "[2,3]"),
            (r"[1,2] \cup [2,3]", "[1,3]"),
            ("]1,2[", "(1,2)"),
            (r"\left(\frac35,\frac83\right]", r"(0.6, \frac{8}{3}]"),
            ("0<f(x)<1", "(0,1)"),
            (r"(-\sqrt{3}, \sqrt{3})", r"-\sqrt3 < x < \sqrt3"),
            (r"\{x \mid x > 3\}", r"(3, \infty)"),
            ("2x + 3y < 6", "-2x-3y > -6"),
            ("x + y > 1", "2x+2y>2"),
            (r"[a, b)", "[a,b)"),
        ],
    );
    check(
        "different",
        &[
            ("[0,1)", "[0,1]"),
            ("(0,1)", "(0,2)"),
            ("x > 5", "x < 5"),
            ("x > 5", r"x \ge 5"),
            ("x > 5", "y > 5"),
            (r"(-\infty, 2) \cup (3, \infty)", "(2,3)"),
            ("2x + 3y < 6", "2x+3y > 6"),
            ("x > 5", "5"),
            ("1", "[0,1)"),
            ("[a, b)", "[a, b]"),
        ],
    );
}

#[test]
fn equations() {
    check(
        "equal",
        &[
            ("x=5", "5"),
            ("k=1", "1"),
            ("y = 2x + 3", "2x - y + 3 = 0"),
            ("y = 2x + 3", "2x+3"),
            ("x^2/4 + y^2/3 = 1", "x^2/16 + y^2/12 = 1/4"),
            ("5x - 7y + 11z + 4 = 0", "-5x+7y-11z=4"),
            ("f(x) = x^2", "x^2"),
            ("f(y) = y", "f(y)=y"),
            ("|AB|=1", "1"),
            ("V_{1}:V_{2}=11:21", "11:21"),
            (r"\text{Area} = 5", "5"),
            ("x = 5", "x=5"),
            ("y = e^x", r"y - e^x = 0"),
            (r"\sqrt2 x = 2", r"x = \sqrt2"),
            ("xy = 1", "y = 1/x"),
            ("3 = x", "x = 3"),
            ("= 7", "7"),
        ],
    );
    check(
        "different",
        &[
            ("2x + z = 1", "1"),
            ("7 = 11a+c", "11a+c"),
            ("x=5", "x=6"),
            ("x = 5", "y = 5"),
            ("y = 2x+3", "y = 2x+4"),
            ("x^2+y^2=1", "x^2+y^2=2"),
            ("D = (0, 1)", "D = (0, 1.5)"),
        ],
    );
}

#[test]
fn matrices_ratios_times_and_words() {
    check(
        "equal",
        &[
            (
                r"\begin{pmatrix}1 & 0 \\ 0 & 1\end{pmatrix}",
                r"\begin{bmatrix} 1&0\\0&1 \end{bmatrix}",
            ),
            (
                r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}",
                r"\begin{pmatrix}-\frac13\\\frac23\end{pmatrix}",
            ),
            (r"\begin{pmatrix} 1 \\ 2 \\ 3\end{pmatrix}", "(1,2,3)"),
            ("[[1,2],[3,4]]", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
            ("3:4", "6:8"),
            ("3:4", "3/4"),
            ("1:2:3", "2:4:6"),
            ("4:30 pm", "16:30"),
            ("4:30 p.m.", "4:30"),
            ("10:05", "10:05 AM"),
            (r"\text{Evelyn}", "Evelyn"),
            (r"\text{(C)}", "C"),
            ("C", r"$\boxed{\textbf{(C)}}$"),
            (r"\text{even}", "Even"),
            ("yes", "Yes."),
            (r"\text{no solution}", "No solution"),
            (r"\text{east}", "east"),
        ],
    );
    check(
        "different",
        &[
            (
                r"\begin{pmatrix}1 & 0 \\ 0 & 1\end{pmatrix}",
                r"\begin{pmatrix}1 & 0 \\ 1 & 0\end{pmatrix}",
            ),
            (
                r"\begin{pmatrix}1 & 2\end{pmatrix}",
                r"\begin{pmatrix}1 & 2 & 3\end{pmatrix}",
            ),
            ("3:4", "4:3"),
            ("4:30 pm", "4:31 pm"),
            ("4:30 am", "4:30 pm"),
            ("A", "B"),
            ("yes", "no"),
            (r"\text{even}", "odd"),
            ("Evelyn", "5"),
            (r"\text{no solution}", "3"),
        ],
    );
    check("undecided", &[("abc", "cab")]);
    // Without a gold answer nothing is right or wrong.
    for pred in ["", "5", "** **"] {
        assert_eq!(verdict("** **", pred).name(), "undecided");
    }
}

#[test]
fn tolerance_only_by_option() {
    let near = |gold: &str, pred: &str, tolerance| {
        let options = MathOptions {
            tolerance: Some(tolerance),
            ..Default::default()
        };
        judge(gold, pred, &options).verdict == Verdict::Equal
    };
    assert_eq!(verdict("1/3", "0.33"), Verdict::Different);
    assert!(near("1/3", "0.33", Tolerance::Decimals(2)));
    assert!(!near("1/3", "0.33", Tolerance::Decimals(3)));
    assert!(near(r"\sqrt2", "1.414", Tolerance::Decimals(3)));
    assert!(near("(3/5, 8/3]", "(0.6,2.6667]", Tolerance::Decimals(2)));
    assert!(near("100", "101", Tolerance::Relative(0.01)));
    assert!(!near("100", "101.1", Tolerance::Relative(0.01)));
    assert!(near(r"\pi", "3.14", Tolerance::Relative(0.001)));
    assert!(!near("x+1", "x+2", Tolerance::Decimals(0)));
}

#[test]
fn hostile_answers_end_soon_and_never_as_equal() {
    let nested = |open: &str, close: &str| format!("{}x{}", open.repeat(5000), close.repeat(5000));
    let hostile = [
        "5^{5^{5^{5^5}}}".to_owned(),
        "9^9^9^9".to_owned(),
        "(10^{1000})!".to_owned(),
        "100000!".to_owned(),
        "((100!)!)!".to_owned(),
        r"\binom{10^9}{5\cdot10^8}".to_owned(),
        r"\sum_{k=1}^{1000000000} k".to_owned(),
        r"\sum_{a=1}^{400}\sum_{b=1}^{400}\sum_{c=1}^{400} abc".to_owned(),
        "1e999999999".to_owned(),
        "1".repeat(100_000),
        "(".repeat(100_000),
        nested("(", ")"),
        nested("{", "}"),
        nested("\\frac{1}{", "}"),
        nested("\\sqrt{", "}"),
        nested("|", "|"),
        "-".repeat(7000) + "1",
        "5".to_owned() + &"!".repeat(300),
        "2".to_owned() + &"^2".repeat(3000),
        "x+".repeat(3000) + "x",
        "(x+y+z+w)^{16}(a+b+c+d)^{16}".to_owned(),
        "(x+1)^{1000000}".to_owned(),
        r"\sin(10^{10^{3}})".to_owned(),
        r"e^{e^{e^{e^e}}}".to_owned(),
        r"\sqrt{".repeat(40) + "2" + &"}".repeat(40),
        (0..200)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(","),
        "\\frac".repeat(2000),
        "{,}".repeat(2000),
        r"\text{".repeat(1000) + "1" + &"}".repeat(1000),
        r"\boxed{".repeat(1000) + "1" + &"}".repeat(1000),
        "$".repeat(5000),
        "1,".repeat(4000),
        "\u{0}\u{1}\u{fffd}é顿悟½²".repeat(300),
        (1..40)
            .map(|n| format!("\\sqrt{{{n}}}"))
            .collect::<Vec<_>>()
            .join("+"),
        format!("\\frac{{1}}{{{}}}", "7".repeat(4000)),
    ];
    for gold in ["5", "x", r"\sqrt{2}+\pi"] {
        for pred in &hostile {
            let start = std::time::Instant::now();
            let judgement = judge(gold, pred, &MathOptions::default());
            let spent = start.elapsed();
            let short: String = pred.chars().take(40).collect();
            assert_ne!(judgement.verdict, Verdict::Equal, "{gold} {short}");
            assert!(judgement.steps <= DEFAULT_STEPS);
            assert!(spent.as_millis() < 200, "{gold} {short}: {spent:?}");
        }
    }
    for tower in &hostile[..5] {
        assert!(
            matches!(verdict("5", tower), Verdict::Undecided { .. }),
            "{tower}"
        );
    }
}

#[test]
fn what_is_read_can_be_shown() {
    let judgement = judge(r"\frac12", "so it is $0.5$ cm", &MathOptions::default());
    assert_eq!(judgement.gold_parsed().as_deref(), Some(r"\frac{1}{2}"));
    assert_eq!(
        judgement.pred_parsed().as_deref(),
        Some(r"\frac{1}{2} \text{cm}")
    );
    assert_eq!(judgement.why, "the same value");
    let nothing = judge("5", "", &MathOptions::default());
    assert_eq!(nothing.pred_parsed(), None);
    assert_eq!(nothing.why, "no answer was found");
}
