//! Units: what they measure, and how they convert.

use std::fmt;

use num_rational::BigRational;
use num_traits::One;

/// Base quantities, in the order of [`Unit::dimensions`].
const BASES: usize = 8;
const LENGTH: usize = 0;
const MASS: usize = 1;
const TIME: usize = 2;
const TEMPERATURE: usize = 3;
const CURRENT: usize = 4;
const DATA: usize = 5;
const MONEY: usize = 6;
const ANGLE: usize = 7;

/// A unit or a label after a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// As it is printed and read again.
    name: String,
    /// Exponents of the base quantities; all zero for a label such as `apples`.
    dimensions: [i8; BASES],
    /// Which currency, where the dimension is money; two currencies do not convert.
    currency: u8,
    /// How many base units one of these is.
    factor: BigRational,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Name, base, exponent, numerator and denominator of the factor to metre, gram, second, kelvin, ampere, bit, dollar,
/// degree. Names are lower case unless case matters.
#[rustfmt::skip]
const TABLE: &[(&[&str], usize, i8, u64, u64)] = &[
    (&["m", "meter", "meters", "metre", "metres"], LENGTH, 1, 1, 1),
    (&["km", "kilometer", "kilometers", "kilometre", "kilometres"], LENGTH, 1, 1000, 1),
    (&["cm", "centimeter", "centimeters", "centimetre", "centimetres"], LENGTH, 1, 1, 100),
    (&["dm", "decimeter", "decimeters", "decimetre", "decimetres"], LENGTH, 1, 1, 10),
    (&["mm", "millimeter", "millimeters", "millimetre", "millimetres"], LENGTH, 1, 1, 1000),
    (&["inch", "inches", "in."], LENGTH, 1, 254, 10_000),
    (&["ft", "foot", "feet"], LENGTH, 1, 3048, 10_000),
    (&["yd", "yard", "yards"], LENGTH, 1, 9144, 10_000),
    (&["mi", "mile", "miles"], LENGTH, 1, 1_609_344, 1000),
    (&["kg", "kilogram", "kilograms", "kilo", "kilos"], MASS, 1, 1000, 1),
    (&["g", "gram", "grams", "gm"], MASS, 1, 1, 1),
    (&["mg", "milligram", "milligrams"], MASS, 1, 1, 1000),
    (&["lb", "lbs", "pound", "pounds"], MASS, 1, 45_359_237, 100_000),
    (&["oz", "ounce", "ounces"], MASS, 1, 45_359_237, 1_600_000),
    (&["ton", "tons"], MASS, 1, 90_718_474, 100),
    (&["tonne", "tonnes"], MASS, 1, 1_000_000, 1),
    (&["s", "sec", "secs", "second", "seconds"], TIME, 1, 1, 1),
    (&["ms", "millisecond", "milliseconds"], TIME, 1, 1, 1000),
    (&["min", "mins", "minute", "minutes"], TIME, 1, 60, 1),
    (&["h", "hr", "hrs", "hour", "hours"], TIME, 1, 3600, 1),
    (&["day", "days"], TIME, 1, 86_400, 1),
    (&["week", "weeks"], TIME, 1, 604_800, 1),
    (&["l", "liter", "liters", "litre", "litres"], LENGTH, 3, 1, 1000),
    (&["ml", "milliliter", "milliliters", "millilitre", "millilitres"], LENGTH, 3, 1, 1_000_000),
    (&["gallon", "gallons", "gal"], LENGTH, 3, 3_785_411_784, 1_000_000_000_000),
    (&["acre", "acres"], LENGTH, 2, 40_468_564_224, 10_000_000),
    (&["hectare", "hectares"], LENGTH, 2, 10_000, 1),
    (&["kelvin"], TEMPERATURE, 1, 1, 1),
    (&["ampere", "amperes", "amps", "amp"], CURRENT, 1, 1, 1),
    (&["bit", "bits"], DATA, 1, 1, 1),
    (&["byte", "bytes"], DATA, 1, 8, 1),
    (&["degree", "degrees", "deg"], ANGLE, 1, 1, 1),
];

/// Currencies: names, which one, and the factor to its main unit.
#[rustfmt::skip]
const CURRENCIES: &[(&[&str], u8, u64, u64)] = &[
    (&["dollar", "dollars", "usd", "$", "bucks"], 1, 1, 1),
    (&["cent", "cents", "¢"], 1, 1, 100),
    (&["euro", "euros", "eur", "€"], 2, 1, 1),
    (&["pound sterling", "gbp", "£"], 3, 1, 1),
    (&["pence"], 3, 1, 100),
    (&["yen", "jpy", "¥"], 4, 1, 1),
    (&["yuan", "rmb", "cny"], 5, 1, 1),
    (&["rupee", "rupees", "rs", "inr", "₹"], 6, 1, 1),
    (&["ruble", "rubles", "rub", "₽"], 7, 1, 1),
];

impl Unit {
    /// A label that measures nothing known.
    pub(crate) fn label(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            dimensions: [0; BASES],
            currency: 0,
            factor: BigRational::one(),
        }
    }

    /// The unit of one word, singular or plural; single letters keep their case.
    pub(crate) fn word(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        let key = if word.chars().count() == 1 && word != "L" && word != "l" {
            word
        } else {
            lower.as_str()
        };
        for (names, base, exponent, numerator, denominator) in TABLE {
            if names.contains(&key) {
                let mut dimensions = [0; BASES];
                dimensions[*base] = *exponent;
                return Some(Self {
                    name: key.to_owned(),
                    dimensions,
                    currency: 0,
                    factor: BigRational::new((*numerator).into(), (*denominator).into()),
                });
            }
        }
        for (names, currency, numerator, denominator) in CURRENCIES {
            if names.contains(&key) {
                let mut dimensions = [0; BASES];
                dimensions[MONEY] = 1;
                return Some(Self {
                    name: names[0].to_owned(),
                    dimensions,
                    currency: *currency,
                    factor: BigRational::new((*numerator).into(), (*denominator).into()),
                });
            }
        }
        let compound = match key {
            "mph" => "mile / hour",
            "kph" | "kmh" => "km / hour",
            _ => return None,
        };
        Self::parse(compound)
    }

    /// A unit as it is printed, or as people write one: `cm^2`, `miles per hour`, `square feet`, `km / h`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut result: Option<Self> = None;
        let mut divides = false;
        let mut power_next = 1;
        let spaced = text.replace('/', " / ").replace(['*', '·'], " ");
        for word in spaced.split_whitespace().take(12) {
            let word = word.trim_end_matches([',', ';']);
            let lower = word.to_ascii_lowercase();
            match lower.as_str() {
                "/" | "per" => {
                    divides = true;
                    continue;
                }
                "square" | "sq" | "sq." => {
                    power_next = 2;
                    continue;
                }
                "cubic" | "cu" | "cu." => {
                    power_next = 3;
                    continue;
                }
                "squared" => {
                    result = Some(result?.power(2));
                    continue;
                }
                "cubed" => {
                    result = Some(result?.power(3));
                    continue;
                }
                _ => {}
            }
            let (name, exponent) = match word.split_once('^') {
                Some((name, exponent)) => (
                    name,
                    exponent
                        .trim_matches(['{', '}'])
                        .parse::<i8>()
                        .ok()
                        .filter(|e| e.abs() <= 4)?,
                ),
                None => match word.strip_suffix('²') {
                    Some(name) => (name, 2),
                    None => match word.strip_suffix('³') {
                        Some(name) => (name, 3),
                        None => (word, 1),
                    },
                },
            };
            let unit = Self::word(name.trim_end_matches('.')).or_else(|| Self::word(name))?;
            let exponent = exponent * std::mem::replace(&mut power_next, 1);
            let unit = unit.power(if divides { -exponent } else { exponent });
            divides = false;
            result = Some(match result {
                Some(before) => before.times(&unit),
                None => unit,
            });
        }
        result.filter(|_| !divides && power_next == 1)
    }

    /// This unit to a power.
    pub(crate) fn power(self, exponent: i8) -> Self {
        if exponent == 1 {
            return self;
        }
        let name = match self.name.contains(['^', ' ']) {
            true => self
                .name
                .split(' ')
                .map(|part| raise_name(part, exponent))
                .collect::<Vec<_>>()
                .join(" "),
            false => raise_name(&self.name, exponent),
        };
        Self {
            name,
            dimensions: self.dimensions.map(|d| d.saturating_mul(exponent)),
            currency: self.currency,
            factor: num_traits::Pow::pow(&self.factor, i32::from(exponent)),
        }
    }

    /// The product of two units.
    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut dimensions = self.dimensions;
        for (sum, more) in dimensions.iter_mut().zip(other.dimensions) {
            *sum = sum.saturating_add(more);
        }
        Self {
            name: format!("{} {}", self.name, other.name),
            dimensions,
            currency: self.currency.max(other.currency),
            factor: &self.factor * &other.factor,
        }
    }

    /// Whether this measures something known.
    pub(crate) fn is_known(&self) -> bool {
        self.dimensions != [0; BASES]
    }

    /// Whether this is an angle in degrees.
    pub(crate) fn is_degrees(&self) -> bool {
        let mut dimensions = [0; BASES];
        dimensions[ANGLE] = 1;
        self.dimensions == dimensions
    }

    /// What to multiply a number in this unit with, to have it in `other`; `None` if they measure different things.
    pub(crate) fn to(&self, other: &Self) -> Option<BigRational> {
        (self.dimensions == other.dimensions && self.currency == other.currency)
            .then(|| &self.factor / &other.factor)
    }
}

fn raise_name(part: &str, exponent: i8) -> String {
    match part.split_once('^') {
        Some((name, old)) => {
            let old: i8 = old.parse().unwrap_or(1);
            format!("{name}^{}", old.saturating_mul(exponent))
        }
        None => format!("{part}^{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_within_what_they_measure() {
        let same = [
            ("m", "100", "cm"),
            ("hours", "3600", "s"),
            ("km/h", "5/18", "m / s"),
            ("miles per hour", "1", "mph"),
            ("square feet", "144", "inches^2"),
            ("dollars", "100", "cents"),
            ("m^3", "1000", "liters"),
            ("cubic centimeters", "1", "mL"),
            ("feet squared", "1", "ft^{2}"),
        ];
        for (left, factor, right) in same {
            let units = (Unit::parse(left).unwrap(), Unit::parse(right).unwrap());
            let factor: BigRational = factor.parse().unwrap();
            assert_eq!(units.0.to(&units.1), Some(factor), "{left} {right}");
            assert_eq!(
                Unit::parse(&units.0.to_string()).as_ref(),
                Some(&units.0),
                "{left}"
            );
        }
        for (left, right) in [
            ("m", "s"),
            ("m", "m^2"),
            ("dollars", "euros"),
            ("kg", "liters"),
        ] {
            assert_eq!(
                Unit::parse(left).unwrap().to(&Unit::parse(right).unwrap()),
                None
            );
        }
        for text in ["", "apples", "per", "square", "m^99", "m per"] {
            assert_eq!(Unit::parse(text), None, "{text}");
        }
    }
}
