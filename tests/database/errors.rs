//! Everything that can be wrong with a connection, and what is said about it.

use crate::common::TempDir;
use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn, numbers, over_tcp, server};
use crate::common::helper::{self, ask_sync, run, started, sync};
use crate::common::unique;
use crate::daemon::{SOON, wait_for};
use mysql::prelude::Queryable;
use schedule::core::database::{Database, ErrorKind, Sqlite};
use schedule::shell::database::write_records;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

#[track_caller]
fn fails(database: &Database, kind: ErrorKind, said: &[&str]) {
    let reply = sync(database, "");
    let (sync_kind, sync_message) = reply.error();
    let written = write_records(database, vec![run(started("a"))]).unwrap_err();
    for (found, message) in [(sync_kind, sync_message), (written.kind, &written.message)] {
        assert_eq!(found, kind, "{message}");
        assert!(!message.contains('\n'), "{message}");
        for part in said {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

#[test]
fn refused_connections_name_the_place_and_the_keys() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = over_tcp(server(Kind::Mariadb)).with(|it| it.port = port);
    let place = format!("can't reach MySQL at 127.0.0.1:{port}: Connection refused");
    fails(&tcp, ErrorKind::Connect, &[&place, "are host and port of [db1] right"]);

    let socket = server(Kind::Mariadb).with(|it| it.unix_socket = "/nonexistent/socket".to_owned());
    let place = "can't reach MySQL at socket /nonexistent/socket: No such file or directory";
    fails(&socket, ErrorKind::Connect, &[place, "is unix_socket of [db1] right"]);

    let host = tcp.with(|it| it.host = "no.such.host.invalid".to_owned());
    fails(&host, ErrorKind::Connect, &["can't reach MySQL at no.such.host.invalid:"]);
}

#[test]
fn a_wrong_password_is_told_from_a_wrong_database() {
    for database in TestDatabase::each_server() {
        for config in [database.config.clone(), over_tcp(database.config.clone())] {
            let wrong = config.with(|it| it.password = "wrong".to_owned());
            let said = ["refuses user 'schedule'", "correct user and password of [db1]"];
            fails(&wrong, ErrorKind::Auth, &said);
            let wrong = config.with(|it| it.user = "nobody".to_owned());
            // For one user that there is not MySQL names this method, for the next another.
            let said = write_records(&wrong, vec![run(started("a"))]).unwrap_err();
            let both = ["refuses user 'nobody'", "or there is no such user: correct user of [db1]"];
            assert_eq!(said.kind, ErrorKind::Auth);
            assert!(both.iter().any(|part| said.message.contains(part)), "{}", said.message);
            assert!(said.message.contains("CREATE USER"), "{}", said.message);
            let wrong = config.with(|it| it.dbname = "no_such_db".to_owned());
            let said = ["database `no_such_db` does not exist", "CREATE DATABASE `no_such_db`"];
            fails(&wrong, ErrorKind::NoDatabase, &said);
        }
    }
}

#[test]
fn missing_rights_ask_for_a_grant() {
    for database in TestDatabase::each_server() {
        let user = format!("u{}", unique());
        let mut conn = mysql_conn(&database.config);
        let name = &database.config.server().dbname;
        conn.query_drop(format!("CREATE USER {user}@localhost")).unwrap();
        let config = database.config.with(|it| {
            it.user = user.clone();
            it.password = String::new()
        });
        let said = [format!("user '{user}' may not use database `{name}`")];
        fails(&config, ErrorKind::Rights, &[&said[0], "GRANT SELECT, INSERT, UPDATE ON"]);
        conn.query_drop(format!("GRANT SELECT ON {name}.scheduler_vars TO {user}@localhost"))
            .unwrap();
        fails(&config, ErrorKind::Rights, &["not permitted to user", "GRANT SELECT"]);
        conn.query_drop(format!("DROP USER {user}@localhost")).unwrap();
    }
}

#[test]
fn missing_tables_and_columns_are_named() {
    for kind in Kind::all() {
        let empty = TestDatabase::empty(kind);
        let said = ["is missing in database", "run `schedule db init`"];
        fails(&empty.config, ErrorKind::NoTable, &said);

        let mut database = TestDatabase::new(kind);
        database.sql(
            "ALTER TABLE scheduler_jobs RENAME COLUMN stderr TO x;
             ALTER TABLE scheduler_logs RENAME COLUMN concurrent TO x",
        );
        let reply = sync(&database.config, "");
        let (kind, message) = reply.error();
        assert_eq!(kind, ErrorKind::NoColumn);
        assert!(message.starts_with("column stderr is missing in database"), "{message}");
        let failure = write_records(&database.config, vec![run(started("a"))]).unwrap_err();
        let (kind, message) = (failure.kind, failure.message);
        assert_eq!(kind, ErrorKind::NoColumn);
        assert!(message.starts_with("column concurrent is missing in database"), "{message}");
        assert!(message.contains("/001_original.sql declares it"), "{message}");
    }
}

#[test]
fn sqlite_files_that_are_none() {
    let dir = TempDir::new();
    let at = |path: String| Database::Sqlite(Sqlite { path });
    let missing = at(dir.file("missing.db"));
    fails(&missing, ErrorKind::Connect, &["there is no file", "run `schedule db init`"]);
    assert!(!fs::exists(missing.path()).unwrap());
    let text = at(dir.file("text.db"));
    fs::write(text.path(), "This is a text and no database.\n".repeat(100)).unwrap();
    fails(&text, ErrorKind::Other, &["is not an SQLite database", "path of [db1]"]);
    let directory = at(dir.0.to_str().unwrap().to_owned());
    let is_none = "it is a directory: name the file of the database with path of [db1]";
    fails(&directory, ErrorKind::Connect, &["can't open", is_none]);
    // To open one for reading would wait for who writes to it.
    let pipe = at(dir.file("pipe.db"));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.path(), mode).unwrap();
    fails(&pipe, ErrorKind::Connect, &["can't open", "no file that could hold a database"]);
}

#[test]
fn any_password_works() {
    for database in TestDatabase::each_server() {
        let mut conn = mysql_conn(&database.config);
        for password in ["", "; # ' \" \\ %", "密码 😀", "{a}$b`c`", " leading and trailing "] {
            let user = format!("u{}", unique());
            let quoted = password.replace('\\', "\\\\").replace('\'', "''");
            let host = ["localhost", "127.0.0.1"];
            for host in host {
                let at = format!("{user}@'{host}'");
                conn.query_drop(format!("CREATE USER {at} IDENTIFIED BY '{quoted}'")).unwrap();
                conn.query_drop(format!("GRANT ALL ON *.* TO {at}")).unwrap();
            }
            let password = password.to_owned();
            let config = database.config.with(|it| {
                it.user = user.clone();
                it.password = password
            });
            sync(&config, "").digest();
            sync(&over_tcp(config.clone()), "").digest();
            sync(&over_tcp(config).with(|it| it.host = "localhost".to_owned()), "").digest();
            conn.query_drop(format!("DROP USER {user}@localhost, {user}@'127.0.0.1'")).unwrap();
        }
    }
}

/// A server that says `hello`, reads something and hangs up.
fn impostor(hello: &'static [u8]) -> (Database, TempDir) {
    let dir = TempDir::new();
    let listener = UnixListener::bind(dir.file("socket")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(hello);
            let _ = stream.read(&mut [0; 1000]);
        }
    });
    (server(Kind::Mariadb).with(|it| it.unix_socket = dir.file("socket")), dir)
}

#[test]
fn a_server_that_hangs_up_or_talks_nonsense_is_a_failure() {
    for hello in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 64], &[1, 0, 0, 0, 7]] {
        let (database, _dir) = impostor(hello);
        let reply = sync(&database, "");
        reply.error();
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let dir = TempDir::new();
    let _listener = UnixListener::bind(dir.file("socket")).unwrap();
    let database = server(Kind::Mariadb).with(|it| it.unix_socket = dir.file("socket"));
    let reply = sync(&database, "");
    let (kind, message) = reply.error();
    assert_eq!(kind, ErrorKind::Connect);
    assert!(message.contains("no answer within 10 s"), "{message}");
}

#[test]
fn a_connection_that_is_killed_in_the_middle_is_a_failure() {
    for mut database in TestDatabase::each_server() {
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (command, server_id, status)
             SELECT REPEAT('x', 900), 1, 1 FROM {}",
            numbers(50_000)
        ));
        let mut child = helper::start(&helper::request(&database.config, ask_sync("")));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // With a line here and most of 45 MB still to come, server and helper wait for us.
        lines.next().unwrap().unwrap();
        let name = database.config.server().dbname.clone();
        let mut conn = mysql_conn(&database.config);
        // The line may have come before the question for the jobs was asked. And MySQL refuses to
        // show a statement of another test with a character beyond utf8mb3: that one ends soon.
        let ids: Vec<u64> = wait_for("the helper's question", SOON, || {
            let asked = conn.query(format!(
                "SELECT id FROM information_schema.processlist
                 WHERE db = '{name}' AND id <> CONNECTION_ID()
                 AND info LIKE 'SELECT %scheduler_jobs%'"
            ));
            asked.ok().filter(|ids: &Vec<u64>| !ids.is_empty())
        });
        assert_eq!(ids.len(), 1);
        conn.query_drop(format!("KILL {}", ids[0])).unwrap();
        let last = lines.map(Result::unwrap).last().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(last.starts_with("{\"error\":"), "{last}");
    }
}

#[test]
fn a_request_that_is_none_is_refused() {
    for input in [&b"\n"[..], b"{}\n", &[0xff, 0xfe, b'\n']] {
        let reply = helper::talk(input);
        let (kind, message) = reply.error();
        assert_eq!(kind, ErrorKind::Other);
        assert!(message.contains("started by the daemon, not by hand"), "{message}");
    }
}
