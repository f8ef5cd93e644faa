//! Files that are not the log, and files that cannot be written.

use rstest::rstest;
use sqlx::ConnectOptions as _;

use super::*;

async fn database(path: &Path, statement: &str) {
    let mut other = sqlite::options(path).connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[rstest]
#[case::text("[server]\npublic_url = \"https://voice.example.com\"\n", "")]
#[case::long_text(&"a line of some text\n".repeat(1000), "")]
#[case::one_byte("x", "")]
#[case::another_programs_database(
    "",
    "CREATE TABLE contacts (name TEXT); INSERT INTO contacts VALUES ('Ann')"
)]
#[case::that_has_calls_too("", "CREATE TABLE calls (id TEXT)")]
#[case::of_the_same_library(
    "",
    "CREATE TABLE _sqlx_migrations (version BIGINT); CREATE TABLE users (id TEXT)"
)]
#[tokio::test]
async fn a_file_of_another_program_is_refused_and_not_changed(#[case] text: &str, #[case] statement: &str) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other");
    fs::write(&path, text).unwrap();
    if !statement.is_empty() {
        database(&path, statement).await;
    }
    let before = fs::read(&path).unwrap();
    for result in [refuse_foreign(&path).await, Store::open(&path).await.map(|_| ()), migrate(&path).await] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("is not a call log of patchcord"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[rstest]
#[case::empty_file(None)]
#[case::empty_database(Some("PRAGMA user_version = 0; VACUUM"))]
#[case::begun(Some("CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL)"))]
#[tokio::test]
async fn a_log_that_was_just_begun_is_used(#[case] statement: Option<&str>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("begun.db");
    fs::write(&path, "").unwrap();
    if let Some(statement) = statement {
        database(&path, statement).await;
    }
    refuse_foreign(&path).await.unwrap();
    Store::open(&path).await.unwrap().close().await.unwrap();
    assert_eq!(inspect::identify(&path).await.unwrap(), inspect::State::Ready { version: sqlite::schema() });
}

#[rstest]
#[case::disk_full(13, Some(Away::DiskFull))]
#[case::io(10, Some(Away::Unwritable))]
#[case::beyond_a_limit_of_size(778, Some(Away::Unwritable))]
#[case::the_shared_memory(4874, Some(Away::Unwritable))]
#[case::busy(5, Some(Away::Locked))]
#[case::busy_recovery(261, Some(Away::Locked))]
#[case::read_only(8, None)]
#[case::corrupt(11, None)]
#[case::cannot_open(14, None)]
#[case::no_database(26, None)]
fn a_reason_that_may_pass_is_told_from_one_that_does_not(#[case] code: i32, #[case] away: Option<Away>) {
    assert_eq!(sqlite::away_by(code), away);
}

#[test]
fn why_the_log_is_away_is_in_its_health() {
    let (handle, _lines) = Handle::pair(4);
    let shown = |handle: &Handle| serde_json::to_value(handle.health()).unwrap();
    assert_eq!(shown(&handle), json!({"is_away": false, "waiting": 0, "aside_bytes": 0, "lost": 0}));
    for (away, cause) in
        [(Away::Locked, "locked"), (Away::DiskFull, "disk_full"), (Away::Unwritable, "unwritable")]
    {
        handle.tally.set_away(Some(away));
        assert_eq!(shown(&handle)["cause"], cause);
    }
}
