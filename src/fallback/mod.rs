//! The agent without a live model: speech to text, a language model, text to speech, one after the other.
//!
//! [`Session`] takes the caller's audio and the events of its jobs, and gives jobs to start and what the agent
//! says. It never waits, reads no clock and opens no socket. It does not know carriers, playout, the call log or
//! the dialogue: the call owns those, tells the session whether the agent is being heard, and hands it the
//! dialogue when the session asks for it with [`Output::WantsReply`].
//!
//! ```text
//! caller → ear (voice activity, utterances) → scribe (speech to text) → CallerSaid, WantsReply
//!        → language model → splitter (sentences) → text to speech → AgentSays, Audio
//! ```

mod detector;
mod ear;
mod heard;
mod jobs;
mod reply;
mod scribe;
mod sentence;
mod session;
mod spoken;
mod turn;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use self::heard::has_words;
pub use self::session::{Session, TURNS_LOST_MAX};
pub use self::spoken::{Cleaner, Flow};
use crate::id::JobId;
use crate::job::{Event, Failure, Kind, Request};

/// How the agent listens, thinks and speaks. The defaults are tuned for a telephone line.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The system instruction.
    pub instruction: String,
    /// BCP-47; `None`: the providers' configured language.
    pub language: Option<String>,
    pub temperature: Option<f32>,
    pub hearing: Hearing,
    /// Whether the caller may cut the agent short. If not, what is said meanwhile is answered afterwards.
    pub is_interruptible: bool,
    /// Silence that ends an utterance. 800 ms bridges the pauses of thinking and is not felt as slow.
    pub endpointing: Duration,
    /// The longest utterance; more is transcribed in pieces. 30 s is what speech services take in one request.
    pub utterance_max: Duration,
    /// Shorter sounds are clicks and coughs, and not transcribed unless they stopped the agent. The shortest
    /// words ("no") take about 200 ms.
    pub utterance_min: Duration,
    /// Audio kept from before speech was noticed: soft first consonants.
    pub pre_roll: Duration,
    /// Speech of this length takes the floor. 120 ms is longer than a click and shorter than a word.
    pub barge_in: Duration,
    /// A job that tells nothing for this long is given up. The providers have shorter deadlines of their own;
    /// this one holds if those do not.
    pub job_silence_max: Duration,
    /// A job that takes this long altogether is given up, whatever it tells.
    pub job_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instruction: String::new(),
            language: None,
            temperature: None,
            hearing: Hearing::default(),
            is_interruptible: true,
            endpointing: Duration::from_millis(800),
            utterance_max: Duration::from_secs(30),
            utterance_min: Duration::from_millis(200),
            pre_roll: Duration::from_millis(300),
            barge_in: Duration::from_millis(120),
            job_silence_max: Duration::from_secs(20),
            job_max: Duration::from_secs(60),
        }
    }
}

/// How speech is told from other sounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hearing {
    /// By its loudness: costs nothing, and takes music, tones and noise for speech.
    #[default]
    Energy,
    /// By a neural network, which knows speech when it hears it.
    Silero,
}

/// What the session cannot know of the moment in which audio comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Whether the caller hears the agent's speech now, or soon: it is in the playout. Cover is not speech.
    pub is_agent_audible: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Listening {
        /// From the moment the caller has the floor until the silence that ends the utterance is over.
        is_caller_speaking: bool,
    },
    /// The caller waits: transcribing, or the reply has no audio yet.
    Thinking,
    /// Audio of the reply is coming.
    Speaking,
    /// Closed, or failed: nothing more will come.
    Closed,
}

/// What the call is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Start(JobId, Request),
    Cancel(JobId),
    /// Words of the caller, for the dialogue.
    CallerSaid {
        text: String,
        started: Instant,
        ended: Instant,
    },
    /// The dialogue is wanted: answer with [`Session::reply`], with all that was said in it.
    WantsReply,
    /// The first audio of a reply follows. The caller waited for it since then: the end of their speech, or the
    /// moment in which the agent was asked to speak.
    ReplyBegins {
        waited_since: Instant,
    },
    /// A sentence whose audio follows now, as it is spoken.
    AgentSays {
        text: String,
    },
    /// Speech of the agent, mono PCM at [`Rate::MODEL_OUT`](crate::audio::Rate::MODEL_OUT), 24 kHz.
    Audio(Vec<i16>),
    /// All audio of the sentence was given.
    SentenceEnd,
    /// All audio of the reply was given.
    ReplyEnd,
    /// The caller cuts the agent short: what was not heard yet must not be heard any more.
    Interrupt,
    /// The caller said something and has no whole answer to it, because a service failed or recognised no words in it:
    /// they are to be asked to say it again.
    Misheard,
    /// What sounded like the caller had no words in it, and they were asked already: no answer is owed.
    Noise,
    /// This much speech of the caller was thrown away: transcribing is too slow.
    SpeechLost(Duration),
    /// What a job tells about its providers, for the log: `Skipped`, `Waits`, `Started`, `BrokeOff`, `Usage`;
    /// and `Failed` if the session goes on all the same.
    Note(Kind, Event),
    /// This kind of work cannot be done: [`TURNS_LOST_MAX`] turns in a row were lost, or the services
    /// ask to be left alone for long. The session is closed.
    Failed {
        kind: Kind,
        failure: Failure,
    },
}
