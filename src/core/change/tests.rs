//! What is made of a row, and what is refused.

use super::*;
use crate::core::ids::JobId;
use serde_json::json;

fn table() -> Vec<TableColumn> {
    let of = |column: &Column| TableColumn {
        name: column.name().into(),
        max_chars: match column {
            Column::Name => Some(50),
            Column::Command => Some(1_000),
            _ => None,
        },
        ..TableColumn::default()
    };
    Column::ALL.iter().map(of).collect()
}

fn context() -> Context {
    let vars = [("PHP".to_owned(), "/usr/bin/php".to_owned())].into();
    Context { vars, now_ms: 1_800_000_000_000, ..Context::default() }
}

fn columns(value: Value) -> Wanted {
    value.as_object().cloned().unwrap()
}

fn create(value: Value) -> Result<Decided, Refused> {
    let change = Change::Create { columns: columns(value) };
    decide(None, &change, (1, &table()), &context())
}

fn present() -> Stand {
    let row = JobRow {
        id: 7,
        name: "backup".into(),
        command: "/bin/true".into(),
        cron: "0 3 * * *".into(),
        max_concurrence: 1,
        server_id: 1,
        ..JobRow::default()
    };
    Stand { row, enabled: true }
}

fn edit(stand: Stand, value: Value) -> Result<Decided, Refused> {
    let change = Change::Edit { id: JobId(7), columns: columns(value), expected: None };
    decide(Some(stand), &change, (1, &table()), &context())
}

#[track_caller]
fn mistakes(decided: Result<Decided, Refused>) -> Vec<(String, String)> {
    match decided {
        Err(Refused::Mistakes(all)) => all.into_iter().map(|it| (it.column, it.why)).collect(),
        other => panic!("{other:?}"),
    }
}

/// The one mistake, which is this column's.
#[track_caller]
fn mistake(decided: Result<Decided, Refused>, column: &str) -> String {
    let mut all = mistakes(decided);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].0, column, "{all:?}");
    all.remove(0).1
}

#[track_caller]
fn warnings(decided: Result<Decided, Refused>) -> Vec<String> {
    decided.unwrap().warnings.into_iter().map(|it| it.why).collect()
}

#[test]
fn a_new_row_says_what_is_wanted_and_else_the_defaults() {
    let decided = create(json!({"name": "n", "command": "/bin/a", "cron": "* * * * *",
        "tag_id": null}));
    let after = decided.unwrap().after.unwrap();
    assert!(after.enabled);
    let JobRow { max_concurrence, server_id, tag_id, ref output, .. } = after.row;
    assert_eq!((max_concurrence, server_id, tag_id, &**output), (1, 1, 0, ""));
    let off = create(json!({"command": "/bin/a", "cron": "* * * * *", "enabled": false}));
    assert!(!off.unwrap().after.unwrap().enabled);
}

#[test]
fn an_edit_changes_the_columns_that_it_names() {
    let decided = edit(present(), json!({"cron": "5 3 * * *", "max_concurrence": 3})).unwrap();
    let mut expected = present();
    expected.row.cron = "5 3 * * *".into();
    expected.row.max_concurrence = 3;
    assert_eq!(decided.after, Some(expected));
    assert_eq!(decided.columns, [Column::Cron, Column::MaxConcurrence]);
    assert!(decided.changes() && decided.warnings.is_empty());
    // Null is the default, and its own id is nothing new.
    let decided = edit(present(), json!({"max_concurrence": null, "id": 7, "name": null}));
    let decided = decided.unwrap();
    let row = decided.after.unwrap().row;
    assert_eq!((row.max_concurrence, &*row.name, row.id), (1, "", 7));
    assert!(!edit(present(), json!({"name": "backup", "enabled": true})).unwrap().changes());
}

#[test]
fn who_comes_second_is_told_what_is_otherwise() {
    let mut stand = present();
    let seen = stand.version();
    stand.row.cron = "9 9 * * *".into();
    let changes = |expected| {
        let wanted = columns(json!({"cron": "5 3 * * *", "name": "backup", "enabled": false}));
        [
            Change::Edit { id: JobId(7), columns: wanted, expected },
            Change::Delete { id: JobId(7), expected },
            Change::Switch { id: JobId(7), enabled: false, expected },
        ]
    };
    let decided = |change: &Change| decide(Some(stand.clone()), change, (1, &table()), &context());
    let names = |change: &Change| match decided(change) {
        Err(Refused::SomebodyWasFirst { version, differs }) => {
            assert_eq!(version, stand.version());
            differs.into_iter().map(|it| it.column).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let [edit, delete, switch] = changes(Some(seen));
    assert_eq!(names(&edit), ["cron", "enabled"]);
    assert_eq!(names(&delete), [""; 0]);
    assert_eq!(names(&switch), ["enabled"]);
    for change in changes(Some(stand.version())).iter().chain(&changes(None)) {
        decided(change).unwrap();
        let nobody = decide(None, change, (1, &table()), &context());
        assert_eq!(nobody, Err(Refused::NotThere));
    }
}

#[test]
fn a_schedule_is_refused_with_where_and_what_would_be_right() {
    let cron = |cron: &str| create(json!({"command": "/bin/a", "cron": cron}));
    let why = mistake(cron("61 * * * *"), "cron");
    assert!(why.contains("minute") && why.contains("61"), "{why}");
    let why = mistake(cron("@dayly"), "cron");
    assert!(why.contains("did you mean @daily?"), "{why}");
    let why = mistake(cron("0 3 * * FIR"), "cron");
    assert!(why.contains("day of week \"FIR\"") && why.contains("did you mean FRI?"), "{why}");
    let why = mistake(cron("0 0 30 2 *"), "cron");
    assert!(why.contains("never be due"), "{why}");
    assert!(mistake(cron(""), "cron").starts_with("\"\": "));
    // Both day fields: the two dialects differ, and that is said.
    let said = warnings(cron("0 3 1 * 1"));
    assert!(said.len() == 1 && said[0].contains("cron_dialect = original"), "{said:?}");
    let mut both = present();
    both.row.cron = "0 3 1 * 1".into();
    assert_eq!(warnings(edit(both, json!({"owner": "ann"}))), [""; 0], "it is no new one");
    assert_eq!(warnings(cron("*/30 * * * * *")), [""; 0]);
    let why = mistake(edit(present(), json!({"timezone": "Asia/Shanhai"})), "timezone");
    assert!(why.contains("Asia/Shanghai"), "{why}");
}

#[test]
fn a_schedule_of_years_that_are_past_is_told() {
    let change =
        Change::Create { columns: columns(json!({"command": "/bin/a", "cron": "0 3 1 1 * 2001"})) };
    let context = Context { dialect: Dialect::Original, ..context() };
    let said = warnings(decide(None, &change, (1, &table()), &context));
    assert!(said.iter().any(|why| why.contains("never due again")), "{said:?}");
}

#[test]
fn commands_are_judged_as_they_are_run() {
    let command = |command: &str| create(json!({"command": command, "cron": "* * * * *"}));
    assert!(mistake(command(" "), "command").contains("empty"));
    assert!(mistake(command("/bin/a\0"), "command").contains("NUL"));
    let said = warnings(command("{PHPP} x.php"));
    assert!(said.len() == 1 && said[0].contains("did you mean `{PHP}`"), "{said:?}");
    assert_eq!(warnings(command("{PHP} x.php")), [""; 0]);
    let row = |id, cron: &str| (id, cron.to_owned(), String::new());
    let context = Context { others: vec![row(3, "1 * * * *"), row(4, " * * * * *")], ..context() };
    let columns = columns(json!({"command": "/bin/a", "cron": "* * * * *"}));
    let said = warnings(decide(None, &Change::Create { columns }, (1, &table()), &context));
    assert!(said.len() == 1 && said[0].contains("those of job 4"), "{said:?}");
}

#[test]
fn nothing_is_cut_and_nothing_becomes_a_question_mark() {
    // 50 characters, and 150 bytes.
    let fits = "备".repeat(50);
    edit(present(), json!({"name": fits})).unwrap();
    let why = mistake(edit(present(), json!({"name": "备".repeat(51)})), "name");
    assert!(why.contains("51 characters, and 50 fit"), "{why}");
    let why = mistake(edit(present(), json!({"command": "/bin/".repeat(201)})), "command");
    assert!(why.contains("1005 characters, and 1000 fit") && why.contains("script"), "{why}");
    // A column without a length of its own: what a row may have at all.
    let why = mistake(edit(present(), json!({"owner": "x".repeat(4_097)})), "owner");
    assert!(why.contains("4097 bytes, and 4096 may be"), "{why}");
    let mut narrow = table();
    let fit = |narrow: &[TableColumn], name: &str| {
        let columns = columns(json!({"name": name}));
        let change = Change::Edit { id: JobId(7), columns, expected: None };
        decide(Some(present()), &change, (1, narrow), &context())
    };
    narrow[1].charset = Charset::ThreeBytes;
    fit(&narrow, "备份").unwrap();
    let why = mistake(fit(&narrow, "ok 😀"), "name");
    assert!(why.contains("'😀'") && why.contains("utf8mb4"), "{why}");
    narrow[1].charset = Charset::Ascii;
    assert!(mistake(fit(&narrow, "größe"), "name").contains("'ö'"));
    narrow[1] = TableColumn { in_bytes: true, charset: Charset::All, ..narrow[1].clone() };
    let why = mistake(fit(&narrow, &"备".repeat(17)), "name");
    assert!(why.contains("51 bytes, and 50 fit"), "{why}");
}

#[test]
fn what_the_database_lacks_is_refused_by_name_with_the_remedy() {
    let bare: Vec<_> = table().into_iter().take(Column::REQUIRED.len()).collect();
    let wanted = json!({"command": "/bin/a", "cron": "* * * * *", "timezone": "Asia/Tokyo",
        "owner": "ann", "link": "", "description": null});
    let change = Change::Create { columns: columns(wanted) };
    let all = mistakes(decide(None, &change, (1, &bare), &context()));
    let names: Vec<&str> = all.iter().map(|(column, _)| column.as_str()).collect();
    assert_eq!(names, ["owner", "timezone"]);
    assert!(all.iter().all(|(_, why)| why.contains("`schedule db migrate`")), "{all:?}");
    let plain = columns(json!({"command": "/bin/a", "cron": "* * * * *"}));
    let decided = decide(None, &Change::Create { columns: plain }, (1, &bare), &context());
    assert!(!decided.unwrap().columns.contains(&Column::Owner));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let all = mistakes(create(json!({
        "comand": "x", "status": 1, "server_id": 2, "max_concurrence": "3", "cron": 5,
        "enabled": "yes", "tag": "x", "name": "n".repeat(60), "command": "", "tag_id": -1,
        "timezone": "Mars/Base",
    })));
    let mut names: Vec<&str> = all.iter().map(|(column, _)| column.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "comand",
        "command",
        "cron",
        "enabled",
        "max_concurrence",
        "name",
        "server_id",
        "status",
        "tag",
        "tag_id",
        "timezone",
    ];
    assert_eq!(names, expected, "{all:#?}");
    let why = |column: &str| &all.iter().find(|(name, _)| name == column).unwrap().1;
    assert!(why("comand").contains("did you mean `command`"));
    assert!(why("tag").contains("did you mean `tag_id`"));
    assert!(why("status").contains("`enabled`"));
}

#[test]
fn what_was_wrong_before_keeps_nobody_from_mending_something_else() {
    let mut bad = present();
    bad.row.cron = "nonsense".into();
    let said = warnings(edit(bad.clone(), json!({"name": "other"})));
    assert!(said.len() == 1 && said[0].contains("nonsense"), "{said:?}");
    let switch = |enabled, stand: &Stand| {
        let change = Change::Switch { id: JobId(7), enabled, expected: None };
        decide(Some(stand.clone()), &change, (1, &table()), &context())
    };
    assert!(!switch(false, &bad).unwrap().after.unwrap().enabled);
    bad.enabled = false;
    // It would be in force, and never start anything.
    mistake(switch(true, &bad), "cron");
    mistake(edit(bad.clone(), json!({"enabled": true})), "cron");
    edit(bad.clone(), json!({"enabled": true, "cron": "* * * * *"})).unwrap();
    let change = Change::Delete { id: JobId(7), expected: None };
    let gone = decide(Some(bad), &change, (1, &table()), &context()).unwrap();
    assert_eq!((gone.after.is_none(), gone.changes()), (true, true));
}

#[test]
fn a_tag_that_does_not_exist_and_a_name_that_another_has_are_told() {
    let tags: BTreeMap<u32, String> = [(1, "reports".to_owned()), (2, "备份".to_owned())].into();
    let context = Context { tags: Some(tags), namesake: Some(3), ..context() };
    let edit = |columns_: Value| {
        let change = Change::Edit { id: JobId(7), columns: columns(columns_), expected: None };
        warnings(decide(Some(present()), &change, (1, &table()), &context))
    };
    let said = edit(json!({"tag_id": 99}));
    assert!(
        said.len() == 1 && said[0].ends_with("there are the tags 1 (reports), 2 (备份)"),
        "{said:?}"
    );
    assert_eq!(edit(json!({"tag_id": 2})), [""; 0]);
    let said = edit(json!({"name": "x"}));
    assert!(said.len() == 1 && said[0].starts_with("job 3 has the same name"), "{said:?}");
    assert_eq!(edit(json!({"description": "x"})), [""; 0]);
}

#[test]
fn a_name_that_reads_like_an_id_is_told() {
    let edit = |name: &str| {
        let columns = columns(json!({ "name": name }));
        let change = Change::Edit { id: JobId(7), columns, expected: None };
        warnings(decide(Some(present()), &change, (1, &table()), &context()))
    };
    let said = edit("8");
    assert!(said.len() == 1 && said[0].contains("can only be named by its id"), "{said:?}");
    for name in ["7", "08", "8a", "x"] {
        assert_eq!(edit(name), [""; 0], "{name}");
    }
}

/// Who is told the column before the reason is not told it twice.
#[test]
fn a_column_is_said_once() {
    let why = |column, text: &str| Mistake::of(column, text).why;
    assert_eq!(why(Column::Timezone, "timezone: unknown time zone"), "unknown time zone");
    assert_eq!(why(Column::Output, "output \"x\" is relative"), "\"x\" is relative");
    let both = "output and stderr: there is no directory \"/a\"";
    assert_eq!(why(Column::Output, both), both);
    assert_eq!(why(Column::Cron, "crontab is no cron"), "crontab is no cron");
}
