//! Answers in words, labelled before they were judged: hedges in several languages, free text, choices, and what a policy would try.

use super::check_kind;
use crate::math::Form;

#[rustfmt::skip]
#[test]
fn words_between_numbers() {
    check_kind(
        Form::Completion,
        &[
            ("40", r"\boxed{40 \text{ different ways}}"), ("40", r"\boxed{\text{exactly } 40 \text{ ways}}"),
            ("5", r"\boxed{5 \text{ solutions}}"), ("5000", r"\boxed{5 \text{ thousand}}"),
        ],
        &[
            ("10", r"\boxed{2 \text{ and } 5}"), ("15", r"\boxed{3 \text{ groups of } 5}"),
            ("25", r"\boxed{2 \text{ rows, } 5 \text{ seats}}"), ("72", r"\boxed{8 \text{ out of } 9}"),
            ("12", r"\boxed{3 \text{ plus } 4}"), ("12", r"\boxed{6 \text{ divided by } 2}"),
            ("30", r"\boxed{5 \text{ days } 6 \text{ hours}}"), ("11", r"\boxed{5 \text{ days } 6 \text{ hours}}"),
            ("4", r"\boxed{\text{about } 3 \text{ or } 4}"), ("16", r"\boxed{\text{width } 2, \text{ length } 8}"),
            ("10", r"\boxed{5 \text{ pairs}}"), ("5", r"\boxed{5 \text{ thousand}}"), ("4", r"\boxed{4 \text{ factorial}}"),
            ("6", r"\boxed{3 \text{ to the power } 2}"), ("1", r"\boxed{\text{one of } 1, 2}"), ("3", r"\boxed{3 \text{ less than } x}"),
            ("3", r"\boxed{\text{half of } 3}"), ("3", r"\boxed{\text{twice } 3}"), ("3", r"\boxed{\text{the square root of } 3}"),
            ("3", r"\boxed{\text{the reciprocal of } 3}"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn hedges() {
    check_kind(
        Form::Completion,
        &[
            ("-6", "The answer is negative 6."), ("6", "The answer is 6, not 7."), ("6", "The answer is exactly 6."),
            ("6", "I am confident that the answer is 6."), ("6", "The answer is 6 — no doubt."), ("6", "The answer is not 5 but 6."),
            ("6", "The answer is 6 instead of 5."),
        ],
        &[
            ("6", "The answer is either 5 or 6."), ("6", "The answer is definitely not 6."), ("6", "The answer is smaller than 6."),
            ("6", "The answer is greater than 6."), ("6", "The answer is 5, 6, or 7."), ("6", "The answer is somewhere between 4 and 6."),
            ("6", "The answer is no more than 6."), ("6", "The answer is at most 6."), ("6", "The answer is 6 or more."),
            ("6", "The answer is 6 or less."), ("6", "The answer is 6+."), ("6", "The answer is not equal to 6."),
            ("6", "The answer cannot be 6."), ("6", "The answer differs from 6."), ("6", "The answer is anything except 6."),
            ("6", "The answer is anything other than 6."), ("6", "The answer is everything but 6."),
            ("6", "The answer is 6 or 7, I am not sure."), ("6", "La respuesta es 5 o 6."), ("6", "La respuesta no es 6."),
            ("6", "La réponse est 5 ou 6."), ("6", "La réponse n'est pas 6."), ("6", "Die Antwort ist 5 oder 6."),
            ("6", "Die Antwort ist weniger als 6."), ("6", "Die Antwort ist größer als 6."), ("6", "La respuesta es menor que 6."),
            ("6", "La réponse est inférieure à 6."), ("6", "A resposta não é 6."), ("6", "La risposta non è 6."), ("6", "Ответ: не 6"),
            ("6", "Ответ: 5 или 6"), ("6", "答案是5或者6。"), ("6", "答案不是6"), ("6", "答案大于6"), ("6", "答案在4到6之间"), ("6", "答案不等于6"),
            ("6", "答えは6ではない"), ("6", "答えは5か6です"), ("6", r"\boxed{5 \lor 6}"), ("6", r"\boxed{5/6 \text{ or } 6}"),
            ("6", r"\boxed{x \ne 6}"), ("6", r"\boxed{\neq 6}"), ("6", r"\boxed{\ge 6}"), ("6", r"\boxed{6^{+}}"),
            ("6", r"\boxed{\lnot 6}"), ("6", r"\boxed{6 \text{ or } 7}"), ("6", r"\boxed{6, 7}"), ("6", r"\boxed{6 \text{ is wrong}}"),
            ("6", r"\boxed{\text{not } 6}"), ("6", r"\boxed{6}\text{ or }\boxed{7}"), ("6", r"\boxed{7} \boxed{6}"),
            ("6", "<answer>6 or 7</answer>"), ("6", "<answer>6</answer><answer>7</answer>"), ("6", "The answer is 6 (or 7)."),
            ("6", "The answer is 6/7/8."), ("B", "The answer is B or C."), ("B", "The answer is (B) and (C)."), ("B", "The answer is B/C"),
            ("B", "Any of A, B, C, D."), ("B", "The answer is neither A nor B."), ("B", r"\boxed{A, B}"), ("B", r"\boxed{AB}"),
            ("B", "Not B."), ("yes", "yes and no"), ("yes", "Answer: Yes or no"), ("yes", "Answer: not yes"),
            ("6", "The answer is 6 × something."), ("6", "The answer is 6, or possibly 12."), ("6", "I doubt the answer is 6."),
            ("6", "The answer is far from 6."), ("6", "The answer is minus 6."),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn free_text() {
    check_kind(
        Form::Completion,
        &[
            ("58", "The final answer is **58**!"), ("58", "**Final answer: 58 km**"), ("58", "Therefore, the total is:\n\n**58**"),
            ("58", "So the answer is 58.\n\nLet me know if you have 2 more questions!"), ("58", "Answer : 58"), ("58", "ANSWER: 58"),
            ("58", "Ans: 58"), ("58", "The correct answer is therefore 58."), ("58", "Hence the required number is 58."),
            ("58", "Thus the final result equals $58$."), ("58", "Final Answer: The final answer is $58$. I hope it is correct."),
            ("58", "Antwort: 58"), ("58", "Die Antwort ist 58."), ("58", "Respuesta final: 58"), ("58", "La réponse finale est 58."),
            ("58", "Ответ: 58"), ("58", "Ответ: 58."), ("58", "答案：58"), ("58", "所以答案是58。"), ("58", "答えは58です。"), ("58", "정답: 58"),
            ("58", "The answer is 58<|im_end|>"), ("58", "The answer is 58.</s>"),
            ("58", "The answer is 58.<|endoftext|>The answer is 59."), ("3/5", "The probability is 3/5."),
            ("0.6", "The probability is 3/5"), ("64", "There are 4^3 = 64 of them."), ("4:9", "The areas are in the ratio 4:9."),
            ("35%", "The discount is 35%."), ("0.35", "The discount is 35%."), ("12500", "She earns $12,500."),
            ("12500", "She earns $12,500.00 a year"), ("2.4 million", "Its population is 2.4 million."),
            ("1/3", r"Hence $P = \frac{4}{12} = \frac13$."), ("13", "Answer: p+q = 4+9 = 13"), (r"\frac25", r"Answer: $\frac25 = 0.4$"),
            ("0.4", r"Answer: $\frac25 = 0.4$"), (r"\pi", r"Answer: $\pi \approx 3.14$"), ("7", "#### 7\n\n"), ("7", "#### $7"),
            ("7", "#### 7 apples"), ("7", "\\boxed{8}\n\nWait, that is wrong. \\boxed{7}"), ("7", "Let x be the number. x = 7"),
            ("7", "The answer is seven."), ("x=2", "The solution is x = 2."), ("2", "The solution is x = 2."),
            ("(3,4)", "The point is $(3, 4)$."), ("18", "Answer:\n\n$$18$$"), ("18", "Answer:\n```\n18\n```"),
            ("18", "<answer>\n18\n</answer>"), ("18", "**Answer**\n\n18"), ("18", "The answer is\n\\[ 18 \\]"), ("18", "> **Answer:** 18"),
            ("18", "*Answer: 18*"), ("18", "Answer = 18"), ("18", "answer=18"), ("18", "x = 18 is the answer."),
            ("18", "18 is the answer."),
        ],
        &[
            ("5", "The probability is 3/5."), ("3", "There are 4^3 of them."), ("9", "The areas are in the ratio 4:9."),
            ("500", "She earns $12,500."), ("2.4", "Its population is 2.4 million."), ("4", "Answer: p+q = 4+9 = 13"),
            ("9", "Answer: p+q = 4+9 = 13"), ("3.14", r"Answer: $\pi \approx 3.14$"),
            ("8", "\\boxed{8}\n\nWait, that is wrong. \\boxed{7}"), ("(3,4)", "The point is (4, 3)."), ("18", "18 is the wrong answer."),
            ("18", "18 is not the answer."),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn choices() {
    check_kind(
        Form::Auto,
        &[
            (r"\textbf{(D)}\ 40", "40"), (r"\textbf{(D)}\ 40", "D"), (r"\textbf{(D)}\ 40", "(D) 40"), (r"\text{(B) } \frac{1}{4}", "0.25"),
            (r"(B) $\frac{1}{4}$", r"\frac14"), ("B. 12", "12"), ("B. 12", "B"),
        ],
        &[
            (r"\textbf{(D)}\ 40", "(E) 40"), (r"\textbf{(D)}\ 40", "41"), (r"\textbf{(D)}\ 40", "E"), ("B. 12", "C"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            ("C", "Answer: C. The others violate the second law of 1850."), ("C", "Answer: (C) 14 cm"),
            ("C", "The correct option is **C**."), ("C", "**C**"), ("C", "C) 14"), ("C", "Option (C)"),
            ("C", "The answer is option C: because of friction"), ("C", "Choice C is right since 3 > 2."),
            ("D", "The answer is not C, it is D."), ("C", "A and B are wrong. The answer is C."), ("C", "故选：C"), ("C", "正确答案是C"),
            ("C", "选C"), ("C", "Die richtige Antwort ist C."), ("C", "La respuesta correcta es C."), ("C", "La bonne réponse est C."),
            ("(C)", r"\boxed{\text{C}}"), ("C", r"\boxed{\mathrm{C}}"), ("C", r"\boxed{C. \; x^2+1}"), ("C", r"\boxed{\textbf{(C) } 14}"),
            ("14", r"\boxed{\textbf{(C) } 14}"),
        ],
        &[
            ("C", "The answer is not C, it is D."), ("A", "A is wrong. The answer is C."), ("15", r"\boxed{\textbf{(C) } 14}"),
            ("B", "The answer is BC."), ("B", "The answer is Boron."), ("A", "The answer is a lot of apples."), ("A", "A cat."),
            ("I", "I think so."),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn what_a_policy_would_try() {
    check_kind(
        Form::Auto,
        &[
            (r"\frac{1}{x}", "x^{-1}"), ("x^2", "(-x)^2"), (r"\sin x", "sin(x)"), ("ab", "ba"),
        ],
        &[
            ("x+1", r"x+1 \text{ or } x+2"), ("x+1", "x"), (r"\frac{1}{x}", r"\frac{1}{-x}"), (r"\sin x", r"\sin"), (r"\sin x", r"\sin y"),
            ("m_1 m_2", "m_1"), (r"\alpha", "a"), (r"\beta", "B"), ("X", "x"), (r"\pi", "p"), ("e", "E"), ("i", "I"), ("O(n)", "O(n^2)"),
            ("O(n)", "0(n)"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            ("17", r"\boxed{17.0}"), ("17", "Answer: 18\nAnswer: 17"), ("17", "Answer: sqrt(289)"), ("17", "Answer: +17"),
            ("17", "Answer: |−17|"), ("17", "Answer: 017"), ("17", "Answer: seventeen"), ("17", "Answer: 17e0"),
        ],
        &[
            ("17", "17 18 19 20"), ("17", r"\boxed{17, 18}"), ("17", r"\boxed{17 \mid 18}"), ("17", r"\boxed{17;18}"),
            ("17", r"\boxed{17 \ldots}"), ("17", r"\boxed{\{17,18\}}"), ("17", r"\boxed{[17,18]}"), ("17", r"\boxed{17 \pm 1}"),
            ("17", r"\boxed{17x}"), ("17", r"\boxed{x}"), ("17", r"\boxed{17+x}"), ("17", r"\boxed{17 + C}"),
            ("17", r"\boxed{\text{the gold answer}}"), ("17", r"\boxed{\text{correct}}"), ("17", r"\boxed{x = x}"),
            ("17", r"\boxed{17 = 17 = 18}"), ("17", r"\boxed{18 = 17}"), ("17", r"\boxed{17 = 18}"), ("17", r"\boxed{17 \ne 18}"),
            ("17", r"\boxed{\infty}"), ("17", r"\boxed{0/0}"), ("17", r"\boxed{NaN}"), ("17", r"\boxed{-}"), ("17", r"\boxed{*}"),
            ("17", r"\boxed{?}"), ("17", r"\boxed{\text{any number}}"), ("17", r"\boxed{n}"), ("17", r"\boxed{\mathbb{R}}"),
            ("17", r"\boxed{x \in \mathbb{R}}"), ("17", r"\boxed{17 \text{ if } 18}"), ("17", r"\boxed{17\cdot\text{something}}"),
            ("17", r"\boxed{17!}"), ("17", r"\boxed{17^{17}}"), ("17", r"\boxed{17.5}"), ("17", r"\boxed{17.000001}"),
            ("17", r"\boxed{16.999999999}"), ("17", r"\boxed{17_{8}}"), ("17", r"\boxed{\sim 17}"), ("17", r"\boxed{\le 17}"),
            ("17", r"\boxed{[17, \infty)}"), ("17", r"\boxed{1 \text{ and } 7}"), ("17", r"\boxed{1 \quad 7}"), ("17", r"\boxed{1, 7}"),
            ("17", r"\boxed{1.7}"), ("17", r"\boxed{17 18}"), ("17", r"\boxed{17\\18}"), ("17", r"\boxed{\begin{cases}17\\18\end{cases}}"),
            ("17", r"\boxed{\begin{pmatrix}17\\18\end{pmatrix}}"), ("17", "Answer: 17\nAnswer: 18"),
            ("17", "The answer is 17. Or 18. Or 19."), ("17", "Answer: 17 or 18 or 19 or 20"), ("17", "Answer: {16, 17, 18}"),
            ("17", "Answer: 16-18"), ("17", "Answer: 16 < x < 18"), ("17", "Answer: ±17"), ("17", "Answer: 17 and a half"),
            ("17", "Answer: 17 1/2"), ("17", "Answer: 17 hundred"), ("17", "Answer: 17k"), ("17", "Answer: 17 billion"),
            ("17", "Answer: 17e1"), ("yes", r"\boxed{\text{yes/no}}"), ("yes", r"\boxed{\text{yes, no}}"),
            ("yes", r"\boxed{\text{It is not yes}}"), ("no", r"\boxed{\text{no doubt: yes}}"), ("even", r"\boxed{\text{even or odd}}"),
            ("even", r"\boxed{\text{not even}}"), ("Paris", r"\boxed{\text{Paris or London}}"), ("Paris", r"\boxed{\text{not Paris}}"),
            ("Paris", r"\boxed{\text{Paris, London, Rome}}"),
        ],
        &[],
    );
}

#[rustfmt::skip]
#[test]
fn what_was_found_on_the_way() {
    check_kind(
        Form::Auto,
        &[
            ("126 hours", r"5 \text{ days } 6 \text{ hours}"), ("f(N)=N^2", "f(n)=n^2"), ("f(x)=5", "f(t)=5"),
            (r"x \equiv -2 \pmod{7}", r"x\equiv 5 \pmod 7"), ("25 °C", "25 degrees Celsius"), (r"\text{even}", "even!"),
            (r"x=2k\pi \text{ for integer } k", r"x = 2k\pi"), ("#### 12", "12"),
        ],
        &[
            ("10", "10C3"), ("5 m", "5 m 6 m"), ("11 m", r"5 \text{ m } 6 \text{ m}"), ("P(X)=0.5", "P(Y)=0.5"),
            (r"x \equiv -2 \pmod{7}", r"x\equiv 2 \pmod 7"), ("25 °C", "25 degrees Fahrenheit"), ("n!", "n"), ("(n+1)!", "n+1"),
            ("3!", "3"), ("#### 12", "13"),
        ],
        &[],
    );
    check_kind(
        Form::Completion,
        &[
            ("6", r"\boxed{6} or equivalently 12/2"), ("1/2", "The answer is 1/2 (or 0.5)."), ("3/4", "The answer is 3/4 (or 75%)."),
            ("6", "答案是6，不是7"), ("6", "All but 6 of them left, so the answer is 6."), ("6", "If we add 3 and 3, the answer is 6."),
            ("6", "Suppose there are 3 more; the answer is 6."), ("6", "It is not hard to see that the answer is 6."),
            ("6", "The answer is not hard: 6."), ("6", "The number is not prime. The answer is 6."),
            ("6", "There is no other way, so the answer is 6."), ("6", r"\boxed{6}. This is not the number of ways; it is the sum."),
            ("6", "The answer is 6, which is not the largest."), ("6", "The answer is 6 because 7 is too large."),
            ("6", "7 is wrong. The answer is 6."), ("C", "Option (C)"), ("D", "The answer is not C, it is D."),
            ("6", "The answer is not 5, it is 6."), ("18", "The answer is:\n- 18"), ("-18", "The answer is:\n-18"),
            ("17", r"\boxed{17 \text{ if } x > 0}"), ("no", "The answer is no, since 6 is not prime."), ("7", "Answer: 7 is prime"),
            ("6", "Final answer: 6 is the smallest such number."), ("0", "The answer is 0, as it is impossible."),
        ],
        &[
            ("6", r"\boxed{6} or 7"), ("6", "The answer is 6. Or maybe 7."), ("1/2", "The answer is 1/2 (or 2/3)."),
            ("B", "The answer is B (or C)."), ("B", "B is not the answer."), ("B", "B is wrong."), ("10", "10C3"), ("6", "答案是6以上"),
            ("6", "答案是6左右"), ("6", "我不认为答案是6"), ("6", "6は正しくない"), ("6", "L’answer: plus de 6"), ("6", "Respuesta: más de 6"),
            ("6", "Resposta: menos de 6"), ("6", "Risposta: almeno 6"), ("6", "Ответ: больше 6"), ("6", "The answer is all but 6."),
            ("6", "If the answer is 6, then x = 3."), ("6", "The wrong answer is 6."), ("6", "It is not true that the answer is 6."),
            ("6", "I don't think the answer is 6."), ("7", "7 is wrong. The answer is 6."), ("6", "So she has 6 or 7 apples."),
            ("6", "So she has less than 6 apples."), ("6", "There are no fewer than 6."), ("6", "Every number except 6"),
            ("6", "Anything other than 6"), ("C", "Option (D)"), ("C", "The answer is not C, it is D."),
            ("5", "The answer is not 5, it is 6."), ("D", "所以选项C正确"), ("18", "The answer is:\n-18"),
            ("18", "The answers are:\n- 17\n- 18"),
        ],
        &[],
    );
}
