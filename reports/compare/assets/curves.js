// Metrics over steps or time, one chart per metric.

const curveChoice = { axis: "step", log: false, smoothing: 0, search: "", more: 6, wide: new Set(), legend: false };
const AXES = [
  ["step", "Step"],
  ["relative", "Relative time"],
  ["wall", "Wall time"],
];
const FAINT_UP_TO = 24;
const CROWD = 40;
const NAMED = 12;

const hasCurve = (name) => curves.get(name).some((one) => one.values.length > 1);
const anyFinite = (found) => found.some((one) => one.values.some(placeable));

// What can be looked at comes first: curves, then single values, then what is nowhere finite.
const rank = (name) => (anyFinite(curves.get(name)) ? (hasCurve(name) ? 0 : 1) : 2);

// An exponential average, freed of its bias towards the first values; gaps stay gaps.
function smoothed(values, weight) {
  let sum = 0,
    steps = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * weight + (1 - weight) * value;
    steps += 1;
    return sum / (1 - weight ** steps);
  });
}

function places(curve) {
  if (curveChoice.axis === "step") return curve.steps;
  if (curveChoice.axis === "wall") return curve.times.map((time) => new Date(time));
  return curve.times.map((time) => (time - curve.run.started) / 1000);
}

function line(curve, values, style) {
  const name = `<b>${plain(shortened(curve.run.label, 48))}</b>`;
  const alone = values.map((one, i) => one !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null);
  const dots = alone.includes(true);
  return {
    x: places(curve),
    y: values,
    meta: curve.run.index,
    mode: dots ? "lines+markers" : "lines",
    type: "scatter",
    connectgaps: false,
    text: curve.values.map((value, i) => `${name}<br>${number(value)} at step ${curve.steps[i]}`),
    hovertemplate: "%{text}<extra></extra>",
    opacity: shownRuns().length > CROWD ? 0.6 : 1,
    line: { color: inkOf(curve.run), width: shownRuns().length > CROWD ? 1.1 : 1.8 },
    marker: { color: inkOf(curve.run), opacity: 1, size: dots ? alone.map((one) => (one ? 6 : 0)) : 6 },
    ...style,
  };
}

function curveTraces(name) {
  const found = curves.get(name).filter((one) => isShown(one.run) && one.values.length);
  const finite = found.map((one) =>
    one.values.map((value) => (placeable(value) && !(curveChoice.log && value <= 0) ? value : null)),
  );
  if (!curveChoice.smoothing) return found.map((one, i) => line(one, finite[i]));
  const faint =
    found.length <= FAINT_UP_TO
      ? found.map((one, i) =>
          line(one, finite[i], {
            opacity: 0.22,
            hoverinfo: "skip",
            hovertemplate: undefined,
            text: undefined,
            line: { color: inkOf(one.run), width: 1 },
          }),
        )
      : [];
  return [...faint, ...found.map((one, i) => line(one, smoothed(finite[i], curveChoice.smoothing)))];
}

function missingPoints(name) {
  const found = curves.get(name).filter((one) => isShown(one.run));
  const odd = found.reduce((sum, one) => sum + one.values.filter((value) => !Number.isFinite(value)).length, 0);
  const large = found.reduce(
    (sum, one) => sum + one.values.filter((value) => Number.isFinite(value) && !placeable(value)).length,
    0,
  );
  const below = curveChoice.log
    ? found.reduce((sum, one) => sum + one.values.filter((value) => value <= 0).length, 0)
    : 0;
  const without = shownRuns().length - found.length;
  return [
    odd && `${counted(odd, "point")} not finite`,
    large && `${counted(large, "point")} too large to draw`,
    below && `${counted(below, "point")} not above 0`,
    without && `${counted(without, "run")} without it`,
  ]
    .filter(Boolean)
    .join(", ");
}

function barTraces(name) {
  const found = curves.get(name).filter((one) => isShown(one.run) && one.values.length);
  return [
    {
      type: "bar",
      x: found.map((one) => one.run.index),
      y: found.map((one) => (placeable(one.values[0]) && !(curveChoice.log && one.values[0] <= 0) ? one.values[0] : null)),
      customdata: found.map((one) => one.run.index),
      text: found.map((one) => number(one.values[0], 4)),
      hovertext: found.map((one) => `<b>${plain(shortened(one.run.label, 48))}</b><br>${number(one.values[0])}`),
      hovertemplate: "%{hovertext}<extra></extra>",
      textposition: found.length <= NAMED ? "outside" : "none",
      cliponaxis: false,
      marker: { color: found.map((one) => inkOf(one.run)), cornerradius: 3 },
    },
  ];
}

// Why there is nothing to draw, or an empty text where there is something.
function emptiness(name) {
  const found = curves.get(name).filter((one) => isShown(one.run) && one.values.length);
  if (!found.length) return "No run that is shown has it.";
  const values = found.flatMap((one) => one.values);
  if (!values.some(placeable))
    return `Nothing to draw: ${[...new Set(values)]
      .map((odd) => [values.filter((one) => Object.is(one, odd)).length, odd])
      .map(([count, odd]) => `${number(odd)} ${count === 1 ? "once" : `${count} times`}`)
      .slice(0, 4)
      .join(", ")}.`;
  return curveChoice.log && !values.some((one) => one > 0 && placeable(one))
    ? "No value is above 0, and a log scale has no place for others."
    : "";
}

function ticksOf(name) {
  const found = curves.get(name).filter((one) => isShown(one.run));
  let [low, high] = [Infinity, 0];
  for (const value of found.flatMap((one) => one.values))
    if (value > 0 && placeable(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return logTicks(hasCurve(name) ? low : low / 10, high); // bars reach below their lowest value
}

function drawChart(box, name) {
  const over = hasCurve(name);
  const title = over
    ? AXES.find(([key]) => key === curveChoice.axis)[1] + (curveChoice.axis === "relative" ? " (seconds)" : "")
    : "One value per run";
  const axis = over ? { title: { text: title } } : { title: { text: title }, showticklabels: false, type: "category" };
  plot(
    box,
    over ? curveTraces(name) : barTraces(name),
    layout({ xaxis: axis, yaxis: curveChoice.log ? { type: "log", dtick: ticksOf(name) } : { type: "linear" } }),
  );
}

function chartOf(name) {
  const why = emptiness(name);
  const box = element("div", { className: why ? "empty" : "plot", textContent: why });
  const note = element("span", { className: "field", textContent: why ? "" : missingPoints(name) });
  const wide = element("button", { textContent: "⤢", title: "Wider or narrower", hidden: Boolean(why) });
  const card = element(
    "div",
    { className: "chart" },
    element("div", { className: "title" }, element("h3", { textContent: name, title: name }), note, wide),
    box,
  );
  card.dataset.metric = name;
  card.classList.toggle("wide", curveChoice.wide.has(name));
  wide.addEventListener("click", () => {
    if (!curveChoice.wide.delete(name)) curveChoice.wide.add(name);
    card.classList.toggle("wide");
    Plotly.Plots.resize(box);
  });
  return [card, () => why || drawChart(box, name)];
}

function drawCurves(body) {
  const names = [...curves.keys()].filter((name) => name.toLowerCase().includes(curveChoice.search.toLowerCase()));
  names.sort((a, b) => rank(a) - rank(b));
  const charts = names.slice(0, curveChoice.more).map(chartOf);
  for (const box of body.querySelectorAll(".plot")) Plotly.purge(box);
  const grid = element("div", { className: "charts" }, ...charts.map(([card]) => card));
  body.replaceChildren(legend(), grid);
  if (!names.length)
    body.append(
      element("div", {
        className: "empty",
        textContent: curves.size ? "No metric has such a name." : "These runs have no metrics.",
      }),
    );
  if (names.length > curveChoice.more) {
    const more = element("button", {
      textContent: `Show ${Math.min(12, names.length - curveChoice.more)} more of ${names.length} metrics`,
    });
    more.addEventListener("click", () => {
      curveChoice.more += 12;
      changed("curves");
    });
    body.append(element("p", { className: "note" }, more));
  }
  body.append(element("p", { className: "note", textContent: curvesNote() }));
  for (const [, draw] of charts) draw();
}

function curvesNote() {
  const thinned = [...curves.values()].some((found) => found.some((one) => one.sampled));
  const smooth = curveChoice.smoothing
    ? "Smoothed lines are exponential averages, freed of the bias towards the first value. "
    : "";
  const few = thinned ? `Long series are thinned to ${data.max_points} points here. ` : "";
  const left = data.left_out.length
    ? `${counted(data.left_out.length, "more metric")} would make this page too big, and are in the table only.`
    : "";
  return smooth + few + left;
}

// What the colours mean: of numbers the two ends, else the first few, and all of them when asked for.
function legend() {
  const by = choice.colour ? column(choice.colour) : null;
  const box = element("div", { className: "legend" });
  if (by && by.numeric) box.append(...rampKeys(by));
  else {
    const keys = by ? kindKeys(by) : shownRuns().map(runKey);
    box.append(...(curveChoice.legend ? keys : keys.slice(0, NAMED)));
    if (keys.length > NAMED) box.append(moreKeys(keys.length));
    box.classList.toggle("all", curveChoice.legend);
  }
  return box;
}

function moreKeys(count) {
  const button = element("button", { textContent: curveChoice.legend ? `Show ${NAMED} only` : `Show all ${count}` });
  button.addEventListener("click", () => {
    curveChoice.legend = !curveChoice.legend;
    button.closest(".legend").replaceWith(legend());
  });
  return button;
}

function dotOf(colour) {
  const dot = element("span", { className: "dot" });
  dot.style.setProperty("--ink", colour);
  return dot;
}

function runKey(run) {
  const title = `${run.name}\n${run.id}\nClick: hide this run. The table shows it again.`;
  const key = element("button", { className: "key", title }, dotOf(inkOf(run)), shortened(run.label, 32));
  for (const kind of ["mouseenter", "focus"]) key.addEventListener(kind, () => highlight(run.index));
  for (const kind of ["mouseleave", "blur"]) key.addEventListener(kind, () => highlight(null));
  key.addEventListener("click", () => {
    run.checked = false;
    changed("runs");
  });
  return key;
}

function kindKeys(by) {
  return categories(by, shownRuns()).map((kind) => {
    const first = shownRuns().find((run) => by.cells[run.index] === kind);
    return element("span", { title: kind }, dotOf(inkOf(first)), shortened(kind, 32));
  });
}

function rampKeys(by) {
  const within = scaleOf(by, shownRuns());
  if (within.empty) return [];
  const bar = element("span", { className: "ramp" });
  bar.style.background = rampCss();
  const ends = [number(within.low, 3), bar, number(within.high, 3), within.log ? " (log)" : ""];
  return [shortened(by.name, 40), element("span", {}, ...ends)];
}

function curveControls() {
  const search = element("input", {
    type: "search",
    id: "metrics",
    placeholder: `Search ${counted(curves.size, "metric")}`,
  });
  search.addEventListener(
    "input",
    debounced(() => {
      curveChoice.search = search.value;
      changed("curves");
    }),
  );
  const slider = element("input", { type: "range", id: "smoothing", min: 0, max: 0.99, step: 0.01, value: 0 });
  const amount = element("span", { textContent: "0" });
  const redraw = debounced(() => changed("curves"), 60);
  slider.addEventListener("input", () => {
    curveChoice.smoothing = Number(slider.value);
    amount.textContent = slider.value;
    redraw();
  });
  const log = element("button", { textContent: "Log scale", id: "log", "aria-pressed": "false" });
  log.addEventListener("click", () => {
    curveChoice.log = !curveChoice.log;
    log.classList.toggle("on", curveChoice.log);
    log.setAttribute("aria-pressed", String(curveChoice.log));
    changed("curves");
  });
  return [
    search,
    element("label", { className: "field" }, "Smoothing", slider, amount),
    log,
    segments(AXES, "step", (key) => {
      curveChoice.axis = key;
      changed("curves");
    }),
  ];
}
