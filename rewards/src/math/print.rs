//! An expression as LaTeX that reads back as the same expression.

use std::fmt::{self, Display, Formatter};

use super::expression::{
    Binder, Connective, Constant, Expression, Function, Half, RelationKind, SetOperation,
};

/// How tightly the parts of an expression hold together; a part looser than its place needs brackets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tightness {
    List,
    Relation,
    Ratio,
    Sets,
    Sum,
    Product,
    Power,
    Atom,
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write(self, Tightness::List, f)
    }
}

fn tightness(expression: &Expression) -> Tightness {
    match expression {
        Expression::List(..) => Tightness::List,
        Expression::Relation(..) => Tightness::Relation,
        Expression::Ratio(_) | Expression::Clock { .. } => Tightness::Ratio,
        Expression::SetOperation(..) => Tightness::Sets,
        Expression::Sum(_)
        | Expression::Negate(_)
        | Expression::PlusMinus(_)
        | Expression::MinusPlus(_) => Tightness::Sum,
        Expression::Number(value) if value.numer().sign() == num_bigint::Sign::Minus => {
            Tightness::Sum
        }
        Expression::Number(value) if !value.is_integer() => Tightness::Power,
        Expression::Product(_) | Expression::Quantity(..) | Expression::Bound { .. } => {
            Tightness::Product
        }
        Expression::Call(Function::Mod | Function::Residue, _) => Tightness::Product,
        Expression::Power(..)
        | Expression::Percent(_)
        | Expression::Degrees(_)
        | Expression::Quotient(..) => Tightness::Power,
        Expression::Call(Function::Factorial | Function::DoubleFactorial, _) => Tightness::Power,
        _ => Tightness::Atom,
    }
}

fn write(expression: &Expression, place: Tightness, f: &mut Formatter<'_>) -> fmt::Result {
    if tightness(expression) < place {
        f.write_str("(")?;
        write(expression, Tightness::List, f)?;
        return f.write_str(")");
    }
    match expression {
        Expression::Number(value) => {
            if value.is_integer() {
                return write!(f, "{value}");
            }
            let sign = if value.numer().sign() == num_bigint::Sign::Minus {
                "-"
            } else {
                ""
            };
            write!(
                f,
                "{sign}\\frac{{{}}}{{{}}}",
                value.numer().magnitude(),
                value.denom()
            )
        }
        Expression::Constant(constant) => f.write_str(match constant {
            Constant::Pi => "\\pi",
            Constant::E => "e",
            Constant::I => "i",
            Constant::Infinity => "\\infty",
        }),
        Expression::Symbol(name) => write_name(name, f),
        Expression::Indexed(name, index) => {
            write_name(name, f)?;
            write!(f, "_{{{index}}}")
        }
        Expression::Sum(terms) => write_sum(terms, f),
        Expression::Product(factors) => write_joined(factors, " \\cdot ", Tightness::Power, f),
        Expression::Quotient(left, right) => write!(f, "\\frac{{{left}}}{{{right}}}"),
        Expression::Power(base, exponent) => {
            write(base, Tightness::Atom, f)?;
            let exponent = exponent.to_string();
            match exponent.as_str() {
                // Bare, these would be a degree sign and ordinals.
                "o" | "th" | "st" | "nd" | "rd" => write!(f, "^{{({exponent})}}"),
                _ => write!(f, "^{{{exponent}}}"),
            }
        }
        Expression::Negate(inner) => {
            f.write_str("-")?;
            write(inner, Tightness::Product, f)
        }
        Expression::PlusMinus(inner) => {
            f.write_str("\\pm ")?;
            write(inner, Tightness::Product, f)
        }
        Expression::MinusPlus(inner) => {
            f.write_str("\\mp ")?;
            write(inner, Tightness::Product, f)
        }
        Expression::Call(function, arguments) => write_call(*function, arguments, f),
        Expression::Apply(name, arguments) => {
            write_name(name, f)?;
            f.write_str("(")?;
            write_joined(arguments, ", ", Tightness::Relation, f)?;
            f.write_str(")")
        }
        Expression::Percent(inner) => {
            write(inner, Tightness::Atom, f)?;
            f.write_str("\\%")
        }
        Expression::Degrees(inner) => {
            write(inner, Tightness::Atom, f)?;
            f.write_str("^\\circ")
        }
        Expression::Quantity(inner, unit) => {
            write(inner, Tightness::Power, f)?;
            write!(f, " \\text{{{unit}}}")
        }
        Expression::Based { digits, base } => write!(f, "{digits}_{{{base}}}"),
        Expression::Tuple(items) => {
            f.write_str("(")?;
            write_joined(items, ", ", Tightness::Relation, f)?;
            f.write_str(")")
        }
        Expression::Set(items) => {
            f.write_str("\\{")?;
            write_joined(items, ", ", Tightness::Relation, f)?;
            f.write_str("\\}")
        }
        Expression::List(connective, items) => {
            let joint = match connective {
                Connective::Comma => ", ",
                Connective::And => " \\text{ and } ",
                Connective::Or => " \\text{ or } ",
            };
            write_joined(items, joint, Tightness::Relation, f)
        }
        Expression::Interval {
            lower,
            upper,
            lower_closed,
            upper_closed,
        } => {
            f.write_str(if *lower_closed { "[" } else { "(" })?;
            write(lower, Tightness::Relation, f)?;
            f.write_str(", ")?;
            write(upper, Tightness::Relation, f)?;
            f.write_str(if *upper_closed { "]" } else { ")" })
        }
        Expression::SetOperation(operation, left, right) => {
            write(left, Tightness::Sets, f)?;
            f.write_str(match operation {
                SetOperation::Union => " \\cup ",
                SetOperation::Intersection => " \\cap ",
                SetOperation::Difference => " \\setminus ",
            })?;
            write(right, Tightness::Sum, f)
        }
        Expression::NamedSet(letter) => write!(f, "\\mathbb{{{letter}}}"),
        Expression::Matrix(rows) => {
            f.write_str("\\begin{pmatrix}")?;
            for (index, row) in rows.iter().enumerate() {
                f.write_str(if index > 0 { " \\\\ " } else { " " })?;
                write_joined(row, " & ", Tightness::Relation, f)?;
            }
            f.write_str(" \\end{pmatrix}")
        }
        Expression::Relation(first, rest) => {
            write(first, Tightness::Ratio, f)?;
            for (kind, side) in rest {
                write!(f, " {} ", relation_sign(*kind))?;
                write(side, Tightness::Ratio, f)?;
            }
            Ok(())
        }
        Expression::Ratio(parts) => write_joined(parts, " : ", Tightness::Sets, f),
        Expression::Clock { seconds, half } => {
            write!(f, "{}:{:02}", seconds / 3600, seconds / 60 % 60)?;
            if seconds % 60 != 0 {
                write!(f, ":{:02}", seconds % 60)?;
            }
            match half {
                Some(Half::Am) => f.write_str(" \\text{am}"),
                Some(Half::Pm) => f.write_str(" \\text{pm}"),
                None => Ok(()),
            }
        }
        Expression::Bound {
            binder,
            variable,
            lower,
            upper,
            body,
        } => write_bound(
            *binder,
            variable,
            lower.as_deref(),
            upper.as_deref(),
            body,
            f,
        ),
        Expression::Text(text) => write!(f, "\\text{{{text}}}"),
    }
}

fn write_name(name: &str, f: &mut Formatter<'_>) -> fmt::Result {
    // A name of several letters is a command, unless it is already written as one.
    let stem = name.split(['_', '\'']).next().unwrap_or(name);
    if stem.len() > 1 && stem.is_ascii() && !stem.starts_with('\\') {
        f.write_str("\\")?;
    }
    f.write_str(name)
}

fn write_joined(
    parts: &[Expression],
    joint: &str,
    place: Tightness,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(joint)?;
        }
        write(part, place, f)?;
    }
    Ok(())
}

fn write_sum(terms: &[Expression], f: &mut Formatter<'_>) -> fmt::Result {
    for (index, term) in terms.iter().enumerate() {
        let signed = tightness(term) == Tightness::Sum && !matches!(term, Expression::Sum(_));
        match (index, signed) {
            (0, true) => write(term, Tightness::Sum, f)?,
            (0, false) => write(term, Tightness::Product, f)?,
            (_, true) => {
                // The term brings its sign.
                f.write_str(" ")?;
                write(term, Tightness::Sum, f)?;
            }
            (_, false) => {
                f.write_str(" + ")?;
                write(term, Tightness::Product, f)?;
            }
        }
    }
    Ok(())
}

fn write_call(function: Function, arguments: &[Expression], f: &mut Formatter<'_>) -> fmt::Result {
    match (function, arguments) {
        (Function::Abs, [inner]) => write!(f, "\\left|{inner}\\right|"),
        (Function::Floor, [inner]) => write!(f, "\\lfloor {inner} \\rfloor"),
        (Function::Ceil, [inner]) => write!(f, "\\lceil {inner} \\rceil"),
        (Function::Factorial | Function::DoubleFactorial, [inner]) => {
            write(inner, Tightness::Atom, f)?;
            f.write_str(if function == Function::Factorial {
                "!"
            } else {
                "!!"
            })
        }
        (Function::Binomial, [n, k]) => write!(f, "\\binom{{{n}}}{{{k}}}"),
        (Function::Root, [degree, inner]) if *degree == Expression::integer(2) => {
            write!(f, "\\sqrt{{{inner}}}")
        }
        (Function::Root, [degree, inner]) => write!(f, "\\sqrt[{degree}]{{{inner}}}"),
        (Function::Log, [base, inner]) => write!(f, "\\log_{{{base}}}({inner})"),
        (Function::Mod | Function::Residue, [value, modulus]) => {
            write(value, Tightness::Power, f)?;
            let name = if function == Function::Mod {
                "\\bmod"
            } else {
                "\\pmod"
            };
            write!(f, " {name}{{{modulus}}}")
        }
        _ => {
            write!(f, "\\{}(", function_name(function))?;
            write_joined(arguments, ", ", Tightness::Relation, f)?;
            f.write_str(")")
        }
    }
}

fn function_name(function: Function) -> &'static str {
    match function {
        Function::Sin => "sin",
        Function::Cos => "cos",
        Function::Tan => "tan",
        Function::Cot => "cot",
        Function::Sec => "sec",
        Function::Csc => "csc",
        Function::Arcsin => "arcsin",
        Function::Arccos => "arccos",
        Function::Arctan => "arctan",
        Function::Arccot => "arccot",
        Function::Arcsec => "arcsec",
        Function::Arccsc => "arccsc",
        Function::Sinh => "sinh",
        Function::Cosh => "cosh",
        Function::Tanh => "tanh",
        Function::Arsinh => "arsinh",
        Function::Arcosh => "arcosh",
        Function::Artanh => "artanh",
        Function::Ln => "ln",
        Function::Log => "log",
        Function::Exp => "exp",
        Function::Abs => "abs",
        Function::Floor => "floor",
        Function::Ceil => "ceil",
        Function::Factorial | Function::DoubleFactorial => "factorial",
        Function::Binomial => "binom",
        Function::Root => "sqrt",
        Function::Min => "min",
        Function::Max => "max",
        Function::Gcd => "gcd",
        Function::Lcm => "lcm",
        Function::Mod | Function::Residue => "mod",
    }
}

fn relation_sign(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Equal => "=",
        RelationKind::NotEqual => "\\neq",
        RelationKind::Less => "<",
        RelationKind::LessEqual => "\\leq",
        RelationKind::Greater => ">",
        RelationKind::GreaterEqual => "\\geq",
        RelationKind::Approximately => "\\approx",
        RelationKind::In => "\\in",
        RelationKind::Other(sign) => sign,
    }
}

fn write_bound(
    binder: Binder,
    variable: &str,
    lower: Option<&Expression>,
    upper: Option<&Expression>,
    body: &Expression,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    f.write_str(match binder {
        Binder::Sum => "\\sum",
        Binder::Product => "\\prod",
        Binder::Integral => "\\int",
        Binder::Limit => "\\lim",
    })?;
    match (binder, lower) {
        (_, None) => {}
        (Binder::Integral, Some(lower)) => write!(f, "_{{{lower}}}")?,
        (Binder::Limit, Some(lower)) => write!(f, "_{{{variable} → {lower}}}")?,
        (_, Some(lower)) => write!(f, "_{{{variable} = {lower}}}")?,
    }
    if let Some(upper) = upper {
        write!(f, "^{{{upper}}}")?;
    }
    f.write_str(" ")?;
    if binder == Binder::Integral {
        write(body, Tightness::Power, f)?;
        f.write_str(" d ")?;
        return write_name(variable, f);
    }
    write(body, Tightness::Product, f)
}
