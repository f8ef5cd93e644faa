//! What can go wrong on purpose: on which connections, at which moment, in which way.
//!
//! Pure vocabulary. Each fault happens once on a connection, when its moment is first reached; the same fault
//! given twice happens at the first two times.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::closes::Close;
use super::farewell::Leave;

/// One planned fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// On which connections of the server, counted from 1 in the order in which they are accepted.
    pub connections: RangeInclusive<u32>,
    pub at: Moment,
    pub what: Defect,
}

impl Fault {
    /// A fault of every connection.
    pub const fn always(at: Moment, what: Defect) -> Self {
        Self { connections: 1..=u32::MAX, at, what }
    }

    /// A fault of the first connections only, so that recovery works afterwards.
    pub const fn of_first(connections: u32, at: Moment, what: Defect) -> Self {
        Self { connections: 1..=connections, at, what }
    }

    /// Whether this defect can happen at this moment: a status needs an upgrade to refuse, and before the
    /// upgrade there are no messages.
    pub const fn is_possible(&self) -> bool {
        let before_messages = matches!(self.at, Moment::Accepted | Moment::Upgrade);
        match self.what {
            Defect::Status(_) => matches!(self.at, Moment::Upgrade),
            Defect::Reset | Defect::HalfOpen => true,
            Defect::Close(ref close) => !before_messages || close.code == Close::WITHOUT_FRAME,
            Defect::Stall
            | Defect::StopReading
            | Defect::LatePongs(_)
            | Defect::Garbage(_)
            | Defect::ErrorMessage
            | Defect::Stale(_)
            | Defect::GoAway(_)
            | Defect::Spoil(_) => !before_messages,
        }
    }
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The client has sent its first byte: the TLS handshake begins, or the request for the upgrade.
    Accepted,
    /// The request for the upgrade has been read.
    Upgrade,
    /// `setup` has come and is in order.
    SetupReceived,
    /// `setupComplete` has been sent.
    SetupComplete,
    /// The caller has begun to speak.
    CallerSpeaks,
    /// An answer is due.
    Thinking,
    /// The first audio of an answer has been sent.
    Speaking,
    /// Half of the audio of an answer has been sent.
    MidSpeech,
    /// `interrupted` has been sent.
    Interrupted,
    /// `toolCall` has been sent.
    ToolCall,
    /// The n-th `turnComplete` of the connection has been sent.
    AfterTurn(u32),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Defect {
    /// A close frame, or for 1006 the end of the stream without one.
    Close(Close),
    /// The TCP connection is reset.
    Reset,
    /// Nothing is answered any more; the socket stays open and is read. At [`Moment::SetupReceived`]:
    /// `setupComplete` never comes.
    Stall,
    /// The socket is not read any more; what is sent goes on.
    StopReading,
    /// The socket is neither read nor written, and never closed. Before the upgrade: the handshake hangs.
    HalfOpen,
    /// From now on pongs come this much later.
    LatePongs(Duration),
    /// The upgrade is refused with this HTTP status.
    Status(u16),
    Garbage(Garbage),
    /// A message with an `error` object.
    ErrorMessage,
    /// This much audio of the old turn follows the next `interrupted`.
    Stale(Duration),
    /// `goAway`, now.
    GoAway(Leave),
    /// The answer being given, or else the next one, is not as it should be.
    Spoil(Spoil),
}

/// A message that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    NotJson,
    /// Audio whose base64 is none.
    WrongBase64,
    /// `{}`.
    Empty,
    /// Names that no client knows, and known ones with values of the wrong type.
    UnknownFields,
    /// A message of this many bytes.
    Oversize(usize),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// `turnComplete` without audio.
    Empty,
    /// Audio that cannot be heard.
    Mute,
    /// Audio without end.
    Endless,
    /// A minute of speech within a second.
    Flood,
}

impl Garbage {
    /// The message as it is sent.
    pub(super) fn text(self) -> String {
        match self {
            Self::NotJson => "upstream connect error {".to_owned(),
            Self::WrongBase64 => concat!(
                r#"{"serverContent": {"modelTurn": {"parts": [{"inlineData": "#,
                r#"{"mimeType": "audio/pcm;rate=24000", "data": "*not base64*"}}]}}}"#
            )
            .to_owned(),
            Self::Empty => "{}".to_owned(),
            Self::UnknownFields => {
                r#"{"futureMessage": {"of": "tomorrow"}, "serverContent": {"mood": 7}}"#.to_owned()
            }
            Self::Oversize(len) => {
                const FRAME: [&str; 2] = [r#"{"serverContent": {"padding": ""#, r#""}}"#];
                let padding = len.saturating_sub(FRAME[0].len() + FRAME[1].len());
                format!("{}{}{}", FRAME[0], "x".repeat(padding), FRAME[1])
            }
        }
    }
}
