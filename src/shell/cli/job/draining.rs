//! What becomes of a row that was changed while runs of it are alive, as people read it.

use serde_json::Value;

/// Runs that are named one by one.
const NAMED: usize = 3;

/// What the job waits for whose row was changed, disabled or deleted beside live runs; none where
/// it does not wait.
pub(super) fn told(job: &Value) -> Option<String> {
    let (runs, is_one) = runs(job)?;
    let end = if is_one { "ends" } else { "end" };
    Some(match (&job["waiting"], &job["version"]) {
        (Value::Object(_), _) if job["enabled"] != false => {
            format!("the new definition waits for {runs} of the old one")
        }
        (_, Value::Null) => format!("its row is gone, and {runs} {end} in peace"),
        _ => format!("its row is disabled, and {runs} {end} in peace"),
    })
}

/// Its live runs, and whether it is only one.
fn runs(job: &Value) -> Option<(String, bool)> {
    let live = job["live"].as_array().filter(|_| job["state"] == "deleting")?;
    let ids: Vec<&str> = live.iter().filter_map(|run| run["run_id"].as_str()).collect();
    let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match ids.len() {
        0 => None,
        1 => Some((format!("run {named}"), true)),
        2..=NAMED => Some((format!("runs {named}"), false)),
        count => Some((format!("runs {named} and {} more", count - NAMED), false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_waited_for_is_named() {
        let live = |count: usize| -> Vec<Value> {
            (1..=count).map(|number| json!({ "run_id": format!("1-{number}") })).collect()
        };
        let job = |count, version: Value| {
            told(&json!({ "state": "deleting", "live": live(count), "version": version }))
        };
        assert_eq!(job(0, Value::Null), None);
        assert_eq!(job(1, Value::Null).unwrap(), "its row is gone, and run 1-1 ends in peace");
        assert_eq!(
            job(2, "x".into()).unwrap(),
            "its row is disabled, and runs 1-1, 1-2 end in peace"
        );
        let disabled = json!({
            "state": "deleting", "live": live(1), "waiting": {}, "version": "x", "enabled": false,
        });
        assert_eq!(told(&disabled).unwrap(), "its row is disabled, and run 1-1 ends in peace");
        let waiting = json!({ "state": "deleting", "live": live(5), "waiting": {} });
        assert_eq!(
            told(&waiting).unwrap(),
            "the new definition waits for runs 1-1, 1-2, 1-3 and 2 more of the old one"
        );
        assert_eq!(told(&json!({ "state": "running", "live": live(1) })), None);
    }
}
