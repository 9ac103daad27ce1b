//! An export is the same for the same rows, and a crontab says what it can.

use super::*;
use crate::core::change::Of;
use crate::core::columns::JobRow;
use crate::core::cron::zone;
use crate::core::crontab::{Form, read};
use crate::core::table::Table;

fn row(id: u32, name: &str, command: &str, cron: &str) -> JobRow {
    let (name, command, cron) = (name.to_owned(), command.to_owned(), cron.to_owned());
    JobRow { id, name, command, cron, max_concurrence: 1, server_id: 1, ..JobRow::default() }
}

fn export(format: Format, rows: &[(JobRow, bool)]) -> String {
    let mut table = Table::new(Dialect::Crontab, zone("Europe/Berlin").unwrap());
    let vars: Vars = [("DIR".to_owned(), "/srv/100%".to_owned())].into();
    let mut export = Export::new(format, Dialect::Crontab, "Europe/Berlin");
    for (row, enabled) in rows {
        export.add(&table.define(row.clone(), &vars), *enabled);
    }
    let tags = [(3, "reports".to_owned()), (4, "unused".to_owned())].into();
    let mut bad = BadRows::default();
    bad.push(Some((Of::Var, 2)), "no text".into());
    bad.push(None, "no id".into());
    bad.push(Some((Of::Job, 9)), "no \"cron\"".into());
    bad.are_whole();
    export.finish(&tags, &vars, &bad)
}

#[test]
fn what_is_as_by_default_is_left_out() {
    let mut full = row(7, "每日 \"备份\"", "cd {DIR}\nbackup", "30 3 * * *");
    (full.tag_id, full.max_concurrence) = (3, 0);
    (full.timezone, full.owner) = ("Asia/Shanghai".into(), "ops".into());
    let rows = [(row(2, "a", "true", "@daily"), true), (full, false)];
    let text = export(Format::Json, &rows);
    assert_eq!(
        text,
        r#"{
  "format": 1,
  "jobs": [
    {
      "id": 2,
      "name": "a",
      "command": "true",
      "cron": "@daily"
    },
    {
      "id": 7,
      "name": "每日 \"备份\"",
      "command": "cd {DIR}\nbackup",
      "cron": "30 3 * * *",
      "max_concurrence": 0,
      "tag_id": 3,
      "timezone": "Asia/Shanghai",
      "owner": "ops",
      "enabled": false
    }
  ],
  "tags": {
    "3": "reports"
  },
  "variables": {
    "DIR": "/srv/100%"
  },
  "left_out": {
    "9": "no \"cron\"",
    "variable 2": "no text",
    "no id": "no id"
  }
}
"#
    );
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["jobs"][1]["command"], "cd {DIR}\nbackup");
    let none = export(Format::Json, &[]);
    assert!(none.contains("\"jobs\": [],\n  \"tags\": {},"), "{none}");
    assert!(serde_json::from_str::<Value>(&none).is_ok());
}

#[test]
fn a_crontab_says_what_it_can() {
    let with = |id, cron: &str, command: &str| (row(id, &format!("job {id}"), command, cron), true);
    let mut rows = vec![
        with(1, "0 30 3 ? * MON-FRI", "df {DIR}"),
        with(2, "10/15 * * * 5-0", "a"),
        with(3, "*/5 * * * * *", "a"),
        with(4, "0 0 L * *", "a"),
        with(5, "0 0 * * 5#2", "a"),
        with(6, "@every 5m", "a"),
        with(7, "0 0 * * SAT-SUN,wed/2", "a"),
        with(8, "0 22-2 * * *", "a"),
        with(9, "@reboot", r"printf % \\%"),
        with(10, "0 0 * * *", r"a\%"),
        with(11, "0 0 * * *", "a\nb"),
        with(12, "60 0 * * *", "a"),
        with(13, "0 1 * * *", "a; b"),
        with(14, "0 2 * * *", "a"),
        with(15, "0 3 * * *", "a"),
    ];
    (rows[12].0.output, rows[12].0.stderr) = ("/var/log/a b".into(), "/dev/null".into());
    rows[13].0.timezone = "Asia/Shanghai".into();
    rows[13].1 = false;
    rows[14].0.description = "Every night\nor so".into();
    let text = export(Format::Crontab, &rows);
    for line in [
        r"30 3 * * MON-FRI df /srv/100\%",
        "10-59/15 * * * 5-7 a",
        "# job 3 can't be said in a crontab: cron has no seconds",
        "# schedule: (*/5 * * * * *) a",
        "# job 4 can't be said in a crontab: cron has no `L`",
        "# job 5 can't be said in a crontab: cron has no `5#2`",
        "# job 6 can't be said in a crontab: cron has no @every",
        "# schedule: (@every 5m) a",
        "0 0 * * 6-7,3-7/2 a",
        r"@reboot printf \% \\\%",
        "# job 11 can't be said in a crontab: its command has several lines",
        "0 1 * * * /bin/sh -c 'a; b' >>'/var/log/a b' 2>>/dev/null",
        "CRON_TZ=Asia/Shanghai",
        "# disabled: 0 2 * * * a",
        "CRON_TZ=Europe/Berlin",
        "# Every night",
        "# or so",
        "0 3 * * * a",
        "# job 9 is left out, it can't be one: no \"cron\"",
        "# variable 2 is left out, it can't be one: no text",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
    let back = read(&text, Form::User);
    assert!(!back.has_refused(), "{:?}", back.remarks);
    let said: Vec<&str> = rows
        .iter()
        .filter(|(row, enabled)| *enabled && ![8, 10, 11, 12].contains(&row.id))
        .map(|(row, _)| &*row.command)
        .collect();
    assert_eq!(back.jobs.len(), said.len(), "{text}");
    for cron in ["*/5 * * * * *", "0 0 L * *", "0 0 * * 5#2", "@every 5m"] {
        let job = back.jobs.iter().find(|job| job.cron == cron).expect(cron);
        assert_eq!((&*job.command, &*job.timezone), ("a", "Europe/Berlin"), "{cron}");
        assert!(job.description.starts_with("job "), "{job:?}");
    }
    let last = back.jobs.last().unwrap();
    assert_eq!((&*last.command, &*last.description), ("a", "Every night or so"));
    assert_eq!(back.jobs[0].command, "df /srv/100%");
}

/// What people write about a job never becomes one.
#[test]
fn descriptions_and_names_are_no_jobs() {
    for told in [
        "schedule: (* * * * *) touch /tmp/own",
        " \t## # schedule: (@daily) touch /tmp/own",
        "Every night\nschedule: (@daily) touch /tmp/own",
        "Every night\rschedule: (@daily) touch /tmp/own",
        "Jobs of Schedule. A crontab knows no overlap limit.\n#schedule: (@daily) touch /tmp/own",
    ] {
        let (mut described, named) = (row(1, "n", "a", "@daily"), row(2, told, "b", "@daily"));
        described.description = told.into();
        let text = export(Format::Crontab, &[(described, true), (named, true)]);
        let back = read(&text, Form::User);
        let commands: Vec<&str> = back.jobs.iter().map(|job| &*job.command).collect();
        assert_eq!((commands, back.has_refused()), (vec!["a", "b"], false), "{text}");
    }
}
