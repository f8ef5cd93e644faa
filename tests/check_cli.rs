//! `patchcord check` as an operator meets it: what it finds of the call log, and what it never prints.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod postgres;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use patchcord::secret::Secret;
use patchcord::store::postgres::Target;
use postgres::Cluster;
use rstest::rstest;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A folder with a configuration that is right.
struct Scene {
    folder: TempDir,
    /// More of the configuration.
    more: String,
    database_url: Option<String>,
}

/// What the program printed and whether it succeeded.
struct Checked {
    text: String,
    is_fine: bool,
}

impl Scene {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), more: String::new(), database_url: None }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    async fn with_log(self) -> Self {
        patchcord::store::migrate(&self.log()).await.unwrap();
        self
    }

    async fn connect(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.log()).connect().await.unwrap()
    }

    fn check(&self) -> Checked {
        let file = self.folder.path().join("patchcord.toml");
        let text = format!(
            "store.path = \"log.db\"\nserver.listen = \"127.0.0.1:0\"\n\
             live.endpoint = \"ws://127.0.0.1:1\"\n{}\n",
            self.more
        );
        let text = if text.contains("public_url") {
            text
        } else {
            format!("server.public_url = \"https://voice.example.com\"\n{text}")
        };
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
        command.args(["check", "--config"]).arg(file).current_dir(self.folder.path()).env_clear();
        command.env("TWILIO_AUTH_TOKEN", "token").env("GEMINI_API_KEY", "key");
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        Checked { text, is_fine: output.status.success() }
    }
}

#[tokio::test]
async fn a_log_that_is_there_is_no_finding_and_stays_as_it_is() {
    let scene = Scene::new().with_log().await;
    let before = fs::read(scene.log()).unwrap();
    let checked = scene.check();
    assert!(checked.is_fine && !checked.text.contains("store.path"), "{}", checked.text);
    assert_eq!(fs::read(scene.log()).unwrap(), before);
    let beside: Vec<_> =
        fs::read_dir(scene.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().ends_with("-wal")), "{beside:?}");
}

#[rstest]
#[case::newer(
    "INSERT INTO _sqlx_migrations SELECT 9999, 'of the future', installed_on, success, checksum, execution_time FROM _sqlx_migrations LIMIT 1",
    "newer version",
    false
)]
#[case::foreign("DROP TABLE _sqlx_migrations", "is not a call log", false)]
#[case::older("DELETE FROM _sqlx_migrations WHERE version > 3", "brings it up to date", true)]
#[tokio::test]
async fn what_the_schema_of_the_file_is_is_told(
    #[case] statement: &'static str,
    #[case] words: &str,
    #[case] is_fine: bool,
) {
    let scene = Scene::new().with_log().await;
    let mut file = scene.connect().await;
    sqlx::raw_sql(statement).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    let checked = scene.check();
    assert!(checked.text.contains(words) && checked.is_fine == is_fine, "{}", checked.text);
}

#[tokio::test]
async fn a_lock_of_another_program_is_a_warning() {
    let scene = Scene::new().with_log().await;
    let mut file = scene.connect().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut file).await.unwrap();
    let checked = scene.check();
    assert!(checked.is_fine && checked.text.contains("holds a lock"), "{}", checked.text);
}

#[rstest]
#[case::text(
    "this is no database, but it is longer than a header has to be, so that it is read as one at all......"
)]
#[case::of_another_program("SQLite format 3")]
fn a_file_that_is_no_log_is_an_error(#[case] text: &str) {
    let scene = Scene::new();
    fs::write(scene.log(), text.repeat(50)).unwrap();
    let checked = scene.check();
    assert!(!checked.is_fine && checked.text.contains("is not a call log"), "{}", checked.text);
}

#[rstest]
#[case::refused("postgres://u:hunter2@127.0.0.1:1/calls", "was refused")]
#[case::no_such_host("postgres://u:hunter2@no-such-host.invalid/calls", "no such host")]
#[case::no_socket("postgres://u:hunter2@%2Fnowhere/calls", "no such socket")]
#[case::unescaped("postgres://u:hunter2/x@127.0.0.1:1/calls", "%2F")]
#[case::not_postgres("mysql://u:hunter2@127.0.0.1:1/calls", "does not begin with postgres://")]
fn a_postgres_that_cannot_be_reached_is_an_error_with_its_cause(#[case] url: &str, #[case] words: &str) {
    let mut scene = Scene::new();
    scene.database_url = Some(url.to_owned());
    let checked = scene.check();
    assert!(!checked.is_fine && checked.text.contains(words), "{}", checked.text);
    assert!(!checked.text.contains("hunter2"), "{}", checked.text);
}

#[tokio::test]
async fn a_postgres_is_asked_for_its_version_schema_and_rights() {
    let cluster = Cluster::start();
    let url = cluster.url("postgres");
    let mut scene = Scene::new();
    scene.database_url = Some(url.clone());
    let checked = scene.check();
    assert!(checked.is_fine && checked.text.contains("no tables yet"), "{}", checked.text);

    // A user who may connect, and no more.
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let made = "CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM public";
    sqlx::raw_sql(made).execute(&mut owner).await.unwrap();
    scene.database_url = Some(url.replace("patchcord@", "guest@"));
    let checked = scene.check();
    assert!(!checked.is_fine && checked.text.contains("may not create tables"), "{}", checked.text);

    Target::parse(&Secret::new(url.as_str())).unwrap().open().await.unwrap().close().await.unwrap();
    let checked = scene.check();
    assert!(!checked.is_fine && checked.text.contains("may not read and write"), "{}", checked.text);

    let future = "INSERT INTO _sqlx_migrations VALUES (9999, 'x', now(), true, '', 0)";
    sqlx::raw_sql(future).execute(&mut owner).await.unwrap();
    scene.database_url = Some(url);
    let checked = scene.check();
    assert!(!checked.is_fine && checked.text.contains("newer version"), "{}", checked.text);
}

#[rstest]
#[case::key("[[fallback.llm]]\nkind = \"openai\"\nkey_env = \"sk-proj-hunter2hunter2hunter2\"")]
#[case::hexadecimal("[[fallback.llm]]\nkind = \"openai\"\nkey_env = \"hunter20123456789abcdef0123456789\"")]
#[case::public_url("server.public_url = \"https://user:hunter2@voice.example.com\"")]
#[case::endpoint(
    "live.endpoints = [{ kind = \"developer\", endpoint = \"wss://user:hunter2@live.example.com\" }]"
)]
#[case::query(
    "live.endpoints = [{ kind = \"developer\", endpoint = \"wss://live.example.com?key=hunter2\" }]"
)]
#[case::service(
    "[[fallback.llm]]\nkind = \"openai\"\nendpoint = \"https://user:hunter2@llm.example.com/v1\""
)]
fn a_secret_in_the_wrong_place_is_not_printed(#[case] more: &str) {
    let mut scene = Scene::new();
    scene.more = more.to_owned();
    let checked = scene.check();
    assert!(!checked.text.contains("hunter2"), "{}", checked.text);
}
