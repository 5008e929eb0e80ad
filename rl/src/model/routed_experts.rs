//! Which experts the tokens of a sequence went to while it was sampled: what router replay goes by.

use std::sync::Arc;

/// Numbers of experts, a byte each where there are at most 256, else two.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Numbers {
    fn of(experts: usize) -> Self {
        if experts <= 256 {
            Self::Bytes(Vec::new())
        } else {
            Self::Words(Vec::new())
        }
    }

    fn push(&mut self, expert: u16) {
        match self {
            Self::Bytes(all) => all.push(expert as u8),
            Self::Words(all) => all.push(expert),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(all) => all.len(),
            Self::Words(all) => all.len(),
        }
    }

    fn truncate(&mut self, count: usize) {
        match self {
            Self::Bytes(all) => all.truncate(count),
            Self::Words(all) => all.truncate(count),
        }
    }

    fn get(&self, place: usize) -> u16 {
        match self {
            Self::Bytes(all) => u16::from(all[place]),
            Self::Words(all) => all[place],
        }
    }
}

/// The routers of a model, as far as their choices are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutedShape {
    /// Layers with experts.
    pub layers: usize,
    /// Experts of each of them.
    pub experts: usize,
    /// Experts that a token goes to in each of them.
    pub chosen: usize,
}

/// Which experts each token of a sequence went to: `[tokens, layers, chosen]` numbers, layers with experts alone, ascending in
/// each layer. A byte a number where a layer has at most 256 experts, else two. The tokens are those of the prompt, which
/// completions of one group share, and those that follow, without the last: it never went through the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedExperts {
    shape: RoutedShape,
    prompt: Arc<Numbers>,
    own: Numbers,
}

impl RoutedExperts {
    /// Of no token.
    pub fn new(shape: RoutedShape) -> Self {
        Self {
            shape,
            prompt: Arc::new(Numbers::of(shape.experts)),
            own: Numbers::of(shape.experts),
        }
    }

    /// Those of a sequence that goes on from the tokens of this one, which are shared from now on.
    pub(crate) fn shared(self) -> Self {
        debug_assert_eq!(self.prompt.len(), 0, "tokens are shared once");
        Self {
            own: Numbers::of(self.shape.experts),
            prompt: Arc::new(self.own),
            shape: self.shape,
        }
    }

    /// The routers that chose.
    pub fn shape(&self) -> RoutedShape {
        self.shape
    }

    /// Numbers of a token.
    fn width(&self) -> usize {
        self.shape.layers * self.shape.chosen
    }

    /// Tokens whose experts are known.
    pub fn tokens(&self) -> usize {
        (self.prompt.len() + self.own.len()) / self.width()
    }

    /// Adds the next layer's choice of the next token.
    ///
    /// # Shapes
    /// - experts: `[chosen]`
    pub fn push(&mut self, experts: &[u32]) {
        debug_assert_eq!(experts.len(), self.shape.chosen);
        for &expert in experts {
            self.own.push(expert as u16);
        }
    }

    /// Forgets all tokens but the first `count`, of which the shared ones are a part.
    pub(crate) fn truncate(&mut self, count: usize) {
        let shared = self.prompt.len();
        let width = self.width();
        self.own.truncate((count * width).saturating_sub(shared));
    }

    /// Adds the tokens of `other` behind those that are known here.
    pub(crate) fn go_on(&mut self, other: &Self) {
        let known = self.prompt.len() + self.own.len();
        for place in known..other.prompt.len() + other.own.len() {
            self.own.push(other.number(place));
        }
    }

    /// The experts of a token, layer by layer: `[layers, chosen]`.
    pub fn of_token(&self, token: usize) -> Vec<u16> {
        let all = token * self.width()..(token + 1) * self.width();
        all.map(|place| self.number(place)).collect()
    }

    fn number(&self, place: usize) -> u16 {
        match place.checked_sub(self.prompt.len()) {
            None => self.prompt.get(place),
            Some(own) => self.own.get(own),
        }
    }

    /// Bytes of those that no other sequence shares.
    pub fn own_bytes(&self) -> usize {
        match &self.own {
            Numbers::Bytes(all) => all.len(),
            Numbers::Words(all) => 2 * all.len(),
        }
    }

    /// All numbers as text, four hexadecimal digits each.
    pub(crate) fn to_hex(&self) -> String {
        let all = 0..self.prompt.len() + self.own.len();
        all.map(|place| format!("{:04x}", self.number(place)))
            .collect()
    }

    /// The same again; `None` for what [`Self::to_hex`] does not write of such routers.
    pub(crate) fn of_hex(shape: RoutedShape, text: &str) -> Option<Self> {
        let mut routed = Self::new(shape);
        let digits = text.as_bytes().chunks(4);
        for digits in digits {
            let digits = std::str::from_utf8(digits).ok().filter(|d| d.len() == 4)?;
            let expert = u16::from_str_radix(digits, 16).ok()?;
            if usize::from(expert) >= shape.experts {
                return None;
            }
            routed.own.push(expert);
        }
        let whole = routed.width() > 0 && routed.own.len().is_multiple_of(routed.width());
        whole.then_some(routed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_behind_what_is_shared_and_after_a_cut() {
        for experts in [8, 300] {
            let shape = RoutedShape {
                layers: 2,
                experts,
                chosen: 2,
            };
            let last = experts as u32 - 1;
            let mut prompt = RoutedExperts::new(shape);
            prompt.push(&[0, 1]);
            prompt.push(&[2, last]);
            let mut routed = prompt.shared();
            for token in 1..4 {
                routed.push(&[token, token + 1]);
                routed.push(&[0, last]);
            }
            assert_eq!(routed.tokens(), 4);
            assert_eq!(routed.of_token(0), [0, 1, 2, last as u16]);
            assert_eq!(routed.of_token(3), [3, 4, 0, last as u16]);
            let text = routed.to_hex();
            let back = RoutedExperts::of_hex(shape, &text).unwrap();
            assert_eq!((back.tokens(), back.of_token(2)), (4, routed.of_token(2)));
            assert!(RoutedExperts::of_hex(shape, &text[4..]).is_none());
            assert!(RoutedExperts::of_hex(shape, &format!("ffff{}", &text[4..])).is_none());
            routed.truncate(2);
            assert_eq!(routed.tokens(), 2);
            assert_eq!(routed.own_bytes(), if experts == 8 { 4 } else { 8 });
            routed.truncate(0);
            assert_eq!(routed.tokens(), 1, "what is shared stays");
        }
    }
}
