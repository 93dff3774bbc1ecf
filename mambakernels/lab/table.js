// The table of environments: a row is chosen with the mouse or, as a group of radio buttons, with the keyboard.
const COLUMNS = [
  ["name", "Environment"], ["blas", "BLAS"], ["size", "Size"], ["kernels", "Kernels"], ["state", "State"],
  ["findings", "Doctor"],
];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function set(node, text, title, mood) {
  if (node.textContent !== text) node.textContent = text;
  if (node.title !== title) node.title = title;
  node.dataset.mood = mood;
}

// JupyterLab asks the server once a minute which kernels there are; the launcher shows a new one at once if it is asked now.
function refreshKernels(model) {
  model.widget_manager?.context?.sessionContext?.specsManager?.refreshSpecs?.();
}

function render({ model, el }) {
  const group = `mambakernels-${Math.random().toString(36).slice(2)}`;
  const rows = new Map();
  const counts = element("span");
  const news = element("span", { role: "status" });
  const again = element("button", { type: "button", class: "jupyter-button", title: "Read all of it again" }, "Look again");
  const head = element("tr", {}, ...COLUMNS.map(([key, title]) => element("th", { scope: "col", class: key }, title)));
  const body = element("tbody");
  const empty = element("p", { class: "empty" });
  const table = element("table", { "aria-label": "Environments and their kernels" }, element("thead", {}, head), body);
  el.classList.add("mbk-table");
  el.append(
    element("div", { class: "line" }, counts, news, again),
    element("div", { class: "scroll" }, table, empty),
  );

  function make(row) {
    const input = element("input", { type: "radio", name: group, value: row.key });
    const name = element("span");
    const cells = { name };
    const line = element("tr", {}, element("th", { scope: "row" }, element("label", {}, input, name)));
    for (const [key] of COLUMNS.slice(1)) line.append((cells[key] = element("td")));
    input.addEventListener("change", () => choose(row.key));
    line.addEventListener("click", () => { input.focus(); choose(row.key); });
    return { line, input, cells };
  }

  function choose(key) {
    if (model.get("selected") === key) return;
    model.set("selected", key);
    model.save_changes();
  }

  function draw() {
    const wanted = model.get("rows");
    const keys = new Set(wanted.map((row) => row.key));
    for (const [key, { line }] of rows) if (!keys.has(key)) { line.remove(); rows.delete(key); }
    wanted.forEach((row, index) => {
      if (!rows.has(row.key)) rows.set(row.key, make(row));
      const { line, cells } = rows.get(row.key);
      if (body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
      for (const [key] of COLUMNS) set(cells[key], row[key], row[`${key}_title`] ?? row[key], row[`${key}_mood`] ?? "");
    });
    empty.textContent = wanted.length ? "" : model.get("empty");
    table.hidden = !wanted.length;
    mark();
  }

  function mark() {
    for (const [key, { line, input }] of rows) {
      input.checked = key === model.get("selected");
      line.classList.toggle("chosen", input.checked);
    }
  }

  function tell() {
    counts.textContent = model.get("counts");
    news.textContent = model.get("news");
    news.title = model.get("news");
  }

  again.addEventListener("click", () => model.send({ kind: "look" }));
  model.on("change:rows", draw);
  model.on("change:selected", mark);
  model.on("change:counts", tell);
  model.on("change:news", tell);
  model.on("change:generation", () => refreshKernels(model));
  draw();
  tell();
  model.send({ kind: "shown" });
  return () => model.send({ kind: "hidden" });
}

export default { render };
