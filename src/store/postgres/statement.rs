//! Statements that leave nothing in the session of the server.
//!
//! A pooler in transaction mode (PgBouncer, Supavisor) gives each transaction the server connection that is free, so
//! a named statement may be missing at its next use, or be there already by another client. Statements are unnamed,
//! and run within a transaction: parsing and executing are two round trips, and between them, outside a transaction,
//! the pooler may change the connection. Settings and locks are of the transaction too (`SET LOCAL`,
//! `pg_advisory_xact_lock`).

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{FromRow, Postgres, SqlSafeStr};

/// An unnamed statement; run it within a transaction.
pub(in crate::store) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// The same, for rows.
pub(in crate::store) fn query_as<'q, O>(sql: impl SqlSafeStr) -> QueryAs<'q, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// The same, for the first column.
pub(in crate::store) fn query_scalar<'q, O>(sql: impl SqlSafeStr) -> QueryScalar<'q, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}
