/* Building blocks. Everything that is shown goes through make and draw: text is text, whoever wrote it. */
const $ = (id) => document.getElementById(id);
function make(tag, kind, ...parts) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  node.append(...parts.filter((part) => part !== null && part !== undefined));
  return node;
}
function draw(tag, attributes, ...parts) {
  const node = document.createElementNS("http" + ":" + "//www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...parts);
  return node;
}
const show = (id, yes) => { $(id).hidden = !yes; };

/* Eight colours that differ for colour-blind readers too; the next eight emotions take them again, dashed. */
const COLOURS = 8, DASHES = [null, "8 3", "2 3", "9 3 2 3"];
const colour = (emotion) => "var(--c" + ranked.indexOf(emotion) % COLOURS + ")";
/* The same for words: dark enough, or light enough, to read. */
const inked = (emotion) => "var(--t" + ranked.indexOf(emotion) % COLOURS + ")";
const dash = (emotion) => DASHES[Math.floor(ranked.indexOf(emotion) / COLOURS) % DASHES.length];
function swatch(emotion) {
  return draw("svg", { class: "swatch", width: 22, height: 10, viewBox: "0 0 22 10", "aria-hidden": "true" },
    draw("line", { x1: 1, x2: 21, y1: 5, y2: 5, stroke: colour(emotion), "stroke-width": 3, "stroke-dasharray": dash(emotion) }));
}

const pen = document.createElement("canvas").getContext("2d");
function widest(texts, size) {
  pen.font = "600 " + size + "px " + getComputedStyle(document.body).fontFamily;
  return Math.max(0, ...texts.map((text) => pen.measureText(text).width));
}

/* Round steps of an axis from 0. */
function steps(top, wanted) {
  const raw = top / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw * 0.999);
  const list = [];
  for (let at = 0; at < top - step * 1e-6; at += step) list.push(at);
  list.push(list.length * step);
  return list.map((value) => Number(value.toPrecision(10)));
}

/* Ticks of a time axis: period starts that are round by the wall clock, with room for their labels. */
function ticks(list, unit, width) {
  if (!list.length) return [];
  const day = (clock) => Math.floor(clock / DAY), hour = (clock) => Math.floor(clock / HOUR) % 24, date = (clock) => new Date(clock).getUTCDate();
  const monthStart = (every) => (clock) => (unit === "week" ? date(clock) <= 7 : date(clock) === 1) && hour(clock) === 0 && new Date(clock).getUTCMonth() % every === 0;
  const everyHours = (count) => (clock) => hour(clock) % count === 0;
  const everyDays = (count) => (clock) => hour(clock) === 0 && (day(clock) - 4) % count === 0;
  const rules = [...(unit === "hour" ? [1, 2, 3, 6, 12].map(everyHours) : []), everyDays(1), everyDays(2), everyDays(7), everyDays(14), monthStart(1), monthStart(2), monthStart(3), monthStart(6), monthStart(12)];
  const room = Math.max(2, Math.floor(width / 52));
  let chosen = [];
  for (const rule of rules) {
    chosen = list.map((_, at) => at).filter((at) => rule(list[at].clock));
    if (chosen.length <= room && chosen.length) break;
  }
  if (!chosen.length) chosen = [0];
  let month = null, year = new Date(list[0].clock).getUTCFullYear();
  return chosen.map((at) => {
    const { clock } = list[at], midnight = unit !== "hour" || hour(clock) === 0 && !(clock % HOUR), named = onlyMonth.format(clock);
    const text = !midnight ? hourMinute.format(clock) : month === named && unit !== "hour" ? onlyDay.format(clock) : dayMonth.format(clock);
    if (midnight) month = named;
    // A new year is named where it begins.
    const begun = new Date(clock).getUTCFullYear() !== year ? " " + (year = new Date(clock).getUTCFullYear()) : "";
    return { at, text: text + begun };
  });
}
