//! Which word or command means what: the dictionary of the tokenizer and of the parser.

use super::expression::{Constant, Function};

/// Commands that the parser handles by itself.
#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "frac", "dfrac", "tfrac", "cfrac", "sfrac", "sqrt", "binom", "dbinom", "tbinom", "choose", "sum", "prod", "int", "lim", "pmod",
    "bmod", "mod", "pod", "overline", "overrightarrow", "vec", "hat", "bar", "tilde", "dot", "widehat", "underline", "limit", "not",
    "mathbbR", "mathbbZ", "mathbbN", "mathbbQ", "mathbbC", "cbrt", "over",
];

/// Names of greek letters that are variables. π is a constant.
#[rustfmt::skip]
const GREEK: &[&str] = &[
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell", "hbar", "aleph", "triangle", "angle", "Re", "Im",
];

/// Decorations of a letter.
pub(crate) const DECORATIONS: &[&str] = &[
    "overline",
    "overrightarrow",
    "vec",
    "hat",
    "bar",
    "tilde",
    "dot",
    "widehat",
    "underline",
];

/// The function of a name, with or without a backslash.
pub(crate) fn function_named(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" | "tg" => Function::Tan,
        "cot" | "ctg" => Function::Cot,
        "sec" => Function::Sec,
        "csc" | "cosec" => Function::Csc,
        "arcsin" | "asin" => Function::Arcsin,
        "arccos" | "acos" => Function::Arccos,
        "arctan" | "atan" | "arctg" => Function::Arctan,
        "arccot" | "acot" | "arcctg" => Function::Arccot,
        "arcsec" | "asec" => Function::Arcsec,
        "arccsc" | "acsc" => Function::Arccsc,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "arsinh" | "arcsinh" | "asinh" => Function::Arsinh,
        "arcosh" | "arccosh" | "acosh" => Function::Arcosh,
        "artanh" | "arctanh" | "atanh" => Function::Artanh,
        "ln" => Function::Ln,
        "log" | "lg" => Function::Log,
        "exp" => Function::Exp,
        "abs" => Function::Abs,
        "floor" => Function::Floor,
        "ceil" => Function::Ceil,
        "min" => Function::Min,
        "max" => Function::Max,
        "gcd" => Function::Gcd,
        "lcm" => Function::Lcm,
        "sqrt" | "cbrt" => Function::Root,
        _ => return None,
    })
}

/// The inverse of a function, for `sin^{-1}`.
pub(crate) fn inverse(function: Function) -> Option<Function> {
    Some(match function {
        Function::Sin => Function::Arcsin,
        Function::Cos => Function::Arccos,
        Function::Tan => Function::Arctan,
        Function::Cot => Function::Arccot,
        Function::Sec => Function::Arcsec,
        Function::Csc => Function::Arccsc,
        Function::Sinh => Function::Arsinh,
        Function::Cosh => Function::Arcosh,
        Function::Tanh => Function::Artanh,
        _ => return None,
    })
}

/// The constant of a name.
pub(crate) fn constant_named(name: &str) -> Option<Constant> {
    Some(match name {
        "pi" => Constant::Pi,
        "e" => Constant::E,
        "i" | "imath" => Constant::I,
        "infty" | "infinity" | "Infinity" | "inf" | "oo" => Constant::Infinity,
        _ => return None,
    })
}

/// Whether a name is that of a greek letter, or another that stands for a variable.
pub(crate) fn is_letter_name(name: &str) -> bool {
    GREEK.contains(&name)
}

/// Whether `\name` has a meaning to the parser.
pub(crate) fn is_known_command(name: &str) -> bool {
    COMMANDS.contains(&name)
        || function_named(name).is_some()
        || constant_named(name).is_some()
        || is_letter_name(name)
}

/// Whether a short run of letters is an English word and no product of variables.
pub(crate) fn is_english(word: &str) -> bool {
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "the", "is", "it", "its", "of", "to", "so", "we", "if", "by", "as", "at", "be", "on", "no", "yes", "you", "not", "can", "all", "one",
        "two", "are", "for", "was", "has", "had", "his", "her", "he", "she", "us", "an", "but", "how", "who", "why", "odd", "six", "ten", "per",
        "set", "day", "men", "boy", "red", "any", "let", "get", "got", "now", "out", "own", "our", "see", "way", "non", "nor", "only", "with",
        "true", "then", "this", "that", "none", "both", "even",
    ];
    WORDS.contains(&word.to_ascii_lowercase().as_str())
}
