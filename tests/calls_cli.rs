//! `patchcord calls` as a person and a script meet it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod log;
mod postgres;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use log::{Call, Kind, Log};
use postgres::PATIENCE;
use rstest::rstest;
use serde_json::Value;

/// The program, asking this log.
fn calls(log: &Log, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
    command.arg("calls").args(arguments).env_remove("PATCHCORD_CONFIG").env_remove("DATABASE_URL");
    match log.url() {
        Some(url) => command.env("DATABASE_URL", url),
        None => command.arg("--db").arg(log.path()),
    };
    command.current_dir(log.path().parent().unwrap());
    command
}

/// A program that does not outlive the test, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[rstest]
#[case::calls(&["calls", "--db"])]
#[case::one_call(&["calls", "show", "CA0", "--db"])]
#[case::figures(&["calls", "stats", "--db"])]
#[case::replay(&["replay", "CA0", "--db"])]
fn a_url_in_the_place_of_a_file_is_refused_without_its_password(#[case] arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
    command.args(arguments).arg("postgres://u:hunter2@db.example/calls").env_remove("PATCHCORD_CONFIG");
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("DATABASE_URL"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_log_is_asked_for_tables_json_and_csv(#[case] kind: Kind) {
    let agent = "=1+1, \"x\"\u{1b}[2J".to_owned();
    let filled = [Call::new(1, 0), Call { agent, had_fallback: true, ..Call::new(2, 1) }];
    let log = Log::with(kind, &filled).await;
    let ask = |arguments: &[&str]| text(&calls(&log, arguments).output().unwrap());

    let table = ask(&["--had-fallback"]);
    assert!(table.contains(&filled[1].sid()) && !table.contains(&filled[0].sid()), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");

    let page: Value = serde_json::from_str(&ask(&["--json", "--limit", "1"])).unwrap();
    assert_eq!(page["calls"][0]["call_id"], filled[1].id());
    let next: Value =
        serde_json::from_str(&ask(&["--json", "--cursor", page["next"].as_str().unwrap()])).unwrap();
    assert_eq!((&next["calls"][0]["call_id"], &next["next"]), (&filled[0].id().into(), &Value::Null));

    let csv = ask(&["--csv", "--search", "good morning"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let agents: Vec<_> = reader.records().map(|row| row.unwrap()[6].to_owned()).collect();
    assert_eq!(agents, ["'=1+1, \"x\"\\u{1b}[2J", "reception"]);

    let stats: Value = serde_json::from_str(&ask(&["stats", "--json", "--since", "2026-11-01"])).unwrap();
    assert_eq!(stats["total"]["calls"], 2);
    assert!(ask(&["stats"]).contains("50.0 %"));
    assert!(ask(&["stats", "--csv"]).starts_with("by,name,calls,"));
    assert!(ask(&["show", &filled[0].sid()]).contains("Good morning."));
    assert_eq!(ask(&["--agent", "nobody"]), "No such calls.\n");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn csv_has_every_call_once_and_ends_where_its_reader_does(#[case] kind: Kind) {
    let calls_of = |number: u32| Call { agent: format!("a {}", number % 2), ..Call::new(number, number) };
    let log = Log::with(kind, &(1..=450).map(calls_of).collect::<Vec<_>>()).await;
    let ids = |arguments: &[&str]| {
        let csv = text(&calls(&log, arguments).output().unwrap());
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let ids: Vec<_> = reader.records().map(|row| row.unwrap()[1].to_owned()).collect();
        ids
    };
    let newest = |count: u32| (1..=450).rev().take(count as usize).map(|it| Call::new(it, 0).id());
    assert_eq!(ids(&["--csv"]), newest(450).collect::<Vec<_>>());
    assert_eq!(ids(&["--csv", "--limit", "250"]), newest(250).collect::<Vec<_>>());
    assert_eq!(ids(&["--csv", "--limit", "200"]), newest(200).collect::<Vec<_>>());
    assert_eq!(ids(&["--csv", "--limit", "1"]), newest(1).collect::<Vec<_>>());
    assert_eq!(ids(&["--csv", "--agent", "a 1"]).len(), 225);
    assert_eq!(ids(&["--csv", "--search", "good morning"]).len(), 450);
    assert_eq!(ids(&["--csv", "--agent", "nobody"]), Vec::<String>::new());

    let mut program = calls(&log, &["--csv"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[rstest]
#[case(&["--csv", "--limit", "0"], "--limit: not a number of calls")]
#[case(&["--limit", "201"], "--limit: not a number of calls")]
#[case(&["--since", "yesterday"], "--since: not a time")]
#[case(&["--ending", "bored"], "known endings are caller_hung_up")]
#[case(&["--search", "?!"], "--search: no word")]
#[case(&["--limit", "0"], "--limit: not a number of calls")]
#[case(&["--cursor", "x"], "--cursor: not a cursor")]
#[case(&["show", "CA0"], "has no call with the SID or id CA0")]
#[tokio::test]
async fn what_cannot_be_asked_is_told_with_what_can(#[case] arguments: &[&str], #[case] message: &str) {
    let log = Log::new(Kind::Sqlite).await;
    let output = calls(&log, arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(message), "{error}");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn calls_are_followed_as_they_begin_and_end(#[case] kind: Kind) {
    let going_on = Call { ending: None, ..Call::new(1, 0) };
    let log = Log::with(kind, std::slice::from_ref(&going_on)).await;
    let program = calls(&log, &["--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut program = Killed(program);
    let (lines, mut received) = tokio::sync::mpsc::unbounded_channel();
    let output = BufReader::new(program.0.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
        let call: Value = serde_json::from_str(&line).unwrap();
        (call["call_id"].as_str().unwrap().to_owned(), call["ending"].as_str().map(str::to_owned))
    };
    assert_eq!(next().await, (going_on.id(), None));
    let begun = Call { ending: None, ..Call::new(2, 90) };
    log.fill(std::slice::from_ref(&begun)).await;
    let mut seen = vec![next().await, next().await];
    // The process that wrote the log is gone: a file's calls are ended when the next one opens it.
    if kind == Kind::Sqlite {
        assert_eq!(seen.remove(0), (going_on.id(), Some("process_died".to_owned())));
        assert_eq!(seen.remove(0).0, begun.id());
    } else {
        seen.sort();
        assert_eq!(seen[1], (begun.id(), None));
    }
}

#[tokio::test]
async fn the_log_is_named_before_a_subcommand_or_after_it() {
    let call = Call::new(1, 0);
    let log = Log::with(Kind::Sqlite, std::slice::from_ref(&call)).await;
    let path = log.path().to_str().unwrap().to_owned();
    let (db, sid) = (path.as_str(), call.sid());
    let ways: [&[&str]; 6] = [
        &["--db", db, "show", &sid],
        &["show", "--db", db, &sid],
        &["show", &sid, "--db", db],
        &["--db", db, "--json", "show", &sid],
        &["--db", db, "stats"],
        &["stats", "--db", db, "--csv"],
    ];
    for way in ways {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
        command.arg("calls").args(way).env_remove("PATCHCORD_CONFIG").env_remove("DATABASE_URL");
        let said = text(&command.output().unwrap());
        assert!(said.contains(&sid) || said.contains("reception"), "{way:?}: {said}");
    }
    // What is of the list has no meaning for one call.
    let output = calls(&log, &["--since", "2h", "show", &sid]).output().unwrap();
    assert!(!output.status.success());
}
