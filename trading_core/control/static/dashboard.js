"use strict";
// One page, one stream of events. Every text is set as text, never as markup: a symbol may be called <script>.

const $ = (id) => document.getElementById(id);
const run = new URLSearchParams(location.search).get("run") || "";
const query = run ? "?run=" + encodeURIComponent(run) : "";
let csrf = "", last = null, heardAt = 0, points = [], source = null, shownRun = "";
const SILENT_S = 6; // the server says something at least every two seconds
const OLD_S = 15; // figures come every five seconds of the venue's time

function text(id, words, tone) {
  const e = $(id);
  if (e.textContent !== words) e.textContent = words;
  if (tone !== undefined) e.className = e.className.replace(/\b(good|warn|bad)\b/g, "").trim() + (tone ? " " + tone : "");
}
function make(tag, className, words) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (words !== undefined) e.textContent = words;
  return e;
}
function fill(id, rows, empty) {
  $(id).replaceChildren(...(rows.length ? rows : [make("li", "soft", empty)]));
}

// ── numbers: shown as they came, never reckoned with ──
function grouped(value, digits) {
  if (value === null || value === undefined) return "–";
  const [whole, part = ""] = String(value).replace("-", "").split(".");
  const cut = digits === undefined ? part : part.slice(0, digits).padEnd(digits, "0");
  const sign = String(value).startsWith("-") && /[1-9]/.test(whole + cut) ? "−" : "";
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, " ") + (cut ? "." + cut : "");
}
function dollars(value, digits = 2) {
  const words = grouped(value, digits);
  // A word joiner: no line may end between the sign and the amount.
  return words === "–" ? words : words.startsWith("−") ? "−\u2060$" + words.slice(1) : "$" + words;
}
const percent = (value, digits = 1) => value === null || value === undefined ? "–" : (100 * Number(value)).toFixed(digits) + " %";
const toneOf = (value) => Number(value) < 0 ? "bad" : Number(value) > 0 ? "good" : "";
function duration(s) {
  if (s === null || s === undefined) return "–";
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? h + " h " + m + " min" : m ? m + " min " + Math.floor(s % 60) + " s" : Math.floor(s) + " s";
}

// ── what is shown ──
function show(v) {
  last = v;
  const r = v.run, over = Boolean(r.flat) || (v.beat && v.beat.has_ended);
  document.title = (v.state && v.state !== "ACTIVE" ? v.state + " · " : "") + r.title + " · Greenlight";
  text("title", r.title);
  const words = { ACTIVE: "Trading", REDUCE_ONLY: "Reduce only", HALTED: "Halted" };
  text("state", over ? "Ended" : words[v.state] || "Starting", over ? "" : { ACTIVE: "good", REDUCE_ONLY: "warn", HALTED: "bad" }[v.state] || "");
  text("where", [r.id, r.venue + " (" + r.level + ")", r.speed !== 1 ? r.speed + " × speed" : "", v.margin.window ? v.margin.window + " margin window" : ""].filter(Boolean).join(" · "));
  text("equity", dollars(v.money.equity), "");
  text("pnl", v.money.pnl === null ? "" : dollars(v.money.pnl) + " this run, " + dollars(v.money.day_pnl) + " today", toneOf(v.money.pnl));
  const [yes, no] = v.orders.acceptance, n = yes + no;
  text("acceptance", n ? percent(yes / n) : "–", "");
  const probes = v.orders.accepted + v.orders.rejected - n;
  text("acceptance-more", (n ? yes + " of " + n + " orders accepted" : "no order was answered yet") + (probes ? ", without " + probes + (probes > 1 ? " probes" : " probe") : "") + "; " + v.orders.fills + " fills, " + v.orders.denied + " denied by us");
  text("margin", percent(v.margin.utilization), Number(v.margin.utilization) > Number(v.margin.limit) ? "warn" : "");
  text("margin-more", "limit for entries " + percent(v.margin.limit, 0));
  text("drift", dollars(v.money.drift, 4), Number(v.money.drift) > Number(v.money.drift_limit || Infinity) ? "bad" : Number(v.money.drift) !== 0 ? "warn" : "");
  text("drift-more", "stops at " + dollars(v.money.drift_limit));
  text("latency", v.latency.p95 === null ? "–" : Math.round(Number(v.latency.p95)) + " ms", v.latency.limit && Number(v.latency.p95) > Number(v.latency.limit) ? "warn" : "");
  text("latency-more", v.latency.p50 === null ? "no answer yet" : "half within " + Math.round(Number(v.latency.p50)) + " ms; limit " + grouped(v.latency.limit) + " ms");
  text("left", over ? "over" : duration(r.left_s));
  const c = v.checkpoints;
  const late = !over && c.overdue_s !== null;
  const next = late ? "checkpoint T+" + c.next_h + " h is overdue by " + duration(c.overdue_s) : c.next_h === null ? "of " + duration(r.window_s) + "; no checkpoint to come" : "checkpoint T+" + c.next_h + " h " + (c.next_in_s > 0 ? "in " + duration(c.next_in_s) : "is due");
  text("left-more", over ? (r.flat || "ended") : next, late || (over && r.is_flat === false) ? "bad" : "");
  banner(v, over);
  alerts(v.alerts);
  symbols(v.symbols);
  bars("guardrails", v.guardrails.map((g) => ({
    title: g.name.replaceAll("_", " ") + (g.is_guardrail ? "" : " (alert)"),
    words: g.latched ? "latched: " + g.latched : g.observed === null ? "no figure yet" : short(g.observed) + " of " + grouped(g.limit),
    share: g.share === null ? 0 : Math.min(g.share, 1),
    tone: g.latched || g.share > 1 ? "bad" : g.share >= 0.8 ? "warn" : "",
  })), "the plan has no limits");
  bars("progress", v.progress.map((p) => ({ title: p.title + (p.tier === "must" ? "" : " (" + p.tier + ")"), words: p.words, share: p.share, tone: p.tone })), "nothing to show");
  fill("open-orders", v.open_orders.map((o) => row("", o.words, (o.price ? "at " + grouped(o.price) + ", " : "") + o.purpose.toLowerCase().replaceAll("_", " "))), "none");
  fill("latest", v.latest.map((l) => row(l.at, l.what, l.words, l.tone)), "nothing yet");
  if (v.point && (!points.length || points[points.length - 1][0] !== v.point[0])) { points.push(v.point); draw(); }
}
const short = (value) => { const [w, p = ""] = String(value).split("."); return grouped(w + (p ? "." + p.slice(0, 4) : "")); };
function banner(v, over) {
  const open = v.alerts.filter((a) => a.severity === "CRITICAL" && !a.answered_by);
  const lost = v.beat && !v.beat.has_ended && v.beat.age_s > v.beat.lost_after_s;
  let words = "", tone = "bad";
  if (v.problem) words = "The events cannot be read: " + v.problem;
  else if (v.run.is_flat === false) words = "NOT FLAT: " + v.run.flat;
  else if (lost) words = "The session has been silent for " + Math.round(v.beat.age_s) + " s: the watchdog takes over";
  else if (!over && v.state === "HALTED") words = "Halted: no order leaves. " + v.state_why;
  else if (open.length) words = open.length + " CRITICAL alert" + (open.length > 1 ? "s wait" : " waits") + " for an answer: " + open[0].name + ", " + open[0].detail;
  else if (!over && v.state === "REDUCE_ONLY") { words = "Reduce only: positions may only shrink. " + v.state_why; tone = "warn"; }
  $("banner").hidden = !words;
  $("banner").className = "banner " + tone;
  text("banner", words);
}
function alerts(list) {
  const open = list.filter((a) => !a.answered_by && ["ERROR", "CRITICAL"].includes(a.severity));
  $("alerts-card").classList.toggle("has-open", open.length > 0);
  fill("alerts", list.slice(0, 20).map((a) => {
    const e = row(a.at, a.severity, a.name + ": " + a.detail, { INFO: "", WARNING: "warn" }[a.severity] ?? "bad");
    if (a.is_cleared) e.append(make("span", "soft", "cleared"));
    if (a.answered_by) e.append(make("span", "soft", "seen by " + a.answered_by));
    else if (["ERROR", "CRITICAL"].includes(a.severity)) {
      const b = make("button", "small", "Acknowledge");
      b.type = "button";
      b.addEventListener("click", () => acknowledge(a));
      e.append(b);
    }
    if (a.is_cleared || a.answered_by) e.classList.add("done");
    return e;
  }), "none");
}
function row(at, what, words, tone) {
  const e = make("li");
  if (at) e.append(make("span", "at", at));
  e.append(make("span", "what " + (tone || ""), what), make("span", "words", words));
  return e;
}
function bars(id, list, empty) {
  fill(id, list.map((b) => {
    const e = make("li"), line = make("div", "line"), bar = make("progress", b.tone);
    line.append(make("span", "", b.title), make("span", b.tone || "soft", b.words));
    bar.max = 1;
    bar.value = b.share;
    bar.setAttribute("aria-label", b.title);
    e.append(line, bar);
    return e;
  }), empty);
}
function symbols(list) {
  $("symbols").replaceChildren(...list.map((s) => {
    const e = make("tr"), cell = (words, tone) => e.append(make("td", "num " + (tone || ""), words));
    e.append(make("td", "", s.id));
    cell(grouped(s.position)); cell(dollars(s.notional)); cell(dollars(s.unrealized), toneOf(s.unrealized)); cell(grouped(s.mark));
    cell(grouped(s.spread_bps, 2)); cell(dollars(s.depth, 0)); cell(grouped(s.liquidity, 0));
    cell(s.stale_s === null || s.stale_s === undefined ? "–" : grouped(s.stale_s, 1) + " s", Number(s.stale_s) > 10 ? "warn" : "");
    return e;
  }));
}

// ── curves ──
function draw() { curve("equity-chart", 1, "c0", (y) => y.toFixed(2)); curve("margin-chart", 2, "c1", (y) => (100 * y).toFixed(1) + " %"); }
function curve(id, at, colour, label) {
  const box = $(id), w = box.clientWidth || 600, h = 150, left = 66, bottom = 18, NS = "http://www.w3.org/2000/svg";
  const add = (tag, values, words) => { const e = document.createElementNS(NS, tag); for (const k in values) e.setAttribute(k, values[k]); if (words) e.textContent = words; box.append(e); };
  box.replaceChildren();
  box.setAttribute("viewBox", "0 0 " + w + " " + h);
  if (points.length < 2) { add("text", { x: left, y: 60 }, "the curve begins with the second figure"); return; }
  const ys = points.map((p) => Number(p[at])), t0 = points[0][0], t1 = points[points.length - 1][0];
  let low = Math.min(...ys), high = Math.max(...ys);
  if (high - low < 1e-9) { const pad = Math.abs(high) * 0.001 || 0.01; high += pad; low -= at === 2 ? 0 : pad; }
  const x = (t) => left + (w - left - 8) * (t - t0) / Math.max(t1 - t0, 1), y = (v) => 8 + (h - bottom - 14) * (high - v) / (high - low);
  for (const v of [high, (high + low) / 2, low]) {
    add("line", { class: "grid", x1: left, x2: w - 8, y1: y(v), y2: y(v) });
    add("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, label(v));
  }
  add("path", { class: colour, d: points.map((p, i) => (i ? "L" : "M") + x(p[0]).toFixed(1) + " " + y(ys[i]).toFixed(1)).join("") });
  const clock = (t) => new Date(t).toISOString().slice(11, 19);
  add("text", { x: left, y: h - 2 }, clock(t0));
  add("text", { x: w - 8, y: h - 2, "text-anchor": "end" }, clock(t1) + " UTC");
}

// ── the age of what is shown: a frozen page must not look live ──
function tellAge() {
  const silent = (Date.now() - heardAt) / 1000;
  const isDead = !heardAt || silent > SILENT_S;
  document.body.classList.toggle("frozen", isDead && Boolean(last));
  if (!last) return text("age", "no data yet", "warn");
  if (isDead) return text("age", "no word from the server for " + Math.round(silent) + " s", "bad");
  const over = Boolean(last.run.flat) || (last.beat && last.beat.has_ended);
  if (over) return text("age", "ended, data of " + last.at.slice(0, 19).replace("T", " ") + " UTC", "");
  const age = last.data_age_s === null ? null : last.data_age_s + silent;
  text("age", age === null ? "waiting for news" : "data " + Math.floor(age) + " s old", age === null || age > OLD_S ? "bad" : "good");
}
setInterval(tellAge, 500);

// ── talking to the server ──
async function ask(path, body, more = {}) {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json", "x-greenlight-csrf": csrf, ...more }, body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error || (said.job ? told(said) : "the server answered " + answer.status));
  return said;
}
async function begin() {
  const s = await ask("/session");
  $("sign-in").hidden = s.is_signed_in;
  $("main").hidden = $("buttons").hidden = !s.is_signed_in;
  if (!s.is_signed_in) { $("token").focus(); return; }
  csrf = s.csrf;
  history_();
  if (source) source.close();
  source = new EventSource("/feed" + query);
  source.onopen = async () => {
    const c = await ask("/curve" + query);
    points = c.points;
    draw();
  };
  source.onmessage = (e) => {
    heardAt = Date.now();
    const v = JSON.parse(e.data);
    if (shownRun && shownRun !== v.run.id) history_();
    shownRun = v.run.id;
    show(v);
    tellAge();
  };
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(begin, 3000); };
}
async function history_() {
  const { runs } = await ask("/history");
  fill("history", runs.slice(0, 30).map((h) => {
    const e = row(h.decided_at.slice(0, 16).replace("T", " "), h.verdict || "running", h.headline, h.verdict.startsWith("GO") ? "good" : h.verdict.startsWith("NO-GO") ? "bad" : "warn");
    const watch = make("a", "", h.run);
    watch.href = "/?run=" + encodeURIComponent(h.run);
    e.append(watch);
    if (h.report) {
      const open = make("a", "", "report");
      open.href = h.report;
      e.append(open);
    }
    return e;
  }), "no run yet");
}
setInterval(() => { if (csrf) history_().catch(() => {}); }, 15000);

async function acknowledge(alert) {
  const by = prompt("Your name, to acknowledge " + alert.name + ":");
  if (!by) return;
  try { await ask("/api/alerts/ack", { alert_id: alert.id, by }); } catch (e) { window.alert(e.message); }
}

// ── the three buttons: each wants its words typed ──
const EFFECT = {
  "reduce-only": "From now on only orders that make a position smaller leave. Resting entries are cancelled.",
  "disable-trading": "From now on no order leaves at all. Open positions stay open until you close them.",
  "close-all": "Every order is cancelled and every position is closed with reducing orders, until the venue says flat.",
};
let asked = "";
for (const id of Object.keys(EFFECT)) $(id).addEventListener("click", () => {
  asked = id;
  text("confirm-title", $(id).textContent + "?");
  text("confirm-words", EFFECT[id]);
  text("confirm-word", $(id).dataset.word);
  text("confirm-answer", "", "");
  $("typed").value = "";
  $("confirm-yes").disabled = true;
  text("confirm-no", "Cancel");
  $("confirm").showModal();
  $("typed").focus();
});
$("typed").addEventListener("input", () => { $("confirm-yes").disabled = $("typed").value.trim().toLowerCase() !== $(asked).dataset.word; });
$("confirm").querySelector("form").addEventListener("submit", (e) => { e.preventDefault(); if (!$("confirm-yes").disabled) act(); });
$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm-yes").addEventListener("click", act);
async function act() {
  $("confirm-yes").disabled = true;
  text("confirm-answer", "asking…", "");
  const body = { reason: "pressed on the dashboard" };
  if (last && last.beat) body.account = last.beat.account;
  if (asked === "close-all") body.confirmation = $("typed").value.trim().toLowerCase();
  try {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
    const said = await ask("/api/" + asked, body, { "idempotency-key": key });
    text("confirm-answer", "Done: " + told(said), "good");
  } catch (e) {
    text("confirm-answer", "NOT done: " + e.message, "bad");
    $("confirm-yes").disabled = false;
  }
  text("confirm-no", "Close");
}
function told(said) {
  if (said.job) return (said.is_flat ? "flat. " : said.is_done ? "not flat. " : "still closing. ") + (said.said[said.said.length - 1] || "");
  const list = said.accounts || [];
  return list.map((a) => [a.account, a.after || a.sentence, a.problem].filter(Boolean).join(": ")).join("; ") || said.state || "the server took it";
}

$("sign-in").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    await ask("/api/sign-in", { token: $("token").value.trim() });
    $("token").value = "";
    text("sign-in-error", "");
    begin();
  } catch (error) { text("sign-in-error", error.message); }
});
addEventListener("resize", draw);
begin().catch((e) => { heardAt = 0; text("age", e.message, "bad"); setTimeout(begin, 3000); });
