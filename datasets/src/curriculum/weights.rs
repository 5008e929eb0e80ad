//! Weights to draw by, in a tree.

/// Non-negative weights of numbered items. Changing one and finding the item at a place of their sum take as many steps as
/// the number of items has binary digits.
#[derive(Clone, Debug)]
pub(super) struct WeightTree {
    /// The sums of a binary tree: node `i` holds that of its children `2i` and `2i + 1`, the items begin at `leaves`.
    sums: Vec<f64>,
    /// The first leaf: a power of two.
    leaves: usize,
    len: usize,
    /// Items whose weight is not 0.
    present: usize,
}

impl WeightTree {
    /// `len` items of weight 0.
    pub(super) fn new(len: usize) -> Self {
        let leaves = len.next_power_of_two();
        Self {
            sums: vec![0.0; 2 * leaves],
            leaves,
            len,
            present: 0,
        }
    }

    /// Items whose weight is not 0.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    /// Whether `item` has a weight above 0.
    pub(super) fn holds(&self, item: usize) -> bool {
        self.sums[self.leaves + item] > 0.0
    }

    /// Every item's weight, in their order.
    fn weights(&self) -> &[f64] {
        &self.sums[self.leaves..self.leaves + self.len]
    }

    /// Gives `item` another weight. Sums are taken anew on the way to the root, so that no rounding adds up over time.
    pub(super) fn set(&mut self, item: usize, weight: f64) {
        let mut node = self.leaves + item;
        self.present += usize::from(weight > 0.0);
        self.present -= usize::from(self.sums[node] > 0.0);
        self.sums[node] = weight;
        while node > 1 {
            node /= 2;
            self.sums[node] = self.sums[2 * node] + self.sums[2 * node + 1];
        }
    }

    /// The item at the share `share` (0 to 1) of the sum: the one that [`Self::scanned`] finds, and much sooner.
    ///
    /// Both add up floating-point numbers, in different orders. A place so close to the border between two items that
    /// rounding may decide is left to the scan, so the outcome is always the scan's. `None` without any weight.
    pub(super) fn at_share(&self, share: f64) -> Option<usize> {
        self.clear_of_borders(share).or_else(|| self.scanned(share))
    }

    /// The item at `share`, unless the place is within the rounding of a border.
    fn clear_of_borders(&self, share: f64) -> Option<usize> {
        let total = self.sums[1];
        // A scan makes 2n additions, each with an error of half an EPSILON of the sum; the way through the tree is shorter.
        let margin = (2 * self.len + 64) as f64 * f64::EPSILON * total;
        let mut place = share * total;
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if place >= self.sums[node] {
                place -= self.sums[node];
                node += 1;
            }
        }
        let clear = place > margin && self.sums[node] - place > margin;
        clear.then(|| node - self.leaves)
    }

    /// The first item at which the weights up to it, added in their order, exceed the share `share` of their sum; the last
    /// one with a weight if rounding leaves none.
    fn scanned(&self, share: f64) -> Option<usize> {
        let present = || {
            let weights = self.weights().iter().enumerate();
            weights.filter(|(_, weight)| **weight > 0.0)
        };
        let total: f64 = present().map(|(_, weight)| weight).sum();
        let mut place = share * total;
        for (item, weight) in present() {
            place -= weight;
            if place < 0.0 {
                return Some(item);
            }
        }
        present().next_back().map(|(item, _)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::rng;
    use rand::RngExt;

    #[test]
    fn the_tree_finds_what_a_scan_finds() {
        let mut rng = rng(11);
        for len in [1, 2, 3, 7, 8, 100, 1_000] {
            let mut tree = WeightTree::new(len);
            assert_eq!(tree.at_share(0.5), None);
            let mut clear = 0;
            for _ in 0..2_000 {
                let weight = if rng.random_bool(0.3) {
                    0.0
                } else {
                    rng.random::<f64>()
                };
                tree.set(rng.random_range(0..len), weight);
                let share = rng.random::<f64>();
                assert_eq!(tree.at_share(share), tree.scanned(share));
                clear += usize::from(tree.clear_of_borders(share).is_some());
                let present = tree.weights().iter().filter(|w| **w > 0.0).count();
                assert_eq!(tree.present(), present);
            }
            // A scan is needed near a border only. (One item in three is absent, which may be the only one.)
            assert!(clear > if len < 4 { 900 } else { 1_900 }, "{len}: {clear}");
        }
    }

    #[test]
    fn a_border_is_left_to_the_scan() {
        let mut tree = WeightTree::new(4);
        for item in 0..4 {
            tree.set(item, 0.25);
        }
        for share in [0.25, 0.5, 0.75, 0.5 + 1e-16, 1.0] {
            assert_eq!(tree.clear_of_borders(share), None, "{share}");
        }
        assert_eq!(tree.clear_of_borders(0.5 + 1e-12), Some(2));
        assert_eq!(tree.at_share(0.5), Some(2));
        assert_eq!(tree.at_share(1.0), Some(3));
    }
}
