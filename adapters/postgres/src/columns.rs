//! Our types in columns: ids are uuid, moments timestamptz, counts bigint, states their word, and what comes from outside json.
//! What a column holds that is none of it is an error of the row, never a panic.

use std::{
    borrow::Cow,
    error::Error,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mrpf_ports::StoreError;
use mrpf_records::Timestamp;
use postgres::{
    Row,
    types::{FromSql, Json},
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};

use crate::failure::Failure;

/// A moment as a value. Both sides count microseconds.
pub(crate) fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(at.as_unix_micros())
}

/// Text as a value. PostgreSQL's has no NUL, so one is kept as its symbol: a banner's must not keep all else from being stored.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    const SYMBOL_FOR_NUL: &str = "\u{2400}";
    if text.contains('\0') { text.replace('\0', SYMBOL_FOR_NUL).into() } else { text.into() }
}

/// A count as a value; one that bigint has no room for is the largest.
pub(crate) fn count(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// The columns of a row, from the first to the last.
pub(crate) struct Cells<'a>(&'a Row, usize);

impl<'a> Cells<'a> {
    pub(crate) fn of(row: &'a Row) -> Self {
        Self(row, 0)
    }

    /// The next, as it is.
    pub(crate) fn plain<T: FromSql<'a>>(&mut self) -> Result<T, Failure> {
        let at = self.1;
        self.1 += 1;
        Ok(self.0.try_get(at)?)
    }

    /// The next, from its text.
    pub(crate) fn text<T: FromStr<Err: Error>>(&mut self) -> Result<T, Failure> {
        let at = self.1;
        let text: &str = self.plain()?;
        text.parse().map_err(|error| self.corrupt(at, &error))
    }

    /// The next, from its word, as serde has it.
    pub(crate) fn word<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let at = self.1;
        let word: value::StrDeserializer<'_, value::Error> = self.plain::<&str>()?.into_deserializer();
        T::deserialize(word).map_err(|error| self.corrupt(at, &error))
    }

    /// The next, from JSON.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Failure> {
        Ok(self.plain::<Json<T>>()?.0)
    }

    /// The next, from JSON, or nothing.
    pub(crate) fn json_or_none<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, Failure> {
        Ok(self.plain::<Option<Json<T>>>()?.map(|json| json.0))
    }

    /// The next, a count.
    pub(crate) fn count<T: TryFrom<i64, Error: Error>>(&mut self) -> Result<T, Failure> {
        let at = self.1;
        let number: i64 = self.plain()?;
        number.try_into().map_err(|error| self.corrupt(at, &error))
    }

    /// The next, a count or none.
    pub(crate) fn count_or_none<T: TryFrom<i64, Error: Error>>(&mut self) -> Result<Option<T>, Failure> {
        let at = self.1;
        let number: Option<i64> = self.plain()?;
        number.map(T::try_from).transpose().map_err(|error| self.corrupt(at, &error))
    }

    /// The next, a small number.
    pub(crate) fn small<T: TryFrom<i32, Error: Error>>(&mut self) -> Result<T, Failure> {
        let at = self.1;
        let number: i32 = self.plain()?;
        number.try_into().map_err(|error| self.corrupt(at, &error))
    }

    /// The next, a moment.
    pub(crate) fn moment(&mut self) -> Result<Timestamp, Failure> {
        Ok(self.plain::<SystemTime>()?.into())
    }

    /// The next, a moment or none.
    pub(crate) fn moment_or_none(&mut self) -> Result<Option<Timestamp>, Failure> {
        Ok(self.plain::<Option<SystemTime>>()?.map(Into::into))
    }

    fn corrupt(&self, at: usize, error: &dyn Error) -> Failure {
        let column = self.0.columns().get(at).map_or("?", |column| column.name());
        Failure::Store(StoreError::Corrupt(format!("PostgreSQL: column {column}: {error}")))
    }
}
