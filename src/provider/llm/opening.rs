//! The beginning of an answer: held back until there is a word in it that is spoken.
//!
//! An answer of thoughts, markup or an emoji alone is an empty one, for the pool as for the caller, and another
//! model can be asked while nothing was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fallback::{Cleaner, Flow};

/// What is known of a model: it thinks at the beginning of its answers and marks the end of it only, because the
/// mark of the beginning is in its template. Shared by all answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Habit(Arc<AtomicBool>);

/// Takes the text of one answer.
#[derive(Debug)]
pub(super) struct Opening {
    cleaner: Cleaner,
    habit: Habit,
    /// Text as it came, and what of it is spoken.
    held: String,
    spoken: String,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No word came that is spoken.
    Wordless,
    /// Words came that are a thought, if the model does as it did before.
    Doubtful,
    Begun,
}

impl Opening {
    pub(super) fn new(habit: &Habit) -> Self {
        let stage = if habit.0.load(Ordering::Relaxed) { Stage::Doubtful } else { Stage::Wordless };
        let (held, spoken) = (String::new(), String::new());
        Self { cleaner: Cleaner::new(), habit: habit.clone(), held, spoken, stage }
    }

    /// Takes more text; gives what may be told now.
    pub(super) fn push(&mut self, text: &str) -> Option<String> {
        for c in text.chars() {
            self.held.push(c);
            let flow = self.cleaner.push(c, &mut self.spoken);
            self.follow(flow);
        }
        self.release()
    }

    /// No more text comes; gives what may be told of what was held back.
    pub(super) fn finish(&mut self) -> Option<String> {
        let flow = self.cleaner.finish(&mut self.spoken);
        self.follow(flow);
        if self.stage == Stage::Doubtful {
            self.habit.0.store(false, Ordering::Relaxed);
            self.stage = Stage::Wordless;
            self.follow(Flow::On);
        }
        self.release()
    }

    /// Whether a word came that is spoken.
    pub(super) fn has_words(&self) -> bool {
        self.stage == Stage::Begun
    }

    fn follow(&mut self, flow: Flow) {
        if flow == Flow::Retract {
            self.habit.0.store(true, Ordering::Relaxed);
            if self.stage != Stage::Begun {
                self.held.clear();
                self.stage = Stage::Wordless;
            }
        }
        if self.stage == Stage::Wordless && self.spoken.contains(char::is_alphanumeric) {
            self.stage = Stage::Begun;
        }
        if self.stage == Stage::Begun {
            self.spoken.clear();
        }
    }

    fn release(&mut self) -> Option<String> {
        let is_told = self.stage == Stage::Begun && !self.held.is_empty();
        is_told.then(|| std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(habit: &Habit, pieces: &[&str]) -> Vec<String> {
        let mut opening = Opening::new(habit);
        let mut told: Vec<_> = pieces.iter().filter_map(|piece| opening.push(piece)).collect();
        told.extend(opening.finish());
        told
    }

    #[rstest]
    #[case::words(&["We ", "have"], &["We ", "have"])]
    #[case::white_space(&[" \n", "We"], &[" \nWe"])]
    #[case::a_thought(&["<think>", "Hm.", "</think>", "\n", "We"], &["<think>Hm.</think>\nWe"])]
    #[case::a_thought_alone(&["<think>", "Hm."], &[])]
    #[case::an_emoji(&["🙂", "!"], &[])]
    #[case::a_call(&["<tool_call>{}", "</tool_call>"], &[])]
    #[case::a_number_at_the_end(&["<", "3"], &["<3"])]
    fn an_answer_begins_with_its_first_word(#[case] pieces: &[&str], #[case] expected: &[&str]) {
        assert_eq!(told(&Habit::default(), pieces), expected);
    }

    #[test]
    fn a_model_that_marks_the_end_of_its_thoughts_only_is_waited_for_from_then_on() {
        let habit = Habit::default();
        let pieces = ["They want. ", "A room.", "</think>", "We have. "];
        assert_eq!(told(&habit, &pieces), ["They want. ", "A room.", "</think>", "We have. "]);
        assert_eq!(told(&habit, &pieces), ["We have. "]);
        assert_eq!(told(&habit, &["We have.", " Yes."]), ["We have. Yes."], "it does not think this time");
        assert_eq!(told(&habit, &["We have.", " Yes."]), ["We have.", " Yes."]);
    }
}
