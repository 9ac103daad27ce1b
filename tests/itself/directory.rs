//! Which configuration file is read, and `schedule check` on it.

use std::fs;
use std::path::{Path, PathBuf};

use schedule::shell::config_file::load;

fn directory(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("config_{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Alone in its process would be better for the working directory, so this one test does all that
/// depends on it.
#[test]
fn the_default_places() {
    let dir = directory("default");
    std::env::set_current_dir(&dir).unwrap();
    if !Path::new("/etc/schedule/schedule.ini").exists() {
        let text = load(None).unwrap_err().to_string();
        assert!(text.contains("neither ./conf/schedule.ini nor /etc/schedule/schedule.ini"));
    }
    fs::create_dir("conf").unwrap();
    fs::write("conf/schedule.ini", "[server_1]\n[db1]\npath=x.db\n[base]\nstatedir=s/{%d}\n")
        .unwrap();
    let parsed = load(None).unwrap();
    assert_eq!(parsed.file, "./conf/schedule.ini");
    let config = parsed.config.unwrap();
    // The daemon leaves the directory, so what is relative to it is resolved now.
    assert_eq!(config.database.file().map(Path::new), Some(&*dir.join("x.db")));
    assert_eq!(Path::new(&config.base.statedir.path(1)), dir.join("s/1"));
    assert_eq!(config.base.pidfile.0, "/run/schedule/{%d}.pid");

    fs::remove_file("conf/schedule.ini").unwrap();
    fs::create_dir("conf/schedule.ini").unwrap();
    let text = load(None).unwrap_err().to_string();
    assert!(text.contains("cannot read the configuration ./conf/schedule.ini"), "{text}");
}

#[test]
fn a_file_that_was_named() {
    let dir = directory("named");
    let text = load(Some(&dir.join("no.ini"))).unwrap_err().to_string();
    assert!(text.contains("no.ini: No such file"), "{text}");
    let file = dir.join("a.ini");
    fs::write(&file, "[server_1]\nprot=1\n[db1]\n").unwrap();
    let parsed = load(Some(&file)).unwrap();
    let expected = format!("{}:2: warning: unknown key `prot`", file.display());
    assert!(parsed.problems[0].to_string().starts_with(&expected));
    // Loopback is an address of every machine.
    fs::write(&file, "host=::1\nserver_vars[127.0.0.1]=9\nserver_id[1]=1\n[db1]\n").unwrap();
    let config = load(Some(&file)).unwrap().config.unwrap();
    assert_eq!(config.servers[&1].vars_server, 9);
}

#[test]
fn far_too_large() {
    let parsed = load(Some(Path::new("/dev/zero"))).unwrap();
    assert!(parsed.problems[0].text.contains("larger than"));
}
