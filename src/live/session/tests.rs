//! Stories of live sessions.

use rstest::rstest;

use super::*;

/// A session and its clock. Connections are released as soon as they are closed, unless a story says otherwise.
struct World {
    session: Session,
    start: Instant,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::with_endpoints(1)
    }

    /// The call has a fallback.
    fn with_endpoints(endpoints: usize) -> Self {
        Self::with(endpoints, true)
    }

    /// The call has nothing else.
    fn alone(endpoints: usize) -> Self {
        Self::with(endpoints, false)
    }

    fn with(endpoints: usize, has_other_tier: bool) -> Self {
        let start = Instant::now();
        let config = Config { endpoints, has_other_tier, ..Config::default() };
        Self { session: Session::new(config, LinkId(1), 7, start), start, now: start }
    }

    /// Set up by its first connection, which has issued the handle `h1`.
    fn ready() -> Self {
        let mut world = Self::new();
        world.set_up();
        world.handle("h1");
        world.changes();
        world
    }

    fn event(&mut self, event: &Event<'_>) {
        self.session.handle_event(self.session.link(), event, self.now);
    }

    fn set_up(&mut self) {
        self.event(&Event::Opened);
        self.event(&Event::SetupComplete { session_id: None });
    }

    fn handle(&mut self, handle: &str) {
        self.event(&Event::Resumption { handle: Some(handle), resumable: true, consumed: None });
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.event(&Event::Closed(Failure::Closed { code, reason: reason.to_owned() }));
    }

    /// The upgrade is refused, with a wait if the service asks for one.
    fn refuse(&mut self, status: u16, retry_after_ms: Option<u64>) {
        self.event(&Event::Closed(Failure::Refused { status, retry_after_ms }));
    }

    /// When the next attempt is made, milliseconds from now; `None`: none is.
    fn next_dial_ms(&mut self) -> Option<u128> {
        let at = self.session.poll_timeout()?;
        let ms = (at - self.now).as_millis();
        self.pass(ms as u64 + 1);
        self.changes().last().is_some_and(|change| change.starts_with("dial")).then_some(ms)
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// What happened, in short.
    fn changes(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_change()).map(|change| short(&change)).collect()
    }
}

fn plan_name(plan: &Plan) -> String {
    match plan {
        Plan::Resume(handle) => format!("resume({handle})"),
        Plan::Fresh | Plan::Reduced => plan.code().to_owned(),
    }
}

fn short(change: &Change) -> String {
    match change {
        Change::Dial { link, endpoint, plan, attempt, is_last_tier } => {
            let last = if *is_last_tier { ", last tier" } else { "" };
            format!("dial {link} at {endpoint}: {} #{attempt}{last}", plan_name(plan))
        }
        Change::Opened { link, .. } => format!("opened {link}"),
        Change::Ready { link, plan, .. } => format!("ready {link}: {}", plan_name(plan)),
        Change::Handle(handle) => format!("handle {handle}"),
        Change::Close(link) => format!("close {link}"),
        Change::Abort(link) => format!("abort {link}"),
        Change::Lost { link, cause, verdict, next, .. } => {
            let next = next.as_ref().map_or_else(|| "none".to_owned(), |(_, plan)| plan_name(plan));
            format!("lost {link} {}: {}, next {next}", cause.code(), verdict.code())
        }
        Change::Moved { link, plan } => format!("moved {link}: {}", plan_name(plan)),
        Change::Over { cause, .. } => format!("over {}", cause.code()),
    }
}

#[test]
fn a_session_is_dialled_set_up_and_ready() {
    let mut world = World::new();
    assert_eq!(world.changes(), ["dial 1 at 0: fresh #1"]);
    world.event(&Event::SetupComplete { session_id: None });
    assert_eq!(world.changes(), [] as [&str; 0], "nothing is confirmed before it was asked");
    world.event(&Event::Opened);
    assert!(!world.session.is_ready());
    world.pass(800);
    world.event(&Event::SetupComplete { session_id: None });
    assert_eq!(world.changes(), ["opened 1", "ready 1: fresh"]);
    assert!(world.session.is_ready());
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn a_lost_session_is_resumed_at_once_with_its_newest_handle() {
    let mut world = World::ready();
    world.handle("h2");
    world.session.complete_turn();
    world.event(&Event::Resumption { handle: None, resumable: false, consumed: None });
    world.close(1011, "Internal error");
    assert_eq!(
        world.changes(),
        ["handle h2", "lost 1 closed: resume, next resume(h2)", "dial 2 at 0: resume(h2) #1"],
        "an older handle is better than none"
    );
    world.set_up();
    assert_eq!(world.changes(), ["opened 2", "ready 2: resume(h2)"]);
}

#[test]
fn a_loss_before_any_completed_turn_is_retried_after_a_pause() {
    let mut world = World::ready();
    world.close(1006, "");
    assert_eq!(world.changes(), ["lost 1 closed: resume, next resume(h1)"]);
    world.pass(250);
    assert_eq!(world.changes(), ["dial 2 at 0: resume(h1) #2"]);
}

#[test]
fn a_session_that_held_for_a_while_is_dialled_again_at_once() {
    let mut world = World::ready();
    world.pass(1000);
    world.close(1006, "");
    assert_eq!(world.changes(), ["lost 1 closed: resume, next resume(h1)", "dial 2 at 0: resume(h1) #2"]);
}

#[test]
fn events_of_an_older_connection_change_nothing() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.close(1006, "");
    world.changes();
    let gone = Event::Closed(Failure::Closed { code: 1006, reason: String::new() });
    world.session.handle_event(LinkId(1), &gone, world.now);
    world.session.handle_event(LinkId(1), &Event::Opened, world.now);
    assert_eq!(world.changes(), [] as [&str; 0]);
}

#[test]
fn a_rejected_handle_is_dropped_and_never_used_again() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.close(1006, "");
    world.event(&Event::Opened);
    world.close(1007, "Invalid session handle");
    world.pass(1000);
    world.set_up();
    world.session.complete_turn();
    world.close(1006, "");
    world.pass(1000);
    let changes = world.changes();
    assert_eq!(
        changes,
        [
            "lost 1 closed: resume, next resume(h1)",
            "dial 2 at 0: resume(h1) #1",
            "opened 2",
            "lost 2 closed: fresh, next fresh",
            "dial 3 at 0: fresh #2",
            "opened 3",
            "ready 3: fresh",
            "lost 3 closed: resume, next fresh",
            "dial 4 at 0: fresh #1",
        ]
    );
}

#[test]
fn a_handle_whose_session_dies_again_at_once_is_poisoned() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.close(1011, "The service is currently unavailable.");
    world.set_up();
    world.pass(10_000);
    world.changes();
    world.close(1011, "The service is currently unavailable.");
    world.pass(1000);
    assert_eq!(world.changes(), ["lost 2 closed: resume, next fresh", "dial 3 at 0: fresh #2"]);
}

#[test]
fn two_failed_resumes_give_the_handle_up() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.close(1006, "");
    world.event(&Event::Closed(Failure::refused(503)));
    world.pass(1000);
    world.event(&Event::Closed(Failure::refused(503)));
    world.pass(1000);
    let changes = world.changes();
    assert_eq!(
        changes[2..],
        [
            "lost 2 refused: resume, next resume(h1)",
            "dial 3 at 0: resume(h1) #2",
            "lost 3 refused: resume, next fresh",
            "dial 4 at 0: fresh #3",
        ]
    );
}

#[test]
fn three_attempts_and_the_next_rung() {
    let mut world = World::new();
    for _ in 0..3 {
        world.event(&Event::Closed(Failure::refused(503)));
        world.pass(1000);
    }
    assert_eq!(
        world.changes(),
        [
            "dial 1 at 0: fresh #1",
            "lost 1 refused: resume, next fresh",
            "dial 2 at 0: fresh #2",
            "lost 2 refused: resume, next fresh",
            "dial 3 at 0: fresh #3",
            "lost 3 refused: resume, next none",
            "over refused",
        ]
    );
    assert_eq!(world.session.poll_timeout(), None);
}

/// A session that passes its setup every time and never works does not go round for ever.
#[test]
fn a_setup_that_is_confirmed_does_not_count_as_success() {
    let mut world = World::new();
    for _ in 0..3 {
        world.set_up();
        world.close(1011, "Internal error");
        world.pass(1000);
    }
    let changes = world.changes();
    let rungs: Vec<_> = changes.iter().filter(|change| change.contains("lost")).map(String::as_str).collect();
    assert_eq!(
        rungs,
        [
            "lost 1 closed: resume, next fresh",
            "lost 2 closed: fresh, next reduced",
            "lost 3 closed: fatal, next none",
        ]
    );
}

#[rstest]
#[case(Failure::refused(401), "fatal")]
#[case(Failure::refused(429), "wait")]
#[case(Failure::BreakerOpen, "wait")]
fn what_cannot_be_healed_by_trying_goes_to_the_next_endpoint(
    #[case] failure: Failure,
    #[case] verdict: &str,
) {
    let mut world = World::with_endpoints(2);
    world.changes();
    world.event(&Event::Closed(failure.clone()));
    let code = failure.code();
    assert_eq!(
        world.changes(),
        [format!("lost 1 {code}: {verdict}, next fresh"), "dial 2 at 1: fresh #1".to_owned()]
    );
    world.event(&Event::Closed(failure));
    assert_eq!(world.changes(), [format!("lost 2 {code}: {verdict}, next none"), format!("over {code}")]);
}

#[test]
fn a_setup_that_is_never_confirmed_is_given_up_and_the_next_dial_waits_for_the_release() {
    let mut world = World::with_endpoints(2);
    world.event(&Event::Opened);
    world.changes();
    world.pass(2499);
    assert_eq!(world.changes(), [] as [&str; 0]);
    world.pass(1);
    assert_eq!(world.changes(), ["abort 1", "lost 1 setup_timeout: fatal, next fresh"]);
    world.event(&Event::Released);
    assert_eq!(world.changes(), ["dial 2 at 1: fresh #1"]);
}

#[test]
fn a_release_that_nobody_reports_is_not_waited_for_long() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.session.fail(Failure::Mute, world.now);
    world.pass(1199);
    assert_eq!(world.changes(), ["abort 1", "lost 1 mute: resume, next resume(h1)"]);
    world.pass(1);
    assert_eq!(world.changes(), ["dial 2 at 0: resume(h1) #1"]);
}

#[test]
fn an_error_object_ends_the_connection_like_a_close() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.event(&Event::Failed(Failure::Reported { code: 503, message: String::new() }));
    world.event(&Event::Released);
    assert_eq!(
        world.changes(),
        ["abort 1", "lost 1 reported: resume, next resume(h1)", "dial 2 at 0: resume(h1) #1"]
    );
}

/// The time at which the connection is left, if there is no quiet moment before.
#[rstest]
#[case(Some(60_000), 40_000)]
#[case(Some(50_000), 33_333)]
#[case(Some(10_000), 6_666)]
#[case(Some(9_000), 6_000)]
#[case(Some(4_000), 1_000)]
#[case(Some(1_000), 0)]
#[case(Some(0), 0)]
#[case(None, 6_666)]
fn go_away_is_obeyed_in_time(#[case] left_ms: Option<u64>, #[case] moved_ms: u64) {
    let mut world = World::ready();
    world.event(&Event::GoAway { time_left: left_ms.map(Duration::from_millis) });
    assert!(world.session.is_leaving());
    let at = world.session.poll_timeout().unwrap();
    assert_eq!((at - world.start).as_millis(), u128::from(moved_ms));
    world.pass(moved_ms + 1);
    world.event(&Event::Released);
    let attempt = if moved_ms < 30_000 { 2 } else { 1 };
    let dial = format!("dial 2 at 0: resume(h1) #{attempt}");
    assert_eq!(world.changes(), ["close 1", "moved 1: resume(h1)", &dial]);
}

#[test]
fn a_quiet_moment_is_used_to_move_if_its_state_can_be_resumed() {
    let mut world = World::ready();
    world.session.handle_quiet(world.now);
    assert_eq!(world.changes(), [] as [&str; 0], "there is no reason to move");
    world.event(&Event::Resumption { handle: None, resumable: false, consumed: None });
    world.event(&Event::GoAway { time_left: Some(Duration::from_secs(50)) });
    world.session.handle_quiet(world.now);
    assert_eq!(world.changes(), [] as [&str; 0], "what was said last would be lost");
    world.handle("h2");
    world.session.handle_quiet(world.now);
    assert_eq!(world.changes(), ["handle h2", "close 1", "moved 1: resume(h2)"]);
    world.event(&Event::Released);
    assert_eq!(world.changes(), ["dial 2 at 0: resume(h2) #2"]);
}

#[test]
fn a_service_that_closes_before_it_is_left_is_resumed_like_any_loss() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.event(&Event::GoAway { time_left: Some(Duration::from_secs(50)) });
    world.close(1008, "The operation was aborted.");
    assert_eq!(world.changes(), ["lost 1 closed: resume, next resume(h1)", "dial 2 at 0: resume(h1) #1"]);
}

#[test]
fn a_service_that_sends_every_connection_away_is_left_for_good() {
    let mut world = World::new();
    for _ in 0..3 {
        world.set_up();
        world.event(&Event::GoAway { time_left: Some(Duration::ZERO) });
        world.pass(0);
        world.event(&Event::Released);
    }
    assert_eq!(world.changes().last().map(String::as_str), Some("over closed"));
}

#[test]
fn unconsumed_messages_of_a_transparent_session_come_back_after_the_resume() {
    let mut world = World::ready();
    world.session.complete_turn();
    world.session.keep_unconsumed();
    for n in 2..6 {
        world.session.note_sent(&Command::Text(n.to_string()));
    }
    world.event(&Event::Resumption { handle: Some("h2"), resumable: true, consumed: Some(4) });
    world.close(1006, "");
    world.event(&Event::Opened);
    world.event(&Event::SetupComplete { session_id: None });
    let changes: Vec<_> = std::iter::from_fn(|| world.session.poll_change()).collect();
    let Some(Change::Ready { unconsumed, .. }) = changes.last() else { panic!("{changes:?}") };
    assert_eq!(unconsumed, &[Command::Text("5".into())]);
}

#[test]
fn a_session_that_is_given_up_names_the_connection_to_close_and_says_no_more() {
    let mut world = World::ready();
    assert_eq!(world.session.abandon(), Some(LinkId(1)));
    world.close(1006, "");
    assert_eq!((world.session.abandon(), world.session.poll_timeout()), (None, None));
    assert_eq!(world.changes(), [] as [&str; 0]);
}

#[test]
fn without_another_tier_there_is_a_fourth_attempt_and_every_one_is_made() {
    let mut world = World::alone(1);
    for _ in 0..4 {
        world.refuse(503, None);
        world.pass(1000);
    }
    let dials: Vec<_> = world.changes().into_iter().filter(|change| !change.starts_with("lost")).collect();
    assert_eq!(
        dials,
        [
            "dial 1 at 0: fresh #1, last tier",
            "dial 2 at 0: fresh #2, last tier",
            "dial 3 at 0: fresh #3, last tier",
            "dial 4 at 0: fresh #4, last tier",
            "over refused",
        ]
    );
}

#[test]
fn without_another_tier_an_endpoint_that_was_passed_over_is_tried_after_all() {
    let mut world = World::alone(2);
    world.event(&Event::Closed(Failure::BreakerOpen));
    world.refuse(401, None);
    world.refuse(401, None);
    let changes = world.changes();
    let dials: Vec<_> = changes.iter().filter(|change| !change.starts_with("lost")).collect();
    assert_eq!(
        dials,
        [
            "dial 1 at 0: fresh #1",
            "dial 2 at 1: fresh #1, last tier",
            "dial 3 at 0: fresh #1, last tier",
            "over refused",
        ]
    );
}

/// A quota at the first dial of a call without another tier: when it is dialled once more.
#[rstest]
#[case::http_429(Failure::refused(429), 1000, 1250)]
#[case::in_two_seconds(Failure::Refused { status: 429, retry_after_ms: Some(2000) }, 2000, 2250)]
#[case::in_half_a_minute(Failure::Refused { status: 429, retry_after_ms: Some(30_000) }, 1000, 1250)]
#[case::closed(Failure::Closed { code: 1011, reason: "You exceeded your current quota".into() }, 1000, 1250)]
#[case::closed_with_a_time(Failure::Closed { code: 1008, reason: "Quota exceeded. Please retry in 3.5s.".into() }, 3500, 3750)]
#[case::reported(Failure::Reported { code: 8, message: "retryDelay: 2s".into() }, 2000, 2250)]
#[case::unavailable_for_a_while(Failure::Refused { status: 503, retry_after_ms: Some(3000) }, 3000, 3000)]
fn without_another_tier_a_quota_is_waited_for_once(
    #[case] failure: Failure,
    #[case] least_ms: u128,
    #[case] most_ms: u128,
) {
    let mut world = World::alone(1);
    world.changes();
    world.event(&Event::Closed(failure));
    let waited = world.next_dial_ms().expect("one more dial");
    assert!((least_ms..=most_ms).contains(&waited), "{waited} ms");
    world.refuse(429, None);
    let waited_again = world.next_dial_ms();
    assert!(waited_again.is_none() || least_ms == 3000, "one more, and no tight loop");
}

#[test]
fn a_quota_is_waited_for_again_after_a_completed_turn() {
    let mut world = World::alone(1);
    for _ in 0..3 {
        world.changes();
        world.refuse(429, None);
        assert!(world.next_dial_ms().is_some());
        world.set_up();
        world.session.complete_turn();
        world.pass(1000);
        world.close(1006, "");
    }
}

#[rstest]
#[case::quota(429, None, "over refused")]
#[case::quota_with_a_short_wait(429, Some(1000), "over refused")]
#[case::unavailable_for_longer(503, Some(1000), "over refused")]
#[case::unavailable_for_a_moment(503, Some(200), "dial 2 at 0: fresh #2")]
#[case::unavailable(503, None, "dial 2 at 0: fresh #2")]
fn with_a_fallback_no_wait_is_kept_that_the_caller_would_notice(
    #[case] status: u16,
    #[case] retry_after_ms: Option<u64>,
    #[case] last: &str,
) {
    let mut world = World::with_endpoints(1);
    world.refuse(status, retry_after_ms);
    world.pass(250);
    assert_eq!(world.changes().last().map(String::as_str), Some(last));
}
