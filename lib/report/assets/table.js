// The table of the rows: sorted by a click on a header, filtered by words.
function compareCells(a, b) {
  if (isNumber(a) && isNumber(b)) return a - b;
  return String(a).localeCompare(String(b), "en", {numeric: true});
}

// Rows without the value stay last, whichever the direction.
function sortLines(lines, valueOf, descending) {
  const sign = descending ? -1 : 1;
  return [...lines].sort((a, b) => {
    const [left, right] = [valueOf(a), valueOf(b)];
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    return sign * compareCells(left, right) || a.index - b.index;
  });
}

const isLong = (column) => rows.some((row) => human(row[column.name], column.unit).length > 48);
const isNumeric = (column) => rows.some((row) => isNumber(row[column.name]));

// Columns that are looked at even where they are the same in every row.
const alwaysBrief = ["status", "plan", "seq", "latency_s", "check", "warnings"];

const isEmpty = (column) => rows.every((row) => row[column.name] === undefined);
// Several rows have the same value, which is then said once instead.
const isShared = (column) => rows.length > 1 && column.detail === "brief" && !alwaysBrief.includes(column.name) &&
                             unique(rows.map((row) => human(row[column.name], column.unit))).length === 1;
const isBrief = (column) =>
  column.detail === "brief" && column.name !== "key" && !isShared(column) && !isEmpty(column);

function shownColumns() {
  return data.columns.filter((column) => column.detail !== "raw").map((column) => ({
    ...column,
    valueOf: (line) => line.row[column.name],
    classes: [isBrief(column) ? "" : "more", isNumeric(column) ? "number" : "", isLong(column) ? "long" : ""]
      .join(" ").trim(),
  }));
}

function sharedNote() {
  const shared = data.columns.filter((column) => isShared(column) && column.name !== "key" && !isEmpty(column));
  if (!shared.length) return null;
  const words = shared.map((column) => `${column.name} ${human(rows[0][column.name], column.unit)}`);
  return html("p", {class: "note"}, `The same in every row: ${words.join(", ")}.`);
}

function cellOf(row, column) {
  const value = row[column.name];
  const attributes = {class: column.classes || null, "data-column": column.name, title: exact(value, column.unit)};
  return html("td", attributes, human(value, column.unit));
}

function lineOf(row, index, columns) {
  const warned = data.warnings.some((warning) => warning.row === index);
  const [mark, words] = hasProblem(row) ? ["✗", "not ok"] : warned ? ["⚠", "with a warning"] : ["✓", "ok"];
  const head = html("th", {scope: "row", title: words}, `${mark} ${index + 1}`);
  const kind = hasProblem(row) ? "problem" : warned ? "warned" : null;
  const element = html("tr", {class: kind, "data-row": index}, head, ...columns.map((column) => cellOf(row, column)));
  return {row, index, element, problem: hasProblem(row) || warned, text: element.textContent.toLowerCase()};
}

// The unit stands below it.
function withoutUnit({name, unit}) {
  return {s: name.replace(/_s$/, ""), bytes: name.replace(/_bytes$/, "")}[unit] ?? name;
}

function headerOf(column, onSort) {
  const unit = html("span", {class: "unit"}, column.unit);
  const title = `${column.name}: ${column.meaning}`;
  const button = html("button", {type: "button", title}, withoutUnit(column), unit);
  const cell = html("th", {scope: "col", class: column.classes || null, "data-column": column.name}, button);
  button.addEventListener("click", () => onSort(column, cell));
  return cell;
}

function sortBy(body, lines, column, cell) {
  const descending = cell.getAttribute("aria-sort") === "ascending";
  for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...sortLines(lines, column.valueOf, descending).map((line) => line.element));
}

function checkbox(words, onChange) {
  const input = html("input", {type: "checkbox"});
  input.addEventListener("change", () => onChange(input.checked));
  return html("label", {}, input, ` ${words}`);
}

// The controls above the table; `lines` are hidden and shown by them.
function tableControls(table, lines) {
  const count = html("output", {"aria-live": "polite"});
  const search = html("input", {type: "search", placeholder: "such as: tp+sp 1,024",
                                "aria-label": "show rows with these words"});
  let onlyProblems = false;
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (line) => words.every((word) => line.text.includes(word)) && (!onlyProblems || line.problem);
    for (const line of lines) line.element.hidden = !matches(line);
    count.textContent = `${lines.filter((line) => !line.element.hidden).length} of ${plural(lines.length, "row")}`;
  };
  search.addEventListener("input", update);
  update();
  const problems = checkbox("only rows with a problem or a warning", (checked) => {
    onlyProblems = checked;
    update();
  });
  const all = checkbox("all columns", (checked) => table.classList.toggle("brief", !checked));
  return html("div", {class: "controls"}, html("label", {}, "Filter ", search), problems, all, count);
}

function resultsTable() {
  const columns = shownColumns();
  const lines = rows.map((row, index) => lineOf(row, index, columns));
  const body = html("tbody", {}, ...lines.map((line) => line.element));
  const order = {name: "row", unit: "", meaning: "in the order of measurement", classes: "",
                 valueOf: (line) => line.index};
  const headers = [order, ...columns].map((column) =>
    headerOf(column, (chosen, cell) => sortBy(body, lines, chosen, cell)));
  const table = html("table", {class: "results brief"}, html("thead", {}, html("tr", {}, ...headers)), body);
  const scroller = html("div", {class: "scroller", tabindex: 0, role: "region", "aria-label": "table of rows"}, table);
  const note = html("p", {class: "note"}, "A click on a header sorts. Point at a cell for its exact value, at a " +
    "header for its meaning. ✗ marks a row that is not ok, ⚠ one with a warning.");
  return [tableControls(table, lines), sharedNote(), scroller, note];
}
