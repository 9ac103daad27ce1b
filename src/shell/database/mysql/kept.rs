//! A connection that is kept from one question to the next.
//!
//! Nothing of a session is relied on: it is reset when a question is answered, which ends its
//! transaction and gives back its statements, and made ours again by the next one, for a proxy may
//! have put another server, or another's session, beneath. That somebody closed it meanwhile (a
//! server's `wait_timeout`, a proxy, a restart) costs nothing: then there is a new connection.

use super::Session;
use crate::core::database::Mysql;
use crate::shell::panics::caught;
use mysql::Conn;

/// See the module's text.
#[derive(Default)]
pub struct Kept(Option<(Mysql, Conn)>);

impl Kept {
    /// Nothing is kept.
    pub fn nothing() -> Kept {
        Kept::default()
    }

    /// The connection to this database, if it is kept.
    pub fn take(&mut self, database: &Mysql) -> Option<Conn> {
        let (of, conn) = self.0.take()?;
        (of == *database).then_some(conn)
    }

    /// Keeps the connection of a session that is done with its question.
    pub fn keep(&mut self, session: Session<'_>) {
        let Session { mut conn, database } = session;
        // What knows no reset has a new connection for each question.
        let is_reset = caught(|| conn.reset()).is_ok_and(|done| done.is_ok());
        self.0 = is_reset.then(|| (database.clone(), conn));
    }
}
