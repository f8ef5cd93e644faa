//! A real PostgreSQL for tests.
//!
//! Each test makes a [`Database`] of its own: at the server that `DATABASE_URL` names, whose user must be allowed to
//! create databases; without it, at a [`Cluster`] that the tests of one program share. A test about a server that
//! fails starts a cluster of its own, with or without `DATABASE_URL`.
#![allow(dead_code, unused_imports, reason = "not every test needs all of it")]

pub(crate) mod cluster;
mod keeper;
pub(crate) mod pooler;
mod programs;

use std::env;
use std::future::Future;
use std::str::FromStr as _;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use uuid::Uuid;

pub(crate) use self::cluster::{Cluster, Fsync};

/// A test that waits longer than this has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A database with a random name, dropped at the end of its test however that ends.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn create() -> Self {
        Self::create_at(&server()).await
    }

    /// An empty one of the server at this URL.
    pub(crate) async fn create_at(server: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        order(server, format!("CREATE DATABASE {name}")).await.expect("a database can be made");
        let options = PgConnectOptions::from_str(server).unwrap().database(&name);
        Self { server: server.to_owned(), url: options.to_url_lossy().into(), name }
    }

    /// For sqlx, and for `DATABASE_URL` of a program under test.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Also if its test has left connections behind.
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // A server that has failed has taken the database with it.
        let _ = apart(move || async move { order(&server, statement).await });
    }
}

/// The URL at which databases are made.
fn server() -> String {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);

    let named = env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    named.unwrap_or_else(|| SHARED.url("postgres"))
}

async fn order(server: &str, statement: String) -> sqlx::Result<()> {
    let work = async {
        let mut connection = PgConnection::connect(server).await?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Waits on a thread with a runtime of its own, so that a test of any runtime may wait, even while it panics.
fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> std::thread::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    };
    std::thread::spawn(run).join()
}
