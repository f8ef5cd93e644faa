//! The live service and the fallback's providers, which behave well except for the fault.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Dial, Ill, Span, Strike};
use super::line::{tint, utterance};
use super::*;
use crate::id::JobId;

/// Something the service says, owned.
#[derive(Clone, Debug)]
pub(super) enum Say {
    Opened,
    SetupComplete,
    Interrupted,
    Heard(usize),
    Words(usize),
    Audio { sample: i16, ms: usize },
    Generated,
    TurnComplete,
    Handle(String),
    GoAway(Option<u64>),
    Garbage,
    Tool(String),
    Failed(Failure),
    Closed(Failure),
    Released,
}

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Tick,
    Say { link: LinkId, reply: Option<usize>, say: Say },
    Job(JobId, job::Event),
    Echo(MarkId),
    Strike(usize),
}

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) is_gone: bool,
    pub(super) is_closing: bool,
    pub(super) is_mute: bool,
    pub(super) is_set_up: bool,
    pub(super) has_completed: bool,
    pub(super) endpoint: usize,
    answer: Option<Dial>,
    pub(super) handle: Option<String>,
    pub(super) set_up_at: f64,
    loud_ms: f64,
    quiet_ms: f64,
    last: Option<usize>,
    /// Milliseconds heard of each utterance.
    pub(super) heard: BTreeMap<usize, f64>,
    reply: Option<usize>,
    /// When the caller's audio came first.
    pub(super) fed_at: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) peers: BTreeMap<LinkId, Peer>,
    pub(super) replies: usize,
    pub(super) cancelled: BTreeSet<usize>,
    /// Replies without a sound.
    pub(super) muted: BTreeSet<usize>,
    pub(super) is_mute: bool,
    pub(super) empty_turns: u32,
    pub(super) mute_samples: u32,
    pub(super) is_stale: bool,
    pub(super) is_torrent: bool,
    /// The next answers come this much later.
    pub(super) delay: u64,
    pub(super) reply_ms: u64,
    pub(super) wants_tool: bool,
    pub(super) dials: Vec<Dial>,
    pub(super) rest: Option<Dial>,
    pub(super) tools: u32,
    pub(super) handles: u32,
}

type Acts = Vec<(u64, Act)>;

impl Service {
    pub(super) fn dial(&mut self, link: LinkId, endpoint: usize) -> Acts {
        let answer = self.take_dial();
        self.peers.insert(link, Peer { endpoint, answer: Some(answer), ..Peer::default() });
        let say = |ms, say| vec![(ms, Act::Say { link, reply: None, say })];
        match answer {
            Dial::Good | Dial::NoSetup | Dial::ClosedAtSetup(..) => say(300, Say::Opened),
            Dial::Slow => say(1900, Say::Opened),
            Dial::Refused(status) => say(150, Say::Closed(Failure::refused(status))),
            Dial::Unreachable => say(5, Say::Closed(Failure::Unreachable { message: "dns".into() })),
            Dial::Timeout => say(2000, Say::Closed(Failure::ConnectTimeout)),
            Dial::BreakerOpen => say(0, Say::Closed(Failure::BreakerOpen)),
        }
    }

    /// Whether the breaker kept the bridge from dialling: the service saw no attempt.
    pub(super) fn is_passed_over(&self, link: LinkId) -> bool {
        self.peers.get(&link).is_some_and(|peer| matches!(peer.answer, Some(Dial::BreakerOpen)))
    }

    fn take_dial(&mut self) -> Dial {
        if self.dials.is_empty() { self.rest.unwrap_or(Dial::Good) } else { self.dials.remove(0) }
    }

    pub(super) fn setup(&mut self, link: LinkId) -> Acts {
        let say = |ms, say| vec![(ms, Act::Say { link, reply: None, say })];
        match self.peers.get(&link).and_then(|peer| peer.answer).unwrap_or(Dial::Good) {
            Dial::NoSetup => Vec::new(),
            Dial::ClosedAtSetup(code, reason) => {
                say(100, Say::Closed(Failure::Closed { code, reason: reason.to_owned() }))
            }
            _ => say(500, Say::SetupComplete),
        }
    }

    pub(super) fn hear(&mut self, link: LinkId, samples: &[i16], now: f64) -> Acts {
        let Some(peer) = self.peers.get_mut(&link) else { return Vec::new() };
        peer.fed_at.get_or_insert(now);
        let ms = samples.len() as f64 / 16.0;
        if let Some(utterance) = utterance(samples) {
            if peer.quiet_ms >= 200.0 || peer.last != Some(utterance) {
                peer.loud_ms = 0.0;
            }
            peer.last = Some(utterance);
            peer.loud_ms += ms;
            peer.quiet_ms = 0.0;
            *peer.heard.entry(utterance).or_default() += ms;
            if peer.loud_ms >= 240.0 && peer.reply.is_some() {
                return self.interrupt(link);
            }
            return Vec::new();
        }
        let was_quiet = peer.quiet_ms;
        peer.quiet_ms += ms;
        let is_over = was_quiet < 600.0 && peer.quiet_ms >= 600.0 && peer.loud_ms >= 160.0;
        if is_over {
            peer.loud_ms = 0.0;
            let utterance = peer.last;
            if std::mem::take(&mut self.wants_tool) {
                self.tools += 1;
                let say = Say::Tool(format!("tool-{}", self.tools));
                return vec![(0, Act::Say { link, reply: None, say })];
            }
            return self.reply(link, 0, utterance);
        }
        Vec::new()
    }

    pub(super) fn told(&mut self, link: LinkId) -> Acts {
        let after_tool = if self.delay > 0 { 0 } else { 400 };
        self.reply(link, after_tool.max(400), None)
    }

    fn interrupt(&mut self, link: LinkId) -> Acts {
        let Some(peer) = self.peers.get_mut(&link) else { return Vec::new() };
        let Some(reply) = peer.reply.take() else { return Vec::new() };
        peer.loud_ms = 241.0;
        self.cancelled.insert(reply);
        let say = |ms, say| (ms, Act::Say { link, reply: None, say });
        let mut acts = vec![say(0, Say::Interrupted)];
        if std::mem::take(&mut self.is_stale) {
            acts.extend((1..10).map(|n| say(n * 40, Say::Audio { sample: tint(reply), ms: 200 })));
            acts.push(say(500, Say::TurnComplete));
        } else {
            acts.push(say(20, Say::TurnComplete));
        }
        acts
    }

    fn reply(&mut self, link: LinkId, delay: u64, heard: Option<usize>) -> Acts {
        let Some(peer) = self.peers.get_mut(&link) else { return Vec::new() };
        let reply = self.replies;
        self.replies += 1;
        peer.reply = Some(reply);
        let at = delay + std::mem::take(&mut self.delay);
        let say = |ms, say| (at + ms, Act::Say { link, reply: Some(reply), say });
        if self.empty_turns > 0 {
            self.empty_turns -= 1;
            return vec![say(0, Say::TurnComplete)];
        }
        let mut acts: Acts = heard.into_iter().map(|utterance| say(0, Say::Heard(utterance))).collect();
        acts.push(say(0, Say::Words(reply)));
        let is_mute = self.mute_samples > 0;
        self.mute_samples = self.mute_samples.saturating_sub(1);
        if is_mute {
            self.muted.insert(reply);
        }
        let is_torrent = std::mem::take(&mut self.is_torrent);
        let ms = if is_torrent { 60_000 } else { self.reply_ms };
        let (chunk, pace) = if is_torrent { (1000, 60) } else { (100, 4) };
        let sample = if is_mute { 3 } else { tint(reply) };
        acts.extend(
            (0..ms / chunk).map(|n| say(n * chunk / pace, Say::Audio { sample, ms: chunk as usize })),
        );
        acts.push(say(ms / pace, Say::Generated));
        acts.push(say(ms, Say::TurnComplete));
        self.handles += 1;
        acts.push(say(ms + 10, Say::Handle(format!("{}-{}", link.0, self.handles))));
        acts
    }

    /// Whether something that was to be said is not said.
    pub(super) fn is_withheld(&self, link: LinkId, reply: Option<usize>) -> bool {
        let is_mute = self.is_mute || self.peers.get(&link).is_some_and(|peer| peer.is_mute);
        reply.is_some_and(|reply| is_mute || self.cancelled.contains(&reply))
    }

    pub(super) fn turn_completed(&mut self, link: LinkId) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.reply = None;
        }
    }
}

/// The providers of the fallback.
#[derive(Debug, Default)]
pub(super) struct Providers {
    pub(super) running: BTreeMap<JobId, job::Kind>,
    pub(super) ills: Vec<(job::Kind, Ill, Span)>,
    pub(super) heard: BTreeMap<usize, f64>,
    pub(super) is_thought_out: bool,
}

impl Providers {
    pub(super) fn strike(&mut self, strike: &Strike) {
        if let Strike::Job(kind, ill, span) = strike {
            self.ills.push((*kind, *ill, *span));
        }
    }

    pub(super) fn take_ill(&mut self, kind: job::Kind) -> Option<Ill> {
        let index = self.ills.iter().position(|ill| ill.0 == kind)?;
        let (_, ill, span) = self.ills[index];
        if span == Span::Once {
            self.ills.remove(index);
        }
        Some(ill)
    }

    /// What a job tells, and when.
    pub(super) fn start(&mut self, id: JobId, request: &job::Request, reply: usize) -> Acts {
        let kind = request.kind();
        self.running.insert(id, kind);
        let job = |ms, event| (ms, Act::Job(id, event));
        let heard = self.listen(request);
        if let Some(ill) = self.take_ill(kind) {
            return self.fail(id, ill, kind, reply);
        }
        let started = job::Event::Started { provider: "good".into() };
        match request {
            job::Request::Transcribe(_) => {
                let text = heard.map_or_else(String::new, |utterance| format!("Question {utterance}?"));
                vec![job(300, started), job(300, job::Event::Text(text)), job(300, job::Event::Done)]
            }
            job::Request::Think(_) => {
                self.is_thought_out = false;
                let text = format!("This is reply number {reply}. ");
                vec![job(400, started), job(400, job::Event::Text(text)), job(400, job::Event::Done)]
            }
            job::Request::Speak(_) => {
                let audio = || job::Event::Audio(vec![tint(reply); 24 * 750]);
                vec![job(100, started), job(100, audio()), job(200, audio()), job(300, job::Event::Done)]
            }
        }
    }

    /// The utterance that is to be transcribed.
    fn listen(&mut self, request: &job::Request) -> Option<usize> {
        let job::Request::Transcribe(job::Utterance { samples, .. }) = request else { return None };
        let mut last = None;
        for frame in samples.chunks(160) {
            if let Some(utterance) = utterance(frame) {
                *self.heard.entry(utterance).or_default() += frame.len() as f64 / 8.0;
                last = Some(utterance);
            }
        }
        last
    }

    pub(super) fn fail(&self, id: JobId, ill: Ill, kind: job::Kind, reply: usize) -> Acts {
        let job = |ms, event| (ms, Act::Job(id, event));
        let refused = job::Failure::Refused { status: 500, message: "x".into() };
        let part = || match kind {
            job::Kind::Transcribe => job::Event::Started { provider: "ill".into() },
            job::Kind::Think => job::Event::Text("This is ".into()),
            job::Kind::Speak => job::Event::Audio(vec![tint(reply); 24 * 200]),
        };
        match ill {
            Ill::Refused => vec![job(100, job::Event::Failed(refused))],
            Ill::Hang => Vec::new(),
            Ill::Cut => vec![
                job(100, part()),
                job(200, job::Event::Failed(job::Failure::Cut { message: "reset".into() })),
            ],
            Ill::NeverEnds => (1..1500).map(|n| job(n * 50, part())).collect(),
        }
    }
}
