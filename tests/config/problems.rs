//! Configuration: every mistake at once, each with its line and what would be right.

use schedule::core::config::{Severity, parse};

/// `text` gives exactly these problems: `line error|warning: a part of the text`.
#[track_caller]
fn expect(text: impl AsRef<[u8]>, expected: &[&str]) {
    let local = ["127.0.0.1", "192.168.7.7"].map(|a| a.parse().unwrap());
    let parsed = parse("x.ini", text.as_ref(), &local);
    let found: Vec<String> = parsed.problems.iter().map(|p| p.to_string()).collect();
    assert_eq!(found.len(), expected.len(), "found: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let (place, part) = expected.split_once(": ").unwrap();
        let (line, severity) = place.split_once(' ').unwrap();
        let place = match line {
            "0" => format!("x.ini: {severity}: "),
            line => format!("x.ini:{line}: {severity}: "),
        };
        assert!(found.starts_with(&place) && found.contains(part), "{found}\nwant {expected}");
    }
    let errors = parsed.problems.iter().any(|p| p.severity == Severity::Error);
    assert_eq!(parsed.config.is_none(), errors);
}

/// Lines put into a file that is right otherwise; they begin on line 4.
#[track_caller]
fn base(lines: &str, expected: &[&str]) {
    expect(format!("[server_1]\n[db1]\n[base]\n{lines}\n"), expected);
}

#[track_caller]
fn server(lines: &str, expected: &[&str]) {
    expect(format!("[db1]\n[server_1]\n{lines}\n"), expected);
}

#[track_caller]
fn database(lines: &str, expected: &[&str]) {
    expect(format!("[server_1]\n[db1]\n{lines}\n"), expected);
}

#[test]
fn all_at_once() {
    expect(
        "[base]\n\
         logfil = /x\n\
         loglevel = verbose\n\
         what is this\n\
         keepalive = soon\n\
         [server_1]\n\
         prot = 3401\n\
         port = 99999\n\
         host = 0.0.0.0\n\
         [server_x]\n\
         [databse]\n\
         [db1]\n\
         driver = mysq\n\
         pasword = x\n\
         path = 'x\n",
        &[
            "2 warning: unknown key `logfil` in [base]: did you mean `logfile`?",
            "3 error: `loglevel` is `verbose`: it takes off, error, warning, warn, info",
            "4 error: there is no `=`",
            "5 error: `keepalive` is `soon`: write a whole number from 0 to 86400 (seconds",
            "7 warning: unknown key `prot` in [server_1]: did you mean `port`?",
            "8 error: `port` is `99999`: write a whole number from 0 to 65535",
            "9 error: no login is configured",
            "10 error: [server_x]: a server id is a whole number from 1",
            "11 warning: unknown section [databse]: did you mean [db1]?",
            "13 error: `driver` is `mysq`: did you mean `mysql`?",
            "14 warning: unknown key `pasword` in [db1]: did you mean `password`?",
            "15 error: the value of `path` begins with ' and is not closed",
        ],
    );
}

#[test]
fn files_that_are_none() {
    expect("", &["0 error: no server: add a section [server_1]", "0 warning: no [db1]"]);
    expect(b"\xff\xfe[\0b\0", &["0 error: UTF-16"]);
    let big = vec![b'\n'; (1 << 20) + 1];
    expect(big, &["0 error: larger than 1048576"]);
}

#[test]
fn bytes_that_are_no_text() {
    let gbk = b"; \xc5\xe4\xd6\xc3\n[server_1] ; \xb7\xfe\n[db1]\npath = /d ; \xbf\xe2\n";
    expect(gbk, &[]);
    expect(b"[server_1]\n[db1]\npath = /\xbf\xe2\n", &["3 error: not UTF-8"]);
    expect("[server_1]\n[db1]\npath = /\u{fffd}\n", &[]);
    expect("[server_1]\n[db1]\npath = a\rb\n", &["3 error: a control character"]);
    expect("[server_1]\n[db1]\npath = a\0b\n", &["3 error: a control character"]);
}

#[test]
fn lines_that_say_nothing() {
    base("= 5", &["4 error: no key before the `=`"]);
    base("[x", &["4 error: not closed"]);
    base("[]", &["4 error: a section without a name"]);
    base("[server_2] x", &["4 error: after `[server_2]` only a comment"]);
}

#[test]
fn sections() {
    for (section, hint) in [
        ("[Base]", "did you mean [base]?"),
        ("[server2]", "did you mean [server_2]?"),
        ("[server-2]", "did you mean [server_2]?"),
        ("[sever_3]", "did you mean [server_3]?"),
        ("[database]", "did you mean [db1]?"),
        ("[web]", "there are [base], [server_N] and [dbN]"),
    ] {
        base(section, &[&format!("4 warning: {hint}")]);
    }
    for id in ["0", "-1", "x", "", "4294967296", "+1"] {
        let text = format!("4 error: [server_{id}]: a server id is a whole number from 1");
        base(&format!("[server_{id}]"), &[&text]);
    }
    base("[db2]", &["4 warning: [db2] is not used: there is one database, [db1]"]);
    base("[db1]\npath=/d", &["4 warning: [db1] is here a second time (first: line 2)"]);
    base("[server_01]\nport=5", &[]);
}

#[test]
fn keys_given_twice() {
    let parsed = parse("x", b"[server_1]\nport=1\nport=2\n[db1]\n", &[]);
    assert_eq!(parsed.config.unwrap().servers[&1].port, 2, "the last one counts, as in PHP");
    server("port=1\nport=2", &["4 warning: `port` is here a second time (first: line 3)"]);
}

#[test]
fn numbers() {
    for value in ["-1", "+5", "1.5", "0x10", "1 2", "99999999999"] {
        base(&format!("stop_grace = {value}"), &[&format!("4 error: `stop_grace` is `{value}`")]);
    }
    for value in ["90", "0d", "d", "+9d", "40000d", "9y"] {
        base(&format!("keep_records = {value}"), &["4 error: write days or weeks, from `1d`"]);
    }
    for value in ["64", "-1M", "0M", "1025G", "M", "1T", "64M 1"] {
        base(&format!("output_limit = {value}"), &["4 error: write megabytes or gigabytes"]);
    }
    base("keep_output = 100001", &["4 error: from 0 to 100000 (runs of each job, 0 = all)"]);
    base("sync_interval = 0", &["4 error: from 1 to 3600 (seconds)"]);
    base("stop_grace = 5 # s", &["4 error: a comment after a value begins with a blank and `;`"]);
    for value in ["31", "1T", "-1", "9999999G", "5000G"] {
        base(&format!("memory_limit = {value}"), &["4 error: 0 = not watched"]);
    }
    server("insecure = maybe", &["3 error: write 1 or 0"]);
    server("server = 0", &["3 error: from 1 to"]);
    server("names = a.example, http://b.example", &["3 error: `names` has `http://b.example`"]);
    server("names = a.example,B.example c", &[]);
}

#[test]
fn names() {
    base("timezone = Asia/Shangai", &["4 error: did you mean Asia/Shanghai?"]);
    base("timezone = Middle/Earth", &["4 error: a name of the IANA database such as"]);
    base("cron_dialect = orignal", &["4 error: did you mean `original`?"]);
    base("loglevel = inof", &["4 error: did you mean `info`?"]);
}

#[test]
fn paths_of_several_servers() {
    let two = |line: &str| format!("[server_1]\n[server_2]\n[db1]\n[base]\n{line}\n");
    expect(two("pidfile = /x"), &["5 error: shared by all servers: put `{%d}`"]);
    expect(two("statedir = /x"), &["5 error: shared by all servers"]);
    expect(two("logfile = /x"), &["5 warning: shared by all servers"]);
    base("pidfile = /x", &[]);
    base("pidfile = /x%d", &["4 warning: the server id is written `{%d}`"]);
}

#[test]
fn hosts() {
    for host in ["*", "0.0.0.0", "10.1.2.3", "::", "[::]", "example.org", "::ffff:10.0.0.1"] {
        server(&format!("host = {host}"), &["3 error: or `insecure = 1` if"]);
        server(&format!("host = {host}\ninsecure = 1"), &[]);
    }
    for host in ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
        server(&format!("host = {host}"), &[]);
    }
    server("host = 127.0.0.1:80", &["3 error: the port has a key of its own"]);
    server("host = a b", &["3 error: write an address such as 127.0.0.1, or `*`: all"]);
    server("host = *:80", &["3 error: the port has a key of its own"]);
}

#[test]
fn ports() {
    let two = |a: &str, b: &str| format!("[db1]\n[server_1]\n{a}\n[server_2]\n{b}\n");
    let twice = "5 error: server 2 has port 80 like server 1";
    expect(two("port=80", "port=80"), &[twice]);
    expect(two("port=80", "port=80\nhost=localhost"), &[twice]);
    expect(two("port=3402", ""), &["4 error: server 2 has port 3402 like server 1"]);
    expect(two("port=0", "port=0"), &[]);
    let (a, b) = ("host=10.0.0.1\ninsecure=1\nport=80", "host=10.0.0.2\ninsecure=1\nport=80");
    expect(two(a, b), &[]);
    for host in ["0.0.0.0", "::", "*"] {
        let everywhere = format!("host={host}\ninsecure=1\nport=80");
        expect(two("port=80", &everywhere), &["7 error: server 2 has port 80 like server 1"]);
    }
}

#[test]
fn databases() {
    database("driver = mysql", &["2 error: `dbname` is missing", "2 error: `user` is missing"]);
    database("dbname =\nuser = u", &["3 error: `dbname` is missing"]);
    database("dbname=d\nuser=u\nport=0", &["5 error: from 1 to 65535"]);
    database("dbname=d\nuser=u\ncharset=utf-8", &["5 error: write utf8 or utf8mb4"]);
    database("dbname=d\nuser=u\nmoved_from = 10.0.0.1", &["5 error: such as mysql 10.0.0.1:3306/"]);
    database("dbname=d\nuser=u\nmoved_from = mysql a:1/b", &[]);
    database("driver=sqlite\nuser=u", &["4 warning: `user` means nothing to SQLite"]);
    database("driver=mysql\ndbname=d\nuser=u\npath=/d", &["6 warning: nothing to MySQL"]);
    database("path = :memory:", &["3 error: write the path of a file"]);
    database("driver = oracle", &["3 error: it takes mysql, pdo_mysql, sqlite"]);
}

/// Words that elsewhere stand for something else than a file, with the line and what to write.
#[test]
fn paths_that_are_none() {
    let said = |line: &str| {
        let text = format!("[base]\n{line}\n[server_1]\n[db1]\n");
        let parsed = parse("x.ini", text.as_bytes(), &[]);
        let texts: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
        (parsed.config, texts)
    };
    for word in ["syslog", "STDERR", "stdout", "journal", "php://stderr", "syslog://h", "console"] {
        let (config, texts) = said(&format!("logfile = {word}"));
        let start = format!("x.ini:2: error: `logfile` is `{word}`, which is no path: write `-` ");
        assert!(texts.len() == 1 && texts[0].starts_with(&start), "{texts:?}");
        assert!(config.is_none(), "{word}");
    }
    for word in ["none", "Off", "no", "null", "0"] {
        let (_, texts) = said(&format!("logfile = {word}"));
        assert!(texts.len() == 1 && texts[0].contains("error: "), "{texts:?}");
        assert!(texts[0].contains("write /dev/null for no log at all, or `-`"), "{texts:?}");
    }
    for line in ["pidfile = none", "pidfile = -", "statedir = off", "logfile = file:///x"] {
        let (_, texts) = said(line);
        assert!(texts.len() == 1 && texts[0].contains("error: "), "{texts:?}");
        assert!(
            texts[0].ends_with("which is no path: write a path, beginning with /"),
            "{texts:?}"
        );
    }
    for line in ["logfile = schedule", "statedir = state"] {
        let (config, texts) = said(line);
        assert!(texts.len() == 1 && texts[0].contains("x.ini:2: warning: "), "{texts:?}");
        assert!(config.is_some() && texts[0].contains("write ./s"), "{texts:?}");
    }
    // What is advised, and what is a path, is taken as it stands.
    for line in ["logfile = /dev/null", "logfile = ./none", "logfile = a.log", "logfile = l{%d}"] {
        let (config, texts) = said(line);
        assert!(config.is_some() && texts.is_empty(), "{texts:?}");
    }
    for line in ["logfile = -", "logfile = \"-\"  ; stderr"] {
        let (config, texts) = said(line);
        assert!(config.unwrap().base.log_path(1).is_none() && texts.is_empty(), "{texts:?}");
    }
    let shared = b"[base]\nlogfile = -\n[server_1]\n[server_2]\n[db1]\n";
    assert!(parse("x.ini", shared, &[]).problems.is_empty());
}

#[test]
fn flat_entries() {
    let flat = |line: &str, expected: &[&str]| {
        expect(format!("host=127.0.0.1\nserver_id[1]=3401\n{line}\n[db1]\n"), expected);
    };
    flat("server_id = 5", &["3 error: `server_id` needs an index"]);
    flat("server_id[] = 5", &["3 error: write `server_id[…] = value`"]);
    flat("server_id[0] = 5", &["3 error: a server id is a whole number"]);
    flat("server_id[2] = x", &["3 error: `server_id[2]` is `x`"]);
    flat("server_ids[2] = 5", &["3 warning: did you mean `server_id[…]`?"]);
    flat("db[usr] = 5", &["3 warning: unknown key `db[usr]` in [db1]: did you mean `db[user]`?"]);
    flat("pidfil = 5", &["3 warning: did you mean `pidfile`?"]);
    flat("server_vars[10.0.0] = 1", &["3 error: write `server_vars[ADDRESS] = N`"]);
    flat(
        "server_vars[10.0.0.9] = 1\nserver_vars[10.0.0.8] = 2",
        &["3 error: server_vars (10.0.0.9, 10.0.0.8) belongs to this machine (it has 127.0.0.1, \
         192.168.7.7): add"],
    );
}
