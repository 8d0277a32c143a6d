// What is plotted: for every family of cases latency, ratio, samples, where the time goes, what fills the memory; of
// training steps also their three parts, and what is saved for the backward.
const lengthsOf = (members) => unique(members.map((row) => row.seq)).sort(byNumber);
const plansOf = (members) => planNames.filter((plan) => members.some((row) => row.plan === plan));
const wideSpan = (values) => Math.max(...values) / Math.min(...values) >= 8;
const lengthLabel = (logarithmic) => `sequence length (tokens${logarithmic ? ", log scale" : ""})`;
const intervalWords = (low, high, words) =>
  low === undefined ? "no interval: too few samples" : `${words(low)} to ${words(high)} at ${confidence}`;

function figure(kind, title, note, ...content) {
  const caption = html("figcaption", {}, html("strong", {}, title), html("span", {}, note));
  return html("figure", {"data-plot": kind, class: kind === "samples" || kind === "scaling" ? "wide" : null},
              caption, ...content);
}

const leftOut = (title, why) => html("p", {class: "note", "data-left-out": title}, `No plot of ${title}: ${why}.`);

// Points of several plans side by side: {x, y, low, high, words, hollow}.
function drawSeries(plot, plans, pointsOf) {
  plans.forEach((plan, i) => {
    const shift = (i - (plans.length - 1) / 2) * 7;
    const points = pointsOf(plan);
    const group = svg("g", {class: planClass(plan)});
    group.append(curve(plan, points.map((point) => [plot.x(point.x) + shift, plot.y(point.y)])));
    for (const point of points) {
      const x = plot.x(point.x) + shift;
      if (point.low !== undefined) group.append(whisker(x, plot.y(point.low), plot.y(point.high)));
      group.append(mark(plan, x, plot.y(point.y), 4, point.words, point.hollow));
    }
    plot.root.append(group);
  });
}

function inOrder(members, plan, name) {
  return members.filter((row) => row.plan === plan).sort((a, b) => a[name] - b[name]);
}

// ---- latency

function latencyPlot(family) {
  const measured = family.rows.filter((row) => has(row, "latency_s", "seq"));
  if (!measured.length) return leftOut("latency", "no row has a latency");
  const highest = measured.map((row) => row.latency_high_s ?? row.latency_s);
  const lowest = measured.map((row) => row.latency_low_s ?? row.latency_s);
  const unit = unitFor(Math.max(...highest), secondUnits), lengths = lengthsOf(measured), logs = wideSpan(lengths);
  const y = logs ? logScale(Math.min(...lowest) / unit.factor / 1.2, Math.max(...highest) / unit.factor * 1.2)
    : scaleFromZero(highest.map((value) => value / unit.factor));
  const plot = frame({width: 560, height: 300, x: measuredScale(lengths, logs), y, xLabel: lengthLabel(logs),
    yLabel: `latency (${unit.name}${logs ? ", log scale" : ""})`, label: `Latency against length, ${family.name}`});
  drawSeries(plot, plansOf(measured), (plan) => inOrder(measured, plan, "seq").map((row) => ({
    x: row.seq, y: row.latency_s / unit.factor,
    low: has(row, "latency_low_s", "latency_high_s") ? row.latency_low_s / unit.factor : undefined,
    high: row.latency_high_s / unit.factor,
    words: `${rowName(row)}: ${seconds(row.latency_s)}, ` +
      intervalWords(row.latency_low_s, row.latency_high_s, seconds)})));
  return figure("latency", "Latency", `Median of one ${workName(family.rows[0])} with its interval at ${confidence}. ` +
    "Plans stand side by side.", planLegend(plansOf(measured)), plot.root);
}

// ---- ratio

function ratioPlot(family) {
  const measured = family.rows.filter((row) => has(row, "ratio", "seq"));
  if (!measured.length) return leftOut("the ratio of times", "no case was measured under two plans");
  const baselines = unique(measured.map((row) => row.baseline));
  const against = baselines.length === 1 && baselines[0] ? shortened(baselines[0], 260) : "the first plan";
  const ends = measured.flatMap((row) => [row.ratio, row.ratio_low, row.ratio_high]).filter(isNumber);
  const plot = frame({width: 560, height: 300, x: evenScale(lengthsOf(measured)), y: scaleAround([1, ...ends], 0.01),
    xLabel: "sequence length (tokens, evenly spaced)", yLabel: `time over that of ${against} (ratio)`,
    label: `Ratio of times against length, ${family.name}`});
  plot.root.append(svg("path", {class: "reference", d: `M${plot.left} ${plot.y(1)}H${plot.right}`}));
  drawSeries(plot, plansOf(measured), (plan) => inOrder(measured, plan, "seq").map((row) => ({
    x: row.seq, y: row.ratio,
    low: has(row, "ratio_low", "ratio_high") ? row.ratio_low : undefined, high: row.ratio_high,
    hollow: row.verdict !== "faster" && row.verdict !== "slower",
    words: `${rowName(row)} over ${row.baseline}: ${ratioText(row.ratio)}, ` +
      `${intervalWords(row.ratio_low, row.ratio_high, ratioText)}; ${row.verdict ?? "no verdict"}`})));
  return figure("ratio", "Ratio of times", `Below the line at 1 is faster. Intervals at ${confidence}; a filled ` +
    "mark is a difference, a hollow one is none.", planLegend(plansOf(measured)), plot.root);
}

// ---- samples

const mostMarks = 500; // of one row; of more samples every k-th is drawn
const everyKth = (row) => Math.ceil(row.samples_s.length / mostMarks);
const drawnSamples = (row) => row.samples_s.map((value, i) => [i, value]).filter(([i]) => i % everyKth(row) === 0);

function samplesPanel(members, length) {
  const drawn = members.flatMap((row) => drawnSamples(row).map(([, value]) => value));
  const unit = unitFor(Math.max(...drawn), secondUnits);
  const values = drawn.map((value) => value / unit.factor);
  const most = Math.max(...members.map((row) => row.samples_s.length));
  const x = linearScale(0.5, most + 0.5);
  const wholeTicks = {...x, ticks: (count) => x.ticks(Math.min(count, most)).filter((t) => Number.isInteger(t.value))};
  const plot = frame({width: 390, height: 230, x: wholeTicks, y: scaleAround(values, 0.01), title: `seq ${length}`,
    xLabel: "repetition (number)", yLabel: `time (${unit.name})`, label: `Samples in order of time, seq ${length}`});
  for (const row of members) {
    const samples = drawnSamples(row);
    const places = samples.map(([i, value]) => [plot.x(i + 1), plot.y(value / unit.factor)]);
    const marks = samples.map(([i, value], place) =>
      mark(row.plan, ...places[place], most > 40 ? 1.6 : 2.8, `${row.plan}, repetition ${i + 1}: ${seconds(value)}`));
    plot.root.append(svg("g", {class: planClass(row.plan)}, curve(row.plan, places), ...marks));
  }
  return plot.root;
}

function samplesPlot(family) {
  const measured = family.rows.filter((row) => Array.isArray(row.samples_s) && row.samples_s.length);
  if (!measured.length) return leftOut("the samples", "they are in results with the ending .jsonl only");
  const panels = lengthsOf(measured).map((length) =>
    samplesPanel(measured.filter((row) => row.seq === length), length.toLocaleString("en-US")));
  return figure("samples", "Samples in order of time", "Each repetition as its slowest rank; of very " +
    "many every k-th. A slope is a drift of the machine. The scale does not begin at zero.", planLegend(plansOf(measured)),
    html("div", {class: "panels"}, ...panels));
}

// ---- where the time goes, what fills the memory

const timeParts = [
  {name: "GEMMs", column: "gemm_s"}, {name: "attention", column: "attention_s"},
  {name: "norms", column: "norm_s"}, {name: "waiting for ranks", column: "wait_s"},
  {name: "moving data", column: "move_s"}, {name: "fused add-norm", column: "seam_s"},
  {name: "other", column: "other_s"}];
// In the order of the bar, so that what the plans have alike begins alike. Those of steps are shown where there are any.
const memoryParts = [
  {name: "weights", column: "weights_bytes", look: 0},
  {name: "gradients", column: "gradient_bytes", look: 5, ofSteps: true},
  {name: "optimizer", column: "optimizer_bytes", look: 8, ofSteps: true},
  {name: "saved for the backward", column: "saved_at_peak_bytes", look: 6, ofSteps: true},
  {name: "recomputed", column: "recomputed_bytes", look: 7, ofSteps: true},
  {name: "unit at work", column: "unit_bytes", look: 9, ofSteps: true},
  {name: "activations", column: "activations_bytes", look: 1}, {name: "logits", column: "logits_bytes", look: 2},
  {name: "collectives", column: "collective_bytes", look: 3},
  {name: "other resident", column: "resident_bytes", look: 4}];
const stepParts = [
  {name: "forward", column: "forward_s"}, {name: "backward", column: "backward_s"},
  {name: "optimizer", column: "optimizer_s"}];

// "Everything else" is a difference, which may come out a little below zero.
const sizeOf = (row, part) => Math.max(0, row[part.column] ?? 0);
const sumOf = (row, parts) => parts.reduce((sum, part) => sum + sizeOf(row, part), 0);
const byLength = (members) => [...members].sort((a, b) => a.seq - b.seq || planIndex(a.plan) - planIndex(b.plan));

function barParts(row, parts, unit, words) {
  const size = (part) => (isNumber(row[part.column]) ? words(row[part.column]) : "not measured");
  return parts.map((part) => ({
    value: sizeOf(row, part) / unit, look: part.look, words: `${rowName(row)}, ${part.name}: ${size(part)}`}));
}

// Bars as long as their share of the slowest plan's time at that length.
function timeBars(measured, parts, totalOf, label) {
  const slowest = new Map([...grouped(measured, (row) => row.seq)].map(([length, own]) =>
    [length, Math.max(...own.map((row) => sumOf(row, parts))) / 100]));
  const bars = measured.map((row) => ({group: row.seq.toLocaleString("en-US"), name: row.plan,
    parts: barParts(row, parts, slowest.get(row.seq), seconds), total: seconds(totalOf(row))}));
  return barChart({bars, scale: linearScale(0, 100), xLabel: "time (% of the slowest plan at that length)", label});
}

function timePlot(family) {
  const measured = byLength(family.rows.filter((row) => sumOf(row, timeParts) > 0));
  if (!measured.length) return leftOut("where the time goes", "no row has the time of its parts");
  const chart = timeBars(measured, timeParts, (row) => row.split_s ?? sumOf(row, timeParts),
                         `Where the time goes, ${family.name}`);
  const one = isStep(family.rows[0]) ? "One training step" : "One forward";
  return figure("time", "Where the time goes", `${one} apart from the timed ones, with a clock around each ` +
    "part; mean of the ranks. On the right its time.", partLegend(timeParts), chart);
}

// Of training steps only.
function stepPlot(family) {
  if (!isStep(family.rows[0])) return null;
  const measured = byLength(family.rows.filter((row) => has(row, "forward_s", "backward_s")));
  if (!measured.length) return leftOut("forward, backward and optimizer", "no row has their times");
  const parts = stepParts.filter((part) => measured.some((row) => row[part.column] > 0));
  const chart = timeBars(measured, parts, (row) => sumOf(row, parts), `Parts of a training step, ${family.name}`);
  return figure("step", `A step's ${joined(parts.map((part) => part.name))}`, "Medians of the timed steps, each of " +
    "the slowest rank. On the right their sum, which is not the median of the step exactly.", partLegend(parts), chart);
}

function memoryPlot(family) {
  const measured = byLength(family.rows.filter((row) => has(row, "activations_bytes")));
  if (!measured.length) return leftOut("what fills the memory", "no row has the memory of its parts");
  const parts = memoryParts.filter((part) => !part.ofSteps || measured.some((row) => row[part.column] > 0));
  const totals = measured.map((row) => row.allocated_bytes ?? sumOf(row, parts));
  const all = [...totals, ...measured.flatMap((row) => [sumOf(row, parts), row.predicted_bytes])];
  const unit = unitFor(Math.max(...all.filter(isNumber)), byteUnits);
  const bars = measured.map((row, i) => ({group: row.seq.toLocaleString("en-US"), name: row.plan,
    parts: barParts(row, parts, unit.factor, bytes), total: bytes(totals[i]),
    predicted: isNumber(row.predicted_bytes) ? row.predicted_bytes / unit.factor : undefined,
    predictedWords: isNumber(row.predicted_bytes) ? `${rowName(row)}, predicted: ${bytes(row.predicted_bytes)}` : ""}));
  const scale = scaleFromZero(all.filter(isNumber).map((value) => value / unit.factor));
  const predicted = bars.some((bar) => bar.predicted !== undefined) ? "predicted peak" : null;
  const chart = barChart({bars, scale, xLabel: `memory of a rank (${unit.name})`, label: `Memory, ${family.name}`});
  return figure("memory", "What fills the memory", "What lives at the allocated peak, the largest of the ranks. " +
    "On the right the peak.", partLegend(parts, predicted), chart);
}

// ---- what a training step's forward saves

function savedPlot(family) {
  if (!isStep(family.rows[0])) return null;
  const measured = family.rows.filter((row) => has(row, "saved_bytes", "seq"));
  if (!measured.length) return leftOut("what is saved for the backward", "no row has its size");
  const unit = unitFor(Math.max(...measured.map((row) => row.saved_bytes)), byteUnits);
  const lengths = lengthsOf(measured), logs = wideSpan(lengths);
  const y = scaleFromZero(measured.map((row) => row.saved_bytes / unit.factor));
  const plot = frame({width: 560, height: 300, x: measuredScale(lengths, logs), y, xLabel: lengthLabel(logs),
    yLabel: `saved on a rank (${unit.name})`, label: `Saved for the backward against length, ${family.name}`});
  drawSeries(plot, plansOf(measured), (plan) => inOrder(measured, plan, "seq").map((row) => ({
    x: row.seq, y: row.saved_bytes / unit.factor, words: `${rowName(row)}: ${bytes(row.saved_bytes)}`})));
  return figure("saved", "Saved for the backward", "What the forward keeps for the backward, at its end, with the " +
    "gradient of the logits; the largest of the ranks. Plans stand side by side.", planLegend(plansOf(measured)),
    plot.root);
}

// ---- several world sizes

function scalingPanel(members, length) {
  const worlds = unique(members.map((row) => row.world)).sort(byNumber);
  const base = new Map([...grouped(members, (row) => row.plan)].map(([plan, own]) =>
    [plan, own.reduce((least, row) => (row.world < least.world ? row : least))]));
  const speedup = (row) => base.get(row.plan).latency_s / row.latency_s;
  const ideal = (world) => world / worlds[0];
  const y = scaleFromZero([...members.map(speedup), ideal(worlds[worlds.length - 1])]);
  const plot = frame({width: 390, height: 250, x: measuredScale(worlds, false), y, title: `seq ${length}`,
    xLabel: "world size (ranks)", yLabel: `speed-up over ${plural(worlds[0], "rank")} (times)`,
    label: `Scaling with world size, seq ${length}`});
  const ends = [worlds[0], worlds[worlds.length - 1]].map((world) => `${plot.x(world)} ${plot.y(ideal(world))}`);
  plot.root.append(svg("path", {class: "reference", d: `M${ends.join("L")}`}));
  drawSeries(plot, plansOf(members), (plan) => inOrder(members, plan, "world").map((row) => ({
    x: row.world, y: speedup(row),
    words: `${row.plan}, ${plural(row.world, "rank")}: ${ratioText(speedup(row))} times, ${seconds(row.latency_s)}`})));
  return plot.root;
}

// One figure for each family that was measured with several world sizes; none otherwise.
function scalingPlots() {
  const measured = rows.filter((row) => has(row, "latency_s", "seq", "world"));
  return families(measured, ["world"]).filter((family) => unique(family.rows.map((row) => row.world)).length > 1)
    .map((family) => figure("scaling", `Scaling with world size: ${family.name}`,
      "The dashed line is as many times faster as there are more ranks.", planLegend(plansOf(family.rows)),
      html("div", {class: "panels"}, ...lengthsOf(family.rows).map((length) =>
        scalingPanel(family.rows.filter((row) => row.seq === length), length.toLocaleString("en-US"))))));
}

function allPlots() {
  const plots = [latencyPlot, ratioPlot, stepPlot, timePlot, savedPlot, memoryPlot, samplesPlot];
  const sections = families(rows).flatMap((family) =>
    [html("h3", {}, family.name), html("div", {class: "figures"}, ...plots.map((plot) => plot(family)))]);
  return [...sections, ...scalingPlots()];
}
