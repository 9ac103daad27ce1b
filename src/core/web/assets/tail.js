// What is written, followed; colours, keys, and the beginning of it all.

// Output and log, followed.

const out = by("out");
const MAX_LINES = 5000;
// Characters that are shown at the most; fewer while a line is so long, which is laid out anew with
// all that is added. It is shown, and left out, in pieces.
const MAX_TEXT = 1 << 20;
const LONG = 1 << 17;
const PIECE = 1 << 14;
let tail = null;
let whole = true;
// Texts are opened in turns: what an older one has to say is not put under a newer one.
let opened = 0;
// Bytes before the first line that is shown, characters from there on, those of the last line.
let earlier = 0;
let kept = 0;
let under = 0;
let quiet = 0;

function source() {
  const which = by("which");
  if (which) return which.value;
  return `${up}api/v1/log?level=${by("level").value}`;
}

function empty() {
  out.replaceChildren();
  whole = true;
  earlier = 0;
  kept = 0;
  under = 0;
}

function shut() {
  clearTimeout(quiet);
  if (tail) tail.close();
  tail = null;
}

// `again`: what is there stays until there is something newer.
function open(again) {
  shut();
  opened += 1;
  if (again !== true) empty();
  const from = source();
  if (!from) return nothing(T.empty);
  if (by("download")) by("download").href = `${from}&download=1`;
  const url = `${from}&tail=${by("lines").value}`;
  if (by("follow").checked) follow(url);
  else once(url);
}

function nothing(why) {
  if (!out.firstChild) out.append(make("span", why, "dim"));
}

// What is shown stays, and is not the newest any more: that is said under it, once.
function failed(why) {
  if (!out.firstChild) return nothing(why);
  if (out.lastChild.textContent !== `${why}\n`) gap(why);
}

function gap(why) {
  const low = atEnd();
  out.append(make("span", `${why}\n`, "dim gap"));
  whole = true;
  if (low) out.scrollTop = out.scrollHeight;
}

// An answer and what it says, however long it goes on coming. What was cut, stood still, or is not
// as long as the daemon said, says nothing.
async function read(url) {
  const stop = new AbortController();
  let late = 0;
  const wait = () => {
    clearTimeout(late);
    late = setTimeout(() => stop.abort(), PATIENCE_MS);
  };
  let answer = null;
  let said = "";
  let count = 0;
  try {
    wait();
    answer = await fetch(url, { headers: { Accept: "text/plain" }, signal: stop.signal });
    const [reader, decoder] = [answer.body.getReader(), new TextDecoder()];
    for (let more = { done: false }; !more.done;) {
      wait();
      more = await reader.read();
      count += more.value?.length ?? 0;
      said += decoder.decode(more.value, { stream: !more.done });
    }
  } catch {
    return { answer };
  } finally {
    clearTimeout(late);
  }
  const length = answer.headers.get("Schedule-Bytes");
  return length === null || Number(length) === count ? { answer, said } : { answer };
}

async function once(url) {
  const turn = opened;
  const { answer, said } = await read(url);
  if (turn !== opened) return;
  if (!answer) return failed(fill(T.failed, asOf()));
  if (said === undefined) return failed(T.text_cut);
  const before = answer.headers.get("Schedule-Bytes-Before");
  if (!answer.ok || before === null) return failed(reason(answer, said) ?? between(answer));
  empty();
  earlier = Number(before);
  append(said);
}

function follow(url) {
  const stream = new EventSource(`${url}&follow=1`);
  tail = stream;
  let first = true;
  let displaced = false;
  const broken = async () => {
    if (tail !== stream) return;
    shut();
    const turn = opened;
    // Why there is nothing is said where it is asked for once.
    if (first) await once(url);
    if (turn !== opened || document.hidden) return;
    if (displaced) apart();
    quiet = setTimeout(() => open(true), displaced ? 60000 : 5000);
  };
  const on = (name, act) => stream.addEventListener(name, (event) => {
    if (tail !== stream) return;
    clearTimeout(quiet);
    quiet = setTimeout(broken, SILENCE_MS);
    if (first && name !== "beat") empty();
    first &&= name === "beat";
    act(JSON.parse(event.data));
  });
  on("before", (bytes) => { earlier = Number(bytes); });
  on("append", append);
  on("reset", (how) => {
    empty();
    gap(how === "cleared" ? T.file_cleared : T.file_replaced);
  });
  on("removed", (at) => gap(fill(T.file_removed, at.slice(11, 19))));
  on("skipped", (bytes) => gap(fill(T.lines_lost, size(Number(bytes)))));
  on("trouble", gap);
  // A minute after its run has ended the middle of a long file is left out: not of what is shown.
  on("cut", () => {});
  on("beat", () => {});
  // Others need the place: it is tried again, but not at once.
  stream.addEventListener("displaced", () => { displaced = true; });
  stream.onerror = broken;
  quiet = setTimeout(broken, PATIENCE_MS);
}

// It is not followed any more: said under what came last, until it goes on.
function apart() {
  const low = atEnd();
  out.append(make("span", `${T.tail_displaced} `, "dim gap"), taker(() => open(true)));
  whole = true;
  if (low) out.scrollTop = out.scrollHeight;
}

const atEnd = () => out.scrollHeight - out.scrollTop - out.clientHeight < 40;
const lengthOf = (text) => new TextEncoder().encode(text).length;

function append(text) {
  const low = atEnd();
  if (text === "") return nothing(T.empty);
  if (out.firstChild?.className === "dim") out.replaceChildren();
  out.querySelector(".before")?.remove();
  const grep = by("grep")?.value.toLowerCase() ?? "";
  const part = document.createDocumentFragment();
  kept += text.length;
  const end = text.lastIndexOf("\n") + 1;
  under = text.length - end + (end ? 0 : under);
  const most = under > LONG ? LONG : MAX_TEXT;
  for (const line of text.split(/(?<=\n)/)) {
    const last = part.lastChild ?? out.lastChild;
    if (!whole && last?.textContent.length < PIECE) last.textContent += line;
    else if (line) part.append(lineOf(line, grep));
    whole = line.endsWith("\n");
  }
  out.append(part);
  while (out.childNodes.length > MAX_LINES || (kept > most && out.childNodes.length > 1)) {
    kept -= out.firstChild.textContent.length;
    earlier += lengthOf(out.firstChild.textContent);
    out.firstChild.remove();
  }
  if (earlier) out.prepend(make("span", `${fill(T.before, size(earlier))}\n`, "dim before"));
  if (low) out.scrollTop = out.scrollHeight;
}

function lineOf(line, grep) {
  const level = by("level") ? /^\S+ \S+ \[(ERROR|WARN|DEBUG|TRACE)/.exec(line)?.[1] : "";
  const node = make("span", line, { ERROR: "e", WARN: "w", DEBUG: "d", TRACE: "d" }[level]);
  node.hidden = grep !== "" && !line.toLowerCase().includes(grep);
  return node;
}

// The runs there are now. What is shown stays, also where it is forgotten, except that who has
// started a run wants to see it.
function sources(page) {
  const which = by("which");
  if (which === document.activeElement) return;
  const part = page.getElementById("which");
  const there = (value) => [...part.options].some((option) => option.value === value);
  const old = which.value;
  const ofBegun = `${up}api/v1/runs/${begun}/output?stream=stdout`;
  let to = old || part.value;
  if (begun && there(ofBegun)) {
    if (!old.startsWith(`${up}api/v1/jobs/`)) to = ofBegun;
    begun = "";
  }
  const picked = which.selectedOptions[0];
  refill(which, part);
  if (picked && ![...which.options].some((option) => option.value === old)) which.append(picked);
  which.value = to;
  if (to !== old) open();
}

// What is chosen is in the address: a link to it opens just that.
function address() {
  const query = new URLSearchParams(location.search);
  const set = (name, value) => (value ? query.set(name, value) : query.delete(name));
  set("lang", "");
  set("theme", "");
  if (by("which")) {
    set("run", /runs\/([^/]+)\/output/.exec(source())?.[1]);
    set("stream", /stream=(\w+)/.exec(source())?.[1]);
  } else {
    set("level", by("level").value === "info" ? "" : by("level").value);
    set("filter", by("grep").value);
  }
  set("tail", by("lines").value === "500" ? "" : by("lines").value);
  set("follow", by("follow").checked ? "" : "0");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  for (const link of all(".look a[lang]")) {
    const url = new URL(link.href);
    const lang = url.searchParams.get("lang");
    url.search = new URLSearchParams([...query, ["lang", lang]]);
    link.href = url;
  }
}

function chosen() {
  address();
  open();
}

function reader() {
  for (const id of ["which", "lines", "follow", "level"]) by(id)?.addEventListener("change", chosen);
  by("grep")?.addEventListener("input", (event) => {
    const grep = event.target.value.toLowerCase();
    for (const line of out.childNodes) {
      line.hidden = grep !== "" && !line.textContent.toLowerCase().includes(grep);
    }
    address();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-run]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    by("which").value = `${up}api/v1/runs/${link.dataset.run}/output?stream=${link.dataset.stream}`;
    chosen();
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
  if (event.isComposing) return;
  if (event.key === "Escape" && typing) {
    // What is searched is still searched: a browser would empty the field.
    event.preventDefault();
    return typing.blur();
  }
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
    back();
    // What nobody wants to follow stays as it is.
    if (out && !tail && (opened === 0 || by("follow").checked)) open(true);
  } else {
    disconnect();
    shut();
  }
}

by("message").classList.add("past");
if (find) begin();
if (out) reader();
tick();
// A second that was much more, or less: this machine slept, or its clock was set.
let second = Date.now();
setInterval(() => {
  const leap = Math.abs(Date.now() - second - 1000);
  second = Date.now();
  if (leap > 5000 && !document.hidden) back();
}, 1000);
setInterval(tick, 1000);
seen(!document.hidden);
document.addEventListener("visibilitychange", () => seen(!document.hidden));
addEventListener("pagehide", () => seen(false));
addEventListener("pageshow", (event) => event.persisted && seen(true));
