//! Changes of the schema: they wait for locks, say so, and are not given up while the server is at
//! them.
//!
//! Who waits for a table's lock has all others wait behind it, the daemon too. So a lock is waited
//! for a short while, again and again, with pauses in which the others go on.

use super::super::Failure;
use super::super::schema::Ran;
use super::Session;
use super::explain::{DEADLOCK, DUPLICATE_COLUMN, DUPLICATE_KEY_NAME, LOCK_WAIT_TIMEOUT};
use super::session::text_of;
use crate::core::database::{ErrorKind, Mysql};
use crate::shell::sys::last_words;
use mysql::prelude::Queryable;
use mysql::{Error, Row};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A table of many gigabytes is rebuilt in less.
const LONGEST_CHANGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long one try waits for a lock.
const LOCK_WAIT_SECONDS: u32 = 2;
/// The same where a rebuilt table would be thrown away at the end.
const REBUILD_LOCK_WAIT_SECONDS: u32 = 60;
/// What took longer has not only waited for a lock: it has made an index, which is thrown away
/// where somebody has the table at the end.
const MADE_SOMETHING: Duration = Duration::from_secs(20);
/// How long one try waits for a lock after that.
const LOST_LOCK_WAIT_SECONDS: u32 = 10;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Until a lock is given up.
const LOCK_PATIENCE: Duration = Duration::from_secs(600);

/// How an index is made beside those who write. The table's lock is wanted at the begin and at the
/// end, for a moment each.
const BESIDE: &str = "ALGORITHM=INPLACE, LOCK=NONE";

/// Who may hold the lock of a table; the first that this user may ask and that says something.
const HOLDERS: [&str; 2] = [
    // MySQL.
    "SELECT CONCAT('connection ', t.PROCESSLIST_ID, ' (', t.PROCESSLIST_USER, '@', \
     IFNULL(t.PROCESSLIST_HOST, ''), ', ', t.PROCESSLIST_TIME, ' s)') \
     FROM performance_schema.metadata_locks AS l \
     JOIN performance_schema.threads AS t ON t.THREAD_ID = l.OWNER_THREAD_ID \
     WHERE l.OBJECT_SCHEMA = DATABASE() AND l.OBJECT_NAME = '{table}' \
     AND l.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID <> CONNECTION_ID() LIMIT 3",
    // MariaDB tells open transactions, the oldest first.
    "SELECT CONCAT('connection ', p.ID, ' (', p.USER, '@', p.HOST, ', ', \
     TIMESTAMPDIFF(SECOND, x.trx_started, NOW()), ' s)') \
     FROM information_schema.INNODB_TRX AS x \
     JOIN information_schema.PROCESSLIST AS p ON p.ID = x.trx_mysql_thread_id \
     WHERE p.ID <> CONNECTION_ID() ORDER BY x.trx_started LIMIT 3",
];

impl<'a> Session<'a> {
    /// Opens a session whose statements may take long.
    pub fn open_to_change(database: &'a Mysql) -> Result<Self, Failure> {
        let wait = format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}");
        let (mut session, _) = Self::open_within(database, LONGEST_CHANGE, &wait)?;
        // The way in which a table is altered is the server's choice; not all know the word.
        let _ = session.conn.query_drop("SET SESSION old_alter_table = 0");
        Ok(session)
    }

    /// Runs a statement of the schema, when its table is free.
    pub fn change(&mut self, sql: &str) -> Result<Ran, Failure> {
        if !sql.starts_with("ALTER TABLE") {
            return self.change_anyhow(sql);
        }
        let done = self.alter(sql);
        self.wait_for_locks(LOCK_WAIT_SECONDS)?;
        done
    }

    fn alter(&mut self, sql: &str) -> Result<Ran, Failure> {
        let (id, table) = (self.conn.connection_id(), table_of(sql));
        last_words(format!(
            "\nschedule db: stopped; should a table be rebuilt now, the server goes on with \
             it as connection {id}: `KILL QUERY {id}` ends it there, and `schedule db migrate` \
             goes on where this stopped\n"
        ));
        // In place and at once, wherever the server can; an index beside those who write.
        let (how, what) = if sql.contains(" ADD INDEX ") {
            (BESIDE, format!("lets nobody write to {table} while it makes an index of it"))
        } else {
            ("ALGORITHM=INSTANT", format!("rebuilds {table}"))
        };
        match self.when_free(&format!("{sql}, {how}")) {
            Err(Refused::ByServer(_)) => {}
            Err(Refused::Told(failure)) => return Err(failure),
            Ok(ran) => return Ok(ran),
        }
        eprintln!(
            "schedule db: this server {what}: that may take long, and goes on if you \
             leave; `KILL QUERY {id}` at the server ends it"
        );
        self.wait_for_locks(REBUILD_LOCK_WAIT_SECONDS)?;
        self.change_anyhow(sql)
    }

    fn change_anyhow(&mut self, sql: &str) -> Result<Ran, Failure> {
        self.when_free(sql).map_err(|refused| match refused {
            Refused::Told(failure) => failure,
            Refused::ByServer(err) => self.explain_right(&err),
        })
    }

    /// Each lock is waited for so long from now on, and others behind it.
    fn wait_for_locks(&mut self, seconds: u32) -> Result<(), Failure> {
        self.run_all(&format!("SET SESSION lock_wait_timeout = {seconds}"))
    }

    fn when_free(&mut self, sql: &str) -> Result<Ran, Refused> {
        let begin = Instant::now();
        loop {
            let tried = Instant::now();
            match self.conn.query_drop(sql) {
                Ok(()) => return Ok(Ran::Done),
                Err(Error::MySqlError(err))
                    if [DUPLICATE_COLUMN, DUPLICATE_KEY_NAME].contains(&err.code) =>
                {
                    return Ok(Ran::AlreadyThere);
                }
                Err(Error::MySqlError(err))
                    if [LOCK_WAIT_TIMEOUT, DEADLOCK].contains(&err.code) =>
                {
                    let took = tried.elapsed();
                    self.wait_for_lock(table_of(sql), begin.elapsed()).map_err(Refused::Told)?;
                    if took > MADE_SOMETHING && sql.ends_with(BESIDE) {
                        self.wait_for_locks(LOST_LOCK_WAIT_SECONDS).map_err(Refused::Told)?;
                    }
                }
                Err(err @ Error::MySqlError(_)) => return Err(Refused::ByServer(err)),
                Err(err) => return Err(Refused::Told(self.lost(&err, sql))),
            }
        }
    }

    fn wait_for_lock(&mut self, table: &str, waited: Duration) -> Result<(), Failure> {
        let holders = self.holders(table)?;
        let seconds = waited.as_secs();
        if waited > LOCK_PATIENCE {
            let hint = "end its transaction (`KILL` its connection) and run this again: what was \
                        done stays";
            let why = format!("{table} has been locked for {seconds} s by {holders}: {hint}");
            return Err(Failure::new(ErrorKind::Other, why));
        }
        eprintln!(
            "schedule db: waits for a lock on {table} held by {holders}: {seconds} s so far; \
             nothing is changed yet, Ctrl-C does no harm"
        );
        sleep(PAUSE);
        Ok(())
    }

    fn holders(&mut self, table: &str) -> Result<String, Failure> {
        for query in HOLDERS {
            let query = query.replace("{table}", table);
            let take = |row: Row| text_of(row).unwrap_or_default();
            match self.conn.query_map(query, take) {
                Ok(holders) if !holders.is_empty() => return Ok(holders.join(", ")),
                // No such table here, or no right to it.
                Ok(_) | Err(Error::MySqlError(_)) => {}
                Err(err) => return Err(self.explain(&err)),
            }
        }
        Ok("another connection (a user with the right PROCESS sees which)".to_owned())
    }

    /// The connection is gone; the server may not have noticed.
    fn lost(&self, err: &Error, sql: &str) -> Failure {
        let Failure { kind, message, .. } = self.explain(err);
        let table = table_of(sql);
        let hint = format!(
            "the server may go on with {table} (SHOW PROCESSLIST tells): look with `schedule db \
             status`, then run this again"
        );
        Failure::new(kind, format!("{message}: {hint}"))
    }
}

/// Why a statement was not done.
enum Refused {
    /// The server does not do it.
    ByServer(Error),
    /// It is over, and why.
    Told(Failure),
}

/// The table that a statement of the schema is about.
fn table_of(sql: &str) -> &str {
    let name = sql.split_whitespace().find(|word| word.starts_with("scheduler_"));
    name.unwrap_or("the tables")
}
