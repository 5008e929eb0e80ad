//! Units: what they measure, and how they convert.

use std::fmt;

use num_rational::BigRational;
use num_traits::One;

/// Base quantities, in the order of [`Unit::dimensions`].
const BASES: usize = 10;
const LENGTH: usize = 0;
const MASS: usize = 1;
const TIME: usize = 2;
const TEMPERATURE: usize = 3;
const CURRENT: usize = 4;
const DATA: usize = 5;
const MONEY: usize = 6;
const ANGLE: usize = 7;
/// Months: how many days they have is not said.
const CALENDAR: usize = 8;
const AMOUNT: usize = 9;

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

/// A row of [`TABLE`]: names, base quantities with their exponents, numerator and denominator of the factor.
type Row = (&'static [&'static str], &'static [(usize, i8)], u64, u64);

/// Units that take no prefix: names, what they measure, and the factor to metre, gram, second, kelvin, ampere, bit, dollar,
/// degree, mole. Names are lower case unless case matters.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&["inch", "inches", "in."], &[(LENGTH, 1)], 254, 10_000),
    (&["ft", "foot", "feet"], &[(LENGTH, 1)], 3048, 10_000),
    (&["yd", "yard", "yards"], &[(LENGTH, 1)], 9144, 10_000),
    (&["mi", "mile", "miles"], &[(LENGTH, 1)], 1_609_344, 1000),
    (&["kilo", "kilos", "公斤"], &[(MASS, 1)], 1000, 1),
    (&["gm"], &[(MASS, 1)], 1, 1),
    (&["lb", "lbs", "pound", "pounds"], &[(MASS, 1)], 45_359_237, 100_000),
    (&["oz", "ounce", "ounces"], &[(MASS, 1)], 45_359_237, 1_600_000),
    (&["ton", "tons"], &[(MASS, 1)], 90_718_474, 100),
    (&["tonne", "tonnes", "吨"], &[(MASS, 1)], 1_000_000, 1),
    (&["sec", "secs"], &[(TIME, 1)], 1, 1),
    (&["min", "mins", "minute", "minutes", "分钟"], &[(TIME, 1)], 60, 1),
    (&["h", "hr", "hrs", "hour", "hours", "小时", "时"], &[(TIME, 1)], 3600, 1),
    (&["day", "days", "天"], &[(TIME, 1)], 86_400, 1),
    (&["week", "weeks", "周"], &[(TIME, 1)], 604_800, 1),
    (&["month", "months", "mo", "个月"], &[(CALENDAR, 1)], 1, 1),
    (&["year", "years", "yr", "yrs", "年"], &[(CALENDAR, 1)], 12, 1),
    (&["decade", "decades"], &[(CALENDAR, 1)], 120, 1),
    (&["century", "centuries"], &[(CALENDAR, 1)], 1200, 1),
    (&["gallon", "gallons", "gal"], &[(LENGTH, 3)], 3_785_411_784, 1_000_000_000_000),
    (&["quart", "quarts"], &[(LENGTH, 3)], 3_785_411_784, 4_000_000_000_000),
    (&["pint", "pints"], &[(LENGTH, 3)], 3_785_411_784, 8_000_000_000_000),
    (&["acre", "acres"], &[(LENGTH, 2)], 40_468_564_224, 10_000_000),
    (&["hectare", "hectares", "公顷"], &[(LENGTH, 2)], 10_000, 1),
    (&["degree", "degrees", "deg", "度"], &[(ANGLE, 1)], 1, 1),
    (&["公里"], &[(LENGTH, 1)], 1000, 1),
    (&["atm"], &[(MASS, 1), (LENGTH, -1), (TIME, -2)], 101_325_000, 1),
    (&["cal", "calorie", "calories"], &[(MASS, 1), (LENGTH, 2), (TIME, -2)], 4184, 1),
    (&["kcal"], &[(MASS, 1), (LENGTH, 2), (TIME, -2)], 4_184_000, 1),
];

/// Units that take SI prefixes: symbols, names, what they measure, and the factor.
type Prefixed = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [(usize, i8)],
    u64,
    u64,
);

#[rustfmt::skip]
const PREFIXED: &[Prefixed] = &[
    (&["m"], &["meter", "meters", "metre", "metres", "米"], &[(LENGTH, 1)], 1, 1),
    (&["g"], &["gram", "grams", "克"], &[(MASS, 1)], 1, 1),
    (&["s"], &["second", "seconds", "秒"], &[(TIME, 1)], 1, 1),
    (&["K"], &["kelvin", "kelvins"], &[(TEMPERATURE, 1)], 1, 1),
    (&["A"], &["ampere", "amperes", "amp", "amps"], &[(CURRENT, 1)], 1, 1),
    (&["mol"], &["mole", "moles"], &[(AMOUNT, 1)], 1, 1),
    (&["L", "l"], &["liter", "liters", "litre", "litres", "升"], &[(LENGTH, 3)], 1, 1000),
    (&["Hz"], &["hertz"], &[(TIME, -1)], 1, 1),
    (&["N"], &["newton", "newtons"], &[(MASS, 1), (LENGTH, 1), (TIME, -2)], 1000, 1),
    (&["Pa"], &["pascal", "pascals"], &[(MASS, 1), (LENGTH, -1), (TIME, -2)], 1000, 1),
    (&["J"], &["joule", "joules"], &[(MASS, 1), (LENGTH, 2), (TIME, -2)], 1000, 1),
    (&["W"], &["watt", "watts"], &[(MASS, 1), (LENGTH, 2), (TIME, -3)], 1000, 1),
    (&["C"], &["coulomb", "coulombs"], &[(CURRENT, 1), (TIME, 1)], 1, 1),
    (&["V"], &["volt", "volts"], &[(MASS, 1), (LENGTH, 2), (TIME, -3), (CURRENT, -1)], 1000, 1),
    (&["Ω"], &["ohm", "ohms"], &[(MASS, 1), (LENGTH, 2), (TIME, -3), (CURRENT, -2)], 1000, 1),
    (&["F"], &["farad", "farads"], &[(MASS, -1), (LENGTH, -2), (TIME, 4), (CURRENT, 2)], 1, 1000),
    (&["T"], &["tesla"], &[(MASS, 1), (TIME, -2), (CURRENT, -1)], 1000, 1),
    (&["bit"], &["bit", "bits"], &[(DATA, 1)], 1, 1),
    (&["B"], &["byte", "bytes"], &[(DATA, 1)], 8, 1),
];

/// SI prefixes: symbol, name, and the power of ten.
#[rustfmt::skip]
const PREFIXES: &[(&str, &str, i32)] = &[
    ("da", "deca", 1), ("h", "hecto", 2), ("k", "kilo", 3), ("M", "mega", 6), ("G", "giga", 9), ("T", "tera", 12), ("P", "peta", 15),
    ("d", "deci", -1), ("c", "centi", -2), ("m", "milli", -3), ("μ", "micro", -6), ("µ", "micro", -6), ("u", "micro", -6), ("n", "nano", -9),
    ("p", "pico", -12), ("f", "femto", -15), ("千", "千", 3), ("厘", "厘", -2), ("分", "分", -1), ("毫", "毫", -3), ("微", "微", -6), ("纳", "纳", -9),
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
    (&["yuan", "rmb", "cny", "元"], 5, 1, 1),
    (&["jiao", "角"], 5, 1, 10),
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

    fn measuring(
        name: &str,
        measures: &[(usize, i8)],
        (numerator, denominator): (u64, u64),
        power: i32,
    ) -> Self {
        let mut dimensions = [0; BASES];
        for (base, exponent) in measures {
            dimensions[*base] = *exponent;
        }
        let ten = BigRational::from_integer(10.into());
        Self {
            name: name.to_owned(),
            dimensions,
            currency: 0,
            factor: BigRational::new(numerator.into(), denominator.into())
                * num_traits::Pow::pow(&ten, power),
        }
    }

    /// The unit of one word, singular or plural; symbols keep their case.
    pub(crate) fn word(word: &str) -> Option<Self> {
        let lower = word.to_lowercase();
        let key = if word.chars().count() == 1 && word != "H" {
            word
        } else {
            lower.as_str()
        };
        for (names, measures, numerator, denominator) in TABLE {
            if names.contains(&key) {
                return Some(Self::measuring(
                    key,
                    measures,
                    (*numerator, *denominator),
                    0,
                ));
            }
        }
        if let Some(unit) = Self::prefixed(word, &lower) {
            return Some(unit);
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
            "平方米" => "m^2",
            "平方厘米" => "cm^2",
            "平方千米" | "平方公里" => "km^2",
            "立方米" => "m^3",
            "立方厘米" => "cm^3",
            _ => return None,
        };
        Self::parse(compound)
    }

    /// A unit of the SI and its kin with a prefix or none: `mm`, `MPa`, `kilograms`. Symbols keep their case: `mW` and `MW`
    /// are two; where only one reading exists, any case will do, as in `KM`.
    fn prefixed(word: &str, lower: &str) -> Option<Self> {
        let whole = word.chars().count();
        for (symbols, names, measures, numerator, denominator) in PREFIXED {
            let factor = (*numerator, *denominator);
            let sloppy = whole > 1 && symbols.iter().any(|symbol| symbol.len() <= 1);
            for (short, long, power) in PREFIXES {
                let by_name = lower
                    .strip_prefix(long)
                    .is_some_and(|rest| names.contains(&rest));
                let by_symbol = word
                    .strip_prefix(short)
                    .is_some_and(|rest| symbols.contains(&rest));
                if by_name || by_symbol {
                    return Some(Self::measuring(word, measures, factor, *power));
                }
            }
            if symbols.contains(&word) || names.contains(&lower) {
                return Some(Self::measuring(word, measures, factor, 0));
            }
            // `CM`, `Km`, `ML`: of lengths, masses and volumes only, whose large multiples nobody writes.
            let everyday = matches!(measures, [(LENGTH | MASS, _)]);
            if sloppy && everyday {
                for (short, _, power) in [("k", "", 3), ("c", "", -2), ("d", "", -1), ("m", "", -3)]
                {
                    let matches = lower.strip_prefix(short).is_some_and(|rest| {
                        symbols.iter().any(|symbol| symbol.to_lowercase() == rest)
                    });
                    if matches && !word.starts_with('M') {
                        return Some(Self::measuring(word, measures, factor, power));
                    }
                }
            }
        }
        None
    }

    /// A unit as it is printed, or as people write one: `cm^2`, `miles per hour`, `square feet`, `km / h`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut result: Option<Self> = None;
        let mut divides = false;
        let mut power_next = 1;
        let spaced = text
            .replace('/', " / ")
            .replace(['*', '·', '⋅', '~'], " ")
            .replace("\\cdot", " ")
            .replace("\\ ", " ")
            .replace("\\,", " ");
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
        let name = if self.name.contains(['^', ' ']) {
            self.name
                .split(' ')
                .map(|part| raise_name(part, exponent))
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            raise_name(&self.name, exponent)
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

    /// Whether two labels such as `apples` and `red apples` may be one: all words of one are words of the other.
    pub(crate) fn same_label(&self, other: &Self) -> bool {
        let words = |name: &str| -> Vec<String> {
            name.split(|c: char| !c.is_alphanumeric() && c != '°')
                .filter(|word| !word.is_empty())
                .map(|word| {
                    let lower = word.to_lowercase();
                    match lower.strip_suffix('s') {
                        Some(stem) if stem.len() >= 3 => stem.to_owned(),
                        _ => lower,
                    }
                })
                .collect()
        };
        let (left, right) = (words(&self.name), words(&other.name));
        let within = |some: &[String], all: &[String]| {
            !some.is_empty() && some.iter().all(|word| all.contains(word))
        };
        within(&left, &right) || within(&right, &left)
    }

    /// Whether this is a word for any unit of its kind: `units`, `square units`.
    pub(crate) fn is_generic(&self) -> bool {
        let words = self.name.to_lowercase();
        words.split([' ', '^']).next_back().is_some_and(|word| {
            matches!(word, "unit" | "units")
                || words.starts_with("units^")
                || words.starts_with("unit^")
        })
    }

    /// Whether this is a part of a currency's main unit, such as a cent.
    pub(crate) fn is_subdivision(&self) -> bool {
        self.currency != 0 && self.factor < BigRational::one()
    }

    /// How many main units one of these is.
    pub(crate) fn in_main_unit(&self) -> BigRational {
        self.factor.clone()
    }

    /// Whether this is a scale of temperatures, which do not convert by a factor.
    pub(crate) fn is_temperature(&self) -> bool {
        self.name.starts_with('°')
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
            ("MPa", "1000000", "Pa"),
            ("kW", "1000", "W"),
            ("GB", "1000000", "kB"),
            ("N m", "1", "J"),
            ("J / s", "1", "W"),
            ("kilograms", "1000", "grams"),
            ("years", "12", "months"),
            ("厘米", "10", "毫米"),
            ("μm", "1000", "nm"),
            ("mol", "1000", "mmol"),
            ("KM", "1000", "m"),
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
            ("years", "seconds"),
            ("mW", "m"),
        ] {
            assert_eq!(
                Unit::parse(left).unwrap().to(&Unit::parse(right).unwrap()),
                None
            );
        }
        assert_ne!(Unit::parse("mW"), Unit::parse("MW"));
        for text in ["", "apples", "per", "square", "m^99", "m per"] {
            assert_eq!(Unit::parse(text), None, "{text}");
        }
    }
}
