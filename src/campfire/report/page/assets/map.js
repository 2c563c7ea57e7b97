"use strict";
// A map of wells: a point per well, coloured by what the reader chooses; a click or Enter opens the well.
// maps, wells: as in the page's data. names: what a well is called under each colouring. open(well): opens a well.
const wellMap = (maps, names, label, open) => {
  // Colours of Okabe and Ito, told apart without red and green; everything beyond them is grey.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6d00", "#6a3d9a", "#000000"];
  const OTHER = "#b5b5b5", SIDE = 520, EDGE = 14, RADIUS = 5, NEAR = 14;
  const byId = (id) => document.getElementById(id);
  const canvas = byId("map-canvas"), legend = byId("map-legend"), says = byId("map-says");
  let chosen = -1, shown = new Set(), current = "", colours = new Map();

  const map = () => maps[byId("map-kind").value || 0];
  const at = (values, k) => EDGE + values[k] / 1000 * (SIDE - 2 * EDGE);

  function colour() {
    const name = names[byId("map-colour").value], counts = new Map();
    for (const well of map().wells) if (shown.has(well)) counts.set(name(well), (counts.get(name(well)) || 0) + 1);
    const ranked = [...counts].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0])));
    colours = new Map(ranked.slice(0, COLOURS.length).map(([text], k) => [text, COLOURS[k]]));
    const rest = ranked.slice(COLOURS.length).reduce((sum, [, count]) => sum + count, 0);
    legend.replaceChildren(...[...colours, ...(rest ? [["others", OTHER]] : [])].map(([text, fill]) => {
      const item = document.createElement("li"), mark = document.createElement("i");
      mark.style.background = fill;
      item.append(mark, `${text} (${text === "others" && fill === OTHER ? rest : counts.get(text)})`);
      return item;
    }));
  }
  function draw() {
    const scale = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    canvas.width = canvas.height = SIDE * scale;
    canvas.style.width = canvas.style.height = `${SIDE}px`;
    pen.scale(scale, scale);
    const { wells, x, y, axes } = map(), name = names[byId("map-colour").value];
    const point = (k, radius) => { pen.beginPath(); pen.arc(at(x, k), at(y, k), radius, 0, 2 * Math.PI); };
    pen.fillStyle = "#ececec";
    wells.forEach((well, k) => { if (!shown.has(well)) { point(k, RADIUS - 2); pen.fill(); } });
    wells.forEach((well, k) => {
      if (!shown.has(well)) return;
      pen.fillStyle = colours.get(name(well)) || OTHER;
      point(k, RADIUS);
      pen.fill();
    });
    wells.forEach((well, k) => {
      if (k !== chosen && label(well) !== current) return;
      pen.lineWidth = 3;
      pen.strokeStyle = k === chosen ? "#1a1a1a" : "#e69f00";
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
    const well = map().wells[k];
    says.textContent = k < 0 ? "" : `${label(well)}: ${Object.values(names).map((name) => name(well)).join(", ")}`;
    draw();
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
    if (event.key === "Enter" && chosen >= 0) open(map().wells[chosen]);
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
    byId(id).addEventListener("change", () => { choose(-1); colour(); draw(); });
  canvas.addEventListener("mousemove", (event) => choose(under(event)));
  canvas.addEventListener("click", (event) => { const k = under(event); if (k >= 0) open(map().wells[k]); });
  canvas.addEventListener("keydown", key);
  return { show };
};
