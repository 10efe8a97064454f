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
  const given = view.group === -2 ? inhabited.slice(0, SIDE_BY_SIDE) : [view.group === -1 ? whole : groups[view.group] || whole];
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
  if (!alone) legend.push("One scale for all." + (inhabited.length > SIDE_BY_SIDE ? " The " + SIDE_BY_SIDE + " largest of " + inhabited.length + " groups; choose others above." : "") + (inhabited.length < groups.length ? " Without labelled posts: " + plural(groups.length - inhabited.length, "group") + "." : ""));
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
