//! What happened in a call, in sentences. Knows the events of the call log as they are kept there: by kind and fields.
//!
//! Some words in the sentences are a peer's: whoever shows them makes them harmless.

use serde::Deserialize as _;
use serde_json::Value;

use super::text::seconds;
use crate::job;
use crate::live::failure::{Failure, Verdict};

/// An event as a sentence; `None`: there is none for it, or it lacks a field.
pub(crate) fn sentence(kind: &str, detail: &Value) -> Option<String> {
    let fields = Fields(detail);
    match kind {
        "live_dialled" | "live_ready" | "live_lost" | "live_moved" | "go_away" => live(kind, fields),
        "provider_skipped" | "provider_used" | "provider_failed" | "job_failed" | "speech_lost" => {
            fallback(kind, fields)
        }
        "rung" => rung(fields),
        "session_handle" => Some("session handle kept".to_owned()),
        "cover" => cover(fields),
        "nudged" => {
            Some(format!("the model said nothing for {} and is asked again", fields.seconds("waited_ms")?))
        }
        "empty_turn" => Some("the model ended its turn without a sound".to_owned()),
        "audio_held" => Some(format!(
            "{} of the caller were held while nobody listened, and are heard now",
            fields.seconds("held_ms")?
        )),
        "interrupted" => Some(format!(
            "the caller interrupts: {} were heard, {} thrown away",
            fields.seconds("heard_ms")?,
            fields.seconds("cleared_ms")?
        )),
        "dtmf" => Some(format!("the caller presses {}", fields.text("digit")?)),
        "tool_refused" => {
            Some(format!("the model wants the tool {:?}, which there is not", fields.text("name")?))
        }
        "usage" => Some(format!(
            "tokens: {} in, {} out, {} in all",
            fields.number("prompt_tokens")?,
            fields.number("response_tokens")?,
            fields.number("total_tokens")?
        )),
        "provider_billed" => billed(fields),
        "recording_started" => Some("the call is recorded from here on".to_owned()),
        "recording_paused" => Some("nothing is kept from here on: no sound and no words".to_owned()),
        "recording_resumed" => Some("sound and words are kept again".to_owned()),
        "recording_failed" => Some(format!("the call is not recorded any more: {}", fields.text("reason")?)),
        "recording_ended" => Some(format!("the recording is {} long", fields.seconds("duration_ms")?)),
        "fault" => fault(fields),
        _ => None,
    }
}

fn billed(fields: Fields<'_>) -> Option<String> {
    let (provider, model) = (fields.text("provider")?, fields.text("model")?);
    let amounts = [
        ("prompt_tokens", "tokens in"),
        ("response_tokens", "tokens out"),
        ("audio_ms", "ms of speech"),
        ("characters", "characters"),
    ];
    let amounts = amounts.iter().filter_map(|(name, unit)| Some(format!("{} {unit}", fields.number(name)?)));
    let amounts = amounts.collect::<Vec<_>>().join(", ");
    let amounts = if amounts.is_empty() { "nothing".to_owned() } else { amounts };
    Some(format!("{}: {provider} {model} counts {amounts}", service(fields.text("job")?)))
}

/// Why somebody who answered could not go on: the cause of a `rung` or of an ending.
pub(crate) fn cause(cause: &Value) -> Option<String> {
    match cause["of"].as_str()? {
        "live" => Some(Failure::deserialize(&cause["cause"]).ok()?.to_string()),
        "fallback" => {
            let failure = job::Failure::deserialize(&cause["cause"]).ok()?;
            Some(format!("{}: {failure}", service(Fields(cause).text("job")?)))
        }
        _ => None,
    }
}

/// What becomes of the caller at the last resort.
pub(crate) fn follow_up(follow_up: &Value) -> Option<String> {
    match follow_up["kind"].as_str()? {
        "hang_up" => Some("the call ends".to_owned()),
        "transfer" => Some(format!("the caller is connected with {}", follow_up["to"].as_str()?)),
        "voicemail" => Some("the caller may leave a message".to_owned()),
        _ => None,
    }
}

/// The life of the live session.
fn live(kind: &str, fields: Fields<'_>) -> Option<String> {
    let link = fields.number("link")?;
    match kind {
        "live_dialled" => {
            let attempt = match fields.number("attempt")? {
                0 | 1 => String::new(),
                attempt => format!(", attempt {attempt}"),
            };
            let endpoint = fields.text("endpoint")?;
            let plan = match fields.text("plan")? {
                // The first of a call has nothing to be told.
                "fresh" => "a new session",
                other => plan(other),
            };
            Some(format!("live connection {link} is made to {endpoint}{attempt}: {plan}"))
        }
        "live_ready" => {
            let gap = fields.seconds("gap_ms").map(|gap| format!("; the gap was {gap}")).unwrap_or_default();
            let done = match fields.text("plan") {
                Some("resume") => "resumed",
                _ => "ready",
            };
            Some(format!("the live session is {done} after {}{gap}", fields.seconds("setup_ms")?))
        }
        "live_lost" => {
            let failure = Failure::deserialize(fields.value("cause")).ok()?;
            let next = match fields.value("next").as_str() {
                Some(next) => format!("next: {}", plan(next)),
                None => given_up(Verdict::deserialize(fields.value("verdict")).ok()?).to_owned(),
            };
            Some(format!("live connection {link} to {} failed: {failure}; {next}", fields.text("endpoint")?))
        }
        "live_moved" => {
            let plan = plan(fields.text("plan")?);
            Some(format!("live connection {link} is left before the service ends it; next: {plan}"))
        }
        _ => {
            let when = fields.seconds("time_left_ms").map(|left| format!(" in {left}")).unwrap_or_default();
            Some(format!("the live service announces that it ends connection {link}{when}"))
        }
    }
}

/// How a connection begins.
fn plan(plan: &str) -> &str {
    match plan {
        "resume" => "the session is resumed",
        "fresh" => "a new session, told what was said so far",
        "reduced" => "a new session, told what was said but for the last turn",
        other => other,
    }
}

const fn given_up(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Resume | Verdict::Fresh => "there is no further attempt",
        Verdict::Wait => "the service is of no use for a while",
        Verdict::Fatal => "trying again cannot help",
    }
}

/// What the services of the fallback did.
fn fallback(kind: &str, fields: Fields<'_>) -> Option<String> {
    if kind == "speech_lost" {
        let lost = fields.seconds("lost_ms")?;
        return Some(format!("{lost} of the caller were thrown away: transcribing is too slow"));
    }
    let service = service(fields.text("job")?);
    let failure = || job::Failure::deserialize(fields.value("failure")).ok();
    match kind {
        "provider_skipped" => {
            Some(format!("{service}: {} is not used: {}", fields.text("provider")?, failure()?))
        }
        "provider_failed" => {
            Some(format!("{service}: {} broke off in its answer: {}", fields.text("provider")?, failure()?))
        }
        "provider_used" => {
            let (provider, first) = (fields.text("provider")?, fields.seconds("first_ms")?);
            Some(format!("{service}: {provider} answers after {first}"))
        }
        _ => Some(format!("{service} failed: {}", failure()?)),
    }
}

/// A kind of work, for people.
fn service(job: &str) -> &str {
    match job {
        "transcribe" => "speech to text",
        "think" => "language model",
        "speak" => "text to speech",
        other => other,
    }
}

fn rung(fields: Fields<'_>) -> Option<String> {
    let why = cause(fields.value("cause")).map(|cause| format!(": {cause}")).unwrap_or_default();
    match fields.text("rung")? {
        "live" => Some(format!("from now on the live model answers again{why}")),
        "fallback" => Some(format!("from now on the fallback answers{why}")),
        "last_resort" => Some(format!("nobody can answer any more, and the caller is told so{why}")),
        _ => None,
    }
}

fn cover(fields: Fields<'_>) -> Option<String> {
    let waited = fields.seconds("waited_ms")?;
    let cover =
        fields.text("words").map_or_else(|| "a comfort tone".to_owned(), |words| format!("{words:?}"));
    Some(format!("the caller has waited {waited} and hears {cover}"))
}

fn fault(fields: Fields<'_>) -> Option<String> {
    let peer = match fields.text("peer")? {
        "carrier" => "the carrier",
        "live" => "the live service",
        _ => return None,
    };
    let times = match fields.number("count")? {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    let field = fields.text("field").map(|field| format!(" in {field}")).unwrap_or_default();
    Some(format!("{peer} sent what could not be used: {}{field}{times}", fields.text("fault")?))
}

/// The fields of an event.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn value(self, name: &str) -> &'a Value {
        &self.0[name]
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.value(name).as_str()
    }

    fn number(self, name: &str) -> Option<u64> {
        self.value(name).as_u64()
    }

    /// A duration, for people.
    fn seconds(self, name: &str) -> Option<String> {
        self.value(name).as_i64().map(|ms| format!("{} s", seconds(ms)))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::call::record::{Cause, Event, Peer, Rung};
    use crate::id::LinkId;
    use crate::live::Usage;

    fn told(event: &Event) -> String {
        sentence(event.kind(), &serde_json::to_value(event).unwrap()).unwrap()
    }

    fn broken() -> Failure {
        Failure::Closed { code: 1011, reason: "Internal error".to_owned() }
    }

    #[rstest]
    #[case(
        Event::LiveDialled { link: LinkId(2), endpoint: "developer".to_owned(), plan: "resume", attempt: 2 },
        "live connection 2 is made to developer, attempt 2: the session is resumed"
    )]
    #[case(
        Event::LiveDialled { link: LinkId(1), endpoint: "developer".to_owned(), plan: "fresh", attempt: 1 },
        "live connection 1 is made to developer: a new session"
    )]
    #[case(
        Event::LiveReady { link: LinkId(1), plan: "fresh", setup_ms: 810, gap_ms: None, session_id: None },
        "the live session is ready after 0.81 s"
    )]
    #[case(
        Event::LiveReady { link: LinkId(2), plan: "resume", setup_ms: 300, gap_ms: Some(420), session_id: None },
        "the live session is resumed after 0.30 s; the gap was 0.42 s"
    )]
    #[case(
        Event::LiveLost {
            link: LinkId(1),
            endpoint: "developer".to_owned(),
            cause: broken(),
            verdict: Verdict::Resume,
            next: Some("resume"),
        },
        "live connection 1 to developer failed: the live service closed the connection (1011): Internal error; \
         next: the session is resumed"
    )]
    #[case(
        Event::LiveLost {
            link: LinkId(1),
            endpoint: "developer".to_owned(),
            cause: Failure::refused(403),
            verdict: Verdict::Fatal,
            next: None,
        },
        "live connection 1 to developer failed: the live service refused the connection with HTTP 403; \
         trying again cannot help"
    )]
    #[case(
        Event::LiveMoved { link: LinkId(1), plan: "resume" },
        "live connection 1 is left before the service ends it; next: the session is resumed"
    )]
    #[case(
        Event::GoAway { link: LinkId(1), time_left_ms: Some(50_000) },
        "the live service announces that it ends connection 1 in 50.00 s"
    )]
    #[case(Event::SessionHandle { handle: "secret".to_owned() }, "session handle kept")]
    #[case(
        Event::Rung { rung: Rung::Fallback, cause: Some(Cause::Live { cause: Failure::Mute }) },
        "from now on the fallback answers: the live service did not answer the caller"
    )]
    #[case(Event::Rung { rung: Rung::Live, cause: None }, "from now on the live model answers again")]
    #[case(
        Event::Rung {
            rung: Rung::LastResort,
            cause: Some(Cause::Fallback { job: job::Kind::Think, cause: job::Failure::NoProvider }),
        },
        "nobody can answer any more, and the caller is told so: language model: no provider is left"
    )]
    #[case(
        Event::ProviderSkipped {
            job: job::Kind::Transcribe,
            provider: "local".to_owned(),
            failure: job::Failure::Stalled,
        },
        "speech to text: local is not used: the answer stopped in the middle"
    )]
    #[case(
        Event::ProviderUsed { job: job::Kind::Speak, provider: "local".to_owned(), first_ms: 90 },
        "text to speech: local answers after 0.09 s"
    )]
    #[case(
        Event::JobFailed { job: job::Kind::Think, failure: job::Failure::NoProvider },
        "language model failed: no provider is left"
    )]
    #[case(
        Event::SpeechLost { lost_ms: 1500 },
        "1.50 s of the caller were thrown away: transcribing is too slow"
    )]
    #[case(Event::Cover { waited_ms: 1200, words: None }, "the caller has waited 1.20 s and hears a comfort tone")]
    #[case(
        Event::Cover { waited_ms: 4000, words: Some("One moment.".to_owned()) },
        "the caller has waited 4.00 s and hears \"One moment.\""
    )]
    #[case(Event::Nudged { waited_ms: 4000 }, "the model said nothing for 4.00 s and is asked again")]
    #[case(Event::EmptyTurn, "the model ended its turn without a sound")]
    #[case(
        Event::AudioHeld { held_ms: 900 },
        "0.90 s of the caller were held while nobody listened, and are heard now"
    )]
    #[case(
        Event::Interrupted { heard_ms: 700, cleared_ms: 2000 },
        "the caller interrupts: 0.70 s were heard, 2.00 s thrown away"
    )]
    #[case(Event::Dtmf { digit: '#' }, "the caller presses #")]
    #[case(
        Event::ToolRefused { name: "book".to_owned() },
        "the model wants the tool \"book\", which there is not"
    )]
    #[case(
        Event::Usage(Usage {
            prompt_tokens: 10,
            response_tokens: 5,
            thoughts_tokens: 1,
            total_tokens: 16,
            ..Usage::default()
        }),
        "tokens: 10 in, 5 out, 16 in all"
    )]
    #[case(
        Event::ProviderBilled {
            job: job::Kind::Think,
            bill: job::Bill {
                provider: "local".to_owned(),
                model: "gpt-x".to_owned(),
                prompt_tokens: 10,
                response_tokens: 5,
                ..job::Bill::default()
            },
        },
        "language model: local gpt-x counts 10 tokens in, 5 tokens out"
    )]
    #[case(
        Event::Fault { peer: Peer::Carrier, fault: "foreign_mark", field: None, count: 3 },
        "the carrier sent what could not be used: foreign_mark (3 times)"
    )]
    fn events_are_told_in_sentences(#[case] event: Event, #[case] sentence: &str) {
        assert_eq!(told(&event), sentence);
    }

    #[rstest]
    #[case("moon_landing", json!({}))]
    #[case("live_lost", json!({"link": 1, "cause": {"failure": "unheard_of"}}))]
    #[case("dtmf", json!(null))]
    fn what_is_not_known_is_not_told(#[case] kind: &str, #[case] detail: Value) {
        assert_eq!(sentence(kind, &detail), None);
    }
}
