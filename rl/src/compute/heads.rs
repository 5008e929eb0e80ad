//! How attention is laid out in rows.

/// How attention is laid out in a row of queries, keys or values, and how far it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) query: usize,
    /// Key and value heads; each serves `query / kv` query heads (arXiv 2305.13245).
    pub(crate) kv: usize,
    /// Width of a head of queries or keys.
    pub(crate) query_dim: usize,
    /// Width of a head of values, and of what attention gives.
    pub(crate) value_dim: usize,
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// How many tokens a token sees, itself included; without it, all before.
    pub(crate) window: Option<usize>,
}

impl Heads {
    /// Query heads that share a key-value head.
    pub(crate) fn group(&self) -> usize {
        self.query / self.kv
    }

    /// The first position that the token at `position` sees.
    pub(crate) fn first_seen(&self, position: usize) -> usize {
        match self.window {
            Some(window) => (position + 1).saturating_sub(window),
            None => 0,
        }
    }
}

/// Queries, keys and values of some rows, rotated.
pub(crate) struct Qkv<R> {
    /// `[rows, query heads * query_dim]`.
    pub(crate) query: R,
    /// `[rows, kv heads * query_dim]`.
    pub(crate) key: R,
    /// `[rows, kv heads * value_dim]`.
    pub(crate) value: R,
}
