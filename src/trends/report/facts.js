"use strict";
/* The answer of the query, in the shapes that the page draws. Every figure is the query's own; only those that it did
   not give (all groups together, days out of hours) are made here, from its counts. */
const answer = JSON.parse(document.getElementById("answer").textContent);
const HOUR = 3600e3, DAY = 24 * HOUR;

/* "2026-11-01T17:00:00+01:00": the instant, and the wall clock there as if it were UTC. */
function moment(text) {
  const [, wall, zone] = /^(\d+-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?/.exec(text) || [null, "1970-01-01T00:00", "Z"];
  const clock = Date.parse(wall + "Z");
  const [, sign, hours, minutes] = /([+-])(\d\d):?(\d\d)/.exec(zone || "") || [null, "+", 0, 0];
  return { at: clock - (sign === "-" ? -1 : 1) * (hours * HOUR + minutes * 60e3), clock };
}
function period(given) {
  const start = moment(given.start), end = moment(given.end);
  return { start: start.at, end: end.at, clock: start.clock, clockEnd: end.clock, text: given.start, complete: given.complete !== false, labelled: given.labelled, skipped: given.skipped };
}
const keyName = (key) => Object.entries(key || {}).map(([name, value]) => value === null || value === "" ? "no " + name : String(value)).join(" · ");

/* The 95 % Wilson interval of a share. */
function wilson(count, all) {
  if (!all) return [null, null];
  const z = 1.959963984540054, p = count / all, z2 = z * z / all;
  const middle = (p + z2 / 2) / (1 + z2), reach = z / (1 + z2) * Math.sqrt(p * (1 - p) / all + z2 / (4 * all));
  return [Math.max(0, middle - reach), Math.min(1, middle + reach)];
}

/* Sums of counts over lists of places: places[i] are what the new period i is made of. */
function gather(name, groups, places) {
  const over = (pick) => places.map((from) => groups.reduce((all, group) => from.reduce((sum, at) => sum + (pick(group)[at] || 0), all), 0));
  const labelled = over((group) => group.labelled), series = new Map();
  for (const emotion of answer.emotions) {
    const count = over((group) => seriesOf(group, emotion).count);
    const all = over((group) => shareOf(group, emotion));
    const share = count.map((posts, at) => all[at] ? posts / all[at] : null);
    const bounds = count.map((posts, at) => wilson(posts, all[at]));
    const total = places.map((from) => groups.reduce((sums, group) => from.reduce((sum, at) => sum + (seriesOf(group, emotion).mean[at] || 0) * shareOf(group, emotion)[at], sums), 0));
    series.set(emotion, {
      count, share, low: bounds.map(([low]) => low), high: bounds.map(([, high]) => high),
      mean: total.map((sum, at) => all[at] ? sum / all[at] : null), of: all,
      change: share.map((value, at) => at && value !== null && share[at - 1] !== null ? value - share[at - 1] : null),
    });
  }
  return { name, labelled, skipped: over((group) => group.skipped), series };
}
/* Posts whose model knows the emotion: what its shares are of. Only with several models are they fewer than all. */
const shareOf = (group, emotion) => seriesOf(group, emotion).of || group.labelled;
const NONE = { count: [], share: [], low: [], high: [], mean: [], change: [] };
const seriesOf = (group, emotion) => group.series.get(emotion) || NONE;

const periods = answer.periods.map(period);
const unknown = answer.periods.some(({ complete }) => complete === null || complete === undefined);
const groups = answer.groups.map((group) => ({
  name: keyName(group.key), key: group.key || {}, labelled: group.labelled, skipped: group.skipped,
  series: new Map(group.series.map((series) => [series.emotion, series])),
}));
const inhabited = groups.filter(({ labelled }) => labelled.some((posts) => posts > 0));
const whole = groups.length === 1 ? groups[0] : gather("all together", groups, periods.map((_, at) => [at]));
const labelledPosts = periods.reduce((sum, { labelled }) => sum + labelled, 0);
const skippedPosts = periods.reduce((sum, { skipped }) => sum + skipped, 0);

/* The same as longer periods, by the wall clock: days, or weeks that begin on Monday. */
const UNITS = ["hour", "day", "week"];
const coarse = new Map();
function drawnBy(unit) {
  if (unit === answer.asked.by) return { unit, periods, of: (group) => group };
  if (!coarse.has(unit)) {
    const bins = new Map();
    periods.forEach(({ clock }, at) => {
      const day = Math.floor(clock / DAY), bin = unit === "day" ? day : Math.floor((day + 3) / 7);
      bins.set(bin, [...(bins.get(bin) || []), at]);
    });
    const places = [...bins.values()], made = new Map(), length = unit === "day" ? 23 * HOUR : 167 * HOUR;
    coarse.set(unit, {
      unit,
      periods: places.map((from) => {
        const [first, last] = [periods[from[0]], periods[from[from.length - 1]]];
        return {
          ...first, end: last.end, clockEnd: last.clockEnd,
          complete: from.every((at) => periods[at].complete) && last.end - first.start >= length,
          labelled: from.reduce((sum, at) => sum + periods[at].labelled, 0), skipped: from.reduce((sum, at) => sum + periods[at].skipped, 0),
        };
      }),
      of: (group) => {
        if (!made.has(group)) made.set(group, gather(group.name, [group], places));
        return made.get(group);
      },
    });
  }
  return coarse.get(unit);
}

/* How far an emotion has moved beyond what chance explains, in any group: its highest lower bound less its lowest upper
   bound. The same rank as in chart/facts.rs. */
function movement(emotion) {
  return Math.max(0, ...groups.map((group) => {
    const { low, high, count } = seriesOf(group, emotion);
    let top = 0, bottom = 1, posts = 0;
    periods.forEach(({ complete }, at) => {
      posts += count[at] || 0;
      if (!complete || low[at] === null || low[at] === undefined) return;
      top = Math.max(top, low[at]);
      bottom = Math.min(bottom, high[at]);
    });
    return (periods.length > 1 ? Math.max(0, top - bottom) : 0) + 1e-3 * posts / Math.max(1, labelledPosts);
  }));
}
/* Colours go by this rank, so that those drawn first differ most. */
const ranked = answer.emotions.map((emotion) => [movement(emotion), emotion]).sort(([one], [other]) => other - one).map(([, emotion]) => emotion);

const wholeNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const formats = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const posts = (value) => wholeNumber.format(value);
const plural = (value, one) => posts(value) + " " + one + (value === 1 ? "" : "s");
const percent = (value, digits = 1) => value === null || value === undefined ? "–" : formats[digits].format(value * 100) + "\u00a0%";
const points = (value, digits = 1) => value === null || value === undefined ? "–" : (value < 0 ? "−" : "+") + formats[digits].format(Math.abs(value) * 100);
const score = (value, digits = 3) => value === null || value === undefined ? "–" : formats[digits].format(value);

const inUtc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const dayMonth = inUtc({ day: "numeric", month: "short" }), weekdayDay = inUtc({ weekday: "short", day: "numeric", month: "short" });
const dayMonthYear = inUtc({ day: "numeric", month: "long", year: "numeric" });
const dayAndMonth = inUtc({ day: "numeric", month: "long" }), onlyDay = inUtc({ day: "numeric" }), onlyMonth = inUtc({ month: "short" }), hourMinute = inUtc({ hour: "2-digit", minute: "2-digit" });

/* A period in words. */
function when({ clock, clockEnd }, unit) {
  if (unit === "hour") return weekdayDay.format(clock) + ", " + hourMinute.format(clock);
  if (unit === "week") return dayMonth.format(clock) + " – " + dayMonth.format(clockEnd - 1);
  return weekdayDay.format(clock);
}
/* From one wall clock to another, said as briefly as can be, each date on one line. */
function span(from, to) {
  const one = new Date(from), other = new Date(to - 1), same = (digits) => one.toISOString().slice(0, digits) === other.toISOString().slice(0, digits);
  const last = dayMonthYear.format(other).replaceAll(" ", "\u00a0");
  if (same(10)) return last;
  const first = same(7) ? onlyDay.format(one) : same(4) ? dayAndMonth.format(one) : dayMonthYear.format(one);
  return first.replaceAll(" ", "\u00a0") + " – " + last;
}
