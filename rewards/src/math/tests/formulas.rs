//! Answers in formulas, labelled before they were judged: signs, units, times, residues, functions, sets, matrices, notation.

use super::check_kind;
use crate::math::Form;

#[rustfmt::skip]
#[test]
fn signs_of_values_and_letters() {
    check_kind(
        Form::Auto,
        &[
            ("p-q", "-q+p"), ("-(-5)", "5"), ("− 7", "-7"), ("well-known", "well known"), (r"-\frac{3}{5}", r"\frac{-3}{5}"),
            (r"-\frac{3}{5}", r"\frac{3}{-5}"), (r"\pm\sqrt{5}", r"\sqrt5, -\sqrt5"),
        ],
        &[
            ("-a", "a"), ("a", "–a"), (r"-\sqrt2", r"\sqrt2"), (r"\tan x", r"-\tan x"), ("2-x", "x-2"), ("-e^{x}", "e^{x}"),
            ("z w", "z-w"), (r"\bar{z}", "z"), (r"\pm 4", "4"), ("4", r"\pm 4"), ("m", "-m"), ("ln x", "-ln x"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[],
        &[
            ("-12", r"\boxed{12}"), ("12", r"\boxed{-12}"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn units() {
    check_kind(
        Form::Auto,
        &[
            (r"5 \text{ km}", "5000 m"), (r"3 \mathrm{~kg}", r"3000 \mathrm{~g}"), ("250 mL", "0.25 L"),
            (r"4 \mathrm{~mA}", r"0.004 \mathrm{~A}"), ("600 nm", r"6 \times 10^{-7} m"), ("2 kHz", "2000 Hz"), ("3 h 20 min", "200 min"),
            ("1 minute 30 seconds", "90 s"), ("5 feet 6 inches", "66 inches"), ("2 lb 8 oz", "40 oz"), ("1 m 20 cm", "120 cm"),
            ("1 m 20 cm", "1.2 m"), (r"25^\circ C", "25"), ("98.6 °F", "98.6"), ("100°C", "100 degrees Celsius"),
            (r"60 \mathrm{~km} / \mathrm{h}", "60 kilometers per hour"), ("36 km/h", "10 m/s"), ("8 N", "8"), ("7", "7 g"),
            ("16 平方厘米", "16 cm^2"), ("3 千克", "3000 克"), ("8 本", "8"), ("8", "8 只"), ("8", "8 名"), ("15 岁", "15"), ("40 blips", "40 blips"),
            ("40 blips", "40"), (r"30 \text{ square units}", "30"), (r"180 \text{ cm}^3", r"180 \text{ mL}"), ("4 weeks", "28 days"),
            ("3 yards", "9 feet"), ("500 cents", r"\$5"), ("£3.50", "3.5"), (r"2 \text{ days}", r"48 \text{ hours}"),
        ],
        &[
            (r"5 \text{ km}", "5 m"), (r"3 \mathrm{~kg}", r"3 \mathrm{~g}"), ("250 mL", "250 L"), ("4 mW", "4 MW"),
            (r"12 \mu m", r"12 \mathrm{~m}"), ("2 GHz", "2 MHz"), ("3 h 20 min", "3.2 h"), ("5 feet 6 inches", "5.6 feet"),
            ("1 m 20 cm", "21 m"), ("25 °C", "25 °F"), ("-4 °C", "4 °C"), ("25 °C", "25 K"), ("60 km/h", "60 m/s"),
            ("9.8 m/s^2", "9.8 m/s"), ("8 N", "8 J"), ("12 V", "12 mV"), ("7 g", "7 kg"), ("16 平方厘米", "16 cm"), ("3 千克", "3 克"),
            ("20 米", "20 厘米"), ("45 分", "45 秒"), ("6 元", "6 角"), ("40 blips", "40 blops"),
            (r"30 \text{ cubic inches}", r"30 \text{ square inches}"), (r"5 \text{ m}", r"5 \text{ mm}"), ("4 weeks", "28"),
            ("3 yards", "3 feet"), ("50 mph", "50 km/h"), ("0.5 mol/L", "0.5 mol"), (r"1.5 \Omega", r"1.5 k\Omega"), (r"\$5", "5 cents"),
            ("€20", r"\$20"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn times() {
    check_kind(
        Form::Auto,
        &[
            ("14:30", "2:30 p.m."), ("12:15 a.m.", "0:15"), (r"3:45 \text{ p.m.}", r"3:45 \mathrm{PM}"),
        ],
        &[
            ("7:05", "7:50"), ("7:05 am", "7:05 pm"), ("14:30", "2:30 a.m."), ("12:15 a.m.", "12:15 p.m."), ("9:00", "9/0"),
            ("4:30", "270"), ("1:30", "1.5"), ("2:15:30", "2:15:31"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            ("10:45", "The train arrives at 10:45."),
        ],
        &[
            ("45", "The train arrives at 10:45."),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn residues() {
    check_kind(
        Form::Auto,
        &[
            (r"x \equiv 3 \pmod{7}", r"x \equiv 10 \pmod 7"), ("3", r"3 \pmod 7"), (r"4 \pmod 9", "4 (mod 9)"), (r"17 \bmod 5", "2"),
            (r"x \equiv -1 \pmod 5", r"x \equiv 4 \pmod 5"),
        ],
        &[
            (r"x \equiv 3 \pmod{7}", r"x \equiv 3 \pmod{5}"), (r"x \equiv 3 \pmod 7", "x = 3"), (r"4 \pmod 9", r"4 \pmod{10}"),
            (r"n \equiv 1 \pmod 6", r"n \equiv 1 \text{ or } 5 \pmod 6"), (r"17 \bmod 5", "17"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn functions_and_names() {
    check_kind(
        Form::Auto,
        &[
            ("f(x)=x^2+1", "f(u)=u^2+1"), ("y=3x", "y = 3x"), ("a_n=2n", "a_n = 2 n"), (r"\sqrt{x^2}", "|x|"),
            (r"\frac{x^2-1}{x-1}", "x+1"),
        ],
        &[
            ("f(x)=x^2+1", "h(x)=x^2+1"), ("f(3)=10", "f(1)=10"), ("y=3x", "x=3y"), ("f^{-1}(x)=x-2", "f(x)=x-2"), ("f'(x)=2x", "f(x)=2x"),
            ("a_n = 2n", "b_n=2n"), ("P(A)=0.3", "P(B)=0.3"), ("|ab|", "ab"), (r"\sqrt{x^2}", "x"),
            (r"\lfloor x\rfloor", r"\lceil x\rceil"), (r"\gcd(n,12)", "1"), (r"\binom{n}{5}", "0"), (r"\min(x,500)", "x"),
            ("|x-2000|", "2000-x"), (r"\arcsin(\sin x)", "x"), ("n!", "n"), (r"\sin 2x", r"2\sin x"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn sets_and_conditions() {
    check_kind(
        Form::Auto,
        &[
            (r"\{1,2,5\}", r"\{5,2,1\}"), ("|x-1|<2", "-1<x<3"), (r"(-\infty,\infty)", "all real numbers"), (r"\emptyset", r"\{\}"),
            (r"\varnothing", r"\emptyset"), (r"x=\pi k, k\in\mathbb{Z}", r"x = k\pi"), (r"x=2k\pi \text{ for integer } k", r"x = 2k\pi"),
            (r"x \in [0,1)", r"0 \le x < 1"), (r"[0,1)\cup(1,2]", r"[0,2]\setminus\{1\}"),
            (r"x>2 \text{ or } x<-2", r"(-\infty,-2)\cup(2,\infty)"), (r"\{x \mid x > 3\}", r"(3,\infty)"),
            (r"x \neq 2", r"\mathbb{R}\setminus\{2\}"), ("x=1, y=2", "y=2, x=1"), ("(x,y)=(1,2)", "(1,2)"), ("(x,y)=(1,2)", "x=1, y=2"),
            (r"\{(1,2),(2,1)\}", "(2,1),(1,2)"), (r"1 \text{ and } 4", "4, 1"), (r"-3 \leq x \leq 3", r"|x| \leq 3"),
        ],
        &[
            (r"\{1,2,5\}", r"\{1,2\}"), (r"\{1,2,5\}", "(1,2,5)"), (r"\{1,2\}", "[1,2]"), ("(1,2)", "[1,2]"), ("|x-1|<2", r"-1\le x\le 3"),
            (r"\mathbb{R}", r"\mathbb{Q}"), (r"\emptyset", "0"), (r"\emptyset", r"\{0\}"),
            (r"x=\pi k, k\in\mathbb{Z}", r"x=2\pi k, k \in \mathbb{Z}"), (r"x\in[0,1)", "0<x<1"), (r"[0,1)\cup(1,2]", "[0,2]"),
            (r"\{x \mid x > 3\}", r"x \geq 3"), (r"x \neq 2", "x=2"), ("x=1, y=2", "x=2, y=1"), (r"\{(1,2),(2,1)\}", "(1,2)"),
            (r"1 \text{ and } 4", "14"), (r"1 \text{ and } 4", "5"), ("1, 4", r"\{1\}"), (r"\mathbb{N}", r"\mathbb{Z}"),
            (r"\{2k : k\in\mathbb Z\}", r"\{3k: k\in\mathbb Z\}"), (r"-3 \leq x \leq 3", "|x| < 3"), ("(2,1)", "(1,2)"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn cases_and_matrices() {
    check_kind(
        Form::Auto,
        &[
            (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1 & 2 \\ 3 & 4\end{bmatrix}"),
            (r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^T"),
            (r"\begin{pmatrix}7&10\\15&22\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^2"),
            (r"\begin{pmatrix}7&10\\15&22\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
            (r"\begin{pmatrix}2&4\\6&8\end{pmatrix}", r"2\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
            (r"\begin{pmatrix}2&2\\3&5\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}+\begin{pmatrix}1&0\\0&1\end{pmatrix}"),
            ("-2", r"\det\begin{pmatrix}1&2\\3&4\end{pmatrix}"), ("-2", r"\begin{vmatrix}1&2\\3&4\end{vmatrix}"),
            (r"\left[\begin{array}{c c}1&0\\0&1\end{array}\right]", r"\begin{bmatrix}1&0\\0&1\end{bmatrix}"),
            (r"\begin{pmatrix}-2&1\\3/2&-1/2\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{-1}"),
            (r"\begin{pmatrix}1/2\\1\end{pmatrix}", r"\frac12\begin{pmatrix}1\\2\end{pmatrix}"),
            (r"\begin{cases}1&x>0\\-1&x<0\end{cases}", r"\begin{cases}1,&\text{if }x>0\\-1,&\text{if }x<0\end{cases}"),
            (r"\begin{cases}1&x>0\\-1&x<0\end{cases}", r"\begin{cases}-1&x<0\\1&x>0\end{cases}"),
            (r"\begin{cases}x=1\\y=2\end{cases}", "x=1,y=2"),
        ],
        &[
            (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
            (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{vmatrix}1&2\\3&4\end{vmatrix}"),
            (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
            (r"\begin{cases}1&x>0\\-1&x<0\end{cases}", r"\begin{cases}-1&x>0\\1&x<0\end{cases}"),
            (r"\begin{cases}x=1\\y=2\end{cases}", "x=2,y=1"), (r"3\mathbf{i}-\mathbf{j}", r"3\mathbf{i}+\mathbf{j}"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn notation() {
    check_kind(
        Form::Auto,
        &[
            ("10^{-4}", "10⁻⁴"), ("x^n", "xⁿ"), ("2^{n+1}", "2ⁿ⁺¹"), ("x^{10}", "x¹⁰"), ("a_{12}", "a₁₂"), (r"\frac{5}{6}", "⅚"),
            (r"2\frac12", "2½"), (r"\sqrt{7}", "√7"), (r"\sqrt[3]{7}", "∛7"), (r"2\pi r", "2πr"), (r"0.1\overline{6}", r"\frac16"),
            (r"0.\overline{142857}", "1/7"), ("0.(3)", "1/3"), ("0.333...", "1/3"), (r"0.\overline{9}", "1"),
            (r"0.\dot{1}\dot{8}", "2/11"), ("6 x 7", "42"), ("3 x 10^5", "300000"), ("3x", "3 x"), (r"\log_2 7", "log2(7)"),
            (r"\log_2 7", "log_2(7)"), (r"\log_{10} 7", "log10(7)"), (r"\binom{10}{3}", "C(10,3)"), ("120", "C(10,3)"),
            (r"\frac{1}{2}", r"\\frac{1}{2}"), (r"\sqrt{3}", r"\\sqrt{3}"), (r"\sqrt 3", r"\sqrt{3}"),
            (r"\frac{\sqrt3}2", r"\frac{\sqrt{3}}{2}"), (r"\dfrac{7}{9}", "7 / 9"), ("7/9", r"7\div 9"), ("7÷9", "7/9"), ("1e-3", "0.001"),
            ("1E5", "100000"), (r"3 \cdot 10^{8}", "3e8"), (r"1.5\times10^{3}", "1500"), ("1010_2", "10"), ("2**3", "8"),
            ("e^(2x)", "e^{2x}"), ("(x+1)^(1/2)", r"\sqrt{x+1}"), ("sqrt(2)/2", r"\frac{\sqrt2}{2}"), ("pi/4", r"\frac{\pi}{4}"),
            ("-oo", r"-\infty"), ("inf", r"\infty"), ("5!", "120"), ("5!!", "15"), ("1{,}234", "1234"), (r"1\,234", "1234"),
            ("1 234 567", "1234567"), ("3,141", "3141"), (r"\sum_{k=1}^{5} k", "15"), (r"\prod_{k=1}^{4}k", "24"), ("{a}_{n}", "a_n"),
            (r"\text{5}", "5"), (r"\mathbf{5}", "5"), (r"\textbf{5}", "5"), (r"\$5", "5"), (r"5\%", "5"), (r"5\%", "0.05"),
            (r"\left(\frac{1}{2}\right)", "0.5"), (r"\displaystyle \frac12", "1/2"), (r"90^\circ", "90"), (r"90^\circ", r"\frac{\pi}{2}"),
            (r"90^{\circ}", "90°"), (r"\cos 60^\circ", r"\frac12"), ("1+i", "i+1"), (r"e^{i\pi}", "-1"),
            (r"\frac{1}{1+i}", r"\frac{1-i}{2}"),
        ],
        &[
            ("10^{-4}", "10⁴"), ("0.3333", "1/3"), (r"\log_2 7", r"\log 2(7)"), ("C(10,3)", "C(10,4)"), ("1010_2", "1010"),
            ("12_5", "12_7"), (r"-\infty", r"\infty"), ("5!!", "120"), ("12,34", "1234"), ("x^{2}", "x2"), (r"5\%", "0.5"),
            (r"5\%", "500"), (r"\sin 30", "1/2"), ("1+i", "1-i"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            (r"\frac{1}{2}", r"\\boxed{\\frac{1}{2}}"),
        ],
        &[],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn lists_of_right_answers_and_golds() {
    check_kind(
        Form::Auto,
        &[
            ("a=1,b=2", "a = 1 and b = 2"), (r"3 \text{ or } 5", "5 or 3"), (r"x = 3 \text{ or } x=5", "3, 5"), ("x=3", "3"), ("3", "x=3"),
            ("2;3", "2,3"), ("The answer is $12$.", "12"), ("$x=4$", "4"), ("#### 12", "12"), ("a + b = 12", "12"), ("a+b=12", "12=a+b"),
            ("y=2x+1", "2x - y + 1 = 0"), ("y=2x+1", "2x+1"), ("y>2x", "2x<y"), ("x^2+y^2=4", r"\frac{x^2}{4}+\frac{y^2}{4}=1"),
            ("1:2:3", "2:4:6"), ("1:2", "1/2"),
        ],
        &[
            (r"3 \text{ or } 5", "3"), ("x=3", "y=3"), ("2, 3", "23"), ("2,3", "2.3"), ("The answer is $12$.", "13"), ("a+b=12", "a+b=13"),
            ("y=2x+1", "y=x+1"), ("y>2x", "y<2x"), ("x^2+y^2=4", "x^2+y^2=2"), ("1:2", "2:1"),
        ],
        &[],
    );
}
