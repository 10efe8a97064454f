/* The hours that stand out, with examples where their text was kept. */
const FIRST_STANDOUTS = 6;

function example({ post_id: id, text, score: sure, platform, event_time: time }) {
  const facts = [platform, time ? hourOf(time) : null, sure === null || sure === undefined ? null : "score " + score(sure, 2), id].filter((fact) => fact !== null && fact !== undefined && fact !== "");
  const quote = make("blockquote", text === null || text === undefined || text === "" ? "missing" : "", text === null || text === undefined || text === "" ? "text not kept" : text);
  quote.dir = "auto";
  return make("figure", "example", quote, make("figcaption", "", facts.join(" · ")));
}
const hourOf = (text) => { const { clock } = moment(text); return weekdayDay.format(clock) + ", " + hourMinute.format(clock); };

function standout({ hour, emotion, key, share, usual, z, labelled, complete, examples }) {
  // Room at the right end for the dot.
  const top = Math.max(share, usual) / 0.92, place = (value) => value / top * 220;
  const bar = draw("svg", { class: "gauge", width: 220, height: 18, viewBox: "0 0 220 18", "aria-hidden": "true" },
    draw("line", { class: "base", x1: 0, x2: 220, y1: 9, y2: 9 }),
    draw("line", { x1: place(usual), x2: place(share), y1: 9, y2: 9, stroke: colour(emotion), "stroke-width": 3 }),
    draw("circle", { class: "usual", cx: Math.max(4, place(usual)), cy: 9, r: 4 }), draw("circle", { cx: Math.max(5, place(share)), cy: 9, r: 5.5, fill: colour(emotion) }));
  const named = keyName(key), list = examples || [];
  const head = make("div", "standout-head", make("h3", "", make("span", "", emotion), " " + (share >= usual ? "above" : "below") + " the usual"), make("time", "", hourOf(hour)));
  head.querySelector("span").style.color = inked(emotion);
  const entry = make("li", "", head, make("p", "facts-line", make("b", "", percent(share)), " of " + plural(labelled, "post") + (named ? ", " + named : "") + "; usually " + percent(usual) + " at this hour · z\u00a0" + (z < 0 ? "−" : "") + formats[1].format(Math.abs(z)) + (complete === false ? " · incomplete hour" : "")), bar);
  if (list.length) entry.append(example(list[0]));
  if (list.length > 1) entry.append(make("details", "", make("summary", "", plural(list.length - 1, "more example")), ...list.slice(1).map(example)));
  return entry;
}

function startStandouts() {
  const list = answer.standouts || [];
  if (!list.length) return;
  show("standouts", true);
  $("standouts-note").textContent = plural(list.length, "hour") + " whose share is far from that of the same hour on other days. Examples are posts of that hour with that label; what they say is their authors’.";
  const more = $("standouts-more");
  $("standout-list").append(...list.slice(0, FIRST_STANDOUTS).map(standout));
  if (list.length > FIRST_STANDOUTS) {
    more.hidden = false;
    more.textContent = "Show all " + posts(list.length);
    more.addEventListener("click", () => {
      const rest = list.slice(FIRST_STANDOUTS).map(standout);
      $("standout-list").append(...rest);
      more.hidden = true;
      rest[0].tabIndex = -1;
      rest[0].focus();
    });
  }
}
