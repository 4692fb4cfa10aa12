"use strict";
// This node's page: shows what the API's events say, and asks it for what is clicked.  Titles, names and what hosts
// say are hostile: they come into the page as text only (`el`), never as HTML.  docs/API.md is what is asked.

const KEY = "hardline-token", API = "/api/v1/", SEEN_WITHIN = 8, LOG_SHOWN = 100;
const $ = (id) => document.getElementById(id);
const view = { services: [], offers: [], known: [], log: [] };
let token = kept(), watching = null, invited = location.hash.slice(1);

// A browser may be told to keep nothing: then the token lives as long as the page.
function kept(now) {
  try {
    if (now === undefined) return localStorage.getItem(KEY);
    if (now) localStorage.setItem(KEY, now);
    else localStorage.removeItem(KEY);
  } catch {}
  return now || null;
}

// ── making elements ──
function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "click" || name === "toggle") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}
const link = (url, text) => el("a", { href: safe(url), dir: "auto" }, text);
const safe = (url) => (/^http:\/\/[a-z0-9.-]+\.localhost(:\d+)?\//i.test(url) ? url : "#");
const button = (text, act, click, more = {}) => el("button", { type: "button", "data-act": act, click, ...more }, text);
const short = (hash) => el("span", { class: "mono dim", title: hash }, `${hash.slice(0, 4)}…${hash.slice(-4)}`);
const dim = (...text) => el("p", { class: "dim" }, ...text);
const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");
const titled = (row) => row.title || row.name || "(untitled)";
const keyOf = (row) => (row.label || "").slice(-40);
const of = (...parts) => parts.map(encodeURIComponent).join("/");

function size(count) {
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (count < 1000) return `${count < 10 && unit !== "bytes" ? count.toFixed(1) : Math.round(count)} ${unit}`;
    count /= 1000;
  }
  return `${count.toFixed(1)} TB`;
}
function ago(when) {
  const seconds = Date.now() / 1000 - when;
  for (const [many, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    const count = Math.floor(seconds / many);
    if (count >= 1) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}
function clock(when) {
  const at = new Date(when * 1000), today = at.toDateString() === new Date().toDateString();
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}
let saidUntil;
// All behind a dialog is dead to whoever hears the page, and dim: there its own line says it.
function say(text) {
  const lines = [$("said"), ...document.querySelectorAll("dialog[open] .said")];
  clearTimeout(saidUntil);
  for (const line of lines) line.textContent = line === lines.at(-1) ? text : "";
  saidUntil = setTimeout(() => say(""), 6000);
}
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} is copied`);
  } catch {
    await dialog(`Copy ${what}`, [el("pre", { tabindex: 0 }, text)], { no: "Close" });
  }
}

// ── asking ──
class Refused extends Error {}
async function ask(method, path, body) {
  const write = method !== "GET";
  const headers = { Authorization: `Bearer ${token}`, ...(write && { "Content-Type": "application/json" }) };
  let answer, told;
  try {
    answer = await fetch(API + path, { method, headers, ...(write && { body: JSON.stringify(body || {}) }) });
    told = await answer.json();
  } catch {
    throw new Refused("hardlined does not answer: is it running?");
  }
  if (answer.status === 401) forgetToken();
  if (!answer.ok) throw new Refused(told.hint ? `${told.error} (${told.hint})` : told.error);
  return told;
}
// What `path` tells as long as it is open; null for a sign of life.
async function* events(path, signal) {
  const answer = await fetch(API + path, { headers: { Authorization: `Bearer ${token}` }, signal });
  if (answer.status === 401) return forgetToken();
  if (!answer.ok) throw new Refused((await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      yield data && block.startsWith("event: news") ? JSON.parse(data.slice(6)) : null;
    }
  }
}
async function act(what, done) {
  try {
    const answer = await what();
    if (done) say(done);
    return answer;
  } catch (failure) {
    say(failure.message);
  }
}

// ── dialogs ──
function dialog(title, content, { yes, no = "Cancel", danger = false, send } = {}) {
  const trouble = el("p", { class: "bad", role: "alert" });
  const accept = yes && el("button", { class: danger ? null : "main" }, yes);
  const close = el("button", { type: "button", click: () => box.close() }, no);
  const said = el("p", { class: "said dim", role: "status" }), id = `asked-${document.querySelectorAll("dialog").length}`;
  const form = el("form", { method: "dialog" }, ...content, trouble, said, el("div", { class: "tools" }, close, accept));
  const box = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), form);
  const from = whereFocused();
  document.body.append(box);
  return new Promise((resolve) => {
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const given = Object.fromEntries(new FormData(form));
      for (const one of form.querySelectorAll("input[type=checkbox]")) given[one.name] = one.checked;
      try {
        if (accept) accept.disabled = true;
        result = send ? (await send(given)) ?? given : given;
        box.close();
      } catch (failure) {
        trouble.textContent = failure.message;
      } finally {
        if (accept) accept.disabled = false;
      }
    });
    box.addEventListener("close", () => {
      box.remove();
      focusAgain(from);
      resolve(result);
    });
    box.showModal();
    if (!yes) close.focus();
  });
}
const field = (name, label, more = {}) =>
  el("label", {}, label, el("input", { name, autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...more }));
const check = (name, label, checked) =>
  el("label", { class: "check" }, el("input", { type: "checkbox", name, checked }), label);
const sure = (title, text, yes, send) => dialog(title, [el("p", {}, text)], { yes, danger: true, send });

// ── where the keyboard is, while lists are made anew ──
function whereFocused() {
  const one = document.activeElement, card = one && one.closest("[data-key]");
  return one && { id: one.id, key: card && card.dataset.key, act: one.dataset && one.dataset.act };
}
function focusAgain(where) {
  if (!where || (document.activeElement && document.activeElement !== document.body)) return;
  const cards = [...document.querySelectorAll("[data-key]")].filter((card) => card.dataset.key === where.key);
  const found = where.id ? $(where.id) : cards[0] && [...cards[0].querySelectorAll("[data-act]")].find((one) => one.dataset.act === where.act);
  const instead = cards[0] && cards[0].querySelector("a, button");
  if (found || instead) (found || instead).focus({ preventScroll: true });
}
const drawn = new Map();
function draw(id, rows, make, nothing) {
  const list = $(id), where = whereFocused();
  const kept = new Map([...list.children].map((one) => [one.dataset.key, one]));
  const items = rows.map((row) => {
    const key = `${id}/${row.number || row.label || row.name}`, said = JSON.stringify(row);
    if (kept.has(key) && drawn.get(key) === said) return kept.get(key);
    drawn.set(key, said);
    const item = make(row);
    item.dataset.key = key;
    return item;
  });
  if (items.length !== list.children.length || items.some((one, at) => one !== list.children[at])) {
    list.replaceChildren(...items);
    focusAgain(where);
  }
  for (const key of kept.keys()) if (!items.some((one) => one.dataset.key === key)) drawn.delete(key);
  const empty = $(`${id}-empty`);
  empty.hidden = rows.length > 0;
  if (nothing) empty.textContent = nothing;
}

// ── shared by this computer ──
function service(row) {
  const states = { paused: "paused", broken: "cannot be understood", stale: "its file broke: served as before", closed: "not served" };
  let state = el("span", { class: "dim" }, states[row.state] || "");
  if (row.state === "serving" && row.answers !== null && row.answers !== undefined)
    state = row.answers ? el("span", { class: "good" }, "● answers") : el("span", { class: "bad" }, "○ nothing answers there");
  const name = row.name, label = `of ${titled(row)}`;
  if (!row.url) return el("li", {}, el("div", { class: "head" }, el("strong", { dir: "auto" }, name), state), problem(row));
  const who = row.for_invited ? "invited people only" : "everybody who has the address";
  const here = row.visitors ? `, ${row.visitors} here now` : "";
  const paused = row.state === "paused";
  return el(
    "li", {},
    el("div", { class: "head" }, link(row.url, titled(row)), el("span", { class: "dim", dir: "auto" }, row.target), state),
    dim(`${row.listed ? "listed on this network" : "not listed"}, ${who}${here}. `, short(keyOf(row))),
    problem(row),
    people(row),
    el(
      "div", { class: "tools", role: "group", "aria-label": `Actions ${label}` },
      button("Copy address", "copy", () => copy(row.url, "The address")),
      button("Invite…", "invite", () => invite(row)),
      button("On a phone…", "phone", () => phone(row, titled(row))),
      more(row.label, [
        button(paused ? "Resume" : "Pause", "pause", () =>
          act(() => ask("POST", `services/${of(name)}/${paused ? "resume" : "pause"}`), `${titled(row)} is ${paused ? "served" : "paused"}`)),
        button("Change…", "change", () => change(row)),
        button("Requests…", "inspect", () => inspect(row)),
        button("Remove…", "remove", () => remove(row)),
      ]),
    ),
  );
}
const opened = new Set();  // of what is behind More, so that it stays while the card is made anew
const more = (key, buttons) =>
  el("details", { class: "more", open: opened.has(key), toggle: (event) => opened[event.target.open ? "add" : "delete"](key) },
    el("summary", { class: "button", "data-act": "more" }, "More"), el("div", { class: "tools" }, ...buttons));
const problem = (row) =>
  row.problem && el("div", { class: "wrong" }, el("p", { dir: "auto" }, row.problem), row.hint && dim(row.hint));
function people(row) {
  if (!row.for_invited) return null;
  const ways = { LAN: "in this network", DIRECT: "direct", PUNCHED: "direct", RELAYED: "by relay" };
  const lines = row.let_in.map((one) => {
    const seen = one.here ? "here now" : one.last_visit ? `${ago(one.last_visit)}, ${ways[one.kind] || "direct"}` : "never here";
    const who = one.who || `${one.key_hash.slice(0, 8)}…`;
    return el(
      "li", {}, el("span", {}, el("span", { dir: "auto" }, who), el("span", { class: "dim" }, ` ${seen}${one.read ? `, ${size(one.read)}` : ""}`)),
      button("Revoke…", `revoke-${one.key_hash}`, () => revoke(row, who, `who/${of(row.name, one.key_hash)}`), { "aria-label": `Revoke ${who}` }),
    );
  });
  const waiting = row.invited.map((one) =>
    el(
      "li", {}, el("span", {}, el("span", { dir: "auto" }, one.who), el("span", { class: "dim" }, one.state === "open" ? ` invited until ${clock(one.until)}` : " invitation expired")),
      one.state === "open" && button("Withdraw…", `withdraw-${one.number}`, () => revoke(row, one.who, `invites/${of(one.number)}`), { "aria-label": `Withdraw the invitation of ${one.who}` }),
    ));
  return el("ul", { class: "people", "aria-label": "Who may visit" }, ...lines, ...waiting);
}
const revoke = (row, who, path) =>
  sure(`Throw ${who} out?`, `${who} may not visit ${titled(row)} any more, and is cut off at once. An address that was given away stays known, and opens nothing.`,
    "Revoke", () => ask("DELETE", path)).then((done) => done && say(`${who} may not visit ${titled(row)} any more`));
const remove = (row) =>
  sure(`Remove ${titled(row)}?`, "Nobody can visit it any more. Share the same again, and its address comes back.", "Remove",
    () => ask("DELETE", `services/${of(row.name)}`)).then((done) => done && say(`${titled(row)} is not shared any more`));
function share(directory) {
  const target = directory
    ? field("target", "Which directory or file", { required: true, placeholder: "/home/ada/photos", "aria-describedby": "hint" })
    : field("target", "Which port, or address", { required: true, placeholder: "8123", "aria-describedby": "hint" });
  const hint = directory ? "As a whole path, or ~/ and the rest. Hidden files are never shown." : "A port of this computer, or computer:port, http://…, unix:/…";
  return dialog(
    directory ? "Share a directory" : "Share a port",
    [target, el("p", { class: "dim", id: "hint" }, hint), field("title", "Title (may be empty)", { maxlength: 200 }),
      check("listed", "List it on this network", true), check("invited", "For invited people only", false)],
    { yes: "Share", send: (given) => ask("POST", "services", given) },
  ).then((made) => made && say(made.already ? `It is shared already, as ${titled(made)}` : `${titled(made)} is shared`));
}
const change = (row) =>
  dialog(
    `Change ${titled(row)}`,
    [field("title", "Title", { value: row.title || "", maxlength: 200 }),
      field("target", "Leads elsewhere (empty: where it leads now)", { placeholder: row.target }),
      check("listed", "List it on this network", row.listed), check("invited", "For invited people only", row.for_invited),
      dim("Its address stays the same.")],
    { yes: "Change", send: (given) => ask("PATCH", `services/${of(row.name)}`, given) },
  ).then((made) => made && say(`${titled(made)} is changed`));
async function invite(row) {
  if (!row.for_invited) {
    const closed = await sure(`Only for those whom you invite?`, `Everybody who has its address may visit ${titled(row)} now. From then on only invited people may: whoever visits it now is cut off.`,
      "For invited people only", () => ask("PATCH", `services/${of(row.name)}`, { invited: true }));
    if (!closed) return;
  }
  const made = await dialog(
    `Invite somebody to ${titled(row)}`,
    [field("who", "Who is it for", { required: true, maxlength: 60 }), field("days", "Good for how many days", { type: "number", min: 1, max: 366, value: 7, required: true })],
    { yes: "Invite", send: (given) => ask("POST", "invites", { name: row.name, who: given.who, days: Number(given.days) }) },
  );
  if (!made) return;
  const lines = [
    `${made.who}, I share "${titled(made)}" with you by hardline.`,
    "Install it: pipx install hardline-tunnel, then: hardline service install",
    `Then open this link on that computer: ${made.link}`,
  ].join("\n");
  const text = el("pre", { tabindex: 0, "aria-label": "What to send" }, lines);
  await dialog(`Send this to ${made.who}`, [dim(`Valid until ${clock(made.until)}, for one computer. It is shown this once.`), text,
    button("Copy", "copy", () => copy(lines, "The invitation"))], { no: "Done" });
}

async function inspect(row) {
  const ended = new AbortController(), shown = new Map();
  const list = el("ul", { class: "people", "aria-label": "Requests" }), none = dim("Waiting for a visitor to ask for something…");
  const told = (one) => {
    const took = one.took_s === null ? "under way" : `${Math.round(1000 * one.took_s)} ms, ${size(one.heard_size)}`;
    const again = one.replay_of === null ? "" : `, ${one.replay_of} once more`;
    return el(
      "li", {}, el("span", { class: "mono", dir: "auto" }, `${one.number} ${one.method} ${one.target} `, el("span", { class: "dim" }, `${one.status || "…"}, ${took}${again}`)),
      button("Details…", "details", () => act(() => details(row, one.number)), { "aria-label": `Details of ${one.number}` }));
  };
  (async () => {
    try {
      for await (const one of events(`inspect/${of(row.name)}`, ended.signal)) {
        if (!one) continue;
        const item = told(one), before = shown.get(one.number);
        shown.set(one.number, item);
        if (before) before.replaceWith(item);
        else list.prepend(item);
        none.hidden = true;
        while (list.children.length > LOG_SHOWN) list.lastChild.remove();
      }
    } catch (failure) {
      if (!ended.signal.aborted) none.textContent = failure.message;
    }
  })();
  await dialog(`Requests to ${titled(row)}`, [dim("As they pass, while this is open. What says who somebody is stays hidden."), none, list], { no: "Close" });
  ended.abort();
}
async function details(row, number) {
  const one = await ask("GET", `inspected/${of(row.name)}?number=${number}`);
  const text = (body, whole) => {
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0)), read = new TextDecoder().decode(bytes);
    return body && el("pre", { tabindex: 0, dir: "auto" }, read, whole ? "" : "\n…");
  };
  const part = (name, head, body, whole) => [el("h3", {}, name), el("pre", { tabindex: 0, dir: "auto" }, head || "nothing yet"), text(body, whole)];
  await dialog(`Request ${number}`,
    [...part("Asked", one.asked_head, one.asked_body, one.asked_whole), ...part("Answered", one.heard_head, one.heard_body, one.heard_whole)].filter(Boolean),
    { yes: "Ask the same again", no: "Close", send: () => ask("POST", `replay/${of(row.name)}`, { number }) });
}
async function phone(row, called) {
  const made = await act(() => ask("POST", "phone", { what: row.label }));
  if (!made) return;
  const near = made.urls.length > 0;
  const here = near && [scanned(made.code, "A code to scan"), el("ul", {}, made.urls.map((url) => el("li", { class: "mono" }, url))),
    dim(`For phones of this network, until ${clock(made.until)}. It is not encrypted between the phone and this computer, and pages get no camera there.`)];
  const there = made.away
    ? [el("h3", {}, "Away from home"), scanned(made.away_code, "A code for phones that are away"), el("p", { class: "mono" }, made.away), dim("Encrypted up to the service, from anywhere, at any time.")]
    : [made.advice && dim(sentence(made.advice))];
  const shown = [...(here || []), ...there].filter(Boolean);
  const stops = near && { yes: "Stop now", danger: true, send: () => ask("DELETE", `phone/${of(made.label)}`) };
  const stop = await dialog(`${called} on a phone`, shown, { no: "Close", ...stops });
  if (stop) say("No phone is led there any more");
}
function scanned(rows, called) {
  const svg = (tag, given) => {
    const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(given)) one.setAttribute(name, value);
    return one;
  };
  const wide = rows.length + 8, code = svg("svg", { viewBox: `-4 -4 ${wide} ${wide}`, role: "img", "aria-label": called });
  const dark = rows.flatMap((line, y) => [...line].map((one, x) => (one === "1" ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  code.append(svg("rect", { x: -4, y: -4, width: wide, height: wide, fill: "#fff" }), svg("path", { d: dark, fill: "#000" }));
  return code;
}

// ── on this network, known ──
function offer(row) {
  const where = row.host ? `on ${row.host}` : `at ${row.source}`, old = row.old;
  const note = row.unlike ? el("span", { class: "bad", dir: "auto" }, `not the ${row.unlike} you know`) : row.name ? el("span", { class: "dim" }, `= ${row.name}`) : null;
  return el(
    "li", { class: old ? "old" : null },
    el("div", { class: "head" }, link(row.url, titled(row)), el("span", { class: "dim", dir: "auto" }, where), short(keyOf(row)), note, old && el("span", { class: "dim" }, "does not answer now")),
    !row.name && el("div", { class: "tools" }, button("Keep as…", "keep", () => keep(row), { "aria-label": `Keep ${titled(row)} as…` })),
  );
}
const keep = (row) =>
  dialog(`Keep ${titled(row)} as`,
    [field("name", "A name of yours", { required: true, maxlength: 32, value: row.name || suggested(row.title), pattern: "[A-Za-z0-9]([A-Za-z0-9\\-]*[A-Za-z0-9])?" }),
      dim("Letters, digits and dashes. It is known on this computer only, and leads there: http://NAME.localhost:", location.port, "/")],
    { yes: "Keep", send: (given) => ask("POST", "known", { what: row.label, name: given.name }) },
  ).then((made) => made && say(`It is ${made.name} now`));
const suggested = (title) => (title || "").toLowerCase().normalize("NFD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 32).replace(/-$/, "");
function known(row) {
  const marks = { connected: el("span", { class: "good" }, "● "), near: el("span", { class: "dim" }, "○ "), away: el("span", { class: "bad" }, "○ ") };
  const seen = row.last_seen ? `seen ${ago(row.last_seen)}` : "not visited yet";
  let says = row.says || seen;
  if (row.state === "away") says = `not reachable since ${clock(row.since)}: ${row.says}; ${seen}`;
  if (row.state === "connected") says = `${row.says}, ${row.streams} stream${row.streams === 1 ? "" : "s"}, ${size(row.bytes)}`;
  const called = row.name || titled(row);
  return el(
    "li", {},
    el("div", { class: "head" }, link(row.url, called), row.name && row.title && el("span", { class: "dim", dir: "auto" }, row.title), short(row.key_hash)),
    el("p", { class: "dim" }, marks[row.state] || null, says),
    row.problem && el("p", { class: "bad" }, sentence(row.problem)),
    el(
      "div", { class: "tools", role: "group", "aria-label": `Actions of ${called}` },
      row.state !== "connected" && button(row.state === "away" ? "Why not?" : "Does it answer?", "why", () => why(row, called)),
      row.state === "connected" && button("On a phone…", "phone", () => phone(row, called)),
      row.name ? button("Forget…", "forget", () => forget(row)) : button("Keep as…", "keep", () => keep(row)),
    ),
  );
}
const forget = (row) =>
  sure(`Forget the name ${row.name}?`, "Nothing is called so any more on this computer.", "Forget", () => ask("DELETE", `known/${of(row.name)}`))
    .then((done) => done && say(`Nothing is called ${row.name} any more`));
async function why(row, called) {
  say(`Asking for ${called}…`);
  const told = await act(() => ask("GET", `ping/${of(row.label)}`));
  if (!told) return;
  $("said").textContent = "";
  if (!told.failure) return say(`${called} answers, ${told.round_trip_s ? `in ${Math.max(1, Math.round(1000 * told.round_trip_s))} ms` : "by an earlier hardline"}`);
  const tried = told.tried.map((one) => el("li", { dir: "auto" }, one));
  const further = await dialog(`${called} is not reachable`, [el("p", { dir: "auto" }, sentence(told.why || told.failure)), told.step && el("p", {}, el("strong", {}, sentence(told.step))),
    tried.length && el("details", {}, el("summary", {}, "What was tried"), el("ul", {}, tried))].filter(Boolean), { yes: "Step by step", no: "Close" });
  if (further) await doctor(`Visiting ${called}`, `doctor/${of(row.label)}`);
}
async function doctor(title, path) {
  const ended = new AbortController(), list = el("ul", { class: "people", "aria-label": "What was found", "aria-live": "polite" });
  const working = dim("Looking… this takes up to 15 seconds."), marks = { ok: ["good", "✓"], warn: ["dim", "!"], fail: ["bad", "✗"], "not checked": ["dim", "–"] };
  (async () => {
    try {
      for await (const row of events(path, ended.signal)) {
        if (!row) continue;
        const [tone, mark] = marks[row.state] || ["dim", "?"];
        list.append(el("li", {}, el("span", { dir: "auto" }, el("b", { class: tone }, `${mark} ${row.check}`), `: ${row.sentence}`), row.do && el("p", { class: "dim", dir: "auto" }, row.do)));
      }
      working.textContent = "That is all.";
    } catch (failure) {
      if (!ended.signal.aborted) working.textContent = failure.message;
    }
  })();
  await dialog(title, [list, working], { no: "Close" });
  ended.abort();
}

// ── all of it ──
function show(news) {
  for (const row of news.log || []) view.log = view.log.filter((one) => one.kind !== row.kind || one.sentence !== row.sentence || row.when - one.when > 600);
  Object.assign(view, { ...news, log: [...view.log, ...(news.log || [])].slice(-LOG_SHOWN) });
  if (news.services) draw("mine", view.services, service, "Nothing yet: share a directory, or what listens on a port of this computer.");
  // A card is made anew only when it says something else: who reads it by ear, or selects in it, loses it then.
  if (news.offers) draw("lan", view.offers.map(({ heard_s, ...row }) => ({ ...row, old: heard_s > SEEN_WITHIN })), offer);
  if (news.known) draw("known", view.known, known);
  if (news.log) draw("log", [...view.log].reverse(), (row) =>
    el("li", {}, el("time", { datetime: new Date(row.when * 1000).toISOString() }, clock(row.when)), el("span", { dir: "auto" }, row.count > 1 ? `${row.sentence}, ${row.count} times` : row.sentence)));
  if (news.computer !== undefined) $("computer").textContent = news.computer && `on ${news.computer}`;
  if (news.outside) $("outside").textContent = [news.outside.sentence, news.outside.advice].filter(Boolean).join("; ");
}
async function watch() {
  const mine = (watching = new AbortController());
  for (let pause = 1000; token && watching === mine; pause = Math.min(2 * pause, 15000)) {
    try {
      for await (const news of events("events", mine.signal)) {
        if (news) show(news);
        $("away").hidden = true;
        pause = 1000;
      }
      if (!token) return;
    } catch {
      if (mine.signal.aborted) return;
    }
    $("away").hidden = false;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
function forgetToken() {
  token = null;
  kept(null);
  begin();
}
function begin() {
  for (const one of document.querySelectorAll("[data-with-token]")) one.hidden = !token;
  for (const one of document.querySelectorAll("[data-without-token]")) one.hidden = Boolean(token);
  if (watching) watching.abort();
  watching = null;
  if (token && $("mine")) watch();
  if ($("accept")) $("accept").disabled = !token;
}
async function login(once) {
  try {
    const answer = await fetch(`${API}login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ once }) });
    const told = await answer.json();
    if (!answer.ok) return say(`${told.error}: run hardline open again`);
    token = told.token;
    kept(token);
  } catch {
    say("hardlined does not answer: is it running?");
  }
}

// ── an invitation ──
async function accept() {
  const made = await act(() => ask("POST", "accept", { link: invited }));
  if (!made) return;
  history.replaceState(null, "", location.pathname);
  const title = made.title || "what you were invited to";
  const named = field("name", "Call it", { value: suggested(made.title), maxlength: 32 });
  const keeps = button("Keep this name", "keep", () =>
    act(() => ask("POST", "known", { what: made.label, name: named.querySelector("input").value })).then((kept) => kept && say(`It is ${kept.name} now`)));
  $("invitation").replaceChildren(
    el("h1", { tabindex: -1, id: "accepted" }, made.waits === null ? "You are let in" : "Accepted"),
    el("p", { dir: "auto" }, made.waits === null ? title : `It takes effect when its computer can be reached: ${made.waits}. Nothing more is to be done here.`),
    el("div", { class: "keeping" }, named, keeps),
    el("div", { class: "tools" }, el("a", { class: "button", href: safe(made.url) }, "Open")),
    dim("Every user of this computer can open it through this node."),
  );
  $("accepted").focus();
}

// ── the beginning ──
addEventListener("storage", (event) => {
  if (event.key === KEY && event.newValue !== token) {
    token = event.newValue;
    begin();
  }
});
for (const [id, click] of [["share-directory", () => share(true)], ["share-port", () => share(false)], ["doctor", () => doctor("Doctor", "doctor")], ["accept", accept]])
  if ($(id)) $(id).addEventListener("click", click);
// An address that differs behind its # alone loads nothing: it is given to a page that is open already, too.
addEventListener("hashchange", () => (location.hash.startsWith("#once=") || $("invitation")) && location.reload());
const once = /^#once=([\w-]+)$/.exec(location.hash);
if (once) {
  history.replaceState(null, "", location.pathname);
  login(once[1]).then(begin);
} else begin();
if ($("invited-to")) {
  const label = invited.split(".")[0];
  $("invited-to").textContent = /^([0-9A-Za-z]{1,23}-)?[0-9a-f]{40}$/.test(label) ? `${label.slice(-40, -36)}…${label.slice(-4)}` : "nothing: this address is not whole";
}
