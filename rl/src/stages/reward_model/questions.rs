//! The answers of each prompt, and how they compare.

use std::{collections::HashMap, sync::Arc};

use super::loss::{Comparison, Opinion};
use crate::{
    learner::{Segment, Sequence},
    stages::pairs_data::{EncodedJudged, EncodedPair},
};

/// A prompt with all that is known of its answers: what is learnt in one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Each answer behind the prompt, once.
    pub answers: Vec<Sequence>,
    /// Which is better than which.
    pub comparisons: Vec<Comparison>,
    /// Which are good or bad by themselves.
    pub opinions: Vec<Opinion>,
}

impl Question {
    /// Tokens that are read in a forward pass: the prompt once, and all answers.
    pub fn rows(&self) -> usize {
        let prompt = self.answers.first().map_or(0, |first| first.prompt.len());
        let answers = self.answers.iter().map(Sequence::followed);
        prompt + answers.sum::<usize>()
    }

    fn answer(&mut self, sequence: &Sequence, prompt: &Arc<[u32]>) -> usize {
        let place = self
            .answers
            .iter()
            .position(|known| known.segments == sequence.segments);
        place.unwrap_or_else(|| {
            // All answers of a prompt share its memory.
            let segments = sequence.segments.clone();
            self.answers
                .push(Sequence::of_segments(prompt.clone(), segments));
            self.answers.len() - 1
        })
    }
}

/// The questions of pairs and judged answers, in the order in which their prompts come. `margin_weight` multiplies the
/// margins of the rows.
pub fn questions(
    pairs: &[EncodedPair],
    judged: &[EncodedJudged],
    margin_weight: f64,
) -> Vec<Question> {
    let mut all: Vec<(Arc<[u32]>, Question)> = Vec::new();
    let mut places: HashMap<Arc<[u32]>, usize> = HashMap::new();
    let mut place_of = |all: &mut Vec<(Arc<[u32]>, Question)>, prompt: &Arc<[u32]>| {
        *places.entry(prompt.clone()).or_insert_with(|| {
            all.push((prompt.clone(), Question::default()));
            all.len() - 1
        })
    };
    for pair in pairs {
        let place = place_of(&mut all, &pair.chosen.prompt);
        let (prompt, question) = &mut all[place];
        let chosen = question.answer(&pair.chosen, prompt);
        let rejected = question.answer(&pair.rejected, prompt);
        question.comparisons.push(Comparison {
            chosen,
            rejected,
            label: pair.label,
            margin: margin_weight * pair.margin.unwrap_or(0.0),
        });
    }
    for answer in judged {
        let place = place_of(&mut all, &answer.sequence.prompt);
        let (prompt, question) = &mut all[place];
        let opinion = Opinion {
            answer: question.answer(&answer.sequence, prompt),
            good: answer.good,
        };
        question.opinions.push(opinion);
    }
    all.into_iter().map(|(_, question)| question).collect()
}

/// The token that all answers end with.
///
/// # Errors
/// The first answer that ends otherwise than those before it, by its tokens, and what those ended with.
pub fn common_end(questions: &[Question]) -> Result<Option<u32>, (u32, u32)> {
    let mut end = None;
    for answer in questions.iter().flat_map(|question| &question.answers) {
        let segments = answer.segments.iter().rev();
        let last = segments
            .filter_map(|segment: &Segment| segment.tokens.last())
            .next();
        let Some(&last) = last else { continue };
        match end {
            Some(end) if end != last => return Err((last, end)),
            _ => end = Some(last),
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(prompt: &[u32], answer: &[u32]) -> Sequence {
        Sequence::new(prompt, answer)
    }

    #[test]
    fn comparisons_of_a_prompt_come_together_and_answers_are_there_once() {
        let mut first = EncodedPair::new(sequence(&[1, 2], &[3, 9]), sequence(&[1, 2], &[4, 9]));
        first.margin = Some(3.0);
        let other = EncodedPair::new(sequence(&[5], &[3, 9]), sequence(&[5], &[6, 6, 9]));
        let again = EncodedPair::new(sequence(&[1, 2], &[4, 9]), sequence(&[1, 2], &[7, 9]));
        let judged = EncodedJudged::new(sequence(&[1, 2], &[7, 9]), false);
        let all = questions(&[first, other, again], &[judged], 0.5);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].answers.len(), 3);
        assert_eq!(all[0].rows(), 2 + 6);
        let places: Vec<_> = all[0]
            .comparisons
            .iter()
            .map(|c| (c.chosen, c.rejected))
            .collect();
        assert_eq!(places, [(0, 1), (1, 2)]);
        assert_eq!(all[0].comparisons[0].margin, 1.5);
        let bad = Opinion {
            answer: 2,
            good: false,
        };
        assert_eq!(all[0].opinions, [bad]);
        assert!(Arc::ptr_eq(
            &all[0].answers[0].prompt,
            &all[0].answers[2].prompt
        ));
        assert_eq!(common_end(&all), Ok(Some(9)));
        let odd = EncodedJudged::new(sequence(&[5], &[8]), true);
        let all = questions(
            &[],
            &[EncodedJudged::new(sequence(&[5], &[9]), true), odd],
            1.0,
        );
        assert_eq!(common_end(&all), Err((8, 9)));
    }
}
