"use strict";
// Maps of wells and of cells, coloured by what the reader chooses; a click or Enter opens the well or shows the cell.
// maps: as in the page's data. names: what a well is called under each colouring; ramps: the number behind that name, for
// colourings with an order. open(well): opens a well; showCell(well, site, nucleus): shows a cell, clears without one.
const wellMap = (maps, names, ramps, label, open, showCell) => {
  // Colours of Okabe and Ito, told apart without red and green; everything beyond them is grey.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6d00", "#6a3d9a", "#000000"];
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], STOPS = 5;
  const OTHER = "#b5b5b5", SIDE = 520, EDGE = 14, RADII = { well: 5, cell: 2.5 }, NEAR = 14;
  const byId = (id) => document.getElementById(id);
  const canvas = byId("map-canvas"), legend = byId("map-legend"), says = byId("map-says");
  let chosen = -1, pinned = -1, shown = new Set(), current = "", colours = new Map();

  const map = () => maps[byId("map-kind").value || 0];
  const at = (values, k) => EDGE + values[k] / 1000 * (SIDE - 2 * EDGE);

  function entry(text, fill) {
    const item = document.createElement("li"), mark = document.createElement("i");
    mark.style.background = fill;
    item.append(mark, text);
    return item;
  }
  // The colour of a share from 0 to 1.
  function onRamp(share) {
    const place = share * (RAMP.length - 1), k = Math.min(Math.floor(place), RAMP.length - 2);
    return `rgb(${RAMP[k].map((from, c) => Math.round(from + (place - k) * (RAMP[k + 1][c] - from))).join(", ")})`;
  }
  function colourInOrder(name, number) {
    const numbers = new Map();
    for (const well of map().wells) if (number(well) !== null) numbers.set(name(well), number(well));
    const ranked = [...numbers].sort((a, b) => a[1] - b[1]), low = ranked[0]?.[1] ?? 0, high = ranked.at(-1)?.[1] ?? 0;
    colours = new Map(ranked.map(([text, value]) => [text, onRamp(high > low ? (value - low) / (high - low) : 0)]));
    const count = Math.min(STOPS, ranked.length);
    const stops = Array.from({ length: count }, (_, k) => ranked[Math.round(k * (ranked.length - 1) / Math.max(1, count - 1))]);
    legend.replaceChildren(...stops.map(([text]) => entry(text, colours.get(text))));
  }
  function colour() {
    const chosenName = byId("map-colour").value, name = names[chosenName], counts = new Map();
    if (ramps[chosenName]) return colourInOrder(name, ramps[chosenName]);
    for (const well of map().wells) if (shown.has(well)) counts.set(name(well), (counts.get(name(well)) || 0) + 1);
    const ranked = [...counts].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0])));
    colours = new Map(ranked.slice(0, COLOURS.length).map(([text], k) => [text, COLOURS[k]]));
    const rest = ranked.slice(COLOURS.length).reduce((sum, [, count]) => sum + count, 0);
    legend.replaceChildren(...[...colours].map(([text, fill]) => entry(`${text} (${counts.get(text)})`, fill)),
      ...(rest ? [entry(`others (${rest})`, OTHER)] : []));
  }
  function draw() {
    const scale = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    canvas.width = canvas.height = SIDE * scale;
    canvas.style.width = canvas.style.height = `${SIDE}px`;
    pen.scale(scale, scale);
    const { wells, x, y, axes, unit } = map(), name = names[byId("map-colour").value], RADIUS = RADII[unit], beyond = new Set(map().far);
    const point = (k, radius) => { pen.beginPath(); pen.arc(at(x, k), at(y, k), radius, 0, 2 * Math.PI); };
    pen.fillStyle = "#ececec";
    wells.forEach((well, k) => { if (!shown.has(well)) { point(k, 0.6 * RADIUS); pen.fill(); } });
    wells.forEach((well, k) => {
      if (!shown.has(well)) return;
      pen.fillStyle = pen.strokeStyle = colours.get(name(well)) || OTHER;
      point(k, RADIUS);
      if (!beyond.has(k)) return pen.fill();
      pen.lineWidth = 1.5;
      pen.stroke();
    });
    wells.forEach((well, k) => {
      if (k !== chosen && k !== pinned && label(well) !== current) return;
      pen.lineWidth = unit === "cell" && k !== chosen && k !== pinned ? 1 : 3;
      pen.strokeStyle = k === chosen || k === pinned ? "#1a1a1a" : "#e69f00";
      point(k, RADIUS + 3);
      pen.stroke();
    });
    pen.fillStyle = "#555";
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(`${axes[0]} →`, SIDE - 110, SIDE - 3);
    pen.fillText(`↑ ${axes[1]}`, 2, 12);
  }
  function choose(k) {
    chosen = k;
    const { wells, site, nucleus } = map(), well = wells[k], cell = site && k >= 0 ? `, site ${site[k]}, nucleus ${nucleus[k]}` : "";
    const facts = Object.keys(names).filter((name) => !ramps[name]).map((name) => k < 0 ? "" : names[name](well));
    says.textContent = k < 0 ? "" : `${label(well)}${cell}: ${facts.join(", ")}`;
    draw();
  }
  function openPoint(k) {
    const { wells, site, nucleus } = map();
    if (!site) return open(wells[k]);
    pinned = k;
    showCell(wells[k], site[k], nucleus[k]);
    draw();
  }
  function clear() {
    pinned = -1;
    showCell();
    choose(-1);
  }
  // The point nearest to a position, in px; in a direction (dx, dy) only points that lie that way.
  function nearest(px, py, dx = 0, dy = 0) {
    const { wells, x, y } = map();
    let best = -1, least = Infinity;
    wells.forEach((well, k) => {
      if (!shown.has(well) || k === chosen && (dx || dy)) return;
      const h = at(x, k) - px, v = at(y, k) - py, along = h * dx + v * dy, across = Math.abs(h * dy) + Math.abs(v * dx);
      if ((dx || dy) && (along <= 0 || across > 2 * along)) return;
      const far = dx || dy ? along + 2 * across : Math.hypot(h, v);
      if (far < least) { least = far; best = k; }
    });
    return { best, least };
  }
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const { best, least } = nearest(event.clientX - box.left, event.clientY - box.top);
    return least <= NEAR ? best : -1;
  }
  function key(event) {
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (event.key === "Enter" && chosen >= 0) openPoint(chosen);
    if (!step) return;
    event.preventDefault();
    const { x, y } = map();
    const found = chosen < 0 ? nearest(SIDE / 2, SIDE / 2) : nearest(at(x, chosen), at(y, chosen), ...step);
    if (found.best >= 0) choose(found.best);
  }
  // matching: the wells that the filters leave; name: the label of the open well.
  function show(matching, name) {
    shown = new Set(matching);
    current = name;
    if (chosen >= 0 && !shown.has(map().wells[chosen])) choose(-1);
    colour();
    draw();
  }
  const fill = (id, texts) => byId(id).replaceChildren(...texts.map(([value, text]) => new Option(text, value)));

  byId("map").hidden = !maps.length;
  if (!maps.length) return { show: () => {} };
  fill("map-kind", maps.map((one, k) => [k, one.title]));
  fill("map-colour", Object.keys(names).map((name) => [name, name]));
  for (const id of ["map-kind", "map-colour"])
    byId(id).addEventListener("change", () => { clear(); colour(); draw(); });
  canvas.addEventListener("mousemove", (event) => choose(under(event)));
  canvas.addEventListener("click", (event) => { const k = under(event); if (k >= 0) openPoint(k); });
  canvas.addEventListener("keydown", key);
  return { show };
};
