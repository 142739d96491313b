//! The database as calls see it: connections that are kept, and patience with a server that is away.
//!
//! ```text
//!  call --> a connection of the pool --> work --ok--------------------------> done
//!   ^ ^         |                          |--others in the way, again after a random pause, some times--> Busy
//!   | |         '--none to be had--.       |--the connection has gone--.
//!   | '----------------------------'-------|---until its patience ends-'-----------------------------> Unreachable
//!   '--------------------------------------'
//! ```
//!
//! All calls of the port can be made twice, so one whose connection went is made again. The exception is the end of a manager's
//! transaction, of which it is then not known whether it was kept: that is told.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use mrpf_ports::StoreError;
use r2d2::{HandleError, Pool, PooledConnection};
use uuid::Uuid;

use crate::{
    connection::{ConnectError, Connection, Connector},
    failure::Failure,
};

/// Connections at once where nobody says; a worker that runs more tasks has them take turns.
pub(crate) const CONNECTIONS: u32 = 16;
/// Between two tries to connect: a fifth of a second, doubled up to half of this.
const RECONNECT: Duration = Duration::from_secs(4);
/// Connections that nobody has used for so long are closed.
const IDLE: Duration = Duration::from_secs(300);
/// For how long others may be in the way of one call, time after time.
const CONFLICTS: Duration = Duration::from_secs(10);
/// The longest pause after one time.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How long calls with little patience wait once it is known that the server is away.
const MOMENT: Duration = Duration::from_millis(200);
/// For how long that is known.
const KNOWN: Duration = Duration::from_secs(5);

/// How long a call waits for a server that is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Of a loop, which has other things to do and comes again.
    Little,
    /// Of a task, which would have to be done anew: as long as its lease lasts.
    Much,
}

impl Patience {
    fn length(self) -> Duration {
        match self {
            Self::Little => Duration::from_secs(4),
            Self::Much => Duration::from_secs(60),
        }
    }
}

/// A database.
#[derive(Clone)]
pub(crate) struct Database {
    name: Arc<str>,
    pool: Pool<Connector>,
    last_error: LastError,
    away: Arc<Mutex<Option<Away>>>,
}

/// Since when the server is away, and when that was seen last.
struct Away {
    since: Instant,
    seen: Instant,
}

impl Database {
    /// The pool of a database, with nothing in it.
    pub(crate) fn new(connector: Connector, connections: u32) -> Self {
        let name = connector.address().to_string().into();
        let last_error = LastError::default();
        let pool = Pool::builder()
            .max_size(connections.max(1))
            .min_idle(Some(0))
            .idle_timeout(Some(IDLE))
            .connection_timeout(RECONNECT)
            .test_on_check_out(false)
            .error_handler(Box::new(last_error.clone()))
            .build_unchecked(connector);
        Self { name, pool, last_error, away: Arc::default() }
    }

    /// Does `work` on a connection, again if it must be.
    pub(crate) fn call<T>(
        &self,
        patience: Patience,
        mut work: impl FnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.wait(patience);
        let (mut conflicting, mut conflicts, mut gone) = (None, 0, 0);
        loop {
            match self.connection(until).and_then(|mut connection| once(&mut connection, &mut work))
            {
                Ok(done) => {
                    self.is_back();
                    return Ok(done);
                }
                Err(failure @ Failure::Conflict(_)) => {
                    let failure = failure.told();
                    if conflicting.get_or_insert_with(Instant::now).elapsed() >= CONFLICTS {
                        return Err(failure);
                    }
                    tracing::debug!(conflicts, why = %failure, "again");
                    thread::sleep(pause(conflicts));
                    conflicts += 1;
                }
                Err(Failure::Gone(why)) => {
                    self.is_away(&why);
                    if Instant::now() >= until {
                        return Err(StoreError::Unreachable(why));
                    }
                    // All that were kept may have died together. One that was just made has not.
                    gone += 1;
                    if gone > CONNECTIONS {
                        thread::sleep(MOMENT);
                    }
                }
                Err(failure @ Failure::Unknown(_)) => {
                    let error = failure.told();
                    self.is_away(&error.to_string());
                    return Err(error);
                }
                Err(Failure::Store(error)) => return Err(error),
            }
        }
    }

    fn wait(&self, patience: Patience) -> Duration {
        let is_known = lock(&self.away).as_ref().is_some_and(|away| away.seen.elapsed() < KNOWN);
        if is_known && patience == Patience::Little { MOMENT } else { patience.length() }
    }

    fn connection(&self, until: Instant) -> Result<PooledConnection<Connector>, Failure> {
        let wait = until.saturating_duration_since(Instant::now()).max(MOMENT);
        self.pool.get_timeout(wait).map_err(|_| match &*lock(&self.last_error.0) {
            Some(why) => Failure::Gone(why.clone()),
            None => {
                let why = format!("{}: all connections of this program are in use", self.name);
                Failure::Store(StoreError::Busy(why))
            }
        })
    }

    /// Says so once.
    fn is_away(&self, why: &str) {
        let now = Instant::now();
        let mut away = lock(&self.away);
        if let Some(away) = &mut *away {
            away.seen = now;
        } else {
            tracing::warn!(
                database = &*self.name,
                why,
                "the database is away: calls wait, and are made again"
            );
            *away = Some(Away { since: now, seen: now });
        }
    }

    fn is_back(&self) {
        if let Some(Away { since, .. }) = lock(&self.away).take() {
            *lock(&self.last_error.0) = None;
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(database = &*self.name, seconds, "the database is back");
        }
    }
}

/// Does `work`, and has a connection that is of no use after it closed.
fn once<T>(
    connection: &mut Connection,
    work: &mut impl FnMut(&mut Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let done = work(connection);
    if matches!(done, Err(Failure::Gone(_) | Failure::Unknown(_))) {
        connection.is_of_no_use();
    }
    done
}

/// A random time, longer each time: whoever meets somebody meets them less the next time.
fn pause(conflicts: u32) -> Duration {
    let most = Duration::from_millis(1 << conflicts.min(10)).min(LONGEST_PAUSE).as_micros();
    let dice = Uuid::new_v4().as_u128() % (most + 1);
    Duration::from_micros(u64::try_from(dice).unwrap_or_default())
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.name).finish()
    }
}

/// Why the last connection could not be made.
#[derive(Clone, Debug, Default)]
struct LastError(Arc<Mutex<Option<String>>>);

impl HandleError<ConnectError> for LastError {
    fn handle_error(&self, error: ConnectError) {
        *lock(&self.0) = Some(error.why);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
