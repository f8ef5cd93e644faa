//! What a well-formed message may still not ask: credentials, and what each model family refuses.

use super::admission::{Admission, Credential, Service};
use super::behaviour::Behaviour;
use super::personality::Personality;
use super::refusal::Refusal;
use super::request::{ClientContent, Content, Setup};
use crate::secret::Secret;

/// Whether this setup is taken on this connection.
pub(super) fn check_setup(
    setup: &Setup,
    admission: &Admission,
    behaviour: &Behaviour,
) -> Result<(), Refusal> {
    check_credential(admission, &behaviour.keys)?;
    if setup.model.is_empty() {
        return Err(Refusal::InvalidArgument);
    }
    if setup.proactivity.is_some() && admission.service == Service::Dev && admission.version != "v1alpha" {
        return Err(Refusal::UnknownName { name: "proactivity".to_owned(), path: "setup".to_owned() });
    }
    check_options(setup, behaviour.personality)?;
    check_generation(setup, behaviour.personality)
}

fn check_options(setup: &Setup, personality: Personality) -> Result<(), Refusal> {
    if setup.tools.iter().any(|tool| tool.code_execution.is_some()) {
        return Err(Refusal::CodeExecution);
    }
    let is_transparent = setup.session_resumption.as_ref().is_some_and(|resumption| resumption.transparent);
    // Only Vertex resumes transparently, and it closes a setup that names this coverage explicitly.
    let coverage = setup.realtime_input_config.turn_coverage.as_deref();
    let names_coverage = coverage == Some("TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO");
    if is_transparent && !personality.is_vertex() || names_coverage && personality.is_vertex() {
        return Err(Refusal::InvalidArgument);
    }
    Ok(())
}

/// Whether this history or text is taken. Every turn needs a role on 3.x; `system` is an error on dev. 2.5
/// takes no function calls in it, and wants the last word to be the user's.
pub(super) fn check_content(content: &ClientContent, personality: Personality) -> Result<(), Refusal> {
    let is_bad = |role: &str| match role {
        "" => personality.is_3x(),
        "system" => !personality.is_vertex(),
        _ => false,
    };
    let has_function = |turn: &Content| {
        turn.parts.iter().any(|part| part.function_call.is_some() || part.function_response.is_some())
    };
    let is_wrong_on_2_5 = personality == Personality::Native25
        && (content.turns.iter().any(has_function)
            || content.turn_complete && content.turns.last().is_some_and(|turn| turn.role == "model"));
    if is_wrong_on_2_5 || content.turns.iter().any(|turn| is_bad(&turn.role)) {
        return Err(Refusal::InvalidArgument);
    }
    Ok(())
}

fn check_credential(admission: &Admission, keys: &[Secret]) -> Result<(), Refusal> {
    let secret = match (admission.service, &admission.credential) {
        (_, Credential::None) => return Err(Refusal::Unregistered),
        (Service::Dev | Service::Vertex, Credential::Token(_))
        | (Service::Constrained, Credential::Key(_) | Credential::Bearer(_)) => {
            return Err(Refusal::Unregistered);
        }
        (Service::Constrained, Credential::Token(secret))
        | (Service::Dev | Service::Vertex, Credential::Key(secret) | Credential::Bearer(secret)) => secret,
    };
    if keys.is_empty() || keys.contains(secret) { Ok(()) } else { Err(Refusal::KeyNotValid) }
}

fn check_generation(setup: &Setup, personality: Personality) -> Result<(), Refusal> {
    let config = &setup.generation_config;
    let wants_text = config.response_modalities.iter().any(|modality| modality == "TEXT");
    if config.response_modalities.len() > 1 || wants_text && !personality.is_vertex() {
        let asked = config.response_modalities.join(", ");
        return Err(Refusal::Modalities(asked, setup.model.clone()));
    }
    let voice = &config.speech_config.voice_config.prebuilt_voice_config.voice_name;
    if let Some(voice) = voice.as_deref().filter(|voice| !VOICES.contains(voice)) {
        return Err(Refusal::Voice(voice.to_owned()));
    }
    let thinking = &config.thinking_config;
    match personality {
        Personality::Live38 if thinking.thinking_level.is_some() => Err(Refusal::ThinkingLevel),
        Personality::VertexHalfCascade
            if thinking.thinking_level.is_some() || thinking.thinking_budget.is_some() =>
        {
            Err(Refusal::ThinkingLevel)
        }
        Personality::Flash31 if config.enable_affective_dialog => Err(Refusal::InvalidArgument),
        Personality::Native25
        | Personality::Flash31
        | Personality::Live38
        | Personality::VertexHalfCascade => Ok(()),
    }
}

/// The prebuilt voices of the Live API documentation.
const VOICES: [&str; 30] = [
    "Achernar",
    "Achird",
    "Algenib",
    "Algieba",
    "Alnilam",
    "Aoede",
    "Autonoe",
    "Callirrhoe",
    "Charon",
    "Despina",
    "Enceladus",
    "Erinome",
    "Fenrir",
    "Gacrux",
    "Iapetus",
    "Kore",
    "Laomedeia",
    "Leda",
    "Orus",
    "Puck",
    "Pulcherrima",
    "Rasalgethi",
    "Sadachbia",
    "Sadaltager",
    "Schedar",
    "Sulafat",
    "Umbriel",
    "Vindemiatrix",
    "Zephyr",
    "Zubenelgenubi",
];
