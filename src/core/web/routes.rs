//! Every route: one line each. Who adds one writes its function, and describes it in
//! `docs/openapi.json` if a program may ask for it.

use super::Web;
use super::call::Awaits::{Jobs, Tags};
use super::change;
use super::entry;
use super::named;
use super::original;
use super::past;
use super::pause;
use super::route::Does::{
    Change, Command, Entry, Events, File, Form, Original, Past, Pause, Sheet, Show, Slow,
};
use super::route::Role::{Anyone, Editor, Operator, Viewer};
use super::route::{Route, delete, form, get, page, patch, post};
use super::runs;
use super::slow;
use super::words;

/// The parameters of a list; `tagid` is the original's name for `tag`.
const LIST: &[&str] = &["tag", "tagid", "q", "state", "id", "sort", "dir", "page", "per_page"];

/// Those of a file.
const FILE: &[&str] = &["stream", "tail", "follow", "download", "level"];

/// Those of a forecast.
const FORECAST: &[&str] = &["from", "to", "tag", "limit"];

/// Those of a timeline.
const TIMELINE: &[&str] = &["from", "to", "tag"];

/// Those of a preview.
const PREVIEW: &[&str] = &["lang"];

/// That of a change of what jobs use.
const FORCE: &[&str] = &["force"];

/// Those of an export.
const EXPORT: &[&str] = &["format"];

/// Those of a file that a group is made by.
const APPLY: &[&str] = &["dry_run", "prune"];

/// Where such a file is sent. It may be larger than other bodies.
const APPLY_PATH: &str = "/api/v1/apply";

/// Paths whose bodies may be larger than others, in bytes: a file, and what has the longest command
/// in it, or as long a value: each byte is written as three in a form, as six in JSON.
pub const LARGER_BODIES: &[(&str, usize)] = &[
    (APPLY_PATH, 16 << 20),
    ("/jobs/", 1 << 20),
    ("/api/v1/jobs", 1 << 20),
    ("/api/v1/jobs/", 1 << 20),
    ("/api/v1/vars", 1 << 20),
    ("/api/v1/vars/", 1 << 20),
];

/// Those of who did what.
const AUDIT: &[&str] = &["job", "who", "since", "before", "limit"];

/// The same of the page.
const AUDIT_PAGE: &[&str] = &["job", "who", "before"];

/// The act before which a definition was as it is wanted.
const BACK: &[&str] = &["act"];

/// The instant that somebody asks about.
const AT: &[&str] = &["at"];

/// Those of a list of runs.
const RUNS: &[&str] = runs::PARAMETERS;

/// Which of two files.
const STREAM: &[&str] = &["stream"];

/// Whose run it is, of one that the daemon does not remember.
const OF_JOB: &[&str] = &["job"];

/// Those of a page that shows what runs have written.
const OUTPUT: &[&str] = &["run", "stream", "tail", "follow"];

/// Those of the page of the log.
const LOG: &[&str] = &["level", "filter", "tail", "follow"];

/// Those of every page for people.
const LOOK: &[&str] = &["lang", "theme"];

/// The job that a new one is like.
const COPY: &[&str] = &["from"];

/// What the links of the original's page hold besides, without an action.
const LINKS: &[&str] = &["action", "md5", "type", "size"];

/// All of them. Of two that fit a path the first counts; those of the same path stand together.
///
/// Before these comes what the original does on every path (`original`), except on those of the API
/// and those that answer under any name.
pub const ROUTES: &[Route] = &[
    get("/healthz", Show(super::health), Anyone).any_host(),
    get("/metrics", Show(Web::metrics), Viewer),
    // Pages, and what belongs to them.
    page("/", Show(Web::list), Viewer).takes(&[LIST, LOOK, LINKS]).awaits(Tags),
    page("/index.php", Show(Web::list), Viewer).takes(&[LIST, LOOK, LINKS]).awaits(Tags),
    page("/jobs/new", Sheet(Web::new_page), Editor).takes(&[COPY, LOOK]).awaits(Jobs),
    form("/jobs/new", Entry(entry::create), Editor),
    page("/jobs/{id}", Show(Web::job), Viewer).takes(&[OUTPUT, LOOK]).awaits(Jobs),
    page("/jobs/{id}/edit", Sheet(Web::edit_page), Editor).takes(&[LOOK]).awaits(Jobs),
    form("/jobs/{id}/edit", Entry(entry::edit), Editor),
    page("/jobs/{id}/delete", Sheet(Web::delete_page), Editor).takes(&[LOOK]).awaits(Jobs),
    form("/jobs/{id}/delete", Entry(entry::delete), Editor),
    form("/jobs/{id}/enable", Entry(entry::enable), Editor),
    form("/jobs/{id}/disable", Entry(entry::disable), Editor),
    page("/jobs/{id}/back", Past(past::back), Editor).takes(&[BACK, LOOK]).awaits(Jobs),
    page("/jobs/{id}/why", Past(past::why_page), Viewer).takes(&[AT, LOOK]).awaits(Jobs),
    page("/audit", Past(past::audit_page), Viewer).takes(&[AUDIT_PAGE, LOOK]),
    page("/jobs/{id}/statistics", Past(past::statistics_page), Viewer).takes(&[LOOK]).awaits(Jobs),
    form("/jobs/{id}/pause", Entry(entry::pause), Operator),
    form("/jobs/{id}/resume", Entry(entry::resume), Operator),
    page("/log", Show(Web::log), Viewer).takes(&[LOG, LOOK]),
    page("/assets/{name}", Show(Web::asset), Anyone),
    page("/favicon.ico", Show(Web::icon), Anyone),
    form("/actions", Form, Operator),
    // Other pages of the original.
    page("/index.html", Show(original::moved), Viewer),
    page("/stderr.html", Show(original::moved), Viewer),
    page("/stderr.php", Original(Web::original_output), Viewer),
    page("/tail.php", Original(original::log), Viewer),
    // The API: what it shows, and how jobs are changed.
    get("/api/v1/openapi.json", Show(Web::openapi), Viewer),
    get("/api/v1/status", Show(Web::status_view), Viewer),
    get("/api/v1/events", Events, Viewer).takes(&[LIST]),
    get("/api/v1/jobs", Show(Web::job_list), Viewer).takes(&[LIST]).awaits(Tags),
    post("/api/v1/jobs", Change(change::create), Editor),
    post("/api/v1/jobs/preview", Slow(slow::preview), Editor).takes(&[PREVIEW]).awaits(Jobs),
    get("/api/v1/jobs/{id}", Show(Web::job_view), Viewer).awaits(Jobs),
    patch("/api/v1/jobs/{id}", Change(change::edit), Editor),
    delete("/api/v1/jobs/{id}", Change(change::delete), Editor),
    get("/api/v1/jobs/{id}/runs", Past(past::runs_of_job), Viewer).takes(&[RUNS]).awaits(Jobs),
    get("/api/v1/jobs/{id}/why", Past(past::why), Viewer).takes(&[AT, PREVIEW]).awaits(Jobs),
    get("/api/v1/jobs/{id}/statistics", Past(past::statistics), Viewer).awaits(Jobs),
    get("/api/v1/jobs/{id}/output", File(named::job_file), Viewer).takes(&[FILE]).awaits(Jobs),
    get("/api/v1/vars", Slow(slow::vars), Viewer).awaits(Jobs),
    post("/api/v1/vars", Change(words::create_var), Editor),
    patch("/api/v1/vars/{id}", Change(words::edit_var), Editor).takes(&[FORCE]),
    delete("/api/v1/vars/{id}", Change(words::delete_var), Editor).takes(&[FORCE]),
    get("/api/v1/tags", Slow(slow::tags), Viewer).awaits(Jobs),
    post("/api/v1/tags", Change(words::create_tag), Editor),
    patch("/api/v1/tags/{id}", Change(words::edit_tag), Editor).takes(&[FORCE]),
    delete("/api/v1/tags/{id}", Change(words::delete_tag), Editor).takes(&[FORCE]),
    get("/api/v1/export", Slow(slow::export), Viewer).takes(&[EXPORT]).awaits(Jobs),
    get("/api/v1/forecast", Slow(slow::forecast), Viewer).takes(&[FORECAST]).awaits(Jobs),
    get("/api/v1/timeline", Past(past::timeline), Viewer).takes(&[TIMELINE]).awaits(Jobs),
    get("/api/v1/audit", Past(past::acts), Viewer).takes(&[AUDIT]),
    get("/api/v1/runs", Past(past::all_runs), Viewer).takes(&[RUNS]).awaits(Jobs),
    get("/api/v1/runs/{run}", Past(past::one_run), Viewer).awaits(Jobs),
    get("/api/v1/runs/{run}/output", File(named::run_file), Viewer)
        .takes(&[FILE, OF_JOB])
        .awaits(Jobs),
    get("/api/v1/log", File(named::log), Viewer).takes(&[FILE]),
    // The API: what it does.
    post(APPLY_PATH, Change(change::apply), Editor).takes(&[APPLY]),
    post("/api/v1/jobs/{id}/enable", Change(change::enable), Editor),
    post("/api/v1/jobs/{id}/disable", Change(change::disable), Editor),
    post("/api/v1/jobs/{id}/start", Command(named::start_job), Operator),
    post("/api/v1/jobs/{id}/stop", Command(named::stop_job), Operator),
    post("/api/v1/jobs/{id}/output/clear", Command(named::clear_job), Operator).takes(&[STREAM]),
    post("/api/v1/runs/{run}/stop", Command(named::stop_run), Operator),
    post("/api/v1/runs/{run}/output/clear", Command(named::clear_run), Operator).takes(&[STREAM]),
    post("/api/v1/log/clear", Command(named::clear_log), Operator),
    post("/api/v1/pause", Pause(pause::pause), Operator),
    post("/api/v1/resume", Pause(pause::resume), Operator),
    post("/api/v1/sync", Command(named::sync), Operator),
];
