//! The requests of Google's REST services, field by field.
//!
//! Sources: `googleapis/googleapis`, `google/ai/generativelanguage/v1beta/generative_service.proto`,
//! `google/cloud/speech/v1/cloud_speech.proto`, `google/cloud/texttospeech/v1/cloud_tts.proto`; newer fields from the
//! official Python clients (google-genai 3.4.0, google-cloud-speech 2.41.0, google-cloud-texttospeech 2.38.0).

use crate::sim::gemini::schema::Kind::{self, Bool, Bytes, Float, Int32, List, Struct, Text};
use crate::sim::gemini::schema::Message;
use crate::sim::gemini::schema::table::{
    CONTENT, MEDIA_RESOLUTION, MODALITY, SAFETY_SETTING, SCHEMA, THINKING_CONFIG, TOOL, VOICE_CONFIG,
};

const STRINGS: Kind = List(&Text);

pub(super) static GENERATE_CONTENT: Message = Message::new(&[
    ("model", Text),
    ("systemInstruction", Kind::Message(&CONTENT)),
    ("contents", List(&Kind::Message(&CONTENT))),
    ("tools", List(&Kind::Message(&TOOL))),
    ("toolConfig", Kind::Message(&TOOL_CONFIG)),
    ("safetySettings", List(&Kind::Message(&SAFETY_SETTING))),
    ("generationConfig", Kind::Message(&GENERATION_CONFIG)),
    ("cachedContent", Text),
    ("labels", Kind::Map(&Text)),
]);

static TOOL_CONFIG: Message = Message::new(&[
    ("functionCallingConfig", Kind::Message(&FUNCTION_CALLING_CONFIG)),
    ("retrievalConfig", Struct),
]);

static FUNCTION_CALLING_CONFIG: Message = Message::new(&[
    ("mode", Kind::Enum("Mode", &["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
    ("allowedFunctionNames", STRINGS),
]);

static GENERATION_CONFIG: Message = Message::new(&[
    ("candidateCount", Int32),
    ("stopSequences", STRINGS),
    ("maxOutputTokens", Int32),
    ("temperature", Float),
    ("topP", Float),
    ("topK", Float),
    ("seed", Int32),
    ("responseMimeType", Text),
    ("responseSchema", Kind::Message(&SCHEMA)),
    ("responseJsonSchema", Kind::Value),
    ("presencePenalty", Float),
    ("frequencyPenalty", Float),
    ("responseLogprobs", Bool),
    ("logprobs", Int32),
    ("enableEnhancedCivicAnswers", Bool),
    ("responseModalities", List(&MODALITY)),
    ("speechConfig", Kind::Message(&SPEECH_CONFIG)),
    ("thinkingConfig", Kind::Message(&THINKING_CONFIG)),
    ("mediaResolution", MEDIA_RESOLUTION),
]);

static SPEECH_CONFIG: Message = Message::new(&[
    ("voiceConfig", Kind::Message(&VOICE_CONFIG)),
    ("multiSpeakerVoiceConfig", Kind::Message(&MULTI_SPEAKER)),
    ("languageCode", Text),
])
.with_oneof("speech_config", &["voiceConfig", "multiSpeakerVoiceConfig"]);

static MULTI_SPEAKER: Message = Message::new(&[("speakerVoiceConfigs", List(&Kind::Message(&SPEAKER)))]);

static SPEAKER: Message = Message::new(&[("speaker", Text), ("voiceConfig", Kind::Message(&VOICE_CONFIG))]);

pub(super) static RECOGNIZE: Message =
    Message::new(&[("config", Kind::Message(&RECOGNITION_CONFIG)), ("audio", Kind::Message(&AUDIO))]);

static RECOGNITION_CONFIG: Message = Message::new(&[
    (
        "encoding",
        Kind::Enum(
            "AudioEncoding",
            &[
                "ENCODING_UNSPECIFIED",
                "LINEAR16",
                "FLAC",
                "MULAW",
                "AMR",
                "AMR_WB",
                "OGG_OPUS",
                "SPEEX_WITH_HEADER_BYTE",
                "MP3",
                "WEBM_OPUS",
            ],
        ),
    ),
    ("sampleRateHertz", Int32),
    ("audioChannelCount", Int32),
    ("enableSeparateRecognitionPerChannel", Bool),
    ("languageCode", Text),
    ("alternativeLanguageCodes", STRINGS),
    ("maxAlternatives", Int32),
    ("profanityFilter", Bool),
    ("adaptation", Struct),
    ("transcriptNormalization", Struct),
    ("speechContexts", List(&Kind::Message(&SPEECH_CONTEXT))),
    ("enableWordTimeOffsets", Bool),
    ("enableWordConfidence", Bool),
    ("enableAutomaticPunctuation", Bool),
    ("enableSpokenPunctuation", Bool),
    ("enableSpokenEmojis", Bool),
    ("diarizationConfig", Struct),
    ("metadata", Struct),
    ("model", Text),
    ("useEnhanced", Bool),
]);

static SPEECH_CONTEXT: Message = Message::new(&[("phrases", STRINGS), ("boost", Float)]);

static AUDIO: Message =
    Message::new(&[("content", Bytes), ("uri", Text)]).with_oneof("audio_source", &["content", "uri"]);

pub(super) static SYNTHESIZE: Message = Message::new(&[
    ("input", Kind::Message(&INPUT)),
    ("voice", Kind::Message(&VOICE)),
    ("audioConfig", Kind::Message(&AUDIO_CONFIG)),
    ("advancedVoiceOptions", Struct),
]);

static INPUT: Message = Message::new(&[
    ("text", Text),
    ("markup", Text),
    ("ssml", Text),
    ("multiSpeakerMarkup", Struct),
    ("prompt", Text),
    ("customPronunciations", Struct),
])
.with_oneof("input_source", &["text", "markup", "ssml", "multiSpeakerMarkup"]);

static VOICE: Message = Message::new(&[
    ("languageCode", Text),
    ("name", Text),
    (
        "ssmlGender",
        Kind::Enum("SsmlVoiceGender", &["SSML_VOICE_GENDER_UNSPECIFIED", "MALE", "FEMALE", "NEUTRAL"]),
    ),
    ("customVoice", Struct),
    ("voiceClone", Struct),
    ("modelName", Text),
    ("multiSpeakerVoiceConfig", Struct),
]);

static AUDIO_CONFIG: Message = Message::new(&[
    (
        "audioEncoding",
        Kind::Enum(
            "AudioEncoding",
            &[
                "AUDIO_ENCODING_UNSPECIFIED",
                "LINEAR16",
                "MP3",
                "OGG_OPUS",
                "MP3_64_KBPS",
                "MULAW",
                "ALAW",
                "PCM",
                "M4A",
            ],
        ),
    ),
    ("speakingRate", Float),
    ("pitch", Float),
    ("volumeGainDb", Float),
    ("sampleRateHertz", Int32),
    ("effectsProfileId", STRINGS),
]);
