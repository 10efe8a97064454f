/* Fills the page, once. */
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
