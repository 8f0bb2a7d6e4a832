// Draws the report from the JSON next to it. Texts of recordings go to the page through textContent alone, and to
// Plotly, which knows a few tags, with their brackets escaped.
"use strict";
const data = JSON.parse(document.getElementById("content").textContent);
const all = data.recordings, course = data.segments;
const SURE = 0, UNSURE = 1, NO_SPEECH = 2, FAILED = 3;
const COLORS = { neutral: "#8a9aa5", calm: "#3f8fd2", happy: "#e0a526", sad: "#5664b4", angry: "#cf4a3c",
  fearful: "#8d5bb0", disgust: "#6f9440", surprised: "#d877a8" };
const OTHERS = ["#2f7f86", "#b5651d", "#7a6f9b", "#9aa34a", "#c05f86", "#4f8f6a"];
const STATES = { [UNSURE]: ["not sure", "#b9b4a8"], [NO_SPEECH]: ["no speech", "#857f74"], [FAILED]: ["error", "#3e3a35"] };
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const count = (all.state || []).length;

function text(parent, tag, content, className) {
  const made = parent.appendChild(document.createElement(tag));
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  return made;
}
const plain = (label) => String(label).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const number = (value) => value.toLocaleString("en-US");
const percent = (share) => (share > 0 && share < 0.005 ? "<1%" : share < 1 && share >= 0.995 ? ">99%" : `${Math.round(100 * share)}%`);
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const color = (label, index) => COLORS[label] || OTHERS[index % OTHERS.length];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Filters: each is a function from the place of a recording to whether it is shown.
const filters = {};
function choice(name, title, options, test) {
  const label = text(document.getElementById("filters"), "label", title);
  const select = text(label, "select");
  select.name = name;
  [["", "all"], ...options].forEach(([value, shown]) => { text(select, "option", shown).value = value; });
  select.addEventListener("change", draw);
  filters[name] = (place) => select.value === "" || test(place, select.value);
}
function day(name, title, test) {
  const label = text(document.getElementById("filters"), "label", title);
  const input = text(label, "input");
  input.type = "date";
  input.name = name;
  input.addEventListener("change", draw);
  filters[name] = (place) => !input.value || (all.day[place] !== null && test(all.day[place], input.value));
}
function addFilters() {
  const index = (names) => names.map((name, at) => [String(at), name]);
  choice("emotion", "Emotion", index(data.labels), (at, value) => all.label[at] === Number(value));
  choice("answer", "Answer", [["0", "sure"], ["1", "not sure"], ["2", "no speech"], ["3", "error"]],
    (at, value) => all.state[at] === Number(value));
  if (data.languages.length > 1) choice("language", "Language", index(data.languages), (at, value) => all.language[at] === Number(value));
  if (data.speakers.length > 1) choice("speaker", "Channel or speaker", index(data.speakers),
    (at, value) => all.speakers[at].some((each) => each[0] === Number(value)));
  data.columns.forEach((column, at) => choice(`column${at}`, column.name, index(column.groups),
    (place, value) => column.numbers[place] === Number(value)));
  day("from", "From", (own, value) => own >= value);
  day("to", "To", (own, value) => own <= value);
  const reset = text(document.getElementById("filters"), "button", "Show all");
  reset.type = "reset";
  document.getElementById("filters").addEventListener("reset", () => setTimeout(draw));
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
}

// Answers in groups: the emotion where the model is sure, else why there is none.
const groups = () => [
  ...data.labels.map((label, at) => ({ name: label, color: color(label, at), is: (state, own) => state === SURE && own === at })),
  ...[UNSURE, NO_SPEECH, FAILED].map((state) => ({ name: STATES[state][0], color: STATES[state][1], is: (own) => own === state })),
];
function layout(more) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true, fixedrange: true };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--text"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 48, r: 8, t: 8, b: 40 }, barmode: "stack", hovermode: "closest", legend: { orientation: "h", y: 1.04, yanchor: "bottom", x: 0 },
    bargap: 0.25, ...more, xaxis: { ...axis, ...(more.xaxis || {}) }, yaxis: { ...axis, ...(more.yaxis || {}) } };
}
function chart(id, traces, more) {
  const place = document.getElementById(id);
  Plotly.react(place, traces, layout(more), { displayModeBar: false, responsive: true });
}
// One stacked bar for each key; `rows` are [key, state, label].
function stack(id, rows, keys, more, shares) {
  const at = new Map(keys.map((key, index) => [key, index]));
  const sums = keys.map(() => 0);
  const traces = groups().map((group) => ({ group, values: keys.map(() => 0) }));
  for (const [key, state, label] of rows) {
    if (!at.has(key)) continue;
    sums[at.get(key)] += 1;
    for (const trace of traces) if (trace.group.is(state, label)) trace.values[at.get(key)] += 1;
  }
  const shown = traces.filter((trace) => trace.values.some((value) => value > 0));
  chart(id, shown.map(({ group, values }) => ({
    type: "bar", name: plain(group.name), marker: { color: group.color }, x: keys.map(plain),
    y: shares ? values.map((value, index) => (sums[index] ? value / sums[index] : null)) : values,
    customdata: values, hovertemplate: `%{x}: %{customdata} ${plain(group.name)}<extra></extra>`,
  })), more);
}
const places = () => [...Array(count).keys()].filter((place) => Object.values(filters).every((test) => test(place)));

function drawVolume(chosen) {
  const days = [...new Set(chosen.map((place) => all.day[place]).filter((own) => own !== null))].sort();
  document.getElementById("volume-note").textContent = data.timed
    ? "By the times in the manifest." : "By the times of the files (UTC). A manifest with a column “time” gives others.";
  stack("volume", chosen.map((place) => [all.day[place], all.state[place], all.label[place]]), days,
    { xaxis: { type: "category", nticks: window.innerWidth < 600 ? 3 : 8, tickangle: 0 }, yaxis: { rangemode: "tozero", tickformat: ",d", nticks: 6 } });
}
function drawEmotions(chosen) {
  const own = groups().map((group) => ({ group, n: chosen.filter((place) => group.is(all.state[place], all.label[place])).length }))
    .filter((each) => each.n).reverse();
  chart("emotions", [{ type: "bar", orientation: "h", y: own.map((each) => plain(each.group.name)), x: own.map((each) => each.n),
    marker: { color: own.map((each) => each.group.color) }, text: own.map((each) => `${number(each.n)} (${percent(each.n / chosen.length)})`),
    textposition: "auto", hoverinfo: "skip" }], { showlegend: false, xaxis: { rangemode: "tozero", tickformat: ",d", nticks: 6 } });
}
function drawHours(chosen) {
  const hours = [...Array(24).keys()];
  const with_time = chosen.filter((place) => all.hour[place] !== null);
  document.getElementById("hours-note").textContent = `Share of the answers by the hour${data.timed ? "" : " (UTC)"}; `
    + `${number(with_time.length)} recordings have a time.`;
  stack("hours", with_time.map((place) => [all.hour[place], all.state[place], all.label[place]]), hours,
    { xaxis: { type: "category" }, yaxis: { tickformat: ".0%", range: [0, 1] } }, true);
}
function drawCourse(chosen) {
  const shown = new Set(chosen);
  const rows = [];
  course.recording.forEach((place, at) => {
    if (shown.has(place)) rows.push([course.tenth[at], course.sure[at] ? SURE : UNSURE, course.label[at]]);
  });
  const tenths = [...Array(10).keys()];
  stack("course", rows, tenths, { xaxis: { type: "category", tickvals: tenths.map(String), ticktext: tenths.map((own) => `${own * 10}%`) },
    yaxis: { tickformat: ".0%", range: [0, 1] } }, true);
}
function drawSpeakers(chosen) {
  const rows = [], shares = new Map();
  chosen.forEach((place) => all.speakers[place].forEach(([name, share, label, sure]) => {
    const own = data.speakers[name];
    rows.push([own, sure ? SURE : UNSURE, label]);
    const sum = shares.get(own) || [0, 0];
    shares.set(own, [sum[0] + share, sum[1] + 1]);
  }));
  document.getElementById("by-speaker").hidden = data.speakers.length === 0;
  const names = [...shares.keys()].sort((one, other) => shares.get(other)[1] - shares.get(one)[1]).slice(0, 12);
  const title = (own) => `${own}, ${Math.round(shares.get(own)[0] / shares.get(own)[1])}%`;
  stack("speakers", rows.map(([own, ...rest]) => [names.includes(own) ? title(own) : own, ...rest]), names.map(title),
    { xaxis: { type: "category" }, yaxis: { tickformat: ".0%", range: [0, 1] } }, true);
}
function drawExamples(id, examples, chosen) {
  const table = document.getElementById(id), shown = new Set(chosen);
  table.replaceChildren();
  const head = text(text(table, "thead"), "tr");
  ["Recording", "Emotion", "Probability", "Sentences"].forEach((title) => text(head, "th", title));
  const body = text(table, "tbody");
  const own = examples.filter((each) => shown.has(each.recording)).slice(0, 10);
  own.forEach((each) => {
    const row = text(body, "tr"), place = each.recording;
    text(row, "td", each.file.split(/[\\/]/).slice(-2).join("/")).title = each.file;
    text(row, "td", data.labels[all.label[place]] + (all.state[place] === UNSURE ? " (not sure)" : ""));
    text(row, "td", percent(all.confidence[place]), "number");
    const cell = text(row, "td");
    if (!each.sentences.length) cell.textContent = "no transcript";
    each.sentences.forEach((sentence) => {
      const line = text(cell, "p", undefined, "sentence");
      text(line, "b", `${clock(sentence.start)} ${sentence.speaker ? `${sentence.speaker} ` : ""}${sentence.label}: `);
      line.append(sentence.text);
    });
  });
  if (!own.length) text(text(body, "tr"), "td", "No recording with an emotion is among those chosen.").colSpan = 4;
}
function drawLists() {
  const warnings = document.getElementById("warnings"), errors = document.getElementById("errors");
  if (!data.warnings.length) text(warnings, "p", "No recording has a warning about its quality.", "note");
  data.warnings.slice(0, 30).forEach((each) => {
    const details = text(warnings, "details");
    text(details, "summary", `${number(each.count)} × ${each.text}`);
    each.files.forEach((file) => text(details, "div", file, "note"));
    if (each.files.length < each.count) text(details, "div", `and ${number(each.count - each.files.length)} more`, "note");
  });
  if (!data.errors.kinds.length) text(errors, "p", "Every recording was analyzed.", "note");
  data.errors.kinds.forEach(([kind, n]) => {
    const details = text(errors, "details"), rows = data.errors.rows.filter((row) => row.kind === kind);
    text(details, "summary", `${number(n)} × ${kind === "NoSpeech" ? "no speech" : kind}`);
    rows.forEach((row) => text(details, "div", `${row.file}: ${row.error}`, "note"));
    if (rows.length < n) text(details, "div", `and ${number(n - rows.length)} more, in the dataset`, "note");
  });
}
function drawHead() {
  document.getElementById("lead").textContent = `${data.title}, ${data.written.replace("T", " ")}`;
  const tiles = [["Recordings", number(data.total)], ["Hours of sound", (data.audio_s / 3600).toFixed(1)], ["With an emotion", number(data.counts[SURE])],
    ["Not sure", number(data.counts[UNSURE])], ["No speech", number(data.counts[NO_SPEECH])], ["Errors", number(data.counts[FAILED])]];
  tiles.forEach(([title, value]) => {
    const tile = text(document.getElementById("tiles"), "div");
    text(tile, "dt", title);
    text(tile, "dd", value);
  });
}
function draw() {
  const chosen = places();
  const sample = data.sampled < data.total ? ` of a random sample of ${number(data.sampled)}` : "";
  document.getElementById("chosen").textContent = `${number(chosen.length)} of ${number(count)} recordings${sample}.`;
  drawVolume(chosen);
  drawEmotions(chosen);
  drawHours(chosen);
  drawCourse(chosen);
  drawSpeakers(chosen);
  drawExamples("certain", data.certain, chosen);
  drawExamples("uncertain", data.uncertain, chosen);
}
drawHead();
addFilters();
drawLists();
draw();
dark.addEventListener("change", draw);
