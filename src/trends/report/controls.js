/* Everything above the chart that can be clicked. */
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
