//! One call in its world: time, the peers, the fault, and what must never happen.

use crate::call::agent::Greeting;
use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Dial, Fault, Ill, Moment, Strike};
use super::line::{Caller, Edge, Playback, reply_of, utterance};
use super::service::{Act, Providers, Say, Service};
use super::*;
use crate::call::record::Rung;
use crate::id::JobId;

/// How long a case lasts, milliseconds: until every consequence has been seen. A job that hangs is given up after
/// 20 s, and live is tried again 30 s after three attempts.
const fn case_ms(moment: Moment) -> u64 {
    match moment {
        Moment::ComingBack => 46_000,
        Moment::Start
        | Moment::Greeting
        | Moment::CallerSpeaking
        | Moment::Thinking
        | Moment::Speaking
        | Moment::BargeIn
        | Moment::ToolCall
        | Moment::Reconnecting
        | Moment::FallbackListening
        | Moment::Transcribing
        | Moment::FallbackThinking
        | Moment::FallbackSpeaking => 36_000,
        Moment::Ending => 24_000,
    }
}

const GREETING: &str = "Greet the caller.";

/// What came of a case.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: String,
    /// The longest dead air and where it begins, milliseconds.
    pub(super) dead_air: (f64, f64),
    pub(super) gap_ms: u64,
    /// From the strike to the first that the machine did about it.
    pub(super) detection_ms: Option<u64>,
    pub(super) violations: Vec<String>,
    pub(super) trace: Vec<(u64, String)>,
}

pub(super) struct Sim {
    world: World,
    queue: BTreeMap<(u64, u64), Act>,
    order: u64,
    moment: Moment,
    late_ms: u64,
    faults: Vec<Fault>,
    is_armed: bool,
    struck_at: Option<u64>,
    service: Service,
    providers: Providers,
    playback: Playback,
    caller: Caller,
    chunk: u64,
    is_line_dead: bool,
    until_ms: u64,
    is_doubling: bool,
    rung: Rung,
    watch: Watch,
}

/// What is remembered to be checked.
#[derive(Default)]
struct Watch {
    violations: Vec<String>,
    trace: Vec<(u64, String)>,
    sequence: u32,
    ended: u32,
    dials: BTreeMap<usize, Vec<u64>>,
    rejected: BTreeSet<String>,
    banned: BTreeSet<usize>,
    clear_by: Option<u64>,
    ready_since: BTreeMap<LinkId, u64>,
    tools: BTreeMap<String, u32>,
    greeted: bool,
    greeting_reply: Option<usize>,
    gap_ms: u64,
    detection: Option<u64>,
    received_ms: u64,
    fallback_at: Option<u64>,
}

impl Sim {
    pub(super) fn run(moment: Moment, is_late: bool, faults: &[Fault]) -> Outcome {
        let mut sim = Self::new(moment, is_late, faults);
        sim.world.start_stream(start());
        sim.settle();
        sim.push(20, Act::Tick);
        if moment == Moment::Start {
            sim.enter(Moment::Start);
        }
        while sim.world.call.ending().is_none() {
            let next = sim.queue.keys().next().map_or(sim.until_ms, |key| key.0);
            sim.let_pass(next.min(sim.until_ms));
            if next >= sim.until_ms || sim.world.call.ending().is_some() {
                break;
            }
            if let Some((_, act)) = sim.queue.pop_first() {
                sim.act(act);
            }
        }
        sim.finish()
    }

    fn new(moment: Moment, is_late: bool, faults: &[Fault]) -> Self {
        let is_greeted = matches!(moment, Moment::Greeting | Moment::Start);
        let has_fallback = moment != Moment::Ending;
        let agent = Agent {
            greeting: if is_greeted { Greeting::Instruction(GREETING.to_owned()) } else { Greeting::None },
            ..Agent::default()
        };
        let services = Services {
            live: live::session::Config::default(),
            endpoints: vec![Endpoint::default()],
            has_fallback,
            ..Services::default()
        };
        let mut service = Service { reply_ms: 2000, ..Service::default() };
        match moment {
            Moment::Speaking | Moment::BargeIn | Moment::Greeting => service.reply_ms = 4000,
            Moment::Thinking => service.delay = 1900,
            Moment::ToolCall => (service.wants_tool, service.delay) = (true, 1600),
            Moment::FallbackListening
            | Moment::Transcribing
            | Moment::FallbackThinking
            | Moment::FallbackSpeaking
            | Moment::ComingBack => service.dials = vec![Dial::Refused(503); 3],
            Moment::Ending => service.rest = Some(Dial::Refused(403)),
            Moment::Start | Moment::CallerSpeaking | Moment::Reconnecting => {}
        }
        if moment == Moment::Start {
            service.dials.extend(faults.iter().flat_map(|fault| fault.dials.clone()));
            service.rest = faults.iter().map(|fault| fault.rest).find(|rest| *rest != Dial::Good);
        }
        Self {
            world: World::with(agent, services),
            queue: BTreeMap::new(),
            order: 0,
            moment,
            late_ms: if is_late { 1500 } else { 0 },
            faults: faults.to_vec(),
            is_armed: true,
            struck_at: None,
            service,
            providers: Providers::default(),
            playback: Playback::default(),
            caller: Caller::new(is_greeted),
            chunk: 0,
            is_line_dead: false,
            until_ms: case_ms(moment),
            is_doubling: false,
            rung: Rung::Live,
            watch: Watch::default(),
        }
    }

    fn now(&self) -> f64 {
        (self.world.now - self.world.start).as_secs_f64() * 1000.0
    }

    fn ms(&self) -> u64 {
        millis(self.world.now - self.world.start)
    }

    fn push(&mut self, in_ms: u64, act: Act) {
        self.order += 1;
        let at = self.now().ceil() as u64 + in_ms;
        self.queue.insert((at, self.order), act);
    }

    fn push_all(&mut self, acts: Vec<(u64, Act)>) {
        for (in_ms, act) in acts {
            self.push(in_ms, act);
        }
    }

    fn violate(&mut self, what: impl Into<String>) {
        let (ms, what) = (self.ms(), what.into());
        if self.watch.violations.len() < 5 {
            self.watch.violations.push(format!("{ms}: {what}"));
        }
    }

    fn trace(&mut self, what: impl Into<String>) {
        let ms = self.ms();
        self.watch.trace.push((ms, what.into()));
    }

    /// The moment has come: the fault is on its way.
    fn enter(&mut self, moment: Moment) {
        if self.moment == moment && std::mem::take(&mut self.is_armed) {
            for index in 0..self.faults.len() {
                self.push(self.late_ms + index as u64 * 100, Act::Strike(index));
            }
        }
    }

    /// Fires the machine's timers up to then.
    fn let_pass(&mut self, until_ms: u64) {
        let until = self.world.start + Duration::from_millis(until_ms);
        let mut fired = 0;
        while let Some((at, timer)) = self.world.call.poll_timeout().filter(|(at, _)| *at <= until) {
            fired = if at > self.world.now { 0 } else { fired + 1 };
            if fired > 50 {
                return self.violate(format!("{timer:?} fires for ever"));
            }
            self.world.now = self.world.now.max(at);
            self.world.call.handle_timeout(self.world.now);
            self.settle();
            if self.queue.keys().next().is_some_and(|key| key.0 < until_ms && key.0 <= self.ms()) {
                return;
            }
        }
        self.world.now = self.world.now.max(until);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Tick => self.tick(),
            Act::Say { link, reply, say } => self.say(link, reply, say),
            Act::Job(id, event) => self.job(id, event),
            Act::Echo(mark) => {
                if self.playback.reach(mark) {
                    self.world.carrier(carrier::Event::Mark(Some(mark)));
                }
            }
            Act::Strike(index) => self.strike(index),
        }
        self.settle();
    }

    fn tick(&mut self) {
        self.push(20, Act::Tick);
        if self.is_line_dead {
            return;
        }
        let now = self.now();
        let is_reply_heard = self.service.replies > 0 && self.playback.is_playing(now);
        if self.moment == Moment::BargeIn
            && is_reply_heard
            && !self.caller.has_barged_in
            && self.caller.is_owed()
        {
            self.caller.has_barged_in = true;
            self.watch.trace.push((self.ms(), "will barge in".into()));
            let at = self.ms() + 1500;
            self.queue.insert((at, u64::MAX), Act::Strike(usize::MAX));
        }
        let (sample, edge) = self.caller.next(&self.playback, now);
        match edge {
            Edge::Start => {
                self.trace("caller speaks");
                if self.caller.count == 1 {
                    self.enter(Moment::CallerSpeaking);
                    self.enter(Moment::FallbackListening);
                }
            }
            Edge::End => {
                self.trace("caller is silent");
                self.enter(Moment::Thinking);
            }
            Edge::None => {}
        }
        if self.moment == Moment::Reconnecting && self.caller.count == 1 && self.caller.said[0] == 50 {
            self.service.dials = vec![Dial::Slow];
            self.close_newest(Failure::Broken { message: "reset".into() });
        }
        self.chunk += 1;
        self.watch.received_ms += 20;
        let samples = [sample; 160];
        for _ in 0..if self.is_doubling { 2 } else { 1 } {
            let numbers =
                Numbers { chunk: Some(self.chunk), timestamp: Some(self.chunk * 20), sequence: None };
            let media = Media { numbers, rate: Rate::LINE, samples: &samples };
            self.world.carrier(carrier::Event::Media(media));
        }
        self.watch.received_ms += if self.is_doubling { 20 } else { 0 };
        self.check_deaf();
    }

    /// Never deaf: a session that answers is sent the caller's audio.
    fn check_deaf(&mut self) {
        let now = self.ms();
        let deaf: Vec<_> = self
            .watch
            .ready_since
            .iter()
            .filter(|(link, since)| {
                now - **since > 200
                    && self.service.peers.get(link).is_some_and(|peer| peer.fed_at.is_none() && !peer.is_gone)
            })
            .map(|(link, _)| *link)
            .collect();
        for link in deaf {
            self.watch.ready_since.remove(&link);
            if self.rung == Rung::Live {
                self.violate(format!("{link:?} is deaf"));
            }
        }
    }

    fn say(&mut self, link: LinkId, reply: Option<usize>, say: Say) {
        if self.service.peers.get(&link).is_none_or(|peer| peer.is_gone) && !matches!(say, Say::Released) {
            return;
        }
        if self.service.is_withheld(link, reply) {
            return;
        }
        match say {
            Say::Opened => self.world.call.handle_live(link, live::Event::Opened, self.world.now),
            Say::SetupComplete => {
                let now = self.now();
                if let Some(peer) = self.service.peers.get_mut(&link) {
                    (peer.is_set_up, peer.set_up_at) = (true, now);
                }
                let event = live::Event::SetupComplete { session_id: None };
                self.world.call.handle_live(link, event, self.world.now);
            }
            Say::Interrupted => {
                let is_heard = self.playback.is_playing(self.now());
                self.watch.banned.extend(self.service.cancelled.iter());
                self.watch.clear_by = is_heard.then(|| self.ms() + 20);
                self.world.call.handle_live(link, live::Event::Interrupted, self.world.now);
                self.settle();
                self.enter(Moment::BargeIn);
            }
            Say::Heard(utterance) => {
                let text = format!(" Question {utterance}?");
                self.world.call.handle_live(link, live::Event::InputTranscription(&text), self.world.now);
            }
            Say::Words(reply) => {
                let text = format!("This is reply {reply}, and it has some words.");
                self.world.call.handle_live(link, live::Event::OutputTranscription(&text), self.world.now);
            }
            Say::Audio { sample, ms } => {
                let samples = vec![sample; ms * 24];
                if self.world.call.wants_live() {
                    self.world.call.handle_live(link, live::Event::Audio(&samples), self.world.now);
                }
                if sample > 100 {
                    self.enter(Moment::Speaking);
                    self.enter(Moment::Greeting);
                }
            }
            Say::Generated => {
                let is_mute = reply.is_some_and(|reply| self.service.muted.contains(&reply));
                self.caller.is_answered |= !self.caller.is_speaking() && !is_mute;
                self.world.call.handle_live(link, live::Event::GenerationComplete, self.world.now);
            }
            Say::TurnComplete => {
                self.service.turn_completed(link);
                if reply.is_some()
                    && let Some(peer) = self.service.peers.get_mut(&link)
                {
                    peer.has_completed = true;
                    self.watch.dials.remove(&peer.endpoint);
                }
                self.world.call.handle_live(link, live::Event::TurnComplete, self.world.now);
            }
            Say::Handle(handle) => {
                let event =
                    live::Event::Resumption { handle: Some(&handle), resumable: true, consumed: None };
                self.world.call.handle_live(link, event, self.world.now);
            }
            Say::GoAway(left) => {
                let time_left = left.map(Duration::from_secs);
                self.world.call.handle_live(link, live::Event::GoAway { time_left }, self.world.now);
            }
            Say::Garbage => {
                let event = live::Event::Malformed(live::Malformed::Json);
                self.world.call.handle_live(link, event, self.world.now);
            }
            Say::Tool(id) => {
                let call = live::ToolCall { id: Some(&id), name: "lookup", args: "{}" };
                self.world.call.handle_live(link, live::Event::ToolCall(call), self.world.now);
                self.settle();
                self.enter(Moment::ToolCall);
            }
            Say::Failed(failure) => {
                self.world.call.handle_live(link, live::Event::Failed(failure), self.world.now);
            }
            Say::Closed(failure) => self.close(link, failure),
            Say::Released => {
                if let Some(peer) = self.service.peers.get_mut(&link) {
                    peer.is_gone = true;
                }
                self.world.call.handle_live(link, live::Event::Released, self.world.now);
            }
        }
        self.world.collect();
    }

    fn close(&mut self, link: LinkId, failure: Failure) {
        let now = self.now();
        if let Some(peer) = self.service.peers.get_mut(&link) {
            peer.is_gone = true;
            let is_poisoned = peer.is_set_up && now - peer.set_up_at <= 10_000.0 && !peer.has_completed;
            let is_rejected = !peer.is_set_up
                && matches!(
                    &failure,
                    Failure::Closed { code: 1007, .. } | Failure::Closed { code: 1008, .. }
                );
            if is_poisoned || is_rejected {
                self.watch.rejected.extend(peer.handle.clone());
            }
        }
        self.watch.trace.push((now as u64, format!("{link:?} closes: {failure}")));
        self.world.call.handle_live(link, live::Event::Closed(failure), self.world.now);
        self.world.collect();
    }

    fn close_newest(&mut self, failure: Failure) {
        let link = self.world.link;
        if self.service.peers.get(&link).is_some_and(|peer| !peer.is_gone && !peer.is_closing) {
            self.close(link, failure);
        }
        self.settle();
    }

    fn job(&mut self, id: JobId, event: job::Event) {
        let Some(kind) = self.providers.running.get(&id).copied() else { return };
        let is_over = matches!(event, job::Event::Done | job::Event::Failed(_));
        if is_over {
            self.providers.running.remove(&id);
        }
        match (kind, &event) {
            (job::Kind::Think, job::Event::Done | job::Event::Failed(_)) => {
                self.providers.is_thought_out = true
            }
            (job::Kind::Speak, job::Event::Done) if self.providers.is_thought_out => {
                self.caller.is_answered = !self.caller.is_speaking();
            }
            (job::Kind::Speak, job::Event::Audio(_)) => {
                self.enter(Moment::FallbackSpeaking);
            }
            _ => {}
        }
        if let job::Event::Failed(failure) = &event {
            self.trace(format!("{kind:?} fails: {failure}"));
        }
        self.world.call.handle_job(id, event, self.world.now);
        self.world.collect();
    }

    fn strike(&mut self, index: usize) {
        if index == usize::MAX {
            let now = self.now();
            self.trace("caller barges in");
            return self.caller.speak(1200, now);
        }
        let now = self.ms();
        self.struck_at.get_or_insert(now);
        let fault = self.faults[index].clone();
        self.trace(format!("STRIKE {}", fault.name));
        if self.moment != Moment::Start && (fault.rest != Dial::Good || !fault.dials.is_empty()) {
            self.service.dials.splice(0..0, fault.dials.iter().copied());
            self.service.rest = Some(fault.rest).filter(|rest| *rest != Dial::Good).or(self.service.rest);
        }
        let link = self.world.link;
        match fault.strike {
            Strike::Nothing => {}
            Strike::Close(_) if self.moment == Moment::Start && fault.rest != Dial::Good => {}
            Strike::Close(_) if self.moment == Moment::Start && !fault.dials.is_empty() => {}
            Strike::Close(failure) => self.close_newest(failure),
            Strike::ErrorObject => {
                let failure = Failure::Reported { code: 13, message: "internal".into() };
                self.push(0, Act::Say { link, reply: None, say: Say::Failed(failure) });
            }
            Strike::GoAway(left) => {
                self.push(0, Act::Say { link, reply: None, say: Say::GoAway(left) });
                let failure = Failure::Closed { code: 1008, reason: "The operation was aborted.".into() };
                let at = left.unwrap_or(2) * 1000;
                self.push(at + 200, Act::Say { link, reply: None, say: Say::Closed(failure) });
            }
            Strike::Garbage(count) => {
                for n in 0..u64::from(count) {
                    self.push(n * 20, Act::Say { link, reply: None, say: Say::Garbage });
                }
            }
            Strike::Stall => {
                if let Some(peer) = self.service.peers.get_mut(&link) {
                    peer.is_mute = true;
                }
            }
            Strike::StallForever => self.service.is_mute = true,
            Strike::EmptyTurns(count) => self.service.empty_turns = count,
            Strike::MuteSamples => self.service.mute_samples = 1,
            Strike::Stale => {
                self.service.is_stale = true;
                self.caller.has_barged_in = true;
                self.queue.insert((now + 3000, u64::MAX), Act::Strike(usize::MAX));
            }
            Strike::Torrent => {
                self.service.is_torrent = true;
                self.queue.insert((now + 9000, u64::MAX - 1), Act::Strike(usize::MAX));
            }
            Strike::Job(kind, ill, _) => self.strike_job(index, kind, ill),
            Strike::CarrierStop => self.world.carrier(carrier::Event::Stop),
            Strike::CarrierClosed => self.world.carrier(carrier::Event::Closed(Some(1006))),
            Strike::CarrierStalled => self.world.carrier(carrier::Event::Stalled),
            Strike::NoMedia => {
                self.is_line_dead = true;
                self.until_ms = now + 31_000;
                self.caller.settle(now as f64);
            }
            Strike::SecondStart => self.world.carrier(carrier::Event::Start(Box::new(start()))),
            Strike::Duplicates => self.is_doubling = true,
        }
    }

    fn strike_job(&mut self, index: usize, kind: job::Kind, ill: Ill) {
        let strike = self.faults[index].strike.clone();
        self.providers.strike(&strike);
        let running =
            self.providers.running.iter().find(|running| *running.1 == kind).map(|running| *running.0);
        if let Some(id) = running {
            self.providers.take_ill(kind);
            self.queue.retain(|_, act| !matches!(act, Act::Job(job, _) if *job == id));
            let acts = self.providers.fail(id, ill, kind, self.service.replies);
            self.push_all(acts);
        }
    }
}

impl Sim {
    /// Carries out what the machine gave.
    fn settle(&mut self) {
        loop {
            self.world.collect();
            let outputs = self.world.take();
            if outputs.is_empty() {
                break;
            }
            for (_, output) in outputs {
                self.execute(output);
            }
        }
        if self.watch.clear_by.is_some_and(|by| self.ms() > by) {
            self.watch.clear_by = None;
            self.violate("no clear after interrupted");
        }
    }

    fn execute(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Carrier(Command::Media(frame)) => {
                if let Some(reply) = reply_of(frame.samples()) {
                    if self.watch.banned.contains(&reply) {
                        self.violate(format!("old audio of reply {reply}"));
                    }
                    self.watch.greeted |= self.watch.greeting_reply == Some(reply);
                }
                self.playback.media(&frame, now);
            }
            Output::Carrier(Command::Mark(mark)) => {
                let at = self.playback.mark(mark, now);
                self.push((at - now).ceil() as u64, Act::Echo(mark));
            }
            Output::Carrier(Command::Clear) => {
                self.watch.clear_by = None;
                for mark in self.playback.clear(now) {
                    self.world.call.handle_carrier(carrier::Event::Mark(Some(mark)), self.world.now);
                }
            }
            Output::Carrier(Command::Close(_)) | Output::FollowUp(_) | Output::Tape(_) => {}
            Output::Dial { link, endpoint, .. } => self.dial(link, endpoint),
            Output::Live(link, command) => self.tell(link, command),
            Output::Start(id, request) => {
                let kind = request.kind();
                if self.providers.running.values().any(|running| *running == kind) {
                    self.violate(format!("two {kind:?} at once"));
                }
                if let job::Request::Think(prompt) = &request {
                    self.note_greeting(&prompt.instruction, self.service.replies);
                }
                let reply = self.service.replies;
                if kind == job::Kind::Speak {
                    self.service.replies += 1;
                }
                let acts = self.providers.start(id, &request, reply);
                self.push_all(acts);
                match kind {
                    job::Kind::Transcribe => self.enter(Moment::Transcribing),
                    job::Kind::Think => self.enter(Moment::FallbackThinking),
                    job::Kind::Speak => {}
                }
            }
            Output::Cancel(id) => {
                if self.providers.running.remove(&id).is_none() {
                    self.violate(format!("{id:?} is cancelled and does not run"));
                }
            }
            Output::Record(entry) => self.record(&entry),
        }
    }

    fn note_greeting(&mut self, text: &str, reply: usize) {
        if text.contains(GREETING) {
            if self.watch.greeted {
                self.violate("greeted twice");
            }
            self.watch.greeting_reply = Some(reply);
        }
    }

    fn dial(&mut self, link: LinkId, endpoint: usize) {
        let now = self.ms();
        if self.service.peers.iter().any(|(_, peer)| !peer.is_gone) {
            self.violate(format!("{link:?} is dialled while another is up"));
        }
        let acts = self.service.dial(link, endpoint);
        if !self.service.is_passed_over(link) {
            self.count_dial(endpoint, now);
        }
        self.push_all(acts);
        if self.rung == Rung::Fallback {
            self.enter(Moment::ComingBack);
        } else if link != LINK {
            self.enter(Moment::Reconnecting);
        }
    }

    /// An attempt that the service sees.
    fn count_dial(&mut self, endpoint: usize, now: u64) {
        let dials = self.watch.dials.entry(endpoint).or_default();
        dials.retain(|at| now - at < 30_000);
        dials.push(now);
        // One more where nothing else can answer the caller.
        let most = if self.moment == Moment::Ending { 4 } else { 3 };
        if dials.len() > most {
            let dials = format!("{dials:?}");
            self.violate(format!("RETRY_BUDGET {dials}"));
        }
    }

    fn tell(&mut self, link: LinkId, command: live::Command) {
        let now = self.now();
        let Some(peer) = self.service.peers.get_mut(&link) else {
            return self.violate(format!("{link:?} was never dialled"));
        };
        if peer.is_gone || peer.is_closing {
            let name = format!("{command:?}").chars().take(20).collect::<String>();
            return self.violate(format!("{name} to {link:?}, which is closed"));
        }
        match command {
            live::Command::Setup(setup) => {
                peer.handle.clone_from(&setup.handle);
                if let Some(handle) = &setup.handle
                    && self.watch.rejected.contains(handle)
                {
                    self.violate(format!("handle {handle} again"));
                }
                let acts = self.service.setup(link);
                self.push_all(acts);
            }
            live::Command::Seed(_) => {}
            live::Command::Audio(frame) => {
                if !peer.is_set_up {
                    self.violate("audio before setupComplete");
                }
                let acts = self.service.hear(link, frame.samples(), now);
                self.push_all(acts);
            }
            live::Command::Text(text) => {
                self.note_greeting(&text, self.service.replies);
                let acts = self.service.told(link);
                self.push_all(acts);
            }
            live::Command::ToolError { id, .. } => {
                let count = self.watch.tools.entry(id.unwrap_or_default()).or_default();
                *count += 1;
                if *count > 1 {
                    self.violate("a tool call is answered twice");
                }
                let acts = self.service.told(link);
                self.push_all(acts);
            }
            live::Command::Close => {
                peer.is_closing = true;
                self.push(50, Act::Say { link, reply: None, say: Say::Released });
            }
            live::Command::Abort => {
                peer.is_closing = true;
                let is_poisoned = peer.is_set_up && now - peer.set_up_at <= 10_000.0 && !peer.has_completed;
                if is_poisoned {
                    self.watch.rejected.extend(peer.handle.clone());
                }
                peer.is_gone = true;
                self.push(0, Act::Say { link, reply: None, say: Say::Released });
            }
        }
    }

    fn record(&mut self, entry: &Entry) {
        self.watch.sequence += 1;
        if entry.sequence != self.watch.sequence {
            self.violate(format!("record {} where {} is due", entry.sequence, self.watch.sequence));
        }
        if self.watch.ended > 0 {
            self.violate("a record after the last");
        }
        match &entry.record {
            Record::Ended(_) => self.watch.ended += 1,
            Record::Turn(turn) => {
                if turn.text.contains("say that again") {
                    let now = self.now();
                    self.caller.settle(now);
                }
                self.trace(format!("turn {:?} {:?} cut={}", turn.speaker, turn.text, turn.interrupted));
            }
            Record::Event(event) => self.event(event),
            Record::Opened(_) | Record::Answered { .. } => {}
        }
    }

    fn event(&mut self, event: &Event) {
        let now = self.ms();
        if !matches!(event, Event::Usage(_) | Event::Dtmf { .. }) {
            self.trace(format!("{event:?}"));
        }
        let is_reaction = matches!(
            event,
            Event::LiveLost { .. }
                | Event::LiveMoved { .. }
                | Event::Rung { .. }
                | Event::JobFailed { .. }
                | Event::Cover { .. }
                | Event::Fault { .. }
                | Event::EmptyTurn
        );
        if is_reaction && self.struck_at.is_some() {
            self.watch.detection.get_or_insert(now);
        }
        match event {
            Event::LiveReady { link, gap_ms, .. } => {
                self.watch.gap_ms = self.watch.gap_ms.max(gap_ms.unwrap_or_default());
                if self.rung == Rung::Live {
                    self.watch.ready_since.insert(*link, now);
                }
            }
            Event::LiveLost { link, .. } | Event::LiveMoved { link, .. } => {
                self.watch.ready_since.remove(link);
            }
            Event::Rung { rung, .. } => {
                self.rung = *rung;
                if *rung == Rung::LastResort {
                    self.enter(Moment::Ending);
                }
                if *rung == Rung::Fallback {
                    self.watch.fallback_at.get_or_insert(now);
                }
            }
            Event::AudioTotals(totals) => {
                let accounted = totals.uplink_sent_ms + totals.uplink_dropped_ms;
                if totals.uplink_received_ms != accounted {
                    self.violate(format!("UPLINK_CONSERVED {totals:?}"));
                }
            }
            _ => {}
        }
    }

    fn end(&self) -> String {
        if let Some(ending) = self.world.call.ending() {
            return ending.code().to_owned();
        }
        match self.rung {
            Rung::Live if self.world.call.responder.ready_link().is_some() => "live".to_owned(),
            Rung::Live => "connecting".to_owned(),
            Rung::Fallback | Rung::LastResort => self.rung.code().to_owned(),
        }
    }

    fn finish(mut self) -> Outcome {
        let (end, now) = (self.end(), self.now());
        self.caller.hang_up(now);
        let is_ended = self.world.call.ending().is_some();
        self.check_words(is_ended);
        self.world.carrier(carrier::Event::Stop);
        self.settle();
        if self.watch.ended != 1 {
            self.violate(format!("{} terminal records", self.watch.ended));
        }
        if !self.providers.running.is_empty() {
            let running = format!("{:?}", self.providers.running);
            self.violate(format!("left running: {running}"));
        }
        let up: Vec<_> =
            self.service.peers.iter().filter(|(_, peer)| !peer.is_gone && !peer.is_closing).collect();
        if !up.is_empty() {
            let up = format!("{:?}", up[0].0);
            self.violate(format!("{up} is left open"));
        }
        if self.world.call.poll_timeout().is_some() {
            self.violate("a timer of a call that is over");
        }
        let silences = self.caller.owed.iter().map(|owed| self.playback.longest_silence(*owed));
        let dead_air =
            silences.fold((0.0, 0.0), |longest, next| if next.0 > longest.0 { next } else { longest });
        Outcome {
            end,
            dead_air,
            gap_ms: self.watch.gap_ms,
            detection_ms: self.watch.detection.zip(self.struck_at).map(|(seen, struck)| seen - struck),
            violations: self.watch.violations,
            trace: self.watch.trace,
        }
    }

    /// No word of the caller is lost: each utterance but the newest was heard whole by somebody.
    fn check_words(&mut self, is_ended: bool) {
        if is_ended || self.is_line_dead {
            return;
        }
        let old = self.caller.count.saturating_sub(2);
        for index in 0..old.min(30) {
            let said = self.caller.said[index] as f64 * 20.0;
            let heard = |heard: &BTreeMap<usize, f64>| heard.get(&index).copied().unwrap_or_default();
            let live = self.service.peers.values().map(|peer| heard(&peer.heard)).fold(0.0, f64::max);
            let best = live.max(heard(&self.providers.heard));
            if best < said - 60.0 {
                self.violate(format!("utterance {index}: {best} of {said} ms were heard"));
            }
        }
    }
}

/// What a peer hears of an utterance is told by its samples.
#[test]
fn utterances_are_told_apart_by_their_sound() {
    for index in 0..32 {
        assert_eq!(utterance(&[line::voice(index); 320]), Some(index));
    }
}
