//! Names of hosts: both families are asked for at once, and what was answered is remembered.
//!
//! A question is asked once for all who want its answer, and goes on when they have stopped waiting: the next dial
//! profits. While a question fails or is slow, the addresses of its last good answer are used. Knows nothing of what is
//! connected to; an address that worked is told with [`Names::note_good`].

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

/// Names that are remembered; of more the one that was not used for the longest time is forgotten.
const NAMES_MAX: usize = 256;

/// Addresses of one family that are kept of an answer.
const ADDRESSES_MAX: usize = 32;

/// How long an answer may stand in for one that cannot be had. The certificate says whether it is the right host.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// How long an address that worked is tried first. Then the families are raced anew.
const GOOD: Duration = Duration::from_secs(60);

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V6,
    V4,
}

/// The addresses of one family, or why there are none.
pub type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

/// An answer that comes.
pub type Question = Shared<BoxFuture<'static, Answer>>;

type Ask = dyn Fn(&str, Family) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// What is known of names. All of a process share one ([`Names::shared`]).
pub struct Names {
    /// Waits for the operating system's resolver.
    ask: Box<Ask>,
    table: Mutex<HashMap<Box<str>, Entry>>,
}

#[derive(Default)]
struct Entry {
    families: [Known; 2],
    good: Option<(IpAddr, Instant)>,
    used: Option<Instant>,
}

#[derive(Default)]
struct Known {
    question: Option<Question>,
    last: Option<(Arc<[IpAddr]>, Instant)>,
}

impl Names {
    /// The names of this process, asked of the operating system.
    pub fn shared() -> &'static Arc<Self> {
        static SHARED: LazyLock<Arc<Names>> = LazyLock::new(|| Names::new(ask));
        &SHARED
    }

    /// `ask` may block its thread.
    pub fn new(ask: impl Fn(&str, Family) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { ask: Box::new(ask), table: Mutex::default() })
    }

    /// The addresses of a name: asked for now, unless the same question is under way.
    pub fn question(self: &Arc<Self>, name: &str, family: Family) -> Question {
        let mut table = self.table();
        make_room(&mut table, name);
        let entry = table.entry(name.into()).or_default();
        entry.used = Some(Instant::now());
        let known = &mut entry.families[family as usize];
        let question = known.question.get_or_insert_with(|| {
            let (names, name) = (Arc::clone(self), Box::<str>::from(name));
            let asking = tokio::task::spawn_blocking(move || {
                let answer = (names.ask)(&name, family).map(|mut addresses| {
                    addresses.truncate(ADDRESSES_MAX);
                    addresses.into()
                });
                let answer = answer.map_err(|error| Arc::from(error.to_string()));
                names.note_answer(&name, family, &answer);
                answer
            });
            async move { asking.await.unwrap_or_else(|_| Err("the question was given up".into())) }
                .boxed()
                .shared()
        });
        question.clone()
    }

    /// The last good answers, of both families.
    pub fn remembered(&self, name: &str) -> Vec<IpAddr> {
        let table = self.table();
        let families = table.get(name).map(|entry| entry.families.iter());
        let last = families.into_iter().flatten().filter_map(|known| known.last.as_ref());
        last.filter(|(_, at)| at.elapsed() < MEMORY)
            .flat_map(|(addresses, _)| addresses.iter().copied())
            .collect()
    }

    /// The address that worked last, if that was lately.
    pub fn good(&self, name: &str) -> Option<IpAddr> {
        let good = self.table().get(name)?.good;
        good.filter(|(_, at)| at.elapsed() < GOOD).map(|(address, _)| address)
    }

    /// A connection was made to this address.
    pub fn note_good(&self, name: &str, address: IpAddr) {
        if let Some(entry) = self.table().get_mut(name) {
            entry.good = Some((address, Instant::now()));
        }
    }

    /// No connection could be made: all addresses are raced next time.
    pub fn note_bad(&self, name: &str) {
        if let Some(entry) = self.table().get_mut(name) {
            entry.good = None;
        }
    }

    fn note_answer(&self, name: &str, family: Family, answer: &Answer) {
        if let Some(entry) = self.table().get_mut(name) {
            let known = &mut entry.families[family as usize];
            known.question = None;
            if let Ok(addresses) = answer
                && !addresses.is_empty()
            {
                known.last = Some((Arc::clone(addresses), Instant::now()));
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

fn make_room(table: &mut HashMap<Box<str>, Entry>, name: &str) {
    if table.len() < NAMES_MAX || table.contains_key(name) {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
    if let Some(oldest) = oldest {
        table.remove(&oldest);
    }
}

/// Asks the operating system, which knows of `/etc/hosts` and everything else a machine resolves names by.
fn ask(name: &str, family: Family) -> io::Result<Vec<IpAddr>> {
    let address = match family {
        Family::V6 => dns_lookup::AddrFamily::Inet6,
        Family::V4 => dns_lookup::AddrFamily::Inet,
    };
    let hints = dns_lookup::AddrInfoHints {
        address: address.into(),
        socktype: dns_lookup::SockType::Stream.into(),
        ..dns_lookup::AddrInfoHints::default()
    };
    let found = dns_lookup::getaddrinfo(Some(name), None, Some(hints)).map_err(io::Error::from)?;
    let mut addresses = Vec::new();
    for info in found {
        let address = info?.sockaddr.ip();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn v4(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    /// A resolver that answers with one address, and fails after `good` questions.
    fn failing_after(good: usize) -> (Arc<Names>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::new(move |_, family| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            match family {
                Family::V4 if n < good => Ok(vec![v4(n as u8)]),
                Family::V4 => Err(io::Error::other("SERVFAIL")),
                Family::V6 => Ok(vec![]),
            }
        });
        (names, asked)
    }

    #[tokio::test]
    async fn the_last_good_answer_is_remembered_while_a_question_fails() {
        let (names, _) = failing_after(1);
        assert_eq!(names.remembered("a.test"), [] as [IpAddr; 0]);
        assert_eq!(names.question("a.test", Family::V4).await.unwrap()[..], [v4(0)]);
        assert_eq!(&*names.question("a.test", Family::V4).await.unwrap_err(), "SERVFAIL");
        assert_eq!(names.remembered("a.test"), [v4(0)]);
        assert_eq!(names.remembered("b.test"), [] as [IpAddr; 0]);
    }

    #[tokio::test]
    async fn an_empty_answer_does_not_undo_what_is_remembered() {
        let (names, _) = failing_after(1);
        names.question("a.test", Family::V4).await.unwrap();
        names.question("a.test", Family::V6).await.unwrap();
        assert_eq!(names.remembered("a.test"), [v4(0)]);
    }

    #[tokio::test]
    async fn a_question_is_asked_once_for_all_who_wait_and_outlives_them() {
        let (names, asked) = failing_after(9);
        let questions = [names.question("a.test", Family::V4), names.question("a.test", Family::V4)];
        drop(questions);
        let question = names.question("a.test", Family::V4);
        question.await.unwrap();
        assert!(
            asked.load(Ordering::SeqCst) <= 2,
            "one, or a second one if the first was quicker than this test"
        );
        assert_ne!(names.remembered("a.test"), [] as [IpAddr; 0]);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_the_oldest_name_is_forgotten() {
        let (names, _) = failing_after(usize::MAX);
        names.question("first.test", Family::V4).await.unwrap();
        for n in 0..NAMES_MAX {
            names.question(&format!("{n}.test"), Family::V4).await.unwrap();
        }
        assert_eq!(names.table().len(), NAMES_MAX);
        assert_eq!(names.remembered("first.test"), [] as [IpAddr; 0]);
    }

    #[tokio::test]
    async fn an_address_that_worked_is_the_good_one_until_it_fails() {
        let (names, _) = failing_after(1);
        names.question("a.test", Family::V4).await.unwrap();
        names.note_good("a.test", v4(7));
        assert_eq!(names.good("a.test"), Some(v4(7)));
        names.note_bad("a.test");
        assert_eq!(names.good("a.test"), None);
    }

    #[tokio::test]
    async fn this_machine_is_known() {
        let names = Names::shared();
        let found = names.question("localhost", Family::V4).await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
        assert!(names.question("does-not-exist.invalid", Family::V4).await.is_err());
    }
}
