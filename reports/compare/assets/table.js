// The table of runs: what differs comes first, a click on a row shows or hides its run everywhere.

const sorting = { key: null, down: false };
const GROUPS = {
  params: "Params",
  metrics: "Metrics",
  datasets: "Datasets",
  code: "Code",
  environment: "Environment",
  run: "Run",
  tags: "Tags",
};

function tableColumns() {
  const wanted = columns.filter((one) => !choice.hidden.has(one.key) && (one.differs || !choice.onlyDifferences));
  return Object.keys(GROUPS).flatMap((group) => wanted.filter((one) => one.group === group));
}

function ordered(found) {
  const by = sorting.key === "name" ? { numeric: false, cells: runs.map((run) => run.name) } : column(sorting.key);
  if (!by) return found;
  const rank = (cell) => (cell === null ? 2 : Number.isNaN(cell) ? 1 : 0);
  return [...found].sort((a, b) => {
    const one = by.cells[a.index],
      other = by.cells[b.index];
    if (rank(one) || rank(other)) return rank(one) - rank(other);
    const order = by.numeric
      ? one < other
        ? -1
        : one > other
          ? 1
          : 0
      : String(one).localeCompare(String(other), undefined, { numeric: true });
    return sorting.down ? -order : order;
  });
}

function cellOf(run, one, place) {
  const cell = one.cells[run.index];
  const made = element("td", {
    textContent: shown(cell),
    title: typeof cell === "number" ? String(cell) : (cell ?? "not there"),
  });
  if (one.numeric) made.classList.add("number");
  if (cell === null) made.classList.add("missing");
  else if (typeof cell === "number" && !Number.isFinite(cell)) made.classList.add("odd");
  if (one.key === "run.status") made.classList.add("status", cell);
  const share = place && place(cell);
  if (share !== null && share !== undefined) {
    made.classList.add("bar");
    made.style.setProperty("--share", share);
  }
  return made;
}

function rowOf(run, wanted, places) {
  const row = element("tr", { tabIndex: 0 });
  row.dataset.run = run.index;
  row.append(
    element(
      "td",
      { title: `${run.name}\n${run.id}\nClick: show or hide. Shift-click: this one alone.` },
      element(
        "div",
        { className: "named" },
        element("span", { className: "dot" }),
        element("span", { className: "text", textContent: run.name }),
        element("span", { className: "id", textContent: run.id.slice(-6) }),
      ),
    ),
  );
  wanted.forEach((one, i) => {
    const cell = cellOf(run, one, places[i]);
    if (i === 0 || wanted[i - 1].group !== one.group) cell.classList.add("first");
    row.append(cell);
  });
  const toggle = (alone) => {
    if (alone) for (const other of runs) other.checked = other === run;
    else run.checked = !run.checked;
    changed("runs");
  };
  row.addEventListener("click", (event) => toggle(event.shiftKey));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle(event.shiftKey);
    }
  });
  row.addEventListener("mouseenter", () => highlight(run.index));
  row.addEventListener("mouseleave", () => highlight(null));
  return row;
}

function heading(text, key, className) {
  const made = element("th", { className, title: text, tabIndex: 0, scope: "col" }, text);
  if (sorting.key === key) made.append(element("span", { className: "arrow", textContent: sorting.down ? "↓" : "↑" }));
  made.setAttribute("aria-sort", sorting.key === key ? (sorting.down ? "descending" : "ascending") : "none");
  const sort = () => {
    if (sorting.key !== key) Object.assign(sorting, { key, down: false });
    else if (!sorting.down) sorting.down = true;
    else sorting.key = null;
    changed("table");
  };
  made.addEventListener("click", sort);
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter") sort();
  });
  return made;
}

function headOf(wanted) {
  const groups = element("tr", { className: "groups" }, element("th", { textContent: "" }));
  const names = element("tr", { className: "names" }, heading("Run", "name", ""));
  wanted.forEach((one, i) => {
    const first = i === 0 || wanted[i - 1].group !== one.group;
    if (first)
      groups.append(
        element("th", {
          className: "first",
          colSpan: wanted.filter((other) => other.group === one.group).length,
          textContent: GROUPS[one.group],
        }),
      );
    names.append(heading(one.name, one.key, [one.numeric ? "number" : "", first ? "first" : ""].join(" ")));
  });
  return element("thead", {}, groups, names);
}

function drawTable(body) {
  const wanted = tableColumns();
  const places = wanted.map((one) =>
    one.group === "metrics" && one.numeric && one.differs ? scale(one.cells).place : null,
  );
  const rows = ordered(runs.filter((run) => run.matches)).map((run) => rowOf(run, wanted, places));
  const old = body.querySelector(".tablebox");
  const box = element(
    "div",
    { className: "tablebox" },
    element("table", {}, headOf(wanted), element("tbody", {}, ...rows)),
  );
  const [left, top] = old ? [old.scrollLeft, old.scrollTop] : [0, 0];
  body.replaceChildren(box);
  if (!rows.length) box.append(element("div", { className: "empty", textContent: "No run matches the filter." }));
  [box.scrollLeft, box.scrollTop] = [left, top];
  paintRows();
}

function paintRows() {
  for (const row of document.querySelectorAll("tbody tr")) {
    const run = runs[row.dataset.run];
    row.classList.toggle("off", !run.checked);
    row.setAttribute("aria-selected", String(run.checked));
    row.style.setProperty("--ink", inkOf(run));
  }
}
