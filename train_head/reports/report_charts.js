"use strict";
// What draws, and the charts of the report. Names go in as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const { classes, clips, cards } = data;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
// A name that is read from right to left turns nothing around but itself, as in a <bdi>.
const isolate = (name) => (/^[ -~]*$/.test(name) ? name : `\u2068${name}\u2069`);

// 0 % is none and 100 % is all.
function percent(x) {
  if (x > 0 && x < 0.0005) return "< 0.1 %";
  if (x >= 0.9995 && x < 1) return "> 99.9 %";
  return (100 * x).toFixed((x > 0 && x < 0.1) || (x >= 0.995 && x < 1) ? 1 : 0) + " %";
}

const nameCount = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function picture(width, height, title) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  svg.append(draw("title", {}, title));
  return svg;
}

// --- Curves ------------------------------------------------------------------------------------

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [400, 230, 44, 20, 12, 28];

// Axes from 0 to the largest value. Returns the picture and what turns numbers into its points.
function plot({ title, xs, yMax, yText, xText, yStep }) {
  const svg = picture(WIDTH, HEIGHT, title);
  const [low, high] = xs;
  const x = (value) => LEFT + ((value - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / yMax) * (HEIGHT - TOP - BOTTOM);
  for (let value = 0; value <= yMax * 1.001; value += yStep) {
    svg.append(
      draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
      draw("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, yText(value)),
    );
  }
  for (const value of new Set([low, Math.round((low + high) * 50) / 100, high])) {
    if (!xText(value)) continue;
    svg.append(draw("text", { x: x(value), y: HEIGHT - 8, "text-anchor": "middle" }, xText(value)));
  }
  return { svg, x, y };
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function niceStep(maximum) {
  const power = 10 ** Math.floor(Math.log10(maximum / 4 || 1));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => maximum / step <= 5);
}

function drawCurve(target, name, isShare) {
  const yText = isShare ? percent : (x) => String(Number(x.toPrecision(2)));
  const { rows, best_epoch: best } = data.training;
  const series = [["val", "val_" + name, "true"], ["train", name, "guess"]]
    .map(([label, key, colour]) => ({ label, colour, points: rows.filter((r) => key in r).map((r) => [r.epoch, r[key]]) }))
    .filter((s) => s.points.length);
  const largest = Math.max(...series.flatMap((s) => s.points.map((p) => p[1])));
  const yStep = isShare ? 0.25 : niceStep(largest);
  const yMax = isShare ? 1 : Math.ceil(largest / yStep) * yStep || 1;
  const last = series.map((s) => `${s.label} ${yText(s.points.at(-1)[1])}`).join(", ");
  const xText = (value) => (Number.isInteger(value) ? String(value) : "");
  const { svg, x, y } = plot({
    title: `${name} by epoch; after the last: ${last}`, xs: [rows[0].epoch, rows.at(-1).epoch], yMax, yText, xText, yStep,
  });
  svg.append(draw("line", { x1: x(best), x2: x(best), y1: TOP, y2: HEIGHT - BOTTOM, class: "diagonal" }));
  // Above the end of the line, or below where it ends at the top; beside the mark of the best epoch.
  const place = (at) => Math.min(HEIGHT - BOTTOM - 6, at - 8 < TOP + 10 ? at + 18 : at - 8);
  const labels = series.map((s) => ({ ...s, at: place(y(s.points.at(-1)[1])), end: WIDTH - RIGHT - 6 }));
  // Where the lines end close together, their labels stand side by side.
  if (labels.length > 1 && Math.abs(labels[0].at - labels[1].at) < 14) labels[1].end -= 28;
  for (const { colour, points } of labels) {
    svg.append(draw("path", { d: path(points.map(([a, b]) => [x(a), y(b)])), class: `line stroke-${colour}` }));
    for (const [a, b] of points.length > 1 ? [points.at(-1)] : points) {
      svg.append(draw("circle", { cx: x(a), cy: y(b), r: 3.5, class: `fill-${colour}` }));
    }
  }
  for (const { label, colour, at, end } of labels) {  // on all lines
    svg.append(draw("text", { x: end, y: at, "text-anchor": "end", class: `fill-${colour}` }, label));
  }
  byId(target).append(svg);
}

function drawReliability() {
  const bins = data.reliability;
  const { svg, x, y } = plot({
    title: `Right by confidence: ${bins.map((b) => `${percent(b.confidence)} sure, ${percent(b.accuracy)} right`).join("; ")}`,
    xs: [0, 1], yMax: 1, yText: percent, xText: percent, yStep: 0.25,
  });
  svg.append(draw("line", { x1: x(0), x2: x(1), y1: y(0), y2: y(1), class: "diagonal" }));
  svg.append(draw("path", { d: path(bins.map((b) => [x(b.confidence), y(b.accuracy)])), class: "line stroke-true" }));
  const most = Math.max(...bins.map((b) => b.num_clips));
  for (const bin of bins) {
    const radius = 3 + 7 * Math.sqrt(bin.num_clips / most);
    const dot = draw("circle", { cx: x(bin.confidence), cy: y(bin.accuracy), r: radius, class: "fill-true", "fill-opacity": 0.75 });
    dot.append(draw("title", {}, `${percent(bin.confidence)} sure, ${percent(bin.accuracy)} right, ${nameCount(bin.num_clips, "clip")}`));
    svg.append(dot);
  }
  byId("reliability-curve").append(svg);
}

function drawCompare() {
  const { models } = data.compare;
  // As wide as there is room, so that names keep their size on a phone.
  const width = Math.min(640, byId("compare-plot").clientWidth - 16);
  const [left, height] = [20 + Math.max(...models.map((m) => measure(m.title))), 26 * models.length + 30];
  const svg = picture(width, height, models.map((m) => `${m.title} ${percent(m.mean)}`).join(", "));
  const lowest = Math.floor(Math.min(...models.flatMap((m) => m.top1)) * 10) / 10;
  const low = Math.min(lowest, 0.9);
  const x = (value) => left + ((value - low) / (1 - low)) * (width - left - 24);
  for (const value of [low, (1 + low) / 2, 1]) {
    svg.append(draw("line", { x1: x(value), x2: x(value), y1: 4, y2: height - 24, class: "grid" }));
    svg.append(draw("text", { x: x(value), y: height - 8, "text-anchor": "middle" }, percent(value)));
  }
  models.forEach((model, row) => {
    const y = 20 + 26 * row;
    svg.append(draw("text", { x: left - 12, y: y + 4, "text-anchor": "end", class: "ink" }, model.title));
    for (const top1 of model.top1) svg.append(draw("circle", { cx: x(top1), cy: y, r: 3, class: "fill-other" }));
    const colour = model.name.startsWith("mean") ? "guess" : "true";
    svg.append(draw("circle", { cx: x(model.mean), cy: y, r: 6, class: `fill-${colour}` }));
  });
  byId("compare-plot").append(svg);
}

drawCurve("top1-curve", "top1", true);
drawCurve("loss-curve", "loss", false);
