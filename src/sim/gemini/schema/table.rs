//! The client messages of the Live API, field by field.
//!
//! Sources: `googleapis/googleapis`, `google/ai/generativelanguage/v1beta/generative_service.proto` and
//! `content.proto`; newer fields from the types of the official Python SDK (google-genai 3.4.0).

use super::{Kind, Message};

use Kind::{Bool, Bytes, Float, Int32, Int64, List, Struct, Text};

const STRINGS: Kind = List(&Text);

pub(in super::super) static CLIENT_MESSAGE: Message = Message::new(&[
    ("setup", Kind::Message(&SETUP)),
    ("clientContent", Kind::Message(&CLIENT_CONTENT)),
    ("realtimeInput", Kind::Message(&REALTIME_INPUT)),
    ("toolResponse", Kind::Message(&TOOL_RESPONSE)),
    ("contextUpdate", Kind::Message(&CONTEXT_UPDATE)),
])
.with_oneof("message_type", &["setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate"]);

static EMPTY: Message = Message::new(&[]);

static SETUP: Message = Message::new(&[
    ("model", Text),
    ("generationConfig", Kind::Message(&GENERATION_CONFIG)),
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("tools", List(&Kind::Message(&TOOL))),
    ("realtimeInputConfig", Kind::Message(&REALTIME_INPUT_CONFIG)),
    ("sessionResumption", Kind::Message(&SESSION_RESUMPTION)),
    ("contextWindowCompression", Kind::Message(&CONTEXT_WINDOW_COMPRESSION)),
    ("inputAudioTranscription", Kind::Message(&TRANSCRIPTION_CONFIG)),
    ("outputAudioTranscription", Kind::Message(&TRANSCRIPTION_CONFIG)),
    ("historyConfig", Kind::Message(&HISTORY_CONFIG)),
    ("proactivity", Kind::Message(&PROACTIVITY)),
    ("explicitVadSignal", Bool),
    ("avatarConfig", Kind::Message(&AVATAR_CONFIG)),
    ("safetySettings", List(&Kind::Message(&SAFETY_SETTING))),
    ("labels", Kind::Map(&Text)),
]);

static GENERATION_CONFIG: Message = Message::new(&[
    ("responseModalities", List(&MODALITY)),
    ("speechConfig", Kind::Message(&SPEECH_CONFIG)),
    ("mediaResolution", MEDIA_RESOLUTION),
    ("thinkingConfig", Kind::Message(&THINKING_CONFIG)),
    ("enableAffectiveDialog", Bool),
    ("translationConfig", Kind::Message(&TRANSLATION_CONFIG)),
    ("temperature", Float),
    ("topP", Float),
    // A float on Vertex, an integer on dev; the official SDK sends `40.0`.
    ("topK", Float),
    ("maxOutputTokens", Int32),
    ("candidateCount", Int32),
    ("presencePenalty", Float),
    ("frequencyPenalty", Float),
    ("seed", Int32),
]);

pub(in crate::sim) const MODALITY: Kind =
    Kind::Enum("Modality", &["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO"]);

pub(in crate::sim) const MEDIA_RESOLUTION: Kind = Kind::Enum(
    "MediaResolution",
    &[
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ],
);

static SPEECH_CONFIG: Message =
    Message::new(&[("voiceConfig", Kind::Message(&VOICE_CONFIG)), ("languageCode", Text)]);

pub(in crate::sim) static VOICE_CONFIG: Message = Message::new(&[
    ("prebuiltVoiceConfig", Kind::Message(&PREBUILT_VOICE)),
    ("replicatedVoiceConfig", Kind::Message(&REPLICATED_VOICE)),
])
.with_oneof("voice_config", &["prebuiltVoiceConfig", "replicatedVoiceConfig"]);

static PREBUILT_VOICE: Message = Message::new(&[("voiceName", Text)]);

static REPLICATED_VOICE: Message = Message::new(&[
    ("mimeType", Text),
    ("voiceSampleAudio", Bytes),
    ("consentAudio", Bytes),
    ("voiceConsentSignature", Kind::Message(&SIGNATURE)),
]);

static SIGNATURE: Message = Message::new(&[("signature", Text)]);

pub(in crate::sim) static THINKING_CONFIG: Message = Message::new(&[
    ("includeThoughts", Bool),
    ("thinkingBudget", Int32),
    (
        "thinkingLevel",
        Kind::Enum(
            "ThinkingLevel",
            &["THINKING_LEVEL_UNSPECIFIED", "LOW", "HIGH", "MEDIUM", "MINIMAL", "XHIGH"],
        ),
    ),
]);

static TRANSLATION_CONFIG: Message =
    Message::new(&[("targetLanguageCode", Text), ("echoTargetLanguage", Bool)]);

static REALTIME_INPUT_CONFIG: Message = Message::new(&[
    ("automaticActivityDetection", Kind::Message(&ACTIVITY_DETECTION)),
    (
        "activityHandling",
        Kind::Enum(
            "ActivityHandling",
            &["ACTIVITY_HANDLING_UNSPECIFIED", "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"],
        ),
    ),
    (
        "turnCoverage",
        Kind::Enum(
            "TurnCoverage",
            &[
                "TURN_COVERAGE_UNSPECIFIED",
                "TURN_INCLUDES_ONLY_ACTIVITY",
                "TURN_INCLUDES_ALL_INPUT",
                "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
            ],
        ),
    ),
    ("interimTranscriptTimestampEnabled", Bool),
]);

static ACTIVITY_DETECTION: Message = Message::new(&[
    ("disabled", Bool),
    (
        "startOfSpeechSensitivity",
        Kind::Enum(
            "StartSensitivity",
            &["START_SENSITIVITY_UNSPECIFIED", "START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"],
        ),
    ),
    (
        "endOfSpeechSensitivity",
        Kind::Enum(
            "EndSensitivity",
            &["END_SENSITIVITY_UNSPECIFIED", "END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"],
        ),
    ),
    ("prefixPaddingMs", Int32),
    ("silenceDurationMs", Int32),
]);

static SESSION_RESUMPTION: Message = Message::new(&[("handle", Text), ("transparent", Bool)]);

static CONTEXT_WINDOW_COMPRESSION: Message =
    Message::new(&[("triggerTokens", Int64), ("slidingWindow", Kind::Message(&SLIDING_WINDOW))]);

static SLIDING_WINDOW: Message = Message::new(&[("targetTokens", Int64)]);

static TRANSCRIPTION_CONFIG: Message = Message::new(&[
    ("languageCodes", STRINGS),
    ("customVocabulary", STRINGS),
    ("mode", Kind::Enum("TranscriptionMode", &["TRANSCRIPTION_MODE_UNSPECIFIED", "VERBATIM", "SMART"])),
    ("wordTimestamp", Bool),
    ("diarization", Bool),
    ("sourceText", Text),
    ("languageAuto", Struct),
    ("languageHints", Struct),
    ("adaptationPhrases", STRINGS),
]);

static HISTORY_CONFIG: Message = Message::new(&[("initialHistoryInClientContent", Bool)]);

static PROACTIVITY: Message = Message::new(&[("proactiveAudio", Bool), ("proactiveVideo", Bool)]);

static AVATAR_CONFIG: Message = Message::new(&[
    ("avatarName", Text),
    ("customizedAvatar", Kind::Message(&CUSTOMIZED_AVATAR)),
    ("audioBitrateBps", Int32),
    ("videoBitrateBps", Int32),
]);

static CUSTOMIZED_AVATAR: Message = Message::new(&[("imageMimeType", Text), ("imageData", Bytes)]);

// The lists of harm categories grow; the names are not checked.
pub(in crate::sim) static SAFETY_SETTING: Message =
    Message::new(&[("category", Text), ("threshold", Text), ("method", Text)]);

pub(in crate::sim) static TOOL: Message = Message::new(&[
    ("functionDeclarations", List(&Kind::Message(&FUNCTION_DECLARATION))),
    ("googleSearch", Struct),
    ("googleSearchRetrieval", Struct),
    ("codeExecution", Kind::Message(&EMPTY)),
    ("urlContext", Kind::Message(&EMPTY)),
]);

static FUNCTION_DECLARATION: Message = Message::new(&[
    ("name", Text),
    ("description", Text),
    ("parameters", Kind::Message(&SCHEMA)),
    ("parametersJsonSchema", Kind::Value),
    ("response", Kind::Message(&SCHEMA)),
    ("responseJsonSchema", Kind::Value),
    ("behavior", Kind::Enum("Behavior", &["UNSPECIFIED", "BLOCKING", "NON_BLOCKING"])),
]);

pub(in crate::sim) static SCHEMA: Message = Message::new(&[
    (
        "type",
        Kind::Enum(
            "Type",
            &["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"],
        ),
    ),
    ("format", Text),
    ("title", Text),
    ("description", Text),
    ("nullable", Bool),
    ("enum", STRINGS),
    ("items", Kind::Message(&SCHEMA)),
    ("minItems", Int64),
    ("maxItems", Int64),
    ("properties", Kind::Map(&Kind::Message(&SCHEMA))),
    ("required", STRINGS),
    ("minProperties", Int64),
    ("maxProperties", Int64),
    ("minimum", Float),
    ("maximum", Float),
    ("minLength", Int64),
    ("maxLength", Int64),
    ("pattern", Text),
    ("example", Kind::Value),
    ("anyOf", List(&Kind::Message(&SCHEMA))),
    ("propertyOrdering", STRINGS),
    ("default", Kind::Value),
]);

static CLIENT_CONTENT: Message =
    Message::new(&[("turns", List(&Kind::Message(&CONTENT))), ("turnComplete", Bool)]);

pub(in crate::sim) static CONTENT: Message =
    Message::new(&[("role", Text), ("parts", List(&Kind::Message(&PART)))]);

static PART: Message = Message::new(&[
    ("text", Text),
    ("inlineData", Kind::Message(&BLOB)),
    ("functionCall", Kind::Message(&FUNCTION_CALL)),
    ("functionResponse", Kind::Message(&FUNCTION_RESPONSE)),
    ("fileData", Kind::Message(&FILE_DATA)),
    ("executableCode", Kind::Message(&EXECUTABLE_CODE)),
    ("codeExecutionResult", Kind::Message(&CODE_EXECUTION_RESULT)),
    ("thought", Bool),
    ("thoughtSignature", Bytes),
    ("videoMetadata", Struct),
])
.with_oneof(
    "data",
    &[
        "text",
        "inlineData",
        "functionCall",
        "functionResponse",
        "fileData",
        "executableCode",
        "codeExecutionResult",
    ],
);

static BLOB: Message = Message::new(&[("mimeType", Text), ("data", Bytes)]);

static FILE_DATA: Message = Message::new(&[("mimeType", Text), ("fileUri", Text)]);

static EXECUTABLE_CODE: Message = Message::new(&[("language", Text), ("code", Text)]);

static CODE_EXECUTION_RESULT: Message = Message::new(&[("outcome", Text), ("output", Text)]);

static FUNCTION_CALL: Message = Message::new(&[("id", Text), ("name", Text), ("args", Struct)]);

static FUNCTION_RESPONSE: Message = Message::new(&[
    ("id", Text),
    ("name", Text),
    ("response", Struct),
    ("scheduling", Kind::Enum("Scheduling", &["SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"])),
    ("willContinue", Bool),
    ("parts", List(&Kind::Message(&FUNCTION_RESPONSE_PART))),
]);

static FUNCTION_RESPONSE_PART: Message = Message::new(&[("inlineData", Kind::Message(&BLOB))]);

static REALTIME_INPUT: Message = Message::new(&[
    ("audio", Kind::Message(&BLOB)),
    ("video", Kind::Message(&BLOB)),
    ("text", Text),
    ("audioStreamEnd", Bool),
    ("activityStart", Kind::Message(&EMPTY)),
    ("activityEnd", Kind::Message(&EMPTY)),
    ("mediaChunks", List(&Kind::Message(&BLOB))),
]);

static TOOL_RESPONSE: Message =
    Message::new(&[("functionResponses", List(&Kind::Message(&FUNCTION_RESPONSE)))]);

static CONTEXT_UPDATE: Message =
    Message::new(&[("systemInstruction", Kind::Message(&CONTENT)), ("tools", Kind::Message(&TOOL_UPDATE))]);

static TOOL_UPDATE: Message = Message::new(&[("tools", List(&Kind::Message(&TOOL)))]);
