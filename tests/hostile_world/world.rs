//! One call on a virtual clock: the caller, both peers, and what came through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patchcord::audio::{Frame, g711};
use patchcord::call::agent::{Agent, Greeting};
use patchcord::call::context::Context;
use patchcord::call::intake::{Input, Intake};
use patchcord::call::record::{Ending, Ledger, Record};
use patchcord::call::replay::Message;
use patchcord::call::services::{Endpoint, Services};
use patchcord::call::{Admission, Output};
use patchcord::carrier::Command;
use patchcord::dialogue::Speaker;
use patchcord::id::{CallId, LinkId};
use patchcord::live;
use patchcord::time::WallClock;
use time::OffsetDateTime;

use crate::carrier::Carrier;
use crate::model::{Exchange, Model};

const EXCHANGES: [Exchange; 3] = [
    Exchange {
        question: ["Have you got", " a room", " for tonight?"],
        answer: ["Good day,", " we have", " a room with a view", " of the sea."],
        answer_ms: 2400,
    },
    Exchange {
        question: ["What does", " it", " cost?"],
        answer: ["Ninety", " pounds,", " breakfast", " included."],
        answer_ms: 1800,
    },
    Exchange {
        question: ["Can I bring", " my", " dog?"],
        answer: ["Of course,", " dogs are", " welcome", " here."],
        answer_ms: 2000,
    },
];

/// The first question begins here; each lasts as long as the next line says, and is answered this much after its end.
const FIRST_QUESTION_MS: u64 = 1000;
const QUESTION_MS: u64 = 1200;
const THINKING_MS: u64 = 900;

/// From the end of an answer's sound to the next question: late words come before it.
const PAUSE_MS: u64 = 1600;

const FRAME_MS: u64 = 20;

/// One of the two sides' sounds.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    pub(crate) said_ms: u64,
    pub(crate) heard_us: u64,
}

/// What came through.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) questions: Vec<Sound>,
    pub(crate) answers: Vec<Sound>,
    pub(crate) turns: Vec<(Speaker, String)>,
    pub(crate) dials: u32,
    pub(crate) is_hung_up_by_caller: bool,
    numbering: String,
    events: Vec<String>,
}

impl Heard {
    /// What happened, for the reader of a failure.
    pub(crate) fn story(&self) -> String {
        format!("chunks are numbered {}\n  {}", self.numbering, self.events.join("\n  "))
    }
}

/// What the log must have.
pub(crate) fn turns() -> Vec<(Speaker, String)> {
    let exchange = |exchange: &Exchange| {
        [(Speaker::Caller, exchange.question.concat()), (Speaker::Agent, exchange.answer.concat())]
    };
    EXCHANGES.iter().flat_map(exchange).collect()
}

/// The constant sample of a question: loud, and the same after mu-law.
fn question_level(number: usize) -> i16 {
    g711::decode(question_byte(number))
}

fn question_byte(number: usize) -> u8 {
    0x90 + 8 * number as u8
}

fn answer_level(number: usize) -> i16 {
    2000 * (number as i16 + 1)
}

/// Something that will happen.
enum Act {
    Carrier(Vec<u8>),
    Caller { byte: u8 },
    Opened(LinkId),
    Live(LinkId, Vec<u8>),
    Mark(String),
}

pub(crate) struct World {
    call: Intake,
    start: Instant,
    now_ms: u64,
    queue: BTreeMap<(u64, u64), Act>,
    order: u64,
    carrier: Carrier,
    model: Model,
    buffered_until_ms: u64,
    heard: Heard,
}

impl World {
    /// The whole call of a seed.
    pub(crate) fn play(seed: u64) -> Heard {
        let mut world = Self::new(seed);
        world.plan();
        while let Some(key) = world.queue.keys().next().copied() {
            world.let_pass(key.0);
            if let Some(act) = world.queue.remove(&key) {
                world.act(act);
            }
        }
        world.heard
    }

    fn new(seed: u64) -> Self {
        let start = Instant::now();
        let mut context = Context::unknown(OffsetDateTime::UNIX_EPOCH);
        context.call_sid = "CA1".into();
        context.account_sid = "AC1".into();
        let mut ledger = Ledger::new(CallId::new(1), WallClock::new(start, OffsetDateTime::UNIX_EPOCH));
        ledger.entry(Record::Opened(Box::new(context.clone())), start);
        let agent = Arc::new(Agent { greeting: Greeting::None, ..Agent::default() });
        let services = Services { endpoints: vec![Endpoint::default()], ..Services::default() };
        let call = Intake::answer(Admission { context, agent, ledger }, Arc::new(services), start);
        let carrier = Carrier::new(seed);
        let heard = Heard {
            questions: EXCHANGES.iter().map(|_| Sound { said_ms: QUESTION_MS, heard_us: 0 }).collect(),
            answers: EXCHANGES
                .iter()
                .map(|exchange| Sound { said_ms: exchange.answer_ms, heard_us: 0 })
                .collect(),
            turns: Vec::new(),
            dials: 0,
            is_hung_up_by_caller: false,
            numbering: carrier.numbering(),
            events: Vec::new(),
        };
        let (queue, model) = (BTreeMap::new(), Model::new(seed));
        Self { call, start, now_ms: 0, queue, order: 0, carrier, model, buffered_until_ms: 0, heard }
    }

    /// What the peers do by the clock: everything but the answers to what the bridge sends.
    fn plan(&mut self) {
        let message = self.carrier.connected();
        self.push(0, Act::Carrier(message));
        let message = self.carrier.start();
        self.push(0, Act::Carrier(message));
        let mut bytes = vec![0xFF; (FIRST_QUESTION_MS / FRAME_MS) as usize];
        for (number, exchange) in EXCHANGES.iter().enumerate() {
            bytes.extend(vec![question_byte(number); (QUESTION_MS / FRAME_MS) as usize]);
            let answered_ms = bytes.len() as u64 * FRAME_MS + THINKING_MS;
            for (at, message) in self.model.answer(exchange, answer_level(number)) {
                self.push(answered_ms + at, Act::Live(LinkId(1), message));
            }
            let quiet_ms = THINKING_MS + exchange.answer_ms + PAUSE_MS;
            bytes.extend(vec![0xFF; (quiet_ms / FRAME_MS) as usize]);
        }
        for (frame, byte) in bytes.iter().enumerate() {
            let at = (frame as u64 + 1) * FRAME_MS;
            self.push(at, Act::Caller { byte: *byte });
            if frame % 97 == 50 {
                let message = self.carrier.unknown();
                self.push(at, Act::Carrier(message));
            }
        }
        let message = self.carrier.stop();
        self.push(bytes.len() as u64 * FRAME_MS + FRAME_MS, Act::Carrier(message));
    }

    fn push(&mut self, at_ms: u64, act: Act) {
        self.order += 1;
        self.queue.insert((at_ms, self.order), act);
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    /// Time passes: every timer of the call fires when it is due.
    fn let_pass(&mut self, until_ms: u64) {
        let until = self.start + Duration::from_millis(until_ms);
        while let Some((at, timer)) = self.call.call().poll_timeout().filter(|(at, _)| *at <= until) {
            let at = at.max(self.now());
            self.call.handle(Input::Timeout { timer: Some(timer) }, at);
            self.drain();
        }
        self.now_ms = until_ms;
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Carrier(message) => self.take(Input::Carrier(Message::new(&message))),
            Act::Caller { byte } => {
                let message = self.carrier.media(&[byte; FRAME_MS as usize * 8]);
                self.take(Input::Carrier(Message::new(&message)));
            }
            Act::Opened(link) => self.take(Input::LiveOpened { link }),
            Act::Live(link, message) => self.take(Input::Live { link, message: Message::new(&message) }),
            Act::Mark(name) => {
                let message = self.carrier.mark(&name);
                self.take(Input::Carrier(Message::new(&message)));
            }
        }
    }

    fn take(&mut self, input: Input<'_>) {
        self.call.handle(input, self.now());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Dial { link, .. } => {
                self.heard.dials += 1;
                self.push(self.now_ms + 100, Act::Opened(link));
            }
            Output::Live(link, live::Command::Setup(_)) => {
                let message = self.model.set_up();
                self.push(self.now_ms + 200, Act::Live(link, message));
            }
            Output::Live(_, live::Command::Audio(frame)) => {
                for (number, question) in self.heard.questions.iter_mut().enumerate() {
                    question.hear(&frame, question_level(number));
                }
            }
            Output::Carrier(command) => self.tell_carrier(command),
            Output::Record(entry) => self.record(&entry.record),
            Output::Live(..)
            | Output::Start(..)
            | Output::Cancel(_)
            | Output::FollowUp(_)
            | Output::Tape(_) => {}
        }
    }

    /// The carrier plays what comes behind what it still has, and says when it reached a mark.
    fn tell_carrier(&mut self, command: Command) {
        match command {
            Command::Media(frame) => {
                for (number, answer) in self.heard.answers.iter_mut().enumerate() {
                    answer.hear(&frame, answer_level(number));
                }
                let ms = frame.samples().len() as u64 * 1000 / u64::from(frame.rate().0);
                self.buffered_until_ms = self.buffered_until_ms.max(self.now_ms) + ms;
            }
            Command::Mark(mark) => {
                let at = self.buffered_until_ms.max(self.now_ms);
                self.push(at, Act::Mark(format!("m{}", mark.0)));
            }
            Command::Clear => self.heard.events.push(format!("{}: clear", self.now_ms)),
            Command::Close(_) => {}
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Turn(turn) => self.heard.turns.push((turn.speaker, turn.text.clone())),
            Record::Ended(ending) => self.heard.is_hung_up_by_caller = *ending == Ending::CallerHungUp,
            Record::Opened(_) | Record::Answered { .. } | Record::Event(_) => {}
        }
        self.heard.events.push(format!("{}: {record:?}", self.now_ms));
    }
}

impl Sound {
    /// Counts the samples of a frame that have this level.
    fn hear(&mut self, frame: &Frame, level: i16) {
        let near = |sample: &&i16| sample.abs_diff(level) < level.unsigned_abs() / 12;
        let samples = frame.samples().iter().filter(near).count() as u64;
        self.heard_us += samples * 1_000_000 / u64::from(frame.rate().0);
    }

    /// Milliseconds that were heard too much or too little.
    pub(crate) const fn error_ms(&self) -> u64 {
        self.heard_us.abs_diff(self.said_ms * 1000) / 1000
    }
}
