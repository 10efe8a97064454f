/* Hours of the day against days: one emotion's share, for answers by hour. */
const heat = { emotion: null, group: whole, cells: [], at: null };

function drawHeat() {
  const { emotion, group } = heat, width = $("heat-map").clientWidth;
  if (!width) return;
  const days = [...new Set(periods.map(({ clock }) => Math.floor(clock / DAY)))].sort((one, other) => one - other);
  const firstDay = days[0], columns = days[days.length - 1] - firstDay + 1;
  const left = 40, top = 22, cell = Math.min(64, (width - left) / columns), tall = Math.min(17, Math.max(10, cell)), gap = cell > 7 ? 1 : 0;
  const height = top + 24 * tall + 4, { share } = seriesOf(group, emotion);
  const known = periods.map((_, at) => at).filter((at) => share[at] !== null && group.labelled[at] > 0);
  // The darkest hundredth is one shade: a single hour of few posts must not bleach the rest.
  const sorted = known.map((at) => share[at]).sort((one, other) => one - other);
  const floor = sorted[Math.floor(sorted.length * 0.01)] || 0, ceil = sorted[Math.max(0, Math.ceil(sorted.length * 0.99) - 1)] || 1;
  const svg = draw("svg", { width, height, viewBox: "0 0 " + width + " " + height, class: "heat", role: "img", "aria-labelledby": "heat-title heat-value" },
    draw("defs", {}, draw("pattern", { id: "heat-hatch", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, draw("line", { x1: 0, x2: 0, y1: 0, y2: 4, class: "hatch strong" }))));
  for (const hour of [0, 6, 12, 18]) svg.append(draw("text", { class: "tick", x: left - 8, y: top + hour * tall + Math.min(tall, 12), "text-anchor": "end" }, String(hour).padStart(2, "0") + ":00"));
  const every = [1, 2, 7, 14, 28, 56, 84, 168].find((count) => count * cell >= 52) || 336;
  for (let column = 0; column < columns; column += 1) {
    const clock = (firstDay + column) * DAY, monday = (firstDay + column + 3) % 7 === 0;
    const due = every >= 7 ? monday && (firstDay + column + 3) / 7 % (every / 7) === 0 : column % every === 0;
    if (due && left + column * cell + 44 < width) svg.append(draw("text", { class: "tick", x: left + column * cell, y: 14 }, dayMonth.format(clock)));
  }
  heat.cells = new Map();
  periods.forEach(({ clock, complete, labelled }, at) => {
    const column = Math.floor(clock / DAY) - firstDay, row = Math.floor(clock / HOUR) % 24, x = left + column * cell, y = top + row * tall;
    heat.cells.set(column + ":" + row, at);
    const value = group.labelled[at] ? share[at] : null;
    if (value === null || value === undefined) { if (cell > 4) svg.append(draw("rect", { class: "none", x, y, width: cell - gap, height: tall - gap })); return; }
    const shade = Math.min(1, Math.max(0, (value - floor) / Math.max(1e-9, ceil - floor)));
    svg.append(draw("rect", { class: "cell", x, y, width: cell - gap, height: tall - gap, style: null, "fill-opacity": (0.06 + 0.94 * shade).toFixed(3), fill: "var(--heat)" }));
    if (!complete) svg.append(draw("rect", { x, y, width: cell - gap, height: tall - gap, fill: "url(#heat-hatch)" }));
  });
  const cursor = draw("rect", { class: "cursor", width: cell + gap, height: tall + gap, visibility: "hidden" });
  svg.append(cursor);
  const host = make("div", "heat-host", svg);
  host.tabIndex = 0;
  host.setAttribute("role", "application");
  host.setAttribute("aria-label", "Hours of the day by day, " + emotion + ". Arrow keys move between hours; their values are told.");
  const place = (column, row) => {
    const at = heat.cells.get(column + ":" + row);
    if (at === undefined) return false;
    heat.at = { column, row };
    cursor.setAttribute("x", left + column * cell - gap);
    cursor.setAttribute("y", top + row * tall - gap);
    cursor.setAttribute("visibility", "visible");
    const value = group.labelled[at] ? share[at] : null, { low, high, count } = seriesOf(group, emotion);
    $("heat-value").textContent = when(periods[at], "hour") + ": " + (value === null ? "no labelled posts" : emotion + " " + percent(value) + " (" + percent(low[at]) + " to " + percent(high[at]) + "), " + posts(count[at]) + " of " + plural(shareOf(group, emotion)[at], "post")) + (periods[at].complete ? "" : "; incomplete");
    return true;
  };
  host.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    place(Math.floor((event.clientX - box.left - left) / cell), Math.floor((event.clientY - box.top - top) / tall));
  });
  host.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = heat.at || { column: columns - 1, row: 23 };
    for (let times = 1; times < 24; times += 1) if (place(from.column + step[0] * times, from.row + step[1] * times)) break;
  });
  $("heat-map").replaceChildren(host);
  const scale = draw("svg", { class: "scale", width: 120, height: 10, "aria-hidden": "true" });
  for (let step = 0; step < 24; step += 1) scale.append(draw("rect", { x: step * 5, y: 0, width: 5, height: 10, fill: "var(--heat)", "fill-opacity": 0.06 + 0.94 * step / 23 }));
  $("heat-map").append(make("p", "note scale-line", percent(floor) + " ", scale, " " + percent(ceil) + " of an hour’s posts"));
  $("heat-value").textContent = "Point at an hour, or use the arrow keys, for its values.";
}

function startHeat() {
  const days = new Set(periods.map(({ clock }) => Math.floor(clock / DAY))).size;
  if (answer.asked.by !== "hour" || days < 2 || !answer.emotions.length || !labelledPosts) return;
  show("heat", true);
  heat.emotion = ranked[0];
  for (const emotion of answer.emotions) $("heat-emotion").append(new Option(emotion, emotion, false, emotion === heat.emotion));
  $("heat-emotion").addEventListener("change", () => { heat.emotion = $("heat-emotion").value; drawHeat(); });
  drawHeat();
}
