// What goes on: a sentence that screen readers say, a bar, the line of Python, and a log.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const status = element("div", { class: "status", role: "status", tabindex: "0" });
  const bar = element("progress", { "aria-label": "Progress", max: "1" });
  const code = element("code", { tabindex: "0", "aria-label": "The line of Python that does the same" });
  const copy = element("button", { type: "button", class: "jupyter-button", title: "Copy the line" }, "Copy");
  const cancel = element("button", { type: "button", class: "jupyter-button", title: "Stop it; nothing half-made is left" }, "Cancel");
  const log = element("pre", { role: "log", tabindex: "0", "aria-label": "Log" });
  el.classList.add("mbk-activity");
  el.append(
    element("div", { class: "line" }, status, cancel),
    bar,
    element("div", { class: "line" }, element("span", {}, "In Python"), code, copy),
    log,
  );

  function drawStatus() {
    status.dataset.kind = model.get("kind");
    status.replaceChildren(...model.get("status").map((text) => element("div", {}, text)));
  }
  function drawBar() {
    const working = model.get("kind") === "working";
    bar.style.visibility = working ? "visible" : "hidden";
    const part = model.get("part");
    if (part < 0) bar.removeAttribute("value");
    else bar.value = part;
  }
  function drawCancel() {
    cancel.disabled = !model.get("stoppable");
  }
  function drawCode() {
    code.textContent = model.get("code");
    code.title = model.get("code");
    copy.disabled = !model.get("code").startsWith("mambakernels.");
  }
  function drawLog() {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 20;
    log.textContent = model.get("log").join("\n");
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
  cancel.addEventListener("click", () => model.send({ kind: "cancel" }));
  copy.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    if (!navigator.clipboard) return; // over plain HTTP: what is selected can be copied with the keyboard
    await navigator.clipboard.writeText(model.get("code"));
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  for (const [name, draw] of [["status", drawStatus], ["kind", drawStatus], ["kind", drawBar], ["part", drawBar],
    ["stoppable", drawCancel], ["code", drawCode], ["log", drawLog]]) model.on(`change:${name}`, draw);
  drawStatus();
  drawBar();
  drawCancel();
  drawCode();
  drawLog();
}

export default { render };
