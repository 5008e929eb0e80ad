//! Names that have been given, in little memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::DatasetError;
use crate::rows::Row;

/// The names of the tasks so far, each with its row. A name is kept as 128 bits of a hash: among a million of them two are taken
/// for one with a chance of 2⁻⁸⁹.
#[derive(Default)]
pub(crate) struct Ids {
    given: HashMap<u128, u32>,
}

impl Ids {
    /// Takes down that the task of `row` is called `id`, as its field `field` says.
    ///
    /// # Errors
    /// [`DatasetError::Field`] if another is called so already.
    pub(crate) fn give(&mut self, row: &Row, field: &str, id: &str) -> Result<(), DatasetError> {
        let number = row.place.number();
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let Some(first) = self.given.insert(key(id), number) else {
            return Ok(());
        };
        let unit = row.place.unit();
        Err(row.field_error(field, format!("{id:?} is on {unit} {first} already")))
    }
}

fn key(id: &str) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
