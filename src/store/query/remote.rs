//! Connections to Postgres that read, and a view of the log on one of them.
//!
//! A view is one transaction, and its settings end with it: a pooler in transaction mode may stand between. Why there
//! is no connection is told as it is.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Error;
use super::session::{CONNECT_TIMEOUT, CONNECTIONS};
use crate::store::postgres::Target;

/// Longer than [`super::session`] lets SQLite work, every statement may take four seconds. Compiling a plan takes
/// longer than running it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = 4000;
SET LOCAL jit = off";

#[derive(Debug)]
pub(super) struct Remote {
    target: Target,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<PgConnection>>,
}

/// A transaction that is open. Its connection is closed where it is dropped and not given back.
#[derive(Debug)]
pub(super) struct View {
    connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl View {
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Remote {
    pub(super) fn new(target: Target) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Self { target, permits, idle: Mutex::default() }
    }

    /// On an idle connection that still works, or on a new one.
    pub(super) async fn begin(&self) -> Result<View, Error> {
        let permit = timeout(CONNECT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Error::Busy) };
        while let Some(mut connection) = self.pop() {
            if begin(&mut connection).await.is_ok() {
                return Ok(View { connection, _permit: permit });
            }
        }
        let mut connection = self.target.connect(CONNECT_TIMEOUT).await.map_err(Error::Unreachable)?;
        begin(&mut connection).await?;
        Ok(View { connection, _permit: permit })
    }

    pub(super) async fn end(&self, view: View) {
        let mut connection = view.connection;
        if sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Connections that may be of a server which does not answer any more.
    pub(super) fn take_idle(&self) -> Vec<PgConnection> {
        std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn close(&self) {
        for connection in self.take_idle() {
            let _ = connection.close().await;
        }
    }

    fn pop(&self) -> Option<PgConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(BEGIN).execute(connection).await.map(|_| ())
}
