//! The faults and the moments in which they strike.

use super::*;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The stream has begun, the first connection is being made.
    Start,
    Greeting,
    CallerSpeaking,
    Thinking,
    Speaking,
    /// The caller has just interrupted.
    BargeIn,
    ToolCall,
    /// The session was lost before, and the next connection is slow.
    Reconnecting,
    /// The fallback answers, and a live session is being made.
    ComingBack,
    FallbackListening,
    Transcribing,
    FallbackThinking,
    FallbackSpeaking,
    /// The apology is heard.
    Ending,
}

pub(super) const LIVE: [Moment; 9] = [
    Moment::Start,
    Moment::Greeting,
    Moment::CallerSpeaking,
    Moment::Thinking,
    Moment::Speaking,
    Moment::BargeIn,
    Moment::ToolCall,
    Moment::Reconnecting,
    Moment::ComingBack,
];

pub(super) const FALLBACK: [Moment; 4] =
    [Moment::FallbackListening, Moment::Transcribing, Moment::FallbackThinking, Moment::FallbackSpeaking];

/// What goes wrong at the moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Strike {
    Nothing,
    Close(Failure),
    ErrorObject,
    /// And then the service closes.
    GoAway(Option<u64>),
    Garbage(u32),
    /// The connection answers nothing any more.
    Stall,
    /// And none after it.
    StallForever,
    EmptyTurns(u32),
    MuteSamples,
    /// Old audio comes after the next `interrupted`.
    Stale,
    /// The next answer is 60 s of speech in 1 s.
    Torrent,
    Job(job::Kind, Ill, Span),
    CarrierStop,
    CarrierClosed,
    CarrierStalled,
    NoMedia,
    SecondStart,
    Duplicates,
}

/// How a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ill {
    Refused,
    Hang,
    Cut,
    NeverEnds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Once,
    Always,
}

/// How a connection is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dial {
    Good,
    Slow,
    Refused(u16),
    Unreachable,
    Timeout,
    BreakerOpen,
    NoSetup,
    ClosedAtSetup(u16, &'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) strike: Strike,
    /// How the connections after the strike are answered; then `rest`.
    pub(super) dials: Vec<Dial>,
    pub(super) rest: Dial,
    /// Who may answer the caller in the end, or how the call may end.
    pub(super) ends: &'static [&'static str],
}

fn fault(name: &'static str, strike: Strike, ends: &'static [&'static str]) -> Fault {
    Fault { name, strike, dials: Vec::new(), rest: Dial::Good, ends }
}

fn closed(code: u16, reason: &str) -> Strike {
    Strike::Close(Failure::Closed { code, reason: reason.to_owned() })
}

fn broken() -> Strike {
    Strike::Close(Failure::Broken { message: "reset".to_owned() })
}

fn dials(name: &'static str, dials: &[Dial], rest: Dial, ends: &'static [&'static str]) -> Fault {
    Fault { name, strike: broken(), dials: dials.to_vec(), rest, ends }
}

const ON: &[&str] = &["live"];
const OFF: &[&str] = &["fallback"];
const ANY: &[&str] = &["live", "fallback"];

/// The rows of the live service.
pub(super) fn live() -> Vec<Fault> {
    use Dial::{BreakerOpen, ClosedAtSetup, Good, NoSetup, Refused, Slow, Timeout, Unreachable};
    let handle = "Request contains an invalid argument: Invalid session handle";
    vec![
        fault("none", Strike::Nothing, ON),
        fault("1000", closed(1000, ""), ON),
        fault("1001", closed(1001, "going away"), ON),
        fault("1006", broken(), ON),
        fault("1011 internal", closed(1011, "Internal error encountered."), ON),
        fault("1011 unavailable", closed(1011, "The service is currently unavailable."), ON),
        fault("1007 handle", closed(1007, handle), ANY),
        fault("1007 fatal", closed(1007, "Invalid JSON payload received. Unknown name"), OFF),
        fault("1008 aborted", closed(1008, "The operation was aborted."), ON),
        fault("1008 key", closed(1008, "API key not valid."), OFF),
        fault("quota", closed(1011, "You exceeded your current quota"), ANY),
        fault("error object", Strike::ErrorObject, ON),
        fault("stops reading", Strike::Close(Failure::Stalled), ON),
        dials("401 always", &[], Refused(401), OFF),
        dials("404 always", &[], Refused(404), OFF),
        dials("429 always", &[], Refused(429), OFF),
        dials("503 always", &[], Refused(503), OFF),
        dials("503 once", &[Refused(503)], Good, ON),
        dials("503 twice", &[Refused(503); 2], Good, ANY),
        dials("unreachable always", &[], Unreachable, OFF),
        dials("connect timeout once", &[Timeout], Good, ON),
        dials("connect timeout always", &[], Timeout, OFF),
        dials("breaker open", &[], BreakerOpen, OFF),
        dials("breaker open once", &[BreakerOpen], Good, ANY),
        dials("no setup always", &[], NoSetup, OFF),
        dials("no setup once", &[NoSetup], Good, ANY),
        dials("slow", &[], Slow, ON),
        dials("handle refused", &[ClosedAtSetup(1007, handle)], Good, ANY),
        dials("invalid at setup", &[ClosedAtSetup(1007, "Request contains an invalid argument.")], Good, ANY),
        dials("internal at setup", &[ClosedAtSetup(1011, "Internal error encountered."); 3], Good, ANY),
        dials("expired", &[ClosedAtSetup(1008, "Session not found")], Good, ANY),
        fault("goAway 60", Strike::GoAway(Some(60)), ANY),
        fault("goAway 50", Strike::GoAway(Some(50)), ANY),
        fault("goAway 10", Strike::GoAway(Some(10)), ON),
        fault("goAway 1", Strike::GoAway(Some(1)), ON),
        fault("goAway 0", Strike::GoAway(Some(0)), ON),
        fault("goAway ?", Strike::GoAway(None), ON),
        fault("garbage 20", Strike::Garbage(20), ANY),
        fault("garbage 30", Strike::Garbage(30), ANY),
        fault("stall", Strike::Stall, ANY),
        fault("stall for ever", Strike::StallForever, ANY),
        fault("empty turn", Strike::EmptyTurns(1), ANY),
        fault("empty turns", Strike::EmptyTurns(3), ANY),
        fault("mute samples", Strike::MuteSamples, ANY),
        fault("stale audio", Strike::Stale, ANY),
        fault("60 s in 1 s", Strike::Torrent, ANY),
    ]
}

/// The rows of the fallback's providers.
pub(super) fn providers() -> Vec<Fault> {
    use job::Kind::{Speak, Think, Transcribe};
    let mut all = Vec::new();
    let names = [("stt", Transcribe), ("llm", Think), ("tts", Speak)];
    for (name, kind) in names {
        for ill in [Ill::Refused, Ill::Hang, Ill::Cut, Ill::NeverEnds] {
            for span in [Span::Once, Span::Always] {
                let name: &'static str = format!("{name} {ill:?} {span:?}").leak();
                let ends: &[&str] = match span {
                    Span::Once => &["fallback", "live"],
                    Span::Always => &["fallback", "all_failed", "live"],
                };
                all.push(fault(name, Strike::Job(kind, ill, span), ends));
            }
        }
    }
    all
}

/// The rows of the carrier.
pub(super) fn carrier() -> Vec<Fault> {
    vec![
        fault("carrier stop", Strike::CarrierStop, &["caller_hung_up"]),
        fault("carrier closed", Strike::CarrierClosed, &["carrier_closed"]),
        fault("carrier stalled", Strike::CarrierStalled, &["carrier_stalled"]),
        fault("no media", Strike::NoMedia, &["carrier_silent"]),
        fault("second start", Strike::SecondStart, ANY),
        fault("duplicates", Strike::Duplicates, ANY),
    ]
}
