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
    /// Whether values are the first values of keys, and are kept with them.
    pub(crate) joined: bool,
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

/// The heads of latent attention (arXiv 2405.04434, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LatentHeads {
    /// Heads.
    pub(crate) count: usize,
    /// Width of the part of a query or key that knows no position.
    pub(crate) plain: usize,
    /// Width of the part that is rotated; of keys, all heads share it.
    pub(crate) rotated: usize,
    /// Width of a value.
    pub(crate) value: usize,
    /// Width of the latent that the plain parts of keys, and values, are made of.
    pub(crate) latent: usize,
}

impl LatentHeads {
    /// Width of a query, or of a key of one head.
    pub(crate) fn query(&self) -> usize {
        self.plain + self.rotated
    }

    /// What a head takes of the rows of the map from latents to keys and values: its plain key, then its value.
    pub(crate) fn expanded(&self) -> usize {
        self.plain + self.value
    }

    /// What is kept of a token: its latent and the rotated part of its key.
    pub(crate) fn cached(&self) -> usize {
        self.latent + self.rotated
    }
}

/// Queries, keys and values of some rows, rotated.
pub(crate) struct Qkv<R> {
    /// `[rows, query heads * query_dim]`.
    pub(crate) query: R,
    /// `[rows, kv heads * query_dim]`.
    pub(crate) key: R,
    /// `[rows, kv heads * value_dim]`; without it, the first values of each key.
    pub(crate) value: Option<R>,
}

impl<R> Qkv<R> {
    /// Values apart from keys.
    pub(crate) fn apart(query: R, key: R, value: R) -> Self {
        Self {
            query,
            key,
            value: Some(value),
        }
    }

    /// What values are taken from.
    pub(crate) fn values(&self) -> &R {
        self.value.as_ref().unwrap_or(&self.key)
    }

    /// What a cache stores of it.
    pub(crate) fn cached(&self) -> Cached<'_, R> {
        Cached {
            key: &self.key,
            value: self.value.as_ref(),
        }
    }
}

/// What a cache stores of some rows.
#[derive(Debug)]
pub(crate) struct Cached<'a, R> {
    /// `[rows, kv heads * query_dim]`.
    pub(crate) key: &'a R,
    /// `[rows, kv heads * value_dim]`; without it, the first values of each key.
    pub(crate) value: Option<&'a R>,
}

impl<R> Clone for Cached<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Cached<'_, R> {}
