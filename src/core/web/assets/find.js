// Finding, choosing and acting.

// Finding: the list follows what is typed.

const find = by("find");
let typing = 0;

let goes = 0;
// What had no answer is asked again when there are answers.
let missed = null;

async function go(url, push) {
  goes += 1;
  const mine = goes;
  missed = null;
  by("list").ariaBusy = "true";
  const got = await fetched(url);
  // Something else was searched meanwhile.
  if (mine !== goes) return;
  const page = got.page;
  if (!page) {
    missed = [url, push];
    return unanswered();
  }
  by("list").ariaBusy = null;
  if (!page.getElementById("rows")) return location.assign(url);
  told = Math.max(told, got.turn);
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
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
  offer("");
  every();
  pend();
  tick();
  connect();
}

function search() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(find)) if (value) query.append(name, value);
  go(`${up}?${query}`, false);
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

// Buttons act in place and say what was done; one that is under way does nothing a second time.

async function post(path) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const headers = { Accept: "application/json" };
  try {
    const answer = await fetch(path, { method: "POST", headers, signal });
    const result = await answer.json().catch(() => null);
    if (answer.ok && result) return { ok: true, ...result };
    // What is not JSON is not the daemon's.
    if (answer.ok) return { lost: true, text: fill(T.failed, asOf()) };
    return { why: result?.detail ?? answer.statusText };
  } catch (error) {
    const late = error.name === "TimeoutError";
    return { lost: true, text: late ? fill(T.unsure, PATIENCE_MS / 1000) : fill(T.failed, asOf()) };
  }
}

function refused(result, name) {
  const plain = result.text ?? fill(T.refused_plain, result.why);
  const text = name && !result.text ? fill(T.refused, name, result.why) : plain;
  return { bad: true, lost: result.lost, text };
}

// The run that was started here last: a job's page shows what it writes.
let begun = "";

const nameOf = (id) => text(document, `#j${id} .name a`) || id;

async function one(action, id) {
  const result = await post(`${up}api/v1/jobs/${id}/${action}`);
  if (!result.ok) return refused(result, nameOf(id));
  if (action === "start") {
    begun = result.run_id;
    return { text: fill(T.started, nameOf(id), begun) };
  }
  return { text: fill(T.told_stop, nameOf(id), result.runs.length) };
}

async function plain(path, done) {
  const result = await post(path);
  return result.ok ? { text: done } : refused(result, "");
}

async function act(form, button) {
  const fields = new FormData(form, button);
  const action = fields.get("action");
  const [jobs, run] = [fields.getAll("job"), fields.get("run")];
  if (run) return [await plain(`${up}api/v1/runs/${run}/stop`, fill(T.told_stop, run, 1))];
  if (action === "sync") return [await plain(`${up}api/v1/sync`, T.synced)];
  if (action === "clear_log") return [await plain(`${up}api/v1/log/clear`, T.cleared)];
  if (action !== "start" && action !== "stop") {
    const stream = action === "clear_output" ? "stdout" : "stderr";
    const path = `${up}api/v1/jobs/${jobs[0]}/output/clear?stream=${stream}`;
    return [await plain(path, T.cleared)];
  }
  const results = [];
  for (const id of jobs) {
    results.push(await one(action, id));
    if (results.at(-1).lost) break;
  }
  return results;
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
  event.preventDefault();
  const name = button ? mark(button) : "";
  if (underWay.has(name)) return;
  actedAt = Date.now();
  if (button?.ariaDisabled === "true") return message(button.title, true);
  if (button?.hasAttribute("data-sure") && !confirm(T.sure)) return;
  underWay.add(name);
  pend();
  const results = await act(form, button);
  underWay.delete(name);
  pend();
  results.sort((a, b) => Boolean(b.bad) - Boolean(a.bad));
  const said = results.slice(0, 5).map((result) => result.text);
  if (results.length > 5) said.push("…");
  message(said.join(" · "), Boolean(results[0]?.bad));
  actedAt = Date.now();
  if (by("job")) refresh(!results[0]?.bad);
  if (by("out") && button?.hasAttribute("data-sure")) open();
});
