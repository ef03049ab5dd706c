// Puts the page together.

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  changed("theme");
}

function drawShown() {
  const count = shownRuns().length;
  document.getElementById("shown").textContent =
    count === runs.length ? counted(count, "run") : `${count} of ${counted(runs.length, "run")} shown`;
}

function colourPicker() {
  const select = document.getElementById("colour");
  select.append(element("option", { value: "", textContent: "run" }));
  for (const [group, title] of Object.entries(GROUPS)) {
    const found = inGroup(group).filter((one) => one.differs);
    if (found.length)
      select.append(
        element(
          "optgroup",
          { label: title },
          ...found.map((one) => element("option", { value: one.key, textContent: shortened(one.name, 40) })),
        ),
      );
  }
  select.addEventListener("change", () => {
    choice.colour = select.value;
    changed("colour");
  });
}

function metricPicker() {
  const metrics = inGroup("metrics").filter((one) => one.numeric);
  return element(
    "label",
    { className: "field" },
    "Metric",
    picker(choices(metrics), choice.metric, (key) => {
      choice.metric = key;
      changed("metric");
    }),
  );
}

function build() {
  const page = document.getElementById("page");
  on("runs colour metric", () => {
    inkOf = colouring(choice.colour, shownRuns());
    drawShown();
    paintRows();
  });
  const table = section("table", "Runs", page, "table", drawTable);
  table.controls.append(filterBox(), differencesSwitch(), valuesSwitch(), columnsMenu(), ...checkButtons());
  const charts = section("curves", "Curves", page, "runs colour theme curves", drawCurves);
  charts.controls.append(...curveControls());
  const lines = section("parallel", "Parallel coordinates", page, "runs colour metric axes theme", drawParallel);
  lines.controls.append(metricPicker(), axesMenu());
  const pair = element("div", { className: "pair" });
  page.append(pair);
  relationControls(section("relations", "Scatter", pair, "runs colour metric theme relations", drawRelations).controls);
  section("importance", "Importance", pair, "runs metric", drawImportance);
}

addEventListener(
  "resize",
  debounced(() => changed("axes")),
);
document
  .getElementById("theme")
  .addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
colourPicker();
build();
drawShown();
