//! The live model that answers the callers.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Duration;

use patchcord::sim::gemini::{Behaviour, Delivery, Ending, Scenario, Server, Turn, Utterance, tone};

use crate::callers::QUESTION;
use crate::world;

pub(crate) const ANSWER: &str = "It is sunny, with a light wind from the sea.";

/// How long an answer is.
pub(crate) const LENGTH: Duration = Duration::from_millis(1400);

/// Answers every question. It is always well ahead of what may be sent to a caller: a frame that is late is so by
/// the server.
pub(crate) async fn start() -> Server {
    let say = vec![Utterance { text: ANSWER.to_owned(), samples: tone(440.0, LENGTH.as_secs_f64()) }];
    let turn = Turn { heard: QUESTION.to_owned(), say, ..Turn::default() };
    let delivery = Delivery { message: Duration::from_millis(400), ..Delivery::default() };
    let scenario = Scenario { turns: vec![turn], ending: Ending::Repeat, ..Scenario::default() };
    world::model(Behaviour { delivery, ..world::quick() }, scenario).await
}
