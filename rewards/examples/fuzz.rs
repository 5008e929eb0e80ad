//! Throws hostile, random and mutated texts at the math checker and the extraction, and says what was the worst.
//!
//! ```sh
//! cargo run --release -p dunwu-rewards --example fuzz -- --inputs 10000000 [--seed 1] [--corpus CASES.jsonl] [--trace]
//! ```
//!
//! A corpus has `{"gold", "pred"}` lines; without one, a few answers of our own are mutated. Each input is one call of `judge`
//! in one of its forms. Fails if a call panics, takes more steps than its budget, or calls a text different from itself.
//! Reports times, and the peak of memory that single calls allocated.
#![allow(clippy::print_stdout, clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use dunwu_rewards::math::{DEFAULT_STEPS, Form, MathOptions, Verdict, judge};
use rand::RngExt;

/// Counts what this thread has allocated, now and at most.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "\\frac", "\\dfrac", "\\sqrt", "\\sqrt[3]", "\\text{", "\\left(", "\\right)", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "\\boxed{",
    "{", "}", "(", ")", "[", "]", "\\{", "\\}", "|", "^", "^{", "_", "_{", "+", "-", "*", "/", "=", "<", ">", "\\le", ",", ";", ":", "!", "%",
    "'", "&", "$", "~", "0", "1", "2", "7", "10", "23", "999999999999", "4.5", ".6", "1e9", "1e-300", "x", "y", "n", "sin", "\\ln", "\\log_2",
    "\\tan", "\\arcsin", "\\sum_{k=1}^", "\\prod_{i=0}^{9}", "\\int_0^1", "dx", "\\pm", "\\cup", "\\cap", "\\setminus", "\\infty", "i", "e",
    "\\pi", "and", " or ", "cm", "percent", "am", "the answer is ", "½", "√", "²", "∞", "≤", "顿", "\u{301}", "\u{0}", " ", "\n", "**",
    "#### ", "<think>", "</think>", "<answer>", "</answer>", "\\zzz", "\\", "°", "€", "0.\\overline{3}", "base", "\\binom{9}{4}",
    "\\lfloor", "\\rfloor", "\\gcd(12,18)", "f(x)", "x \\in ", "\\mathbb{R}", "[0,1)", "(0,1]", "\\bmod", "\\pmod{7}", "F_{n-1}", "!!",
];

#[rustfmt::skip]
const CORPUS: &[&str] = &[
    r"\frac{5\sqrt{42}}{27}", r"1 \pm \sqrt{19}", r"(-\infty, 2) \cup (3, \infty)", r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}",
    r"x^2/4 + y^2/3 = 1", "28\\%", "10{,}000", "1,234,567.89", r"\text{(C)}", "4:30 p.m.", "3:4:5", r"5.4 \text{ cents}",
    r"\sqrt{3+2\sqrt{2}}", r"e^{i\pi}", r"\tan^2(y)+1", r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}", r"\{1\pm\sqrt{5},-2\}", "4210_{5}",
    "The answer is $x = 5$.", r"so \boxed{\frac{1}{2}}", "A: 694", r"\left(\frac35,\frac83\right]", "2^{2^{2^2}}", "100!", r"\arctan\frac12",
];

/// Texts that are hostile on purpose, of a size that is drawn.
fn hostile(rng: &mut impl RngExt) -> String {
    let size = [3usize, 20, 45, 200, 3000][rng.random_range(0..5)];
    let base = rng.random_range(2..99);
    match rng.random_range(0..16) {
        0 => format!(
            "{base}{}",
            format!("^{{{base}").repeat(size.min(45)) + &"}".repeat(size.min(45))
        ),
        1 => format!("{base}{}", "!".repeat(size)),
        2 => "(".repeat(size) + "1" + &")".repeat(size),
        3 => "\\frac{1}{1+".repeat(size) + "x" + &"}".repeat(size),
        4 => "\\sqrt{2+".repeat(size.min(45)) + "2" + &"}".repeat(size.min(45)),
        5 => (1..size.min(60))
            .map(|n| format!("\\sqrt{{{n}}}"))
            .collect::<Vec<_>>()
            .join("+"),
        6 => format!("(x+y+z+{base})^{{{size}}}"),
        7 => format!("{}.{}", "9".repeat(size), "1".repeat(size)),
        8 => format!("\\sum_{{a=1}}^{{{size}}}\\sum_{{b=1}}^{{{size}}} \\frac{{a}}{{b}}"),
        9 => (0..size.min(300))
            .map(|n| format!("\\frac{{{n}}}{{{base}}}"))
            .collect::<Vec<_>>()
            .join(","),
        10 => format!("\\sin({base}^{{{size}}})"),
        11 => format!("\\binom{{{}}}{{{}}}", "9".repeat(size.min(40)), base),
        12 => format!(
            "\\frac{{1}}{{{}}}+\\frac{{1}}{{{}}}",
            "7".repeat(size),
            "3".repeat(size)
        ),
        13 => format!("{base}^{{\\frac{{{size}}}{{{base}}}}}"),
        14 => (0..size.min(60))
            .map(|n| format!("({n}, {base})"))
            .collect::<Vec<_>>()
            .join(" \\cup "),
        _ => (1..size.min(40))
            .map(|n| format!("\\sin({n}x)"))
            .collect::<Vec<_>>()
            .join("\\cdot"),
    }
}

/// A text with some of its characters replaced, doubled, left out or exchanged for pieces.
fn mutated(rng: &mut impl RngExt, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().take(600).collect();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=characters.len());
        let piece: Vec<char> = PIECES[rng.random_range(0..PIECES.len())].chars().collect();
        match rng.random_range(0..5) {
            0 if at < characters.len() => {
                characters.remove(at);
            }
            1 if at < characters.len() => characters[at] = char::from(rng.random_range(32..127u8)),
            2 if at < characters.len() => characters.truncate(at.max(1)),
            3 => {
                let end = (at + rng.random_range(0..20)).min(characters.len());
                let copy = characters[at..end].to_vec();
                characters.splice(at..at, copy);
            }
            _ => {
                characters.splice(at..at, piece);
            }
        }
    }
    characters.into_iter().collect()
}

/// A formula that reads: grammar by grammar.
fn formula(rng: &mut impl RngExt, depth: usize) -> String {
    if depth == 0 || rng.random_range(0..5) == 0 {
        return match rng.random_range(0..6) {
            0 => "x".to_owned(),
            1 => "\\pi".to_owned(),
            2 => "i".to_owned(),
            _ => rng.random_range(0..200).to_string(),
        };
    }
    let mut part = || formula(rng, depth - 1);
    let (a, b) = (part(), part());
    match rng.random_range(0..12) {
        0 => format!("({a}) + ({b})"),
        1 => format!("({a}) - ({b})"),
        2 => format!("({a}) \\cdot ({b})"),
        3 => format!("\\frac{{{a}}}{{{b}}}"),
        4 => format!("\\sqrt{{{a}}}"),
        5 => format!("({a})^{{{b}}}"),
        6 => format!("\\sin({a})"),
        7 => format!("\\ln({a})"),
        8 => format!("\\sqrt[3]{{{a}}}"),
        9 => format!("|{a}|"),
        10 => format!("e^{{{a}}}"),
        _ => format!("\\arctan({a})"),
    }
}

fn text(rng: &mut impl RngExt, corpus: &[String]) -> String {
    match rng.random_range(0..20) {
        0 => hostile(rng),
        1..=5 => {
            let count = rng.random_range(0..30);
            (0..count)
                .map(|_| PIECES[rng.random_range(0..PIECES.len())])
                .collect()
        }
        6..=10 => {
            let depth = rng.random_range(1..5);
            formula(rng, depth)
        }
        11 => corpus[rng.random_range(0..corpus.len())].clone(),
        _ => {
            let original = &corpus[rng.random_range(0..corpus.len())];
            mutated(rng, original)
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let inputs: u64 = value("--inputs").map_or(100_000, |text| text.parse().unwrap());
    let trace = arguments.iter().any(|argument| argument == "--trace");
    let seed: u64 = value("--seed").map_or(1, |text| text.parse().unwrap());
    let mut corpus: Vec<String> = CORPUS.iter().map(|text| (*text).to_owned()).collect();
    if let Some(path) = value("--corpus") {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            corpus.extend(
                ["gold", "pred"]
                    .iter()
                    .map(|key| case[key].as_str().unwrap().to_owned()),
            );
        }
    }
    std::panic::set_hook(Box::new(|panic| println!("{panic}")));

    let mut rng = dunwu_datasets::rng(seed);
    let (mut panics, mut overspent, mut unequal) = (0u64, 0u64, 0u64);
    let mut counts = [0u64; 3];
    let (mut slowest, mut slowest_input) = (Duration::ZERO, String::new());
    let (mut largest, mut largest_input) = (0isize, String::new());
    let (mut most_steps, mut over_1_ms) = (0, 0u64);
    let start = Instant::now();
    for index in 0..inputs {
        let gold = text(&mut rng, &corpus);
        let same = index % 16 == 0;
        let pred = if same {
            format!(" {gold} ")
        } else {
            text(&mut rng, &corpus)
        };
        let form = [Form::Auto, Form::Answer, Form::Completion][rng.random_range(0..3)];
        let options = MathOptions {
            form: if same { Form::Answer } else { form },
            ..MathOptions::default()
        };
        if trace {
            eprintln!("{gold:?} | {pred:?}");
        }
        let before = NOW.with(Cell::get);
        PEAK.with(|peak| peak.set(before));
        let begin = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let judgement = judge(&gold, &pred, &options);
            (judgement.verdict, judgement.steps)
        }));
        let spent = begin.elapsed();
        let memory = PEAK.with(Cell::get) - before;
        match result {
            Ok((verdict, steps)) => {
                overspent += u64::from(steps > DEFAULT_STEPS);
                most_steps = most_steps.max(steps);
                let plain = !["\\boxed", "\\fbox", "####", "nswer"]
                    .iter()
                    .any(|mark| gold.contains(mark))
                    && gold.len() < 400;
                let itself =
                    same && plain && verdict == Verdict::Different && !gold.trim().is_empty();
                if itself {
                    println!("DIFFERENT FROM ITSELF: {gold:?}");
                }
                unequal += u64::from(
                    same && plain && verdict == Verdict::Different && !gold.trim().is_empty(),
                );
                counts[match verdict {
                    Verdict::Equal => 0,
                    Verdict::Different => 1,
                    Verdict::Undecided { .. } => 2,
                }] += 1;
            }
            Err(_) => {
                panics += 1;
                println!("PANIC: gold {gold:?} pred {pred:?}");
            }
        }
        if spent > Duration::from_millis(1) {
            let again = Instant::now();
            let _ = catch_unwind(AssertUnwindSafe(|| judge(&gold, &pred, &options)));
            over_1_ms += u64::from(again.elapsed().min(spent) > Duration::from_millis(1));
        }
        if spent > slowest {
            // A few times more: what else the machine does is no fault of the input.
            let mut best = spent;
            for _ in 0..5 {
                let again = Instant::now();
                let _ = catch_unwind(AssertUnwindSafe(|| judge(&gold, &pred, &options)));
                best = best.min(again.elapsed());
            }
            if best > slowest {
                slowest = best;
                slowest_input = format!("{gold:?} | {pred:?}");
            }
        }
        if memory > largest {
            largest = memory;
            largest_input = format!("{gold:?} | {pred:?}");
        }
    }
    let short = |text: &str| text.chars().take(1500).collect::<String>();
    println!("slowest: {}", short(&slowest_input));
    println!("largest: {}", short(&largest_input));
    let summary = serde_json::json!({
        "inputs": inputs, "seed": seed, "panics": panics, "overspent": overspent, "different_from_itself": unequal,
        "equal": counts[0], "different": counts[1], "undecided": counts[2],
        "inputs_per_s": (inputs as f64 / start.elapsed().as_secs_f64()).round(),
        "slowest_us": slowest.as_micros() as u64, "over_1_ms": over_1_ms, "largest_memory_bytes": largest, "most_steps": most_steps,
    });
    println!("{summary}");
    std::process::exit(i32::from(panics + overspent + unequal > 0));
}
