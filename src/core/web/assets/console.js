// The console comes alive: rows follow what happens, buttons act in place, output is followed.
// Without this script everything works too, by forms and links.
//
// The files console.js, still.js, find.js and tail.js are one function: assets.rs puts them
// together.

const root = document.documentElement;
const body = document.body;
// Where the top of the console is: a proxy may show it below a path of its own.
const up = body.dataset.root;
const T = JSON.parse(body.dataset.texts);
const by = (id) => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
// The daemon does the same with what it says (`plain::isolated`): a value can't turn the words
// around it.
const TURNS = new RegExp("[\\u0590-\\u08ff\\ufb1d-\\ufdff\\ufe70-\\ufefe\\u{10800}-\\u{10fff}"
  + "\\u{1e800}-\\u{1efff}\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]", "u");

function isolated(value) {
  const text = String(value);
  if (!TURNS.test(text)) return text;
  let depth = 0;
  let paired = true;
  for (const mark of text.match(/[\u2066-\u2069]/g) ?? []) {
    depth += mark === "\u2069" ? -1 : 1;
    paired &&= depth >= 0;
  }
  const kept = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/g, "?");
  const whole = paired && depth === 0;
  return `\u2068${whole ? kept : kept.replace(/[\u2066-\u2069]/g, "?")}\u2069`;
}

// Each value has its place once: one that has `{}` in it gives no place to the next.
const fill = (text, ...values) => text.replaceAll("{}", (place) => (
  values.length ? isolated(values.shift()) : place));
const make = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
root.classList.add("js");

// Times. Pages have absolute ones, so that one rendering serves everybody; here they are made
// relative, by the daemon's clock.

// How far that is ahead of the clock of this machine, which may be wrong; none = not known yet. Only
// events tell: the `Date` of an answer may be that of a proxy.
let aheadMs = null;
// When the daemon was heard last, by the clock of this machine: what is shown is as of then. A page
// that the browser has kept is as of when the daemon sent it (`Last-Modified`).
let heardAt = Math.min(Date.now(), Date.parse(document.lastModified));
// The same of its events: only who hears them knows what comes next.
let eventAt = 0;
// Nothing is heard of it any more.
let away = false;
const asOf = () => new Date(heardAt).toTimeString().slice(0, 8);

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
  if (aheadMs === null) return;
  // Of a daemon that is not heard nobody knows what happens now.
  const now = (away ? heardAt : Date.now()) + aheadMs;
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
// The server sends a beat each 10 seconds; who missed two of them hears nothing any more.
const SILENCE_MS = 21000;
// For how long an answer is waited for.
const PATIENCE_MS = 10000;
let feed = null;
let pauseS = 1;
let retry = 0;
let silence = 0;
// Somebody else needed the place.
let displaced = false;
// Why there is no such page any more.
let gone = "";

function say(text, state) {
  live.hidden = false;
  live.className = `live ${state}`;
  if (live.textContent !== text) live.textContent = text;
}

// A button that takes up again what another window has displaced.
function taker(act) {
  const button = make("button", T.take_up);
  button.type = "button";
  button.onclick = act;
  return button;
}

function connect() {
  disconnect();
  displaced = false;
  if (!body.dataset.events) return;
  feed = new EventSource(body.dataset.events);
  const on = (name, act) => feed.addEventListener(name, (event) => {
    heardAt = Date.now();
    eventAt = heardAt;
    expect(SILENCE_MS, lost);
    const data = JSON.parse(event.data);
    if (data.now) aheadMs = Date.parse(data.now) - Date.now();
    act(data);
  });
  on("snapshot", () => refresh(false));
  on("beat", () => (away || gone) && refresh(false));
  on("job", changed);
  on("gone", left);
  on("total", () => later());
  on("daemon", daemon);
  // Others need the place: it is tried again, but not at once.
  feed.addEventListener("displaced", () => {
    displaced = true;
    pauseS = 60;
  });
  feed.onerror = () => {
    const isRefused = feed.readyState === EventSource.CLOSED;
    lost();
    if (isRefused) explain();
  };
  expect(PATIENCE_MS, lost);
}

// What is done if there is no event for so long.
function expect(ms, act) {
  clearTimeout(silence);
  silence = setTimeout(act, ms);
}

// For how long nothing was told is not yet too long. A clock that was set tells nothing.
const trust = () => SILENCE_MS - Math.abs(Date.now() - eventAt);

function disconnect() {
  clearTimeout(retry);
  clearTimeout(silence);
  if (feed) feed.close();
}

// What is shown is not what there is now, as far as anybody knows.
function old() {
  away = true;
  root.classList.add("stale");
  tick();
}

function connecting() {
  pauseS = Math.min(pauseS * 2, 30);
  say(fill(T.connecting, asOf()), "off");
  connect();
}

function lost() {
  disconnect();
  if (document.hidden) return;
  old();
  unheard();
  retry = setTimeout(connecting, pauseS * 1000);
}

function unheard() {
  say(fill(displaced ? T.displaced : T.again, asOf(), pauseS), "off");
  if (displaced) live.append(taker(connecting));
}

// What was answered in place of events can't be read from them: it is asked for once more.
async function explain() {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), PATIENCE_MS);
  const wanted = { headers: { Accept: "application/json" }, signal: stop.signal };
  const answer = await fetch(body.dataset.events, wanted).catch(() => null);
  const there = answer?.ok && isOf(answer, "text/event-stream");
  const said = answer && !there ? await answer.text().catch(() => "") : "";
  clearTimeout(late);
  stop.abort();
  if (answer && !there) unanswered(refusal(answer, said));
}

// Somebody looks at the page again. For how long nothing was told counts as if it had been seen:
// the page is not live for longer than it would have been.
function back() {
  const left = trust();
  if (!live.hidden && left <= 0) {
    old();
    return connecting();
  }
  connect();
  if (!live.hidden && !away && left < PATIENCE_MS) expect(left, doubt);
}

// The stream may still come.
function doubt() {
  old();
  say(fill(T.connecting, asOf()), "off");
  expect(PATIENCE_MS, lost);
}

// What is shown is what the daemon says now. Without the stream nobody tells what comes next.
function fresh() {
  heardAt = Date.now();
  const state = feed?.readyState ?? EventSource.CONNECTING;
  if (document.hidden || state === EventSource.CONNECTING) return;
  if (state === EventSource.CLOSED) return unheard();
  if (trust() <= 0) return;
  pauseS = 1;
  away = false;
  root.classList.toggle("stale", gone !== "");
  say(!gone ? T.live : by("job") ? T.gone : T.not_live, gone ? "off" : "on");
  if (by("message").textContent === missing) message("", false);
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

function daemon(status) {
  put("pid", status.pid);
  put("version", status.version);
  put("jobs", status.jobs);
  put("running", status.running);
  put("late", duration(status.worst_lateness_ms));
  if (status.rss_bytes) put("memory", size(status.rss_bytes));
  const labels = { up: T.db_up, down: T.db_down, unknown: T.db_unknown };
  const node = put("database", labels[status.database]);
  const was = node.className;
  node.className = `db ${status.database}`;
  // What is wrong is told by the page as the daemon renders it.
  if (was !== node.className || status.alerts !== body.dataset.alerts) refresh(false);
  // What is counted but not shown has no events here.
  if (rows?.rows.length < status.jobs) later();
  const started = put("started");
  if (Date.parse(started.dateTime) !== Math.floor(Date.parse(status.started_at) / 1000) * 1000) {
    started.dateTime = status.started_at;
  }
  const synced = put("synced");
  if (synced && synced.tagName === "TIME" && status.sync_age_ms !== null) {
    synced.dateTime = new Date(Date.parse(status.now) - status.sync_age_ms).toISOString();
  }
  const told = root.lang === "en" ? status.message : status.message_zh;
  if (told && told !== heard && Date.now() - actedAt > 4000) message(told, false);
  heard = told;
}

// Answers. Not each is the daemon's: something between (a proxy, a login, a cache) may have
// answered in its place. None of what that wrote is shown.

const isOf = (answer, type) => answer.headers.get("Content-Type")?.startsWith(type);
const between = (answer) => fill(T.between, answer.status);

function parsed(said) {
  try {
    return JSON.parse(said);
  } catch {
    return null;
  }
}

// Why the daemon refused (RFC 9457); null = that is none of its answers.
function reason(answer, said) {
  const problem = isOf(answer, "application/problem+json") ? parsed(said) : null;
  const whole = problem?.status === answer.status && typeof problem.detail === "string";
  return whole ? problem.detail : null;
}

function refusal(answer, said) {
  const why = reason(answer, said);
  return why === null ? between(answer) : fill(T.refused_plain, why);
}

// That there was no answer, said until there are answers.
let missing = null;

function unanswered(why) {
  missing = why ?? fill(T.failed, asOf());
  message(missing, true);
}

let toldAt = 0;

// News are bold for some seconds.
function message(text, bad) {
  const line = by("message");
  if (line.textContent === text && !bad) return;
  line.textContent = text;
  line.title = text;
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
  if (!row || row.classList.contains("gone")) return later();
  const same = text(row, ".schedule code") === job.cron && text(row, ".name code") === job.command
    && (text(row, ".name a") === job.name || job.name === "");
  if (!same || !says(row, job) || job.waiting || by(`w${job.id}`)) return later();
  if (job.paused !== Boolean(row.querySelector(".st.paused"))) return later();
  rendered.delete(row);
  const state = job.state || "never";
  if (!row.classList.contains(state)) {
    row.className = `${state} news`;
    const label = row.querySelector(".st");
    label.className = `st ${state}`;
    label.textContent = T[state] ?? state;
    label.removeAttribute("title");
    later();
  }
  if (location.search.includes("sort=")) later();
  changes += 1;
  changedAt.set(row.id, changes);
  // What is not started has its reason there, as the daemon rendered it.
  if (!job.blocked && (job.next_due || !job.paused)) next(row.querySelector(".next"), job.next_due);
  last(row.querySelector(".last"), job.last_run);
  row.querySelector(".runs").textContent = `${job.running}/${job.max_concurrence}`;
  row.querySelector(".over").textContent = job.overtime;
  buttons(row, job);
  tick();
}

// Whether a row shows what is said in the columns for people.
function says(row, job) {
  const names = rows.dataset.notes.split(" ").filter(Boolean);
  const plain = (said) => said.replace(/\r\n?/g, "\n");
  return names.every((name) => text(row, `.note.${name}`) === plain(job[name] ?? ""));
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
  // Other outcomes are told by the page, in its language.
  const plain = run.exit_code !== null || run.signal !== null;
  if (!plain || run.outcome.includes(", left behind: ")) return later();
  let how = fill(T.exit, run.exit_code);
  if (run.exit_code === null) how = fill(T.signal, run.signal);
  if (run.stopped) how = fill(T.by_hand, how);
  const bad = run.exit_code === 0 || run.stopped ? "" : "bad";
  const line = make("span", `${isolated(how)}, ${duration(run.duration_ms)}`, bad);
  cell.replaceChildren(moment(run.ended_at), line);
}

function buttons(row, job) {
  const [start, stop] = all(".act button", row);
  const full = job.running >= job.max_concurrence;
  const why = job.max_concurrence ? fill(T.at_limit, job.max_concurrence) : T.limit_zero;
  const never = ["deleting", "disabled"].includes(job.state);
  if (!never) disable(start, full ? why : "");
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

function left(job) {
  const row = by(`j${job.id}`);
  if (row) leave(row);
  changes += 1;
  changedAt.set(`j${job.id}`, changes);
  later();
}

// A row that is none any more stays where it is, and nothing on it can be pressed.
function leave(row) {
  rendered.delete(row);
  row.classList.add("gone");
  for (const button of all(".act button", row)) disable(button, T.row_gone);
  for (const box of all(".c input", row)) {
    box.checked = false;
    box.disabled = true;
  }
  count();
}
