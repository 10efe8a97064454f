/* The figures themselves, sortable, a page at a time: sixty thousand rows must not slow the page. */
const PAGE = 50;
const table = { rows: [], page: 0, by: "period", down: false };
const COLUMNS = [
  { id: "period", name: "Period", of: (row) => periods[row.at].start, text: (row) => when(periods[row.at], answer.asked.by) + (periods[row.at].complete ? "" : " (incomplete)"), exact: (row) => periods[row.at].text },
  ...(groups.length > 1 ? [{ id: "group", name: "Posts", of: (row) => groups[row.group].name, text: (row) => groups[row.group].name, exact: (row) => groups[row.group].name }] : []),
  { id: "emotion", name: "Emotion", of: (row) => row.emotion, text: (row) => row.emotion, exact: (row) => row.emotion },
  { id: "labelled", name: "Labelled", number: true, of: (row) => shareOf(groups[row.group], row.emotion)[row.at], text: posts },
  { id: "count", name: "With it", number: true, of: (row) => row.series.count[row.at], text: posts },
  { id: "share", name: "Share", number: true, of: (row) => row.series.share[row.at], text: (value) => percent(value, 2) },
  { id: "low", name: "from", number: true, of: (row) => row.series.low[row.at], text: (value) => percent(value, 2) },
  { id: "high", name: "to", number: true, of: (row) => row.series.high[row.at], text: (value) => percent(value, 2) },
  { id: "mean", name: "Mean score", number: true, of: (row) => row.series.mean[row.at], text: (value) => score(value) },
  { id: "change", name: "Change, points", number: true, of: (row) => row.series.change[row.at], text: (value) => points(value, 2) },
];

function fillTable(view) {
  const all = $("table-all").checked, emotions = all ? answer.emotions : answer.emotions.filter((emotion) => view.emotions.includes(emotion));
  const [from, to] = all ? [0, periods.length] : [view.baseFrom, view.baseTo];
  table.rows = [];
  groups.forEach((group, place) => {
    if (!all && view.group >= 0 && view.group !== place) return;
    for (let at = from; at < to; at += 1) for (const emotion of emotions) table.rows.push({ at, group: place, emotion, series: seriesOf(group, emotion) });
  });
  table.page = 0;
  sortTable();
  $("table-note").textContent = plural(table.rows.length, "row") + (all ? ": everything" : ": the emotions and the range of the chart") + ". Click a heading to sort.";
}
function sortTable() {
  const column = COLUMNS.find(({ id }) => id === table.by), sign = table.down ? -1 : 1;
  const value = (row) => column.of(row);
  table.rows.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === b) return one.at - other.at || one.group - other.group;
    // What is missing comes last, either way.
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return (a < b ? -1 : 1) * sign;
  });
  showTable();
}
function showTable() {
  const pages = Math.max(1, Math.ceil(table.rows.length / PAGE));
  table.page = Math.min(pages - 1, Math.max(0, table.page));
  for (const head of $("table-head").children) {
    const on = head.dataset.id === table.by;
    if (on) head.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  $("table-rows").replaceChildren(...table.rows.slice(table.page * PAGE, table.page * PAGE + PAGE).map((row) => make("tr", "", ...COLUMNS.map((column) => {
    const value = column.of(row), node = make(column.id === "period" ? "th" : "td", column.number ? "number" : "", column.number ? column.text(value) : column.text(row));
    if (column.id === "period") node.scope = "row";
    node.dataset.value = exact(column, row);
    return node;
  }))));
  show("pages", pages > 1);
  $("page-at").textContent = "Page " + posts(table.page + 1) + " of " + posts(pages);
  $("page-back").disabled = table.page === 0;
  $("page-on").disabled = table.page === pages - 1;
}
/* A value with all its digits, as the query gave it. */
function exact(column, row) {
  const value = column.exact ? column.exact(row) : column.of(row);
  return value === null || value === undefined ? "" : String(value);
}
function csv() {
  const field = (text) => /[",\r\n]/.test(text) ? "\"" + text.replaceAll("\"", "\"\"") + "\"" : text;
  const lines = [COLUMNS.map(({ id }) => id).concat("complete"), ...table.rows.map((row) => COLUMNS.map((column) => field(exact(column, row))).concat(String(periods[row.at].complete)))];
  return lines.map((line) => line.join(",")).join("\r\n") + "\r\n";
}

function startTable() {
  for (const { id, name, number } of COLUMNS) {
    const button = make("button", "plain", name), head = make("th", number ? "number" : "", button);
    button.type = "button";
    head.scope = "col";
    head.dataset.id = id;
    button.addEventListener("click", () => {
      table.down = table.by === id ? !table.down : Boolean(number);
      table.by = id;
      table.page = 0;
      sortTable();
    });
    $("table-head").append(head);
  }
  for (const [id, step] of [["page-back", -1], ["page-on", 1]]) $(id).addEventListener("click", () => { table.page += step; showTable(); });
  $("table-save").addEventListener("click", () => {
    const link = make("a", "");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "emotion-trends.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10e3);
    $("table-note").textContent = plural(table.rows.length, "row") + " saved as emotion-trends.csv.";
  });
  $("table-copy").addEventListener("click", async () => {
    let done = true;
    try { await navigator.clipboard.writeText(csv()); } catch {
      const box = make("textarea", "unseen");
      box.value = csv();
      document.body.append(box);
      box.select();
      done = document.execCommand("copy");
      box.remove();
    }
    $("table-note").textContent = done ? plural(table.rows.length, "row") + " copied." : "The browser does not let this page copy; download the file instead.";
  });
}
