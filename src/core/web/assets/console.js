// The console comes alive: rows follow what happens, buttons act in place, output is followed.
// Without this script everything works too, by forms and links.
//
// The three files console.js, find.js and tail.js are one function: assets.rs puts them together.

const root = document.documentElement;
const body = document.body;
// Where the top of the console is: a proxy may show it below a path of its own.
const up = body.dataset.root;
const T = JSON.parse(body.dataset.texts);
const by = (id) => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
const fill = (text, ...values) => values.reduce((out, value) => out.replace("{}", () => value), text);
const make = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
root.classList.add("js");

// Times. Pages have absolute ones, so that one rendering serves everybody; here they are made
// relative, by the daemon's clock.

let aheadMs = 0;

// The daemon writes them the same way (`words::duration`).
function span(s) {
  const two = (great, a, small, b) => `${fill(great, a)} ${fill(small, b)}`;
  if (s < 60) return fill(T.s, s);
  if (s < 3600) return two(T.min, Math.floor(s / 60), T.s, s % 60);
  if (s < 86400) return two(T.h, Math.floor(s / 3600), T.min, Math.floor(s / 60) % 60);
  return two(T.d, Math.floor(s / 86400), T.h, Math.floor(s / 3600) % 24);
}

function duration(ms) {
  if (ms < 1000) return fill(T.ms, ms);
  const tenths = `${Math.floor(ms / 1000)}.${Math.floor(ms / 100) % 10}`;
  return ms < 10000 ? fill(T.s, tenths) : span(Math.floor(ms / 1000));
}

function size(bytes) {
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < 3; unit += 1) value /= 1024;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

function relative(ms) {
  const s = Math.round(ms / 1000);
  if (s > 0) return fill(T.soon, span(s));
  if (s > -1) return T.now;
  return fill(T.ago, span(-s));
}

function tick() {
  const now = Date.now() + aheadMs;
  for (const time of all("time:not(.abs, .for)")) {
    const iso = time.dateTime;
    const text = relative(Date.parse(iso) - now);
    if (time.textContent !== text) time.textContent = text;
    if (time.title !== iso) time.title = iso;
  }
  for (const time of all("time.abs:not([title])")) time.title = time.dateTime;
  // How long a run is alive so far.
  for (const time of all("time.for")) {
    const s = Math.floor((now - Date.parse(time.dateTime)) / 1000);
    if (s > 0) time.textContent = span(s);
  }
}

// What happens: server-sent events, with a pause that doubles after each failure.

const live = by("live");
let feed = null;
let pauseS = 1;
let retry = 0;

function say(text, state) {
  live.hidden = false;
  live.className = `live ${state}`;
  if (live.textContent !== text) live.textContent = text;
}

function connect() {
  disconnect();
  if (!body.dataset.events) return;
  feed = new EventSource(body.dataset.events);
  const on = (name, act) => feed.addEventListener(name, (event) => act(JSON.parse(event.data)));
  on("snapshot", snapshot);
  on("job", changed);
  on("gone", gone);
  on("total", () => later());
  on("daemon", daemon);
  // Others need the place: it is tried again, but not at once.
  feed.addEventListener("displaced", () => (pauseS = 60));
  feed.onerror = lost;
}

function disconnect() {
  clearTimeout(retry);
  if (feed) feed.close();
}

function lost() {
  feed.close();
  say(fill(T.waiting, pauseS), "off");
  retry = setTimeout(() => {
    say(T.connecting, "off");
    connect();
  }, pauseS * 1000);
  pauseS = Math.min(pauseS * 2, 30);
}

function snapshot() {
  pauseS = 1;
  say(T.live, "on");
  refresh(false);
}

// The daemon line.

function put(name, text) {
  const node = document.querySelector(`[data-d="${name}"]`);
  if (node && text !== undefined && node.textContent !== String(text)) node.textContent = text;
  return node;
}

// When something was done here, and what was told by the daemon last: that others did something is
// told once, and does not take the place of what was done here.
let actedAt = 0;
let heard = by("message").textContent;
// The rows that the daemon told of last that nothing is started for.
let wrong = null;

function daemon(status) {
  aheadMs = Date.parse(status.now) - Date.now();
  put("jobs", status.jobs);
  put("running", status.running);
  put("late", duration(status.worst_lateness_ms));
  if (status.rss_bytes) put("memory", size(status.rss_bytes));
  const labels = { up: T.db_up, down: T.db_down, unknown: T.db_unknown };
  const node = put("database", labels[status.database]);
  const was = node.className;
  node.className = `db ${status.database}`;
  // What is wrong is told by the page as the daemon renders it.
  const bad = JSON.stringify(status.bad_rows);
  if (was !== node.className || (wrong ?? bad) !== bad) refresh(false);
  wrong = bad;
  const synced = put("synced");
  if (synced && synced.tagName === "TIME" && status.sync_age_ms !== null) {
    synced.dateTime = new Date(Date.parse(status.now) - status.sync_age_ms).toISOString();
  }
  const news = status.message && status.message !== heard;
  if (news && Date.now() - actedAt > 4000) message(status.message, false);
  heard = status.message;
}

let toldAt = 0;

// News stay in sight for some seconds, then they are at the foot of the page.
function message(text, bad) {
  const line = by("message");
  if (line.textContent === text && !bad) return;
  line.textContent = text;
  line.className = bad ? "message bad" : "message";
  clearTimeout(toldAt);
  toldAt = setTimeout(() => line.classList.add("past"), 12000);
}

// Rows.

const rows = by("rows");
const hint = by("hint");
const text = (row, query) => row.querySelector(query)?.textContent ?? "";

// A page that was asked for before a row changed must not undo the change: changes are counted.
let changes = 0;
const changedAt = new Map();

function changed(job) {
  if (by("job")) return later();
  const row = by(`j${job.id}`);
  if (!row) return later();
  const same = text(row, ".schedule code") === job.cron && text(row, ".name code") === job.command
    && (text(row, ".name a") === job.name || job.name === "");
  if (!same || job.waiting || by(`w${job.id}`)) return later();
  const state = job.state || "never";
  if (!row.classList.contains(state)) {
    row.className = `${state} news`;
    const label = row.querySelector(".st");
    label.className = `st ${state}`;
    label.textContent = T[state] ?? state;
    later();
  }
  changes += 1;
  changedAt.set(row.id, changes);
  // What is never started has its reason there, as the daemon rendered it.
  if (!job.blocked) next(row.querySelector(".next"), job.next_due);
  last(row.querySelector(".last"), job.last_run);
  row.querySelector(".runs").textContent = `${job.running}/${job.max_concurrence}`;
  row.querySelector(".over").textContent = job.overtime;
  buttons(row, job);
  tick();
}

function next(cell, iso) {
  const time = cell.querySelector("time");
  if (!iso) return cell.replaceChildren(make("span", T.not_due, "no"));
  if (time) time.dateTime = iso;
  else cell.replaceChildren(moment(iso));
}

function moment(iso) {
  const time = make("time", "");
  time.dateTime = iso;
  return time;
}

function last(cell, run) {
  if (!run) return;
  let how = run.outcome;
  if (run.exit_code !== null) how = fill(T.exit, run.exit_code);
  else if (run.signal !== null) how = fill(T.signal, run.signal);
  const bad = run.exit_code === 0 ? "" : "bad";
  const line = make("span", `${how}, ${duration(run.duration_ms)}`, bad);
  cell.replaceChildren(moment(run.ended_at), line);
}

function buttons(row, job) {
  const [start, stop] = all(".act button", row);
  const full = job.running >= job.max_concurrence;
  const why = job.max_concurrence ? fill(T.at_limit, job.max_concurrence) : T.limit_zero;
  if (job.state !== "deleting") disable(start, full ? why : "");
  disable(stop, job.running ? "" : T.nothing_runs);
}

// Who uses the keyboard or a finger has to get at a button to learn why it does nothing: it is
// said to be disabled, and keeps the focus.
function disable(button, why) {
  if (!button) return;
  if (why) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
  button.title = why;
}

function gone(job) {
  by(`j${job.id}`)?.classList.add("gone");
  later();
}

// What rows can't tell by themselves (counts, order, what came and went) is asked for at most
// every two seconds, and put in place where that disturbs nobody.

let planned = 0;

function later() {
  if (planned) return;
  const pause = by("job") ? 300 : 2000;
  planned = setTimeout(() => {
    planned = 0;
    refresh(false);
  }, pause);
}

async function fetched(url) {
  const since = changes;
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const row of page.getElementById("rows")?.rows ?? []) {
    if (changedAt.get(row.id) > since && by(row.id)) row.dataset.late = "";
  }
  return page;
}

// A button that is replaced between the press and the release was not clicked, for a browser.
let pressedAt = 0;
addEventListener("pointerdown", () => { pressedAt = Date.now(); }, true);
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => setTimeout(() => { pressedAt = 0; }), true);
}

async function refresh(wanted) {
  const url = location.pathname + location.search;
  const page = await fetched(url).catch(() => null);
  if (!page || url !== location.pathname + location.search) return;
  if (Date.now() - pressedAt < 3000) return later();
  swap(page, ".alerts");
  if (by("list") && page.getElementById("rows")) list(page, wanted);
  if (by("job")) for (const part of ["#job", "#facts", "#past"]) swap(page, part);
  if (by("which")) sources(page);
  tick();
}

// Parts of the page as the daemon last rendered them.
const shown = new Map();

// Takes over a part of a page unless it is the same.
function swap(page, query) {
  const [old, fresh] = [document.querySelector(query), page.querySelector(query)];
  if (!old || !fresh || shown.get(query) === fresh.outerHTML) return;
  shown.set(query, fresh.outerHTML);
  const scrolled = all(".wide", old).map((box) => box.scrollLeft);
  keepFocus(old, () => {
    old.replaceWith(document.adoptNode(fresh));
    return fresh;
  });
  all(".wide", fresh).forEach((box, at) => { box.scrollLeft = scrolled[at] ?? 0; });
}

// Controls like this one: the same thing in the row of the same job or run.
function alike(root, one) {
  const mark = (node) => {
    const row = node.closest("tr");
    const run = row?.querySelector("[data-run]")?.dataset.run;
    return [row?.id, run, node.tagName, node.name, node.value, node.rel, node.dataset.stream].join();
  };
  const wanted = mark(one);
  return all("a, button, input, select, summary", root).filter((node) => mark(node) === wanted);
}

// Replaces a part of the page. The focus goes to what has taken the place of where it was.
function keepFocus(old, replace) {
  const at = document.activeElement;
  const place = old.contains(at) ? alike(old, at).indexOf(at) : -1;
  const fresh = replace();
  if (place < 0) return;
  const heirs = alike(fresh, at);
  const heir = heirs[place] ?? heirs[0] ?? fresh.querySelector("a, button");
  heir?.focus({ preventScroll: true });
}

// Takes over what can be chosen. Which one is chosen is up to the caller.
function refill(select, fresh) {
  select.replaceChildren(...[...fresh.options].map((option) => document.adoptNode(option)));
}

function list(page, wanted) {
  swap(page, ".states");
  swap(page, ".pager");
  const [tag, tags] = [find.elements.tag, page.querySelector("#find [name=tag]")];
  if (tag !== document.activeElement) {
    const chosen = tags.value;
    refill(tag, tags);
    tag.value = chosen;
  }
  const fresh = [...page.getElementById("rows").rows];
  const old = [...rows.rows];
  const same = fresh.map((row) => row.id).join() === old.map((row) => row.id).join();
  if (!same && !wanted && !calm()) return offer();
  take(fresh);
  const caption = ".jobs caption";
  document.querySelector(caption).textContent = page.querySelector(caption).textContent;
  all(".none").forEach((none) => none.remove());
  const none = page.querySelector(".none");
  if (none) document.querySelector(".jobs").after(document.adoptNode(none));
}

/// Nobody points at the list, has chosen something in it or is in it with the keyboard.
function calm() {
  const busy = rows.matches(":hover") || rows.contains(document.activeElement);
  return !busy && all(":checked", rows).length === 0;
}

function take(fresh) {
  const checked = new Set(all(":checked", rows).map((box) => box.value));
  for (const row of fresh) {
    const box = row.querySelector(".c input");
    if (box) box.checked = checked.has(box.value);
  }
  // `alike` looks at the old rows until they are replaced.
  keepFocus(rows, () => {
    const late = (row) => "late" in row.dataset;
    rows.replaceChildren(...fresh.map((row) => (late(row) ? by(row.id) : document.adoptNode(row))));
    return rows;
  });
  hint.hidden = true;
  count();
}

function offer() {
  if (!hint.hidden) return;
  const button = make("button", T.changed);
  button.type = "button";
  button.onclick = () => refresh(true);
  hint.replaceChildren(button);
  hint.hidden = false;
}
