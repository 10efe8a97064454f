/* The main chart: one panel for each group that is shown, all on one scale and under one crosshair. */
const HEAD = 22, FOOT = 26;

/* Labels at line ends, pushed apart where they would touch. */
function spread(labels, gap, top, bottom) {
  labels.sort((one, other) => one.y - other.y);
  for (let round = 0; round < 40; round += 1) {
    let moved = false;
    for (let at = 1; at < labels.length; at += 1) {
      const overlap = gap - (labels[at].y - labels[at - 1].y);
      if (overlap > 0.5) { labels[at - 1].y -= overlap / 2; labels[at].y += overlap / 2; moved = true; }
    }
    for (const label of labels) label.y = Math.min(bottom, Math.max(top, label.y));
    if (!moved) break;
  }
  for (let at = 1; at < labels.length; at += 1) labels[at].y = Math.max(labels[at].y, labels[at - 1].y + gap);
  const over = labels.length ? labels[labels.length - 1].y - bottom : 0;
  if (over > 0) for (const label of labels) label.y -= over;
  return labels;
}

/* Runs of neighbouring values, without the empty ones. */
function runs(values, from, to) {
  const list = [];
  let run = null;
  for (let at = from; at < to; at += 1) {
    if (values[at] === null || values[at] === undefined) { run = null; continue; }
    if (!run) list.push(run = []);
    run.push(at);
  }
  return list;
}

function line(group, emotion, view, x, y, kind) {
  const values = seriesOf(group, emotion)[view.measure], { periods: list } = view.drawn;
  const node = draw("g", { class: kind, "data-emotion": emotion });
  let solid = "", loose = "";
  const alone = [], few = view.to - view.from <= 45;
  for (const run of runs(values, view.from, view.to)) {
    if (run.length === 1) alone.push(run[0]);
    for (let step = 1; step < run.length; step += 1) {
      const [one, other] = [run[step - 1], run[step]], piece = "M" + x(one) + " " + y(values[one]) + "L" + x(other) + " " + y(values[other]);
      if (!list[one].complete || !list[other].complete) loose += piece;
      else solid += solid && step > 1 && list[run[step - 2]] && list[run[step - 2]].complete ? "L" + x(other) + " " + y(values[other]) : piece;
    }
  }
  if (kind === "series" && view.measure === "share") {
    const { low, high } = seriesOf(group, emotion);
    let band = "";
    for (const run of runs(values, view.from, view.to)) {
      const wide = run.length === 1 ? 3 : 0;
      const edge = (bounds, list) => list.map((at) => (wide ? [x(at) - wide, x(at) + wide] : [x(at)]).map((place) => place.toFixed(1) + " " + y(bounds[at]).toFixed(1)).join("L")).join("L");
      band += "M" + edge(high, run) + "L" + (wide ? (x(run[0]) + wide) + " " + y(low[run[0]]) + "L" + (x(run[0]) - wide) + " " + y(low[run[0]]) : edge(low, [...run].reverse())) + "Z";
    }
    node.append(draw("path", { class: "band", d: band, fill: colour(emotion) }));
  }
  const ink = kind === "series" ? colour(emotion) : "var(--context)";
  node.append(draw("path", { class: "line", d: solid, stroke: ink, "stroke-dasharray": kind === "series" ? dash(emotion) : null }));
  if (loose) node.append(draw("path", { class: "line loose", d: loose, stroke: ink }));
  if (kind === "series") {
    const dots = few ? runs(values, view.from, view.to).flat() : alone;
    for (const at of dots) {
      node.append(draw("circle", { cx: x(at), cy: y(values[at]), r: few ? 2.6 : 2, fill: list[at].complete ? colour(emotion) : "var(--paper)", stroke: colour(emotion), "stroke-width": 1.5 }));
    }
  }
  return node;
}

/* Where the axis ends: the highest value shown, with its band. */
function ceiling(view, panels) {
  let top = 0;
  for (const group of panels) {
    for (const emotion of view.emotions) {
      const series = seriesOf(group, emotion), values = view.measure === "share" ? series.high : series.mean;
      for (let at = view.from; at < view.to; at += 1) {
        // Hardly any posts: a band that wide says nothing, and must not flatten the rest.
        const value = view.measure === "share" && group.labelled[at] < 10 ? series.share[at] : values[at];
        if (value > top) top = value;
      }
    }
  }
  return top || 1;
}

function tickText(mark, marks, view) {
  const step = marks[1], fine = (unit) => Math.abs(step / unit - Math.round(step / unit)) > 1e-6;
  return view.measure === "share" ? percent(mark, fine(0.01) ? 1 : 0) : score(mark, fine(0.1) ? 2 : 1);
}

function panel(group, view, { width, height, labels, top, title }) {
  const { periods: list, unit } = view.drawn, marks = steps(top, height > 260 ? 5 : 3), ceil = marks[marks.length - 1];
  const chosen = view.emotions;
  const last = (emotion) => { const at = runs(seriesOf(group, emotion)[view.measure], view.from, view.to).flat().pop(); return at === undefined ? null : at; };
  const ends = labels ? chosen.map((emotion) => ({ emotion, at: last(emotion) })).filter(({ at }) => at !== null) : [];
  const say = view.measure === "share" ? (value) => percent(value) : (value) => score(value, 2);
  const endText = ({ emotion, at }) => emotion + " " + say(seriesOf(group, emotion)[view.measure][at]);
  const right = ends.length ? Math.min(width * 0.42, widest(ends.map(endText), 13) + 14) : 8;
  const left = widest(marks.map((mark) => tickText(mark, marks, view)), 12) + 10, plot = { left, right: width - right, top: HEAD, bottom: height - FOOT };
  const first = list[view.from].start, end = list[view.to - 1].end;
  const at = (time) => plot.left + (time - first) / (end - first) * (plot.right - plot.left);
  const x = (index) => at((list[index].start + list[index].end) / 2);
  const y = (value) => plot.bottom - value / ceil * (plot.bottom - plot.top);
  const clip = "clip" + (panel.made = (panel.made || 0) + 1);
  const svg = draw("svg", { class: "plot", width, height, viewBox: "0 0 " + width + " " + height, "aria-hidden": "true" },
    draw("defs", {}, draw("clipPath", { id: clip }, draw("rect", { x: plot.left - 4, y: plot.top - 8, width: plot.right - plot.left + 8, height: plot.bottom - plot.top + 10 }))));
  const hatch = "hatch" + panel.made;
  svg.firstChild.append(draw("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, draw("line", { x1: 0, x2: 0, y1: 0, y2: 6, class: "hatch" })));
  let started = null;
  for (let index = view.from; index <= view.to; index += 1) {
    const open = index < view.to && !list[index].complete;
    if (open && started === null) started = index;
    if (!open && started !== null) {
      svg.append(draw("rect", { class: "incomplete", x: at(list[started].start), y: plot.top, width: Math.max(1, at(list[index - 1].end) - at(list[started].start)), height: plot.bottom - plot.top, fill: "url(#" + hatch + ")" }));
      started = null;
    }
  }
  for (const mark of marks) {
    svg.append(draw("line", { class: mark ? "grid" : "base", x1: plot.left, x2: plot.right, y1: y(mark), y2: y(mark) }));
    svg.append(draw("text", { class: "tick", x: plot.left - 8, y: y(mark) + 4, "text-anchor": "end" }, tickText(mark, marks, view)));
  }
  const shown = list.slice(view.from, view.to);
  for (const tick of ticks(shown, unit, plot.right - plot.left)) {
    const index = view.from + tick.at, place = unit === "hour" ? at(list[index].start) : x(index), wide = tick.text.length * 6.6;
    svg.append(draw("line", { class: "base", x1: place, x2: place, y1: plot.bottom, y2: plot.bottom + 4 }));
    const anchor = place - wide / 2 < 0 ? "start" : place + wide / 2 > width ? "end" : "middle";
    svg.append(draw("text", { class: "tick", x: anchor === "start" ? Math.max(0, place - 2) : place, y: plot.bottom + 18, "text-anchor": anchor }, tick.text));
  }
  const inside = draw("g", { class: view.to - view.from > 120 ? "dense" : null, "clip-path": "url(#" + clip + ")" });
  for (const emotion of answer.emotions) if (!chosen.includes(emotion)) inside.append(line(group, emotion, view, x, y, "context"));
  for (const emotion of [...chosen].reverse()) inside.append(line(group, emotion, view, x, y, "series"));
  svg.append(inside);
  const placed = spread(ends.map((end) => ({ ...end, y: y(seriesOf(group, end.emotion)[view.measure][end.at]) })), 15, plot.top + 2, plot.bottom - 2);
  for (const end of placed) {
    svg.append(draw("g", { class: "label", "data-emotion": end.emotion },
      draw("path", { class: "leader", d: "M" + (x(end.at) + 4) + " " + y(seriesOf(group, end.emotion)[view.measure][end.at]) + "L" + (plot.right + 6) + " " + end.y, stroke: colour(end.emotion) }),
      draw("text", { x: plot.right + 9, y: end.y + 4.5, fill: inked(end.emotion) }, draw("tspan", { "font-weight": 650 }, end.emotion), draw("tspan", { dx: 4 }, say(seriesOf(group, end.emotion)[view.measure][end.at])))));
  }
  const over = draw("g", { class: "over" });
  svg.append(over);
  const host = make("figure", "panel", title ? make("figcaption", "", make("b", "", title), " " + posts(group.labelled.slice(view.from, view.to).reduce((sum, value) => sum + value, 0)) + " posts") : null, svg);
  return { host, svg, over, plot, x, y, at, group, first, end };
}

/* One period only: no time to draw, so the emotions side by side, with their intervals. */
function ranking(group, view, width) {
  const at = view.from, names = [...view.emotions].sort((one, other) => seriesOf(group, other)[view.measure][at] - seriesOf(group, one)[view.measure][at]);
  const left = widest(names, 13) + 14, right = 64, top = ceiling(view, [group]), marks = steps(top, 4), ceil = marks[marks.length - 1], row = 30;
  const height = names.length * row + 34, x = (value) => left + value / ceil * (width - left - right);
  const svg = draw("svg", { class: "plot", width, height, viewBox: "0 0 " + width + " " + height, "aria-hidden": "true" });
  for (const mark of marks) {
    svg.append(draw("line", { class: mark ? "grid" : "base", x1: x(mark), x2: x(mark), y1: 4, y2: height - 28 }),
      draw("text", { class: "tick", x: x(mark), y: height - 10, "text-anchor": "middle" }, view.measure === "share" ? percent(mark, marks[1] < 0.01 ? 1 : 0) : score(mark, 2)));
  }
  names.forEach((emotion, place) => {
    const { low, high, [view.measure]: values } = seriesOf(group, emotion), y = 18 + place * row;
    if (values[at] === null) return;
    const node = draw("g", { class: "series", "data-emotion": emotion }, draw("text", { x: left - 12, y: y + 4.5, "text-anchor": "end", class: "name" }, emotion));
    if (view.measure === "share") node.append(draw("rect", { x: x(low[at]), y: y - 5, width: Math.max(1, x(high[at]) - x(low[at])), height: 10, rx: 5, fill: colour(emotion), class: "reach" }));
    node.append(draw("line", { class: "stem", x1: x(0), x2: x(values[at]), y1: y, y2: y, stroke: colour(emotion) }), draw("circle", { cx: x(values[at]), cy: y, r: 5, fill: colour(emotion) }),
      draw("text", { x: x(view.measure === "share" ? high[at] : values[at]) + 10, y: y + 4.5, class: "value" }, view.measure === "share" ? percent(values[at]) : score(values[at])));
    svg.append(node);
  });
  return make("figure", "panel", svg);
}
