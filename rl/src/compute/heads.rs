//! How attention is laid out in rows.

/// How attention is laid out in a row of queries, keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) query: usize,
    /// Key and value heads; each serves `query / kv` query heads (arXiv 2305.13245).
    pub(crate) kv: usize,
    /// Width of a head.
    pub(crate) dim: usize,
}

impl Heads {
    /// Query heads that share a key-value head.
    pub(crate) fn group(&self) -> usize {
        self.query / self.kv
    }

    /// What scores are multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Queries, keys and values of some rows, rotated.
pub(crate) struct Qkv<R> {
    /// `[rows, query heads * dim]`.
    pub(crate) query: R,
    /// `[rows, kv heads * dim]`.
    pub(crate) key: R,
    /// `[rows, kv heads * dim]`.
    pub(crate) value: R,
}
