//! A dialogue as models are told it: turns of user and assistant, of which the first and the last are the user's.

use crate::dialogue::{Dialogue, Speaker};

/// Stands for the caller's first turn when the agent spoke first.
const CONNECTED: &str = "[The call is connected.]";

/// Asks for the first words of a call.
const GREET: &str = "[The call is connected. Greet the caller.]";

/// Asks for words although the caller said nothing.
const SILENT: &str = "[The caller is silent. Go on.]";

/// The turns of a dialogue. Models want the last turn to be the user's, and most the first one too: what is
/// missing is a stage direction in brackets.
pub(super) fn turns(dialogue: &Dialogue) -> Vec<(Speaker, &str)> {
    let lines = dialogue.lines().map(|line| (line.speaker, line.text.as_str()));
    let direction = |speaker: Option<Speaker>, text| {
        (speaker == Some(Speaker::Agent)).then_some((Speaker::Caller, text)).into_iter()
    };
    let before = direction(dialogue.lines().next().map(|line| line.speaker), CONNECTED);
    let after = direction(dialogue.last().map(|line| line.speaker), SILENT);
    let greet = dialogue.is_empty().then_some((Speaker::Caller, GREET));
    greet.into_iter().chain(before).chain(lines).chain(after).collect()
}

/// The turns as `{"role", "content"}`, which all but Gemini want.
pub(super) fn messages(dialogue: &Dialogue) -> impl Iterator<Item = serde_json::Value> {
    turns(dialogue).into_iter().map(|(speaker, text)| {
        let role = match speaker {
            Speaker::Caller => "user",
            Speaker::Agent => "assistant",
        };
        serde_json::json!({ "role": role, "content": text })
    })
}

/// The instruction as a message before them.
pub(super) fn messages_with_system(instruction: &str, dialogue: &Dialogue) -> Vec<serde_json::Value> {
    let system = serde_json::json!({ "role": "system", "content": instruction });
    let system = (!instruction.is_empty()).then_some(system);
    system.into_iter().chain(messages(dialogue)).collect()
}
