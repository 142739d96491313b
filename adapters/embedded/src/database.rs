//! A SQLite file that several processes and threads use at once.
//!
//! ```text
//!  threads --> Mutex<writer>   BEGIN IMMEDIATE .. COMMIT: one at a time, here and in all processes
//!          '-> readers         a few connections; each sees the last commit, and waits for nobody
//! ```
//!
//! The file is in WAL mode: what is committed survives a kill -9 of everybody, and readers and the writer do not wait for each
//! other. A transaction begins with the write lock, so it never has to be given up half-way because another was faster.
//!
//! The schema is made of migrations, SQL files that are applied in their order, each once: `schema_version` says which
//! were. A file of a later program is refused.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// What a file is for.
#[derive(Debug)]
pub(crate) struct Kind {
    /// When a commit returns: `FULL` once it is on the disk, `NORMAL` once it survives the end of this process.
    pub(crate) synchronous: &'static str,
    /// The SQL of each version, from 1.
    pub(crate) migrations: &'static [&'static str],
}

/// A file that is open.
pub(crate) struct Database {
    path: PathBuf,
    kind: &'static Kind,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot open {}: {error}", path.display())]
    Sql { path: PathBuf, error: rusqlite::Error },
    #[error("{} is of version {found}, and this program knows {known}: use a later mrpf", path.display())]
    Version { path: PathBuf, found: u32, known: u32 },
}

/// Readers that are kept; more are opened while they are needed.
const READERS: usize = 4;
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 128;
/// Looks for the write lock before [`ErrorCode::DatabaseBusy`]: see [`wait`].
const LOOKS: i32 = 1_000;

/// Waits before look `n` for the write lock. SQLite's own handler sleeps up to 100 ms, which starves whoever came first when
/// several processes write short transactions; this one gives up after about 5 s.
fn wait(n: i32) -> bool {
    let doubled = 100_u64 << n.clamp(0, 6);
    thread::sleep(Duration::from_micros(doubled.min(5_000)));
    n < LOOKS
}

impl Database {
    /// Opens a file, makes it if it is not there, and brings it to this program's version.
    pub(crate) fn open(path: &Path, kind: &'static Kind) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Sql { path: path.to_owned(), error };
        let mut connection = connect(path, kind).map_err(failed)?;
        let known = u32::try_from(kind.migrations.len()).unwrap_or(u32::MAX);
        let mut found = version(&connection).map_err(failed)?;
        if found < known {
            found = migrate(&mut connection, kind).map_err(failed)?;
        }
        if found > known {
            return Err(OpenError::Version { path: path.to_owned(), found, known });
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            writer: Mutex::new(connection),
            readers: Mutex::default(),
        })
    }

    /// Runs `work` in a transaction, which is kept if it gives `Ok`. `work` must not come back here.
    pub(crate) fn write<T, E>(
        &self,
        failed: impl Fn(rusqlite::Error) -> E,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        // A thread that panicked in here has rolled back, so what it left is whole.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction =
            writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Runs `work` on what was committed last.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => {
                let reader = connect(&self.path, self.kind)?;
                reader.pragma_update(None, "query_only", true)?;
                reader
            }
        };
        let done = work(&reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(reader);
        }
        done
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.path).finish()
    }
}

fn connect(path: &Path, kind: &Kind) -> rusqlite::Result<Connection> {
    // A connection is only ever used by the thread that holds its mutex.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(wait))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The change of mode does not ask the busy handler while another process makes the same change.
    let mut looks = 0;
    while let Err(error) = connection.pragma_update(None, "journal_mode", "WAL") {
        if !is_busy(&error) || !wait(looks) {
            return Err(error);
        }
        looks += 1;
    }
    connection.pragma_update(None, "synchronous", kind.synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A burst of large messages must not leave a log of their size behind for ever.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

/// Whether somebody else was in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    if !connection.table_exists(None, "schema_version")? {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM schema_version";
    connection.query_row(last, (), |row| row.get(0))
}

/// Applies what is missing, all of it or nothing; others wait meanwhile.
fn migrate(connection: &mut Connection, kind: &Kind) -> rusqlite::Result<u32> {
    let transaction = Transaction::new(connection, TransactionBehavior::Exclusive)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
    )?;
    // Another process may have done it since the first look.
    let mut found = version(&transaction)?;
    for (number, sql) in (1..).zip(kind.migrations).filter(|(number, _)| *number > found) {
        transaction.execute_batch(sql)?;
        let said = "INSERT INTO schema_version VALUES (?1, unixepoch('subsec') * 1000000)";
        transaction.execute(said, [number])?;
    }
    found = version(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Kind =
        Kind { synchronous: "NORMAL", migrations: &["CREATE TABLE a (x INTEGER) STRICT"] };
    static FIRST: Kind = ONE;
    static SECOND: Kind = Kind {
        synchronous: "NORMAL",
        migrations: &[ONE.migrations[0], "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7"],
    };
    static BROKEN: Kind = Kind {
        synchronous: "NORMAL",
        migrations: &[ONE.migrations[0], "CREATE TABLE b (x INTEGER); CREATE TABLE b (x INTEGER)"],
    };

    #[test]
    fn a_file_grows_by_what_is_missing_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let insert = |database: &Database| {
            database.write(
                |error| error,
                |connection| connection.execute("INSERT INTO a (x) VALUES (1)", ()),
            )
        };
        insert(&Database::open(&path, &FIRST).unwrap()).unwrap();
        for _ in 0..2 {
            let database = Database::open(&path, &SECOND).unwrap();
            let row = database
                .read(|connection| {
                    connection.query_row("SELECT x, y FROM a", (), |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
                    })
                })
                .unwrap();
            assert_eq!(row, (1, 7));
        }
        let error = Database::open(&path, &FIRST).unwrap_err();
        assert!(matches!(error, OpenError::Version { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        assert!(Database::open(&path, &BROKEN).is_err());
        let connection = Connection::open(&path).unwrap();
        let tables = "SELECT count(*) FROM sqlite_schema";
        assert_eq!(connection.query_row(tables, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn many_make_the_same_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| Database::open(&path, &SECOND).unwrap());
            }
        });
    }

    #[test]
    fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db"), &FIRST).unwrap();
        assert!(
            database.read(|connection| connection.execute("INSERT INTO a VALUES (1)", ())).is_err()
        );
    }
}
