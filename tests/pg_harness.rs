//! The PostgreSQL of the tests: each test has its own, it fails as it is told, and nothing is left of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod postgres;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use postgres::cluster::parent;
use postgres::{Cluster, Database, Fsync, PATIENCE};
use rstest::rstest;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

/// Long enough for any answer of a server that runs.
const MOMENT: Duration = Duration::from_millis(500);

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("postgres")).await.unwrap()
}

async fn put(connection: &mut PgConnection, row: i64) {
    sqlx::raw_sql("CREATE TABLE numbers (number BIGINT)").execute(&mut *connection).await.unwrap();
    sqlx::query("INSERT INTO numbers VALUES ($1)").bind(row).execute(connection).await.unwrap();
}

async fn numbers(connection: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT number FROM numbers").fetch_all(connection).await
}

#[rstest]
#[case(1)]
#[case(2)]
#[tokio::test]
async fn tests_at_the_same_time_do_not_see_each_others_tables(#[case] number: i64) {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    put(&mut connection, number).await;
    assert_eq!(numbers(&mut connection).await.unwrap(), [number]);
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_if_it_was_in_use() {
    let cluster = Cluster::start();
    let database = Database::create_at(&cluster.url("postgres")).await;
    let in_use = database.connect().await;
    drop(database);
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'test_%'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut connect(&cluster).await).await.unwrap();
    assert_eq!(left, 0);
    drop(in_use);
}

#[rstest]
#[case::with_fsync(Fsync::On, "on")]
#[case::without(Fsync::Off, "off")]
#[tokio::test]
async fn committed_rows_survive_a_crash(#[case] fsync: Fsync, #[case] setting: &str) {
    let cluster = Cluster::start_with(fsync);
    let mut connection = connect(&cluster).await;
    let set: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await.unwrap();
    assert_eq!(set, setting);
    put(&mut connection, 7).await;

    let pids = cluster.pids();
    cluster.kill();
    assert!(pids.len() > 3, "a server, its helpers and a connection: {pids:?}");
    assert!(pids.iter().all(|pid| parent(*pid).is_none()));
    numbers(&mut connection).await.expect_err("the connection is lost");
    PgConnection::connect(&cluster.url("postgres")).await.expect_err("nobody is there");

    cluster.restart();
    assert_eq!(numbers(&mut connect(&cluster).await).await.unwrap(), [7]);
}

#[tokio::test]
async fn an_orderly_stop_ends_connections_and_keeps_rows() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster).await;
    put(&mut connection, 7).await;
    cluster.stop();
    numbers(&mut connection).await.expect_err("the connection is lost");
    cluster.restart();
    assert_eq!(numbers(&mut connect(&cluster).await).await.unwrap(), [7]);
}

#[tokio::test]
async fn a_server_that_hangs_answers_neither_old_nor_new_connections_until_it_goes_on() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster).await;
    put(&mut connection, 7).await;

    cluster.stop_silently();
    let url = cluster.url("postgres");
    timeout(MOMENT, PgConnection::connect(&url)).await.expect_err("a new connection hangs");
    let mut answer = Box::pin(numbers(&mut connection));
    timeout(MOMENT, &mut answer).await.expect_err("a query hangs");

    cluster.resume();
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap(), [7]);
}

#[tokio::test]
async fn a_wiped_cluster_comes_back_at_the_same_url_with_nothing() {
    let cluster = Cluster::start();
    put(&mut connect(&cluster).await, 7).await;
    cluster.stop_silently();
    cluster.wipe();
    numbers(&mut connect(&cluster).await).await.expect_err("there is no such table");
}

#[rstest]
#[case::killed(Cluster::kill)]
#[case::hanging(Cluster::stop_silently)]
#[case::in_a_test_that_failed(|_: &Cluster| panic!("as a test that fails"))]
fn nothing_is_left_of_a_cluster_that_was_dropped(#[case] last: fn(&Cluster)) {
    let cluster = Cluster::start();
    let left = Left::of(&cluster);
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let cluster = cluster;
        last(&cluster);
    }));
    left.assert_nothing();
}

/// This program runs itself as another process, which waits to be killed.
#[test]
fn nothing_is_left_of_a_cluster_whose_process_was_killed() {
    const VICTIM: &str = "PATCHCORD_TEST_VICTIM";
    if env::var_os(VICTIM).is_some() {
        let cluster = Cluster::start();
        writeln!(std::io::stdout(), "\nleft {}", Left::of(&cluster).0.join(" ")).unwrap();
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        panic!("nobody killed it");
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "nothing_is_left_of_a_cluster_whose_process_was_killed", "--nocapture"]);
    command.env(VICTIM, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut victim = command.spawn().unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap());
    let mut lines = output.by_ref().lines().map(Result::unwrap);
    let left = lines.find_map(|line| line.strip_prefix("left ").map(str::to_owned)).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();

    // The one is held by the server's processes, the other by the keeper.
    let mut both = output.chain(victim.stderr.take().unwrap());
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(both.read_to_end(&mut Vec::new()).is_ok()));
    assert!(ended.recv_timeout(PATIENCE).unwrap());
    Left(left.split(' ').map(str::to_owned).collect()).assert_nothing();
}

/// What could be left of a cluster: its folder, its shared memory and its processes.
struct Left(Vec<String>);

impl Left {
    fn of(cluster: &Cluster) -> Self {
        let folder = cluster.folder().to_str().unwrap().to_owned();
        // https://www.postgresql.org/docs/15/storage-file-layout.html: "shared memory segment ID"
        let file = fs::read_to_string(cluster.folder().join("data/postmaster.pid")).unwrap();
        let segment = file.lines().nth(6).and_then(|line| line.split_whitespace().last()).unwrap().to_owned();
        let pids = cluster.pids().into_iter().map(|pid| pid.to_string());
        Self([folder, segment].into_iter().chain(pids).collect())
    }

    #[track_caller]
    fn assert_nothing(&self) {
        let [folder, segment, pids @ ..] = &*self.0 else { panic!("{:?}", self.0) };
        assert!(!Path::new(folder).exists(), "{folder} is left");
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let is_left = segments.lines().any(|line| line.split_whitespace().nth(1) == Some(segment));
        assert!(!is_left, "shared memory {segment} is left");
        let left: Vec<_> = pids.iter().filter(|pid| parent(pid.parse().unwrap()).is_some()).collect();
        assert!(pids.len() > 3 && left.is_empty(), "{left:?} of {pids:?} still run");
    }
}
