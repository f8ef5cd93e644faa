//! Names: the routes, the services they belong to, and the kinds of work.

use std::fmt;

/// A route of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    ChatCompletions,
    Transcriptions,
    Speech,
    Models,
    GenerateContent,
    StreamGenerateContent,
    Recognize,
    Synthesize,
    Messages,
    OllamaChat,
}

/// Whose manners a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    OpenAi,
    Gemini,
    /// Cloud Speech-to-Text and Text-to-Speech.
    Google,
    Anthropic,
    Ollama,
}

/// What a request wants. Gemini does all of it on one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Llm,
    Stt,
    Tts,
    /// The list of models.
    Catalogue,
}

impl Route {
    pub const ALL: [Self; 10] = [
        Self::ChatCompletions,
        Self::Transcriptions,
        Self::Speech,
        Self::Models,
        Self::GenerateContent,
        Self::StreamGenerateContent,
        Self::Recognize,
        Self::Synthesize,
        Self::Messages,
        Self::OllamaChat,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat-completions",
            Self::Transcriptions => "transcriptions",
            Self::Speech => "speech",
            Self::Models => "models",
            Self::GenerateContent => "generate-content",
            Self::StreamGenerateContent => "stream-generate-content",
            Self::Recognize => "recognize",
            Self::Synthesize => "synthesize",
            Self::Messages => "messages",
            Self::OllamaChat => "ollama-chat",
        }
    }

    pub const fn service(self) -> Service {
        match self {
            Self::ChatCompletions | Self::Transcriptions | Self::Speech | Self::Models => Service::OpenAi,
            Self::GenerateContent | Self::StreamGenerateContent => Service::Gemini,
            Self::Recognize | Self::Synthesize => Service::Google,
            Self::Messages => Service::Anthropic,
            Self::OllamaChat => Service::Ollama,
        }
    }
}

impl Service {
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::Gemini, Self::Google, Self::Anthropic, Self::Ollama];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
            Self::Google => "google",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Llm, Self::Stt, Self::Tts, Self::Catalogue];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Stt => "stt",
            Self::Tts => "tts",
            Self::Catalogue => "catalogue",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
