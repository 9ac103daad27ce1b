// What is written, followed; colours, keys, and the beginning of it all.

// Output and log, followed.

const out = by("out");
const MAX_LINES = 5000;
let tail = null;
let whole = true;

function source() {
  const which = by("which");
  if (which) return which.value;
  return `${up}api/v1/log?level=${by("level").value}`;
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
  const trouble = answer && !answer.ok ? await answer.json().catch(() => null) : null;
  if (trouble && !out.firstChild) out.append(make("span", trouble.detail, "dim"));
  if (!out.firstChild) out.append(make("span", T.empty, "dim"));
}

function follow(url) {
  const stream = new EventSource(`${url}&follow=1`);
  let pauseMs = 5000;
  // Others need the place: it is tried again, but not at once.
  stream.addEventListener("displaced", () => (pauseMs = 60000));
  tail = stream;
  stream.addEventListener("append", (event) => append(JSON.parse(event.data)));
  stream.addEventListener("reset", () => {
    out.replaceChildren();
    whole = true;
  });
  stream.addEventListener("skipped", () => out.append(make("span", "…\n", "dim")));
  stream.onerror = () => {
    stream.close();
    if (tail !== stream) return;
    // A stream can't tell why there is none.
    if (!out.firstChild) once(url);
    setTimeout(() => tail === stream && open(), pauseMs);
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

// The runs there are now. What is shown stays, except that who has started a run wants to see it.
function sources(page) {
  const which = by("which");
  if (which === document.activeElement) return;
  const fresh = page.getElementById("which");
  const there = (value) => [...fresh.options].some((option) => option.value === value);
  const old = which.value;
  const ofBegun = `${up}api/v1/runs/${begun}/output?stream=stdout`;
  let to = there(old) ? old : fresh.value;
  if (begun && there(ofBegun)) {
    if (!old.startsWith(`${up}api/v1/jobs/`)) to = ofBegun;
    begun = "";
  }
  refill(which, fresh);
  which.value = to;
  if (to !== old) open();
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
    by("which").value = `${up}api/v1/runs/${link.dataset.run}/output?stream=${link.dataset.stream}`;
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
  const path = new URL(up, location.href).pathname;
  document.cookie = `theme=${link.dataset.choose}; path=${path}; max-age=31536000; samesite=lax`;
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

by("message").classList.add("past");
if (find) begin();
if (out) reader();
tick();
setInterval(tick, 1000);
seen(!document.hidden);
document.addEventListener("visibilitychange", () => seen(!document.hidden));
addEventListener("pagehide", () => seen(false));
addEventListener("pageshow", (event) => event.persisted && seen(true));
