// Put at the end of a page by test_page.py: uses the page as a person would, and leaves what it saw as JSON in a last
// element, which the browser prints with the page.
(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const drawn = (element) => element.getBoundingClientRect();
  const html = document.documentElement;
  const tooWide = () => html.scrollWidth - html.clientWidth;

  // ---- plots

  function overlaps(plot) {
    const texts = all("text", plot).map((text) => ({text: text.textContent, box: drawn(text)}));
    const touching = [];
    texts.forEach((a, i) => texts.slice(i + 1).forEach((b) => {
      const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      if (wide > 0.5 && high > 3) touching.push(`${a.text} | ${b.text}`);  // line boxes are taller than their letters
    }));
    return touching;
  }

  // Texts that lie on a bar.
  function covered(plot) {
    const parts = all(".part", plot).map(drawn);
    return all("text", plot).filter((text) => {
      const box = drawn(text);
      return parts.some((part) => Math.min(part.right, box.right) - Math.max(part.left, box.left) > 0.5 &&
                                  Math.min(part.bottom, box.bottom) - Math.max(part.top, box.top) > 3);
    }).map((text) => text.textContent);
  }

  function outside(plot) {
    const outer = drawn(plot);
    return all("text, rect, path", plot).filter((element) => {
      const box = drawn(element);
      return box.left < outer.left - 1.5 || box.right > outer.right + 1.5 || box.top < outer.top - 3 ||
             box.bottom > outer.bottom + 3;
    }).map((element) => element.textContent || element.getAttribute("d"));
  }

  const words = (element) => element.querySelector("title")?.textContent ?? "";

  // Of stacked bars, from the top one: the part boxes, each with its words and its width.
  function barsOf(plot) {
    const bars = new Map();
    for (const part of all("g:has(> .part)", plot)) {
      const {top, width} = drawn(part.querySelector(".part"));
      const key = top.toFixed(1);
      bars.set(key, [...(bars.get(key) ?? []), {words: words(part), width}]);
    }
    return [...bars.values()];
  }

  // Of series: how far each mark is above the axis below.
  function heightsOf(plot) {
    const bottom = Number(plot.querySelector(".axis").getAttribute("d").match(/V([\d.]+)/)?.[1]);
    const height = (one) => bottom - Number(one.getAttribute("transform").match(/ (-?[\d.e-]+)\)/)[1]);
    return all(".mark", plot).map((one) => ({words: words(one), height: height(one)}));
  }

  // What a reader tells the entries of a legend apart by.
  const looksOf = (figure) => all(".legend li", figure).map((entry) => ({name: entry.textContent,
    look: [...all("[class]", entry).map((one) => one.getAttribute("class")), ...all("path", entry).map((one) =>
      one.getAttribute("d"))].join(" "),
    colour: entry.querySelector(".part") && getComputedStyle(entry.querySelector(".part")).fill}));

  const plotOf = (plot) => ({
    title: plot.closest("figure").querySelector("strong").textContent,
    note: plot.closest("figure").querySelector("figcaption span").textContent,
    legend: looksOf(plot.closest("figure")), bars: barsOf(plot), heights: heightsOf(plot),
    kind: plot.closest("figure").dataset.plot,
    labels: all(".axis-label", plot).map((label) => label.textContent),
    marks: all(".mark, .part", plot).length,
    broken: all("*", plot).some((part) => [...part.attributes].some(({value}) => /NaN|Infinity|undefined/.test(value))),
    overlaps: [...overlaps(plot), ...covered(plot)],
    outside: outside(plot),
  });

  // ---- the table

  const lines = () => all("#rows tbody tr");
  const shown = () => lines().filter((line) => !line.hidden).length;
  const header = (column) => document.querySelector(`#rows th[data-column="${column}"]`);
  const order = () => lines().map((line) => Number(line.dataset.row));

  function sorted(column) {
    const button = header(column).querySelector("button");
    button.focus();
    const focused = document.activeElement === button;
    button.click();
    const up = {aria: header(column).getAttribute("aria-sort"), order: order()};
    button.click();
    const down = {aria: header(column).getAttribute("aria-sort"), order: order()};
    header("row").querySelector("button").click();
    return {focused, up, down, others: all("#rows th[aria-sort]").length, back: order()};
  }

  function filtered(words) {
    const search = document.querySelector("#rows input[type=search]");
    search.value = words;
    search.dispatchEvent(new Event("input"));
    const count = shown();
    search.value = "";
    search.dispatchEvent(new Event("input"));
    return {count, again: shown()};
  }

  function columnCounts() {
    const visible = () => all("#rows thead th").filter((cell) => drawn(cell).width > 0).length;
    const box = all("#rows input[type=checkbox]")[1];
    const brief = visible();
    box.click();
    const full = visible(), overflow = tooWide();
    box.click();
    return {brief, full, overflow};
  }

  const table = document.querySelector("#rows table") !== null;
  const seen = {
    ready: html.dataset.ready ?? "", errors: html.dataset.errors ?? "", overflow: tooWide(),
    rows: lines().length, problems: all("#rows tr.problem").map((line) => line.querySelector("th").textContent),
    families: all("#plots h3").map((title) => title.textContent),
    plots: all("svg.plot").map(plotOf), left_out: all("[data-left-out]").map((note) => note.dataset.leftOut),
    unlabelled: all("button, input, svg.plot").filter((element) => !(element.getAttribute("aria-label") ||
      element.closest("label") || element.textContent.trim())).length,
    answer: document.querySelector("#answer").textContent,
    protocol: document.querySelector("#protocol").textContent,
    plan_files: all("#plans pre").map((text) => text.textContent),
    injected: all("main b, main img, main script").length,
    sorted: table ? sorted("latency_s") : null, filtered: table ? filtered("tp+sp 1,024") : null,
    columns: table ? columnCounts() : null,
  };
  const result = document.createElement("script");
  result.type = "application/json";
  result.id = "seen";
  result.textContent = JSON.stringify(seen).replaceAll("<", "\\u003c");
  document.body.append(result);
})();
