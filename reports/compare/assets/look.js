// Colours of runs, light and dark, highlighting, and the frame that every section stands in.

const RAMP = [
  [0, [68, 84, 184]],
  [0.25, [48, 136, 190]],
  [0.5, [46, 174, 150]],
  [0.75, [150, 194, 76]],
  [1, [246, 190, 60]],
];
const GREY = "#8c93a3";

// There are as many colours as runs, and no column has more values than that.
const tint = (index) => data.colours[index];

function ramp(share) {
  const last = Math.max(
    1,
    RAMP.findIndex(([at]) => at >= share),
  );
  const [from, a] = RAMP[last - 1],
    [to, b] = RAMP[last];
  const part = (share - from) / (to - from);
  return `rgb(${a.map((one, i) => Math.round(one + (b[i] - one) * part)).join(",")})`;
}

const rampCss = () => `linear-gradient(90deg, ${RAMP.map(([at]) => ramp(at)).join(",")})`;

// A scale places the numbers of a column between 0 and 1; by their logarithms where the highest is `wide` times the lowest.
function scale(values, wide = 50) {
  const finite = values.filter((one) => typeof one === "number" && Number.isFinite(one));
  const low = Math.min(...finite),
    high = Math.max(...finite);
  const log = finite.length > 0 && low > 0 && high / low >= wide;
  const move = log ? Math.log : (one) => one;
  const span = move(high) - move(low);
  const place = (one) =>
    typeof one !== "number" || !Number.isFinite(one)
      ? null
      : !(span > 0)
        ? 0.5
        : Number.isFinite(span)
          ? (move(one) - move(low)) / span
          : one / 2 / (high / 2 - low / 2) - low / 2 / (high / 2 - low / 2);
  const at = (share) => (log ? Math.exp(move(low) + share * span) : low + share * (high - low));
  return { low, high, log, place, at, empty: finite.length === 0 };
}

// Of up to three decades plotly would write every digit: 1, 2 and 5 have room. Less than one is divided evenly.
function logTicks(low, high) {
  const decades = Math.log10(high) - Math.log10(low);
  return decades >= 1 && decades < 3 ? "D2" : undefined;
}

const categories = (one, among) =>
  [...new Set(among.map((run) => one.cells[run.index]).filter((cell) => cell !== null))].sort(
    one.numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true }),
  );

function colouring(key, among = runs) {
  const by = key ? column(key) : null;
  if (!by) return (run) => tint(run.index);
  if (!by.numeric) {
    const kinds = categories(by, runs);
    return (run) => (by.cells[run.index] === null ? GREY : tint(kinds.indexOf(by.cells[run.index])));
  }
  const within = scaleOf(by, among);
  return (run) => {
    const share = within.place(by.cells[run.index]);
    return share === null ? GREY : ramp(Math.max(0, Math.min(1, share)));
  };
}

// People vary params by factors more often than they measure metrics that differ by them.
const scaleOf = (one, among) =>
  scale(
    among.map((run) => one.cells[run.index]),
    one.group === "params" ? 10 : 50,
  );

let inkOf = colouring("");

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function layout(more = {}) {
  const axis = {
    gridcolor: ink("--grid"),
    zerolinecolor: ink("--line"),
    linecolor: ink("--line"),
    tickfont: { color: ink("--muted"), size: 11 },
    title: { font: { size: 12 } },
    automargin: true,
    exponentformat: "power",
    nticks: 7,
  };
  const { xaxis = {}, yaxis = {}, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("--muted"), activecolor: ink("--accent") },
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink("--muted"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 48, r: 14, t: 8, b: 36 },
    hovermode: "closest",
    hoverdistance: 30,
    showlegend: false,
    dragmode: "zoom",
    hoverlabel: {
      bgcolor: ink("--card"),
      bordercolor: ink("--line"),
      font: { color: ink("--text"), size: 12 },
      align: "left",
    },
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
    ...rest,
  };
}

const PLOT = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function plot(box, traces, how) {
  Plotly.react(box, traces, how, PLOT);
  if (box.dataset.hovers) return;
  box.dataset.hovers = "1";
  box.on("plotly_hover", (event) => highlight(event.points[0].data.meta ?? event.points[0].customdata ?? null));
  box.on("plotly_unhover", () => highlight(null));
}

// Brings one run forward everywhere; done on what is drawn already, so that it is quick with any number of runs.
function highlight(index) {
  for (const row of document.querySelectorAll("tbody tr"))
    row.classList.toggle("lit", row.dataset.run === String(index));
  for (const box of document.querySelectorAll(".plot, .parallel")) {
    let found = false;
    for (const line of box.querySelectorAll(".scatterlayer .trace, path.run")) {
      const of = line.dataset.run ?? line.__data__?.[0]?.trace?.meta;
      const lit = index !== null && String(of) === String(index);
      line.classList.toggle("lit", lit);
      found = found || lit;
    }
    box.classList.toggle("quiet", found);
  }
}

// A section draws itself when it comes near the window, and again when something that it shows has changed.
function section(id, title, parent, kinds, draw) {
  const controls = element("div", { className: "controls" });
  const body = element("div", { className: "body" });
  const box = element(
    "section",
    { id },
    element("div", { className: "head" }, element("h2", { textContent: title }), controls),
    body,
  );
  parent.append(box);
  document.getElementById("nav").append(element("a", { href: `#${id}`, textContent: title }));
  let near = false,
    stale = true,
    waiting = false;
  const redraw = () => {
    stale = true;
    if (!near || waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      stale = false;
      draw(body);
    });
  };
  new IntersectionObserver(
    (seen) => {
      near = seen[seen.length - 1].isIntersecting;
      if (near && stale) redraw();
    },
    { rootMargin: "500px" },
  ).observe(box);
  addEventListener("beforeprint", () => {
    if (stale) {
      stale = false;
      draw(body);
    }
  });
  on(kinds, redraw);
  return { controls, body, redraw };
}
