//! The first message of each agent's live session, measured against what the service takes.

use std::fmt::Write as _;

use super::part::Part;
use crate::call::agent::Agent;
use crate::config::Config;
use crate::live::{Command, Setup, wire};

/// Context windows of the live models, tokens (Gemini Live API, "Session management" and models: 128k with native
/// audio, 32k otherwise).
const WINDOW_NATIVE: usize = 131_072;
const WINDOW_OTHER: usize = 32_768;

/// A token is about four bytes of English, and seldom more than six of any text.
const BYTES_PER_TOKEN: usize = 4;
const BYTES_PER_TOKEN_MAX: usize = 6;

pub(super) fn check(config: &Config) -> Part {
    let mut part = Part::new(config);
    for (index, agent) in config.agents.iter().enumerate() {
        let bytes = size(agent);
        let tokens = bytes / BYTES_PER_TOKEN;
        let window = window(&agent.model);
        let key = format!("agents[{index}].prompt");
        let mut text = format!("{}: set-up message of {bytes} bytes", agent.name);
        let _ = write!(text, ", about {tokens} of the {window} tokens that {} remembers", agent.model);
        part.fact("sessions", text);
        let remedy = "shorten the prompt, or move what is seldom needed out of it";
        if bytes / BYTES_PER_TOKEN_MAX > window {
            part.error(
                key,
                format!("with {tokens} tokens it does not fit into the {window} of the model"),
                remedy,
            );
        } else if tokens > window / 2 {
            let message =
                format!("takes about {tokens} of the {window} tokens of the model: little of a call is left");
            part.warning(key, message, remedy);
        }
    }
    part
}

/// Bytes of the message as it is sent for a new session.
fn size(agent: &Agent) -> usize {
    let setup = Setup {
        model: agent.model.clone(),
        voice: agent.voice.clone(),
        language: agent.language.clone(),
        prompt: agent.prompt.clone(),
        temperature: agent.temperature,
        vad: agent.vad,
        handle: None,
        is_transparent: false,
        history: None,
    };
    let mut message = String::new();
    wire::encode(&Command::Setup(Box::new(setup)), &mut message);
    message.len()
}

fn window(model: &str) -> usize {
    if model.contains("native-audio") || model.contains("gemini-3") { WINDOW_NATIVE } else { WINDOW_OTHER }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Severity;

    #[rstest]
    #[case::short("gemini-3.8-live", 2_000, None)]
    #[case::half_of_the_window("gemini-3.8-live", 300_000, Some(Severity::Warning))]
    #[case::too_long("gemini-3.8-live", 900_000, Some(Severity::Error))]
    #[case::half_of_a_small_window("gemini-live-2.5-flash", 100_000, Some(Severity::Warning))]
    #[case::too_long_for_a_small_window("gemini-live-2.5-flash", 250_000, Some(Severity::Error))]
    #[case::native("gemini-2.5-flash-native-audio-preview-12-2025", 100_000, None)]
    fn a_prompt_is_measured(#[case] model: &str, #[case] bytes: usize, #[case] severity: Option<Severity>) {
        let prompt = "word ".repeat(bytes / 5);
        let agent = Agent { model: model.to_owned(), prompt, ..Agent::default() };
        let part = check(&Config { agents: vec![agent], ..Config::default() });
        assert_eq!(part.all().first().map(|finding| finding.severity), severity);
    }
}
