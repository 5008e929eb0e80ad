//! What commands and characters stand for.

/// Commands that are written as one character.
#[rustfmt::skip]
pub(super) const SIGNS: &[(&str, char)] = &[
    ("cdot", '*'), ("times", '*'), ("ast", '*'), ("star", '*'), ("bullet", '*'), ("div", '/'), ("pm", '±'), ("mp", '∓'),
    ("le", '≤'), ("leq", '≤'), ("leqslant", '≤'), ("leqq", '≤'), ("ge", '≥'), ("geq", '≥'), ("geqslant", '≥'), ("geqq", '≥'),
    ("lt", '<'), ("gt", '>'), ("ne", '≠'), ("neq", '≠'), ("approx", '≈'), ("approxeq", '≈'), ("simeq", '≈'), ("in", '∈'),
    ("cup", '∪'), ("bigcup", '∪'), ("cap", '∩'), ("bigcap", '∩'), ("setminus", '∖'), ("backslash", '∖'), ("smallsetminus", '∖'),
    ("infty", '∞'), ("infin", '∞'), ("emptyset", '∅'), ("varnothing", '∅'), ("ldots", '…'), ("cdots", '…'), ("dots", '…'),
    ("dotsc", '…'), ("dotsb", '…'), ("vdots", '…'), ("ddots", '…'), ("land", '∧'), ("wedge", '∧'), ("lor", '∨'), ("vee", '∨'),
    ("colon", ':'), ("prime", '\''), ("mid", '|'), ("vert", '|'), ("lvert", '|'), ("rvert", '|'), ("Vert", '|'), ("lVert", '|'),
    ("rVert", '|'), ("lfloor", '⌊'), ("rfloor", '⌋'), ("lceil", '⌈'), ("rceil", '⌉'), ("langle", '⟨'), ("rangle", '⟩'),
    ("lbrace", '⦃'), ("rbrace", '⦄'), ("lparen", '('), ("rparen", ')'), ("lbrack", '['), ("rbrack", ']'), ("degree", '°'),
    ("textdegree", '°'), ("circ", '°'), ("to", '→'), ("rightarrow", '→'), ("longrightarrow", '→'), ("sim", '∼'), ("perp", '⊥'),
    ("parallel", '∥'), ("equiv", '≡'), ("cong", '≅'), ("propto", '∝'), ("subset", '⊂'), ("subseteq", '⊆'), ("notin", '∉'),
    ("implies", '⇒'), ("Rightarrow", '⇒'), ("iff", '⇔'), ("Leftrightarrow", '⇔'), ("neg", '¬'), ("lnot", '¬'), ("surd", '√'),
    ("partial", '∂'), ("nabla", '∇'), ("pounds", '£'),
];

/// Commands that only concern looks.
#[rustfmt::skip]
pub(super) const LOOKS: &[&str] = &[
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "middle",
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "rm", "bf", "it", "boxed", "fbox", "mathstrut", "strut",
    "hline", "noindent", "normalsize", "large", "Large", "small", "centering", "allowbreak", "nobreak", "relax", "ensuremath",
];

/// Commands that are white space.
#[rustfmt::skip]
pub(super) const SPACES: &[&str] = &["quad", "qquad", "enspace", "thinspace", "space", "newline", "nonumber", "medspace", "negthinspace"];

/// Commands whose argument is a word or is set in another font.
#[rustfmt::skip]
pub(super) const FONTS: &[&str] = &[
    "mathrm", "mathbf", "mathit", "mathsf", "mathtt", "mathcal", "mathscr", "mathfrak", "boldsymbol", "bm", "operatorname", "mathop",
    "pmb", "cal",
];

/// Commands whose argument is text.
#[rustfmt::skip]
pub(super) const TEXTS: &[&str] = &["text", "textbf", "textit", "textrm", "texttt", "textsf", "textnormal", "mbox", "hbox", "emph", "textup", "textsc"];

/// Commands whose argument says nothing.
#[rustfmt::skip]
pub(super) const SKIPPED_ARGUMENT: &[&str] = &["hspace", "vspace", "color", "textcolor", "phantom", "hphantom", "vphantom", "label", "tag", "kern"];

/// Greek letters in unicode and their commands.
#[rustfmt::skip]
pub(super) const GREEK: &[(char, &str)] = &[
    ('π', "pi"), ('α', "alpha"), ('β', "beta"), ('γ', "gamma"), ('δ', "delta"), ('ε', "epsilon"), ('ϵ', "epsilon"), ('ζ', "zeta"),
    ('η', "eta"), ('θ', "theta"), ('ϑ', "theta"), ('ι', "iota"), ('κ', "kappa"), ('λ', "lambda"), ('μ', "mu"), ('µ', "mu"),
    ('ν', "nu"), ('ξ', "xi"), ('ρ', "rho"), ('σ', "sigma"), ('τ', "tau"), ('υ', "upsilon"), ('φ', "phi"), ('ϕ', "phi"),
    ('χ', "chi"), ('ψ', "psi"), ('ω', "omega"), ('Γ', "Gamma"), ('Δ', "Delta"), ('Θ', "Theta"), ('Λ', "Lambda"), ('Ξ', "Xi"),
    ('Π', "Pi"), ('Σ', "Sigma"), ('Φ', "Phi"), ('Ψ', "Psi"), ('Ω', "Omega"), ('ℓ', "ell"), ('∑', "sum"), ('∏', "prod"), ('∫', "int"),
];

/// Fractions that are one character.
#[rustfmt::skip]
pub(super) const VULGAR: &[(char, i64, i64)] = &[
    ('½', 1, 2), ('⅓', 1, 3), ('⅔', 2, 3), ('¼', 1, 4), ('¾', 3, 4), ('⅕', 1, 5), ('⅖', 2, 5), ('⅗', 3, 5), ('⅘', 4, 5),
    ('⅙', 1, 6), ('⅚', 5, 6), ('⅐', 1, 7), ('⅛', 1, 8), ('⅜', 3, 8), ('⅝', 5, 8), ('⅞', 7, 8), ('⅑', 1, 9), ('⅒', 1, 10),
];

/// Raised characters and what they raise.
#[rustfmt::skip]
pub(super) const SUPERSCRIPTS: &[(char, char)] = &[
    ('⁰', '0'), ('¹', '1'), ('²', '2'), ('³', '3'), ('⁴', '4'), ('⁵', '5'), ('⁶', '6'), ('⁷', '7'), ('⁸', '8'), ('⁹', '9'), ('⁻', '-'),
    ('⁺', '+'), ('ⁿ', 'n'), ('ⁱ', 'i'), ('ᵏ', 'k'), ('ᵐ', 'm'), ('ˣ', 'x'), ('ʸ', 'y'), ('ᵃ', 'a'), ('ᵇ', 'b'), ('ᵗ', 't'), ('ᵖ', 'p'),
    ('⁽', '('), ('⁾', ')'), ('ᵀ', 'T'),
];

/// Lowered characters and what they lower.
#[rustfmt::skip]
pub(super) const SUBSCRIPTS: &[(char, char)] = &[
    ('₀', '0'), ('₁', '1'), ('₂', '2'), ('₃', '3'), ('₄', '4'), ('₅', '5'), ('₆', '6'), ('₇', '7'), ('₈', '8'), ('₉', '9'), ('₋', '-'),
    ('₊', '+'), ('ₙ', 'n'), ('ᵢ', 'i'), ('ₖ', 'k'), ('ₘ', 'm'), ('ₓ', 'x'), ('ₐ', 'a'), ('ⱼ', 'j'), ('ₜ', 't'),
];

/// Commands after which a space is forgotten at times: `\\quadx`.
pub(super) const GLUED: &[&str] = &[
    "qquad", "quad", "cdot", "times", "pi", "ldots", "cdots", "dots", "le", "ge", "in",
];
