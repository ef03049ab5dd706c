// Parallel coordinates: params on the left, the metric on the right, one line per run. Drawn here, as text params and
// missing values have their places, and as plotly's own needs WebGL.

const parallelChoice = { axes: null, brushes: new Map() };
const MOST_AXES = 9;
const FEW_TICKS = 6;
// Pixels between two labels of an axis; more where a label stands for many values that have none.
const APART = 14,
  FAR_APART = 32,
  MANY_TICKS = 14;
const NARROWEST = 92; // pixels between two axes
const LEFT = 104,
  RIGHT = 56;
const HIGH = 380,
  TOP = 40,
  BOTTOM = 330,
  MISSING = 352;

const differing = () => inGroup("params").filter((one) => one.differs);

// As many axes as the window has room for, unless they have been chosen.
function roomForAxes() {
  const wide = document.getElementById("page").clientWidth - 80 - LEFT - RIGHT;
  return Math.max(3, Math.min(MOST_AXES, Math.floor(wide / NARROWEST) + 1));
}

function parallelAxes() {
  const first = differing().slice(0, roomForAxes() - 1);
  const chosen = parallelChoice.axes || new Set(first.map((one) => one.key));
  const metric = choice.metric && column(choice.metric);
  return [...columns.filter((one) => chosen.has(one.key) && one !== metric), ...(metric ? [metric] : [])];
}

// Where each value of an axis lies, between 0 (below) and 1 (above), and what is written beside it.
function axisOf(one, among) {
  if (one.numeric) {
    const within = scaleOf(one, among);
    const few = [...new Set(among.map((run) => one.cells[run.index]))].filter((cell) => within.place(cell) !== null);
    const ticks = within.empty
      ? []
      : few.length <= FEW_TICKS
        ? few.map((cell) => [within.place(cell), number(cell, 4)])
        : [0, 0.25, 0.5, 0.75, 1].map((share) => [share, number(within.at(share), 3)]);
    return { one, place: (run) => within.place(one.cells[run.index]), ticks, log: within.log };
  }
  const kinds = categories(one, among);
  const at = (index) => (kinds.length > 1 ? index / (kinds.length - 1) : 0.5);
  const ticks = kinds.map((kind, i) => [at(i), kind]);
  return {
    one,
    place: (run) => (one.cells[run.index] === null ? null : at(kinds.indexOf(one.cells[run.index]))),
    ticks,
    log: false,
  };
}

// The labels that have room: the ends first, then from below those that do not touch one that is there.
function apart(ticks) {
  const sorted = [...ticks].sort((a, b) => a[0] - b[0]);
  const gap = ticks.length > MANY_TICKS ? FAR_APART : APART;
  const kept = [];
  for (const tick of [sorted[0], sorted[sorted.length - 1], ...sorted.slice(1, -1)]) {
    if (tick && kept.every(([share]) => Math.abs(heightOf(share) - heightOf(tick[0])) >= gap)) kept.push(tick);
  }
  return kept;
}

const heightOf = (share) => (share === null ? MISSING : BOTTOM - share * (BOTTOM - TOP));

function lineThrough(points) {
  return points
    .map(([x, y], i) => {
      if (!i) return `M${x} ${y}`;
      const [px, py] = points[i - 1],
        bend = (x - px) * 0.42;
      return `C${px + bend} ${py} ${x - bend} ${y} ${x} ${y}`;
    })
    .join("");
}

// One run far off would leave all others in one colour, so runs are coloured by their order.
function byRank(one, among) {
  const inside = among.filter((run) => usable(one.cells[run.index]));
  const placed = ranks(inside.map((run) => one.cells[run.index]));
  const shares = new Map(
    inside.map((run, i) => [run, inside.length > 1 ? (placed[i] - 1) / (inside.length - 1) : 0.5]),
  );
  return (run) => (shares.has(run) ? ramp(shares.get(run)) : GREY);
}

function insideBrushes(axes, run) {
  return axes.every((axis) => {
    const brush = parallelChoice.brushes.get(axis.one.key);
    const share = axis.place(run);
    return !brush || (share !== null && share >= brush[0] - 1e-9 && share <= brush[1] + 1e-9);
  });
}

function drawParallel(body) {
  const among = shownRuns(),
    axes = parallelAxes().map((one) => axisOf(one, among));
  for (const axis of axes) axis.missing = among.some((run) => axis.place(run) === null);
  if (axes.length < 2 || !among.length) {
    body.replaceChildren(
      element("div", {
        className: "empty",
        textContent: among.length
          ? "There is nothing to draw: the runs differ in no param, or have no metric."
          : "No run is shown.",
      }),
    );
    return;
  }
  const box = element("div", { className: "parallel" });
  body.replaceChildren(box, element("p", { className: "note", id: "parallel-note" }));
  const wide = Math.max(LEFT + RIGHT + NARROWEST * (axes.length - 1), box.clientWidth - 32);
  const svg = drawn("svg", { viewBox: `0 0 ${wide} ${HIGH}`, role: "img", "aria-label": "Parallel coordinates" });
  svg.style.minWidth = `${wide}px`;
  const at = (i) => LEFT + (i * (wide - LEFT - RIGHT)) / (axes.length - 1);
  const colour = choice.colour ? inkOf : byRank(column(choice.metric), among);
  const lines = among.map((run) => runLine(svg, run, axes, at, colour));
  const step = at(1) - at(0);
  axes.forEach((axis, i) => {
    const title = Math.min(step, i ? (i === axes.length - 1 ? 2 * RIGHT : step) : 2 * LEFT);
    drawAxis(svg, axis, at(i), { title, ticks: i ? step : LEFT }, () => paint());
  });
  const without = differing().filter((one) => !axes.some((axis) => axis.one === one)).length;
  const leftOut = without ? ` ${counted(without, "more param")} that differ${without === 1 ? "s" : ""}: see Axes.` : "";
  const paint = () => {
    const inside = among.filter((run) => insideBrushes(axes, run));
    among.forEach((run, i) => lines[i].classList.toggle("out", !inside.includes(run)));
    const coloured = choice.colour
      ? column(choice.colour).name
      : `the order of the runs by ${column(choice.metric).name}`;
    document.getElementById("parallel-note").textContent =
      `Coloured by ${coloured}. Drag along an axis to pick runs, click it to let go${parallelChoice.brushes.size ? `: ${inside.length} of ${among.length} picked` : ""}. What is missing or not finite lies below the axis.${leftOut}`;
  };
  box.append(svg);
  paint();
}

function runLine(svg, run, axes, at, colour) {
  const path = drawn("path", {
    class: "run",
    d: lineThrough(axes.map((axis, i) => [at(i), heightOf(axis.place(run))])),
    stroke: colour(run),
  });
  path.dataset.run = run.index;
  path.addEventListener("mousemove", (event) =>
    tip([shortened(run.label, 80), ...axes.map((axis) => `${axis.one.name}: ${shown(axis.one.cells[run.index])}`)].join("\n"), event),
  );
  path.addEventListener("mouseenter", () => highlight(run.index));
  path.addEventListener("mouseleave", (event) => {
    highlight(null);
    tip("", event);
  });
  svg.append(path);
  return path;
}

function drawAxis(svg, axis, x, room, paint) {
  const title = drawn(
    "text",
    { class: "name", x, y: 16, "text-anchor": "middle" },
    fitted(axis.one.name, room.title - 12, "600 12px system-ui, sans-serif"),
  );
  title.append(drawn("title", {}, axis.one.name));
  svg.append(title, drawn("line", { class: "axis", x1: x, x2: x, y1: TOP, y2: BOTTOM }));
  if (axis.log) svg.append(drawn("text", { x, y: 29, "text-anchor": "middle" }, "log"));
  for (const [share, text] of apart(axis.ticks)) {
    const y = heightOf(share);
    const label = drawn("text", { class: "tick", x: x - 8, y: y + 4, "text-anchor": "end" }, fitted(text, room.ticks - 20));
    label.append(drawn("title", {}, text));
    svg.append(drawn("line", { class: "axis", x1: x - 4, x2: x, y1: y, y2: y }), label);
  }
  if (axis.missing)
    svg.append(
      drawn("text", { x, y: MISSING + 16, "text-anchor": "middle" }, "missing"),
      drawn("circle", { cx: x, cy: MISSING, r: 3, fill: GREY }),
    );
  brushing(svg, axis, x, paint);
}

function brushing(svg, axis, x, paint) {
  const mark = drawn("rect", { class: "brush", x: x - 7, width: 14, y: 0, height: 0, rx: 3, visibility: "hidden" });
  const grab = drawn("rect", { class: "grab", x: x - 12, width: 24, y: TOP - 8, height: BOTTOM - TOP + 16 });
  const show = () => {
    const brush = parallelChoice.brushes.get(axis.one.key);
    mark.setAttribute("visibility", brush ? "visible" : "hidden");
    if (!brush) return;
    mark.setAttribute("y", heightOf(brush[1]));
    mark.setAttribute("height", Math.max(2, heightOf(brush[0]) - heightOf(brush[1])));
  };
  const shareAt = (event) => {
    const frame = svg.getBoundingClientRect();
    const y = ((event.clientY - frame.top) / frame.height) * HIGH;
    return Math.max(0, Math.min(1, (BOTTOM - y) / (BOTTOM - TOP)));
  };
  let start = null;
  grab.addEventListener("pointerdown", (event) => {
    start = shareAt(event);
    grab.setPointerCapture(event.pointerId);
    parallelChoice.brushes.delete(axis.one.key);
    show();
    paint();
  });
  grab.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const now = shareAt(event);
    if (Math.abs(now - start) > 0.01)
      parallelChoice.brushes.set(axis.one.key, [Math.min(start, now), Math.max(start, now)]);
    show();
    paint();
  });
  grab.addEventListener("pointerup", () => {
    start = null;
  });
  show();
  svg.append(mark, grab);
}

function axesMenu() {
  const offered = columns.filter((one) => one.group !== "tags" && (one.group === "params" || one.numeric));
  const boxes = new Map();
  const labels = offered.map((one) => {
    const box = element("input", { type: "checkbox" });
    boxes.set(one.key, box);
    box.addEventListener("change", () => {
      parallelChoice.axes =
        parallelChoice.axes ||
        new Set(
          parallelAxes()
            .map((axis) => axis.key)
            .filter((key) => key !== choice.metric),
        );
      if (box.checked) parallelChoice.axes.add(one.key);
      else parallelChoice.axes.delete(one.key);
      parallelChoice.brushes.delete(one.key);
      changed("axes");
    });
    return element("label", {}, box, one.name);
  });
  const check = () => {
    const now = new Set(parallelAxes().map((one) => one.key));
    for (const [key, box] of boxes) box.checked = now.has(key);
  };
  on("axes metric", check);
  check();
  return popover("Axes", element("div", {}, ...labels));
}
