//! The pictures in the documentation, taken of this very build. `scripts/screenshots` puts them
//! into `docs/images`; otherwise they go where tests keep their files.

use crate::browser::{Look, Page};
use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::Driver;
use std::fs;
use std::path::PathBuf;

/// Pictures are loaded over the net by those who read the documentation.
const MAX_BYTES: usize = 200_000;

const DAYS: Due = Due::Never("30 2 * * MON-FRI");
const HOURS: Due = Due::Never("5 */4 * * *");

fn rows() -> Vec<Row> {
    let never = |expression| Due::Never(expression);
    let import = "n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo batch $n of 40: 250 rows; \
        sleep 0.05; done; exit $(( $$ % 4 / 3 ))";
    vec![
        Row::new(1, DAYS, "/bin/sleep 600").named("Back up the database").tag(1),
        Row::new(2, HOURS, import).named("Import the orders").tag(2).limit(2),
        Row::new(3, never("0 9 * * MON"), "echo sent").named("Send the weekly report").tag(3),
        Row::new(4, never("*/5 * * * *"), "df -h / | tail -1").named("Check the disks").tag(1),
        Row::new(5, never("0 0 1 * *"), "echo closed").named("Close the books").tag(2),
        Row::new(6, never("15,45 8-18 * * *"), "echo 同步完成").named("同步商品库存").tag(3),
        Row::new(7, never("*/10 * * * *"), "echo no route to host >&2; exit 7")
            .named("Fetch exchange rates")
            .tag(2),
        Row::new(8, never("0 4 * * *"), "/opt/reports/render --all")
            .named("Render the reports")
            .tag(3),
        Row::new(9, never("@daily"), "/bin/sleep 600").named("清理过期日志").tag(1).limit(3),
        Row::new(10, never("0 12 L * *"), "echo paid").named("Pay the bills").tag(2).limit(0),
    ]
}

/// A daemon with some history.
fn lived_in() -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(
        "INSERT INTO scheduler_tags (id, name) VALUES (1, 'upkeep'), (2, 'money'), (3, 'reports')",
    );
    let rows = rows();
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(rows.len() as u64);
    for round in 0..12 {
        assert_eq!(start(&daemon, 2), 200);
        if round % 3 == 0 {
            assert_eq!(start(&daemon, 2), 200);
        }
        daemon.wait_job(2, "done", |job| job["running"] == 0);
    }
    for id in [1, 3, 4, 6, 7, 8, 9, 9] {
        start(&daemon, id);
    }
    for (id, state) in [(1, "running"), (3, "stopped"), (7, "exited"), (8, "fatal")] {
        daemon.wait_job(id, state, |job| job["state"] == state);
    }
    (site, database, daemon)
}

fn start(daemon: &Daemon, id: u32) -> u16 {
    daemon.request("POST", &format!("/api/v1/jobs/{id}/start")).status
}

fn keep(page: &Page, name: &str) {
    let wanted = std::env::var_os("SCHEDULE_IMAGES").map(PathBuf::from);
    let dir = wanted.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("images"));
    fs::create_dir_all(&dir).unwrap();
    let picture = page.picture();
    let bytes = picture.len();
    assert!(bytes > 5_000, "{name}: {bytes} bytes are no picture of a page");
    assert!(bytes <= MAX_BYTES, "{name}: {bytes} bytes, {MAX_BYTES} are the limit");
    fs::write(dir.join(name), picture).unwrap();
}

/// A page of the daemon that is up to date.
fn open(daemon: &Daemon, look: &Look, target: &str) -> Page {
    let page = daemon.page(look);
    page.go(target);
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    page
}

#[test]
fn pictures() {
    let (_site, _database, daemon) = lived_in();
    let wide = Look { width: 1280, height: 800, ..Look::default() };
    let dark = Look { dark: true, ..wide.clone() };
    let chinese = Look { language: "zh-CN,zh", ..wide.clone() };
    let phone = Look { width: 390, height: 844, phone: true, ..Look::default() };
    keep(&open(&daemon, &wide, "/"), "status.png");
    keep(&open(&daemon, &dark, "/"), "status-dark.png");
    keep(&open(&daemon, &chinese, "/"), "status-chinese.png");
    keep(&open(&daemon, &phone, "/"), "status-phone.png");
    let tall = Look { height: 1320, ..wide };
    assert_eq!(start(&daemon, 2), 200);
    let page = open(&daemon, &tall, "/jobs/2");
    page.wait("some output", "document.querySelector('#out').innerText.includes('batch 9 ')");
    keep(&page, "job.png");
    let page = open(&daemon, &Look { height: 640, ..dark }, "/log");
    wait_for("some lines of the log", SOON, || {
        page.text("#out").contains("start job=").then_some(())
    });
    keep(&page, "log-dark.png");
}
