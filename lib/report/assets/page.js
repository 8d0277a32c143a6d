// What the rows share, the plan files, the columns, and the assembly of the page.
const machineColumns = ["host", "device_name", "cores", "memory_bytes", "os", "version", "build", "torch_version",
                        "mpi_version", "cuda_version", "nccl_version", "command", "environment", "utc_time", "run_id", "suite"];
const protocolColumns = ["order", "weights", "warmup", "reps", "stop", "seed", "threads", "backend", "device"];

// Times and sizes have theirs already.
function withUnit(text, unit) {
  if (["", "s", "bytes"].includes(unit)) return text;
  return text === "1" ? `1 ${unit.replace(/s$/, "")}` : `${text} ${unit}`;
}

// Each column with its values, as a span of dates for times.
function sharedValues(names) {
  const known = new Map(data.columns.map((column) => [column.name, column]));
  const entries = names.filter((name) => known.has(name)).flatMap((name) => {
    const values = unique(rows.map((row) => human(row[name], known.get(name).unit)).filter((text) => text !== ""));
    if (!values.length) return [];
    const sorted = [...values].sort();
    const isSpan = name === "utc_time" && values.length > 2;
    const text = isSpan ? `${sorted[0]} to ${sorted[sorted.length - 1]}` : values.join("; ");
    const shown = withUnit(text, known.get(name).unit);
    return [html("dt", {title: known.get(name).meaning}, name.replace(/_bytes$/, "").replaceAll("_", " ")),
            html("dd", {}, shown)];
  });
  return entries.length ? html("dl", {}, ...entries) : html("p", {class: "note"}, "Not in these results.");
}

function planFiles() {
  const files = [...grouped(rows.filter((row) => row.plan_text), (row) => `${row.plan}\n${row.plan_text}`).values()];
  const none = "These results hold no plan files; those with the ending .jsonl do.";
  if (!files.length) return [html("p", {class: "note"}, none)];
  return files.map(([row]) => html("details", {}, html("summary", {}, row.plan), html("pre", {}, row.plan_text)));
}

function columnMeanings() {
  const lines = data.columns.map((column) => html("tr", {},
    ...[column.name, column.unit, column.meaning, column.source].map((text) => html("td", {}, text))));
  const head = html("tr", {}, ...["column", "unit", "meaning", "where it comes from"].map((text) =>
    html("th", {scope: "col"}, text)));
  return html("details", {}, html("summary", {}, `What the ${plural(data.columns.length, "column")} mean`),
    html("table", {class: "meanings"}, html("thead", {}, head), html("tbody", {}, ...lines)));
}

function subtitle() {
  const present = (name) => unique(rows.map((row) => row[name]).filter((value) => value));
  const days = unique(present("utc_time").map((time) => time.slice(0, 10))).sort();
  return [plural(rows.length, "row"), joined(present("model")), joined(present("device_name")), joined(present("host")),
          days.length > 2 ? `${days[0]} to ${days[days.length - 1]}` : joined(days)].filter(Boolean).join(" · ");
}

function fill(id, ...content) {
  document.getElementById(id).append(...content.flat().filter((part) => part !== null));
}

function drawSections() {
  document.title = ["tpsp-bench", ...unique(rows.map((row) => row.model).filter(Boolean))].join(" · ");
  fill("subtitle", subtitle());
  fill("answer", answer());
  if (rows.length) {
    fill("rows", resultsTable());
    fill("plots", allPlots());
  }
  fill("machine", sharedValues(machineColumns));
  fill("protocol", sharedValues(protocolColumns));
  fill("plans", planFiles());
  fill("columns", columnMeanings());
}

function drawPage() {
  drawSections();
  for (const section of document.querySelectorAll("main section")) section.hidden = section.children.length < 2;
}

drawPage();
document.documentElement.dataset.ready = "yes";
