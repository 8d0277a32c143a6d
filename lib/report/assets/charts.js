// Scales, axes, marks and bars, drawn as SVG.
const ruler = document.createElement("canvas").getContext("2d");
ruler.font = `12px ${getComputedStyle(document.body).fontFamily}`;
const textWidth = (text) => ruler.measureText(text).width;

function shortened(text, width) {
  if (textWidth(text) <= width) return text;
  for (let kept = text.length - 1; kept > 2; --kept) {
    const short = `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
    if (textWidth(short) <= width) return short;
  }
  return "…";
}

// ---- scales: at(value) is the place between 0 and 1, ticks(count) at most about so many values with their texts

function tickText(value, step) {
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value.toLocaleString("en-US", {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
}

// Round tick values from low to high: at most `count` where that leaves three.
function roundTicks(low, high, count) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const steps = [10, 5, 2, 1, 0.5, 0.2, 0.1].map((factor) => factor * power);
  const howMany = (step) => Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  const step = steps.filter((one) => howMany(one) <= count || howMany(one) <= 3).pop() ?? steps[0];
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({length: howMany(step)}, (_, i) => (first + i) * step || 0)  // no negative zero
    .map((value) => ({value, text: tickText(value, step)}));
}

function linearScale(low, high) {
  return {at: (value) => (value - low) / (high - low), ticks: (count) => roundTicks(low, high, count), low, high};
}

function logTicks(low, high, factors) {
  const result = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) result.push({value, text: digits(value, 1)});
    }
  }
  return result;
}

function logScale(low, high) {
  const ticks = (count) => {
    const choices = [[1, 2, 5], [1]].map((factors) => logTicks(low, high, factors));
    const fitting = choices.find((some) => some.length <= count * 1.5) ?? choices[1];
    return fitting.length > 1 ? fitting : roundTicks(low, high, count);
  };
  return {at: (value) => Math.log(value / low) / Math.log(high / low), ticks, low, high};
}

// One place for each of the values, all equally far apart.
function evenScale(values) {
  const places = linearScale(-0.5, values.length - 0.5);
  const ticks = () => values.map((value) => ({value, text: value.toLocaleString("en-US")}));
  return {...places, at: (value) => places.at(values.indexOf(value)), ticks};
}

// Ticks at the measured values alone, on a scale with a margin at both ends.
function measuredScale(values, logarithmic) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = logarithmic ? (high / low) ** 0.08 : (high - low) * 0.08;
  const scale = low === high ? linearScale(low - 1, high + 1)
    : logarithmic ? logScale(low / margin, high * margin) : linearScale(low - margin, high + margin);
  const ticks = () => unique(values).sort(byNumber).map((value) => ({value, text: value.toLocaleString("en-US")}));
  return {...scale, ticks};
}

// From zero to a little above the largest.
const scaleFromZero = (values) => linearScale(0, Math.max(...values) * 1.06 || 1);

// Around the values, at least `least` of the middle wide.
function scaleAround(values, least) {
  const low = Math.min(...values), high = Math.max(...values), middle = (low + high) / 2 || 1;
  const half = Math.max((high - low) / 2 * 1.15, Math.abs(middle) * least);
  return linearScale(middle - half, middle + half);
}

// ---- frames

// An SVG with both axes: {root, x(value), y(value)}. The labels name the units.
function frame({width, height, x, y, xLabel, yLabel, title, label}) {
  const yTicks = y.ticks(height / 42);
  const left = Math.max(...yTicks.map((tick) => textWidth(tick.text)), 8) + 10;
  const top = title ? 40 : 24, right = width - 14, bottom = height - 38;
  const toX = (value) => left + x.at(value) * (right - left);
  const toY = (value) => bottom - y.at(value) * (bottom - top);
  const root = svg("svg", {class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
  if (title) root.append(svg("text", {class: "panel-title", x: 0, y: 12}, shortened(title, width - 14)));
  root.append(svg("text", {class: "axis-label", x: 0, y: top - 12}, yLabel));
  for (const tick of yTicks) {
    root.append(svg("path", {class: "grid", d: `M${left} ${toY(tick.value)}H${right}`}));
    root.append(svg("text", {x: left - 6, y: toY(tick.value) + 4, "text-anchor": "end"}, tick.text));
  }
  root.append(svg("path", {class: "axis", d: `M${left} ${top}V${bottom}H${right}`}));
  drawTicksBelow(root, x, toX, bottom, width);
  const middle = (left + right) / 2;
  root.append(svg("text", {class: "axis-label", x: middle, y: height - 6, "text-anchor": "middle"}, xLabel));
  return {root, x: toX, y: toY, left, right, top, bottom};
}

// Ticks whose text would touch the one before, or leave the picture, have none.
function drawTicksBelow(root, scale, toX, bottom, width) {
  let end = -Infinity;
  for (const tick of scale.ticks(6)) {
    const place = toX(tick.value), half = textWidth(tick.text) / 2;
    root.append(svg("path", {class: "axis", d: `M${place} ${bottom}v4`}));
    if (place - half < end + 8 || place + half > width) continue;
    root.append(svg("text", {x: place, y: bottom + 17, "text-anchor": "middle"}, tick.text));
    end = place + half;
  }
}

// ---- marks and lines of plans

const planNames = unique(rows.filter((row) => !row.collective).map((row) => row.plan));
const planIndex = (plan) => Math.max(0, planNames.indexOf(plan));
const planClass = (plan) => `s${planIndex(plan) % 8}`;
const dashes = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 4", "6 2 1 2 1 2"];
const planDash = (plan) => dashes[planIndex(plan) % dashes.length];

const shapes = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.3 * r}L${1.2 * r} ${r}H${-1.2 * r}z`,
  (r) => `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0z`,
  (r) => `M0 ${1.3 * r}L${1.2 * r} ${-r}H${-1.2 * r}z`,
  (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
  (r) => `M0 ${-1.3 * r}V${1.3 * r}M${-1.3 * r} 0H${1.3 * r}`,
  (r) => `M${-r} ${-1.3 * r}h${2 * r}v${2.6 * r}h${-2 * r}z`,
];

function mark(plan, x, y, radius, words, hollow = false) {
  const shape = shapes[planIndex(plan) % shapes.length](radius);
  const path = svg("path", {class: hollow ? "mark hollow" : "mark", d: shape, transform: `translate(${x} ${y})`});
  if (words) path.append(svg("title", {}, words));
  return path;
}

function curve(plan, places) {
  const d = places.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
  return svg("path", {class: "curve", d, "stroke-dasharray": planDash(plan)});
}

function whisker(x, low, high) {
  return svg("path", {class: "whisker", d: `M${x} ${low}V${high}M${x - 3} ${low}h6M${x - 3} ${high}h6`});
}

function planLegend(plans) {
  return html("ul", {class: "legend"}, ...plans.map((plan) => html("li", {},
    svg("svg", {class: planClass(plan), viewBox: "0 0 30 14", "aria-hidden": "true"},
        curve(plan, [[0, 7], [30, 7]]), mark(plan, 15, 7, 4)), plan)));
}

// ---- hatched parts of bars

// Lines across the box of width and height, rising or falling.
function slanted(width, height, rising) {
  let d = "";
  for (let k = 4 - height; k < width; k += 8) {
    const [from, to] = [Math.max(0, -k), Math.min(height, width - k)];
    const y = (t) => (rising ? height - t : t);
    if (to > from) d += `M${(k + from).toFixed(1)} ${y(from).toFixed(1)}L${(k + to).toFixed(1)} ${y(to).toFixed(1)}`;
  }
  return d;
}

function everywhere(width, height, dx, dy, piece) {
  let d = "";
  for (let x = dx / 2; x < width; x += dx) for (let y = dy / 2; y < height; y += dy) d += `M${x} ${y}${piece}`;
  return d;
}

const hatches = [
  () => "",
  (width, height) => slanted(width, height, true),
  (width, height) => everywhere(width, height, 5, height, `m0 ${-height / 2}v${height}`),
  (width, height) => slanted(width, height, true) + slanted(width, height, false),
  (width, height) => everywhere(width, height, 8, height / 2, "h.01"),
  (width, height) => everywhere(width, height, width, 5, `m${-width / 2} 0h${width}`),
  (width, height) => slanted(width, height, false),
  (width, height) => everywhere(width, height, 7, height, `m0 ${-height / 2}v${height}`) +
                     everywhere(width, height, width, height / 2, `m${-width / 2} 0h${width}`),
  (width, height) => everywhere(width, height, 11, height / 3, "m-3 0h6"),
  (width, height) => everywhere(width, height, 9, height / 2, "m0-2v4"),
];

// A part of a bar with the colour and the hatch of this number.
function partBox(look, x, y, width, height, words) {
  const kind = look % hatches.length, lines = width > 2 ? hatches[kind](width, height) : "";
  const box = svg("g", {transform: `translate(${x} ${y})`},
                  svg("rect", {class: `part p${kind}`, width, height}),
                  svg("path", {class: kind === 4 ? "hatch dots" : "hatch", d: lines}));
  if (words) box.append(svg("title", {}, words));
  return box;
}

function partLegend(parts, predicted) {
  const entries = parts.map((part, i) => html("li", {}, svg("svg", {viewBox: "0 0 30 14", "aria-hidden": "true"},
    partBox(part.look ?? i, 0, 0, 30, 14)), part.name));
  if (predicted) {
    entries.push(html("li", {}, svg("svg", {viewBox: "0 0 30 14", "aria-hidden": "true"}, predictionMark(15, 0, 14)),
                      predicted));
  }
  return html("ul", {class: "legend"}, ...entries);
}

function predictionMark(x, top, height) {
  return svg("path", {class: "prediction", d: `M${x - 1.5} ${top}h3v${height}h-3z`});
}

// Stacked bars, one for each of `bars`: {group, name, parts: [{value, words, look}], total, predicted}. Values are in
// the units of the scale; a part without a look has that of its place.
function barChart({bars, scale, xLabel, label}) {
  const width = 560, nameWidth = Math.min(175, Math.max(...bars.map((bar) => textWidth(bar.name))));
  const groupWidth = Math.max(...bars.map((bar) => textWidth(bar.group))) * 1.15;
  const left = groupWidth + nameWidth + 20, right = width - Math.max(...bars.map((bar) => textWidth(bar.total))) - 12;
  const places = barPlaces(bars), bottom = places[places.length - 1] + 22;
  const toX = (value) => left + scale.at(value) * (right - left);
  const root = svg("svg", {class: "plot", viewBox: `0 0 ${width} ${bottom + 40}`, role: "img", "aria-label": label});
  root.append(svg("text", {class: "axis-label", x: 0, y: 12}, "length (tokens) and plan"));
  for (const tick of scale.ticks(5)) root.append(svg("path", {class: "grid", d: `M${toX(tick.value)} 22V${bottom}`}));
  bars.forEach((bar, i) => drawBar(root, bar, bars[i - 1], places[i], {toX, left, groupWidth, nameWidth, width}));
  root.append(svg("path", {class: "axis", d: `M${left} 22V${bottom}H${right}`}));
  drawTicksBelow(root, scale, toX, bottom, width);
  root.append(svg("text", {class: "axis-label", x: width, y: bottom + 34, "text-anchor": "end"}, xLabel));
  return root;
}

function barPlaces(bars) {
  let y = 26;
  return bars.map((bar, i) => {
    if (i > 0) y += bar.group === bars[i - 1].group ? 20 : 28;
    return y;
  });
}

function drawBar(root, bar, before, y, {toX, left, groupWidth, nameWidth, width}) {
  if (before?.group !== bar.group) {
    root.append(svg("text", {class: "group", x: groupWidth, y: y + 12, "text-anchor": "end"}, bar.group));
  }
  const name = svg("text", {x: groupWidth + 10, y: y + 12}, shortened(bar.name, nameWidth));
  name.append(svg("title", {}, bar.name));
  root.append(name);
  let sum = 0;
  bar.parts.forEach((part, i) => {
    const x = toX(sum);
    sum += part.value;
    if (part.value <= 0) return;
    root.append(partBox(part.look ?? i, x, y, toX(sum) - x, 16, part.words));
  });
  if (bar.predicted !== undefined) {
    const line = predictionMark(toX(bar.predicted), y - 2, 20);
    line.append(svg("title", {}, bar.predictedWords));
    root.append(line);
  }
  root.append(svg("text", {x: width, y: y + 12, "text-anchor": "end"}, bar.total));
}
