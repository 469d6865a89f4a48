// The page at `/`: listens by WebSocket, comes back where it was, and sends events by POST. What an event holds is only ever set as
// text, never as markup.

const SHOWN_MAX = 500; // Events in the list; older ones leave it.
const HELD_MAX = 500; // Events kept while the list is paused; older ones are counted and not kept.
const PAYLOAD_MAX = 20_000; // Characters of one payload that are shown.
const LINE_MAX = 90; // Characters of one that is shown on one line…
const OPEN_MAX = 400; // …and of one that is shown unasked.
const AGAIN_MIN = 500; // Milliseconds before the first try to come back…
const AGAIN_MAX = 10_000; // …and between later ones.
const TOKEN = "rialto-token";

const at = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

let socket = null;
let since = null; // The place after which this page has heard nothing.
let again = AGAIN_MIN;
let timer = 0;
let paused = false;
let received = 0, gaps = 0, dropped = 0, inThisSecond = 0;
const held = [];

// Listening.

function connect() {
  clearTimeout(timer);
  const token = sessionStorage.getItem(TOKEN);
  const protocols = token ? ["rialto", `bearer.${token}`] : ["rialto"];
  const here = new URL("/ws", location.href);
  here.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = socket = new WebSocket(here, protocols);
  let opened = false;
  show("connecting", since ? "coming back" : "connecting");
  mine.onopen = () => {
    opened = true;
    again = AGAIN_MIN;
    subscribe();
  };
  mine.onmessage = (event) => mine === socket && hear(event.data);
  mine.onclose = (event) => mine === socket && comeBack(opened, event);
}

function subscribe() {
  const wish = { op: "subscribe", id: "pattern", patterns: [at("pattern").value] };
  if (since) wish.since = since;
  socket.send(JSON.stringify(wish));
}

async function comeBack(opened, { code, reason }) {
  const refused = opened ? null : await whyRefused();
  at("guard").hidden = refused !== 401 && !sessionStorage.getItem(TOKEN);
  if (refused === 401) return show("refused", "a token is needed");
  show("connecting", reason || (code === 1013 ? "too slow, coming back" : "no connection, trying again"));
  timer = setTimeout(connect, again * (0.5 + Math.random() / 2));
  again = Math.min(again * 2, AGAIN_MAX);
}

// A browser does not tell a page why a handshake was refused; the same door says it to a plain request.
async function whyRefused() {
  try {
    const token = sessionStorage.getItem(TOKEN);
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    return (await fetch("/ws", { headers, cache: "no-store" })).status;
  } catch {
    return null;
  }
}

function hear(text) {
  const frame = JSON.parse(text);
  if (frame.op === "ok" && frame.id === "pattern") {
    since ??= frame.seq;
    show("live", "live");
  } else if (frame.op === "message") {
    since = frame.seq;
    received += 1;
    inThisSecond += 1;
    arrive(eventOf(frame, text));
  } else if (frame.op === "gap") {
    gaps += 1;
    since = frame.to;
    arrive({ gap: `Events ${frame.from} to ${frame.to} may be missing.` });
  } else if (frame.op === "error") {
    show("refused", frame.message);
  }
}

// What the list shows of a message: an envelope has a name and a payload, anything else is shown whole.
function eventOf({ channel, message, encoding }, text) {
  const envelope = message !== null && typeof message === "object" && typeof message.message_name === "string";
  const name = envelope ? message.message_name : encoding ? "bytes" : "message";
  return { time: new Date(), name, channel, payload: pretty(envelope ? message.payload : message), text };
}

// Numbers longer than a double are shown as JavaScript has them; the stream itself carries every digit.
function pretty(value) {
  const line = typeof value === "string" ? value : JSON.stringify(value);
  const text = typeof value === "string" || line.length <= LINE_MAX ? line : JSON.stringify(value, null, 2);
  return text.length > PAYLOAD_MAX ? `${text.slice(0, PAYLOAD_MAX)}\n… ${text.length - PAYLOAD_MAX} more characters` : text;
}

// Showing.

function show(state, text) {
  at("state").dataset.state = state;
  at("state").querySelector("b").textContent = text;
}

function arrive(event) {
  if (!paused) return list([event]);
  held.push(event);
  if (held.length > HELD_MAX) dropped += held.splice(0, held.length - HELD_MAX).length;
}

function list(events) {
  const items = events.map(item).reverse();
  at("events").prepend(...items);
  while (at("events").childElementCount > SHOWN_MAX) at("events").lastElementChild.remove();
  at("nothing").hidden = true;
}

function item(event) {
  if (event.gap) {
    const notice = document.createElement("li");
    notice.className = "gap";
    notice.textContent = event.gap;
    return notice;
  }
  const part = at("event").content.cloneNode(true).firstElementChild;
  part.classList.add("new");
  part.querySelector("time").textContent = clock.format(event.time);
  part.querySelector("time").dateTime = event.time.toISOString();
  part.querySelector(".name").textContent = event.name;
  part.querySelector(".channel").textContent = event.channel;
  part.querySelector("pre").textContent = event.payload;
  part.querySelector("pre").classList.toggle("short", event.payload.length <= LINE_MAX && !event.payload.includes("\n"));
  part.querySelector("details").open = event.payload.length <= OPEN_MAX;
  part.dataset.text = event.text.toLowerCase();
  part.hidden = !matches(part);
  return part;
}

const matches = (part) => !part.dataset.text || part.dataset.text.includes(at("find").value.toLowerCase());

function find() {
  for (const part of at("events").children) part.hidden = !matches(part);
}

function pause() {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", paused);
  at("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) return;
  if (dropped) list([{ gap: `${dropped} events came during the pause and were not kept.` }]);
  list(held.splice(0));
  dropped = 0;
}

function clear() {
  at("events").replaceChildren();
  held.length = 0;
  received = gaps = dropped = 0;
  at("nothing").hidden = false;
}

function count() {
  at("received").textContent = received.toLocaleString();
  at("gaps").textContent = gaps.toLocaleString();
  at("held").textContent = (held.length + dropped).toLocaleString();
  at("shown").textContent = at("events").childElementCount.toLocaleString();
}

setInterval(count, 200);
setInterval(() => {
  at("rate").textContent = inThisSecond.toLocaleString();
  inThisSecond = 0;
}, 1000);

// Sending.

async function send() {
  const [path, name, payload] = [at("path").value.trim().replace(/\/$/, ""), at("name").value.trim(), at("payload").value];
  try {
    JSON.parse(payload);
  } catch (error) {
    return answer(false, `The payload is not JSON: ${error.message}`);
  }
  const headers = { "content-type": "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  answer(null, "…");
  try {
    const response = await fetch(`${path}/${encodeURIComponent(name)}`, { method: "POST", headers, body: payload });
    answer(response.ok, describe(response, await response.text()));
  } catch (error) {
    answer(false, `Nobody answered: ${error.message}`);
  }
}

// An answer in a sentence: the detail of a problem (RFC 9457), or what the door said.
function describe(response, text) {
  let said = text.trim();
  if (response.headers.get("content-type")?.includes("json")) {
    try {
      const body = JSON.parse(text);
      said = body.detail ?? body.title ?? said;
    } catch {
      // What is not the JSON that it is said to be is shown as it came.
    }
  }
  return `${response.status}${response.statusText && ` ${response.statusText}`}${said && `: ${said}`}`;
}

function answer(good, text) {
  at("answer").dataset.good = good;
  at("answer").textContent = text;
}

// What to try from a terminal, under the name by which this page was reached.
function tell() {
  const { host, hostname } = location;
  const resp = document.body.dataset.resp;
  const elsewhere = ["localhost", "127.0.0.1"].includes(hostname) ? "" : ` -h ${hostname}`;
  const token = sessionStorage.getItem(TOKEN);
  const proof = token ? ' -H "Authorization: Bearer $TOKEN"' : "";
  const lines = [
    ["Send", `curl ${host}/events/UserJoined -d '{"user_id":123}'${proof}`],
    ["Listen, with any HTTP client", `curl -N '${host}/subscribe?pattern=rialto:*'${proof}`],
  ];
  if (resp) lines.splice(1, 0, ["Listen, with any Redis client", `redis-cli${elsewhere} -p ${resp}${token ? ' -a "$TOKEN"' : ""} PSUBSCRIBE 'rialto:*'`]);
  at("lines").replaceChildren(...lines.map(([what, line]) => {
    const [entry, label, code] = ["li", "span", "code"].map((tag) => document.createElement(tag));
    label.textContent = what;
    code.textContent = line;
    entry.append(label, code);
    return entry;
  }));
}

const on = (id, event, act) => at(id).addEventListener(event, (happened) => {
  happened.preventDefault();
  act();
});
on("listen", "submit", () => {
  since = null; // Another pattern begins now.
  connectAnew();
});
on("send", "submit", send);
on("admit", "submit", () => {
  sessionStorage.setItem(TOKEN, at("token").value);
  tell();
  connectAnew();
});
on("pause", "click", pause);
on("clear", "click", clear);
at("find").addEventListener("input", find);

function connectAnew() {
  const old = socket;
  socket = null;
  old?.close();
  connect();
}

tell();
connect();
