//! Our types in columns: ids, names and addresses as their text, states as their word, moments as microseconds, and the rest as
//! JSON. What a column holds that is none of it is an error of the row, never a panic.

use std::{error::Error, fmt::Display, str::FromStr};

use mrpf_records::Timestamp;
use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};

/// Something that is its text.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> ToSql for Text<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl<T: FromStr<Err: Error + Send + Sync + 'static>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// One of a few words, as serde has them.
pub(crate) struct Word<T>(pub(crate) T);

impl<T: DeserializeOwned> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word: value::StrDeserializer<'_, value::Error> = value.as_str()?.into_deserializer();
        T::deserialize(word).map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// A moment.
pub(crate) struct Moment(pub(crate) Timestamp);

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(number(self.0.as_unix_micros()).into())
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        count(value).map(|micros| Self(Timestamp::from_unix_micros(micros)))
    }
}

/// A count that SQLite has room for; one beyond is the largest.
pub(crate) struct Count(pub(crate) u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(number(self.0).into())
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        count(value).map(Self)
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(value: ValueRef<'_>) -> FromSqlResult<u64> {
    let number = value.as_i64()?;
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))
}

/// The columns of a row, from the first to the last.
pub(crate) struct Cells<'a>(&'a Row<'a>, usize);

impl<'a> Cells<'a> {
    pub(crate) fn of(row: &'a Row<'a>) -> Self {
        Self(row, 0)
    }

    /// The next, as it is.
    pub(crate) fn plain<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.1;
        self.1 += 1;
        self.0.get(at)
    }

    /// The next, from its text.
    pub(crate) fn text<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> rusqlite::Result<T> {
        Ok(self.plain::<Text<T>>()?.0)
    }

    /// The next, from its text, or nothing.
    pub(crate) fn text_or_none<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> rusqlite::Result<Option<T>> {
        Ok(self.plain::<Option<Text<T>>>()?.map(|text| text.0))
    }

    /// The next, from its word.
    pub(crate) fn word<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        Ok(self.plain::<Word<T>>()?.0)
    }

    /// The next, from JSON.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        Ok(self.plain::<Json<T>>()?.0)
    }

    /// The next, a moment.
    pub(crate) fn moment(&mut self) -> rusqlite::Result<Timestamp> {
        Ok(self.plain::<Moment>()?.0)
    }

    /// The next, a moment or none.
    pub(crate) fn moment_or_none(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.plain::<Option<Moment>>()?.map(|moment| moment.0))
    }
}
