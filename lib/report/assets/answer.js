// The answer in words: verdicts, the check, what went wrong, warnings.
const verbs = {faster: "takes less time than", same: "takes the same time as", slower: "takes more time than",
               undecided: "could not be distinguished from"};

function verdictNumbers(verdict) {
  const interval = isNumber(verdict.low) ? `, ${ratioText(verdict.low)} to ${ratioText(verdict.high)}` : "";
  return `(${ratioText(verdict.ratio)} of it${interval})`;
}

// Up to three lengths each with its numbers; of more, what holds for all.
function lengthsWithNumbers(verdicts) {
  const own = [...verdicts].sort((a, b) => a.seq - b.seq);
  if (own.length <= 3) return joined(own.map((one) => `${one.seq} ${verdictNumbers(one)}`));
  const ratios = own.map((one) => one.ratio), ends = own.flatMap((one) => [one.low, one.high]).filter(isNumber);
  const span = (values) => `${ratioText(Math.min(...values))} to ${ratioText(Math.max(...values))}`;
  const intervals = ends.length ? `, intervals within ${span(ends)}` : "";
  return `${joined(own.map((one) => String(one.seq)))} (${span(ratios)} of it${intervals})`;
}

// One sentence on two plans: the lengths by what was found there.
function pairSentence(verdicts) {
  const {plan, baseline} = verdicts[0];
  const found = [...grouped(verdicts, (verdict) => verdict.verdict)].map(([kind, own]) =>
    `${verbs[kind]} ${baseline} at seq ${lengthsWithNumbers(own)}`);
  return `${plan} ${found.join("; it ")}.${acrossRuns(verdicts)}`;
}

// Two runs of one program differ by more than their own intervals.
function acrossRuns(verdicts) {
  const lengths = unique(verdicts.filter((verdict) => verdict.across_runs).map((verdict) => verdict.seq));
  if (!lengths.length) return "";
  return ` At seq ${joined(lengths.sort(byNumber).map(String))} no run measured both: the two are of different runs, ` +
    "which differ by more than these intervals say.";
}

// Those against the plan that is the first baseline of its length.
function againstFirst(verdicts) {
  const first = new Map();
  for (const {seq, baseline} of verdicts) if (!first.has(seq)) first.set(seq, baseline);
  return verdicts.filter(({seq, baseline}) => baseline === first.get(seq));
}

function familyAnswer(family) {
  const indices = new Set(family.rows.map((row) => rows.indexOf(row)));
  const verdicts = data.verdicts.filter((verdict) => indices.has(verdict.row));
  if (!verdicts.length) return html("li", {}, html("strong", {}, `${family.name}: `), "no two plans to compare.");
  const pairs = grouped(againstFirst(verdicts), (verdict) => JSON.stringify([verdict.plan, verdict.baseline]));
  const sentences = [...pairs.values()].map(pairSentence);
  const list = html("ul", {}, ...sentences.map((sentence) => html("li", {}, sentence)));
  return html("li", {}, html("strong", {}, `${family.name}: `), sentences.length === 1 ? sentences[0] : list);
}

function everyComparison() {
  if (!data.verdicts.length) return null;
  const lines = families(rows).map((family) => {
    const own = data.verdicts.filter((verdict) => family.rows.includes(rows[verdict.row]));
    return html("li", {}, family.name, html("ul", {}, ...own.map((verdict) => html("li", {}, verdict.words))));
  });
  return html("details", {}, html("summary", {}, `Every comparison of two plans (${data.verdicts.length})`),
              html("ul", {}, ...lines));
}

function checkSentence() {
  const ofModels = rows.filter((row) => !row.collective);
  if (!ofModels.length) return null;
  const counts = (check) => ofModels.filter((row) => row.check === check).length;
  const good = ofModels.filter((row) => row.check === "pass" && isNumber(row.max_rel_err));
  const shares = good.filter((row) => row.error_bound > 0).map((row) => row.max_rel_err / row.error_bound);
  const share = shares.length ? `, at most ${digits(100 * Math.max(...shares), 2)}% of what is allowed for rounding` : "";
  const largest = good.length
    ? `; their largest relative error is ${digits(Math.max(...good.map((row) => row.max_rel_err)), 2)}${share}` : "";
  const [passed, failed] = [counts("pass"), counts("fail")];
  if (failed) return html("p", {class: "bad"}, `✗ ${plural(failed, "row")} of ${ofModels.length} failed the check of the ` +
    `numbers; ${passed} passed${largest}.`);
  if (!passed) return html("p", {}, "The numbers of no row were checked.");
  if (passed === ofModels.length) {
    return html("p", {}, `${passed === 1 ? "The row" : `All ${passed} rows`} passed the check against the unsharded ` +
      `reference${largest.replace("their", passed === 1 ? "its" : "their")}.`);
  }
  return html("p", {}, `${plural(passed, "row")} of ${ofModels.length} passed the check against the unsharded reference` +
    `${largest}. The others were not checked.`);
}

function collectivesSentence() {
  const own = rows.filter((row) => row.collective);
  if (!own.length) return null;
  const wrong = own.filter((row) => row.check === "fail").length;
  return wrong ? html("p", {class: "bad"}, `✗ ${plural(wrong, "row")} of ${own.length} of collectives had wrong results.`)
    : html("p", {}, `${plural(own.length, "row")} of collectives alone, with right results; the table has them.`);
}

function problemList() {
  const problems = rows.filter(hasProblem);
  if (!problems.length) return null;
  const lines = problems.map((row) => html("li", {}, html("span", {class: "bad"},
    `✗ ${row.status === "ok" ? "check failed" : row.status}`),
    ` ${caseName(row)}, ${rowName(row)}${row.message ? `: ${row.message}` : ""}`));
  const verb = problems.length === 1 ? "is" : "are";
  const head = `${plural(problems.length, "row")} of ${rows.length} ${verb} not ok:`;
  return html("div", {}, html("p", {class: "bad"}, head), html("ul", {}, ...lines));
}

function warningList() {
  if (!data.warnings.length) return html("p", {}, "No warnings.");
  const lines = [...grouped(data.warnings, (warning) => `${warning.flag}\n${warning.text}`).values()].map((own) => {
    const names = own.map(({row}) => (own.length > 3 ? String(row + 1) : `${row + 1} (${rowName(rows[row])})`));
    const {flag, text} = own[0];
    const place = ` in row${own.length === 1 ? "" : "s"} ${joined(names)}`;
    return html("li", {}, html("strong", {}, `⚠ ${flag}`), text ? `${place}: ${text}` : `${place}.`);
  });
  return html("div", {}, html("p", {}, `${plural(data.warnings.length, "warning")}:`), html("ul", {}, ...lines));
}

function answer() {
  if (!rows.length) return [html("p", {}, "The results hold no rows.")];
  const brackets = `In brackets the ratio of the median times and its interval at ${confidence}.`;
  const note = html("p", {class: "note"}, brackets);
  return [html("ul", {}, ...families(rows).map(familyAnswer)), data.verdicts.length ? note : null, everyComparison(),
          checkSentence(), collectivesSentence(), problemList(), warningList()];
}
