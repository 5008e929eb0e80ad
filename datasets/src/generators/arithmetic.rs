//! Steps of a calculation that stays among the whole numbers above 0.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One of the four operations on two numbers; no value where it leads below 1 or to a fraction.
pub(super) fn operate(rng: &mut ChaCha8Rng, left: u32, right: u32) -> (char, Option<u32>) {
    let (sign, value) = match rng.random_range(0..4) {
        0 => ('+', left.checked_add(right)),
        1 => ('-', left.checked_sub(right)),
        2 => ('*', left.checked_mul(right)),
        _ => ('/', left.is_multiple_of(right).then(|| left / right)),
    };
    (sign, value.filter(|value| *value > 0))
}
