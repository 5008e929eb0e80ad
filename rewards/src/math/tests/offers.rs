//! What a policy would try next: several values, bounds, denials and corrections around a marked answer.

use super::check_kind;
use crate::math::Form;

#[rustfmt::skip]
#[test]
fn offers_and_bounds() {
    check_kind(
        Form::Auto,
        &[
            (r"\frac{1}{2}", "1/2 + 0x"), ("x^2", "x^{2+0}"), ("y=x", "y=x+0"),
        ],
        &[
            ("2x", r"2\times"), (r"\sqrt{2}", "1.41421356"), (r"\pi", "22/7"), (r"\pi", "3.14159265358979"), ("e", "2.718281828"),
            (r"\frac13", "0.33333333333333"), ("0.333", r"\frac13"), ("10^{100}", "10^{100}+1"), ("x", "x+10^{-30}"),
            (r"\infty", "10^{1000}"), ("0", "10^{-1000}"), ("(1,2)", "(1,2,3)"), ("[0,1]", r"\{0,1\}"), ("(0,1)", r"\{0,1\}"),
            ("x=1", r"x=1 \text{ or } x=2"), ("x=1", r"x\ge 1"), ("x^2=1", "x=1"), ("f(x)=x", "f(x)=|x|"), (r"\sin x", r"\sin x + \cos x"),
            ("a+b", "a+b+c"), ("AB", "A"), (r"5 \text{ apples}", r"5 \text{ oranges}"), (r"\text{Tuesday}", r"\text{Tuesday or Friday}"),
            (r"\text{Ann}", r"\text{Ann and Bob}"), (r"\text{yes}", r"\text{no}"), (r"\text{true}", r"\text{not true}"),
            (r"\text{increasing}", r"\text{not increasing}"), (r"\text{red}", r"\text{red, blue}"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            ("12", "Answer: 12/1"), ("12", "Answer: 012"), ("12", "Answer: 12."), ("12", "Answer: \"12\""), ("12", "Answer: (12)"),
            ("12", "Answer: 12 (not 13)"), ("12", "Answer: 12 (see above)"), ("13", "Answer: not 12 but 13"),
        ],
        &[
            ("12", "The answer is either 12 or 21"), ("12", "The answer: 12 or 21"), ("12", "Answer: 12, 13, 14"), ("12", "Answer: 12-13"),
            ("12", "Answer: 12 to 13"), ("12", "Answer: from 11 to 12"), ("12", "Answer: 12..13"), ("12", "Answer: 12; 13"),
            ("12", "Answer: 12 & 13"), ("12", "Answer: 12 | 13"), ("12", "Answer: 12 vs 13"), ("12", "Answer: twice 12"),
            ("12", "Answer: 12 squared"), ("12", "Answer: half of 12"), ("12", "Answer: 12 less than 20"),
            ("12", "Answer: 12 more than 5"), ("12", "Answer: the 12th prime"), ("12", "Answer: the square of 12"),
            ("12", "Answer: one twelfth"), ("12", "Answer: 12 times as many"), ("12", "Answer: a multiple of 12"),
            ("12", "Answer: a factor of 12"), ("12", "Answer: divisible by 12"), ("12", "Answer: log 12"), ("12", "Answer: sqrt 12"),
            ("12", "Answer: 12i"), ("12", "Answer: 12^2"), ("12", "Answer: x12"), ("12", "Answer: 1/12"), ("12", "Answer: not 12 but 13"),
            ("12", "Answer: 12? No, 13."), ("12", "Answer: 12, no wait, 13"), ("12", "Answer: 12 - actually 13"),
            ("12", "Answer: 12, I mean 13"), ("12", "The answer was 12 but is now 13"), ("12", "Answer: 12 → 13"),
            ("12", "Answer: 12 => 13"), ("12", "Answer: 12 = 13"), ("12", "Answer: 12 ≠ 13"), ("12", "Answer: 12 < 13"),
            ("12", "Answer: > 12"), ("12", "Answer: ≥12"), ("12", "Answer: ≤ 12"), ("12", "Answer: 12±1"), ("12", "Answer: 12+"),
            ("12", "Answer: cannot be determined"), ("12", "Answer: none of 12"), ("12", "Answer: neither 12 nor 13"),
            ("12", "Answer: no 12"), ("12", "Answer: non-12"), ("12", "Answer: !12"), ("12", "Answer: ¬12"),
            ("12", "Answer: everything except for 12"), ("12", "Answer: all numbers but 12"), ("12", "Answer: anything apart from 12"),
            ("12", "Answer: at minimum 12"), ("12", "Answer: max 12"), ("12", "Answer: min 12"), ("12", "Answer: under 12"),
            ("12", "Answer: over 12"), ("12", "Answer: beyond 12"), ("12", "Answer: just short of 12"),
            ("12", "Answer: a bit more than 12"), ("12", "Answer: upwards of 12"), ("12", "Answer: no fewer than 12"),
            ("12", "Answer: not more than 12"), ("12", "Answer: not less than 12"), ("B", "Answer: B and C"), ("B", "Answer: A, B"),
            ("B", "Answer: B, C and D"), ("B", "Answer: B except C"), ("B", "Answer: all except B"), ("B", "Answer: not (B)"),
            ("B", "Answer: B or maybe C"), ("B", "Answer: Both B and C"), ("B", "Answer: A-D"), ("B", "Answer: anything but B"),
            ("B", "Answer: B is incorrect"), ("B", r"\boxed{B \text{ or } C}"), ("B", r"\boxed{BCD}"), ("B", r"\boxed{A/B}"),
            ("B", r"\boxed{\neg B}"), ("B", r"\boxed{\text{Not B}}"), ("B", r"\boxed{B^c}"), ("B", r"\boxed{\overline{B}}"),
            ("B", r"\boxed{-B}"), ("B", r"\boxed{2B}"), ("B", r"\boxed{B_1}"),
        ],
        &[],
    );
}
