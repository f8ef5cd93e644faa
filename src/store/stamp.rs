//! A time as the call log stores it: in SQLite text that sorts, in Postgres a `timestamptz`, in both milliseconds.

use std::fmt;

use ::time::format_description::FormatItem;
use ::time::format_description::well_known::Rfc3339;
use ::time::macros::format_description;
use ::time::{OffsetDateTime, UtcOffset};
use serde::{Serialize, Serializer};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type as Kind};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// RFC 3339 (section 5.6) in UTC with exactly three decimals: sorts as text, and SQLite's date functions read it.
const FORMAT: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A wall-clock time with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub OffsetDateTime);

impl Stamp {
    /// Milliseconds since 1970.
    pub(super) fn unix_ms(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }

    /// What is below a millisecond is not kept.
    fn whole(self) -> OffsetDateTime {
        let rest = self.0.unix_timestamp_nanos().rem_euclid(1_000_000);
        self.0 - ::time::Duration::nanoseconds(i64::try_from(rest).unwrap_or(0))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_offset(UtcOffset::UTC).format(FORMAT).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Type<Sqlite> for Stamp {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Stamp {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        let text = self.0.to_offset(UtcOffset::UTC).format(FORMAT)?;
        Encode::<Sqlite>::encode(text, buffer)
    }
}

impl Decode<'_, Sqlite> for Stamp {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<'_, Sqlite>>::decode(value)?;
        Ok(Self(OffsetDateTime::parse(text, &Rfc3339)?))
    }
}

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Stamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.whole(), buffer)
    }
}

impl Decode<'_, Postgres> for Stamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let at = <OffsetDateTime as Decode<'_, Postgres>>::decode(value)?;
        Ok(Self(Self(at).whole()))
    }
}

impl PartialSchema for Stamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let description = Some("UTC with milliseconds.");
        ObjectBuilder::new().schema_type(Kind::String).format(Some(format)).description(description).into()
    }
}

impl ToSchema for Stamp {}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(datetime!(2026-11-21 04:35:46 UTC), "2026-11-21T04:35:46.000Z")]
    #[case(datetime!(2026-11-21 04:35:46.123_999 UTC), "2026-11-21T04:35:46.123Z")]
    #[case(datetime!(2026-11-21 00:05:46.5 +1), "2026-11-20T23:05:46.500Z")]
    fn a_stamp_is_utc_with_three_decimals(#[case] at: OffsetDateTime, #[case] text: &str) {
        assert_eq!(Stamp(at).to_string(), text);
    }
}
