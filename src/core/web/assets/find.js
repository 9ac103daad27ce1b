// Finding, choosing and acting.

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
  swap(page, ".jobs thead");
  body.dataset.events = page.body.dataset.events;
  list(page, true);
  every();
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

// Buttons act in place and say what was done.

async function post(path) {
  const answer = await fetch(path, { method: "POST", headers: { Accept: "application/json" } });
  const result = await answer.json().catch(() => ({}));
  return answer.ok ? { ok: true, ...result } : { ok: false, why: result.detail ?? answer.statusText };
}

// The run that was started here last: a job's page shows what it writes.
let begun = "";

const nameOf = (id) => text(document, `#j${id} .name a`) || id;

async function one(action, id) {
  const result = await post(`${up}api/v1/jobs/${id}/${action}`);
  if (!result.ok) return { bad: true, text: fill(T.refused, nameOf(id), result.why) };
  if (action === "start") {
    begun = result.run_id;
    return { text: fill(T.started, nameOf(id), begun) };
  }
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
  if (run) results.push(await plain(`${up}api/v1/runs/${run}/stop`, fill(T.stopped, run, 1)));
  else if (action === "sync") results.push(await plain(`${up}api/v1/sync`, T.synced));
  else if (action === "clear_log") results.push(await plain(`${up}api/v1/log/clear`, T.cleared));
  else if (action === "start" || action === "stop") {
    for (const id of jobs) results.push(await one(action, id));
  } else {
    const stream = action === "clear_output" ? "stdout" : "stderr";
    results.push(await plain(`${up}api/v1/jobs/${jobs[0]}/output/clear?stream=${stream}`, T.cleared));
  }
  return results;
}

document.addEventListener("submit", async (event) => {
  const [form, button] = [event.target, event.submitter];
  if (form.getAttribute("action") !== `${up}actions` || form.method !== "post") return;
  // It leads back to another page.
  if ("plain" in form.dataset) return;
  event.preventDefault();
  if (button?.ariaDisabled === "true") {
    actedAt = Date.now();
    return message(button.title, true);
  }
  if (button?.hasAttribute("data-sure") && !confirm(T.sure)) return;
  actedAt = Date.now();
  const results = await act(form, button).catch(() => [{ bad: true, text: T.failed }]);
  results.sort((a, b) => Boolean(b.bad) - Boolean(a.bad));
  const told = results.slice(0, 5).map((result) => result.text);
  if (results.length > 5) told.push("…");
  message(told.join(" · "), Boolean(results[0]?.bad));
  actedAt = Date.now();
  if (by("job")) refresh(false);
  if (by("out") && button?.hasAttribute("data-sure")) open();
});
