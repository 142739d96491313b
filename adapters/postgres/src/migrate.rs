//! The schema, made of migrations: SQL files that are applied in their order, each once. `schema_version` says which were.
//!
//! Several managers may start at once: one applies what is missing while the others wait. All of it is one transaction, so a
//! migration that fails leaves nothing.

use mrpf_ports::StoreError;
use postgres::{Client, IsolationLevel};

use crate::{
    connection::{Connection, Connector},
    failure::Failure,
};

/// The SQL of each version, from 1.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/0001_task_manager.sql"),
    include_str!("../migrations/0002_recon.sql"),
    include_str!("../migrations/0003_workers.sql"),
    include_str!("../migrations/0004_certificates.sql"),
    include_str!("../migrations/0005_domain_records.sql"),
];
/// What this program knows.
pub(crate) const KNOWN: u32 = MIGRATIONS.len() as u32;
/// The oldest PostgreSQL with all that is used here.
pub(crate) const OLDEST: i32 = 13;
/// Who waits for a migration waits for this: `mrpf` in ASCII.
const LOCK: i64 = 0x6d72_7066;

/// Roles belong to all databases of a server, so another's manager may make them at the same moment.
const ROLES: &str = "
    DO $$
    DECLARE
        missing text;
    BEGIN
        FOREACH missing IN ARRAY ARRAY['mrpf_internal', 'mrpf_bare_metal'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = missing) THEN
                BEGIN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
                EXCEPTION WHEN duplicate_object OR unique_violation THEN
                    NULL;
                END;
            END IF;
        END LOOP;
    END $$";
const VERSIONS: &str = "
    CREATE SCHEMA IF NOT EXISTS task_manager;
    CREATE TABLE IF NOT EXISTS task_manager.schema_version (
        version integer PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// Brings the schema to this program's version; gives the one that it has then, which may be a later one.
pub(crate) fn migrate(connector: &Connector) -> Result<u32, StoreError> {
    let mut connection = connector.connection()?;
    apply(&mut connection.client).map_err(|failure| failure.told())
}

fn apply(client: &mut Client) -> Result<u32, Failure> {
    let release: String = client.query_one("SHOW server_version_num", &[])?.try_get(0)?;
    if release.parse::<i32>().is_ok_and(|release| release < OLDEST * 10_000) {
        let why = format!("PostgreSQL: its version is {release}, and mrpf needs {OLDEST} or later");
        return Err(StoreError::Unavailable(why).into());
    }
    let builder = client.build_transaction();
    let mut transaction = builder.isolation_level(IsolationLevel::ReadCommitted).start()?;
    transaction
        .batch_execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = '10min'")?;
    // What is read after this is what the last holder of the lock has committed.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    transaction.batch_execute(VERSIONS)?;
    let last = "SELECT coalesce(max(version), 0) FROM task_manager.schema_version";
    let found = u32::try_from(transaction.query_one(last, &[])?.try_get::<_, i32>(0)?).unwrap_or(0);
    if found < KNOWN {
        transaction.batch_execute(ROLES).map_err(cannot_make_roles)?;
    }
    for (version, sql) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.batch_execute(sql)?;
        let version = i32::try_from(version).unwrap_or(i32::MAX);
        let said = "INSERT INTO task_manager.schema_version (version) VALUES ($1)";
        transaction.execute(said, &[&version])?;
    }
    transaction.commit()?;
    Ok(found.max(KNOWN))
}

fn cannot_make_roles(error: postgres::Error) -> Failure {
    if error.code() != Some(&postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) {
        return error.into();
    }
    let why = "PostgreSQL: this user may not make roles: give it CREATEROLE, or have an administrator say CREATE ROLE \
               mrpf_internal NOLOGIN; CREATE ROLE mrpf_bare_metal NOLOGIN";
    StoreError::Unavailable(why.to_owned()).into()
}

/// Whether there is a schema of any version; known to a user without rights too.
pub(crate) fn is_there(connection: &mut Connection) -> Result<bool, Failure> {
    let sql = "SELECT EXISTS (
                   SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                   WHERE nspname = 'task_manager' AND relname = 'schema_version')";
    Ok(connection.row(sql, &[])?.try_get(0)?)
}

/// The version of the schema; 0 where there is none.
pub(crate) fn version(connection: &mut Connection) -> Result<u32, Failure> {
    if !is_there(connection)? {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM task_manager.schema_version";
    let found: i32 = connection.row(last, &[])?.try_get(0)?;
    Ok(u32::try_from(found).unwrap_or(0))
}
