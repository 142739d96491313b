//! The queues in one SQLite file, `queue.db`.
//!
//! ```text
//!                 .--> visible --receive--> in flight --delete--> gone
//!   send ---------'       ^                  |  |  ^
//!                         '--timeout, extend(0) '--' extend
//!                         |
//!                         '--received max_receives times--> dead letters, a queue like any other
//! ```
//!
//! A message is a row, and where it is follows from `visible_at` alone, so nothing has to be done for one whose receiver was
//! killed. A handle is the row's id with the number of the delivery: each delivery makes the handles before it stale.
//!
//! `synchronous=NORMAL`: a message survives whatever happens to processes. When the machine fails the last few may be
//! missing; the store has their tasks, and the manager gives them out anew.
//!
//! A receiver that waits is woken at once by a sender of its own process ([`bell`]) and looks every 20 ms for those of others;
//! a look reads, and takes no lock.

mod bell;
mod faults;
mod message;

use std::{path::Path, sync::Arc, time::Duration};

use mrpf_ports::{
    Clock, Delivery, Handle, Queue, QueueError, QueueName,
    clock::{SystemClock, Wake, after, between},
    queue::Depth,
};
use rusqlite::Connection;

use self::bell::Bell;
pub use self::faults::Faults;
use crate::database::{Database, Kind};

static QUEUE: Kind = Kind {
    synchronous: "NORMAL",
    migrations: &[include_str!("../../migrations/queue/0001_message.sql")],
};

/// Most octets of a message, as in SQS.
const MOST_OCTETS: usize = 1_024 * 1_024;
/// Between two looks of a receiver that waits: first and longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How queues behave.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Deliveries of a message; instead of one more it becomes a dead letter.
    pub max_receives: u32,
    /// What goes wrong, for tests.
    pub faults: Faults,
    /// Whose time counts. All processes must have the same.
    pub clock: Arc<dyn Clock>,
}

impl Default for QueueSettings {
    /// Ten deliveries, no faults, the system's clock.
    fn default() -> Self {
        Self { max_receives: 10, faults: Faults::default(), clock: Arc::new(SystemClock) }
    }
}

/// All queues in a file.
#[derive(Clone, Debug)]
pub struct Queues {
    file: Arc<File>,
}

#[derive(Debug)]
struct File {
    database: Database,
    settings: QueueSettings,
    bells: [Bell; 2 * QueueName::ALL.len()],
}

impl Queues {
    /// Opens the queues in `path`; makes them if they are not there.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`].
    pub fn open(path: impl AsRef<Path>, settings: QueueSettings) -> Result<Self, QueueError> {
        let database = Database::open(path.as_ref(), &QUEUE).map_err(|error| {
            QueueError::Unavailable { queue: "every".to_owned(), why: error.to_string() }
        })?;
        Ok(Self { file: Arc::new(File { database, settings, bells: Default::default() }) })
    }

    /// One of them.
    pub fn get(&self, name: QueueName) -> SqliteQueue {
        let at = QueueName::ALL.iter().position(|other| *other == name).unwrap_or_default();
        let file = &self.file;
        let dead = SqliteQueue {
            file: Arc::clone(file),
            bell: 2 * at + 1,
            name: format!("{name} dead-letter"),
            dead: None,
        };
        let dead = Some(Box::new(dead));
        SqliteQueue { file: Arc::clone(file), bell: 2 * at, name: name.to_string(), dead }
    }
}

/// A queue in a SQLite file, which several processes may have open.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    file: Arc<File>,
    bell: usize,
    name: String,
    dead: Option<Box<Self>>,
}

impl SqliteQueue {
    fn bell(&self) -> &Bell {
        &self.file.bells[self.bell]
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, QueueError> {
        self.file.database.write(|error| error, work).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> QueueError {
        QueueError::Unavailable { queue: self.name.clone(), why: error.to_string() }
    }

    /// Takes what is there now.
    fn take(&self, max: usize, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let File { database, settings, .. } = &*self.file;
        let is_due = database
            .read(|connection| message::is_due(connection, &self.name, settings.clock.now()));
        if !is_due.map_err(|error| self.failed(&error))? {
            return Ok(Vec::new());
        }
        // Those that were received too often go to the dead letters, where there are such.
        let dead = self.dead.as_deref();
        let (taken, has_buried) = self.write(|connection| {
            let take = message::Take {
                queue: &self.name,
                max,
                // Read with the lock held: the wait for it may have been long.
                now: settings.clock.now(),
                visibility,
                grave: dead.map(|dead| (&*dead.name, settings.max_receives)),
                faults: settings.faults,
            };
            take.run(connection)
        })?;
        if let Some(dead) = dead.filter(|_| has_buried) {
            dead.bell().ring();
        }
        Ok(taken)
    }
}

impl Queue for SqliteQueue {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        if let Some(body) = bodies.iter().find(|body| body.len() > MOST_OCTETS) {
            let (queue, octets) = (self.name.clone(), body.len());
            return Err(QueueError::TooLarge { queue, octets, limit: MOST_OCTETS });
        }
        if bodies.is_empty() {
            return Ok(());
        }
        let now = self.file.settings.clock.now();
        self.write(|connection| message::put(connection, &self.name, bodies, now))?;
        self.bell().ring();
        Ok(())
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let clock = &self.file.settings.clock;
        let end = after(clock.now(), wait);
        let mut pause = LOOK.0;
        loop {
            // Listens before it looks, so that no message slips in between.
            let listener = self.bell().listen();
            if stop.is_set() {
                return Ok(Vec::new());
            }
            let taken = self.take(max, visibility)?;
            let left = between(clock.now(), end);
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            // So short that `stop` is seen soon enough.
            clock.sleep(pause.min(left), listener.wake());
            pause = (pause * 2).min(LOOK.1);
        }
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        let lost = || QueueError::LeaseLost { queue: self.name.clone() };
        let delivery = message::Number::of(handle).ok_or_else(lost)?;
        let extended = self.write(|connection| {
            let now = self.file.settings.clock.now();
            message::extend(connection, &self.name, delivery, now, after(now, visibility))
        })?;
        if visibility.is_zero() {
            self.bell().ring();
        }
        if extended { Ok(()) } else { Err(lost()) }
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        let numbers: Vec<_> = handles.iter().filter_map(message::Number::of).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        self.write(|connection| message::delete(connection, &self.name, &numbers))
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        let now = self.file.settings.clock.now();
        let depth = |connection: &Connection| message::depth(connection, &self.name, now);
        self.file.database.read(depth).map_err(|error| self.failed(&error))
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        self.dead.as_deref().map(|dead| dead as &dyn Queue)
    }
}
