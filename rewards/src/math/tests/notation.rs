//! Notation, by kind: units, times, sets, matrices, numbers.

use super::check_kind;
use crate::math::Form;
#[test]
fn units() {
    check_kind(
        Form::Auto,
        &[
            (r"2.5 \mathrm{~km}", r"2500 \text{ m}"),
            (r"40 \mathrm{~mg}", "0.04 g"),
            (r"3 \text{ MW}", "3000 kW"),
            (r"5 \mathrm{~m} / \mathrm{s}", "5 m/s"),
            (r"5 \mathrm{~m} / \mathrm{s}", "18 km/h"),
            ("1 hour 15 minutes", "75 minutes"),
            ("1 h 15 min", "75 min"),
            ("6 feet 2 inches", "74 inches"),
            (r"2 \text{ hours and } 5 \text{ minutes}", "125 minutes"),
            (r"30^\circ \text{C}", "30°C"),
            (r"7 \text{ L}", "7000 mL"),
            ("12 s", "12"),
            (r"2 \text{ years}", "24 months"),
            (r"8 \text{ N}\cdot\text{m}", "8 J"),
            ("3厘米", "30毫米"),
            ("6小时", "6"),
            ("500 克", "0.5千克"),
            (r"4 \text{ ways}", "4"),
            (r"9 \text{ square units}", r"9 \text{ cm}^2"),
            ("2 dozen", "24"),
            (r"4 \mathrm{~cm}^{3}", "4 mL"),
            (r"15 \text{ kPa}", "15000 Pa"),
            (r"3 \text{ red apples}", "3 apples"),
            (r"10 \Omega", r"10 \Omega"),
        ],
        &[
            (r"2.5 \mathrm{~km}", r"2.5 \mathrm{~m}"),
            (r"3 \text{ MW}", r"3 \text{ mW}"),
            (r"3 \text{ MPa}", r"3 \text{ kPa}"),
            (r"30^\circ \text{C}", r"30^\circ \text{F}"),
            (r"5 \text{ years}", r"5 \text{ months}"),
            (r"5 \text{ years}", r"5 \text{ days}"),
            (r"4 \mathrm{~m}^2", r"4 \mathrm{~m}^3"),
            ("1 h 15 min", "1 h 25 min"),
            (r"5 \text{ apples}", r"5 \text{ pears}"),
            (r"3 \text{ GB}", r"3 \text{ MB}"),
            (r"7 \text{ V}", r"7 \text{ W}"),
            ("10元", "10角"),
            ("2 dozen", "2"),
            ("5 m/s", "5 km/h"),
            ("5 m/s", "5 m"),
            ("3", "3 dozen"),
            ("6 feet 2 inches", "62 inches"),
            ("2 kg", "2 lbs"),
            ("9 J", "9 N"),
        ],
        &[],
    );
}

#[test]
fn times_and_ratios() {
    check_kind(
        Form::Auto,
        &[
            ("7:05", "7:05"),
            ("8:00 am", "8:00 AM"),
            ("13:45", "1:45 p.m."),
            ("2:5", "4:10"),
            ("0:30", "0:30"),
            ("9:15", "9:15 a.m."),
        ],
        &[
            ("8:00", "9:00"),
            ("0:30", "0:45"),
            ("7:05", "7:50"),
            ("2:5", "5:2"),
            ("8:00 am", "8:00 pm"),
            ("12:00", "6:00"),
            ("3:30", "3:31"),
            ("10:20", "11:22"),
        ],
        &[],
    );
}

#[test]
fn residues() {
    check_kind(
        Form::Auto,
        &[
            (r"x \equiv 2 \pmod 7", r"x \equiv 9 \pmod 7"),
            (r"n \equiv 1 \pmod{4}", r"n \equiv 1 (mod 4)"),
            (r"4 \pmod 9", "4"),
            (r"x \equiv 3 \mod 8", "x≡11 (mod 8)"),
        ],
        &[
            (r"x \equiv 2 \pmod 7", r"x \equiv 2 \pmod 8"),
            (r"x \equiv 2 \pmod 7", r"x \equiv 3 \pmod 7"),
            (r"4 \pmod 9", r"5 \pmod 9"),
            (r"x \equiv 2 \pmod 7", r"y \equiv 2 \pmod 9"),
        ],
        &[],
    );
}

#[test]
fn sets_and_conditions() {
    check_kind(
        Form::Auto,
        &[
            ("|x| < 5", "(-5,5)"),
            (r"|x| \ge 1", r"x \le -1 \text{ or } x \ge 1"),
            (r"|x-2| \le 3", "[-1,5]"),
            ("|2x+1| < 5", "-3 < x < 2"),
            (r"\mathbb{R}", "all real numbers"),
            (r"(-\infty,\infty)", r"\text{all reals}"),
            (r"\emptyset", r"\text{no solutions}"),
            (r"x = 2k\pi", r"x = 2k\pi, k \in \mathbb{Z}"),
            (
                r"2k\pi, k\in\mathbb{Z}",
                r"2n\pi \text{ where } n \in \mathbb{Z}",
            ),
            (
                r"\frac{\pi}{4}+k\pi",
                r"\frac{\pi}{4}+k\pi \quad (k \in \mathbb Z)",
            ),
            ("x=1 或 x=5", "x=1, x=5"),
            (r"\mathbb{Z}", r"\text{all integers}"),
            ("x^3 + C", "x^3 + K"),
            ("no solution", "there are no solutions"),
            ("2-3i", "2-3j"),
        ],
        &[
            ("|x| < 5", "[-5,5]"),
            ("|x| < 5", "x<5"),
            (r"|x-2| \le 3", "[-5,1]"),
            (r"\mathbb{R}", r"\text{all integers}"),
            (r"\emptyset", "0"),
            (r"x = 2k\pi", r"x = 2\pi"),
            ("x^3 + C", "x^2 + K"),
            ("x^3 + C", "x^3 + x"),
            (r"\text{no solution}", r"\text{all real numbers}"),
            ("2-3i", "2+3j"),
            (r"k\pi", r"k, k \in \mathbb{Z}"),
            ("|x| > 5", "x > 5"),
        ],
        &[],
    );
}

#[test]
fn matrices_and_cases() {
    check_kind(
        Form::Auto,
        &[
            (
                r"\begin{pmatrix}7\\10\end{pmatrix}",
                r"\begin{pmatrix}1&2\\2&3\end{pmatrix}\begin{pmatrix}-1\\4\end{pmatrix}",
            ),
            (
                r"\begin{pmatrix}2&4\\6&8\end{pmatrix}",
                r"2\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            ),
            (
                r"\begin{pmatrix}1&3\\2&4\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^T",
            ),
            (
                r"\begin{pmatrix}1&3\\2&4\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{\top}",
            ),
            (
                r"\begin{pmatrix}5&5\\5&5\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}+\begin{pmatrix}4&3\\2&1\end{pmatrix}",
            ),
            (
                r"\begin{pmatrix}7&10\\15&22\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^2",
            ),
            ("-5", r"\begin{vmatrix}1&3\\2&1\end{vmatrix}"),
            ("-5", r"\det\begin{pmatrix}1&3\\2&1\end{pmatrix}"),
            (
                r"\begin{pmatrix}1&0\\0&2\end{pmatrix}",
                r"\left[\begin{array}{ c c }1&0\\0&2\end{array}\right]",
            ),
            (
                r"\begin{cases}x&x\ge0\\-x&x<0\end{cases}",
                r"\begin{cases}x,&\text{if }x\ge0\\-x,&\text{if }x<0\end{cases}",
            ),
            ("x=1, y=2", r"\begin{cases}x=1\\y=2\end{cases}"),
            (
                r"\begin{pmatrix}1&2&3\\4&5&6\\7&8&9\end{pmatrix}",
                "[[1,2,3],[4,5,6],[7,8,9]]",
            ),
            (
                r"\begin{pmatrix}-2&1\\3/2&-1/2\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{-1}",
            ),
        ],
        &[
            (
                r"\begin{pmatrix}7\\11\end{pmatrix}",
                r"\begin{pmatrix}1&2\\2&3\end{pmatrix}\begin{pmatrix}-1\\4\end{pmatrix}",
            ),
            (
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^T",
            ),
            ("5", r"\begin{vmatrix}1&3\\2&1\end{vmatrix}"),
            (
                r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
                r"2\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            ),
            (
                r"\begin{cases}x&x\ge0\\-x&x<0\end{cases}",
                r"\begin{cases}x&x\ge0\\x&x<0\end{cases}",
            ),
            (r"\begin{cases}x&x\ge0\\-x&x<0\end{cases}", "x"),
            ("x=1, y=2", r"\begin{cases}x=2\\y=1\end{cases}"),
        ],
        &[],
    );
}

#[test]
fn notation() {
    check_kind(
        Form::Auto,
        &[
            (r"5 \times 10^{-6}", "5x10^-6"),
            ("450", "4.5 x 10^2"),
            ("0.0002", "2×10⁻⁴"),
            ("x^{n+1}", "xⁿ⁺¹"),
            ("2^{-5}", "2⁻⁵"),
            (r"\log_2 9", "log2(9)"),
            (r"\log_{10} 3", "log10(3)"),
            ("210", "C(10,4)"),
            (r"\frac{5}{33}", r"0.1515\ldots"),
            (r"\frac16", "0.1666..."),
            (r"\frac{7}{9}", "0.777…"),
            (r"\frac{41}{333}", r"0.\dot{1}2\dot{3}"),
            ("3F_{16}", "63"),
            ("BC_{16}", "188"),
            (r"\frac{1}{2}", r"\\frac{1}{2}"),
            ("a_k+1", "{a}_{k}+1"),
            (r"3,\quad 4", r"3,\quad4"),
            (r"x=1,\quad y=2", r"x=1,\quady=2"),
            ("-2,0,1", "-2, 0, 1"),
            (r"\sqrt{2}", r"\\sqrt{2}"),
            ("x_1", "x₁"),
            (r"2\pi r", r"2\pir"),
            ("12", "C_{12}^{1}"),
            ("0.25", "0,25"),
        ],
        &[
            (r"5 \times 10^{-6}", "5x10^6"),
            (r"\log_2 9", "log3(9)"),
            ("210", "C(10,5)"),
            ("0.15", r"0.1515\ldots"),
            ("3F_{16}", "3E_{16}"),
            ("2^{-5}", "2⁵"),
            ("0,5", "5"),
            ("x_1", "x_2"),
            ("-2,0,1", "-2,0.1"),
            (r"\frac16", "0.166"),
        ],
        &[],
    );
}

#[test]
fn ways_to_write_numbers() {
    check_kind(
        Form::Auto,
        &[
            ("1{,}234", "1234"),
            ("12 345", "12345"),
            ("3.0", "3"),
            (r"\frac{-1}{2}", r"-\frac12"),
            ("- 0.5", "-1/2"),
            (r"1.5 \cdot 10^{3}", "1500"),
            ("1.5E3", "1500"),
            (r"50\%", "0.5"),
            ("50 percent", "50%"),
            (r"\left(1, 2\right)", "(1,2)"),
            ("(1;2)", "(1,2)"),
            (r"\langle 1,2 \rangle", "(1,2)"),
            (r"\text{(1,2)}", "(1,2)"),
            ("$5$", "5"),
            (r"\(5\)", "5"),
            (r"\[5\]", "5"),
            (r"5\text{.}", "5"),
            (r"5 \,", "5"),
            ("{5}", "5"),
            (r"\mathbf{5}", "5"),
            (r"\dfrac{1}{3}", "1/3"),
            (r"1 \frac{1}{2}", "3/2"),
            (r"5\%", r"5 \%"),
            (r"3\sqrt{2}", "3*sqrt(2)"),
            (r"\pi/3", r"60^\circ"),
            ("1+2i", "2i+1"),
            (r"\sqrt[3]{8}", "2"),
            ("7.", "7"),
            ("seven", "7"),
            (r"\mathrm{e}^2", "e^2"),
            ("10^{2}", "100"),
            (r"\frac{1}{2}", "½"),
            ("3 1/2", "3.5"),
            ("1,000,000", "10^6"),
            (r"0.\overline{6}", "2/3"),
            ("0.(3)", "1/3"),
            ("2/4", "1/2"),
        ],
        &[
            ("1.234", "1234"),
            ("3.1", "3.01"),
            ("1/3", "0.33"),
            (r"\frac12", r"\frac13"),
            ("10^2", "10^3"),
            ("12", "21"),
            ("-5", "5"),
            ("1+2i", "1-2i"),
            (r"\sqrt2", "2"),
            (r"0.\overline{6}", "0.6"),
            ("3 1/2", "3/2"),
            ("(1,2)", "[1,2]"),
            (r"\{1,2\}", "(1,2)"),
            ("1.5E3", "1.5E-3"),
        ],
        &[],
    );
}
