//! Ways to log in, and servers that refuse: what is said names the reason, and no panic of the
//! driver reaches a person.

use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn, over_tcp, server};
use crate::common::helper::{self, Reply, ask_sync, run, started, sync};
use crate::common::{TempDir, our_program, unique};
use mysql::prelude::Queryable;
use schedule::core::database::{Database, ErrorKind, Mysql};
use schedule::shell::database::write_records;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

/// A helper says so: one line, and nothing on stderr.
#[track_caller]
fn says(reply: &Reply, kind: ErrorKind, parts: &[&str]) {
    let (found, message) = reply.error();
    assert_eq!(found, kind, "{message}");
    assert_eq!(reply.stderr, "", "{message}");
    assert!(!message.contains('\n') && !message.contains("panicked"), "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// A user of a test with all rights, identified in this way; dropped with it.
struct Account {
    conn: mysql::Conn,
    config: Database,
}

impl Account {
    fn new(database: &TestDatabase, password: &str, identified: &str) -> Account {
        let mut conn = mysql_conn(&database.config);
        let name = format!("u{}", unique());
        for host in ["localhost", "127.0.0.1"] {
            conn.query_drop(format!("CREATE USER '{name}'@'{host}' {identified}")).unwrap();
            conn.query_drop(format!("GRANT ALL ON *.* TO '{name}'@'{host}'")).unwrap();
        }
        let password = password.to_owned();
        Account {
            conn,
            config: database.config.with(|it| {
                it.user = name;
                it.password = password
            }),
        }
    }

    fn tcp(&self) -> Database {
        over_tcp(self.config.clone())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let name = &self.config.server().user;
        let _ = self.conn.query_drop(format!("DROP USER '{name}'@localhost, '{name}'@'127.0.0.1'"));
    }
}

#[test]
fn ed25519_is_named_wherever_it_is_met() {
    // The plugin of MariaDB is in a package of its own; the driver panics at its mere name.
    let (config, _dir) =
        impostor(vec![greeting("mysql_native_password"), switch_to("client_ed25519")]);
    let parts = ["is identified by ed25519, which is not spoken here", "ALTER USER"];
    says(&sync(&config, ""), ErrorKind::Auth, &parts);
    for words in [&["db", "status"][..], &["db", "init"], &["db", "migrate"], &["check"]] {
        let (status, text) = cli(&config, words);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(parts[0]) && !text.contains("panicked"), "{text}");
    }
    let failure = write_records(&config, vec![run(started("a"))]).unwrap_err();
    assert!(failure.message.contains(parts[0]), "{failure:?}");
}

/// Status and texts of a command.
fn cli(config: &Database, words: &[&str]) -> (Option<i32>, String) {
    let dir = TempDir::new();
    let Mysql { dbname, user, password, unix_socket, .. } = config.server();
    let here = dir.0.display();
    let text = format!(
        "[base]\npidfile = \"{here}/{{%d}}.pid\"\nlogfile = \"{here}/log\"\n\
         statedir = \"{here}/state.{{%d}}\"\n[server_1]\nport = 0\n[db1]\ndriver = mysql\n\
         dbname = {dbname}\nuser = {user}\npassword = '{password}'\n\
         unix_socket = \"{unix_socket}\"\n"
    );
    std::fs::write(dir.file("schedule.ini"), text).unwrap();
    let mut command = our_program();
    let output = command.args(words).arg("-c").arg(dir.file("schedule.ini")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn methods_that_are_not_spoken_are_named() {
    if Kind::servers().contains(&Kind::Mysql) {
        let database = TestDatabase::new(Kind::Mysql);
        let account = Account::new(&database, "x", "IDENTIFIED WITH sha256_password BY 'x'");
        says(&sync(&account.tcp(), ""), ErrorKind::Auth, &["is identified by sha256_password,"]);
    }
    let methods = ["sha256_password", "dialog", "auth_gssapi_client", "mysql_clear_password"];
    for method in methods {
        let (config, _dir) = impostor(vec![greeting("mysql_native_password"), switch_to(method)]);
        let part = format!("is identified by {method}, which is not spoken here");
        says(&sync(&config, ""), ErrorKind::Auth, &[&part]);
    }
    // Its salt comes after an empty packet: two iterations' worth of it, and no password.
    let parsec = vec![greeting("mysql_native_password"), switch_to("parsec"), {
        let mut salt = vec![b'P', 2];
        salt.extend([7; 18]);
        salt
    }];
    let (config, _dir) = impostor(parsec.clone());
    says(&sync(&config, ""), ErrorKind::Auth, &["parsec, which is not spoken here"]);
    // Without a password the driver does not come so far as to name it.
    let (config, _dir) = impostor(parsec);
    let config = config.with(|it| it.password = String::new());
    says(&sync(&config, ""), ErrorKind::Other, &["is the user identified by a password?"]);
}

#[test]
fn a_password_that_is_too_long_to_be_sent_is_told() {
    if !Kind::servers().contains(&Kind::Mysql) {
        return;
    }
    let database = TestDatabase::new(Kind::Mysql);
    let password = "p".repeat(240);
    let identified = format!("IDENTIFIED BY '{password}'");
    let account = Account::new(&database, &password, &identified);
    let parts = ["has 240 bytes", "use unix_socket"];
    says(&sync(&account.tcp(), ""), ErrorKind::Auth, &parts);
    sync(&account.config, "").digest();
}

/// A server that answers each packet of a client with the next of these.
fn impostor(packets: Vec<Vec<u8>>) -> (Database, TempDir) {
    let dir = TempDir::new();
    let listener = UnixListener::bind(dir.file("socket")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &packets);
        }
    });
    let (dbname, unix_socket) = ("jobs".to_owned(), dir.file("socket"));
    (
        server(Kind::Mariadb).with(|it| {
            it.dbname = dbname;
            it.unix_socket = unix_socket
        }),
        dir,
    )
}

fn serve(mut stream: impl Read + Write, packets: &[Vec<u8>]) {
    for (number, packet) in (0..).zip(packets) {
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        let _ = stream.write_all(&[length[0], length[1], length[2], number * 2]);
        let _ = stream.write_all(packet);
        let _ = stream.read(&mut [0; 1000]);
    }
}

fn greeting(method: &str) -> Vec<u8> {
    let mut packet = b"\x0a8.0.40\0\x01\0\0\0saltsalt\0".to_vec();
    // Protocol 4.1, a secure connection, methods by name.
    packet.extend([0x0f, 0xa2, 33, 2, 0, 0x08, 0, 21]);
    packet.extend([0; 10]);
    packet.extend(b"saltsaltsalt\0");
    packet.extend(method.as_bytes());
    packet.push(0);
    packet
}

fn switch_to(method: &str) -> Vec<u8> {
    let mut packet = vec![0xfe];
    packet.extend(method.as_bytes());
    packet.push(0);
    packet.extend([b'n'; 32]);
    packet.push(0);
    packet
}

#[test]
fn nothing_that_a_server_says_makes_a_panic() {
    let endings: [&[u8]; 8] =
        [&[], &[0], &[1], &[1, 4], &[1, 9], &[0xfe], &[0xff], &[0xff, 0x15, 4, b'#']];
    for method in ["mysql_native_password", "caching_sha2_password"] {
        for ending in endings {
            let (config, _dir) = impostor(vec![greeting(method), ending.to_vec(), vec![]]);
            let reply = sync(&config, "");
            let (_, message) = reply.error();
            assert!(!message.contains("panicked") && reply.stderr.is_empty(), "{reply:?}");
            println!("{method} {ending:?}: {message}");
            let (status, text) = cli(&config, &["db", "status"]);
            assert_eq!((status, text.lines().count()), (Some(1), 1), "{text}");
        }
    }
}

#[test]
fn a_refused_password_names_what_else_it_can_be() {
    for database in TestDatabase::each_server() {
        let account = Account::new(&database, "x", "IDENTIFIED BY 'x' REQUIRE SSL");
        let parts = ["correct user and password of [db1]", "TLS (REQUIRE SSL)", "not spoken here"];
        says(&sync(&account.tcp(), ""), ErrorKind::Auth, &parts);
        says(&sync(&account.tcp(), ""), ErrorKind::Auth, &["no RSA key", "unix_socket"]);
    }
}

/// Neither of them blames a record: what was to be written waits.
#[test]
fn an_account_that_is_locked_or_whose_password_expired_is_told_as_that() {
    for database in TestDatabase::each_server() {
        for (state, what, hint) in [
            ("ACCOUNT LOCK", "is locked", "ACCOUNT UNLOCK"),
            ("PASSWORD EXPIRE", "has expired", "IDENTIFIED BY a new one"),
        ] {
            let mut account = Account::new(&database, "secret", "IDENTIFIED BY 'secret'");
            let name = account.config.server().user.clone();
            for host in ["localhost", "127.0.0.1"] {
                account.conn.query_drop(format!("ALTER USER '{name}'@'{host}' {state}")).unwrap();
            }
            says(&sync(&account.config, ""), ErrorKind::Auth, &[what, hint]);
            let failure = write_records(&account.config, vec![run(started("a"))]).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Auth, "{failure:?}");
        }
    }
}

#[test]
fn an_account_of_the_socket_is_told_over_tcp() {
    for database in TestDatabase::each_server() {
        let (plugin, identified) = match database.kind {
            Kind::Mysql => ("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'", "WITH"),
            Kind::Mariadb | Kind::Sqlite => ("DO 0", "VIA"),
        };
        let _ = mysql_conn(&database.config).query_drop(plugin);
        let method = if identified == "WITH" { "auth_socket" } else { "unix_socket" };
        let identified = format!("IDENTIFIED {identified} {method}");
        let account = Account::new(&database, "", &identified);
        for host in ["127.0.0.1", "localhost"] {
            let config = account.tcp().with(|it| it.host = host.to_owned());
            says(
                &sync(&config, ""),
                ErrorKind::Auth,
                &["correct user", "by its socket only", "unix_socket"],
            );
        }
        // Nobody in the system is called so.
        says(
            &sync(&account.config, ""),
            ErrorKind::Auth,
            &["run this as", &account.config.server().user],
        );
    }
}

/// `localhost` is the socket where there is one, unless the port is another server's.
#[test]
fn localhost_is_the_socket_as_with_php() {
    for database in TestDatabase::each_server() {
        let socket = database.config.server().unix_socket.clone();
        let config = over_tcp(database.config.with(|it| it.host = "localhost".to_owned()));
        let at = |port, password: &str| {
            let config = config.with(|it| {
                it.port = port;
                it.password = password.to_owned()
            });
            let env = [("MYSQL_UNIX_PORT", socket.as_str())];
            helper::talk_with(&helper::request(&config, ask_sync("")), &env)
        };
        // Nothing of the tests listens on 3306.
        at(3306, &config.server().password).digest();
        let told = format!("at socket {socket} (which is what `localhost` means");
        says(&at(3306, "wrong"), ErrorKind::Auth, &[&told, "127.0.0.1 is TCP"]);
        at(config.server().port, &config.server().password).digest();
        says(
            &at(config.server().port, "wrong"),
            ErrorKind::Auth,
            &[&format!("localhost:{}", config.server().port)],
        );
    }
}

#[test]
fn an_ipv6_address_is_understood_with_brackets_and_without() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let packets = vec![greeting("mysql_native_password"), switch_to("dialog")];
    std::thread::spawn(move || {
        let streams = listener.incoming().map(Result::unwrap);
        streams.for_each(|stream: TcpStream| serve(stream, &packets));
    });
    for host in ["[::1]", "::1"] {
        let config = over_tcp(server(Kind::Mariadb));
        let reply = sync(
            &config.with(|it| {
                it.host = host.to_owned();
                it.port = port
            }),
            "",
        );
        says(&reply, ErrorKind::Auth, &[&format!("MySQL at [::1]:{port}:"), "dialog"]);
    }
}
