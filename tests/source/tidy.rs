//! The shape of the source: what may be named where, and how large things may get. The rules are
//! those of `docs/ARCHITECTURE.md`; here they are enforced. Every violation is told at once, each
//! with file and line.

use std::fs;
use std::path::Path;

use crate::source::{Source, Word};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

/// What the core must not name: everything that acts or reads a clock. `::core::net` holds only
/// addresses and is fine. What ends in `::` is a crate.
const IMPURE: [&str; 15] = [
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant",
    "SystemTime",
    "mio::",
    "mysql::",
    "rusqlite::",
    "libc::",
    "rustix::",
    "signal_hook::",
];

/// No runtime and no thread in the daemon.
const CONCURRENT: [&str; 8] = [
    "std::thread::spawn",
    "std::thread::scope",
    "std::thread::Builder",
    "thread::spawn",
    "thread::scope",
    "thread::Builder",
    "tokio::",
    "async_std::",
];

/// Violations of one file, as `path:line: what`. `path` is relative, with `/`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut found = sizes(text, &source);
    found.extend(words(path, &source));
    if path.starts_with("src/") {
        found.extend(names(path, &source));
    }
    found.extend(programs(path, text));
    found.sort();
    found.iter().map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

fn sizes(text: &str, source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push((1, "begin with a `//!` line that says what the file is for".to_string()));
    }
    let lines = text.lines().count();
    if lines > MAX_FILE_LINES {
        found.push((lines, format!("{lines} lines; {MAX_FILE_LINES} are the limit: split it")));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            found.push((number, format!("{columns} columns; {MAX_COLUMNS} are the limit")));
        }
        for word in [concat!("TO", "DO"), concat!("FIX", "ME")] {
            if line.contains(word) {
                found.push((number, format!("{word}: do it or write an issue")));
            }
        }
    }
    for (name, first, last) in source.functions() {
        let lines = last - first + 1;
        if lines > MAX_FUNCTION_LINES {
            let limit = MAX_FUNCTION_LINES;
            found.push((first, format!("fn {name}: {lines} lines; {limit} are the limit")));
        }
    }
    found
}

/// Tests start the program by one way, which keeps what tests beside them do out of its sight.
fn programs(path: &str, text: &str) -> Vec<(usize, String)> {
    let way = path.starts_with("tests/support/") || path.starts_with("tests/cron/");
    let by_hand = concat!("Command::new(", "env!(\"CARGO_BIN_EXE_schedule\"))");
    let found = (1..).zip(text.lines()).filter(|(_, line)| !way && line.contains(by_hand));
    found.map(|(number, _)| (number, "start it by common::our_program()".to_owned())).collect()
}

/// The one module that may be unsafe.
fn is_sys(path: &str) -> bool {
    path == "src/shell/sys.rs" || path.starts_with("src/shell/sys/")
}

/// Words that are wrong wherever they stand.
fn words(path: &str, source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, Word { line, text }) in source.words.iter().enumerate() {
        let next = source.words.get(i + 1).map_or("", |word| &word.text);
        match (text.as_str(), next) {
            ("dbg" | "todo" | "unimplemented", "!") => {
                found.push((*line, format!("{text}! does not belong into a commit")));
            }
            ("unsafe", _) if !is_sys(path) => {
                found.push((*line, "unsafe belongs into src/shell/sys only".to_string()));
            }
            ("async" | "await", _) if path.starts_with("src/") => {
                found.push((*line, format!("{text}: the daemon is a poll loop, no runtime")));
            }
            _ => {}
        }
    }
    found
}

/// Whether this part of the core is the web, or stands above it.
fn knows_web(path: &str) -> bool {
    ["src/core/web.rs", "src/core/daemon.rs"].contains(&path) || path.starts_with("src/core/web/")
}

/// Names of things that are out of bounds in this part of the source.
fn names(path: &str, source: &Source) -> Vec<(usize, String)> {
    let core = path.starts_with("src/core/");
    let mut found = Vec::new();
    for (line, name) in source.names() {
        let is = |what: &&&str| {
            let inside = format!("{}::", what.trim_end_matches("::"));
            name == **what || name.starts_with(&inside)
        };
        let mut add = |why: &str| found.push((line, format!("`{name}`: {why}")));
        if core && IMPURE.iter().find(is).is_some() {
            add("the core is pure: it acts through data, and is told the time");
        }
        if core && name.ends_with("::now") {
            add("the core reads no clock: it is told the time");
        }
        let ours = ["crate::", "super::", "schedule::"].iter().any(|start| name.starts_with(start));
        if core && ours && name.split("::").any(|part| part == "shell") {
            add("dependencies point from the shell to the core");
        }
        let of_web = name.starts_with("crate::core::web");
        if core && of_web && !knows_web(path) {
            add("the scheduler and what it is made of know no web");
        }
        if CONCURRENT.iter().find(is).is_some() {
            add("the daemon is single-threaded");
        }
        for (krate, home) in [("mysql::", "mysql"), ("rusqlite::", "sqlite")] {
            let home = format!("src/shell/database/{home}");
            let inside = path == format!("{home}.rs") || path.starts_with(&format!("{home}/"));
            if !core && name.starts_with(krate) && !inside {
                add(&format!("named in {home}.rs and {home}/ only"));
            }
        }
    }
    found
}

pub fn walk(dir: &Path, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.to_str().unwrap().to_string());
        }
    }
}

#[test]
fn the_source_is_tidy() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"] {
        walk(&Path::new(root).join(dir), &mut files);
    }
    files.sort();
    assert!(files.len() > 10, "only {} files found under {root}", files.len());
    let mut found = Vec::new();
    for file in &files {
        let path = file.strip_prefix(root).unwrap().trim_start_matches('/');
        if path.starts_with("tests/fuzz/target/") {
            continue;
        }
        found.extend(violations(path, &fs::read_to_string(file).unwrap()));
    }
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// Lines of a document that are too long, as `path:line: what`, and those that a merge has left.
/// Tables, pictures and samples can't be wrapped.
fn bad_lines(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut sample = false;
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().starts_with("```");
        sample ^= fence;
        let start = line.trim_start();
        let free = sample || line.starts_with("    ") || start.starts_with('|');
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !free && !start.starts_with("![") {
            found.push(format!("{path}:{number}: {columns} columns; {MAX_COLUMNS} are the limit"));
        }
        if ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
            found.push(format!("{path}:{number}: a merge has not come to its end"));
        }
    }
    found
}

#[test]
fn the_documents_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec!["README.md".to_string(), "CHANGELOG.md".to_string()];
    files.push("conf/schedule.ini".to_string());
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        files.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    files.sort();
    assert!(files.len() > 10, "only {files:?}");
    let text = |file: &String| fs::read_to_string(root.join(file)).unwrap();
    let found: Vec<_> = files.iter().flat_map(|file| bad_lines(file, &text(file))).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// What the map of the source does not name: files of `src`, folders of `tests`. The roots of the
/// crate, and tests beside what they test, need no place on it.
fn not_on_the_map(map: &str, files: &[String], folders: &[String]) -> Vec<String> {
    let named = |name: &str| map.contains(&format!("`{name}`"));
    let root = |path: &str| path.matches('/').count() == 0;
    let plain = |path: &&String| !root(path) && !path.ends_with("/mod.rs");
    let file = files.iter().filter(plain).filter(|path| !path.ends_with("/tests.rs"));
    let missing = file.filter(|path| !named(path)).map(|path| format!("src/{path}"));
    let folder = folders.iter().filter(|name| !named(name) && !named(&format!("tests/{name}")));
    missing.chain(folder.map(|name| format!("tests/{name}"))).collect()
}

#[test]
fn all_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    let src = format!("{}/", root.join("src").display());
    files.iter_mut().for_each(|path| *path = path.replacen(&src, "", 1));
    let entries = fs::read_dir(root.join("tests")).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let folders: Vec<String> = folders.map(|it| it.file_name().into_string().unwrap()).collect();
    assert!(files.len() > 100 && folders.len() > 10, "{} files", files.len());
    let found = not_on_the_map(&map, &files, &folders);
    assert!(found.is_empty(), "docs/ARCHITECTURE.md does not name:\n{}", found.join("\n"));
}

#[test]
fn sees_what_is_not_on_the_map() {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let files = all(&["lib.rs", "core/mod.rs", "core/a.rs", "core/b.rs", "core/a/tests.rs"]);
    let map = "- `core/a.rs`: what\n| `web` | pages |\n`tests/long` takes its time";
    let found = not_on_the_map(map, &files, &all(&["web", "long", "http"]));
    assert_eq!(found, ["src/core/b.rs", "tests/http"]);
}

#[test]
fn sees_bad_lines_of_documents() {
    let (long, most) = ("x".repeat(101), "密".repeat(100));
    let samples = format!("```\n{long}\n```\n    {long}\n| {long} |\n![{long}](x.png)\n{most}\n");
    assert!(bad_lines("x.md", &samples).is_empty());
    let found = bad_lines("x.md", &format!("{samples}- {long}\n  {long}\n```\n{long}"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("x.md:8: 103 columns"), "{found:?}");
    assert_eq!(bad_lines("x.md", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> 1\n").len(), 2);
}

/// `text`, put below a doc line, has violations on exactly these lines (the doc line is 1).
#[track_caller]
fn expect(path: &str, text: &str, lines: &[usize]) {
    let found = violations(path, &format!("//! Doc.\n{text}"));

    let prefix = |line: &usize| format!("{path}:{line}: ");
    let right = found.len() == lines.len()
        && found.iter().zip(lines).all(|(found, line)| found.starts_with(&prefix(line)));
    assert!(right, "in\n{text}\nwant lines {lines:?}, found {found:#?}");
}

#[test]
fn sees_what_the_core_must_not_name() {
    let core = "src/core/x.rs";
    expect(core, "use std::fs;", &[2]);
    expect(
        core,
        "use std::{\n    collections::BTreeMap,\n    net::{IpAddr, TcpStream},\n};",
        &[4, 4],
    );
    expect(core, "fn f() {\n    ::std::process::exit(1)\n}", &[3]);
    expect(core, "use std::time::Instant;\nfn f() { Instant::now(); }", &[2, 3, 3]);
    expect(core, "fn f() { jiff::Timestamp::now(); }", &[2]);
    expect(core, "use crate::{core::time, shell::sys};\nuse super::super::shell;", &[2, 3]);
    expect("src/core/scheduler/due.rs", "use crate::core::web::Web;", &[2]);
    expect("src/core/web/api.rs", "use crate::core::web::Web;", &[]);
    expect("src/core/daemon.rs", "use crate::core::web::Web;", &[]);
    expect(core, "use mysql::Conn;\nuse rustix;\nuse mio as m;", &[2, 3, 4]);
    expect(core, "use ::core::net::IpAddr;\nuse std::io;\nfn mysql() { mysqld(); }", &[]);
    expect(core, "// std::fs\nconst A: &str = \"std::fs\";\n/* std::fs /* */ mio:: */", &[]);
    expect(core, "const A: &str = r#\"\" std::fs \"#; use std::fs;", &[2]);
    expect("src/shell/x.rs", "use std::fs;\nuse crate::core::time;", &[]);
}

#[test]
fn sees_drivers_threads_and_unsafe() {
    let shell = "src/shell/x.rs";
    expect(shell, "use mysql::Conn;\nuse rusqlite::Connection;", &[2, 3]);
    expect("src/shell/database/mysql/session.rs", "use mysql::Conn;", &[]);
    expect("src/shell/database/mysql.rs", "use mysql::Conn;\nuse rusqlite::Row;", &[3]);
    expect("src/shell/database/sqlite.rs", "use rusqlite::Connection;", &[]);
    expect(shell, "use std::thread;\nfn f() { thread::spawn(g); }", &[3]);
    expect(shell, "async fn f() {}\nuse tokio::net;", &[2, 3]);
    expect(shell, "fn f() { std::thread::sleep(d) }", &[]);
    expect(shell, "fn f() { unsafe { g() } }", &[2]);
    expect("src/shell/sys.rs", "fn f() { unsafe { g() } }", &[]);
    expect("src/shell/sys/spawn.rs", "fn f() { unsafe { g() } }", &[]);
    expect("src/shell/system.rs", "fn f() { unsafe { g() } }", &[2]);
    expect("tests/x.rs", "use mysql::Conn;\nfn f() { std::thread::spawn(g); }", &[]);
    let by_hand = concat!("fn f() { Command::new(", "env!(\"CARGO_BIN_EXE_schedule\")) }");
    expect("tests/web/x.rs", by_hand, &[2]);
    expect("tests/support/common/mod.rs", by_hand, &[]);
    expect(shell, "fn f() { dbg!(1); todo!() }", &[2, 2]);
    expect(shell, &format!("// {}: later", concat!("TO", "DO")), &[2]);
}

#[test]
fn sees_sizes() {
    let path = "src/shell/x.rs";
    assert_eq!(violations(path, "fn f() {}\n").len(), 1, "no doc line");
    expect(path, &format!("// {}", "x".repeat(98)), &[2]);
    expect(path, &format!("// {}", "密".repeat(97)), &[]);
    expect(path, &"// x\n".repeat(499), &[]);
    expect(path, &"// x\n".repeat(500), &[501]);
    let body = |lines: usize| {
        format!("fn f<'a>(x: [u8; 2]) -> char {{\n{}    '{{'\n}}", "a;\n".repeat(lines))
    };
    expect(path, &body(67), &[]);
    expect(path, &body(68), &[2]);
    let two =
        format!("fn a() {{\n{}}}\nfn b();\nfn c() {{\n{}}}", "a;\n".repeat(40), "a;\n".repeat(40));
    expect(path, &two, &[]);
    expect(path, &format!("mod m {{\n{}\n}}", body(68)), &[3]);
}
