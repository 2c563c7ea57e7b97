"use strict";
// Names come from sheets and are data: they enter the page as text nodes and attributes, never as markup.
const campfire = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const wells = data.wells, count = (wells.well || []).length;
  const details = new Map(), waiting = new Map();
  const FILTERS = ["plate", "compound", "split", "reason"];
  const FEW = 25, BARS_UM = [5, 10, 20, 50, 100, 200, 500];
  const NUCLEUS_UM = 20, GRID_WIDTH = 1180, SPARSE_SIDE = 130;
  const FILLED = 0.4;  // of the layout of a plate: with fewer wells it is mostly holes
  const ZOOM = 3;  // of a cell's surroundings on the picture of its site
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  let state = {}, matching = [];

  const byId = (id) => document.getElementById(id);
  const number = (value) => (value === null || value === undefined ? "–"
    : value.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(value) ? 15 : 4 }).replace("-", "−"));

  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "circle", "line", "text", "title"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") Object.assign(node.style, value);
      else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  // Sorting: numbers by value, everything else as text; a third click restores the order of the table.
  function value(text) {
    const plain = text.replaceAll("−", "-").replaceAll(",", "");
    const found = plain.match(/^[^\w+-]{0,2}([+-]?\d+(\.\d+)?)/);
    return found ? Number(found[1]) : null;
  }
  function compare(first, second) {
    const a = typeof first === "number" ? first : value(first);
    const b = typeof second === "number" ? second : value(second);
    if (a !== null && b !== null && a !== b) return a - b;
    if ((a === null) !== (b === null)) return a === null ? 1 : -1;
    return String(first).localeCompare(String(second), "en", { numeric: true });
  }
  function nextDirection(head) {
    const direction = { none: "ascending", ascending: "descending", descending: "none" };
    const next = direction[head.getAttribute("aria-sort") || "none"];
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    if (next !== "none") head.setAttribute("aria-sort", next);
    return next;
  }
  // A long printed table shows its first rows, and all of them on request.
  function foldPrinted(table) {
    const body = table.tBodies[0], count = body.rows.length;
    if (count <= FEW + 5) return () => {};
    let folded = true;
    const fold = () => [...body.rows].forEach((row, k) => { row.hidden = folded && k >= FEW; });
    const more = make("button", { type: "button", class: "more", onclick: () => { folded = false; fold(); more.remove(); } },
      `Show all ${number(count)} rows`);
    table.parentNode.after(more);
    fold();
    return fold;
  }
  function sortPrinted(table) {
    const body = table.tBodies[0], original = [...body.rows], fold = foldPrinted(table);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const next = nextDirection(head), rows = [...original];
        const sign = next === "descending" ? -1 : 1;
        if (next !== "none")
          rows.sort((a, b) => sign * compare(a.cells[column].textContent, b.cells[column].textContent));
        body.append(...rows);
        fold();
      });
    });
  }

  // A table of many rows: sorted as numbers and texts, only the first rows are in the document.
  function table(place, title, columns, rows) {
    let shown = FEW, order = rows;
    const body = make("tbody"), more = make("button", { type: "button", onclick: () => { shown += 4 * FEW; fill(); } });
    function fill() {
      body.replaceChildren(...order.slice(0, shown).map((row) =>
        make("tr", { class: row.chosen ? "chosen" : false }, ...columns.map((column) => {
          const text = column.of(row), cell = make("td", { class: typeof text === "number" ? "n" : false });
          cell.append(column.open
            ? make("button", { type: "button", onclick: () => column.open(row) }, String(text))
            : typeof text === "number" ? number(text) : text);
          return cell;
        }))));
      more.hidden = shown >= order.length;
      more.textContent = `Show more (${number(Math.min(shown, order.length))} of ${number(order.length)})`;
    }
    const heads = columns.map((column) => {
      const head = make("th", { scope: "col" });
      head.append(make("button", { type: "button", onclick: () => {
        const next = nextDirection(head), sign = next === "descending" ? -1 : 1;
        order = next === "none" ? rows : [...rows].sort((a, b) => sign * compare(column.of(a), column.of(b)));
        fill();
      } }, column.title));
      return head;
    });
    fill();
    const head = make("thead", {}, make("tr", {}, ...heads));
    byId(place).replaceChildren(
      make("h3", {}, title),
      make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": title }, make("table", {}, head, body)),
      more);
  }

  // What the filters leave.
  function reasonsOf(well) {
    return wells.reasons[well].map((reason) => data.reasons[reason]);
  }
  function compoundOf(well) {
    const found = data.compounds[wells.compound[well]];
    return found ? (found[0] === found[1] ? found[0] : `${found[1]} (${found[0]})`) : "–";
  }
  const splitOf = (well) => data.splits[wells.split[well]] || "–";
  const plateOf = (well) => data.plates[wells.plate[well]].plate;
  function select() {
    const chosen = (name, names) => (state[name] ? names.indexOf(state[name]) : null);
    const plate = chosen("plate", data.plates.map((row) => row.plate));
    const compound = chosen("compound", data.compounds.map((row) => row[0]));
    const split = chosen("split", data.splits), reason = chosen("reason", data.reasons);
    matching = [];
    for (let well = 0; well < count; well++) {
      if ((plate === null || wells.plate[well] === plate) && (compound === null || wells.compound[well] === compound) &&
          (split === null || wells.split[well] === split) &&
          (reason === null || wells.reasons[well].includes(reason))) matching.push(well);
    }
  }
  const total = (name, chosen) => chosen.reduce((sum, well) => sum + wells[name][well], 0);

  // Row and column of a well, from 1; null for a name of another form.
  const position = (well, axis) => (/^[A-Z]+\d+$/.test(wells.well[well]) ? place(wells.well[well])[axis] : null);
  const openWell = (well) => go({ open: plateOf(well), well: wells.well[well] }, "well");
  const map = wellMap(data.maps || [], {
    compound: compoundOf, plate: plateOf, batch: (well) => data.plates[wells.plate[well]].batch, "part of the split": splitOf,
    "well row": (well) => (position(well, 0) ? letter(position(well, 0)) : "–"),
    "well column": (well) => String(position(well, 1) ?? "–"),
  }, { "well row": (well) => position(well, 0), "well column": (well) => position(well, 1) },
  (well) => `${plateOf(well)} ${wells.well[well]}`, openWell, showCell);

  // A cell of the map: its picture, else that part of its site's picture, where the page has one.
  function showCell(well, site, nucleus) {
    if (well === undefined) return byId("map-cell").replaceChildren();
    const plate = plateOf(well), name = wells.well[well];
    const show = (...nodes) => byId("map-cell").replaceChildren(make("p", {}, ...nodes), make("button", {
      type: "button", onclick: () => openWell(well) }, `Open well ${name} of plate ${plate}`));
    if (!data.plates[wells.plate[well]].pictures) return show("This run has no small pictures of this plate.");
    show("…");
    withDetails(plate, ({ facts, pictures }) => {
      const found = pictures.find((shown) => shown.well === name && shown.site === site);
      const cell = found?.cells.find(([number]) => number === nucleus), k = found ? found.nucleus.indexOf(nucleus) : -1;
      const attributes = { class: "picture", role: "img", "aria-label": `Nucleus ${nucleus} of site ${site}, well ${name}` };
      if (cell) show(make("span", { ...attributes, style: picture(facts, "cell", cell[1], 2 * facts.cell_px, plate) }));
      else if (k >= 0) show(make("span", { ...attributes, style: part(facts, found, k, plate) }));
      else show("The page has no picture of this cell.");
    });
  }
  // The surroundings of nucleus k on the picture of its site, enlarged.
  function part(facts, found, k, plate) {
    const side = 2 * facts.cell_px, zoom = ZOOM * facts.site_px, style = picture(facts, "site", found.place, zoom, plate);
    const at = [found.place % facts.columns, Math.floor(found.place / facts.columns)];
    const shift = (column, px) => `${side / 2 - column * zoom - px * ZOOM}px`;
    return { ...style, width: `${side}px`, height: `${side}px`,
      backgroundPosition: `${shift(at[0], found.x[k])} ${shift(at[1], found.y[k])}` };
  }

  function showPlates() {
    const groups = new Map(data.plates.map((row, plate) => [plate, []]));
    for (const well of matching) groups.get(wells.plate[well]).push(well);
    const filtered = FILTERS.some((name) => state[name]);
    const rows = [...groups].filter(([plate, own]) => own.length || !filtered).map(([plate, own]) => ({
      ...data.plates[plate], own, chosen: data.plates[plate].plate === state.open,
    }));
    table("plates", "Plates", [
      { title: "Plate", of: (row) => row.plate, open: (row) => go({ open: row.plate, well: "" }, "plate") },
      { title: "Batch", of: (row) => row.batch },
      { title: "Type", of: (row) => row.type },
      { title: "Role", of: (row) => row.role },
      { title: "Wells", of: (row) => row.own.length },
      { title: "Sites", of: (row) => total("sites", row.own) },
      { title: "Sites kept", of: (row) => total("kept", row.own) },
      { title: "Nuclei", of: (row) => total("nuclei", row.own) },
      { title: "Cells", of: (row) => total("cells", row.own) },
    ], rows);
  }
  function showWells() {
    table("wells", "Wells", [
      { title: "Well", of: (well) => wells.well[well],
        open: (well) => go({ open: plateOf(well), well: wells.well[well] }, "well") },
      { title: "Plate", of: plateOf },
      { title: "Compound", of: compoundOf },
      { title: "Part of the split", of: splitOf },
      { title: "Sites", of: (well) => wells.sites[well] },
      { title: "Sites kept", of: (well) => wells.kept[well] },
      { title: "Nuclei", of: (well) => wells.nuclei[well] },
      { title: "Cells", of: (well) => wells.cells[well] },
      { title: "Left out because of", of: (well) => reasonsOf(well).join(", ") },
    ], matching);
  }
  function summarise() {
    const plates = new Set(matching.map((well) => wells.plate[well])).size;
    byId("summary").textContent = `${number(matching.length)} of ${number(count)} wells on ${number(plates)} plates: ` +
      `${number(total("kept", matching))} of ${number(total("sites", matching))} sites kept, ` +
      `${number(total("cells", matching))} of ${number(total("nuclei", matching))} nuclei became cells.`;
  }

  // Details of a plate: a script beside the page, loaded when the plate is opened.
  function withDetails(plate, then) {
    if (details.has(plate)) return then(details.get(plate));
    if (waiting.has(plate)) return waiting.get(plate).push(then);
    waiting.set(plate, [then]);
    document.head.append(make("script", {
      src: `plates/${encodeURIComponent(plate)}.js`,
      onerror: () => fail(`plates/${plate}.js cannot be read: it must lie beside this page. Make the page again.`),
    }));
  }
  function plate(name, content) {
    details.set(name, content);
    for (const then of waiting.get(name) || []) then(content);
    waiting.delete(name);
  }
  function fail(message) { byId("plate").replaceChildren(make("p", { role: "alert" }, message)); }

  function place(well) {
    const [, row, column] = well.match(/^([A-Z]+)(\d+)$/);
    const letters = [...row].reduce((sum, letter) => 26 * sum + LETTERS.indexOf(letter) + 1, 0);
    return [letters, Number(column)];
  }
  function picture(facts, kind, position, side, plate = state.open) {
    const scale = side / facts[`${kind}_px`], columns = facts.columns;
    return {
      width: `${side}px`, height: `${side}px`, backgroundSize: `${columns * side}px auto`,
      backgroundPosition: `${-(position % columns) * side}px ${-Math.floor(position / columns) * side}px`,
      backgroundImage: `url("${kind}s/${encodeURIComponent(plate)}.jpg")`, fontSize: scale < 0.5 ? "0" : null,
    };
  }
  const links = (...pairs) => make("p", { class: "links" },
    ...pairs.flatMap(([text, address]) => [make("a", { href: address }, text), " "]));

  function showPlate(content) {
    const name = state.open, row = data.plates.find((plate) => plate.plate === name);
    const file = encodeURIComponent(name);
    const found = [
      make("h3", {}, `Plate ${name}`),
      make("p", {}, row.sites === null ? "This run has no images of this plate." :
        `${number(row.kept)} of ${number(row.sites)} sites kept; ${number(row.cells)} of ${number(row.nuclei)} nuclei ` +
        `became cells. Batch ${row.batch}, ${row.type}, role ${row.role}.`),
    ];
    if (row.sites !== null) found.push(links(
      ["sites (parquet)", `../quality/${file}.parquet`], ["nuclei (parquet)", `../nuclei/${file}.parquet`],
      ["tile index (parquet)", `../tiles/${file}.parquet`],
      ["plate layout (csv)", `../figures/plate_layout/${file}.csv`]));
    if (content.pictures) found.push(...layout(content));
    for (const [title, address] of [
      ["Contact sheet: best, median and worst sites with outlines", `../figures/contact_sheet/${file}.jpg`],
      ["Quality in the layout of the plate", `../figures/plate_layout/${file}.png`],
    ]) if (row.sites !== null && (row.pictures || title.startsWith("Quality")))
      found.push(make("details", {}, make("summary", {}, title),
        make("a", { href: address }, make("img", { loading: "lazy", src: address, alt: `${title}, plate ${name}` }))));
    byId("plate").replaceChildren(...found);
  }

  function layout(content) {
    const first = new Map();
    for (const shown of content.pictures) {
      const known = first.get(shown.well);
      if (!known || (!known.cells.length && shown.cells.length)) first.set(shown.well, shown);
    }
    const places = [...first.keys()].map(place), unique = (k) => [...new Set(places.map((p) => p[k]))].sort((a, b) => a - b);
    const rows = unique(0), columns = unique(1), facts = content.facts;
    const sparse = first.size < rows.length * columns.length * FILLED;
    const across = sparse ? Math.min(first.size, Math.floor(GRID_WIDTH / SPARSE_SIDE)) : columns.length;
    const side = Math.max(28, Math.min(facts.site_px, Math.floor(GRID_WIDTH / across) - 2));
    const grid = make("div", {
      class: "grid", onkeydown: arrows,
      style: { gridTemplateColumns: `${sparse ? "" : "1.6rem "}repeat(${across}, ${side}px)` },
    });
    const tile = wellTile(facts, side);
    if (sparse) {
      const ordered = [...first.values()].sort((a, b) => compare(a.well, b.well));
      grid.append(...ordered.map((found, k) => tile(found, Math.floor(k / across), k % across)));
    } else {
      const shown = new Map([...first.values()].map((found) => [place(found.well).join(), found]));
      grid.append(make("span"), ...columns.map((column) => make("span", { class: "head" }, String(column))));
      for (const row of rows) {
        grid.append(make("span", { class: "head" }, letter(row)));
        grid.append(...columns.map((column) => {
          const found = shown.get([row, column].join());
          return found ? tile(found, row, column) : make("span", { class: "tile none", style: { height: `${side}px` } });
        }));
      }
    }
    const order = sparse ? "in the order of wells" : "in the layout of the plate, without its empty rows and columns";
    return [
      make("p", { class: "note" }, `One site of each well, ${order}, in false colour: ${facts.channels.join(", ")}. ` +
        `Contrast is the same for the whole plate. An orange frame: some site of the well was left out. Pale: outside ` +
        `the filter. Arrow keys move, Enter opens.`),
      grid,
    ];
  }
  const letter = (row) => (row > 26 ? LETTERS[Math.floor((row - 1) / 26) - 1] : "") + LETTERS[(row - 1) % 26];
  function wellTile(facts, side) {
    const left = new Set(matching.filter((well) => plateOf(well) === state.open).map((well) => wells.well[well]));
    const byWell = new Map();
    for (let well = 0; well < count; well++) if (plateOf(well) === state.open) byWell.set(wells.well[well], well);
    return (found, row, column) => {
      const well = byWell.get(found.well), known = data.compounds[wells.compound[well]];
      const name = well === undefined ? "–" : compoundOf(well);
      const lost = well !== undefined && wells.kept[well] < wells.sites[well];
      const kinds = [["lost", lost], ["dim", !left.has(found.well)], ["chosen", found.well === state.well]];
      return make("button", {
        type: "button", "data-row": row, "data-column": column, title: `${found.well}: ${name}`,
        class: ["tile", ...kinds.filter(([, on]) => on).map(([kind]) => kind)].join(" "),
        "aria-label": `Well ${found.well}, ${name}${lost ? ", sites left out" : ""}`,
        style: picture(facts, "site", found.place, side),
        onclick: () => go({ well: found.well }, "well"),
      }, make("span", {}, found.well, make("br"), known ? known[1] : ""));
    };
  }
  function arrows(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || !event.target.dataset.row) return;
    const axis = step[0] ? "row" : "column", other = step[0] ? "column" : "row", sign = step[0] + step[1];
    const here = event.target.dataset;
    const ahead = [...event.currentTarget.querySelectorAll("button")]
      .filter((tile) => tile.dataset[other] === here[other] && sign * (tile.dataset[axis] - here[axis]) > 0)
      .sort((a, b) => sign * (a.dataset[axis] - b.dataset[axis]));
    if (ahead.length) ahead[0].focus();
    event.preventDefault();
  }

  function showWell(content) {
    const name = state.well, sites = content.sites, facts = content.facts;
    let well = -1;
    for (let k = 0; k < count; k++) if (wells.well[k] === name && plateOf(k) === state.open) well = k;
    const here = matching.filter((k) => plateOf(k) === state.open && wells.sites[k]).map((k) => wells.well[k]);
    const at = here.indexOf(name);
    const step = (text, to) => make("button", { type: "button", disabled: !to, onclick: () => go({ well: to }, "well") }, text);
    const rows = sites ? sites.well.map((_, k) => k).filter((k) => sites.well[k] === name) : [];
    const shown = (content.pictures || []).filter((found) => found.well === name);
    byId("well").replaceChildren(
      make("h3", {}, `Well ${name} of plate ${state.open}`),
      make("p", {}, well < 0 ? "" : `${compoundOf(well)}; ${splitOf(well)}. ${number(wells.kept[well])} of ` +
        `${number(wells.sites[well])} sites kept; ${number(wells.cells[well])} of ${number(wells.nuclei[well])} nuclei ` +
        `became cells.`),
      make("p", {}, step("Previous well", here[at - 1]), " ", step("Next well", here[at + 1]), " ",
        make("button", { type: "button", onclick: () => go({ well: "" }, "plate") }, "Close (Esc)")),
      make("p", { class: "legend note" }, "Circles:", make("i", { class: "kept" }), "became a cell",
        make("i", { class: "lost" }), "left out, the reason beside it. Below a site some of its cells; point at one to see where it is."),
      make("div", { class: "sites" }, ...shown.map((found) => site(found, facts, rows, sites))),
      make("div", { id: "sites" }));
    const measures = ["focus", "saturated", "background", "debris"].filter((measure) => sites && sites[measure]);
    table("sites", "All sites of the well", [
      { title: "Site", of: (k) => sites.site[k] },
      { title: "Left out because of", of: (k) => sites.reason[k] || "–" },
      { title: "Nuclei", of: (k) => sites.nuclei[k] },
      { title: "Cells", of: (k) => sites.cells[k] },
      ...measures.map((measure) => ({
        title: measure[0].toUpperCase() + measure.slice(1), of: (k) => sites[measure][k] ?? "–" })),
    ], rows);
  }
  // Where a word beside a circle covers no other word and stays inside the picture: left, top, right, bottom; else nothing.
  function freePlace(x, y, radius, width, height, px, taken) {
    const middle = y + height / 2;
    return [[x + radius, middle], [x - radius - width, middle], [x - width / 2, y - radius], [x - width / 2, y + radius + height]]
      .map(([left, bottom]) => [left, bottom - height, left + width, bottom])
      .find(([left, top, right, bottom]) => left >= 0 && top >= 0 && right <= px && bottom <= px &&
        !taken.some((box) => left < box[2] && right > box[0] && top < box[3] && bottom > box[1]));
  }
  function site(found, facts, rows, sites) {
    const side = 2 * facts.site_px, radius = NUCLEUS_UM / 2 / facts.um_per_px, px = facts.site_px;
    const overlay = make("svg", { viewBox: `0 0 ${px} ${px}`, role: "img",
      "aria-label": `Site ${found.site} with ${found.x.length} nuclei` });
    const wanted = px * facts.um_per_px / 5;
    const um = BARS_UM.reduce((best, bar) => (Math.abs(bar - wanted) < Math.abs(best - wanted) ? bar : best));
    const right = 0.96 * px, left = right - um / facts.um_per_px, y = 0.95 * px;
    const circles = new Map(), taken = [[left, y - px / 15, right, px]], size = px / 26;
    found.x.forEach((x, k) => {
      const reason = found.reason[k];
      const circle = make("circle", { cx: x, cy: found.y[k], r: radius, class: reason ? "lost" : "kept" },
        make("title", {}, `Nucleus ${found.nucleus[k]}: ${reason || "became a cell"}`));
      circles.set(found.nucleus[k], circle);
      overlay.append(circle);
      if (!reason || reason.startsWith("site ")) return;
      const free = freePlace(x, found.y[k], radius, 0.6 * size * reason.length, size, px, taken);
      if (!free) return;  // the circle has it as its title
      taken.push(free);
      overlay.append(make("text", { x: free[0], y: free[3], "font-size": size }, reason));
    });
    overlay.append(make("line", { class: "bar", x1: left, x2: right, y1: y, y2: y }),
      make("text", { x: (left + right) / 2, y: y - px / 60, "text-anchor": "middle", "font-size": px / 22 }, `${um} µm`));
    const row = rows.find((k) => sites.site[k] === found.site), reason = row === undefined ? "" : sites.reason[row];
    const mark = (nucleus, on) => circles.get(nucleus)?.classList.toggle("chosen", on);
    return make("figure", { class: "site" },
      make("div", { class: "picture", style: picture(facts, "site", found.place, side) }, overlay),
      make("figcaption", {}, `Site ${found.site}${reason ? `, left out: ${reason}` : ""}; ` +
        `${number(found.reason.filter((text) => !text).length)} of ${number(found.x.length)} nuclei became cells`),
      make("div", { class: "cells" }, ...found.cells.map(([nucleus, position]) => make("button", {
        type: "button", class: "tile", title: `Nucleus ${nucleus}`, "aria-label": `Cell of nucleus ${nucleus}`,
        style: { ...picture(facts, "cell", position, facts.cell_px) },
        onfocus: () => mark(nucleus, true), onblur: () => mark(nucleus, false),
        onmouseenter: () => mark(nucleus, true), onmouseleave: () => mark(nucleus, false),
      }, make("span", {}, String(nucleus))))));
  }

  // The address after # holds what is open, so that the back button works and a view can be sent to a colleague.
  function go(changes, focus) {
    state = { ...state, ...changes };
    const address = new URLSearchParams(Object.entries(state).filter(([, text]) => text)).toString();
    history.pushState(null, "", `#${address || "browse"}`);
    show(focus);
  }
  function read() {
    const text = location.hash.slice(1);
    state = text.includes("=") ? Object.fromEntries(new URLSearchParams(text)) : {};
  }
  function show(focus) {
    for (const name of FILTERS) byId(`filter-${name}`).value = state[name] || "";
    select();
    summarise();
    showPlates();
    showWells();
    map.show(matching, `${state.open} ${state.well}`);
    byId("plate").replaceChildren();
    byId("well").replaceChildren();
    if (!state.open) return;
    if (!data.plates.some((row) => row.plate === state.open)) return fail(`This run has no plate ${state.open}.`);
    const wanted = state.open;
    withDetails(wanted, (content) => {
      if (state.open !== wanted) return;
      showPlate(content);
      if (state.well && content.sites) showWell(content);
      if (focus) { byId(focus).focus({ preventScroll: true }); byId(focus).scrollIntoView(); }
    });
  }
  function fillFilter(name, pairs) {
    const filter = byId(`filter-${name}`);
    filter.replaceChildren(make("option", { value: "" }, "all"),
      ...pairs.map(([key, text]) => make("option", { value: key }, text)));
    filter.addEventListener("change", () => go({ [name]: filter.value }));
  }

  function start() {
    document.querySelectorAll("table.sortable").forEach(sortPrinted);
    fillFilter("plate", data.plates.map((row) => [row.plate, row.plate]));
    fillFilter("compound", data.compounds.map(([key, text]) => [key, key === text ? key : `${text} (${key})`]));
    fillFilter("split", data.splits.map((text) => [text, text]));
    fillFilter("reason", data.reasons.map((text) => [text, text]));
    byId("filters").addEventListener("reset", (event) => {
      event.preventDefault();
      go(Object.fromEntries(FILTERS.map((name) => [name, ""])));
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && state.open) go(state.well ? { well: "" } : { open: "" }, state.well ? "plate" : null);
    });
    addEventListener("popstate", () => { read(); show(); });
    read();
    show(state.well ? "well" : state.open ? "plate" : null);
  }
  // Scripts of plates call campfire.plate, so this object exists before the first of them is asked for.
  queueMicrotask(start);
  return { plate };
})();
