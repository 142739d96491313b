//! What a login lacks, before anything depends on it.
//!
//! ```text
//!  DATABASE_URL --> reached? --> its version --> the schema's version --> rights of this login --> Finding, Finding ..
//!                      '-- no: nothing more can be said                      each with what mends it
//! ```

use crate::{
    connection::{Connection, Connector},
    failure::Failure,
    migrate::{self, KNOWN, OLDEST},
};

/// Who is to log in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Login {
    /// The manager, which makes the tables and owns them.
    Manager,
    /// A worker of the class Internal.
    Internal,
    /// A worker of the class Bare Metal.
    BareMetal,
}

/// Something that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What was found.
    pub what: String,
    /// What is to be done about it; nothing when it is as it should be.
    pub mend: Option<String>,
}

impl Finding {
    /// Whether it is as it should be.
    pub fn is_good(&self) -> bool {
        self.mend.is_none()
    }

    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), mend: None }
    }

    fn bad(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: Some(mend.into()) }
    }
}

/// Tables that workers read and write.
const SHARED: [&str; 12] = [
    "task_manager.task_data",
    "task_manager.task_collection_data",
    "task_manager.task_checkpoint",
    "recon.target",
    "recon.domain",
    "recon.endpoint",
    "recon.certificate",
    "recon.endpoint_certificate",
    "recon.domain_endpoint",
    "recon.domain_record",
    "recon.blocklist",
    "recon.refusal",
];
/// What a worker must not even read: tickets, slots and messages of others.
const SECRET: [&str; 3] =
    ["task_manager.task", "task_manager.bare_metal_slot", "task_manager.outbox"];
const OF_RUNS: [&str; 6] =
    ["digest", "holds", "is_ours", "claim_task", "renew_task", "release_task"];
const OF_SLOTS: [&str; 2] = ["live_slot", "drain_slot"];

impl Login {
    fn role(self) -> Option<&'static str> {
        match self {
            Self::Manager => None,
            Self::Internal => Some("mrpf_internal"),
            Self::BareMetal => Some("mrpf_bare_metal"),
        }
    }
}

impl crate::PgStore {
    /// Looks whether the database of `url` is there, is of this program's version and gives `login` what it needs, and no more.
    /// Changes nothing.
    pub fn check(url: &str, login: Login) -> Vec<Finding> {
        let connector = match Connector::new(url) {
            Ok(connector) => connector,
            Err(error) => return vec![Finding::bad(error.to_string(), "correct DATABASE_URL")],
        };
        let mut connection = match connector.connection() {
            Ok(connection) => connection,
            Err(error) => {
                let mend = if error.is_refused {
                    "correct user, password or database in DATABASE_URL, or have them made"
                } else {
                    "correct host and port in DATABASE_URL, or open the way: security groups, subnets, sslmode, the server itself"
                };
                return vec![Finding::bad(error.why, mend)];
            }
        };
        let mut findings = vec![Finding::good(format!("{} answers", connector.address()))];
        if let Err(failure) = look(&connector, &mut connection, login, &mut findings) {
            findings.push(Finding::bad(
                failure.told().to_string(),
                "see what the server's log says of it",
            ));
        }
        findings
    }
}

fn look(
    connector: &Connector,
    connection: &mut Connection,
    login: Login,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    findings.push(release(connection)?);
    findings.extend(secrecy(connector, connection)?);
    if let Some(role) = login.role()
        && migrate::is_there(connection)?
    {
        // Without them even the version cannot be read.
        findings.extend(rights(connection, login, role)?);
        if !findings.iter().all(Finding::is_good) {
            return Ok(());
        }
    }
    let found = migrate::version(connection)?;
    match (found, login) {
        (0, Login::Manager) => {
            findings.push(Finding::good("there are no tables yet: mrpf-manager serve makes them"));
            findings.push(may_make_tables(connection)?);
            findings.push(may_make_roles(connection)?);
        }
        (KNOWN, _) => {
            findings.push(Finding::good(format!("the tables are of version {found}")));
            if login == Login::Manager {
                findings.push(owns_tables(connection)?);
            }
        }
        (found, Login::Manager) if found < KNOWN => {
            let what = format!(
                "the tables are of version {found}: mrpf-manager serve makes {KNOWN} of it"
            );
            findings.push(Finding::good(what));
            findings.push(owns_tables(connection)?);
        }
        (found, _) => {
            let mend = if found < KNOWN {
                "start mrpf-manager of this version once: it brings them up to date"
            } else {
                "use a later mrpf"
            };
            let what = format!("the tables are of version {found}, and this program knows {KNOWN}");
            findings.push(Finding::bad(what, mend));
        }
    }
    Ok(())
}

fn release(connection: &mut Connection) -> Result<Finding, Failure> {
    let row =
        connection.row("SELECT current_setting('server_version_num')::integer / 10000", &[])?;
    let release: i32 = row.try_get(0)?;
    let what = format!("PostgreSQL {release}");
    if release < OLDEST {
        return Ok(Finding::bad(what, format!("use PostgreSQL {OLDEST} or later")));
    }
    Ok(Finding::good(what))
}

/// Whether others can listen; not asked of a server on this machine.
fn secrecy(connector: &Connector, connection: &mut Connection) -> Result<Option<Finding>, Failure> {
    if connector.address().is_local() {
        return Ok(None);
    }
    let row = connection.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])?;
    Ok(Some(if row.try_get(0)? {
        Finding::good("the connection is encrypted")
    } else {
        let mend = "add sslmode=verify-full&sslrootcert=FILE to DATABASE_URL";
        Finding::bad(
            "the connection is not encrypted: passwords and findings can be read on the way",
            mend,
        )
    }))
}

fn may_make_tables(connection: &mut Connection) -> Result<Finding, Failure> {
    let sql = "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text, current_database()::text";
    let row = connection.row(sql, &[])?;
    let (may, user, database): (bool, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(if may {
        Finding::good(format!("{user} may make schemas in {database}"))
    } else {
        let mend = format!("say GRANT CREATE ON DATABASE {database} TO {user}");
        Finding::bad(format!("{user} may not make schemas in {database}"), mend)
    })
}

fn may_make_roles(connection: &mut Connection) -> Result<Finding, Failure> {
    let sql = "SELECT (rolsuper OR rolcreaterole) OR
                   (SELECT count(*) = 2 FROM pg_roles WHERE rolname IN ('mrpf_internal', 'mrpf_bare_metal')), current_user::text
               FROM pg_roles WHERE rolname = current_user";
    let row = connection.row(sql, &[])?;
    let (may, user): (bool, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(if may {
        Finding::good("the roles of workers are there, or can be made")
    } else {
        let mend = format!(
            "say ALTER ROLE {user} CREATEROLE, or make mrpf_internal and mrpf_bare_metal as an administrator"
        );
        Finding::bad(format!("{user} may not make the roles of workers"), mend)
    })
}

fn owns_tables(connection: &mut Connection) -> Result<Finding, Failure> {
    let sql =
        "SELECT coalesce(bool_and(pg_has_role(tableowner, 'USAGE')), false), current_user::text
               FROM pg_tables WHERE schemaname IN ('task_manager', 'recon')";
    let row = connection.row(sql, &[])?;
    let (owns, user): (bool, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(if owns {
        Finding::good(format!("{user} owns the tables"))
    } else {
        let mend = "give the manager the user who owns the tables, or make it a member of that one";
        Finding::bad(format!("{user} does not own the tables"), mend)
    })
}

fn rights(connection: &mut Connection, login: Login, role: &str) -> Result<Vec<Finding>, Failure> {
    let row = connection.row("SELECT current_user::text", &[])?;
    let user: String = row.try_get(0)?;
    let functions = if login == Login::BareMetal {
        [&OF_RUNS[..], &OF_SLOTS[..]].concat()
    } else {
        OF_RUNS.to_vec()
    };
    let missing = "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                   WHERE nspname || '.' || relname = ANY ($1::text[])
                       AND NOT (has_schema_privilege(relnamespace, 'USAGE')
                           AND has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
                           AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE'))
                   UNION ALL
                   SELECT proname::text FROM pg_proc
                   WHERE pronamespace = to_regnamespace('task_manager') AND proname = ANY ($2::text[])
                       AND NOT has_function_privilege(oid, 'EXECUTE')";
    let missing = names(connection, missing, &SHARED, &functions)?;
    let not_its = if login == Login::BareMetal { &[][..] } else { &OF_SLOTS[..] };
    let surplus = "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                   WHERE nspname || '.' || relname = ANY ($1::text[])
                       AND has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
                   UNION ALL
                   SELECT proname::text FROM pg_proc
                   WHERE pronamespace = to_regnamespace('task_manager') AND proname = ANY ($2::text[])
                       AND has_function_privilege(oid, 'EXECUTE')";
    let surplus = names(connection, surplus, &SECRET, not_its)?;
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let mend = format!("say GRANT {role} TO {user}");
        findings.push(Finding::bad(format!("{user} may not use {}", missing.join(", ")), mend));
    }
    if !surplus.is_empty() {
        let mend = format!(
            "give workers of this class a user of their own, who belongs to {role} and nothing else"
        );
        findings.push(Finding::bad(
            format!("{user} may use {}, which it need not", surplus.join(", ")),
            mend,
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(format!("{user} has what {role} has, and no more")));
    }
    Ok(findings)
}

fn names(
    connection: &mut Connection,
    sql: &'static str,
    tables: &[&str],
    functions: &[&str],
) -> Result<Vec<String>, Failure> {
    let rows = connection.rows(sql, &[&tables, &functions])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
