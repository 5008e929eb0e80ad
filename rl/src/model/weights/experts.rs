//! Where files keep the experts of a layer: under other names than here, or stacked in one tensor.
//!
//! Here every expert has tensors of its own, `mlp.experts.N.gate_proj.weight` and so on. Published checkpoints have
//! that, the names of Mixtral, all experts of a layer in one tensor with the rows of gates before those of ups
//! (`mlp.experts.gate_up_proj`, as transformers 5 has them in memory; Granite's `input_linear`), or one tensor a map
//! (GGUF files). What is written is what transformers writes for the family.

use std::collections::{BTreeMap, HashSet};

use super::{WeightError, WeightSource, check_shape};
use crate::model::config::{Family, ModelConfig};

/// Where a file keeps a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The name there.
    pub(super) name: String,
    /// Which of its rows, where it is stacked.
    pub(super) part: Option<Part>,
}

/// Some rows of a tensor `[experts, pieces * out, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    expert: usize,
    piece: usize,
    pieces: usize,
}

impl Part {
    /// Its rows, when each expert's piece has `out` of them.
    pub(super) fn rows(&self, out: usize) -> std::ops::Range<usize> {
        let first = (self.expert * self.pieces + self.piece) * out;
        first..first + out
    }
}

/// The maps of an expert: the name here, Mixtral's, and the place in a tensor of both that widen.
const MAPS: [(&str, &str, Option<usize>); 3] = [
    ("gate_proj", "w1", Some(0)),
    ("up_proj", "w3", Some(1)),
    ("down_proj", "w2", None),
];

/// Where else a file may keep the tensor of this name.
pub(super) fn other_places(name: &str) -> Vec<Place> {
    let whole = |name: String| Place { name, part: None };
    let Some((layer, rest)) = name.split_once(".mlp.") else {
        return Vec::new();
    };
    if rest == "gate.weight" {
        let names = ["gate", "router.layer"];
        return names
            .map(|router| whole(format!("{layer}.block_sparse_moe.{router}.weight")))
            .into();
    }
    if let Some(map) = rest.strip_prefix("shared_experts.") {
        return vec![whole(format!("{layer}.mlp.shared_expert.{map}"))];
    }
    let expert = rest.strip_prefix("experts.");
    let Some((number, map)) = expert.and_then(|rest| rest.split_once('.')) else {
        return Vec::new();
    };
    let (Ok(expert), Some(map)) = (number.parse(), map.strip_suffix(".weight")) else {
        return Vec::new();
    };
    let Some((_, mixtral, widening)) = MAPS.into_iter().find(|(own, ..)| *own == map) else {
        return Vec::new();
    };
    let stacked = |name: String, piece: usize, pieces: usize| Place {
        name,
        part: Some(Part {
            expert,
            piece,
            pieces,
        }),
    };
    let experts = format!("{layer}.mlp.experts");
    let mut places = vec![
        whole(format!(
            "{layer}.block_sparse_moe.experts.{expert}.{mixtral}.weight"
        )),
        stacked(format!("{experts}.{map}.weight"), 0, 1),
    ];
    places.extend(match widening {
        Some(piece) => [
            stacked(format!("{experts}.gate_up_proj"), piece, 2),
            stacked(
                format!("{layer}.block_sparse_moe.input_linear.weight"),
                piece,
                2,
            ),
        ],
        None => [
            stacked(format!("{experts}.down_proj"), 0, 1),
            stacked(
                format!("{layer}.block_sparse_moe.output_linear.weight"),
                0,
                1,
            ),
        ],
    });
    places
}

/// The name under which a family's checkpoints have a tensor that is called `name` here.
pub(crate) fn written_name(family: Family, name: String) -> String {
    let Some((layer, rest)) = name.split_once(".mlp.") else {
        return name;
    };
    match family {
        Family::Qwen2Moe => match rest.strip_prefix("shared_experts.") {
            Some(map) => format!("{layer}.mlp.shared_expert.{map}"),
            None => name,
        },
        Family::Mixtral => {
            let (module, map) = match rest.strip_suffix(".weight") {
                Some(rest) => rest.rsplit_once('.').unwrap_or(("", rest)),
                None => return name,
            };
            let own = MAPS.iter().find(|(own, ..)| *own == map);
            match own {
                Some((_, mixtral, _)) if module.starts_with("experts.") => {
                    format!("{layer}.block_sparse_moe.{module}.{mixtral}.weight")
                }
                _ if rest == "gate.weight" => format!("{layer}.block_sparse_moe.{rest}"),
                _ => name,
            }
        }
        Family::GraniteMoe if rest == "gate.weight" => {
            format!("{layer}.block_sparse_moe.router.layer.weight")
        }
        _ => name,
    }
}

/// Where an export has a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// The tensor there.
    pub(super) name: String,
    /// Its shape.
    pub(super) shape: Vec<usize>,
    /// The first of its rows that belong to this one.
    pub(super) first: usize,
}

/// Where an export of `config` has the tensor that is called `name` here: Granite's experts are stacked.
pub(super) fn written_place(config: &ModelConfig, name: String, shape: Vec<usize>) -> Written {
    let experts = config
        .experts
        .as_ref()
        .map(|experts| experts.router.experts);
    let places = other_places(&name);
    let stacked = places.into_iter().find(|place| {
        let stack = [".input_linear.weight", ".output_linear.weight"];
        config.family == Family::GraniteMoe && stack.iter().any(|end| place.name.ends_with(end))
    });
    match (stacked, experts) {
        (
            Some(Place {
                name,
                part: Some(part),
            }),
            Some(experts),
        ) => Written {
            name,
            shape: vec![experts, part.pieces * shape[0], shape[1]],
            first: part.rows(shape[0]).start,
        },
        _ => Written {
            name: written_name(config.family, name),
            shape,
            first: 0,
        },
    }
}

/// Where `source` keeps the tensor of this name, if it has it.
pub(super) fn place(source: &WeightSource, name: &str) -> Option<Place> {
    let own = Place {
        name: name.to_owned(),
        part: None,
    };
    if source.shape(name).is_some() {
        return Some(own);
    }
    let mut others = other_places(name).into_iter();
    others.find(|place| source.shape(&place.name).is_some())
}

/// Checks where `source` keeps each tensor and in what shape, and gives the names there.
///
/// # Errors
/// [`WeightError::MissingTensor`] and [`WeightError::ShapeMismatch`], the latter also for a stack of another number
/// of experts.
pub(super) fn places(
    source: &WeightSource,
    expected: &[(String, Vec<usize>)],
) -> Result<HashSet<String>, WeightError> {
    let mut found = HashSet::new();
    let mut stacks: BTreeMap<String, (usize, Vec<usize>)> = BTreeMap::new();
    for (name, shape) in expected {
        let missing = || WeightError::MissingTensor {
            file: source.path().to_path_buf(),
            tensor: name.clone(),
        };
        let place = place(source, name).ok_or_else(missing)?;
        match place.part {
            None => {
                let stored = source.shape(&place.name).ok_or_else(missing)?;
                if !is_row(stored, shape) {
                    check_shape(source.path(), &place.name, stored, shape)?;
                }
            }
            Some(part) => {
                let rows = part.pieces * shape.first().copied().unwrap_or(0);
                let inner = shape.last().copied().unwrap_or(0);
                let stack = stacks.entry(place.name.clone()).or_default();
                *stack = (stack.0.max(part.expert + 1), vec![rows, inner]);
            }
        }
        found.insert(place.name);
    }
    for (name, (experts, mut shape)) in stacks {
        shape.insert(0, experts);
        let stored = source.shape(&name).unwrap_or_default();
        check_shape(source.path(), &name, stored, &shape)?;
    }
    Ok(found)
}

/// Whether a matrix of one row is stored as that row.
pub(super) fn is_row(stored: &[usize], expected: &[usize]) -> bool {
    matches!((stored, expected), ([stored], [1, width]) if stored == width)
}

/// Whether a tensor belongs to a layer that predicts further tokens (arXiv 2412.19437, section 2.2), which stands behind
/// the `layers` of the model and is not used here.
pub(super) fn predicts_further(source: &WeightSource, layers: usize, name: &str) -> bool {
    let layer = name
        .strip_prefix("model.layers.")
        .or(name.strip_prefix("blk."));
    let number = layer.and_then(|rest| rest.split_once('.'));
    let Some(number) = number.and_then(|(number, _)| number.parse::<usize>().ok()) else {
        return false;
    };
    let marks = [
        format!("model.layers.{number}.eh_proj.weight"),
        format!("model.layers.{number}.enorm.weight"),
        format!("blk.{number}.nextn.eh_proj.weight"),
    ];
    number >= layers && marks.iter().any(|mark| source.shape(mark).is_some())
}

#[cfg(test)]
mod tests;
