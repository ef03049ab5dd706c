// Small helpers: elements, numbers as text, and text that plotly shows as it is.

const pen = document.createElement("canvas").getContext("2d");

function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value, digits = 5) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return Number(value.toPrecision(digits)).toExponential().replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

function shown(cell) {
  return cell === null ? "–" : typeof cell === "number" ? number(cell) : cell;
}

// Plotly reads its texts as a kind of HTML.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// A long text keeps its beginning and its end: names made by machines often differ there.
function cut(letters, kept) {
  return `${letters.slice(0, Math.ceil(kept / 2)).join("")}…${letters.slice(letters.length - Math.floor(kept / 2)).join("")}`;
}

function shortened(text, limit) {
  const letters = Array.from(String(text));
  return letters.length <= limit ? String(text) : cut(letters, limit - 1);
}

// Shortens a text to so many pixels.
function fitted(text, room, font = "11px system-ui, sans-serif") {
  const letters = Array.from(String(text));
  pen.font = font;
  if (pen.measureText(String(text)).width <= room) return String(text);
  let kept = Math.min(letters.length - 1, Math.ceil(room / 2));
  while (kept > 2 && pen.measureText(cut(letters, kept)).width > room) kept -= 1;
  return cut(letters, kept);
}

// Whether a value has a place on an axis: plotly's, which reach a little beyond their values, end before doubles do.
const placeable = (value) =>
  value !== null && (typeof value !== "number" || (Number.isFinite(value) && Math.abs(value) < 1e306));

const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function debounced(call, wait = 120) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, wait);
  };
}

function picker(options, value, pick) {
  const made = element("select");
  for (const one of options) made.append(element("option", { value: one.value, textContent: shortened(one.text, 44) }));
  made.value = value ?? "";
  made.addEventListener("change", () => pick(made.value));
  return made;
}

const choices = (found) => found.map((one) => ({ value: one.key, text: one.name }));

function segments(options, value, pick) {
  const made = element("span", { className: "segments" });
  for (const [key, text] of options) {
    const button = element("button", { textContent: text, "aria-pressed": String(key === value) });
    button.addEventListener("click", () => {
      for (const other of made.children) other.setAttribute("aria-pressed", String(other === button));
      pick(key);
    });
    made.append(button);
  }
  return made;
}

function tip(text, event) {
  const box = document.getElementById("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)}px`;
}
