//! Which rows of a batch belong together, and which may attend to which.

use std::ops::Range;

/// A run of rows that follow each other in one sequence. Each attends to all of `prefix`, and to
/// itself and the rows before it in `rows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its own rows.
    pub rows: Range<usize>,
    /// Rows that all of them continue: the prompt they share. Empty for a prompt.
    pub prefix: Range<usize>,
}

/// Rows that attend to none outside: a prompt and all that continues it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The rows of all its segments, which follow each other.
    pub rows: Range<usize>,
    /// Prompt first.
    pub segments: Vec<Segment>,
}

/// Which experts rows go to, where somebody else has chosen: whoever sampled them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenRoutes {
    /// Layers with experts.
    pub layers: usize,
    /// Experts that a token goes to in each of them.
    pub chosen: usize,
    /// `[rows, layers, chosen]`; [`Self::FREE`] where the router chooses.
    experts: Vec<u16>,
}

impl GivenRoutes {
    /// The number of no expert.
    pub const FREE: u16 = u16::MAX;

    /// Those of a layer, counted among layers with experts, for so many rows: `[rows, chosen]`.
    pub(crate) fn of_layer(&self, layer: usize, rows: usize) -> Vec<u16> {
        let mut of_layer = vec![Self::FREE; rows * self.chosen];
        let given = self.experts.chunks_exact(self.layers * self.chosen);
        for (row, experts) in of_layer.chunks_exact_mut(self.chosen).zip(given) {
            row.copy_from_slice(&experts[layer * self.chosen..(layer + 1) * self.chosen]);
        }
        of_layer
    }
}

/// Tokens of several trees, one row each, without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packing {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Position of each token in its own sequence, from 0.
    pub positions: Vec<usize>,
    /// The trees, in the order of their rows.
    pub trees: Vec<Tree>,
    /// Which experts rows go to, if that is given of any.
    pub routes: Option<GivenRoutes>,
}

impl Packing {
    /// Adds a prompt as a new tree and returns its rows.
    pub fn push_prompt(&mut self, ids: &[u32]) -> Range<usize> {
        let rows = self.ids.len()..self.ids.len() + ids.len();
        self.ids.extend(ids);
        self.positions.extend(0..ids.len());
        self.trees.push(Tree {
            rows: rows.clone(),
            segments: vec![Segment {
                rows: rows.clone(),
                prefix: rows.start..rows.start,
            }],
        });
        rows
    }

    /// Adds tokens that continue the prompt of the last tree, and returns their rows.
    ///
    /// # Panics
    /// When there is no tree yet.
    pub fn push_continuation(&mut self, ids: &[u32]) -> Range<usize> {
        let tree = self.trees.last_mut().expect("a prompt comes first");
        let prefix = tree.segments[0].rows.clone();
        let rows = self.ids.len()..self.ids.len() + ids.len();
        self.ids.extend(ids);
        self.positions
            .extend(prefix.len()..prefix.len() + ids.len());
        tree.rows.end = rows.end;
        if !ids.is_empty() {
            tree.segments.push(Segment {
                rows: rows.clone(),
                prefix,
            });
        }
        rows
    }

    /// Says which experts a row goes to: `[layers, chosen]` numbers. Of a row that is known already nothing changes.
    pub fn give_routes(&mut self, row: usize, layers: usize, chosen: usize, experts: &[u16]) {
        let width = layers * chosen;
        let routes = self.routes.get_or_insert_with(|| GivenRoutes {
            layers,
            chosen,
            experts: Vec::new(),
        });
        if routes.experts.len() < (row + 1) * width {
            routes.experts.resize((row + 1) * width, GivenRoutes::FREE);
        }
        let place = &mut routes.experts[row * width..(row + 1) * width];
        if place.first() == Some(&GivenRoutes::FREE) {
            place.copy_from_slice(experts);
        }
    }

    /// Prompts alone.
    pub fn of_prompts<'a>(prompts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut packing = Self::default();
        for prompt in prompts {
            packing.push_prompt(prompt);
        }
        packing
    }

    /// Rows in all.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Tree {
    /// Calls `see(row, seen)` for each of its rows with the two runs of rows that it attends to,
    /// all counted from the tree's first row.
    pub(crate) fn each_row(&self, mut see: impl FnMut(usize, [Range<usize>; 2])) {
        let start = self.rows.start;
        let local = |range: Range<usize>| range.start - start..range.end - start;
        for segment in &self.segments {
            for row in segment.rows.clone() {
                let own = segment.rows.start..row + 1;
                see(row - start, [local(segment.prefix.clone()), local(own)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_sees_its_prompt_and_itself_only() {
        let mut packing = Packing::of_prompts([&[9u32][..]]);
        packing.push_prompt(&[1, 2]);
        packing.push_continuation(&[3, 4]);
        packing.push_continuation(&[]);
        packing.push_continuation(&[5]);
        assert_eq!(packing.ids, [9, 1, 2, 3, 4, 5]);
        assert_eq!(packing.positions, [0, 0, 1, 2, 3, 2]);
        let tree = &packing.trees[1];
        assert_eq!((tree.rows.clone(), tree.segments.len()), (1..6, 3));
        let mut seen = Vec::new();
        tree.each_row(|row, ranges| seen.push((row, ranges)));
        assert_eq!(seen[1], (1, [0..0, 0..2]));
        assert_eq!(seen[3], (3, [0..2, 2..4]));
        assert_eq!(seen[4], (4, [0..2, 4..5]));
    }
}
