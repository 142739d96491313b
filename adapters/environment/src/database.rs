//! Where the database is. Its password is in the URL, which nothing shows.

use std::fmt::{self, Write as _};

use crate::{
    Problem,
    reader::{Group, Reader, Variable},
};

const DATABASE: Variable = Variable {
    name: "DATABASE_URL",
    is: "the PostgreSQL database of the platform",
    give: "its URL, such as postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=FILE",
};

/// The URL of the database. `Debug` and `Display` leave out the password, and whatever may hold one.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password, for who connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Group for DatabaseUrl {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.required(&DATABASE, url)
    }
}

/// What does no harm in a log; the value of any other parameter may be a secret.
const SHOWN: [&str; 8] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "port",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
];

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        // A password may hold anything, even what ends one elsewhere in a URL: the last @ there is, ends it.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        write!(f, "{scheme}://")?;
        if let Some(credentials) = credentials {
            match credentials.split_once([':', '@', '/', '?']) {
                Some((user, _)) => write!(f, "{user}:***@")?,
                None => write!(f, "{credentials}@")?,
            }
        }
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        f.write_str(place)?;
        for (at, parameter) in parameters.split('&').filter(|it| !it.is_empty()).enumerate() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = if SHOWN.contains(&name) { value } else { "***" };
            f.write_char(if at == 0 { '?' } else { '&' })?;
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn url(text: &str) -> Result<DatabaseUrl, Problem> {
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return Err(
            DATABASE.wrong_secret(format_args!("is no URL of PostgreSQL; give {}", DATABASE.give))
        );
    };
    let place = rest.split('?').next().unwrap_or_default();
    // Whoever reads it would take the rest of the password for a host, and name it in an error.
    if place.matches('@').count() > 1 {
        return Err(
            DATABASE.wrong_secret("has more than one @: write one that is in the password as %40")
        );
    }
    if text.chars().any(|it| it.is_whitespace() || it.is_control()) {
        return Err(DATABASE.wrong_secret("has a blank: write one that is in the password as %20"));
    }
    Ok(DatabaseUrl(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problems, read_from};

    fn read(text: &str) -> Result<DatabaseUrl, Problems> {
        read_from(|name| (name == "DATABASE_URL").then(|| text.into()))
    }

    #[test]
    fn a_password_is_for_who_connects_alone() {
        for (text, shown) in [
            ("postgres://manager:s3cret@db:5432/mrpf", "postgres://manager:***@db:5432/mrpf"),
            (
                "postgresql://manager@db/mrpf?sslmode=require",
                "postgresql://manager@db/mrpf?sslmode=require",
            ),
            (
                "postgres://db/mrpf?user=m&password=s3cret",
                "postgres://db/mrpf?user=***&password=***",
            ),
            (
                "postgres:///mrpf?host=/run/pg&sslpassword=s3cret",
                "postgres:///mrpf?host=/run/pg&sslpassword=***",
            ),
            ("postgres://m:s3cret/?x@db/mrpf?host=a", "postgres://m:***@db/mrpf?host=a"),
            ("postgres://m:s3cret@db/mrpf?options=a@b", "postgres://m:***@b"),
            ("postgres://m@db/mrpf?password=s3cret@b", "postgres://m:***@b"),
        ] {
            let url = read(text).unwrap();
            assert_eq!(url.reveal(), text);
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_it() {
        for (text, why) in [
            (
                "host=db password=s3cret",
                "is no URL of PostgreSQL; give its URL, such as postgresql://",
            ),
            ("mysql://m:s3cret@db/mrpf", "is no URL of PostgreSQL"),
            ("postgres://m:s3@cret@db/mrpf", "has more than one @"),
            ("postgres://m:s3 cret@db/mrpf", "has a blank"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.starts_with("DATABASE_URL: ") && said.contains(why), "{said}");
            assert!(!said.contains("cret"), "{said}");
        }
    }
}
