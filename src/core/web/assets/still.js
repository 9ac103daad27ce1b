// What rows can't tell by themselves (counts, order, what came and went) is asked for at most
// every two seconds. Nothing that comes by itself moves what can be pressed: parts of the page are
// exchanged where they are, and what would move others is offered in the bar, which has its room
// always.

let planned = 0;

function later() {
  if (planned) return;
  const pause = by("job") ? 300 : 2000;
  planned = setTimeout(() => {
    planned = 0;
    refresh(false);
  }, pause);
}

// Pages are asked for in turns: an older answer never takes the place of a newer one.
let turns = 0;
let told = 0;

async function fetched(url) {
  const since = changes;
  turns += 1;
  const turn = turns;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(url, { headers: { Accept: "text/html" }, signal }).catch(() => null);
  const text = await answer?.text().catch(() => null);
  if (typeof text !== "string") return { turn };
  const page = new DOMParser().parseFromString(text, "text/html");
  if (!page.body.dataset.texts) return { turn, why: refusal(answer, text) };
  // A proxy may cut an answer, and say that it is whole.
  if (!text.includes("</html>")) return { turn };
  if (answer.status >= 500) return { turn };
  for (const row of page.getElementById("rows")?.rows ?? []) {
    if (changedAt.get(row.id) > since && by(row.id)) row.dataset.late = "";
  }
  return { page, turn, status: answer.status };
}

// A button that is replaced between the press and the release was not clicked, for a browser.
let pressedAt = 0;
addEventListener("pointerdown", () => { pressedAt = Date.now(); }, true);
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => setTimeout(() => { pressedAt = 0; }), true);
}

const isPressed = () => Date.now() - pressedAt < 3000;

const here = () => location.pathname + location.search;

async function refresh(wanted) {
  const url = here();
  const got = await fetched(url);
  if (got.turn < told) return;
  if (!got.page) {
    if (wanted) unanswered(got.why);
    return lost();
  }
  const waits = asked && !missed;
  if (waits || url !== here() || (!wanted && isPressed())) return later();
  told = got.turn;
  if (got.status >= 400) return vanish(got.page);
  revive();
  fresh();
  show(got.page, wanted);
}

// The script of this page is another one than that of the daemon, which was upgraded meanwhile.
let older = false;
const script = (page) => page.querySelector("script[src]")?.getAttribute("src");

function show(page, wanted) {
  older = script(page) !== script(document);
  // First of all: it may not understand the rest.
  if (older) offer("");
  document.title = page.title;
  for (const part of all("[data-d]", page)) {
    document.querySelector(`[data-d="${part.dataset.d}"]`)?.replaceWith(document.adoptNode(part));
  }
  const listed = by("list") && page.getElementById("rows") ? list(page, wanted) : "";
  let news = alerts(page, wanted) || listed;
  for (const part of by("job") ? ["#job", "#warn", "#facts", "#past"] : []) {
    const waits = swap(page, part, wanted);
    if (waits) news ||= T.page_changed;
    if (waits && part === "#past") exchange(all("tr[id]", waits));
  }
  if (by("which")) sources(page);
  offer(news);
  pend();
  tick();
}

// There is no such page any more: said. Nothing can be pressed where a job was.
// What is wrong with others is as the answer has it.
function vanish(page) {
  const why = text(page, ".error h1 + p");
  gone ||= by("job") ? fill(T.job_gone, asOf()) : fill(T.list_gone, why, asOf());
  fresh();
  alerts(page, false);
  if (!by("job")) return offer("");
  for (const one of all("#warn .alert")) one.classList.add("past");
  const state = document.querySelector("#job .st");
  state.className = "st off";
  state.textContent = T.gone;
  for (const button of all("#job button, #past button, .tools .danger")) disable(button, gone);
  offer("");
}

function revive() {
  if (!gone) return;
  gone = "";
  shown.clear();
  for (const button of all(".tools .danger")) disable(button, "");
}

// Parts of the page as the daemon last rendered them.
const shown = new Map();

// Takes over a part of a page unless it is the same. Returns the part that has to wait, as it would
// move what can be pressed.
function swap(page, query, wanted) {
  const [old, part] = [document.querySelector(query), page.querySelector(query)];
  const html = part?.outerHTML;
  if (!old || !part || shown.get(query) === html) return null;
  const scrolled = all(".wide", old).map((box) => box.scrollLeft);
  const before = places(old);
  let to = document.adoptNode(part);
  keepFocus(old, () => {
    old.replaceWith(part);
    if (!wanted && moves(before, places(part))) {
      part.replaceWith(old);
      to = old;
    }
    return to;
  });
  all(".wide", to).forEach((box, at) => { box.scrollLeft = scrolled[at] ?? 0; });
  if (to === old) return part;
  shown.set(query, html);
  return null;
}

// What is hidden has no place.
const CONTROLS = "a, button, input:not([type=hidden]), select, summary";

// Where the controls of a part are, and how much room it takes from what is below it.
function places(part) {
  const last = part.id === "past" || part.classList.contains("pager");
  const at = new Map([["", [0, last ? 0 : part.offsetHeight]]]);
  for (const one of all(CONTROLS, part)) {
    const box = one.getBoundingClientRect();
    let name = mark(one);
    while (at.has(name)) name += "+";
    at.set(name, [box.left, box.top, box.right, box.bottom]);
  }
  return at;
}

// Whether one is elsewhere, or another one is where it was.
const moves = (before, after) => [...before].some(([name, [x, y, right, bottom]]) => {
  const to = after.get(name);
  if (to) return Math.abs(to[0] - x) > 4 || Math.abs(to[1] - y) > 2;
  return [...after].some(([other, at]) => !before.has(other)
    && at[0] < right && x < at[2] && at[1] < bottom && y < at[3]);
});

// Controls like this one: the same thing in the row of the same job or run.
function mark(node) {
  const row = node.closest("tr")?.id;
  const { tagName, className, name, value, rel, dataset } = node;
  return [row, tagName, className, name, value, rel, dataset.stream].join();
}

function alike(root, one) {
  const wanted = mark(one);
  return all(CONTROLS, root).filter((node) => mark(node) === wanted);
}

// Replaces a part of the page. The focus goes to what has taken the place of where it was.
function keepFocus(old, replace) {
  const at = document.activeElement;
  const place = old.contains(at) ? alike(old, at).indexOf(at) : -1;
  const to = replace();
  if (place < 0) return;
  const heirs = alike(to, at);
  const heir = heirs[place] ?? heirs[0] ?? to.querySelector("a, button");
  heir?.focus({ preventScroll: true });
}

// Rows as the daemon rendered them: what is the same stays, with what is marked in it.
const rendered = new WeakMap();

// Puts rows in the place of those with their ids. Returns whether some have to wait, as they would
// move what can be pressed: a mistake takes more lines than a schedule. All are measured at once.
function exchange(part) {
  const html = new Map(part.map((row) => [row, row.outerHTML]));
  const come = part.filter((row) => by(row.id) && !("late" in row.dataset)
    && rendered.get(by(row.id)) !== html.get(row));
  const olds = come.map((row) => by(row.id));
  const before = olds.map(shape);
  // What needs less room keeps what there was. The height of a row of a table is its least.
  const tabular = olds[0] && getComputedStyle(olds[0]).display === "table-row";
  const room = tabular ? "height" : "minHeight";
  come.forEach((row, at) => {
    rendered.set(row, html.get(row));
    row.style[room] = `${before[at].get("")[1]}px`;
    putRow(row, olds[at]);
  });
  const after = come.map(shape);
  const back = come.map((_, at) => at).filter((at) => moves(before[at], after[at]));
  for (const at of back) putRow(olds[at], come[at]);
  return back.length > 0;
}

// Room that was kept in one width is wrong in another.
let width = innerWidth;
addEventListener("resize", () => {
  if (width === innerWidth) return;
  width = innerWidth;
  for (const row of all("tr[style]")) row.removeAttribute("style");
});

// How much room a row takes, and where its buttons are within it.
function shape(row) {
  const box = row.getBoundingClientRect();
  const at = new Map([["", [0, box.height]]]);
  for (const one of all("button, input:not([type=hidden])", row)) {
    const { left, top, right, bottom } = one.getBoundingClientRect();
    at.set(mark(one), [left - box.left, top - box.top, right - box.left, bottom - box.top]);
  }
  return at;
}

function putRow(row, old) {
  const [box, chosen] = [row.querySelector(".c input"), old.querySelector(".c input")?.checked];
  if (box) box.checked = Boolean(chosen);
  keepFocus(old, () => {
    old.replaceWith(document.adoptNode(row));
    return row;
  });
}

const textOf = (alert) => alert.querySelector("p, summary").textContent;

// What is wrong. Returns what of it is news that wait.
function alerts(page, wanted) {
  body.dataset.alerts = page.body.dataset.alerts;
  const waits = swap(page, ".alerts", wanted);
  if (!waits) return "";
  const now = all(".alert", waits).map(textOf);
  const old = all(".alerts .alert");
  for (const one of old) one.classList.toggle("past", !now.includes(textOf(one)));
  const news = now.find((text) => !old.some((one) => textOf(one) === text));
  return news ? fill(T.show, news) : now.length ? T.page_changed : T.alert_over;
}

// Takes over what can be chosen. Which one is chosen is up to the caller.
function refill(select, part) {
  select.replaceChildren(...[...part.options].map((option) => document.adoptNode(option)));
}

// Returns what is to be offered.
function list(page, wanted) {
  const chips = states(page, wanted);
  const pager = swap(page, ".pager", wanted);
  const shown = pager && [[by("shown"), text(pager, "#shown")]];
  // Both are tried.
  const told = [!chips || counts(chips), !shown || write(".pager", shown)];
  const [tag, tags] = [find.elements.tag, page.querySelector("#find [name=tag]")];
  if (tag !== document.activeElement) {
    const chosen = tags.value;
    refill(tag, tags);
    tag.value = chosen;
  }
  const caption = ".jobs caption";
  document.querySelector(caption).textContent = page.querySelector(caption).textContent;
  const part = [...page.getElementById("rows").rows];
  if (!wanted && !(settle(part) && told.every(Boolean))) return T.changed;
  if (wanted) take(part);
  all(".none").forEach((none) => none.remove());
  const none = page.querySelector(".none");
  if (none) document.querySelector(".jobs").after(document.adoptNode(none));
  return "";
}

// A state that no job is in any more stays, as long as nobody asks: another would take its place.
function states(page, wanted) {
  const chips = page.querySelector(".states");
  const stay = all(".states a").every((chip) => sameState(chips, chip));
  return wanted || stay ? swap(page, ".states", wanted) : chips;
}

const sameState = (chips, chip) => chips.querySelector(`.${chip.classList[1]}`);

// The states are counted where they are; others are added at the end. Returns whether all had room.
function counts(chips) {
  const nav = document.querySelector(".states");
  const texts = all("a", nav).map((chip) => {
    const now = sameState(chips, chip);
    return [chip.querySelector("b"), now ? text(now, "b") : "0"];
  });
  const before = places(nav);
  const added = [...chips.children].filter((chip) => !sameState(nav, chip));
  nav.append(...added.map((chip) => document.adoptNode(chip)));
  const room = !moves(before, places(nav));
  if (!room) added.forEach((chip) => chip.remove());
  return write(".states", texts) && room;
}

// Writes texts where they have room: all of them, or none. Returns whether they had.
function write(query, texts) {
  const part = document.querySelector(query);
  const before = places(part);
  const old = texts.map(([node]) => node.textContent);
  for (const [node, now] of texts) if (node.textContent !== now) node.textContent = now;
  if (!moves(before, places(part))) return true;
  texts.forEach(([node], at) => { node.textContent = old[at]; });
  return false;
}

// Exchanges rows where they are, and adds others at the end, where nothing below can be pressed.
// Returns whether that is the whole list in its order, and nothing of it waits.
function settle(part) {
  const ids = part.map((row) => row.id);
  const old = [...rows.rows];
  const kept = old.filter((row) => ids.includes(row.id)).map((row) => row.id);
  const added = part.filter((row) => !kept.includes(row.id));
  for (const row of old) if (!ids.includes(row.id)) leave(row);
  const waits = exchange(part.filter((row) => kept.includes(row.id)));
  const ordered = [...kept, ...added.map((row) => row.id)].join() === ids.join();
  const fits = added.length === 0 || !document.querySelector(".pager a");
  if (ordered && fits) rows.append(...added.map((row) => document.adoptNode(row)));
  count();
  return ordered && fits && kept.length === old.length && !waits;
}

function take(part) {
  const checked = new Set(all(":checked", rows).map((box) => box.value));
  for (const row of part) {
    rendered.set(row, row.outerHTML);
    const box = row.querySelector(".c input");
    if (box) box.checked = checked.has(box.value);
  }
  // `alike` looks at the old rows until they are replaced.
  keepFocus(rows, () => {
    const late = (row) => "late" in row.dataset;
    rows.replaceChildren(...part.map((row) => (late(row) ? by(row.id) : document.adoptNode(row))));
    return rows;
  });
  count();
}

// The bar has news, with a button that shows them; or that there is no job any more.
function offer(news) {
  const said = gone || (older ? T.older : missed ? T.missed : news);
  hint.hidden = !said;
  hint.className = gone ? "hint bad" : "hint";
  if (!said || hint.textContent === said) return;
  const button = make(gone ? "span" : "button", said);
  button.title = said;
  if (!gone) {
    button.type = "button";
    button.onclick = () => {
      if (older) location.reload();
      else if (missed) go(...missed);
      else refresh(true);
    };
  }
  hint.replaceChildren(button);
}
