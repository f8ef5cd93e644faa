//! A race of addresses: the first connection that is made wins (RFC 8305, "Happy Eyeballs").
//!
//! [`Race`] decides and is told the time; [`connect`] asks for the name and opens the sockets. A family whose route is
//! dead, or a few dead addresses of many, cost a fraction of a second and not the caller's whole deadline.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::net::TcpStream;

use super::names::{Answer, Family, Names};

/// From the first attempt to the second, unless it fails earlier (RFC 8305 section 5).
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// From each later attempt to the next: two addresses that do not answer make a third one unlikely to be slow only.
const LATER_DELAY: Duration = Duration::from_millis(100);

/// How long IPv4 addresses wait for the answer about IPv6 (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// When addresses that are remembered are used in place of an answer that does not come.
const MEMORY_AFTER: Duration = Duration::from_millis(300);

/// Sockets being opened at once.
const ATTEMPTS_MAX: usize = 8;

/// Why no connection was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no answer about the name {name} within {waited:?}")]
    NameTimeout { name: String, waited: Duration },
    #[error("the name {name} cannot be resolved: {reason}")]
    Name { name: String, reason: String },
    #[error("{name} ({address}): {reason}")]
    Connect { name: String, address: SocketAddr, reason: String },
}

/// Connects to a host by the first of its addresses that answers. Waits `name_deadline` for the name.
pub async fn connect(
    names: &Arc<Names>,
    host: &str,
    port: u16,
    name_deadline: Duration,
) -> Result<TcpStream, Error> {
    let began = now();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut questions = FuturesUnordered::new();
    let mut race = match name.parse::<IpAddr>() {
        Ok(address) => Race::known(address, began),
        Err(_) => {
            for family in [Family::V6, Family::V4] {
                questions.push(names.question(name, family).map(move |answer| (family, answer)));
            }
            Race::new(names.remembered(name), names.good(name), name_deadline, began)
        }
    };
    let mut attempts = FuturesUnordered::new();
    let mut reason = None;
    loop {
        while let Some(address) = race.poll_attempt(now()) {
            let address = SocketAddr::new(address, port);
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        }
        if race.is_over() {
            names.note_bad(name);
            return Err(reason.unwrap_or_else(|| race.error(name)));
        }
        let timer = race.poll_timeout().map(|at| tokio::time::sleep_until(at.into()));
        tokio::select! {
            Some((family, answer)) = questions.next() => race.handle_answer(family, answer, now()),
            Some((address, result)) = attempts.next() => match result {
                Ok(tcp) => {
                    names.note_good(name, address.ip());
                    return Ok(tcp);
                }
                Err(error) => {
                    race.handle_failure(now());
                    reason = Some(refusal(name, address, &error));
                }
            },
            () = sleep(timer) => race.handle_timeout(now()),
        }
    }
}

async fn sleep(timer: Option<tokio::time::Sleep>) {
    match timer {
        Some(timer) => timer.await,
        None => pending().await,
    }
}

fn refusal(name: &str, address: SocketAddr, error: &io::Error) -> Error {
    Error::Connect { name: name.to_owned(), address, reason: error.to_string() }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The order of attempts. Contract: tell it answers, failures and time as they come; after each, take every address of
/// [`Race::poll_attempt`].
#[derive(Debug)]
struct Race {
    waiting: [VecDeque<IpAddr>; 2],
    /// Not answered yet.
    asked: [bool; 2],
    /// Why a family has no address.
    reason: Option<Arc<str>>,
    remembered: Vec<IpAddr>,
    good: Option<IpAddr>,
    tried: Vec<IpAddr>,
    under_way: usize,
    began: Instant,
    name_deadline: Duration,
    /// No attempt before.
    next_at: Instant,
}

impl Race {
    /// One address, and no name.
    fn known(address: IpAddr, now: Instant) -> Self {
        let mut race = Self::new(Vec::new(), None, Duration::ZERO, now);
        race.asked = [false; 2];
        race.add(&[address]);
        race
    }

    /// Both families are asked for.
    fn new(remembered: Vec<IpAddr>, good: Option<IpAddr>, name_deadline: Duration, now: Instant) -> Self {
        Self {
            waiting: Default::default(),
            asked: [true; 2],
            reason: None,
            remembered,
            good,
            tried: Vec::new(),
            under_way: 0,
            began: now,
            name_deadline,
            next_at: now,
        }
    }

    fn handle_answer(&mut self, family: Family, answer: Answer, now: Instant) {
        self.asked[family as usize] = false;
        match answer {
            Ok(addresses) => {
                self.add(&addresses);
                let is_first =
                    self.tried.is_empty() && family == Family::V4 && self.asked[Family::V6 as usize];
                if is_first && !self.has_good_waiting() {
                    self.next_at = self.next_at.max(now + RESOLUTION_DELAY);
                }
            }
            Err(reason) => self.reason = Some(reason),
        }
        if family == Family::V6 && self.tried.is_empty() {
            self.next_at = now;
        }
        if !self.is_asking() && self.has_none() {
            self.remember();
        }
    }

    /// An attempt failed: the next one need not wait.
    fn handle_failure(&mut self, now: Instant) {
        self.under_way -= 1;
        self.next_at = now;
    }

    fn handle_timeout(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.began);
        if self.is_asking() && waited >= MEMORY_AFTER && self.has_none() {
            self.remember();
        }
        if self.is_asking() && waited >= self.name_deadline {
            self.asked = [false; 2];
        }
    }

    /// The address to try now.
    fn poll_attempt(&mut self, now: Instant) -> Option<IpAddr> {
        if now < self.next_at || self.under_way >= ATTEMPTS_MAX {
            return None;
        }
        let address = self.take_next()?;
        self.next_at = now + if self.tried.is_empty() { FIRST_DELAY } else { LATER_DELAY };
        self.tried.push(address);
        self.under_way += 1;
        Some(address)
    }

    /// When [`Race::handle_timeout`] and [`Race::poll_attempt`] are to be called.
    fn poll_timeout(&self) -> Option<Instant> {
        let may_attempt = self.has_waiting() && self.under_way < ATTEMPTS_MAX;
        let attempt = may_attempt.then_some(self.next_at);
        let memory = self.is_asking() && self.has_none() && !self.remembered.is_empty();
        let memory = memory.then(|| self.began + MEMORY_AFTER);
        let name = self.is_asking().then(|| self.began + self.name_deadline);
        [attempt, memory, name].into_iter().flatten().min()
    }

    /// Nothing is under way and nothing can come.
    fn is_over(&self) -> bool {
        self.under_way == 0 && !self.has_waiting() && !self.is_asking()
    }

    /// Why there was nothing to try.
    fn error(&self, name: &str) -> Error {
        let name = name.to_owned();
        match &self.reason {
            Some(reason) => Error::Name { name, reason: reason.to_string() },
            None if self.name_deadline.is_zero() => Error::Name { name, reason: "no address".to_owned() },
            None => Error::NameTimeout { name, waited: self.name_deadline },
        }
    }

    /// The address that worked last comes first; then the families take turns, IPv6 first.
    fn take_next(&mut self) -> Option<IpAddr> {
        if let Some(good) = self.good.take() {
            for waiting in &mut self.waiting {
                if let Some(place) = waiting.iter().position(|address| *address == good) {
                    return waiting.remove(place);
                }
            }
            self.good = Some(good);
        }
        let was_v6 = self.tried.last().is_some_and(IpAddr::is_ipv6);
        let [v6, v4] = &mut self.waiting;
        if was_v6 {
            v4.pop_front().or_else(|| v6.pop_front())
        } else {
            v6.pop_front().or_else(|| v4.pop_front())
        }
    }

    fn remember(&mut self) {
        let remembered = std::mem::take(&mut self.remembered);
        self.add(&remembered);
    }

    fn add(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            let waiting = &mut self.waiting[usize::from(address.is_ipv4())];
            if !self.tried.contains(address) && !waiting.contains(address) {
                waiting.push_back(*address);
            }
        }
    }

    fn has_good_waiting(&self) -> bool {
        self.good.is_some_and(|good| self.waiting.iter().any(|waiting| waiting.contains(&good)))
    }

    fn has_waiting(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_empty())
    }

    fn has_none(&self) -> bool {
        !self.has_waiting() && self.tried.is_empty()
    }

    fn is_asking(&self) -> bool {
        self.asked.contains(&true)
    }
}

#[cfg(test)]
mod tests;
