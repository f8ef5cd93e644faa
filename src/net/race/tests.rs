//! Stories of races.

use rstest::rstest;

use super::*;

const NAME_DEADLINE: Duration = Duration::from_millis(1500);

/// A race, its clock, and what was tried when.
struct World {
    race: Race,
    start: Instant,
    now: Instant,
    tried: Vec<(u64, IpAddr)>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(ip).collect()
}

impl World {
    fn new(remembered: &str, good: Option<&str>) -> Self {
        let start = Instant::now();
        let race = Race::new(ips(remembered), good.map(ip), NAME_DEADLINE, start);
        Self { race, start, now: start, tried: Vec::new() }
    }

    fn answer(&mut self, family: Family, addresses: &str) {
        self.race.handle_answer(family, Ok(ips(addresses).into()), self.now);
        self.take();
    }

    fn fail_question(&mut self, family: Family) {
        self.race.handle_answer(family, Err("SERVFAIL".into()), self.now);
        self.take();
    }

    fn take(&mut self) {
        while let Some(address) = self.race.poll_attempt(self.now) {
            let ms = u64::try_from((self.now - self.start).as_millis()).unwrap();
            self.tried.push((ms, address));
        }
    }

    /// Nothing answers meanwhile.
    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.race.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.race.handle_timeout(self.now);
            self.take();
        }
        self.now = until;
    }

    fn tried(&self) -> String {
        self.tried.iter().map(|(ms, address)| format!("{ms} {address}")).collect::<Vec<_>>().join(", ")
    }
}

/// AAAA and A as answered, and what is tried when while nothing answers.
#[rstest]
#[case::ipv4_only("", "10.0.0.1", "0 10.0.0.1")]
#[case::ipv6_only("fd00::1", "", "0 fd00::1")]
#[case::both("fd00::1", "10.0.0.1", "0 fd00::1, 250 10.0.0.1")]
#[case::families_take_turns(
    "fd00::1 fd00::2",
    "10.0.0.1 10.0.0.2",
    "0 fd00::1, 250 10.0.0.1, 350 fd00::2, 450 10.0.0.2"
)]
#[case::three_dead_before_one(
    "fd00::1 fd00::2 fd00::3",
    "10.0.0.1",
    "0 fd00::1, 250 10.0.0.1, 350 fd00::2, 450 fd00::3"
)]
#[case::the_same_twice("fd00::1 fd00::1", "", "0 fd00::1")]
fn families_are_interleaved(#[case] v6: &str, #[case] v4: &str, #[case] tried: &str) {
    let mut world = World::new("", None);
    world.answer(Family::V6, v6);
    world.answer(Family::V4, v4);
    world.pass(1000);
    assert_eq!(world.tried(), tried);
}

#[test]
fn the_fifth_of_twenty_addresses_is_tried_within_a_second() {
    let mut world = World::new("", None);
    world.answer(Family::V6, "");
    world.answer(Family::V4, &(1..=20).map(|n| format!("10.0.0.{n} ")).collect::<String>());
    world.pass(1000);
    assert_eq!(world.tried[4], (550, ip("10.0.0.5")));
    assert!(world.tried.len() <= ATTEMPTS_MAX, "sockets at once are bounded");
}

#[test]
fn a_refusal_is_followed_by_the_next_address_at_once() {
    let mut world = World::new("", None);
    world.answer(Family::V6, "fd00::1");
    world.answer(Family::V4, "10.0.0.1");
    world.pass(10);
    world.race.handle_failure(world.now);
    world.take();
    assert_eq!(world.tried(), "0 fd00::1, 10 10.0.0.1");
    world.race.handle_failure(world.now);
    assert!(world.race.is_over());
}

#[rstest]
#[case::the_answer_about_ipv6_comes_a_little_later(30, "30 fd00::1, 280 10.0.0.1")]
#[case::it_comes_too_late(80, "50 10.0.0.1, 300 fd00::1")]
fn ipv4_waits_a_moment_for_ipv6(#[case] v6_ms: u64, #[case] tried: &str) {
    let mut world = World::new("", None);
    world.answer(Family::V4, "10.0.0.1");
    world.pass(v6_ms);
    world.answer(Family::V6, "fd00::1");
    world.pass(1000);
    assert_eq!(world.tried(), tried);
}

#[test]
fn a_question_that_is_never_answered_does_not_hold_the_other_family() {
    let mut world = World::new("", None);
    world.answer(Family::V4, "10.0.0.1");
    world.pass(2000);
    assert_eq!(world.tried(), "50 10.0.0.1");
    world.race.handle_failure(world.now);
    assert!(world.race.is_over(), "the name has had its time");
}

#[test]
fn an_address_that_worked_last_is_tried_first() {
    let mut world = World::new("", Some("10.0.0.2"));
    world.answer(Family::V4, "10.0.0.1 10.0.0.2");
    world.answer(Family::V6, "fd00::1");
    world.pass(1000);
    assert_eq!(world.tried(), "0 10.0.0.2, 250 fd00::1, 350 10.0.0.1");
}

#[test]
fn what_is_remembered_is_tried_when_both_questions_fail() {
    let mut world = World::new("10.0.0.9 fd00::9", None);
    world.fail_question(Family::V4);
    world.fail_question(Family::V6);
    world.pass(300);
    assert_eq!(world.tried(), "0 fd00::9, 250 10.0.0.9");
}

#[test]
fn what_is_remembered_is_tried_when_no_answer_comes_soon() {
    let mut world = World::new("10.0.0.9", None);
    world.pass(299);
    assert_eq!(world.tried(), "");
    world.pass(1);
    assert_eq!(world.tried(), "300 10.0.0.9");
    world.answer(Family::V4, "10.0.0.9 10.0.0.10");
    world.pass(1000);
    assert_eq!(world.tried(), "300 10.0.0.9, 550 10.0.0.10");
}

#[test]
fn a_name_without_an_answer_ends_the_race_by_its_own_deadline() {
    let mut world = World::new("", None);
    world.pass(1499);
    assert!(!world.race.is_over());
    world.pass(1);
    assert!(world.race.is_over());
    let waited = NAME_DEADLINE;
    assert_eq!(world.race.error("a.test"), Error::NameTimeout { name: "a.test".into(), waited });
}

#[test]
fn a_name_that_cannot_be_resolved_says_why() {
    let mut world = World::new("", None);
    world.fail_question(Family::V6);
    world.fail_question(Family::V4);
    assert!(world.race.is_over());
    assert_eq!(world.race.error("a.test").to_string(), "the name a.test cannot be resolved: SERVFAIL");
}

#[rstest]
#[case::ipv4("127.0.0.1")]
#[case::ipv6_as_in_a_url("[::1]")]
#[case::ipv6("::1")]
#[case::a_name("localhost")]
#[tokio::test]
async fn a_listener_is_reached_by_literal_and_by_name(#[case] host: &str) {
    let (v4, v6) =
        (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), std::net::TcpListener::bind("[::1]:0"));
    let listener = if host.contains(':') { v6.unwrap() } else { v4 };
    let port = listener.local_addr().unwrap().port();
    let tcp = connect(Names::shared(), host, port, NAME_DEADLINE).await.unwrap();
    assert_eq!(tcp.peer_addr().unwrap().port(), port);
}

#[tokio::test]
async fn a_name_whose_first_address_refuses_is_reached_by_its_second() {
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Names::new(|_, family| match family {
        Family::V4 => Ok(vec![ip("127.0.0.3"), ip("127.0.0.2")]),
        Family::V6 => Err(io::Error::other("no such record")),
    });
    let tcp = connect(&names, "two.test", port, NAME_DEADLINE).await.unwrap();
    assert_eq!(tcp.peer_addr().unwrap().ip(), ip("127.0.0.2"));
    assert_eq!(names.good("two.test"), Some(ip("127.0.0.2")));
}
