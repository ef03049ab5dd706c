// What the page knows, and what the viewer has chosen. Sections listen for changes and draw themselves anew.

const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs.map((run, index) => ({ ...run, index, checked: true, matches: true }));
const namesakes = new Map();
for (const run of runs) namesakes.set(run.name, (namesakes.get(run.name) || 0) + 1);
// Runs that share a name are told apart by the ends of their ids.
for (const run of runs) run.label = namesakes.get(run.name) > 1 ? `${run.name} (${run.id.slice(-6)})` : run.name;
const columns = data.columns.map((column, index) => ({
  ...column,
  index,
  key: `${column.group}.${column.name}`,
  cells: column.cells.map((cell) => decoded(cell, column.numeric)),
  last: null,
}));
const choice = {
  colour: "",
  metric: null,
  value: "last",
  hidden: new Set(),
  onlyDifferences: runs.length > 1 && columns.some((one) => one.differs),
};
const listeners = [];

// Metrics are shown by their last, lowest or highest values.
function showValues(which) {
  for (const one of columns.filter((found) => found.lows)) {
    one.last = one.last || one.cells;
    one.cells = which === "last" ? one.last : one[which].map((cell) => decoded(cell, true));
  }
}

function decoded(cell, numeric) {
  return cell === null || !numeric ? cell : Number(cell);
}

// Numbers come as pairs: the first number, then each distance with how often it repeats.
function unpacked(pairs) {
  const numbers = [];
  let now = 0;
  for (const [distance, times] of pairs) {
    for (let i = 0; i < times; i++) numbers.push((now += distance));
  }
  return numbers;
}

const curves = new Map(
  Object.entries(data.curves).map(([name, found]) => [
    name,
    found.map((one) => ({
      run: runs[one.run],
      steps: unpacked(one.steps),
      times: unpacked(one.times),
      values: one.values.map(Number),
      sampled: one.sampled,
    })),
  ]),
);

const column = (key) => columns.find((one) => one.key === key);
const inGroup = (group) => columns.filter((one) => one.group === group);
const isShown = (run) => run.checked && run.matches;
const shownRuns = () => runs.filter(isShown);

function on(kinds, listener) {
  listeners.push({ kinds: new Set(kinds.split(" ")), listener });
}

function changed(kind) {
  for (const one of listeners) if (one.kinds.has(kind)) one.listener();
}

// The metric to begin with: one that differs between runs, and of which most of them have a finite value.
function firstMetric() {
  const finite = (one) => one.cells.filter(Number.isFinite).length;
  const metrics = inGroup("metrics").filter((one) => one.numeric);
  const best = metrics.sort((a, b) => b.differs - a.differs || finite(b) - finite(a))[0];
  return best ? best.key : null;
}

choice.metric = firstMetric();
