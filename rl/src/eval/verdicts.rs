//! Who answered what right, small enough to keep of every measurement.

use serde::{Deserialize, Serialize, de::Error};

use crate::statistics::Item;

/// Verdicts on answers, in their order: right, wrong or none. As text one character each: `1`, `0` and `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts(pub Vec<Option<bool>>);

impl Verdicts {
    /// What each answer adds to an accuracy.
    pub fn items(&self) -> Vec<Item> {
        let item = |verdict: &Option<bool>| match verdict {
            Some(right) => (f64::from(u8::from(*right)), 1.0),
            None => (0.0, 0.0),
        };
        self.0.iter().map(item).collect()
    }

    /// All of them as one problem's share of an accuracy: how many are right, and how many were judged.
    pub fn item(&self) -> Item {
        let (judged, right) = self.counts();
        (right as f64, judged as f64)
    }

    /// How many have a verdict, and how many are right.
    pub fn counts(&self) -> (usize, usize) {
        let judged = self.0.iter().flatten().count();
        let right = self.0.iter().flatten().filter(|right| **right).count();
        (judged, right)
    }
}

impl FromIterator<Option<bool>> for Verdicts {
    fn from_iter<I: IntoIterator<Item = Option<bool>>>(verdicts: I) -> Self {
        Self(verdicts.into_iter().collect())
    }
}

impl Serialize for Verdicts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self
            .0
            .iter()
            .map(|verdict| match verdict {
                Some(true) => '1',
                Some(false) => '0',
                None => '-',
            })
            .collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Verdicts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let verdict = |c| match c {
            '1' => Ok(Some(true)),
            '0' => Ok(Some(false)),
            '-' => Ok(None),
            other => Err(D::Error::custom(format!(
                "{other:?} is no verdict: expected 1 (right), 0 (wrong) or - (none)"
            ))),
        };
        text.chars().map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_json() {
        let verdicts = Verdicts(vec![Some(true), None, Some(false), Some(true)]);
        let text = serde_json::to_string(&verdicts).unwrap();
        assert_eq!(text, "\"1-01\"");
        assert_eq!(serde_json::from_str::<Verdicts>(&text).unwrap(), verdicts);
        assert!(serde_json::from_str::<Verdicts>("\"1x\"").is_err());
        assert_eq!(verdicts.counts(), (3, 2));
        assert_eq!(verdicts.item(), (2.0, 3.0));
        assert_eq!(
            verdicts.items(),
            [(1.0, 1.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
        );
    }
}
