//! What keeps an account out though its name and password are right, and what to do about it.

use super::super::Failure;
use crate::core::database::ErrorKind;
use mysql::MySqlError;

/// What is told of such an error; none if it is another.
pub fn kept_out(user: &str, err: &MySqlError, place: &str) -> Option<Failure> {
    let said = &err.message;
    let (kind, text) = match err.code {
        // MySQL's number, and MariaDB's.
        3118 | 4151 => {
            let hint = "ALTER USER it there, ACCOUNT UNLOCK";
            (ErrorKind::Auth, format!("{place}: user '{user}' is locked: {said}: {hint}"))
        }
        // The first is told to who may still log in to change it.
        1820 | 1862 => {
            let hint = "ALTER USER it there to be IDENTIFIED BY a new one, as [db1] has it";
            let what = format!("the password of user '{user}' has expired");
            (ErrorKind::Auth, format!("{place}: {what}: {said}: {hint}"))
        }
        // All users together have too many, or this one.
        1040 | 1203 => {
            let hint = "end idle ones there (SHOW PROCESSLIST tells), or raise max_connections or \
                        max_user_connections";
            (ErrorKind::Connect, format!("{place} takes no more connections: {said}: {hint}"))
        }
        // The user's own limit of connections at a time; the others count by the hour.
        1226 if said.contains("max_user_connections") => {
            let hint = "end idle ones there (SHOW PROCESSLIST tells), or raise it (ALTER USER … \
                        WITH MAX_USER_CONNECTIONS …)";
            (ErrorKind::Connect, format!("{place} limits user '{user}': {said}: {hint}"))
        }
        1226 => {
            let hint = "raise it (ALTER USER … WITH …), or wait for the hour to end";
            (ErrorKind::Other, format!("{place} limits user '{user}': {said}: {hint}"))
        }
        _ => return None,
    };
    Some(Failure::new(kind, text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_by_the_hour_is_waited_out_and_one_of_connections_is_not() {
        for (resource, kind, hint) in [
            ("max_connections_per_hour", ErrorKind::Other, "wait for the hour to end"),
            ("max_questions", ErrorKind::Other, "wait for the hour to end"),
            ("max_updates", ErrorKind::Other, "wait for the hour to end"),
            ("max_user_connections", ErrorKind::Connect, "SHOW PROCESSLIST"),
        ] {
            let message = format!("User 'cron' has exceeded the '{resource}' resource");
            let err = MySqlError { state: "42000".to_owned(), message, code: 1226 };
            let failure = kept_out("cron", &err, "MySQL").unwrap();
            assert_eq!(failure.kind, kind, "{resource}");
            assert!(failure.message.contains(hint), "{}", failure.message);
            let waits = failure.message.contains("hour to end");
            assert_eq!(waits, resource != "max_user_connections", "{}", failure.message);
        }
    }

    #[test]
    fn what_keeps_an_account_out_is_told_as_that() {
        for (code, kind, what, hint) in [
            (3118, ErrorKind::Auth, "user 'cron' is locked", "ACCOUNT UNLOCK"),
            (4151, ErrorKind::Auth, "user 'cron' is locked", "ACCOUNT UNLOCK"),
            (1820, ErrorKind::Auth, "the password of user 'cron' has expired", "IDENTIFIED BY"),
            (1862, ErrorKind::Auth, "the password of user 'cron' has expired", "IDENTIFIED BY"),
            (1040, ErrorKind::Connect, "takes no more connections", "max_connections"),
            (1203, ErrorKind::Connect, "takes no more connections", "max_user_connections"),
            (1226, ErrorKind::Other, "limits user 'cron'", "ALTER USER"),
        ] {
            let (state, message) = ("HY000".to_owned(), "as the server says".to_owned());
            let failure = kept_out("cron", &MySqlError { state, message, code }, "MySQL").unwrap();
            assert_eq!(failure.kind, kind, "{code}");
            for part in [what, hint, "as the server says"] {
                assert!(failure.message.contains(part), "{}", failure.message);
            }
        }
    }
}
