/* What is shown, and the controls that change it. The state is in the address after #, so that a view can be passed on. */
const PATIENCE_FOR_POINTS = 420;
/* More panels than these are a wall; the others are in the list. */
const SIDE_BY_SIDE = 9;
const view = { measure: "share", group: groups.length > 1 ? -2 : 0, unit: "auto", emotions: [], baseFrom: 0, baseTo: periods.length, at: null, drawn: null, from: 0, to: 0 };
/* The group that is shown: its place, -1 for all together, -2 for all side by side. */
let panels = [];

function startingEmotions() {
  if (periods.length === 1) return [...answer.emotions];
  if (answer.emotions.length <= 6 || (answer.asked.emotions || []).length && answer.emotions.length <= COLOURS) return [...ranked];
  return ranked.slice(0, 5);
}
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const emotions = (given.get("emotions") || "").split(",").filter((emotion) => answer.emotions.includes(emotion));
  view.emotions = given.has("emotions") ? emotions : startingEmotions();
  view.measure = given.get("measure") === "mean" ? "mean" : "share";
  view.unit = UNITS.includes(given.get("unit")) && UNITS.indexOf(given.get("unit")) >= UNITS.indexOf(answer.asked.by) ? given.get("unit") : "auto";
  const group = Number(given.get("group"));
  if (given.has("group") && Number.isInteger(group) && group >= -2 && group < groups.length && groups.length > 1) view.group = group;
  const place = (name, otherwise) => { const at = Number(given.get(name)); return given.has(name) && Number.isInteger(at) ? Math.min(periods.length, Math.max(0, at)) : otherwise; };
  [view.baseFrom, view.baseTo] = [place("from", 0), place("to", periods.length)];
  if (view.baseTo <= view.baseFrom) [view.baseFrom, view.baseTo] = [0, periods.length];
  const theme = given.get("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
function writeAddress() {
  const parts = new URLSearchParams();
  if (view.emotions.join() !== startingEmotions().join()) parts.set("emotions", view.emotions.join(","));
  if (view.measure !== "share") parts.set("measure", view.measure);
  if (view.unit !== "auto") parts.set("unit", view.unit);
  if (groups.length > 1 && view.group !== -2) parts.set("group", view.group);
  if (zoomed()) { parts.set("from", view.baseFrom); parts.set("to", view.baseTo); }
  if (document.documentElement.dataset.theme) parts.set("theme", document.documentElement.dataset.theme);
  // Some viewers give a page an address that must not change; then it does not.
  try { history.replaceState(null, "", "#" + parts); } catch { /* the view is only not in the address */ }
}
const zoomed = () => view.baseFrom > 0 || view.baseTo < periods.length;
const tell = (text) => { $("told").textContent = text; };

/* Which groups are drawn. */
function drawnGroups() {
  const given = view.group === -2 ? groups.slice(0, SIDE_BY_SIDE) : [view.group === -1 ? whole : groups[view.group] || whole];
  return given.map((group) => view.drawn.of(group));
}
/* Longer periods while there are more of them than a line can show. */
function chooseUnit() {
  const asked = UNITS.indexOf(answer.asked.by);
  let unit = view.unit;
  if (unit === "auto") {
    const count = view.baseTo - view.baseFrom;
    unit = answer.asked.by;
    if (count > PATIENCE_FOR_POINTS) unit = answer.asked.by === "hour" && count / 24 <= PATIENCE_FOR_POINTS ? "day" : UNITS[Math.min(2, asked + 1 + (answer.asked.by === "hour" ? 1 : 0))];
  }
  view.drawn = drawnBy(asked < 0 ? answer.asked.by : unit);
  const [start, end] = [periods[view.baseFrom].start, periods[view.baseTo - 1].end], list = view.drawn.periods;
  view.from = Math.max(0, list.findIndex((period) => period.end > start));
  view.to = list.findLastIndex((period) => period.start < end) + 1;
}

function drawTrend() {
  chooseUnit();
  const host = $("panels"), shown = drawnGroups(), width = host.clientWidth, alone = shown.length === 1;
  if (!width) return;
  view.at = null;
  $("readout").hidden = true;
  const single = view.to - view.from === 1, top = ceiling(view, shown);
  const columns = alone || width < 560 ? 1 : width < 900 || shown.length === 2 ? 2 : 3;
  const each = (width - 28 * (columns - 1)) / columns;
  host.classList.remove("focused");
  host.style.setProperty("--columns", columns);
  if (single && alone) {
    panels = [];
    host.replaceChildren(ranking(shown[0], view, width));
  } else {
    const height = alone ? Math.round(Math.min(470, Math.max(300, width * 0.44))) : 230;
    panels = shown.map((group) => panel(group, view, { width: each, height, labels: alone, top, title: alone ? null : group.name }));
    host.replaceChildren(...panels.map(({ host }) => host));
  }
  steer(host);
  const unit = view.drawn.unit, list = view.drawn.periods, count = list.slice(view.from, view.to);
  $("range").textContent = span(count[0].clock, count[count.length - 1].clockEnd) + " · " + plural(view.to - view.from, unit) + (unit === answer.asked.by ? "" : " (the query’s hours, added up; zoom in to see them)".replace("hours", answer.asked.by + "s")) + " · " + plural(count.reduce((sum, { labelled }) => sum + labelled, 0), "labelled post");
  const legend = [];
  if (view.measure === "share") legend.push(single ? "Bars: 95 % interval." : "Bands: 95 % interval.");
  if (count.some(({ complete }) => !complete)) legend.push(single ? "This period is incomplete." : "Hatched and dotted: incomplete " + (count.filter(({ complete }) => !complete).length === 1 ? unit : unit + "s") + ".");
  if (count.some(({ labelled }) => !labelled)) legend.push("Gaps: no labelled posts.");
  if (!single && view.emotions.length < answer.emotions.length && view.emotions.length) legend.push("Grey: the emotions not chosen, for comparison; those above the axis are cut.");
  if (!alone) legend.push("One scale for all." + (groups.length > SIDE_BY_SIDE ? " The " + SIDE_BY_SIDE + " largest of " + groups.length + " groups; choose others above." : ""));
  if (unknown) legend.push("The archive does not say which periods are complete.");
  $("legend").textContent = legend.join(" ");
  $("zoom-reset").disabled = !zoomed();
  $("zoom-out").disabled = !zoomed();
  $("zoom-in").disabled = view.baseTo - view.baseFrom <= 2;
  for (const chip of $("chips").children) if (chip.dataset.emotion) chip.setAttribute("aria-pressed", String(view.emotions.includes(chip.dataset.emotion)));
  const some = view.emotions.length > 0;
  host.firstChild.hidden = false;
  if (!some) $("legend").textContent = "No emotion is chosen. " + $("legend").textContent;
}
function refresh({ table: filled = true } = {}) {
  drawTrend();
  if (filled) fillTable(view);
  writeAddress();
}

function setRange(from, to, said = true) {
  view.baseFrom = Math.max(0, Math.min(periods.length - 1, from));
  view.baseTo = Math.max(view.baseFrom + 1, Math.min(periods.length, to));
  refresh();
  if (said) tell("Shown: " + $("range").textContent);
}
/* The base periods that drawn ones are made of. */
function base(from, to) {
  const list = view.drawn.periods, start = list[from].start, end = list[to - 1].end;
  return [periods.findIndex((period) => period.end > start), periods.findLastIndex((period) => period.start < end) + 1];
}
function zoom(factor) {
  const count = view.baseTo - view.baseFrom, wanted = Math.max(2, Math.round(count * factor));
  const middle = view.at === null ? (view.baseFrom + view.baseTo) / 2 : base(view.at, view.at + 1)[0] + 0.5;
  const part = (middle - view.baseFrom) / count, from = Math.round(middle - part * wanted);
  const start = Math.max(0, Math.min(periods.length - wanted, from));
  setRange(start, start + wanted);
}

/* The values under the crosshair. */
function point(at, chosen, pointer) {
  view.at = at;
  const { periods: list, unit } = view.drawn, period = list[at], lines = [];
  for (const each of panels) {
    const x = each.x(at), nodes = [draw("line", { class: "cross", x1: x, x2: x, y1: each.plot.top - 6, y2: each.plot.bottom })];
    for (const emotion of view.emotions) {
      const value = series_of(each.group, emotion)[view.measure][at];
      if (value !== null && value !== undefined) nodes.push(draw("circle", { cx: x, cy: each.y(value), r: 4, fill: colour(emotion), class: "ring" }));
    }
    each.over.replaceChildren(...nodes);
  }
  const { group, plot, x } = chosen || panels[0], readout = $("readout"), rows = [];
  const valued = view.emotions.map((emotion) => ({ emotion, series: series_of(group, emotion) })).map(({ emotion, series }) => ({ emotion, value: series[view.measure][at], low: series.low[at], high: series.high[at], count: series.count[at] }));
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
    host.setAttribute("aria-label", "Emotions by " + words + ": " + view.emotions.map((emotion) => emotion + " " + (view.measure === "share" ? percent(series_of(drawnGroups()[0], emotion).share[view.from]) : score(series_of(drawnGroups()[0], emotion).mean[view.from]))).join(", "));
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

function startControls() {
  for (const emotion of answer.emotions) {
    const chip = make("button", "chip", swatch(emotion), make("span", "", emotion));
    chip.type = "button";
    chip.dataset.emotion = emotion;
    chip.addEventListener("click", () => {
      view.emotions = view.emotions.includes(emotion) ? view.emotions.filter((other) => other !== emotion) : [...view.emotions, emotion];
      refresh();
      tell(emotion + (view.emotions.includes(emotion) ? " drawn" : " not drawn"));
    });
    for (const event of ["pointerenter", "focus"]) chip.addEventListener(event, () => { if (view.emotions.includes(emotion)) highlight(emotion); });
    for (const event of ["pointerleave", "blur"]) chip.addEventListener(event, () => highlight(null));
    $("chips").append(chip);
  }
  const sets = [["All", () => [...answer.emotions]], ["None", () => []], ["Most moved", () => ranked.slice(0, 5)]];
  if (answer.emotions.length > 1) for (const [name, pick] of sets.slice(0, answer.emotions.length > 6 ? 3 : 2)) {
    const button = make("button", "plain", name);
    button.type = "button";
    button.id = "pick-" + name.toLowerCase().replace(" ", "-");
    button.addEventListener("click", () => { view.emotions = pick(); refresh(); tell(plural(view.emotions.length, "emotion") + " drawn"); });
    $("chips").append(button);
  }
  for (const radio of document.getElementsByName("measure")) {
    radio.checked = radio.value === view.measure;
    radio.addEventListener("change", () => { view.measure = radio.value; refresh({ table: false }); });
  }
  if (groups.length > 1) {
    show("group-pick", true);
    for (const [place, name] of [[-2, "side by side"], [-1, "all together"], ...groups.map(({ name }, place) => [place, name])]) $("group").append(new Option(name, place, false, place === view.group));
    $("group").addEventListener("change", () => {
      view.group = Number($("group").value);
      heat.group = view.group >= 0 ? groups[view.group] : whole;
      if (!$("heat").hidden) drawHeat();
      refresh();
    });
  }
  const finest = UNITS.indexOf(answer.asked.by);
  if (finest >= 0 && finest < 2 && periods.length > 7) {
    show("unit-pick", true);
    for (const unit of ["auto", ...UNITS.slice(finest)]) $("unit").append(new Option(unit === "auto" ? "what fits" : unit, unit, false, unit === view.unit));
    $("unit").addEventListener("change", () => { view.unit = $("unit").value; refresh({ table: false }); });
  }
  $("table-all").addEventListener("change", () => fillTable(view));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const name = () => { $("theme").textContent = isDark() ? "Light" : "Dark"; $("theme").setAttribute("aria-label", "Show in " + (isDark() ? "light" : "dark") + " colours"); };
  $("theme").addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; name(); writeAddress(); });
  dark.addEventListener("change", name);
  name();
}

function moves() {
  // So many comparisons find something by chance: this many standard errors keep that below one in twenty, all in all.
  // An hour's posts are few; days tell more where there are some.
  const { periods: list, unit, of } = answer.asked.by === "hour" && periods.length >= 96 ? drawnBy("day") : view.drawn, group = of(whole), best = new Map();
  const wanted = Math.sqrt(2 * Math.log(20 * answer.emotions.length * Math.max(1, list.length - 1)));
  for (const emotion of answer.emotions) {
    const { share, count, change } = series_of(group, emotion);
    list.forEach(({ complete }, at) => {
      if (!at || !complete || !list[at - 1].complete || change[at] === null || change[at] === undefined) return;
      const side = emotion + (change[at] > 0 ? "+" : "-"), [one, other] = [shareOf(group, emotion)[at - 1], shareOf(group, emotion)[at]];
      const both = (count[at - 1] + count[at]) / (one + other), error = Math.sqrt(both * (1 - both) * (1 / one + 1 / other));
      if (Math.abs(change[at]) > wanted * error && !(Math.abs(best.get(side)?.change ?? 0) >= Math.abs(change[at]))) best.set(side, { emotion, at, change: change[at], from: share[at - 1], to: share[at] });
    });
  }
  const found = [...best.values()].sort((one, other) => Math.abs(other.change) - Math.abs(one.change));
  show("moves", list.length > 1);
  $("moves-note").textContent = found.length ? "From one " + unit + " to the next, each emotion once" + (groups.length > 1 ? ", all groups together" : "") + "; only moves that chance hardly explains, given how many were compared." : "No emotion moved from one " + unit + " to the next by more than chance may explain.";
  document.querySelector("#moves .pair").hidden = !found.length;
  for (const [id, up] of [["rises", true], ["falls", false]]) {
    const some = found.filter(({ change }) => change > 0 === up).slice(0, 3);
    $(id).replaceChildren(...(some.length ? some.map((move) => {
      const button = make("button", "move plain", make("span", "move-name", swatch(move.emotion), make("b", "", move.emotion)), make("span", "move-points", points(move.change)), make("small", "", percent(move.from) + " → " + percent(move.to) + " · " + when(list[move.at], unit)));
      button.type = "button";
      button.title = "Show it in the chart";
      button.addEventListener("click", () => {
        if (!view.emotions.includes(move.emotion)) view.emotions.push(move.emotion);
        if (groups.length > 1) { view.group = -1; $("group").value = "-1"; }
        const reach = { hour: 36 * HOUR, day: 14 * DAY, week: 12 * 7 * DAY }[unit] || 14 * DAY, { start, end } = list[move.at];
        setRange(periods.findIndex((period) => period.end > start - reach), periods.findLastIndex((period) => period.start < end + reach) + 1);
        $("panels").focus();
        const at = view.drawn.periods.findIndex((period) => period.end > start);
        if (at >= 0 && panels.length) point(at, panels[0]);
      });
      return make("li", "", button);
    }) : [make("li", "none", "none")]));
  }
}

function startPage() {
  const { asked, models, read } = answer, zone = asked.time_zone || "UTC";
  const range = periods.length ? span(periods[0].clock, periods[periods.length - 1].clockEnd) : span(moment(asked.from).clock, Math.max(moment(asked.to).clock, moment(asked.from).clock + 1));
  $("title").textContent = "How emotions moved, " + range;
  document.title = "Emotions, " + range.replaceAll("\u00a0", " ") + " – moodstream";
  const where = Object.entries(asked.where || {}).map(([name, values]) => name + " is " + [].concat(values).map((value) => value ?? "missing").join(" or "));
  $("asked").textContent = "By " + asked.by + ", " + zone + " time" + (asked.group_by && asked.group_by.length ? ", grouped by " + asked.group_by.join(" and ") : "") + (where.length ? "; only posts whose " + where.join(" and whose ") : "") + ". Archive: " + answer.archive;
  const figure = (name, value, more) => make("div", "", make("dt", "", name), make("dd", "", value), more ? make("dd", "sum", more) : null);
  $("figures").append(
    figure("Labelled posts", posts(labelledPosts), periods.length ? plural(periods.length, asked.by) : null),
    figure("Skipped", posts(skippedPosts), labelledPosts + skippedPosts ? percent(skippedPosts / (labelledPosts + skippedPosts)) + " of all; in no share" : null),
    figure("Emotions", posts(answer.emotions.length), groups.length > 1 ? plural(groups.length, "group") : null),
    figure(models.length === 1 ? "Model" : "Models", models.length ? models.map(({ id }) => id).join(", ") : "–", models.length === 1 ? models[0].hash.slice(0, 12) : models.length ? models.map((model) => posts(model.posts)).join(", ") + " posts" : null));
  const facts = [["Asked for", asked.from + " to " + asked.to], ["Read", plural(read.files, "file") + ", " + plural(read.row_groups, "row group") + ", " + plural(read.rows, "row") + (read.from_rollup ? ", from the hourly roll-up" : "") + ", in " + formats[1].format(read.seconds) + " s"],
    ...models.map(({ id, hash, posts: count }) => ["Model", id + " · " + hash + " · " + plural(count, "post")])];
  $("facts").append(...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  show("main", true);
  if (!labelledPosts || !answer.emotions.length) {
    show("nothing", true);
    $("nothing").textContent = "There is no labelled post in what was asked for" + (skippedPosts ? "; " + plural(skippedPosts, "post") + " had been skipped" : "") + ". Ask for other days, or with fewer conditions.";
    for (const id of ["moves", "trend", "figures-table"]) show(id, false);
    document.querySelector(".skip").hidden = true;
    return;
  }
  readAddress();
  startControls();
  startSteering();
  startTable();
  drawTrend();
  moves();
  fillTable(view);
  startHeat();
  startStandouts();
  let wide = innerWidth, due = null;
  new ResizeObserver(() => {
    if (document.body.clientWidth === wide) return;
    wide = document.body.clientWidth;
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => { drawTrend(); if (!$("heat").hidden) drawHeat(); });
  }).observe(document.body);
  window.addEventListener("beforeprint", drawTrend);
}
startPage();
