//! What is the same and what is not, by kind: signs, functions, points, words, relations.

use super::check_kind;
use crate::math::Form;
#[test]
fn signs_and_hyphens() {
    check_kind(
        Form::Auto,
        &[
            ("-x", "−x"),
            (r"\text{twenty-one}", "twenty one"),
            (r"-\cos x", "-cos x"),
            ("the north-east", "north east"),
            ("b - a", "-a+b"),
        ],
        &[
            ("e", "-e"),
            ("k", "-k"),
            (r"\cos x", r"-\cos x"),
            ("u v", "u-v"),
            ("a+b", "-a+b"),
            (r"\pi", r"-\pi"),
            ("a tan t", "tan t"),
            ("n", "–n"),
        ],
        &[],
    );
}

#[test]
fn functions() {
    check_kind(
        Form::Auto,
        &[
            ("f(x)=3x-1", "f(t)=3t-1"),
            ("f(2)=9", "9"),
            ("g(x) = x^3", "x^3"),
            ("P(x,y) = x+y", "P(a,b)=a+b"),
            ("V(r, 0) = 2r", "2r"),
            ("y(t)=e^t", "y = e^t"),
        ],
        &[
            ("f(2)=9", "f(3)=9"),
            ("f(x)=3x-1", "g(x)=3x-1"),
            ("f(x)=3x-1", "f(x)=3x+1"),
            ("f(x)=ax", "f(x)=a^2x"),
            ("P(x,y)=x-y", "P(y,x)=x-y"),
            ("f(0)=1", "f(1)=1"),
        ],
        &[],
    );
}

#[test]
fn points_of_all_signs() {
    check_kind(
        Form::Auto,
        &[
            ("|a-b|", "|b-a|"),
            (r"\sqrt{x^2+4}", r"\sqrt{4+x^2}"),
            ("|ab|", "|a||b|"),
            (r"\sin(\arccos x)", r"\sqrt{1-x^2}"),
            (r"\ln\frac1{|x|}", r"-\ln|x|"),
            (r"\cos(\arctan t)", r"\frac{1}{\sqrt{1+t^2}}"),
        ],
        &[
            ("|uv|", "uv"),
            ("|x-50|", "50-x"),
            (r"\sqrt{a^2b^2}", "ab"),
            (r"\sqrt{(x-100)^2}", "100-x"),
            (r"\max(x,-20)", "x"),
            (r"\gcd(n,23)", "1"),
            (r"\binom{n}{30}", "0"),
            (r"n \bmod 1000", "n"),
            (r"\lfloor x/100 \rfloor", "0"),
            ("|xyz|", "xyz"),
            (r"\lfloor x \rfloor", "x"),
            (r"\min(x,200)", "x"),
            ("|x-1000000000|", "1000000000-x"),
            (r"\sqrt[4]{x^4}", "x"),
            ("(x^2)^{1/2}", "x"),
        ],
        &[],
    );
}

#[test]
fn answers_in_words() {
    check_kind(
        Form::Auto,
        &[
            (r"\text{even}", "The number is even."),
            ("infinitely many", r"\text{infinitely many}"),
            ("not possible", r"\text{Not possible}"),
            ("increasing", r"\text{increasing}"),
            ("a circle", "circle"),
            (r"\text{Monday}", "Monday"),
            ("True", r"\text{True}"),
            ("impossible", "Impossible."),
            (r"\text{yes}", "Yes"),
            ("three", "3"),
            ("zero", "0"),
            ("Tuesday", "Tuesdays"),
            ("diverges", r"\text{diverges}"),
            ("no real solutions", r"\text{no real solution}"),
        ],
        &[
            (r"\text{even}", "odd"),
            ("increasing", "decreasing"),
            ("convergent", "not convergent"),
            ("possible", "impossible"),
            ("Monday", "Tuesday"),
            ("True", "False"),
            ("equal", "unequal"),
            ("The function is even", "The function is not even"),
            ("Anna", "Hanna"),
            ("three", "4"),
            ("rational", "irrational"),
        ],
        &[],
    );
}

#[test]
fn formulas() {
    check_kind(
        Form::Auto,
        &[
            ("2x(x+1)", "2x^2+2x"),
            (r"\frac{a+b}{2}", "(a+b)/2"),
            (r"\tan x", r"\frac{\sin x}{\cos x}"),
            (r"\sqrt{50}", r"5\sqrt2"),
            ("e^{-x}", r"\frac1{e^x}"),
            ("x^{-1/2}", r"\frac{1}{\sqrt{x}}"),
            ("2^{x+3}", r"8\cdot 2^x"),
            (r"\frac{\sqrt{xy}}{2}", r"\sqrt{\frac{xy}{4}}"),
            (r"-\frac{1}{2}\cos 2x + C", r"\sin^2 x + C"),
            (r"\arctan x + C", r"\tan^{-1}x + C"),
            (r"\binom{n}{2}", "n(n-1)/2"),
            ("n!", "n(n-1)!"),
            (r"\frac{n!}{(n-2)!}", "n(n-1)"),
            (r"\sin^2\theta", r"1-\cos^2\theta"),
            ("|x-3|", "|3-x|"),
            (r"\max(a,b)", r"\max(b,a)"),
            (r"x\sqrt{x}", "x^{3/2}"),
            (r"\gcd(a,b)", r"\gcd(b,a)"),
            (r"\sec x", r"1/\cos x"),
        ],
        &[
            (r"\sqrt{x+1}", r"\sqrt{x}+1"),
            (r"\sin 2x", r"2\sin x"),
            ("e^{x}", "e^{-x}"),
            (r"\log_2 x", r"\ln x"),
            ("n^2+n", "n^2-n"),
            ("|x|", "x"),
            (r"\frac1x", "x"),
            ("a^b", "b^a"),
            ("(a+b)^2", "a^2+b^2"),
            (r"\sqrt{x^2+y^2}", "x+y"),
            (r"\frac{x^3}{3}+C", r"\frac{x^3}{3}+x"),
            (r"\lceil x\rceil", r"\lfloor x\rfloor"),
            ("x^3", "|x|^3"),
            (r"\sqrt{(x-1)^2}", "x-1"),
            (r"\lfloor n/2\rfloor", "n/2"),
            (r"n \bmod 2", "0"),
            (r"\gcd(n,6)", "6"),
        ],
        &[
            (r"\ln(x^2+1)", r"\log(x^2+1)"),
            (r"\lfloor x\rfloor+1", r"\lfloor x+1\rfloor"),
            (r"\sqrt{a}\sqrt{b}", r"\sqrt{ab}"),
        ],
    );
}

#[test]
fn equations_and_intervals() {
    check_kind(
        Form::Auto,
        &[
            ("y = 2x+1", "2x - y + 1 = 0"),
            ("x > 3", r"(3, \infty)"),
            (r"x \in (3,\infty)", "x>3"),
            (r"a \neq 0", "a≠0"),
            ("x = 1, 2", r"\{1,2\}"),
            ("x_1 = 2, x_2 = 3", "2, 3"),
            ("(x-1)^2 + (y-2)^2 = 9", "x^2+y^2-2x-4y-4=0"),
            ("0 < a < 1", r"a \in (0,1)"),
            (r"k > 4 \text{ or } k < 0", r"(-\infty,0)\cup(4,\infty)"),
            (r"x \le 5, x \ge 1", "[1,5]"),
            (r"y=\frac{2}{x}", "xy=2"),
            ("A = B", "B = A"),
            (r"\{2,4\}", r"x=2 \text{ or } x=4"),
            (r"\pm 3", r"x = \pm 3"),
            (r"\pm 3", "-3, 3"),
            ("n = 7", "7"),
            (r"\alpha = 30^\circ", r"30^\circ"),
            ("x<2", "2>x"),
        ],
        &[
            ("x > 3", "x < 3"),
            ("x>3", r"x\ge3"),
            ("x = 1, 2", "1"),
            (r"\pm 3", "3"),
            ("y=2x+1", "y=2x-1"),
            ("[1,5]", "(1,5)"),
            ("x=2", "y=2"),
            ("2, 3", "3, 4"),
            ("x_1 = 2, x_2 = 3", "2"),
            ("x^2+y^2=4", "x^2+y^2=2"),
            ("(1,2)", "(2,1)"),
            (r"x \ne 1", "x = 1"),
            (r"x<2 \text{ or } x>5", "2<x<5"),
        ],
        &[],
    );
}
