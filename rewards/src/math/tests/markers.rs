//! Marks of answers, by kind: bold type, choices, calculations, turns, money, languages.

use super::check_kind;
use crate::math::Form;
#[test]
fn calculations() {
    check_kind(
        Form::Completion,
        &[
            ("57", "Answer: a+b = 40+17 = 57"),
            ("57", r"\boxed{p+q=57}"),
            ("12", r"\boxed{3\cdot 4=12}"),
            (r"\frac34", r"\boxed{\frac34=0.75}"),
            (r"\frac17", r"\boxed{\frac17\approx0.143}"),
            (r"\sqrt5", r"\boxed{\sqrt5\approx2.236}"),
            ("4/5", r"\boxed{\cos\alpha=\frac45}"),
            ("6", r"\boxed{\gcd(12,18)=6}"),
            (r"\frac{2}{7}", r"\boxed{x=\frac27\approx 0.2857}"),
            ("10", r"\boxed{5!/12 = 120/12 = 10}"),
            ("24", r"\boxed{abc = 24}"),
            ("13", r"\boxed{a^2+b^2 = 13}"),
        ],
        &[
            ("40", "Answer: a+b = 40+17 = 57"),
            ("6", r"\boxed{2x=12}"),
            ("12", r"\boxed{2x=12}"),
            ("13", r"\boxed{3\cdot 4=13}"),
            ("0.143", r"\boxed{\frac17\approx0.143}"),
            ("9", r"\boxed{x^2=9}"),
            ("1", r"\boxed{3x+2y=1}"),
            ("18", r"\boxed{\gcd(12,18)=6}"),
        ],
        &[],
    );
}

#[test]
fn choices() {
    check_kind(
        Form::Completion,
        &[
            ("A", r"\boxed{A. \text{ 12 metres}}"),
            ("B", r"\boxed{\textbf{(B)}}"),
            ("D", "Answer: D because the rest is false"),
            ("D", "The answer is D, since nothing else fits."),
            ("C", "I would choose C."),
            ("A", "I pick option A: it is the only one."),
            ("E", "Option E is correct."),
            (r"\textbf{(D)}\ 14", r"\boxed{D}"),
            (r"\textbf{(D)}\ 14", r"\boxed{14}"),
            (r"\textbf{(D)}\ 14", r"\boxed{\textbf{(D)}\ 14}"),
            ("(B) 3/4", r"0.75 is it: \boxed{0.75}"),
            ("9", r"\boxed{\textbf{(E) }9}"),
            ("B", "The correct option is B"),
            ("yes", "Answer: Yes, it converges."),
            ("no", "Answer: No."),
            ("C", "**Answer: C) 15**"),
            ("B", "Answer: (B) both are true"),
            (r"\text{(A)}", "A"),
        ],
        &[
            ("A", r"\boxed{B. \text{ 12 metres}}"),
            ("B", r"\boxed{A \text{ or } B}"),
            ("D", "Answer: C because D is false"),
            (r"\textbf{(D)}\ 14", r"\boxed{C}"),
            (r"\textbf{(D)}\ 14", r"\boxed{15}"),
            (r"\textbf{(D)}\ 14", r"\boxed{\textbf{(D)}\ 15}"),
            (r"\textbf{(D)}\ 14", r"\boxed{\textbf{(C)}\ 14}"),
            ("9", r"\boxed{\textbf{(E) }8}"),
            ("no", "Answer: Yes, since no other case is left."),
            ("yes", "Answer: No, although yes looks right."),
            ("A", "I pick option B: A is wrong."),
            ("C", "The answer is (B), not (C)."),
            ("B", r"\boxed{A, B}"),
            ("A", "Answer: A and B"),
        ],
        &[],
    );
}

#[test]
fn turns_and_markers() {
    check_kind(
        Form::Completion,
        &[
            ("5", "<think>maybe 7</think>\n\\boxed{5}<|eot_id|>"),
            (
                "D",
                "The options are weighed.\n\\boxed{C}? No.\n\n**Answer: D**",
            ),
            ("125", r"\boxed{125}<|end_of_text|>\boxed{7}"),
            ("30", "Answer: 30\n\nUser: and 5?\n\nAssistant: Answer: 6"),
            (r"\frac{1}{2}", r"\\boxed{\\frac{1}{2}}"),
            ("x=3, y=4", "Answer:\n* x = 3\n* y = 4"),
            ("2, 3", "Final answer:\n- 2\n- 3"),
        ],
        &[
            (
                "C",
                "The options are weighed.\n\\boxed{C}? No.\n\n**Answer: D**",
            ),
            ("7", r"\boxed{125}<|end_of_text|>\boxed{7}"),
            ("6", "Answer: 30\n\nUser: and 5?\n\nAssistant: Answer: 6"),
            ("7", "<think>maybe 7</think>\n\\boxed{5}"),
            ("3", "Final answer:\n- 2\n- 3"),
        ],
        &[],
    );
}

#[test]
fn bold_type() {
    check_kind(
        Form::Completion,
        &[
            ("42", "The final answer is **42**"),
            ("42", "**Final answer: 42**"),
            ("42", "**Answer:**\n\n42"),
            ("42", "*Answer*: 42"),
            ("42", "__Answer: 42__"),
            ("42", "> **Answer:** 42"),
            ("42", "***Answer: 42***"),
            ("42", "**Answer:** `42`"),
            ("42", "Final Answer: **$42**"),
            ("1/2", "**Answer: 1/2**"),
            ("x=3", "So **x = 3**."),
            ("(2,5)", "**The point is (2, 5).**"),
            ("42", "**The answer is $42$.**"),
            ("42", "✅ **42**"),
            ("42", "The answer: **42**!"),
            ("42", "**42 apples**"),
            ("12", "### Answer: 12 hours"),
            ("12", "Answer → 12"),
            ("12", "**Answer**: **12** days"),
            ("12", "Answer = 12"),
            ("C", "**Answer: C**"),
            ("C", "**Correct answer: C. Paris**"),
            ("C", "The answer is **C**."),
            ("C", "**C**"),
            ("7", "**7.**"),
        ],
        &[
            ("42", "**Answer: 43**"),
            ("42", "**Answer: 42 or 43**"),
            ("4", "**Answer: $42**"),
        ],
        &[],
    );
}

#[test]
fn other_languages() {
    check_kind(
        Form::Completion,
        &[
            ("15", "最终答案是：15"),
            ("15", "答案是：$15$"),
            ("15", "因此，答案为 15。"),
            ("A", "答案：A"),
            ("A", "正确答案是 A。"),
            ("B", "所以选B"),
            ("15", "答えは15です。"),
            ("15", "답은 15입니다."),
            ("15", "Ответ: 15."),
            ("15", "Svar: 15"),
            ("15", "Odpowiedź: 15"),
            ("15", "Cevap: 15"),
            ("15", "Jawaban: 15"),
            ("15", "Đáp án: 15"),
            ("15", "उत्तर: 15"),
            ("15", "الجواب: 15"),
            ("x=2或x=3", "答案：x=2 或 x=3"),
            ("15元", r"\boxed{15}元"),
            ("3.5", "答案是3.5米。"),
            ("15", r"答案是\(15\)。"),
        ],
        &[
            ("15", "答案是大约16。"),
            ("15", "答案可能是15或16"),
            ("15", "答案小于15"),
        ],
        &[],
    );
}

#[test]
fn money() {
    check_kind(
        Form::Completion,
        &[
            ("60", "He has $100 - $40 = $60 left."),
            ("60", "He has $100, spends $40, and has $60 left."),
            ("8.5", "That is $8.50 each."),
            ("1200", r"So it costs \$1,200."),
            ("1200", "The total is USD 1,200."),
            ("1200", "It is 1200 dollars"),
            ("75", "It costs 75 cents."),
            ("15", "€15"),
            ("15", "£15.00"),
            ("15 dollars", "$15"),
            ("5", "The tip is $5 (10% of $50)."),
        ],
        &[
            ("100", "He has $100 - $40 = $60 left."),
            ("8", "That is $8.50 each."),
        ],
        &[("0.75", "It costs 75 cents.")],
    );
}
