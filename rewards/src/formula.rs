//! The language of a rubric's total: arithmetic over component names.
//!
//! The parser is evalexpr's, which knows more than a reward should: assignments, `;`, strings,
//! integer division. What it parses is therefore checked against a whitelist, every integer is made
//! a floating-point number (`1/2` is 0.5 here), and the functions are this module's own.

use evalexpr::{Context, EvalexprError, EvalexprResult, Node, Operator, Value};

/// The functions of a formula, with what they do.
const FUNCTIONS: [&str; 4] = ["min", "max", "abs", "if"];

/// Names farther than this from any known one get no suggestion (Jaro-Winkler, 0 to 1).
const SIMILAR: f64 = 0.75;

/// Why a text is no formula.
#[derive(Debug, thiserror::Error)]
pub enum FormulaError {
    /// The text cannot be parsed.
    #[error("total {formula:?} cannot be read: {reason}")]
    Syntax {
        /// The formula.
        formula: String,
        /// What the parser said.
        reason: String,
    },
    /// A name is neither a component nor a function.
    #[error("total {formula:?}: unknown name {name}; {}the components are {known}, the functions {functions}",
        .nearest.as_ref().map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default(),
        functions = FUNCTIONS.join(", "))]
    UnknownName {
        /// The formula.
        formula: String,
        /// The name in it.
        name: String,
        /// The component or function that it looks like.
        nearest: Option<String>,
        /// The rubric's components.
        known: String,
    },
    /// Something that evalexpr can do and a reward must not.
    #[error("total {formula:?}: {what} is not allowed")]
    Forbidden {
        /// The formula.
        formula: String,
        /// What it uses.
        what: String,
    },
    /// The formula does not give a finite number for scores that do occur.
    #[error("total {formula:?} gives {result} for {scores}")]
    Probe {
        /// The formula.
        formula: String,
        /// The result, or why there is none.
        result: String,
        /// The scores that were tried.
        scores: String,
    },
}

/// A checked formula.
#[derive(Clone, Debug)]
pub(crate) struct Formula {
    root: Node,
    /// Which components it reads: their positions in the list it was parsed with.
    reads: Vec<usize>,
}

impl Formula {
    /// Parses `text`, which may use the names of `components`.
    pub(crate) fn parse(text: &str, components: &[&str]) -> Result<Self, FormulaError> {
        let mut root =
            evalexpr::build_operator_tree(text).map_err(|error| FormulaError::Syntax {
                formula: text.to_owned(),
                reason: error.to_string(),
            })?;
        check(&mut root, text, components)?;
        let reads = (0..components.len())
            .filter(|index| {
                root.iter_identifiers()
                    .any(|name| name == components[*index])
            })
            .collect();
        Ok(Self { root, reads })
    }

    /// The positions of the components that the formula reads.
    pub(crate) fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// The value for `scores` of `components`. It may be NaN or infinite.
    pub(crate) fn evaluate(&self, components: &[&str], scores: &[f64]) -> Result<f64, String> {
        let values = scores.iter().map(|score| Value::Float(*score)).collect();
        let scope = Scope {
            names: components,
            values,
        };
        match self.root.eval_with_context(&scope) {
            Ok(Value::Float(value)) => Ok(value),
            Ok(other) => Err(format!("{other}, which is not a number")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Checks `node` and all below it against the whitelist, and turns integers into floats.
fn check(node: &mut Node, formula: &str, components: &[&str]) -> Result<(), FormulaError> {
    let forbidden = |what: &str| {
        Err(FormulaError::Forbidden {
            formula: formula.to_owned(),
            what: what.to_owned(),
        })
    };
    match node.operator_mut() {
        Operator::Const { value } => match value {
            Value::Int(int) => *value = Value::Float(*int as f64),
            Value::Float(_) | Value::Boolean(_) => {}
            Value::String(_) => return forbidden("a string"),
            Value::Tuple(_) | Value::Empty => return forbidden("a constant that is no number"),
        },
        Operator::VariableIdentifierRead { identifier } => {
            if FUNCTIONS.contains(&identifier.as_str()) {
                return forbidden(&format!("{identifier} without parentheses"));
            }
            if !components.contains(&identifier.as_str()) {
                return Err(unknown_name(identifier, formula, components));
            }
        }
        Operator::FunctionIdentifier { identifier } => {
            if components.contains(&identifier.as_str()) {
                return forbidden(&format!(
                    "{identifier} followed by a value (is an operator missing?)"
                ));
            }
            if !FUNCTIONS.contains(&identifier.as_str()) {
                return Err(unknown_name(identifier, formula, components));
            }
        }
        Operator::RootNode
        | Operator::Tuple
        | Operator::Add
        | Operator::Sub
        | Operator::Neg
        | Operator::Mul
        | Operator::Div
        | Operator::Exp
        | Operator::Eq
        | Operator::Neq
        | Operator::Gt
        | Operator::Lt
        | Operator::Geq
        | Operator::Leq
        | Operator::And
        | Operator::Or
        | Operator::Not => {}
        Operator::Mod => return forbidden("%"),
        Operator::Chain => return forbidden(";"),
        Operator::VariableIdentifierWrite { .. }
        | Operator::Assign
        | Operator::AddAssign
        | Operator::SubAssign
        | Operator::MulAssign
        | Operator::DivAssign
        | Operator::ModAssign
        | Operator::ExpAssign
        | Operator::AndAssign
        | Operator::OrAssign => return forbidden("an assignment"),
    }
    node.children_mut()
        .iter_mut()
        .try_for_each(|child| check(child, formula, components))
}

fn unknown_name(name: &str, formula: &str, components: &[&str]) -> FormulaError {
    let nearest = components
        .iter()
        .chain(&FUNCTIONS)
        .map(|known| (strsim::jaro_winkler(name, known), *known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, known)| known.to_owned());
    FormulaError::UnknownName {
        formula: formula.to_owned(),
        name: name.to_owned(),
        nearest,
        known: components.join(", "),
    }
}

/// What a name can mean to a formula: whether a component of a rubric may bear it.
pub(crate) fn is_usable_name(name: &str) -> bool {
    let mut characters = name.chars();
    let starts = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let goes_on = characters.all(|next| next.is_ascii_alphanumeric() || next == '_');
    let reserved = FUNCTIONS.contains(&name) || ["true", "false", "total"].contains(&name);
    starts && goes_on && !reserved
}

/// The names and functions that a formula sees; nothing of evalexpr's own.
struct Scope<'a> {
    names: &'a [&'a str],
    values: Vec<Value>,
}

impl Context for Scope<'_> {
    fn get_value(&self, identifier: &str) -> Option<&Value> {
        let position = self.names.iter().position(|name| *name == identifier)?;
        self.values.get(position)
    }

    fn call_function(&self, identifier: &str, argument: &Value) -> EvalexprResult<Value> {
        match identifier {
            "min" => fold(
                argument,
                |left, right| if right < left { right } else { left },
            ),
            "max" => fold(
                argument,
                |left, right| if right > left { right } else { left },
            ),
            "abs" => Ok(Value::Float(argument.as_float()?.abs())),
            "if" => {
                let branches = argument.as_fixed_len_tuple(3)?;
                let chosen = if branches[0].as_boolean()? { 1 } else { 2 };
                Ok(branches[chosen].clone())
            }
            other => Err(EvalexprError::FunctionIdentifierNotFound(other.to_owned())),
        }
    }

    fn are_builtin_functions_disabled(&self) -> bool {
        true
    }

    fn set_builtin_functions_disabled(&mut self, disabled: bool) -> EvalexprResult<()> {
        if disabled {
            Ok(())
        } else {
            Err(EvalexprError::BuiltinFunctionsCannotBeEnabled)
        }
    }
}

/// Folds two or more numbers by `choose`. One that is NaN makes the result NaN, so that an undefined
/// part cannot hide behind a minimum.
fn fold(argument: &Value, choose: fn(f64, f64) -> f64) -> EvalexprResult<Value> {
    let numbers: Vec<f64> = argument
        .as_tuple()?
        .iter()
        .map(Value::as_float)
        .collect::<EvalexprResult<_>>()?;
    let chosen = numbers.iter().copied().reduce(|left, right| {
        if left.is_nan() || right.is_nan() {
            f64::NAN
        } else {
            choose(left, right)
        }
    });
    Ok(Value::Float(chosen.unwrap_or(f64::NAN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["exact", "format"];

    fn value(text: &str, exact: f64, format: f64) -> Result<f64, String> {
        let formula = Formula::parse(text, &NAMES).map_err(|error| error.to_string())?;
        formula.evaluate(&NAMES, &[exact, format])
    }

    #[test]
    fn formulas_compute_with_floats() {
        let cases = [
            ("exact + 0.1*format", 1.1),
            ("1/2", 0.5),
            ("7 / 2 * exact", 3.5),
            ("2^3", 8.0),
            ("-exact", -1.0),
            ("min(exact, format, 3)", 1.0),
            ("max(exact, 2)", 2.0),
            ("abs(-2)", 2.0),
            ("if(exact > 0.5 && format == 1, 1, 0)", 1.0),
            ("if(exact == 0, format/exact, 3)", 3.0),
            ("(exact + format) * 10", 20.0),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text, 1.0, 1.0), Ok(expected), "{text}");
        }
        assert!(value("min(exact/format, 1)", 0.0, 0.0).unwrap().is_nan());
        assert!(value("max(1, exact/format)", 0.0, 0.0).unwrap().is_nan());
    }

    #[test]
    fn only_what_a_reward_needs_is_let_through() {
        let forbidden = [
            ("1;24", ";"),
            ("exact = 3", "an assignment"),
            ("exact += 3", "an assignment"),
            ("\"1\" + exact", "a string"),
            ("exact % 2", "%"),
            ("abs -2", "abs without parentheses"),
            ("exact(format)", "exact followed by a value"),
            ("exact format", "exact followed by a value"),
        ];
        for (text, what) in forbidden {
            let error = value(text, 1.0, 1.0).unwrap_err();
            assert!(
                error.contains(what) && error.contains("not allowed"),
                "{text}: {error}"
            );
        }
        for text in [
            "exact ** 2",
            "exact +",
            "(exact",
            "",
            "()",
            "exact, format",
            "exact > 0",
            "if(exact, 1, 2)",
            "min(1)",
        ] {
            assert!(
                value(text, 1.0, 1.0).is_err(),
                "{text}: {:?}",
                value(text, 1.0, 1.0)
            );
        }
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let error = value("exact + fromat", 1.0, 1.0).unwrap_err();
        let expected = "total \"exact + fromat\": unknown name fromat; did you mean format? \
                        the components are exact, format, the functions min, max, abs, if";
        assert_eq!(error, expected);
        for text in [
            "math::abs(exact)",
            "str::from(exact)",
            "typeof(exact)",
            "floor(exact)",
            "random()",
            "zzz",
        ] {
            assert!(
                value(text, 1.0, 1.0).unwrap_err().contains("unknown name"),
                "{text}"
            );
        }
    }

    #[test]
    fn reads_are_known() {
        let reads = |text| Formula::parse(text, &NAMES).unwrap().reads().to_vec();
        assert_eq!(reads("format + format"), [1]);
        assert_eq!(reads("min(exact, format)"), [0, 1]);
        assert!(reads("1").is_empty());
    }

    #[test]
    fn random_text_never_panics() {
        use rand::RngExt;
        let pieces = [
            "exact", "format", "min", "max", "abs", "if", "(", ")", ",", "+", "-", "*", "/", "%",
            "^", "=", "==", "<", "&&", "||", "!", ";", "1", "0", "2.5", "1e9", "\"", "true", " ",
            "顿", "\\", "0x1f", "//", "\n",
        ];
        let mut rng = dunwu_datasets::rng(2);
        for _ in 0..20_000 {
            let count = rng.random_range(0..12);
            let text: String = (0..count)
                .map(|_| pieces[rng.random_range(0..pieces.len())])
                .collect();
            let _ = value(&text, 1.0, 0.0);
        }
    }
}
