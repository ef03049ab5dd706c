// Two or three columns against each other: scatter, contour, and boxes of a metric by a param.

const relationChoice = { kind: "scatter", x: null, y: null };
const KINDS = [
  ["scatter", "Scatter"],
  ["contour", "Contour"],
  ["box", "Box"],
];
const GRID = 60;
const MOST_KINDS = 14;

const drawable = () =>
  columns.filter((one) => one.group !== "tags" && (one.numeric || one.group === "params" || one.group === "datasets"));

// Begin with the params that matter most, as far as that can be told, and with numbers where it cannot.
function firstRelation() {
  const metric = choice.metric && column(choice.metric);
  const weight = (one) => ((metric && importanceOf(one, metric, runs).share) || 0) + (one.numeric ? 0.001 : 0);
  const params = inGroup("params")
    .filter((one) => one.differs)
    .sort((a, b) => weight(b) - weight(a));
  const offered = [...params, ...drawable()];
  relationChoice.x = offered[0]?.key ?? null;
  relationChoice.y = (offered.find((one) => one.key !== relationChoice.x && one.numeric) ?? offered[0])?.key ?? null;
}

const usable = (cell) => cell !== null && (typeof cell !== "number" || Number.isFinite(cell));

const titleOf = (one) => ({ text: plain(shortened(one.name, 40)) });

function axisFor(one, among) {
  if (!one.numeric) return kindsAxis(one, among);
  const within = scaleOf(one, among);
  if (!within.log) return { title: titleOf(one), type: "linear" };
  return { title: titleOf(one), type: "log", dtick: logTicks(within.low, within.high) };
}

// Texts keep their order and have room, however long and many they are.
function kindsAxis(one, among) {
  const kinds = categories(one, among);
  const every = Math.ceil(kinds.length / MOST_KINDS);
  const named = kinds.filter((_, i) => i % every === 0);
  return {
    title: titleOf(one),
    type: "category",
    categoryorder: "array",
    categoryarray: kinds.map(String),
    tickvals: named.map(String),
    ticktext: named.map((kind) => plain(fitted(shown(kind), 110))),
  };
}

function pointText(run, among) {
  return [
    `<b>${plain(shortened(run.label, 48))}</b>`,
    ...among.map((one) => `${plain(shortened(one.name, 30))}: ${plain(shortened(shown(one.cells[run.index]), 40))}`),
  ].join("<br>");
}

function scatterPlot(found, x, y) {
  const colour = colouring(choice.colour || null, found);
  const traces = found.map((run) => ({
    type: "scatter",
    mode: "markers",
    x: [x.cells[run.index]],
    y: [y.cells[run.index]],
    meta: run.index,
    text: [pointText(run, [x, y])],
    hovertemplate: "%{text}<extra></extra>",
    marker: { color: colour(run), size: 10, opacity: 0.88, line: { color: ink("--card"), width: 1 } },
  }));
  return [traces, layout({ xaxis: axisFor(x, found), yaxis: axisFor(y, found) }), ""];
}

// Whether a place lies within the hull of the runs: outside it nothing is known, and nothing is drawn.
function hullOf(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) =>
    list.reduce((kept, point) => {
      while (kept.length > 1 && turn(kept[kept.length - 2], kept[kept.length - 1], point) <= 0) kept.pop();
      return [...kept, point];
    }, []);
  const hull = [...half(sorted).slice(0, -1), ...half(sorted.reverse()).slice(0, -1)];
  return {
    flat: hull.length < 3,
    holds: (point) => hull.every((from, i) => turn(from, hull[(i + 1) % hull.length], point) >= -1e-9),
  };
}

function interpolated(points, hull, u, v) {
  if (!hull.holds([u, v])) return null;
  let sum = 0,
    weights = 0;
  for (const [x, y, z] of points) {
    const weight = 1 / ((x - u) ** 2 + (y - v) ** 2 + 1e-5) ** 1.5;
    sum += weight * z;
    weights += weight;
  }
  return sum / weights;
}

function contourPlot(found, x, y) {
  const z = column(choice.metric);
  if (!x.numeric || !y.numeric || !z || !z.numeric)
    return [null, null, "A contour needs numbers on both axes, and a metric."];
  const inside = found.filter((run) => placeable(z.cells[run.index]));
  const across = scaleOf(x, inside),
    up = scaleOf(y, inside);
  const points = inside.map((run) => [
    across.place(x.cells[run.index]),
    up.place(y.cells[run.index]),
    z.cells[run.index],
  ]);
  const hull = hullOf(points);
  if (points.length < 4 || hull.flat)
    return [null, null, "A contour needs at least four runs that do not lie on one line."];
  const grid = Array.from({ length: GRID }, (_, i) => i / (GRID - 1));
  const surface = {
    type: "contour",
    x: grid.map(across.at),
    y: grid.map(up.at),
    z: grid.map((v) => grid.map((u) => interpolated(points, hull, u, v))),
    colorscale: RAMP.map(([share]) => [share, ramp(share)]),
    contours: { coloring: "heatmap" },
    line: { width: 0.6, color: ink("--card") },
    colorbar: { title: { text: plain(shortened(z.name, 20)), side: "right" }, thickness: 12, outlinewidth: 0 },
    hoverinfo: "skip",
    connectgaps: false,
  };
  const [dots, how] = scatterPlot(inside, x, y);
  for (const [i, dot] of dots.entries()) {
    dot.marker = { color: "rgba(255,255,255,.9)", size: 8, line: { color: "#1c2333", width: 1.4 } };
    dot.text = [pointText(inside[i], [x, y, z])];
  }
  return [
    [surface, ...dots],
    how,
    `Between the ${inside.length} runs, ${z.name} is interpolated by inverse distance (on the axes as drawn); it says nothing of params that are not shown.`,
  ];
}

function boxPlot(found, x) {
  const y = column(choice.metric);
  if (!y) return [null, null, "Boxes need a metric."];
  const inside = found.filter((run) => placeable(y.cells[run.index]));
  const kinds = categories(x, inside);
  if (kinds.length > 40) return [null, null, `${x.name} has ${kinds.length} different values; boxes are for few.`];
  const traces = kinds.map((kind) => {
    const group = inside.filter((run) => x.cells[run.index] === kind);
    return {
      type: "box",
      x: group.map(() => String(kind)),
      y: group.map((run) => y.cells[run.index]),
      boxpoints: "all",
      jitter: 0.5,
      pointpos: 0,
      line: { width: 1.4, color: tint(kinds.indexOf(kind)) },
      marker: { size: 5, opacity: 0.75 },
      text: group.map((run) => pointText(run, [x, y])),
      hovertemplate: "%{text}<extra></extra>",
      customdata: group.map((run) => run.index),
    };
  });
  return [
    traces,
    layout({ xaxis: kindsAxis(x, inside), yaxis: axisFor(y, inside) }),
    "Box: the middle half of the runs, with the median; every run is a point.",
  ];
}

function drawRelations(body) {
  const x = column(relationChoice.x),
    y =
      relationChoice.kind === "scatter"
        ? (column(choice.metric) ?? column(relationChoice.y))
        : column(relationChoice.y);
  const needed = relationChoice.kind === "box" ? [x] : [x, y];
  const found = needed.every(Boolean)
    ? shownRuns().filter((run) => needed.every((one) => placeable(one.cells[run.index])))
    : [];
  let [traces, how, note] = [null, null, "No run that is shown has values here."];
  if (found.length)
    [traces, how, note] = { scatter: scatterPlot, contour: contourPlot, box: boxPlot }[relationChoice.kind](
      found,
      x,
      y,
    );
  const without = shownRuns().length - found.length;
  if (!traces) {
    body.replaceChildren(element("div", { className: "empty", textContent: note }));
    return;
  }
  const box = element("div", { className: "plot big" });
  body.replaceChildren(
    box,
    element("p", {
      className: "note",
      textContent: [note, without ? `${counted(without, "run")} without values here.` : ""].join(" "),
    }),
  );
  plot(box, traces, how);
}

function relationControls(controls) {
  firstRelation();
  const second = element(
    "label",
    { className: "field" },
    "Y",
    picker(choices(drawable()), relationChoice.y, (key) => {
      relationChoice.y = key;
      changed("relations");
    }),
  );
  const offer = () => {
    second.style.display = relationChoice.kind === "contour" ? "" : "none";
  };
  const first = element(
    "label",
    { className: "field" },
    "X",
    picker(choices(drawable()), relationChoice.x, (key) => {
      relationChoice.x = key;
      changed("relations");
    }),
  );
  controls.append(
    first,
    second,
    segments(KINDS, "scatter", (key) => {
      relationChoice.kind = key;
      offer();
      changed("relations");
    }),
  );
  offer();
}
