/* The crosshair: values by pointer and by keys, zoom by dragging and by keys. */

/* The values under the crosshair. */
function point(at, chosen, pointer) {
  view.at = at;
  const { periods: list, unit } = view.drawn, period = list[at], lines = [];
  for (const each of panels) {
    const x = each.x(at), nodes = [draw("line", { class: "cross", x1: x, x2: x, y1: each.plot.top - 6, y2: each.plot.bottom })];
    for (const emotion of view.emotions) {
      const value = seriesOf(each.group, emotion)[view.measure][at];
      if (value !== null && value !== undefined) nodes.push(draw("circle", { cx: x, cy: each.y(value), r: 4, fill: colour(emotion), class: "ring" }));
    }
    each.over.replaceChildren(...nodes);
  }
  const { group, plot, x } = chosen || panels[0], readout = $("readout"), rows = [];
  const valued = view.emotions.map((emotion) => ({ emotion, series: seriesOf(group, emotion) })).map(({ emotion, series }) => ({ emotion, value: series[view.measure][at], low: series.low[at], high: series.high[at], count: series.count[at] }));
  valued.sort((one, other) => (other.value ?? -1) - (one.value ?? -1));
  for (const { emotion, value, low, high, count } of valued.slice(0, 14)) {
    const said = value === null || value === undefined ? "–" : view.measure === "share" ? percent(value) : score(value);
    const more = value === null || value === undefined ? "" : view.measure === "share" ? percent(low) + " to " + percent(high) : "";
    rows.push(make("tr", "", make("td", "", swatch(emotion)), make("th", "", emotion), make("td", "number strong", said), make("td", "number quiet", more), make("td", "number quiet", count === undefined ? "" : posts(count))));
    if (value !== null && value !== undefined) lines.push(emotion + " " + said + (view.measure === "share" ? ", " + plural(count, "post") : ""));
  }
  const few = group.labelled[at] || 0, name = when(period, unit) + (panels.length > 1 ? " · " + group.name : "");
  readout.replaceChildren(make("p", "", make("b", "", name), (period.complete ? "" : " · incomplete") + " · " + plural(few, "labelled post")), make("table", "", make("tbody", "", ...rows)),
    ...(valued.length > 14 ? [make("p", "quiet", "and " + (valued.length - 14) + " more")] : []));
  readout.hidden = false;
  const host = $("panels"), floating = host.clientWidth >= 620 && panels.length === 1;
  readout.classList.toggle("floating", floating);
  if (floating) {
    const left = x(at) > (plot.left + plot.right) / 2 ? x(at) - readout.offsetWidth - 18 : x(at) + 18;
    readout.style.left = host.offsetLeft + Math.max(0, left) + "px";
    readout.style.top = host.offsetTop + 18 + "px";
  } else { readout.style.left = readout.style.top = ""; }
  host.setAttribute("aria-valuenow", at - view.from + 1);
  host.setAttribute("aria-valuetext", name + (period.complete ? "" : ", incomplete") + ": " + (few ? lines.join("; ") : "no labelled posts"));
  if (!pointer) return;
  let nearest = null;
  for (const { emotion, value } of valued) {
    if (value === null || value === undefined) continue;
    const away = Math.abs((chosen || panels[0]).y(value) - pointer);
    if (away < 14 && (!nearest || away < nearest.away)) nearest = { emotion, away };
  }
  highlight(nearest ? nearest.emotion : null);
}
function leave() {
  view.at = null;
  for (const { over } of panels) over.replaceChildren();
  $("readout").hidden = true;
  highlight(null);
}
function highlight(emotion) {
  $("panels").classList.toggle("focused", emotion !== null);
  for (const node of $("panels").querySelectorAll("[data-emotion]")) node.classList.toggle("on", node.dataset.emotion === emotion);
}

/* A slider to screen readers: they say its value whenever an arrow key moves it. */
function steer(host) {
  const many = view.to - view.from, words = view.measure === "share" ? "share of posts" : "mean score";
  if (!panels.length) {
    host.removeAttribute("tabindex");
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", "Emotions by " + words + ": " + view.emotions.map((emotion) => emotion + " " + (view.measure === "share" ? percent(seriesOf(drawnGroups()[0], emotion).share[view.from]) : score(seriesOf(drawnGroups()[0], emotion).mean[view.from]))).join(", "));
    for (const name of ["aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"]) host.removeAttribute(name);
    return;
  }
  host.tabIndex = 0;
  host.setAttribute("role", "slider");
  host.setAttribute("aria-label", "Chart: " + words + " over time for " + (view.emotions.join(", ") || "no emotion") + ". Arrow keys read the values; plus and minus zoom; the table below has all figures.");
  host.setAttribute("aria-valuemin", 1);
  host.setAttribute("aria-valuemax", many);
  host.setAttribute("aria-valuenow", many);
  host.setAttribute("aria-valuetext", plural(many, view.drawn.unit) + ", " + span(view.drawn.periods[view.from].clock, view.drawn.periods[view.to - 1].clockEnd));
}
function startSteering() {
  const host = $("panels");
  let drag = null, due = null;
  const over = (event) => panels.find(({ svg }) => svg === event.target.closest("svg.plot"));
  const index = (panel, event) => {
    const box = panel.svg.getBoundingClientRect(), time = panel.first + (event.clientX - box.left - panel.plot.left) / (panel.plot.right - panel.plot.left) * (panel.end - panel.first);
    const list = view.drawn.periods;
    let [low, high] = [view.from, view.to - 1];
    while (low < high) { const middle = (low + high) >> 1; if (list[middle].end <= time) low = middle + 1; else high = middle; }
    return low;
  };
  host.addEventListener("pointermove", (event) => {
    const panel = drag ? drag.panel : over(event);
    if (!panel) return;
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => {
      if (!panels.includes(panel)) return;
      const at = index(panel, event);
      point(at, panel, event.clientY - panel.svg.getBoundingClientRect().top);
      if (drag && Math.abs(event.clientX - drag.x) > 6) {
        const [from, to] = [Math.min(drag.at, at), Math.max(drag.at, at) + 1], list = view.drawn.periods;
        panel.over.prepend(draw("rect", { class: "brush", x: panel.at(list[from].start), y: panel.plot.top, width: panel.at(list[to - 1].end) - panel.at(list[from].start), height: panel.plot.bottom - panel.plot.top }));
      }
    });
  });
  host.addEventListener("pointerdown", (event) => {
    const panel = over(event);
    if (panel && event.button === 0 && event.pointerType !== "touch") drag = { panel, x: event.clientX, at: index(panel, event) };
  });
  window.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { panel, x, at } = drag;
    drag = null;
    if (Math.abs(event.clientX - x) <= 6 || !panels.includes(panel)) return;
    cancelAnimationFrame(due);
    const other = index(panel, event);
    setRange(...base(Math.min(at, other), Math.max(at, other) + 1));
  });
  host.addEventListener("pointerleave", () => { if (!drag) { cancelAnimationFrame(due); leave(); } });
  host.addEventListener("dblclick", () => setRange(0, periods.length));
  host.addEventListener("blur", leave);
  host.addEventListener("keydown", (event) => {
    if (!panels.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const here = view.at === null ? null : view.at, step = event.key === "ArrowLeft" || event.key === "ArrowDown" ? -1 : 1;
    const go = (at) => { highlight(null); point(Math.min(view.to - 1, Math.max(view.from, at)), panels[0]); };
    const shift = Math.max(1, Math.round((view.baseTo - view.baseFrom) / 4)) * step;
    if (/^Arrow/.test(event.key) && event.shiftKey) {
      const by = Math.max(-view.baseFrom, Math.min(periods.length - view.baseTo, shift));
      setRange(view.baseFrom + by, view.baseTo + by);
    } else if (/^Arrow/.test(event.key)) go(here === null ? (step > 0 ? view.from : view.to - 1) : here + step);
    else if (event.key === "PageUp" || event.key === "PageDown") go((here ?? view.from) + (event.key === "PageUp" ? 10 : -10));
    else if (event.key === "Home") go(view.from);
    else if (event.key === "End") go(view.to - 1);
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-" || event.key === "−") zoom(2);
    else if (event.key === "Escape" || event.key === "0") { if (zoomed()) setRange(0, periods.length); else leave(); }
    else return;
    event.preventDefault();
  });
  $("zoom-in").addEventListener("click", () => zoom(0.5));
  $("zoom-out").addEventListener("click", () => zoom(2));
  $("zoom-reset").addEventListener("click", () => setRange(0, periods.length));
}
