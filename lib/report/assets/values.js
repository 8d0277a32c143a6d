// The rows of the page, and how their values are written.
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const confidence = "95% confidence";

const isNumber = (value) => typeof value === "number";
const has = (row, ...names) => names.every((name) => isNumber(row[name]));
const unique = (values) => [...new Set(values)];
const byNumber = (a, b) => a - b;
const plural = (count, noun, ending = "s") => `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : ending}`;

function grouped(values, keyOf) {
  const groups = new Map();
  for (const value of values) {
    const key = keyOf(value);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(value);
  }
  return groups;
}

// "a", "a and b", "a, b and c"
function joined(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

// ---- numbers

const secondUnits = [["s", 1], ["ms", 1e-3], ["µs", 1e-6], ["ns", 1e-9]];
const byteUnits = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3], ["B", 1]];

// The largest unit that leaves at least one before the decimal point, else the smallest.
function unitFor(value, units) {
  const [name, factor] = units.find((unit) => Math.abs(value) >= unit[1]) ?? units[value === 0 ? 0 : units.length - 1];
  return {name, factor};
}

function digits(value, count) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e15) return value.toExponential(Math.min(count, 3) - 1);
  if (size >= 10 ** count) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(count);
}

function inUnits(value, units, count) {
  const {name, factor} = unitFor(value, units);
  return `${digits(value / factor, count)} ${name}`;
}

const seconds = (value) => inUnits(value, secondUnits, 4);
const bytes = (value) => (Math.abs(value) < 1000 ? `${value} B` : inUnits(value, byteUnits, 3));
const ratioText = (value) => (value >= 0.1 && value < 10 ? value.toFixed(3) : digits(value, 4));

// A cell as a person reads it.
function human(value, unit) {
  if (value === undefined) return "";
  if (Array.isArray(value)) return value.join("; ");
  if (!isNumber(value)) return String(value);
  if (unit === "s") return seconds(value);
  if (unit === "bytes") return bytes(value);
  if (Number.isInteger(value)) return unit ? value.toLocaleString("en-US") : String(value);
  return digits(value, 4);
}

function exact(value, unit) {
  if (value === undefined) return "not measured";
  return [Array.isArray(value) ? value.join("; ") : String(value), unit].filter(Boolean).join(" ");
}

// ---- cases

const hasProblem = (row) => row.status !== undefined && row.status !== "ok" || row.check === "fail";
const differs = (name) => unique(rows.map((row) => row[name])).length > 1;
const isStep = (row) => row.workload === "train";
const workName = (row) => (isStep(row) ? "training step" : "forward");
// A step's value that is the usual one is said only where steps differ in it.
const unlessUsual = (usual) => (row, name) =>
  row[name] !== usual || unique(rows.filter(isStep).map((step) => step[name])).length > 1;

// Name, words, and whether they are said: whenever there is a value, or only where onlyIf(row, name).
const caseParts = [
  ["model", (value) => value],
  ["layers", (value) => plural(value, "layer")],
  ["batch", (value) => `batch ${value}`],
  ["dtype", (value) => value],
  ["workload", (value) => (value === "train" ? "training step" : value)],
  ["recompute", (value) => `recompute ${value}`],
  ["regather", (value) => (value === "off" ? "no regather" : `regather ${value}`), unlessUsual("on")],
  ["optimizer", (value) => (value === "none" ? "no optimizer" : value), unlessUsual("none")],
  ["micro_batches", (value) => plural(value, "micro-batch", "es"), unlessUsual(1)],
  ["dp", (value) => plural(value, "replica"), unlessUsual(1)],
  ["shard", (value) => (value === "none" ? "nothing sharded" : `sharded ${value}`), unlessUsual("none")],
  ["world", (value) => plural(value, "rank")],
  ["rank", (value) => `rank ${value} alone`],
  ["device", (value) => value, (row, name) => differs(name)],
  ["backend", (value) => value, (row, name) => differs(name)],
  ["threads", (value) => `${plural(value, "thread")} each`, (row, name) => differs(name)],
];

function caseName(row, without = []) {
  return caseParts
    .filter(([name, , onlyIf]) => row[name] !== undefined && row[name] !== "" && !without.includes(name) &&
                                  (!onlyIf || onlyIf(row, name)))
    .map(([name, words]) => words(row[name])).join(", ");
}

const caseKey = (row, without = []) =>
  JSON.stringify(caseParts.filter(([name]) => !without.includes(name)).map(([name]) => row[name]));
const rowName = (row) => (row.collective ? `${row.collective} of ${bytes(row.message_bytes)} by ${row.backend}`
  : `${row.plan} at seq ${row.seq}`);

// Forwards or training steps that differ only in plan and length, as {name, rows}. Runs are kept apart where they measured the same.
function families(all, without = []) {
  const result = [], ofModels = all.filter((row) => !row.collective);
  for (const members of grouped(ofModels, (row) => caseKey(row, without)).values()) {
    const name = caseName(members[0], without);
    const cases = members.map((row) => JSON.stringify([row.plan, row.seq, row.world]));
    if (unique(cases).length === members.length) {
      result.push({name, rows: members});
      continue;
    }
    for (const [run, own] of grouped(members, (row) => row.run_id)) {
      result.push({name: run === undefined ? name : `${name}, run ${run}`, rows: own});
    }
  }
  return result;
}

// ---- elements; text is only ever put in as text

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const html = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
