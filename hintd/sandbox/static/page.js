// Puts the page together: reads all records, follows the changes, and sends what a person does to the control port.

import { matches, linkState, nameOf, pairUp } from "./pairs.js";
import { Row, element } from "./rows.js";

const AT_FIRST = 60;
const FEED_LINES = 30;
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 };
const FAULTS = [
  ["Hint down", { remote: "hint", kind: "status", status: 503, times: -1 }],
  ["Hint throttles", { remote: "hint", kind: "throttle", times: -1 }],
  ["Lose next Hint answer", { remote: "hint", kind: "lost_after", method: "PATCH", times: 1 }],
  ["Salesforce down", { remote: "salesforce", kind: "status", status: 503, times: -1 }],
  ["Lose next Salesforce answer", { remote: "salesforce", kind: "lost_after", path: "/data/", times: 1 }],
];

const byId = (id) => document.getElementById(id);
const rows = new Map();
const origins = new Map(); // record id: who changed it last
let pairs = [];
let most = AT_FIRST;

async function call(method, path, body) {
  const response = await fetch(`/control/${path}`, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

// Shows the sentence of what was refused, until something works again.
async function tried(action) {
  const problem = byId("problem");
  try {
    const result = await action();
    problem.hidden = true;
    return result;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    throw error;
  }
}

// What the system made of the value is read back, where it changed nothing of the record too.
const save = (side, id, changes) =>
  tried(async () => {
    await call("PATCH", `${side === "hint" ? "patients" : "contacts"}/${encodeURIComponent(id)}`, changes);
    await refresh();
  });

// However many changes come in, one reading is under way at a time and one more is to follow.
let reading = null;
let again = false;
async function refresh() {
  if (reading) {
    again = true;
    return reading;
  }
  reading = (async () => {
    do {
      again = false;
      const records = await call("GET", "records");
      pairs = pairUp(records.hint, records.salesforce);
      render();
    } while (again);
  })();
  try {
    await reading;
  } finally {
    reading = null;
  }
}

async function refreshCounts() {
  const [calls, armed] = await Promise.all(["calls", "faults"].map((path) => call("GET", path)));
  byId("calls-hint").textContent = calls.hint.total;
  byId("calls-salesforce").textContent = calls.salesforce.total;
  const buttons = byId("faults").children;
  FAULTS.forEach(([, wanted], i) => buttons[i].setAttribute("aria-pressed", String(Boolean(faultOf(armed, wanted)))));
}

function render() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length ? pairs.filter((pair) => matches(pair, words)) : pairs;
  const nodes = found.slice(0, most).map((pair) => {
    const row = rows.get(pair.key);
    if (row) row.show(pair, (id) => origins.get(id) ?? "hintd");
    else rows.set(pair.key, new Row(pair, save));
    return rows.get(pair.key).node;
  });
  const people = byId("people");
  // Moving a node takes its focus away, so nothing is moved that stands right already.
  const stands = people.children.length === nodes.length && nodes.every((node, i) => people.children[i] === node);
  if (!stands) people.replaceChildren(...nodes);
  byId("more").hidden = found.length <= most;
  byId("shown").textContent = words.length ? `${found.length} of ${pairs.length}` : pairs.length;
  byId("linked").textContent = pairs.filter((pair) => linkState(pair)[0] === "linked").length;
}

function follow() {
  const source = new EventSource("/control/changes");
  const live = byId("live");
  source.onopen = () => {
    live.textContent = "live";
    live.dataset.on = "";
    refresh();
    refreshCounts();
  };
  source.onerror = () => {
    live.textContent = "reconnecting";
    delete live.dataset.on;
  };
  source.onmessage = async (event) => {
    const change = JSON.parse(event.data);
    origins.set(change.record_id, change.origin);
    await refresh();
    note(change);
  };
}

function note(change) {
  const pair = pairs.find((p) => p.patient?.id === change.record_id || p.contact?.Id === change.record_id);
  const line = element("li");
  line.dataset.origin = change.origin;
  const side = change.side === "hint" ? "Hint" : "Salesforce";
  line.append(
    element("time", "", new Date(change.at).toLocaleTimeString("en-GB", TIME)),
    element("b", "", change.origin),
    element("span", "", `${change.kind} ${pair ? nameOf(pair) : change.record_id} in ${side}`),
    element("i", "", change.fields.join(", ")),
  );
  const feed = byId("feed");
  feed.prepend(line);
  while (feed.children.length > FEED_LINES) feed.lastChild.remove();
}

function faultOf(armed, wanted) {
  return armed.find((fault) => fault.remote === wanted.remote && fault.kind === wanted.kind);
}

async function toggleFault(wanted) {
  const armed = faultOf(await call("GET", "faults"), wanted);
  await (armed ? call("DELETE", `faults/${armed.id}`) : call("POST", "faults", wanted));
  await refreshCounts();
}

function addFaultButtons() {
  for (const [label, wanted] of FAULTS) {
    const button = element("button", "fault", label);
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => tried(() => toggleFault(wanted)));
    byId("faults").append(button);
  }
}

function askForNew(side) {
  const dialog = byId("new-record");
  const form = dialog.querySelector("form");
  form.reset();
  byId("new-title").textContent = side === "hint" ? "New patient in Hint" : "New Contact in Salesforce";
  dialog.onclose = () => {
    if (dialog.returnValue !== "create") return;
    const { first, last, born } = Object.fromEntries(new FormData(form));
    const patient = { first_name: first, last_name: last, dob: born || null };
    const contact = { FirstName: first || null, LastName: last, Birthdate: born || null };
    tried(() => (side === "hint" ? call("POST", "patients", patient) : call("POST", "contacts", contact)));
  };
  dialog.returnValue = "";
  dialog.showModal();
}

function listen() {
  byId("search").addEventListener("input", render);
  byId("more").addEventListener("click", () => {
    most += AT_FIRST;
    render();
  });
  byId("reset-calls").addEventListener("click", () => tried(() => call("POST", "calls/reset").then(refreshCounts)));
  byId("new-patient").addEventListener("click", () => askForNew("hint"));
  byId("new-contact").addEventListener("click", () => askForNew("salesforce"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      byId("search").focus();
    }
  });
  setInterval(() => document.hidden || refreshCounts(), 1000); // calls are counted without a change to tell of
}

addFaultButtons();
listen();
follow();
