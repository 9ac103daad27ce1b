//! Who is to blame for what a server refuses: a record, the database, or the moment.

use crate::core::database::ErrorKind;
use mysql::MySqlError;

/// Classes of SQLSTATE that blame what was to be written: data, integrity, a view's condition, and
/// what a trigger of the operator's says (SIGNAL).
const OWN_FAULT_CLASSES: [&str; 4] = ["22", "23", "44", "45"];
/// The same of those that have no class of their own: truncated, no default, wrong value, no
/// partition, check violated, SIGNAL, more than one row in a trigger.
const OWN_FAULTS: [u16; 8] = [1265, 1364, 1366, 1526, 1644, 1748, 3819, 1242];

/// Classes of SQLSTATE that no record is to blame for: the connection, the state of a transaction,
/// a deadlock, an interruption.
const NOT_OWN_CLASSES: [&str; 4] = ["08", "25", "40", "70"];
/// The same of those that have no class of their own: shut down, out of memory, threads or
/// connections, a broken file, a lock, a time limit, a table that is being changed, a cluster that
/// is not ready.
const NOT_OWN: [u16; 35] = [
    1020, 1026, 1030, 1034, 1035, 1037, 1038, 1040, 1041, 1047, 1053, 1077, 1099, 1135, 1180, 1194,
    1195, 1203, 1205, 1206, 1213, 1226, 1290, 1317, 1412, 1461, 1615, 1637, 1689, 1836, 1927, 1969,
    3024, 3100, 3101,
];

/// Whether a record is refused for itself, so that others would be taken.
fn is_records_own_fault(err: &MySqlError) -> bool {
    OWN_FAULTS.contains(&err.code)
        || OWN_FAULT_CLASSES.iter().any(|class| err.state.starts_with(class))
}

/// Who is to blame for an error that is none of those we know. What is the database's or the
/// moment's is a list; what a trigger, a routine or a constraint may say is without end.
pub fn kind_of(err: &MySqlError) -> ErrorKind {
    let never = NOT_OWN.contains(&err.code)
        || NOT_OWN_CLASSES.iter().any(|class| err.state.starts_with(class));
    match (is_records_own_fault(err), never) {
        (true, _) => ErrorKind::Refused,
        (false, true) => ErrorKind::Other,
        (false, false) => ErrorKind::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_blamed_for_itself_only() {
        let kind = |code, state: &str| {
            kind_of(&MySqlError { state: state.into(), message: String::new(), code })
        };
        for (code, state) in [
            (1452, "23000"),
            (1062, "23000"),
            (1048, "23000"),
            (1406, "22001"),
            (1264, "22003"),
            (167, "22003"),
            (1366, "HY000"),
            (1526, "HY000"),
            (3819, "HY000"),
            (4025, "23000"),
            (1644, "45000"),
            (1644, "02000"),
        ] {
            assert_eq!(kind(code, state), ErrorKind::Refused, "{code}");
        }
        // Deadlock, lock wait, read-only transaction, gone, killed, a query that was ended.
        for (code, state) in [
            (1213, "40001"),
            (1205, "HY000"),
            (1792, "25006"),
            (1053, "08S01"),
            (1927, "70100"),
            (1317, "70100"),
        ] {
            assert_eq!(kind(code, state), ErrorKind::Other, "{code}");
        }
        // No CASE, two rows, a date, a number of a trigger's own, no such function.
        for (code, state) in
            [(1339, "20000"), (1172, "42000"), (1411, "HY000"), (30_001, "HY000"), (1305, "42000")]
        {
            assert_eq!(kind(code, state), ErrorKind::Unsure, "{code}");
        }
    }
}
