/* The biggest changes from one period to the next. */
function moves() {
  // So many comparisons find something by chance: this many standard errors keep that below one in twenty, all in all.
  // An hour's posts are few; days tell more where there are some.
  const { periods: list, unit, of } = answer.asked.by === "hour" && periods.length >= 96 ? drawnBy("day") : view.drawn, group = of(whole), best = new Map();
  const wanted = Math.sqrt(2 * Math.log(20 * answer.emotions.length * Math.max(1, list.length - 1)));
  for (const emotion of answer.emotions) {
    const { share, count, change } = seriesOf(group, emotion);
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
