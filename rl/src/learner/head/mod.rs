//! What reads hidden states.
//!
//! | file | subject |
//! |---|---|
//! | this one | which of them a policy is trained with |
//! | [`vocabulary`] | the vocabulary head in chunks, and its gradient in closed form |
//! | [`scalar`] | a head that reads one number off a hidden state |

pub mod scalar;
pub mod vocabulary;

use crate::model::ParameterVisitor;

pub use scalar::{ScalarHead, accumulate_scalar_gradients, pack_ends, scalar_values};
pub(crate) use vocabulary::Chunk;
pub use vocabulary::HeadConfig;

/// What reads the hidden states of a model, and is trained with it.
#[derive(Debug, Clone, Default)]
pub enum Head {
    /// The model's own: logits of the next token.
    #[default]
    Vocabulary,
    /// One number of each state.
    Scalar(Box<ScalarHead>),
}

impl From<ScalarHead> for Head {
    fn from(head: ScalarHead) -> Self {
        Self::Scalar(Box::new(head))
    }
}

impl Head {
    /// The scalar head, if that is what it is.
    pub fn scalar(&self) -> Option<&ScalarHead> {
        match self {
            Self::Vocabulary => None,
            Self::Scalar(head) => Some(head),
        }
    }

    /// Shows weights that are not the model's to `f`.
    pub fn visit(&mut self, f: &mut impl ParameterVisitor) {
        match self {
            Self::Vocabulary => {}
            Self::Scalar(head) => head.visit(f),
        }
    }
}
