// What stands above the table: filter, switches and the menu of columns.

// Words must all occur in a run's name, id or values; `accuracy>0.9` compares a column.
function matcher(text) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const found = /^(.+?)(>=|<=|!=|=|>|<)(.+)$/.exec(word);
      const by =
        found &&
        columns.find(
          (one) =>
            one.name.toLowerCase() === found[1].toLowerCase() || one.key.toLowerCase() === found[1].toLowerCase(),
        );
      return by ? comparing(by, found[2], found[3]) : (run) => run.text.includes(word.toLowerCase());
    });
  return (run) => tests.every((test) => test(run));
}

function comparing(by, sign, text) {
  const wanted = by.numeric ? Number(text) : text.toLowerCase();
  return (run) => {
    const cell = by.numeric ? by.cells[run.index] : (by.cells[run.index]?.toLowerCase() ?? null);
    if (cell === null) return sign === "!=";
    return {
      ">": cell > wanted,
      "<": cell < wanted,
      ">=": cell >= wanted,
      "<=": cell <= wanted,
      "=": cell === wanted,
      "!=": cell !== wanted,
    }[sign];
  };
}

function filterBox() {
  for (const run of runs)
    run.text = [run.name, run.id, ...columns.map((one) => shown(one.cells[run.index]))].join("\n").toLowerCase();
  const box = element("input", {
    type: "search",
    id: "filter",
    placeholder: "Filter runs: relu accuracy>0.9",
    title: "Words that occur in the run, or a column compared with a value",
  });
  box.addEventListener(
    "input",
    debounced(() => {
      const matches = matcher(box.value);
      for (const run of runs) run.matches = matches(run);
      changed("table");
      changed("runs");
    }),
  );
  return box;
}

function differencesSwitch() {
  const same = columns.filter((one) => !one.differs).length;
  const box = element("input", { type: "checkbox", id: "differences", checked: choice.onlyDifferences });
  box.addEventListener("change", () => {
    choice.onlyDifferences = box.checked;
    changed("table");
  });
  return element(
    "label",
    { className: "field" },
    box,
    `Differences only (${same} of ${columns.length} columns are the same)`,
  );
}

function valuesSwitch() {
  return segments(
    [
      ["last", "Last"],
      ["lows", "Lowest"],
      ["highs", "Highest"],
    ],
    "last",
    (which) => {
      choice.value = which;
      showValues(which);
      changed("table");
      changed("metric");
    },
  );
}

function columnsMenu() {
  const list = element("div", {});
  const search = element("input", { type: "search", placeholder: "Search columns" });
  const labels = columns.map((one) => {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) choice.hidden.delete(one.key);
      else choice.hidden.add(one.key);
      changed("table");
    });
    return element("label", {}, box, one.name);
  });
  for (const [group, title] of Object.entries(GROUPS)) {
    const found = labels.filter((_, i) => columns[i].group === group);
    if (found.length) list.append(element("h3", { textContent: title }), ...found);
  }
  search.addEventListener("input", () =>
    labels.forEach((label, i) => {
      label.hidden = !columns[i].key.toLowerCase().includes(search.value.toLowerCase());
      label.style.display = label.hidden ? "none" : "";
    }),
  );
  return popover("Columns", search, list);
}

function popover(title, ...content) {
  const panel = element("div", { hidden: true }, ...content);
  const button = element("button", { textContent: `${title} ▾`, "aria-expanded": "false" });
  const box = element("span", { className: "popover" }, button, panel);
  const show = (open) => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => show(panel.hidden));
  document.addEventListener("click", (event) => {
    if (!box.contains(event.target)) show(false);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(false);
  });
  return box;
}

function checkButtons() {
  const set = (text, of) => {
    const made = element("button", { textContent: text });
    made.addEventListener("click", () => {
      for (const run of runs) run.checked = of(run);
      changed("runs");
    });
    return made;
  };
  return [set("Show all", () => true), set("Invert", (run) => !run.checked)];
}
