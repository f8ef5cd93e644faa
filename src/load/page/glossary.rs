//! The words of the page for people who do not know them.

use super::html::text;
use crate::load::outcome::{Outcome, names};

/// What a measure is, in plain words; `None` for one that this program does not know.
pub(super) fn measure(name: &str) -> Option<&'static str> {
    Some(match name {
        names::ADDED_DELAY => {
            "How much later a sound is heard because this server stands between caller and model: from the caller's \
             mouth to the model and from the answer back to the caller's ear, with a model that answers at once. The \
             carrier waits up to 20 ms until a frame of sound is full; that is part of it. Below about 60 ms nobody \
             notices; what the real model takes to think comes on top."
        }
        names::BARGE_IN => {
            "The caller speaks while the agent speaks. This is the time from the caller's first sound until the \
             agent is silent. The 60 ms in which the model notices that somebody speaks are part of it."
        }
        names::ANSWER => {
            "From the end of the caller's words to the first sound of the answer. Most of it is the model, which waits \
             to be sure that the caller has finished."
        }
        names::DEAD_AIR => {
            "The longest time in a call in which the caller waited for an answer and heard nothing."
        }
        names::FRAME_LATENESS => {
            "Sound comes in frames of 20 ms. This is how much later than its turn a frame of an answer came, had they \
             come evenly: a server that sends four of them together is up to 80 ms late with the next. The carrier's \
             buffer hides it until the buffer is empty; then the caller hears a hole."
        }
        names::SETUP => {
            "From placing the call until the server has answered the carrier's request and the stream of sound is open. \
             The caller hears it ring."
        }
        names::REFUSAL => {
            "How long a caller for whom there was no room waited until the server said so. A server that is full has to \
             say it quickly: the caller hears nothing until then."
        }
        names::FIRST_SOUND => "From the open stream to the first sound that the caller hears.",
        _ => return None,
    })
}

const WORDS: [(&str, &str); 9] = [
    (
        "p50, p95, p99",
        "Percentiles: of 100 measurements, 50, 95 or 99 were at most this long. The p50 is what is usual, the \
     p99 what one in a hundred has to bear.",
    ),
    ("bar", "The p99 that must not be exceeded for the test to be passed."),
    (
        "probe",
        "A burst of sound of 20 ms that a caller sends while nobody speaks. Each tells its place in the call, so that \
     delay and losses are known exactly.",
    ),
    ("sample", "The smallest piece of sound on a telephone line: 125 µs, 8000 of them a second."),
    (
        "lost, doubled",
        "Samples that never arrived, or arrived twice. In answers that the caller interrupted, nothing is \
     counted: there it is meant.",
    ),
    ("underrun", "The carrier had nothing left to play in the middle of an answer: the caller heard a hole."),
    (
        "share of a core",
        "How much of the time one processor core was busy. 200 % are two cores that did nothing else.",
    ),
    ("resident memory", "Memory that the process has in use, as the operating system counts it."),
    (
        "lateness of the test",
        "How late the simulated callers sent their sound. If they were late themselves, the delays \
     measured are theirs and not the server's: then there is no verdict.",
    ),
];

/// All of it: first the measures of this outcome.
pub(super) fn glossary(outcome: &Outcome) -> String {
    let measures = outcome.measures.iter().map(|row| {
        let meaning = measure(&row.name).unwrap_or("This program has no words for this measure.");
        let (title, name) = (text(&row.title), text(&row.name));
        format!("<dt>{title} (<code>{name}</code>)</dt><dd>{}</dd>\n", text(meaning))
    });
    let words = WORDS.iter().map(|(word, meaning)| format!("<dt>{word}</dt><dd>{}</dd>\n", text(meaning)));
    format!("<dl class=\"glossary\">\n{}</dl>\n", measures.chain(words).collect::<String>())
}
