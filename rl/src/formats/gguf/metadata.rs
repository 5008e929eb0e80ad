//! The key-value section of a GGUF file.

use std::collections::HashMap;

use super::GgufError;

/// One metadata value. Integers and floats of every width are widened.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// `uint8` to `uint64`.
    Unsigned(u64),
    /// `int8` to `int64`.
    Signed(i64),
    /// `float32` and `float64`. A `float32` keeps its shortest decimal form, so that 1e-5 stays 1e-5.
    Float(f64),
    /// `bool`.
    Bool(bool),
    /// `string`, which must be UTF-8.
    Text(String),
    /// `array` of one scalar type.
    Array(MetadataArray),
}

impl MetadataValue {
    /// The kind of value, for errors.
    fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::Text(_) => "a string",
            Self::Array(MetadataArray::Unsigned(_)) => "an array of unsigned integers",
            Self::Array(MetadataArray::Signed(_)) => "an array of signed integers",
            Self::Array(MetadataArray::Float(_)) => "an array of floats",
            Self::Array(MetadataArray::Bool(_)) => "an array of bools",
            Self::Array(MetadataArray::Text(_)) => "an array of strings",
        }
    }

    fn as_count(&self) -> Option<usize> {
        match *self {
            Self::Unsigned(value) => usize::try_from(value).ok(),
            Self::Signed(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }
}

/// The elements of an array value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataArray {
    /// `uint8` to `uint64`.
    Unsigned(Vec<u64>),
    /// `int8` to `int64`.
    Signed(Vec<i64>),
    /// `float32` and `float64`.
    Float(Vec<f64>),
    /// `bool`.
    Bool(Vec<bool>),
    /// `string`.
    Text(Vec<String>),
}

/// Metadata by key. The getters return `None` for an absent key and an error for a value of another type.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    values: HashMap<String, MetadataValue>,
}

impl Metadata {
    /// Metadata from pairs; a later pair replaces an earlier one of the same key.
    pub fn new(values: impl IntoIterator<Item = (String, MetadataValue)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.values.get(key)
    }

    /// The keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a MetadataValue) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        let wrong = || GgufError::WrongType {
            key: key.to_string(),
            found: value.kind(),
            expected,
        };
        convert(value).ok_or_else(wrong).map(Some)
    }

    /// A string.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, "a string", |value| match value {
            MetadataValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number of at least 0.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type or a negative one.
    pub fn count(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.typed(key, "a whole number", MetadataValue::as_count)
    }

    /// A whole number, or an array in which every layer says the same one.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type, and for layers that differ.
    pub fn uniform_count(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.typed(
            key,
            "one whole number for all layers",
            |value| match value {
                MetadataValue::Array(MetadataArray::Unsigned(layers)) => {
                    all_equal(layers.iter().copied())
                }
                MetadataValue::Array(MetadataArray::Signed(layers)) => all_equal(
                    layers
                        .iter()
                        .map(|&layer| u64::try_from(layer).unwrap_or(u64::MAX)),
                ),
                value => value.as_count(),
            },
        )
    }

    /// A number.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.typed(key, "a number", |value| match *value {
            MetadataValue::Float(value) => Some(value),
            MetadataValue::Unsigned(value) => Some(value as f64),
            MetadataValue::Signed(value) => Some(value as f64),
            _ => None,
        })
    }

    /// A flag.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "a bool", |value| match value {
            MetadataValue::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        self.typed(key, "an array of strings", |value| match value {
            MetadataValue::Array(MetadataArray::Text(texts)) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// A list of whole numbers, signed or not.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, GgufError> {
        self.typed(key, "an array of integers", |value| match value {
            MetadataValue::Array(MetadataArray::Signed(values)) => Some(values.clone()),
            MetadataValue::Array(MetadataArray::Unsigned(values)) => values
                .iter()
                .map(|&value| i64::try_from(value).ok())
                .collect(),
            _ => None,
        })
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// [`GgufError::WrongType`] for a value of another type.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, GgufError> {
        self.typed(key, "an array of numbers", |value| match value {
            MetadataValue::Array(MetadataArray::Float(values)) => Some(values.clone()),
            MetadataValue::Array(MetadataArray::Signed(values)) => {
                Some(values.iter().map(|&value| value as f64).collect())
            }
            _ => None,
        })
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
    pub fn required_text(&self, key: &str) -> Result<&str, GgufError> {
        self.text(key)?.ok_or_else(|| missing(key))
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
    pub fn required_count(&self, key: &str) -> Result<usize, GgufError> {
        self.count(key)?.ok_or_else(|| missing(key))
    }

    /// A list of strings that must be there.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
    pub fn required_texts(&self, key: &str) -> Result<&[String], GgufError> {
        self.texts(key)?.ok_or_else(|| missing(key))
    }
}

fn missing(key: &str) -> GgufError {
    GgufError::MissingKey {
        key: key.to_string(),
    }
}

/// The common value of a list, if it is not empty, has one and fits.
fn all_equal(mut values: impl Iterator<Item = u64>) -> Option<usize> {
    let first = values.next()?;
    values
        .all(|value| value == first)
        .then(|| usize::try_from(first).ok())
        .flatten()
}
