//! The rights that a user lacks, and the statements that give them.

use super::super::{Failure, schema};
use crate::core::database::{ErrorKind, Mysql};
use mysql::MySqlError;

/// A routine that may not be called.
pub const ROUTINE_FORBIDDEN: u16 = 1370;
const RIGHT_MISSING: [u16; 4] = [1142, 1143, 1227, ROUTINE_FORBIDDEN];
/// What the daemon needs.
pub const RIGHTS: &str = "SELECT, INSERT, UPDATE";
/// What it takes to change jobs, variables and tags, and to delete old records.
const RIGHTS_TO_EDIT: &str = "SELECT, INSERT, UPDATE, DELETE";
/// What `schedule db` needs, too.
const RIGHTS_TO_CHANGE: &str = "SELECT, INSERT, UPDATE, CREATE, ALTER";

/// Whether the user lacks a right for a table, some of its columns, or a routine.
pub fn is_right_missing(err: &MySqlError) -> bool {
    RIGHT_MISSING.contains(&err.code)
}

/// The user may not do something; `account` is what the server calls it, where that is known.
pub fn not_permitted(database: &Mysql, place: &str, said: &str, account: Option<&str>) -> Failure {
    let user = &database.user;
    let is_for = |verbs: &[&str]| verbs.iter().any(|verb| said.starts_with(verb));
    let rights = match () {
        () if is_for(&["CREATE", "ALTER"]) => RIGHTS_TO_CHANGE,
        // Changes of jobs, and `keep_records`.
        () if is_for(&["DELETE"]) => RIGHTS_TO_EDIT,
        () => RIGHTS,
    };
    let grant = grant(database, rights, account);
    let message = format!("not permitted to user '{user}' at {place}: {said}: {grant}");
    Failure::new(ErrorKind::Rights, message)
}

/// Of who is to change the schema: all rights that takes are told at once, also where the first
/// that is missing is one to read.
pub fn told_to_change(mut failure: Failure) -> Failure {
    let all = format!("GRANT {RIGHTS_TO_CHANGE} ON");
    failure.message = failure.message.replace(&format!("GRANT {RIGHTS} ON"), &all);
    failure
}

/// Of who changes jobs, variables or tags, whose rows are in these tables: the rights that takes,
/// of these tables alone. Of the record of who did what the daemon's own rights are enough.
pub fn told_to_edit(mut failure: Failure, tables: &[&str]) -> Failure {
    let told = failure.message.split_once("GRANT ").and_then(|(said, grant)| {
        let (_, of) = grant.split_once(" ON ")?;
        let (dbname, to) = of.split_once(".* TO ")?;
        let of_table = |table: &&str| format!("GRANT {RIGHTS_TO_EDIT} ON {dbname}.{table} TO {to}");
        let all: Vec<String> = match said.contains(schema::AUDIT) {
            true => vec![format!("GRANT {RIGHTS} ON {dbname}.{} TO {to}", schema::AUDIT)],
            false => tables.iter().map(of_table).collect(),
        };
        Some(format!("{said}{}", all.join("; ")))
    });
    if let Some(told) = told {
        failure.message = told;
    }
    failure
}

/// The statement that gives all rights that are needed.
pub fn grant(database: &Mysql, rights: &str, account: Option<&str>) -> String {
    let Mysql { dbname, user, .. } = database;
    let to = match account.and_then(|account| account.rsplit_once('@')) {
        Some((user, host)) => format!("'{user}'@'{host}'"),
        None => format!("'{user}'@… (the host as SELECT CURRENT_USER() tells it)"),
    };
    format!("GRANT {rights} ON `{dbname}`.* TO {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_with(said: &str) -> Failure {
        let [dbname, user, host] = ["jobs", "cron", "db.example"].map(str::to_owned);
        let [password, unix_socket, charset] = [const { String::new() }; 3];
        let database = Mysql { dbname, user, password, host, port: 3306, unix_socket, charset };
        not_permitted(&database, "MySQL at db.example:3306", said, None)
    }

    #[test]
    fn who_changes_jobs_is_told_the_rights_for_that_alone() {
        let tables = ["scheduler_jobs", "scheduler_tags"];
        for (said, grants) in [
            (
                "INSERT command denied to user 'cron'@'h' for table 'scheduler_jobs'",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON `jobs`.scheduler_jobs TO 'cron'@… (the \
                 host as SELECT CURRENT_USER() tells it); GRANT SELECT, INSERT, UPDATE, DELETE ON \
                 `jobs`.scheduler_tags TO 'cron'@",
            ),
            (
                "INSERT command denied to user 'cron'@'h' for table 'scheduler_audit'",
                "GRANT SELECT, INSERT, UPDATE ON `jobs`.scheduler_audit TO 'cron'@",
            ),
        ] {
            let failure = told_to_edit(refused_with(said), &tables);
            assert!(failure.message.contains(grants), "{}", failure.message);
            assert_eq!(failure.message.matches(" ON `jobs`.*").count(), 0);
        }
        // `keep_records` deletes as well.
        let said = "DELETE command denied to user 'cron'@'h' for table 'scheduler_logs'";
        let message = refused_with(said).message;
        assert!(message.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON `jobs`.* TO"));
    }
}
