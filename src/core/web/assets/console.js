// The console comes alive: rows follow what happens, buttons act in place, output is followed.
// Without this script everything works too, by forms and links.
"use strict";
(() => {
  const root = document.documentElement;
  const body = document.body;
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
    for (const time of all("time:not(.abs)")) {
      const iso = time.dateTime;
      const text = relative(Date.parse(iso) - now);
      if (time.textContent !== text) time.textContent = text;
      if (time.title !== iso) time.title = iso;
    }
    for (const time of all("time.abs:not([title])")) time.title = time.dateTime;
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

  let actedAt = 0;

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
    if (was !== node.className) refresh(false);
    const synced = put("synced");
    if (synced && synced.tagName === "TIME" && status.sync_age_ms !== null) {
      synced.dateTime = new Date(Date.parse(status.now) - status.sync_age_ms).toISOString();
    }
    if (status.message && Date.now() - actedAt > 4000) message(status.message, false);
  }

  function message(text, bad) {
    const line = by("message");
    if (line.textContent !== text) line.textContent = text;
    line.classList.toggle("bad", bad);
  }

  // Rows.

  const rows = by("rows");
  const hint = by("hint");
  const text = (row, query) => row.querySelector(query)?.textContent ?? "";

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
      label.textContent = job.state || T.never;
      later();
    }
    next(row.querySelector(".next"), job.next_due);
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
    if (job.state !== "deleting") disable(start, full ? fill(T.at_limit, job.max_concurrence) : "");
    disable(stop, job.running ? "" : T.nothing_runs);
  }

  function disable(button, why) {
    if (!button) return;
    button.disabled = why !== "";
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
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  async function refresh(wanted) {
    const url = location.pathname + location.search;
    const page = await fetched(url).catch(() => null);
    if (!page || url !== location.pathname + location.search) return;
    swap(page, ".alerts");
    if (by("list")) list(page, wanted);
    if (by("job")) for (const part of ["#job", "#facts", "#past"]) swap(page, part);
    if (by("which")) sources(page);
    tick();
  }

  /// Takes over a part of a page unless it is the same or somebody is at it with the keyboard.
  function swap(page, query) {
    const [old, fresh] = [document.querySelector(query), page.querySelector(query)];
    if (!old || !fresh) return;
    if (old.contains(document.activeElement)) return;
    old.replaceWith(document.adoptNode(fresh));
  }

  function list(page, wanted) {
    swap(page, ".states");
    swap(page, ".pager");
    const fresh = [...page.getElementById("rows").rows];
    const old = [...rows.rows];
    const same = fresh.map((row) => row.id).join() === old.map((row) => row.id).join();
    if (same || wanted || calm()) take(fresh);
    else offer();
  }

  /// Nobody points at the list, has chosen something in it or is in it with the keyboard.
  function calm() {
    const busy = rows.matches(":hover") || rows.contains(document.activeElement);
    return !busy && all(":checked", rows).length === 0;
  }

  function take(fresh) {
    const focus = document.activeElement?.closest("#rows tr")?.id;
    const checked = new Set(all(":checked", rows).map((box) => box.value));
    rows.replaceChildren(...fresh.map((row) => {
      const old = by(row.id);
      if (old && old.id === focus) return old;
      const box = row.querySelector(".c input");
      if (box) box.checked = checked.has(box.value);
      return document.adoptNode(row);
    }));
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

  // Finding: the list follows what is typed.

  const find = by("find");
  let typing = 0;

  async function go(url, push) {
    const page = await fetched(url).catch(() => null);
    if (!page?.getElementById("rows")) return location.assign(url);
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
    const to = find.querySelector(".reset");
    const reset = page.querySelector(".find .reset");
    if (to) to.remove();
    if (reset) find.append(document.adoptNode(reset));
    for (const old of all("input[type=hidden]", find)) old.remove();
    for (const kept of all(".find input[type=hidden]", page)) find.append(document.adoptNode(kept));
    by("sel").elements.back.value = page.getElementById("sel").elements.back.value;
    document.querySelector(".jobs thead").replaceWith(document.adoptNode(page.querySelector(".jobs thead")));
    all(".none").forEach((old) => old.remove());
    const none = page.querySelector(".none");
    if (none) document.querySelector(".jobs").after(document.adoptNode(none));
    body.dataset.events = page.body.dataset.events;
    list(page, true);
    every();
    tick();
    connect();
  }

  function search() {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(find)) if (value) query.append(name, value);
    go(`/?${query}`, false);
  }

  function begin() {
    find.addEventListener("submit", (event) => {
      event.preventDefault();
      search();
    });
    find.addEventListener("change", (event) => event.target.tagName === "SELECT" && search());
    by("q").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, 250);
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest(".states a, .pager a, .jobs thead a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(link.getAttribute("href"), true);
    });
    addEventListener("popstate", () => location.reload());
    rows.addEventListener("change", count);
    every();
    count();
  }

  // A selection.

  function every() {
    const box = by("every");
    box.hidden = false;
    box.onchange = () => {
      for (const one of all(".c input", rows)) one.checked = box.checked;
      count();
    };
  }

  function count() {
    const chosen = all(".c input:checked", rows).length;
    by("count").textContent = fill(T.selected, chosen);
    for (const button of all("#sel button:not(.plain)")) button.disabled = chosen === 0;
    const box = by("every");
    box.checked = chosen > 0 && chosen === all(".c input", rows).length;
    box.indeterminate = chosen > 0 && !box.checked;
  }

  // Buttons act in place and say what was done.

  async function post(path) {
    const answer = await fetch(path, { method: "POST", headers: { Accept: "application/json" } });
    const result = await answer.json().catch(() => ({}));
    return answer.ok ? { ok: true, ...result } : { ok: false, why: result.detail ?? answer.statusText };
  }

  const nameOf = (id) => text(document, `#j${id} .name a`) || id;

  async function one(action, id) {
    const result = await post(`/api/v1/jobs/${id}/${action}`);
    if (!result.ok) return { bad: true, text: fill(T.refused, nameOf(id), result.why) };
    if (action === "start") return { text: fill(T.started, nameOf(id), result.run_id) };
    return { text: fill(T.stopped, nameOf(id), result.runs.length) };
  }

  async function act(form, button) {
    const fields = new FormData(form, button);
    const action = fields.get("action");
    const [jobs, run] = [fields.getAll("job"), fields.get("run")];
    const plain = async (path, done) => {
      const result = await post(path);
      return result.ok ? { text: done } : { bad: true, text: fill(T.refused, "", result.why) };
    };
    const results = [];
    if (run) results.push(await plain(`/api/v1/runs/${run}/stop`, fill(T.stopped, run, 1)));
    else if (action === "sync") results.push(await plain("/api/v1/sync", T.synced));
    else if (action === "clear_log") results.push(await plain("/api/v1/log/clear", T.cleared));
    else if (action === "start" || action === "stop") {
      for (const id of jobs) results.push(await one(action, id));
    } else {
      const stream = action === "clear_output" ? "stdout" : "stderr";
      results.push(await plain(`/api/v1/jobs/${jobs[0]}/output/clear?stream=${stream}`, T.cleared));
    }
    return results;
  }

  document.addEventListener("submit", async (event) => {
    const [form, button] = [event.target, event.submitter];
    if (form.getAttribute("action") !== "/actions" || form.method !== "post") return;
    event.preventDefault();
    if (button?.hasAttribute("data-sure") && !confirm(T.sure)) return;
    actedAt = Date.now();
    const results = await act(form, button).catch(() => [{ bad: true, text: T.failed }]);
    results.sort((a, b) => Boolean(b.bad) - Boolean(a.bad));
    const shown = results.slice(0, 5).map((result) => result.text);
    if (results.length > 5) shown.push("…");
    message(shown.join(" · "), Boolean(results[0]?.bad));
    actedAt = Date.now();
    if (by("job")) refresh(false);
    if (by("out") && button?.hasAttribute("data-sure")) open();
  });

  // Output and log, followed.

  const out = by("out");
  const MAX_LINES = 5000;
  let tail = null;
  let whole = true;

  function source() {
    const which = by("which");
    if (which) return which.value;
    return `/api/v1/log?level=${by("level").value}`;
  }

  function open() {
    if (tail) tail.close();
    tail = null;
    out.replaceChildren();
    whole = true;
    const from = source();
    if (!from) return out.append(make("span", T.empty, "dim"));
    if (by("download")) by("download").href = `${from}&download=1`;
    const url = `${from}&tail=${by("lines").value}`;
    if (by("follow").checked) follow(url);
    else once(url);
  }

  async function once(url) {
    const answer = await fetch(url, { headers: { Accept: "text/plain" } }).catch(() => null);
    if (answer?.ok) append(await answer.text());
    if (!out.firstChild) out.append(make("span", T.empty, "dim"));
  }

  function follow(url) {
    const stream = new EventSource(`${url}&follow=1`);
    tail = stream;
    stream.addEventListener("append", (event) => append(JSON.parse(event.data)));
    stream.addEventListener("reset", () => out.replaceChildren());
    stream.addEventListener("skipped", () => out.append(make("span", "…\n", "dim")));
    stream.onerror = () => {
      stream.close();
      if (tail !== stream) return;
      if (!out.firstChild) out.append(make("span", T.empty, "dim"));
      setTimeout(() => tail === stream && open(), 5000);
    };
  }

  function append(text) {
    const low = out.scrollHeight - out.scrollTop - out.clientHeight < 40;
    if (out.firstChild?.className === "dim") out.replaceChildren();
    if (text === "" && !out.firstChild) out.append(make("span", T.empty, "dim"));
    const grep = by("grep")?.value.toLowerCase() ?? "";
    const lines = text.split(/(?<=\n)/).slice(-MAX_LINES);
    const fresh = document.createDocumentFragment();
    for (const line of lines) {
      if (!whole && out.lastChild) out.lastChild.textContent += line;
      else if (line) fresh.append(lineOf(line, grep));
      whole = line.endsWith("\n");
    }
    out.append(fresh);
    while (out.childNodes.length > MAX_LINES) out.firstChild.remove();
    if (low) out.scrollTop = out.scrollHeight;
  }

  function lineOf(line, grep) {
    const level = by("level") ? /^\S+ \S+ \[(ERROR|WARN|DEBUG|TRACE)/.exec(line)?.[1] : "";
    const node = make("span", line, { ERROR: "e", WARN: "w", DEBUG: "d", TRACE: "d" }[level]);
    node.hidden = grep !== "" && !line.toLowerCase().includes(grep);
    return node;
  }

  function sources(page) {
    const which = by("which");
    const chosen = which.value;
    const fresh = page.getElementById("which");
    if (which === document.activeElement) return;
    which.replaceChildren(...[...fresh.options].map((option) => document.adoptNode(option)));
    const kept = [...which.options].some((option) => option.value === chosen);
    if (kept) which.value = chosen;
    else open();
  }

  function reader() {
    for (const id of ["which", "lines", "follow", "level"]) by(id)?.addEventListener("change", open);
    by("grep")?.addEventListener("input", (event) => {
      const grep = event.target.value.toLowerCase();
      for (const line of out.childNodes) {
        line.hidden = grep !== "" && !line.textContent.toLowerCase().includes(grep);
      }
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-run]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      by("which").value = `/api/v1/runs/${link.dataset.run}/output?stream=${link.dataset.stream}`;
      open();
      by("tail").scrollIntoView({ behavior: "smooth", block: "nearest" });
      out.focus({ preventScroll: true });
    });
  }

  // Colours, keys.

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-choose]");
    if (!link) return;
    event.preventDefault();
    root.dataset.theme = link.dataset.choose;
    document.cookie = `theme=${link.dataset.choose}; path=/; max-age=31536000; samesite=lax`;
    for (const other of all("[data-choose]")) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
  });

  function step(by) {
    const links = all(".name a", rows);
    const at = links.indexOf(document.activeElement?.closest("tr")?.querySelector(".name a"));
    const to = links[Math.min(Math.max(at + by, 0), links.length - 1)];
    to?.focus();
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && typing) return typing.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = by("q") ?? by("grep");
    if (event.key === "/" && field) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if (rows && event.key === "j") step(1);
    else if (rows && event.key === "k") step(-1);
    else if (rows && event.key === "x") {
      document.activeElement?.closest("tr")?.querySelector(".c input")?.click();
    }
  });

  // A browser has six connections to a server for all its windows: one that nobody sees gives
  // its own back.
  function seen(yes) {
    if (yes) {
      connect();
      if (out && !tail) open();
    } else {
      disconnect();
      if (tail) tail.close();
      tail = null;
    }
  }

  if (find) begin();
  if (out) reader();
  tick();
  setInterval(tick, 1000);
  seen(!document.hidden);
  document.addEventListener("visibilitychange", () => seen(!document.hidden));
  addEventListener("pagehide", () => seen(false));
  addEventListener("pageshow", (event) => event.persisted && seen(true));
})();
