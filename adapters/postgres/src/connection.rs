//! One connection, with the statements that were prepared on it.
//!
//! A statement by itself is a transaction, and every transaction is SERIALIZABLE unless it says otherwise. Nothing that it waits
//! for is waited for without end.

use std::collections::HashMap;

use mrpf_ports::StoreError;
use postgres::{
    Client, GenericClient, IsolationLevel, Row, Statement, Transaction,
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    address::Address,
    failure::{Failure, text},
    tls,
};

/// What holds for a connection. Without plans that read whole tables a transaction is in the way of those alone that touch what it
/// has looked at, however few rows there are; and such plans, which are made to look dear, are not to be compiled for that.
const SETTINGS: &str = "
    SET default_transaction_isolation = 'serializable';
    SET search_path = task_manager;
    SET lock_timeout = '10s';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';
    SET enable_seqscan = off;
    SET jit = off;
    SET client_min_messages = warning";

/// Makes connections.
pub(crate) struct Connector {
    address: Address,
    tls: MakeRustlsConnect,
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) client: Client,
    statements: Statements,
    is_broken: bool,
}

#[derive(Default)]
struct Statements(HashMap<&'static str, Statement>);

/// A transaction that is open; it is undone unless it is [committed](Self::commit).
pub(crate) struct Session<'a> {
    transaction: Transaction<'a>,
    statements: &'a mut Statements,
}

pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

impl Connector {
    pub(crate) fn new(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let tls = tls::connector(&address.trust)?;
        Ok(Self { address, tls })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A connection, made now and of nobody else's.
    pub(crate) fn connection(&self) -> Result<Connection, ConnectError> {
        let failed = |error: postgres::Error| ConnectError {
            why: format!("{}: {}", self.address, text(&error)),
            is_refused: is_refusal(&error),
        };
        let mut client = self.address.config.connect(self.tls.clone()).map_err(failed)?;
        client.batch_execute(SETTINGS).map_err(failed)?;
        Ok(Connection { client, statements: Statements::default(), is_broken: false })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct ConnectError {
    pub(crate) why: String,
    /// The server is there and does not want this user: waiting mends nothing.
    pub(crate) is_refused: bool,
}

/// Class 28: no such user, a wrong password. 3D: no such database. 42501: it may not connect.
fn is_refusal(error: &postgres::Error) -> bool {
    let classes = ["28", "3D", "42"];
    error.code().is_some_and(|code| classes.iter().any(|class| code.code().starts_with(class)))
}

impl r2d2::ManageConnection for Connector {
    type Connection = Connection;
    type Error = ConnectError;

    fn connect(&self) -> Result<Connection, ConnectError> {
        self.connection()
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), ConnectError> {
        // Never asked: whoever finds a connection dead takes the next.
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken || connection.client.is_closed()
    }
}

impl Connection {
    /// Has it closed, not used again.
    pub(crate) fn is_of_no_use(&mut self) {
        self.is_broken = true;
    }

    /// The rows that one statement gives, a transaction by itself.
    pub(crate) fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statements.prepared(&mut self.client, sql)?;
        Ok(self.client.query(&statement, values)?)
    }

    /// The one row that a statement always gives.
    pub(crate) fn row(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, Failure> {
        let statement = self.statements.prepared(&mut self.client, sql)?;
        Ok(self.client.query_one(&statement, values)?)
    }

    /// A transaction.
    pub(crate) fn session(&mut self) -> Result<Session<'_>, Failure> {
        let transaction = self.client.transaction()?;
        Ok(Session { transaction, statements: &mut self.statements })
    }

    /// A transaction that is in nobody's way: READ COMMITTED. For what one statement does or reads, which decides nothing.
    pub(crate) fn relaxed(&mut self) -> Result<Session<'_>, Failure> {
        let builder = self.client.build_transaction();
        let transaction = builder.isolation_level(IsolationLevel::ReadCommitted).start()?;
        Ok(Session { transaction, statements: &mut self.statements })
    }
}

impl Statements {
    fn prepared(
        &mut self,
        client: &mut impl GenericClient,
        sql: &'static str,
    ) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.0.get(sql) {
            return Ok(statement.clone());
        }
        let statement = client.prepare(sql)?;
        self.0.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl Session<'_> {
    pub(crate) fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statements.prepared(&mut self.transaction, sql)?;
        Ok(self.transaction.query(&statement, values)?)
    }

    pub(crate) fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let statement = self.statements.prepared(&mut self.transaction, sql)?;
        Ok(self.transaction.execute(&statement, values)?)
    }

    /// Reads what a statement gives some rows at a time, until `take` has had enough.
    pub(crate) fn read_until(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut take: impl FnMut(&Row) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        /// Rows may be large.
        const AT_A_TIME: i32 = 512;
        let statement = self.statements.prepared(&mut self.transaction, sql)?;
        let portal = self.transaction.bind(&statement, values)?;
        loop {
            let rows = self.transaction.query_portal(&portal, AT_A_TIME)?;
            for row in &rows {
                if !take(row)? {
                    return Ok(());
                }
            }
            if rows.len() < usize::try_from(AT_A_TIME).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// Keeps what was done.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        self.transaction.commit().map_err(|error| match Failure::from(error) {
            Failure::Gone(why) => Failure::Unknown(why),
            failure => failure,
        })
    }
}
