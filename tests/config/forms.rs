//! Configuration: both forms, the samples that users have, the defaults.

use std::net::IpAddr;

use schedule::core::config::{Config, Parsed, Problem, parse};
use schedule::core::cron::Dialect;
use schedule::core::database::{Database, Driver, Sqlite};

const README: &str = "\
; 基本配置模块，如pid文件、log文件路径、内存最大限制等。
[base]
; 此处省略，在demo中有

; 服务配置模块
;1对应的就是server_id=1的组别。
[server_1]
host = 127.0.0.1    ;线上最好不要写0.0.0.0和127.0.0.1，而是写真实的内网ip。
port = 3401         ;端口号，不同的组别端口号必须不同。
server = 1          ;最终DB的不同组可部署到不同服务器，为了屏蔽不同服务器
                    ;之间的配置不同，通过`server`指定的变量替换jobs的占位符。

[server_2]
host = 127.0.0.1
port = 3402
server = 1

; DB模块
[db1]
; 此处省略，是DB连接的配置
";

fn local() -> Vec<IpAddr> {
    ["127.0.0.1", "::1", "10.0.0.1", "fe80::1"].map(|a| a.parse().unwrap()).to_vec()
}

fn read(text: &str) -> Parsed {
    parse("x.ini", text.as_bytes(), &local())
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

/// The configuration, which must be without any problem.
#[track_caller]
fn clean(text: &str) -> Config {
    let parsed = read(text);
    assert_eq!(texts(&parsed.problems), Vec::<String>::new(), "in\n{text}");
    parsed.config.unwrap()
}

#[test]
fn the_sample_of_the_originals_readme() {
    let config = clean(README);
    let servers: Vec<_> = config
        .servers
        .values()
        .map(|s| (s.id, s.host.as_str(), s.port, s.vars_server, s.insecure))
        .collect();
    assert_eq!(servers, [(1, "127.0.0.1", 3401, 1, false), (2, "127.0.0.1", 3402, 1, false)]);
    assert_eq!(config.base.memory_limit_mb, 1024);
}

#[test]
fn the_sample_with_windows_line_ends_and_bom() {
    let dos = format!("\u{feff}{}", README.replace('\n', "\r\n"));
    assert_eq!(clean(&dos), clean(README));
}

#[test]
fn the_flat_form() {
    let config = clean(
        "pidfile = /var/run/sched{%d}.pid ; with the id\n\
         logfile=/tmp/{%d}.log\n\
         loglevel=DEBUG\n\
         host = 127.0.0.1\n\
         server_vars[127.0.0.1] = 2\n\
         server_vars[10.0.0.9] = 4\n\
         server_vars[10.0.0.1] = 3\n\
         server_id[99] = 3499\n\
         server_id[5] = 3405\n\
         db[dbname] = test\n\
         db[user] = root\n\
         db[password] = \"\"\n\
         db[host] = db.example\n\
         db[driver] = pdo_mysql\n",
    );
    assert_eq!(config.base.pidfile.path(99), "/var/run/sched99.pid");
    assert_eq!(config.base.log_path(5), Some("/tmp/5.log".into()));
    assert_eq!(config.base.loglevel, log::LevelFilter::Debug);
    let servers: Vec<_> = config.servers.values().map(|s| (s.id, s.port, s.vars_server)).collect();
    assert_eq!(servers, [(5, 3405, 3), (99, 3499, 3)], "10.0.0.1 goes before loopback");
    let Database::Mysql(db) = &config.database else { panic!("{:?}", config.database) };
    assert_eq!(db.dbname, "test");
    assert_eq!((db.host.as_str(), db.port, db.charset.as_str()), ("db.example", 3306, "utf8"));
}

#[test]
fn flat_vars_by_ipv6_and_the_default_without_vars() {
    let tail = "host=localhost\nserver_id[7]=3407\ndb[path]=/x.db\n";
    assert_eq!(clean(&format!("server_vars[::1] = 8\n{tail}")).servers[&7].vars_server, 8);
    assert_eq!(clean(tail).servers[&7].vars_server, 1);
}

#[test]
fn flat_vars_of_two_addresses_of_one_machine() {
    let vars = "host=::1\nserver_vars[fe80::1]=5\nserver_vars[10.0.0.1]=6\n";
    let parsed = read(&format!("{vars}server_id[7]=3407\n[db1]\n"));
    let expected = "x.ini:2: warning: `server_vars[fe80::1]` counts, though this machine has \
                    10.0.0.1 too";
    assert_eq!(texts(&parsed.problems), [expected]);
    assert_eq!(parsed.config.unwrap().servers[&7].vars_server, 5);
}

#[test]
fn flat_without_host_says_where_the_page_is() {
    let parsed = read("server_id[7] = 3407\ndb[path] = /x.db\n");
    let texts = texts(&parsed.problems);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("x.ini:1: warning: no `host`"), "{texts:?}");
    assert_eq!(parsed.config.unwrap().servers[&7].host, "127.0.0.1");
}

#[test]
fn both_forms_in_one_file() {
    let config = clean("stop_grace = 3\n[server_2]\nport=1\n[base]\nkeepalive=0\n[db]\npath=/d\n");
    assert_eq!((config.base.stop_grace_s, config.base.keepalive_s), (3, 0));
    for (text, days) in [("0", 0), ("90d", 90), ("12W", 84)] {
        let config = clean(&format!("keep_records = {text}\n[server_2]\nport=1\n[db]\npath=/d\n"));
        assert_eq!(config.base.keep_records_days, days);
    }
    for (text, mb) in [("0", 0), ("1M", 1), ("64mb", 64), ("2 G", 2_048), ("1024G", 1 << 20)] {
        let config = clean(&format!("output_limit = {text}\n[server_2]\nport=1\n[db]\npath=/d\n"));
        assert_eq!(config.base.output_limit_bytes, mb << 20);
    }
    assert_eq!(config.servers[&2].port, 1);
    assert_eq!(config.database, Database::Sqlite(Sqlite { path: "/d".into() }));
}

/// The sample in `conf/` shows the defaults; so it must be equal to a file that sets nothing.
#[test]
fn the_sample_is_the_defaults() {
    let sample = clean(include_str!("../../conf/schedule.ini"));
    assert_eq!(sample, clean("[server_1]\n[db1]\n"));
    assert_eq!(sample.base.statedir.path(1), "/var/lib/schedule/1");
    assert_eq!(sample.database.driver(), Driver::Sqlite);
    assert_eq!(sample.servers[&1].port, 3401);
}

/// And every key of the documentation is in the sample, and none that is not documented.
#[test]
fn every_key_is_documented() {
    let docs = include_str!("../../docs/configuration.md");
    for line in include_str!("../../conf/schedule.ini").lines() {
        let key = line.trim_start_matches([';', ' ']).split_once('=').map_or("", |(k, _)| k.trim());
        if !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            assert!(docs.contains(&format!("| `{key}` |")), "`{key}` is not in docs");
        }
    }
}

#[test]
fn values_of_base() {
    let base = |line: &str| clean(&format!("[base]\n{line}\n[server_1]\n[db1]\n")).base;
    for (text, level) in [
        ("off", log::LevelFilter::Off),
        ("Error", log::LevelFilter::Error),
        ("warn", log::LevelFilter::Warn),
        ("WARNING", log::LevelFilter::Warn),
        ("info", log::LevelFilter::Info),
        ("trace", log::LevelFilter::Trace),
    ] {
        assert_eq!(base(&format!("loglevel = {text}")).loglevel, level, "{text}");
    }
    for (text, mb) in [("64", 64), ("512M", 512), ("2 GB", 2048), ("0", 0), ("", 1024)] {
        assert_eq!(base(&format!("memory_limit = {text}")).memory_limit_mb, mb, "{text}");
    }
    for (text, seconds) in [("0", 0), ("off", 0), ("1", 60), ("on", 60), ("15", 15)] {
        assert_eq!(base(&format!("keepalive = {text}")).keepalive_s, seconds, "{text}");
    }
    assert_eq!(base("timezone = America/New_York").zone_name(), "America/New_York");
    assert_eq!(base("cron_dialect = Original").cron_dialect, Dialect::Original);
}

#[test]
fn the_driver_is_told_by_the_other_keys() {
    let db = |lines: &str| clean(&format!("[server_1]\n[db1]\n{lines}\n")).database;
    let server = |lines: &str| match db(lines) {
        Database::Mysql(server) => server,
        Database::Sqlite(_) => panic!("{lines}: no server"),
    };
    assert_eq!(server("dbname=a\nuser=b").dbname, "a");
    assert_eq!(server("dbname=a\nuser=").user, "", "an empty user is the anonymous one");
    assert_eq!(server("driver=MySQL\ndbname=a\nuser=b\nport=3307").port, 3307);
    assert_eq!(db("path=/a.db").file().unwrap(), "/a.db");
    assert_eq!(db("").file().unwrap(), "/var/lib/schedule/schedule.db");
    assert_eq!(server("dbname=a\nuser=b\nunix_socket=/run/my.sock").unix_socket, "/run/my.sock");
}
