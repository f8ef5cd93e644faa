//! Calls in which every message of the carrier and of the model carries a harmless oddity.
//!
//! A seed draws the oddity of each message, the numbering of the carrier's chunks, and when the words of a turn come
//! relative to its sound. The peers mean the same thing in every call: the caller asks three questions, the model answers
//! each. So the caller must hear every sample, the model must hear every question, and the log must have every word,
//! in the order in which they were said. The call runs on a virtual clock, from raw messages to outputs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod carrier;
mod json;
mod model;
mod random;
mod world;

use self::world::{Heard, World};

const SEEDS: u64 = 200;

/// Sound that the resampler may add or take at the edges of an utterance or an answer, milliseconds.
const EDGE_MS: u64 = 20;

#[test]
fn nothing_is_lost_in_a_call_whose_every_message_is_odd() {
    for seed in 0..SEEDS {
        let heard = World::play(seed);
        let lost = judge(&heard);
        assert!(lost.is_empty(), "seed {seed}:\n  {}\n{}", lost.join("\n  "), heard.story());
    }
}

/// A judge that finds nothing proves nothing: each of these calls lost something.
#[test]
fn a_lost_sample_question_or_word_is_noticed() {
    let whole = World::play(0);
    assert_eq!(judge(&whole), Vec::<String>::new(), "{}", whole.story());
    let mut deaf = whole.clone();
    deaf.questions[1].heard_us -= 60_000;
    let mut mute = whole.clone();
    mute.answers[2].heard_us -= 60_000;
    let mut wordless = whole.clone();
    wordless.turns[3].1.truncate(4);
    let mut swapped = whole;
    swapped.turns.swap(1, 2);
    for lost in [deaf, mute, wordless, swapped] {
        assert_eq!(judge(&lost).len(), 1);
    }
}

/// What was lost or added, one line each.
fn judge(heard: &Heard) -> Vec<String> {
    let mut lost = Vec::new();
    for (number, question) in heard.questions.iter().enumerate() {
        if question.error_ms() > EDGE_MS {
            lost.push(format!("the model heard {question:?} of question {number}"));
        }
    }
    for (number, answer) in heard.answers.iter().enumerate() {
        if answer.error_ms() > EDGE_MS {
            lost.push(format!("the caller heard {answer:?} of answer {number}"));
        }
    }
    if heard.turns != world::turns() {
        lost.push(format!("the log has {:?}", heard.turns));
    }
    if heard.dials != 1 {
        lost.push(format!("{} live sessions were dialled", heard.dials));
    }
    if !heard.is_hung_up_by_caller {
        lost.push("the caller did not end the call".to_owned());
    }
    lost
}
