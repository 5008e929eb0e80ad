//! Linear maps, with low-rank adapters where there are any.

use burn::tensor::Tensor;

use super::{
    gradients::{Gradients, Trained},
    module::last_part,
    parameters::ParameterVisitor,
};
use crate::compute::Compute;

/// A low-rank change of a matrix, `scale · B A` (LoRA, arXiv 2106.09685, eq. 3).
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// A: `[rank, in]`.
    down: Tensor<2>,
    /// B: `[out, rank]`.
    up: Tensor<2>,
    /// `alpha / rank`.
    scale: f32,
    merged: Merged,
}

/// The matrix with its adapter added: as good as the two apart, and quicker.
#[derive(Debug, Clone)]
enum Merged {
    /// There is none.
    Absent,
    /// The adapter may have changed since; it is memory for the next.
    Stale(Tensor<2>),
    /// It is up to date.
    Fresh(Tensor<2>),
}

impl Adapter {
    /// # Shapes
    /// - down: `[rank, in]`, up: `[out, rank]`
    pub(crate) fn new(down: Tensor<2>, up: Tensor<2>, scale: f32) -> Self {
        Self {
            down,
            up,
            scale,
            merged: Merged::Absent,
        }
    }

    /// Its rank, and what its product is multiplied by.
    pub(crate) fn form(&self) -> (usize, f32) {
        (self.down.dims()[0], self.scale)
    }
}

/// `y = x Wᵀ + b`, and `+ scale · x Aᵀ Bᵀ` with an adapter.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// Its name in checkpoints, without `.weight`.
    pub(crate) name: String,
    /// `[out, in]`, as checkpoints store it.
    pub(crate) weight: Tensor<2>,
    /// `[out]`.
    pub(crate) bias: Option<Tensor<1>>,
    /// Added to the weight.
    pub(crate) adapter: Option<Adapter>,
}

impl Linear {
    /// Several maps of the same rows.
    ///
    /// # Shapes
    /// - input: `[rows, in]`
    /// - outputs: `[rows, out]`
    pub(crate) fn forward_all<C: Compute, const N: usize>(
        c: &C,
        maps: [&Self; N],
        x: &C::Rows,
    ) -> [C::Rows; N] {
        let mut maps_left = maps.iter();
        c.project_all(x, maps.map(|map| map.parts().0)).map(|y| {
            let map = maps_left.next().expect("as many as there are products");
            let y = match &map.bias {
                Some(bias) => c.add_bias(y, bias),
                None => y,
            };
            map.adapt(c, y, x)
        })
    }

    /// `sum + forward(x)`, or without a sum `forward(x)`.
    pub(crate) fn forward_onto<C: Compute>(
        &self,
        c: &C,
        sum: Option<C::Rows>,
        x: &C::Rows,
    ) -> C::Rows {
        let weight = self.parts().0;
        let y = match sum {
            Some(sum) => c.project_onto(sum, x, weight, 1.0),
            None => c.project(x, weight),
        };
        let y = match &self.bias {
            Some(bias) => c.add_bias(y, bias),
            None => y,
        };
        self.adapt(c, y, x)
    }

    /// The matrix that rows are multiplied by, its adapter included.
    pub(crate) fn whole<C: Compute>(&self, c: &C) -> Tensor<2> {
        let (weight, adapter) = self.parts();
        match adapter {
            Some(_) => self.merged(c).unwrap_or_else(|| weight.clone()),
            None => weight.clone(),
        }
    }

    /// The last part of its name, by which adapters are put on it.
    pub(crate) fn last_part(&self) -> &str {
        last_part(&self.name)
    }

    /// The matrix to multiply by, and the adapter where it is not part of it.
    fn parts(&self) -> (&Tensor<2>, Option<&Adapter>) {
        match &self.adapter {
            Some(Adapter {
                merged: Merged::Fresh(merged),
                ..
            }) => (merged, None),
            adapter => (&self.weight, adapter.as_ref()),
        }
    }

    fn adapt<C: Compute>(&self, c: &C, y: C::Rows, x: &C::Rows) -> C::Rows {
        match self.parts().1 {
            Some(adapter) => {
                let narrow = c.project(x, &adapter.down);
                c.project_onto(y, &narrow, &adapter.up, adapter.scale)
            }
            None => y,
        }
    }

    /// The gradient by the input, added to `sum` if there is one, and with an adapter apart that by
    /// its narrow rows, for [`Self::weight_gradient`].
    pub(crate) fn input_gradient<C: Compute>(
        &self,
        c: &C,
        by_y: &C::Rows,
        sum: Option<C::Rows>,
    ) -> (C::Rows, Option<C::Rows>) {
        let (weight, adapter) = self.parts();
        let by_x = match sum {
            Some(sum) => c.project_back_onto(sum, by_y, weight, 1.0),
            None => c.project_back(by_y, weight),
        };
        match adapter {
            Some(adapter) => {
                let by_narrow = c.project_back(by_y, &adapter.up);
                let by_x = c.project_back_onto(by_x, &by_narrow, &adapter.down, adapter.scale);
                (by_x, Some(by_narrow))
            }
            None => (by_x, None),
        }
    }

    /// Adds the gradients by the weights. `by_narrow` is what [`Self::input_gradient`] gave, if
    /// anything.
    pub(crate) fn weight_gradient<C: Compute>(
        &self,
        c: &C,
        x: &C::Rows,
        by_y: &C::Rows,
        by_narrow: Option<C::Rows>,
        gradients: &mut Gradients,
    ) {
        let Gradients { sums, trained, .. } = gradients;
        if *trained == Trained::All {
            sums.change(&format!("{}.weight", self.name), &self.weight, |sum| {
                c.outer_onto(sum, by_y, x, 1.0)
            });
            if let Some(bias) = &self.bias {
                sums.change(&format!("{}.bias", self.name), bias, |sum| {
                    c.column_sums_onto(sum, by_y)
                });
            }
        }
        if let Some(adapter) = &self.adapter {
            let by_narrow = by_narrow.unwrap_or_else(|| c.project_back(by_y, &adapter.up));
            let narrow = c.project(x, &adapter.down);
            sums.change(&self.up_name(), &adapter.up, |sum| {
                c.outer_onto(sum, by_y, &narrow, adapter.scale)
            });
            sums.change(&self.down_name(), &adapter.down, |sum| {
                c.outer_onto(sum, &by_narrow, x, adapter.scale)
            });
        }
    }

    /// The gradient by the input `x`; adds those by the weights.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        x: &C::Rows,
        by_y: &C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let (by_x, narrow) = self.input_gradient(c, by_y, None);
        self.weight_gradient(c, x, by_y, narrow, gradients);
        by_x
    }

    /// The gradient by the input `x` that several maps share, if anything `below` needs it, summed in their order; adds those
    /// by their weights. Each map comes with the gradient by its output, which is gone afterwards.
    pub(crate) fn backward_all<C: Compute, const N: usize>(
        c: &C,
        maps: [(&Self, C::Rows); N],
        x: &C::Rows,
        below: bool,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        let mut by_x = None;
        for (map, by_y) in maps {
            let narrow = if below {
                let (sum, narrow) = map.input_gradient(c, &by_y, by_x.take());
                by_x = Some(sum);
                narrow
            } else {
                None
            };
            map.weight_gradient(c, x, &by_y, narrow, gradients);
        }
        by_x
    }

    /// The weight with its adapter added.
    pub(crate) fn merged<C: Compute>(&self, c: &C) -> Option<Tensor<2>> {
        let adapter = self.adapter.as_ref()?;
        Some(match &adapter.merged {
            Merged::Fresh(merged) => merged.clone(),
            _ => {
                let Adapter {
                    down, up, scale, ..
                } = adapter;
                c.merge(&self.weight, up, down, *scale, None)
            }
        })
    }

    /// Brings the weight with its adapter up to date, in the memory of the last one; from then on
    /// it is used, until the adapter changes.
    pub(crate) fn merge<C: Compute>(&mut self, c: &C) {
        let Some(adapter) = &mut self.adapter else {
            return;
        };
        let memory = match std::mem::replace(&mut adapter.merged, Merged::Absent) {
            Merged::Fresh(merged) => {
                adapter.merged = Merged::Fresh(merged);
                return;
            }
            Merged::Stale(memory) => Some(memory),
            Merged::Absent => None,
        };
        let Adapter {
            down, up, scale, ..
        } = &*adapter;
        let merged = c.merge(&self.weight, up, down, *scale, memory);
        adapter.merged = Merged::Fresh(merged);
    }

    /// Drops the weight with its adapter added.
    pub(crate) fn forget_merged(&mut self) {
        if let Some(adapter) = &mut self.adapter {
            adapter.merged = Merged::Absent;
        }
    }

    fn down_name(&self) -> String {
        format!("{}.lora_A.weight", self.name)
    }

    fn up_name(&self) -> String {
        format!("{}.lora_B.weight", self.name)
    }

    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit(&format!("{}.weight", self.name), &mut self.weight);
        if let Some(bias) = &mut self.bias {
            f.visit(&format!("{}.bias", self.name), bias);
        }
    }

    pub(crate) fn visit_adapter(&mut self, f: &mut impl ParameterVisitor) {
        let (down, up) = (self.down_name(), self.up_name());
        if let Some(adapter) = &mut self.adapter {
            f.visit(&down, &mut adapter.down);
            f.visit(&up, &mut adapter.up);
            let merged = std::mem::replace(&mut adapter.merged, Merged::Absent);
            adapter.merged = match merged {
                Merged::Fresh(memory) | Merged::Stale(memory) => Merged::Stale(memory),
                Merged::Absent => Merged::Absent,
            };
        }
    }
}
