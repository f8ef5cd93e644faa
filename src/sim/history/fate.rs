//! How calls end, and how often each way.

use serde_json::{Value, json};

use super::dice::{Dice, Weighted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    CallerHungUp,
    Drained,
    Superseded,
    CarrierClosed,
    AllFailed,
    StreamNeverCame,
    CarrierSilent,
    Overloaded,
    CarrierStalled,
    StartTimeout,
    Panicked,
}

/// Of a thousand calls. From the fourth on they are failures: 20.
const OF_1000: [(Fate, f64); 11] = [
    (Fate::CallerHungUp, 958.0),
    (Fate::Drained, 14.0),
    (Fate::Superseded, 8.0),
    (Fate::CarrierClosed, 5.0),
    (Fate::AllFailed, 4.5),
    (Fate::StreamNeverCame, 3.0),
    (Fate::CarrierSilent, 2.5),
    (Fate::Overloaded, 2.0),
    (Fate::CarrierStalled, 1.0),
    (Fate::StartTimeout, 1.0),
    (Fate::Panicked, 1.0),
];

impl Fate {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        OF_1000[Weighted::new(OF_1000.iter().map(|(_, weight)| *weight)).draw(dice)].0
    }

    /// How long a call lasts that is never answered.
    pub(super) const fn unanswered_after_ms(self) -> Option<f64> {
        match self {
            Self::StreamNeverCame => Some(30_000.0),
            Self::StartTimeout => Some(5_000.0),
            Self::Overloaded => Some(0.0),
            Self::CallerHungUp
            | Self::Drained
            | Self::Superseded
            | Self::CarrierClosed
            | Self::AllFailed
            | Self::CarrierSilent
            | Self::CarrierStalled
            | Self::Panicked => None,
        }
    }

    /// From the last word to the end.
    pub(super) const fn wait_ms(self) -> f64 {
        match self {
            Self::CarrierSilent => 30_000.0,
            Self::CarrierStalled => 5_000.0,
            Self::CallerHungUp
            | Self::Drained
            | Self::Superseded
            | Self::CarrierClosed
            | Self::AllFailed
            | Self::StreamNeverCame
            | Self::Overloaded
            | Self::StartTimeout
            | Self::Panicked => 900.0,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub code: &'static str,
    /// An object: the fields of this kind of ending.
    pub detail: Value,
    /// As a sentence.
    pub text: &'static str,
    pub failed: bool,
}

impl Ending {
    pub(super) fn of(fate: Fate) -> Self {
        let (code, text, failed) = match fate {
            Fate::CallerHungUp => ("caller_hung_up", "the caller hung up", false),
            Fate::Drained => ("drained", "the process shut down", false),
            Fate::Superseded => ("superseded", "a newer stream of the same call took over", false),
            Fate::CarrierClosed => {
                ("carrier_closed", "the carrier closed the stream without saying stop (1006)", true)
            }
            Fate::AllFailed => ("all_failed", "nobody could answer any more: think: no answer in time", true),
            Fate::StreamNeverCame => ("stream_never_came", "the carrier never opened the media stream", true),
            Fate::CarrierSilent => ("carrier_silent", "no audio from the carrier for too long", true),
            Fate::Overloaded => ("overloaded", "the process had no room for another call", true),
            Fate::CarrierStalled => ("carrier_stalled", "the carrier stopped reading", true),
            Fate::StartTimeout => ("start_timeout", "the media stream did not say start in time", true),
            Fate::Panicked => ("panicked", "a defect of the bridge ended the call", true),
        };
        let detail = match code {
            "carrier_closed" => json!({"code": 1006}),
            "all_failed" => json!({
                "cause": {"of": "fallback", "job": "think", "cause": {"failure": "first_byte_timeout"}},
                "follow_up": {"kind": "hang_up"},
            }),
            _ => json!({}),
        };
        Self { code, detail, text, failed }
    }
}
