// How much of the metric's order over the runs each param accounts for, alone.
//
// The measure: the runs are ranked by the metric; a param divides them into groups; the share of the ranks' variance that
// lies between groups, less what groups of that size would show by chance (epsilon squared of the Kruskal-Wallis test).
// Ranks, so that one extreme value does not decide; groups, so that an optimum in the middle counts.

const FEWEST_RUNS = 8;
const MOST_GROUPS = 5;

// Ranks from 1; equals share the mean of their ranks.
function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0));
  const found = new Array(values.length);
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j + 1 < order.length && values[order[j + 1]] === values[order[i]]) j += 1;
    for (let k = i; k <= j; k++) found[order[k]] = (i + j) / 2 + 1;
    i = j + 1;
  }
  return found;
}

const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;

function correlation(a, b) {
  const ma = mean(a),
    mb = mean(b);
  const sum = (f) => a.reduce((total, _, i) => total + f(a[i] - ma, b[i] - mb), 0);
  const size = Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
  return size > 0 ? sum((x, y) => x * y) / size : 0;
}

// Few values are groups as they are; many numbers are cut into groups of about the same size.
function groupsOf(one, among) {
  const cells = among.map((run) => one.cells[run.index]);
  const different = new Set(cells.map(String)).size;
  if (different <= MOST_GROUPS || !one.numeric) return cells.map(String);
  const placed = ranks(cells.map(Number));
  const count = Math.max(2, Math.min(MOST_GROUPS, Math.floor(among.length / 4)));
  return placed.map((rank) => String(Math.min(count - 1, Math.floor(((rank - 0.5) / among.length) * count))));
}

// The value that chi squared with so many degrees of freedom exceeds once in twenty times (Wilson and Hilferty).
function rareChi(degrees) {
  const part = 2 / (9 * degrees);
  return degrees * (1 - part + 1.6449 * Math.sqrt(part)) ** 3;
}

function importanceOf(one, metric, among) {
  const inside = among.filter(
    (run) => usable(metric.cells[run.index]) && one.cells[run.index] !== null && !Number.isNaN(one.cells[run.index]),
  );
  const n = inside.length;
  if (n < FEWEST_RUNS) return { one, n, why: `${n} runs; ${FEWEST_RUNS} needed` };
  const placed = ranks(inside.map((run) => metric.cells[run.index]));
  const groups = new Map();
  groupsOf(one, inside).forEach((group, i) => groups.set(group, [...(groups.get(group) || []), placed[i]]));
  const k = groups.size;
  if (k < 2) return { one, n, why: "one value only" };
  if (k > n / 2) return { one, n, why: "nearly every run has its own value" };
  const middle = (n + 1) / 2,
    total = placed.reduce((sum, rank) => sum + (rank - middle) ** 2, 0);
  if (!(total > 0)) return { one, n, why: "the metric is the same in all runs" };
  const between = [...groups.values()].reduce((sum, group) => sum + group.length * (mean(group) - middle) ** 2, 0);
  const h = ((n - 1) * between) / total;
  const share = (value) => Math.max(0, Math.min(1, (value - k + 1) / (n - k)));
  const rho = one.numeric ? correlation(ranks(inside.map((run) => one.cells[run.index])), placed) : null;
  return { one, n, k, share: share(h), chance: share(rareChi(k - 1)), rho };
}

function importanceRow(found) {
  const name = element("span", { textContent: found.one.name, title: found.one.name });
  if (found.why)
    return element(
      "div",
      { className: "row" },
      name,
      element("span", { className: "field", textContent: found.why }),
      element("span", {}),
      element("span", {}),
    );
  const bar = element("i", {}),
    mark = element("b", {
      title: `Of 20 params that have nothing to do with the metric, one would reach ${number(found.chance, 2)} by chance`,
    });
  bar.style.width = `${found.share * 100}%`;
  mark.style.left = `${found.chance * 100}%`;
  const track = element(
    "div",
    { className: `track${found.share > found.chance ? "" : " weak"}`, title: `${found.n} runs in ${found.k} groups` },
    bar,
    mark,
  );
  const rho =
    found.rho === null
      ? element("span", { className: "value field", textContent: "text" })
      : element("span", {
          className: `value ${found.rho > 0 ? "up" : "down"}`,
          textContent: `${found.rho > 0 ? "+" : "−"}${Math.abs(found.rho).toFixed(2)}`,
        });
  return element(
    "div",
    { className: "row" },
    name,
    track,
    element("span", { className: "value", textContent: found.share.toFixed(2) }),
    rho,
  );
}

function drawImportance(body) {
  const metric = choice.metric && column(choice.metric),
    params = inGroup("params").filter((one) => one.differs);
  const among = shownRuns(),
    measured = metric ? among.filter((run) => usable(metric.cells[run.index])) : [];
  const say = (text) => body.replaceChildren(element("div", { className: "empty", textContent: text }));
  if (!metric || !params.length)
    return say("There is nothing to weigh: the runs differ in no param, or have no metric.");
  if (measured.length < FEWEST_RUNS)
    return say(
      `Too few runs: ${measured.length} that are shown have a finite ${metric.name}; with fewer than ${FEWEST_RUNS} any number here would be chance.`,
    );
  const found = params.map((one) => importanceOf(one, metric, among)).sort((a, b) => (b.share ?? -1) - (a.share ?? -1));
  const titles = element(
    "div",
    { className: "row titles" },
    element("span", { textContent: "Param" }),
    element("span", { textContent: `Share of the order by ${metric.name}` }),
    element("span", {}),
    element("span", { className: "value", textContent: "Direction" }),
  );
  body.replaceChildren(
    element("div", { className: "importance" }, titles, ...found.slice(0, 30).map(importanceRow)),
    element("p", { className: "note", textContent: importanceNote(measured.length) }),
  );
}

function importanceNote(count) {
  return (
    `Runs are ranked by the metric (its ${{ last: "last", lows: "lowest", highs: "highest" }[choice.value]} value, ${count} runs) and grouped by each param alone (numbers with more than ${MOST_GROUPS} values into quantiles); the bar is the share of the ranks' variance between groups, corrected for chance (Kruskal-Wallis ε²). ` +
    "The amber mark is what one in twenty unrelated params would reach; grey bars are below it. Direction is Spearman's ρ, for numbers: + means that higher goes with higher. Params that were changed together cannot be told apart, and nothing here proves a cause."
  );
}
