// Finding, choosing and acting.

// Finding: the list follows what is typed.

const find = by("find");
let typing = 0;

let goes = 0;
// What had no answer is offered to be asked again.
let missed = null;
// The list that is asked for and not shown yet.
let asked = null;
// The one that is shown: a part of the page that is jumped to is no other one.
let placed = here();

const FIELDS = ["q", "tag", "per_page"];

// What the fields of a page have as the daemon wrote them.
function written(page) {
  const { q, tag, per_page: most } = page.getElementById("find").elements;
  const chosen = (select) => select.querySelector("[selected]") ?? select.options[0];
  return { q: q.defaultValue, tag: chosen(tag).value, per_page: chosen(most).value };
}

let fields = find && written(document);

async function go(url, push) {
  goes += 1;
  const mine = goes;
  missed = null;
  asked = url;
  by("list").ariaBusy = "true";
  const got = await fetched(url);
  // Something else was searched meanwhile.
  if (mine !== goes) return;
  // A list that comes under a finger is pressed instead of the one that was meant.
  if (got.page && isPressed()) return setTimeout(() => mine === goes && go(url, push), 300);
  by("list").ariaBusy = null;
  const page = got.page;
  if (!page) {
    missed = [url, push];
    offer("");
    return unanswered(got.why);
  }
  if (!page.getElementById("rows")) return location.assign(url);
  told = Math.max(told, got.turn);
  asked = null;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  placed = here();
  revive();
  fields = written(page);
  const links = all(".look a", page).map((link) => link.getAttribute("href"));
  all(".look a").forEach((link, at) => link.setAttribute("href", links[at] ?? link.href));
  const to = find.querySelector(".reset");
  const reset = page.querySelector(".find .reset");
  if (to) to.remove();
  if (reset) find.append(document.adoptNode(reset));
  for (const old of all("input[type=hidden]", find)) old.remove();
  for (const kept of all(".find input[type=hidden]", page)) find.append(document.adoptNode(kept));
  by("sel").elements.back.value = page.getElementById("sel").elements.back.value;
  swap(page, ".jobs thead", true);
  body.dataset.events = page.body.dataset.events;
  list(page, true);
  // Who is in a field goes on there.
  for (const name of FIELDS) {
    const field = find.elements[name];
    if (field !== document.activeElement) field.value = fields[name];
  }
  offer("");
  every();
  pend();
  tick();
  connect();
}

const listAt = (query) => (query.size ? `${up}?${query}` : up);
const queryOf = (url) => new URL(url, location.href).searchParams;

// What is not shown yet counts: the state that was just chosen, the text that is being typed.
function search() {
  const query = asked ? queryOf(asked) : new URLSearchParams(new FormData(find));
  for (const name of ["page", "tagid"]) query.delete(name);
  for (const name of FIELDS) query.set(name, find.elements[name].value);
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  go(listAt(query), false);
}

// The same of what a link leads to, which only knows the list that is shown.
function merged(href) {
  const [query, before, mine] = [href, here(), asked ?? here()].map(queryOf);
  const differs = (to, names) => names.some((name) => to.get(name) !== before.get(name));
  const set = (name, value) => (value ? query.set(name, value) : query.delete(name));
  let another = false;
  for (const names of [["state"], ["sort", "dir"]]) {
    another ||= differs(mine, names);
    if (!differs(query, names)) for (const name of names) set(name, mine.get(name));
  }
  for (const name of FIELDS) {
    const { value } = find.elements[name];
    if (value === fields[name]) continue;
    another = true;
    if (name === "tag") query.delete("tagid");
    set(name, value);
  }
  if (another) query.delete("page");
  return listAt(query);
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
    clearTimeout(typing);
    go(merged(link.href), true);
  });
  addEventListener("popstate", () => here() === placed || location.reload());
  rows.addEventListener("change", count);
  every();
  count();
}

// A selection.

function every() {
  const box = by("every");
  box.hidden = false;
  box.onchange = () => {
    for (const one of all(".c input:enabled", rows)) one.checked = box.checked;
    count();
  };
}

function count() {
  const chosen = all(".c input:checked", rows).length;
  by("count").textContent = fill(T.selected, chosen);
  for (const button of all("#sel button[name]:not(.plain)")) button.disabled = chosen === 0;
  const box = by("every");
  box.checked = chosen > 0 && chosen === all(".c input:enabled", rows).length;
  box.indeterminate = chosen > 0 && !box.checked;
}

// Buttons act in place and say what was done; one that is under way does nothing a second time.

// What was sent may have reached the daemon though its answer did not come.
const unsure = (how) => ({ lost: true, text: fill(T.unsure, how) });

// `isDone`: whether an answer has all that is needed of it. The daemon may also say that it is done
// and that too many wait for more (202).
async function post(path, isDone) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const headers = { Accept: "application/json" };
  let answer = null;
  let said = "";
  try {
    answer = await fetch(path, { method: "POST", headers, signal });
    said = await answer.text();
  } catch (error) {
    return unsure(error.name === "TimeoutError" ? fill(T.late, PATIENCE_MS / 1000) : T.cut);
  }
  const why = reason(answer, said);
  if (why !== null) return { why };
  const result = parsed(said) ?? {};
  const brief = answer.status === 202 && typeof result.detail === "string";
  if (answer.ok && (brief || isDone(result))) return { ...result, ok: true };
  // Who refuses does not hand on what was sent.
  const refused = answer.status >= 400 && answer.status < 500;
  return refused ? { lost: true, text: between(answer) } : unsure(between(answer));
}

function refused(result, name) {
  const plain = result.text ?? fill(T.refused_plain, result.why);
  const text = name && !result.text ? fill(T.refused, name, result.why) : plain;
  return { bad: true, lost: result.lost, text };
}

// The run that was started here last: a job's page shows what it writes.
let begun = "";

const nameOf = (id) => text(document, `#j${id} .name a`) || id;

const isStarted = (result) => typeof result.run_id === "string";
const isStopped = (result) => Array.isArray(result.runs);
const isCleared = (result) => result.cleared === true;
const isSynced = (result) => result.database === "up";

// Some of the runs may be those of somebody who refuses the signal.
function stopped(result, name) {
  const refusing = result.runs.filter((run) => run.did === "refused");
  const took = result.runs.filter((run) => run.did !== "refused" && run.did !== "gone");
  const text = fill(T.told_stop, name, took.length);
  if (refusing.length === 0) return { text };
  const why = [...new Set(refusing.map((run) => run.reason))].join("; ");
  return { bad: true, text: `${text} · ${fill(T.refused, name, why)}` };
}

async function one(action, id) {
  const isDone = action === "start" ? isStarted : isStopped;
  const result = await post(`${up}api/v1/jobs/${id}/${action}`, isDone);
  if (!result.ok) return refused(result, nameOf(id));
  if (!isDone(result)) return { text: result.detail };
  if (action === "start") {
    begun = result.run_id;
    return { text: fill(T.started, nameOf(id), begun) };
  }
  return stopped(result, nameOf(id));
}

async function plain(path, isDone, done) {
  const result = await post(path, isDone);
  if (!result.ok) return refused(result, "");
  return isDone(result) ? done(result) : { text: result.detail };
}

// One after the other, until an answer does not come: of the others that is not known, too.
async function each(action, jobs) {
  const results = [];
  for (const id of jobs) {
    const result = await one(action, id);
    results.push(result);
    if (!result.lost) continue;
    const others = jobs.length - results.length;
    if (jobs.length > 1) result.text = fill(T.untried, nameOf(id), result.text, others);
    break;
  }
  return results;
}

async function act(form, button) {
  const fields = new FormData(form, button);
  const action = fields.get("action");
  const [jobs, run] = [fields.getAll("job"), fields.get("run")];
  if (run) {
    const path = `${up}api/v1/runs/${run}/stop`;
    return [await plain(path, isStopped, (result) => stopped(result, run))];
  }
  if (action === "sync") {
    return [await plain(`${up}api/v1/sync`, isSynced, () => ({ text: T.synced }))];
  }
  const cleared = () => ({ text: T.cleared });
  if (action === "clear_log") return [await plain(`${up}api/v1/log/clear`, isCleared, cleared)];
  if (action !== "start" && action !== "stop") {
    const stream = action === "clear_output" ? "stdout" : "stderr";
    const path = `${up}api/v1/jobs/${jobs[0]}/output/clear?stream=${stream}`;
    return [await plain(path, isCleared, cleared)];
  }
  return each(action, jobs);
}

// Buttons whose answer is waited for.
const underWay = new Set();

function pend() {
  for (const button of all("button[aria-busy]")) if (!underWay.has(mark(button))) button.ariaBusy = null;
  if (underWay.size === 0) return;
  for (const button of all("button")) if (underWay.has(mark(button))) button.ariaBusy = "true";
}

// A key that is held is one press.
document.addEventListener("keydown", (event) => {
  if (event.repeat && event.key === "Enter" && event.target.closest("form")) event.preventDefault();
}, true);

// The second click of a double click.
document.addEventListener("click", (event) => {
  if (event.detail > 1 && event.target.closest("form button")) event.preventDefault();
}, true);

document.addEventListener("submit", async (event) => {
  const [form, button] = [event.target, event.submitter];
  if (form.getAttribute("action") !== `${up}actions` || form.method !== "post") return;
  // It leads back to another page.
  if ("plain" in form.dataset) return;
  // Enter in a box: no button was meant.
  if (button?.formMethod === "dialog") return;
  event.preventDefault();
  const name = button ? mark(button) : "";
  if (underWay.has(name)) return;
  actedAt = Date.now();
  if (button?.ariaDisabled === "true") return message(button.title, true);
  if (button?.hasAttribute("data-sure") && !confirm(T.sure)) return;
  underWay.add(name);
  pend();
  let results = [];
  try {
    results = await act(form, button);
  } finally {
    underWay.delete(name);
    pend();
  }
  if (results.length === 0) return;
  const weight = (result) => Boolean(result.bad) + Boolean(result.lost);
  results.sort((a, b) => weight(b) - weight(a));
  const said = results.slice(0, 5).map((result) => result.text);
  if (results.length > 5) said.push("…");
  message(said.join(" · "), Boolean(results[0]?.bad));
  actedAt = Date.now();
  if (by("job")) refresh(!results[0]?.bad);
  if (by("out") && button?.hasAttribute("data-sure")) open();
});
