// The confusion matrix, the clips behind it, and what else on the page can be clicked.
// It goes on where report_tables.js ends.

const PAGE = 60; // names added to a list at a time
const LABEL_WIDTH = 130; // of the matrix, in pixels; longer names are cut

// --- The confusion matrix ----------------------------------------------------------------------

const cells = new Map(); // "true,predicted" to numbers of clips, the surest first
clips.forEach(([, t, p], i) => {
  const key = `${t},${p}`;
  if (!cells.has(key)) cells.set(key, []);
  cells.get(key).push(i);
});
for (const numbers of cells.values()) numbers.sort((a, b) => clips[b][4] - clips[a][4]);
const totals = classes.map(() => 0);
for (const [, t] of clips) totals[t] += 1;
const cellClips = (t, p) => cells.get(`${t},${p}`) ?? [];

function describeCell(t, p) {
  const count = cellClips(t, p).length;
  const share = totals[t] ? ` (${percent(count / totals[t])})` : "";
  const verb = t === p ? "named right" : `called ${isolate(classes[p])}`;
  return `${isolate(classes[t])}: ${count} of ${totals[t]}${share} ${verb}`;
}

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = "12px system-ui, sans-serif"; // of svg text in report.css
const measure = (text) => ruler.measureText(text).width;

// As many letters as have room, and an ellipsis where that is not all.
function shorten(text, width) {
  if (measure(text) <= width) return text;
  const letters = [...text].slice(0, width);
  while (letters.length && measure(letters.join("") + "…") > width) letters.pop();
  return letters.join("") + "…";
}

function drawMatrix() {
  const count = classes.length;
  const room = Math.min(620, byId("confusions").clientWidth - 8);
  const hasNames = count <= 40;
  const names = hasNames ? classes.map((name) => shorten(name, LABEL_WIDTH)) : [];
  const margin = hasNames ? Math.ceil(14 + Math.max(...names.map(measure))) : 0;
  const size = Math.min(72, Math.max(hasNames ? 16 : 8, Math.floor((room - margin) / count)));
  const side = margin + count * size + 1;
  const svg = draw("svg", {
    width: side, height: side, tabindex: 0, role: "application",
    "aria-label": `Confusion matrix of ${count} classes. Arrow keys move from cell to cell, Enter shows its clips.`,
  });
  svg.append(draw("rect", { x: margin, y: margin, width: count * size, height: count * size, class: "frame" }));
  for (const [key, numbers] of cells) {
    const [t, p] = key.split(",").map(Number);
    const strength = 0.12 + 0.88 * Math.sqrt(numbers.length / totals[t]);
    const [x, y] = [margin + p * size, margin + t * size];
    svg.append(draw("rect", {
      x: x + 0.5, y: y + 0.5, width: size - 1, height: size - 1, rx: size > 30 ? 4 : 0,
      class: t === p ? "fill-true" : "fill-guess", "fill-opacity": strength.toFixed(2), "data-cell": key,
    }));
    if (size >= 22) {
      const colour = strength > 0.6 ? "strong" : "ink";
      svg.append(draw("text", { x: x + size / 2, y: y + size / 2 + 4, "text-anchor": "middle", class: colour }, String(numbers.length)));
    }
  }
  names.forEach((name, k) => {
    const middle = margin + (k + 0.5) * size;
    svg.append(draw("text", { x: margin - 8, y: middle + 4, "text-anchor": "end" }, isolate(name)));
    svg.append(draw("text", { transform: `translate(${middle + 4} ${margin - 8}) rotate(-90)` }, isolate(name)));
  });
  const cursor = draw("rect", { width: size, height: size, class: "cursor", visibility: "hidden" });
  svg.append(cursor);

  let [row, column] = [0, 0];
  const moveTo = (t, p) => {
    [row, column] = [Math.min(count - 1, Math.max(0, t)), Math.min(count - 1, Math.max(0, p))];
    cursor.setAttribute("x", margin + column * size);
    cursor.setAttribute("y", margin + row * size);
    cursor.setAttribute("visibility", "visible");
    byId("readout").textContent = describeCell(row, column);
  };
  const find = (event) => {
    const box = svg.getBoundingClientRect();
    const p = Math.floor((event.clientX - box.left - margin) / size);
    const t = Math.floor((event.clientY - box.top - margin) / size);
    return t >= 0 && p >= 0 && t < count && p < count ? [t, p] : null;
  };
  svg.addEventListener("pointermove", (event) => { const cell = find(event); if (cell) moveTo(...cell); });
  svg.addEventListener("click", (event) => { const cell = find(event); if (cell) { moveTo(...cell); showCell(...cell); } });
  svg.addEventListener("focus", () => moveTo(row, column));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (move) moveTo(row + move[0], column + move[1]);
    else if (event.key === "Enter" || event.key === " ") showCell(row, column);
    else return;
    event.preventDefault();
  });
  byId("matrix").append(svg);
}

function showCell(t, p) {
  const numbers = cellClips(t, p);
  const target = byId("cell-clips");
  byId("readout").textContent = describeCell(t, p);
  target.replaceChildren(make("h3", {}, describeCell(t, p)));
  const shown = numbers.filter((i) => i in cards);
  const rest = numbers.filter((i) => !(i in cards));
  target.append(make("div", { class: "cards" }, ...shown.map(makeCard)));
  if (!rest.length) return;
  target.append(make("p", { class: "lead" }, `${rest.length} without pictures here, and how sure it was:`));
  const list = make("ul", { class: "plain" });
  const more = make("button", { class: "more" });
  const showMore = () => {
    const first = list.children.length;
    for (const i of rest.slice(first, first + PAGE)) {
      list.append(make("li", {}, make("span", {}, clips[i][0]), make("span", { class: "number" }, percent(clips[i][4]))));
    }
    const left = rest.length - list.children.length;
    more.textContent = `Show more (${left} left)`;
    more.hidden = left === 0;
  };
  more.addEventListener("click", showMore);
  showMore();
  target.append(list, more);
}

// --- Clips -------------------------------------------------------------------------------------

function classKind(i, k) {
  const [, t, p] = clips[i];
  if (k === t) return "true";
  return k === p ? "guess" : "other";
}

function makeCard(i) {
  const [name, t, p, probabilityTrue, probability] = clips[i];
  const card = cards[i];
  const said = make("p", {}, "it is ", make("bdi", { class: "is-true" }, classes[t]));
  if (t === p) said.append(`, named right, ${percent(probability)} sure`);
  else said.append(` (${percent(probabilityTrue)}), called `, make("bdi", { class: "is-guess" }, classes[p]), ` (${percent(probability)})`);
  const others = card.classes.filter((k) => k !== t && k !== p);
  if (others.length) said.append(make("span", { class: "is-other" }, `, or ${others.map((k) => isolate(classes[k])).join(", ")}`));

  const count = card.frames.length;
  const inner = make("div");
  inner.style.minWidth = `${count * 34}px`;
  if (card.strip) {
    const strip = make("div", { class: "strip" }, make("img", { src: card.strip, alt: `${nameCount(count, "frame")} of ${isolate(name)}` }));
    if (card.attention) strip.append(make("img", { class: "veil", src: card.attention, alt: "" }));
    // Few frames stay as large as many would be.
    strip.style.setProperty("--count", count);
    inner.style.maxWidth = `${count * 68 + 36}px`;
    inner.append(strip);
  }
  inner.append(make("div", { class: "frames" }, ...card.frames.map((f) => make("span", {}, String(f)))), drawOverTime(i, card));
  return make("article", { class: "card" }, make("h4", {}, name), said, make("div", { class: "sequence" }, inner));
}

function drawOverTime(i, card) {
  const count = card.frames.length;
  const [barsHeight, gap, linesHeight] = [36, 8, 60];
  const x = (frame) => (100 * (frame + 0.5)) / count;
  const y = (probability) => barsHeight + gap + linesHeight * (1 - probability);
  const words = card.classes.map((k, row) => `${isolate(classes[k])} ${percent(card.over_time[row].at(-1))}`);
  const svg = picture(100, barsHeight + gap + linesHeight, `After the last frame: ${words.join(", ")}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const most = Math.max(0, ...card.influence);
  const perNat = barsHeight / (most - Math.min(0, ...card.influence) || 1);
  card.influence.forEach((value, frame) => {
    const bar = draw("rect", {
      x: x(frame) - 30 / count, width: 60 / count, y: (most - Math.max(0, value)) * perNat, height: Math.abs(value) * perNat,
      class: value > 0 ? "fill-other" : "against",
    });
    bar.append(draw("title", {}, `frame ${card.frames[frame]}: ${value > 0 ? "+" : ""}${value} nats`));
    svg.append(bar);
  });
  for (const share of [0, 0.5, 1]) {
    svg.append(draw("line", { x1: 0, x2: 100, y1: y(share), y2: y(share), class: "grid", "vector-effect": "non-scaling-stroke" }));
  }
  const rows = card.classes.map((k, row) => [classKind(i, k), card.over_time[row]]);
  // The true class last, so that it lies on top.
  for (const [kind, probabilities] of rows.reverse()) {
    const points = probabilities.map((value, frame) => [x(frame), y(value)]);
    if (count === 1) points.push([100, points[0][1]]);
    svg.append(draw("path", { d: path(points), class: `line stroke-${kind}` }));
  }
  const chart = make("div", { class: "over-time" }, svg);
  for (const [share, text] of [[1, "100 %"], [0, "0 %"]]) {
    const label = make("span", {}, text);
    label.style.top = `${y(share) - (share ? 7 : 12)}px`;  // inside the picture
    chart.append(label);
  }
  return chart;
}

// --- Buttons and switches ----------------------------------------------------------------------

for (const button of document.querySelectorAll("button.cell")) {
  button.addEventListener("click", () => {
    showCell(Number(button.dataset.true), Number(button.dataset.predicted));
    byId("cell-clips").focus();
    byId("cell-clips").scrollIntoView({ block: "start" });
  });
}
const switches = [...document.querySelectorAll(".veil-switch")];
for (const box of switches) {
  box.addEventListener("change", () => {
    document.body.classList.toggle("no-veil", !box.checked);
    for (const other of switches) other.checked = box.checked;
  });
}

drawReliability();
drawMatrix();
if (data.compare) drawCompare();
byId("most-wrong")?.append(...data.most_wrong.map(makeCard));
byId("least-sure").append(...data.least_sure.map(makeCard));
