"use strict";
// The board's table: sorted, searched and filtered by DataTables, with the state in the address, so that a view can be
// sent to somebody. Everything it shows is in the markup; without script the table stands there whole.
(() => {
  const element = document.getElementById("board");
  if (!element) return;
  const by = (id) => document.getElementById(id);
  const texts = JSON.parse(by("data").textContent);
  const heads = [...element.tHead.rows[0].cells];
  const ids = heads.map((head) => head.dataset.id);
  const facts = [...element.tBodies[0].rows].map((row) => ({ ...row.dataset, missing: row.dataset.size === "" }));

  // What is missing stands last in either direction.
  const last = (sign) => (a, b) => (a === null || b === null ? (a === null) - (b === null) : sign * (a < b ? -1 : a > b ? 1 : 0));
  DataTable.type("nullnum", { order: { pre: (d) => (d === "" ? null : Number(d)), asc: last(1), desc: last(-1) } });
  DataTable.ext.errMode = (settings, note, message) => console.error(message);

  const fields = [...document.querySelectorAll("#filters [data-filter]")];
  const value = (field) => (field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim());
  const tests = {
    family: (fact, wanted) => fact.family === wanted,
    license: (fact, wanted) => fact.license === wanted,
    kind: (fact, wanted) => fact.kind === wanted,
    check: (fact, wanted) => fact.check === wanted,
    min: (fact, wanted) => !fact.missing && Number(fact.size) >= Number(wanted) * 1e9,
    max: (fact, wanted) => !fact.missing && Number(fact.size) <= Number(wanted) * 1e9,
    since: (fact, wanted) => fact.date >= wanted,
    open: (fact) => fact.open === "1",
    clean: (fact) => fact.clean === "1",
  };
  let active = [];
  DataTable.ext.search.push((settings, cells, index) => active.every(([name, wanted]) => tests[name](facts[index], wanted)));

  // Columns that are not shown are left out from the start: to hide them later would lay out the table for each.
  const boxes = [...document.querySelectorAll("#columns input[data-column]")];
  const groups = [...document.querySelectorAll("#columns input[data-group]")];
  const folded = new Set(boxes.filter((box) => !box.defaultChecked).map((box) => box.dataset.column));
  const hiddenBy = (state) => (state.has("hide") ? new Set(state.get("hide").split(",")) : folded);
  const hiddenAtFirst = [...hiddenBy(new URLSearchParams(location.hash.slice(1)))].map((id) => ids.indexOf(id)).filter((at) => at >= 0);

  const table = new DataTable(element, {
    paging: facts.length > 100,
    pageLength: 100,
    lengthChange: false,
    autoWidth: false,
    deferRender: true,
    order: [],
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: facts.length > 100 ? "paging" : null },
    language: { emptyTable: texts.none, zeroRecords: texts.none },
    columnDefs: [
      { targets: hiddenAtFirst, visible: false },
      { targets: "value", type: "nullnum", orderSequence: ["desc", "asc"] },
      { targets: "low", type: "nullnum", orderSequence: ["asc", "desc"] },
      { targets: "text", type: "string", orderSequence: ["asc", "desc"] },
      { targets: "unsorted", orderable: false },
      { targets: "model", searchable: true },
      { targets: "_all", searchable: false },
    ],
  });
  const outer = document.querySelector(".scroller:has(#board)");
  for (const name of ["tabindex", "role", "aria-labelledby"]) outer.removeAttribute(name);
  outer.classList.remove("scroller");
  const scroller = element.closest(".dt-layout-cell");
  scroller.classList.add("scroller");
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", texts.caption);

  // Cells of large boards hold their numbers only: links and drawings are made for the rows that are shown.
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
    return made;
  };
  const drawn = (cell, head) => {
    const [low, high] = cell.dataset.v.split(" ").map(Number);
    const number = Number(cell.dataset.order);
    const [from, to, chance] = head.dataset.scale.split(" ").map(Number);
    const x = (v) => (3 + Math.min(1, Math.max(0, (v - from) / (to - from))) * 90).toFixed(1);
    const bar = svg("svg", { class: "bar", viewBox: "0 0 96 10", width: 96, height: 10, "aria-hidden": "true" });
    bar.append(svg("path", { class: "axis", d: "M3 5h90" }));
    if (!Number.isNaN(chance)) bar.append(svg("path", { class: "chance", d: "M" + x(chance) + " 0v10" }));
    bar.append(svg("path", { class: "range", d: "M" + x(low) + " 5H" + x(high) }), svg("circle", { class: "point", cx: x(number), cy: 5, r: 2.2 }));
    return bar;
  };
  const enrich = () => {
    for (const row of table.rows({ page: "current" }).nodes().toArray()) {
      if (row.dataset.base === undefined || row.dataset.done) continue;
      row.dataset.done = "1";
      for (const cell of row.querySelectorAll("td[data-v]")) {
        const head = heads[table.cell(cell).index().column];
        const link = document.createElement("a");
        link.href = row.dataset.base + head.dataset.file;
        const text = cell.firstChild;
        link.append(text.textContent);
        text.replaceWith(link);
        if (cell.dataset.v) cell.append(drawn(cell, head));
      }
    }
  };
  if (element.classList.contains("lean")) {
    enrich();
    table.on("draw", enrich);
  }

  // The address: #q=...&sort=id.desc&hide=id,id&family=...
  const count = by("count");
  const search = by("search");
  const write = () => {
    const state = new URLSearchParams();
    if (search.value.trim()) state.set("q", search.value.trim());
    for (const [name, wanted] of active) state.set(name, wanted);
    const [[column, direction] = []] = table.order();
    if (direction) state.set("sort", ids[column] + "." + direction);
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.dataset.column);
    if (hidden.length !== folded.size || hidden.some((id) => !folded.has(id))) state.set("hide", hidden.join(","));
    const text = state.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
    by("reset").hidden = !text;
  };
  const show = () => {
    const shown = table.rows({ search: "applied" }).count();
    count.textContent = shown === facts.length ? "" : shown + " of " + facts.length;
    const filters = by("filters").querySelector("summary");
    filters.textContent = active.length ? "Filters (" + active.length + ")" : "Filters";
  };
  const filter = () => {
    active = fields.map((field) => [field.dataset.filter, value(field)]).filter(([, wanted]) => wanted !== "");
    table.search(search.value).draw();
    show();
    write();
  };
  const fold = () => {
    const change = (wanted) => boxes.filter((box) => box.checked === wanted).map((box) => ids.indexOf(box.dataset.column)).filter((at) => table.column(at).visible() !== wanted);
    for (const wanted of [true, false]) if (change(wanted).length) table.columns(change(wanted)).visible(wanted);
    for (const group of groups) {
      const own = boxes.filter((box) => box.dataset.of === group.dataset.group);
      const on = own.filter((box) => box.checked).length;
      group.checked = on === own.length;
      group.indeterminate = on > 0 && on < own.length;
    }
  };
  const read = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    search.value = state.get("q") || "";
    for (const field of fields) {
      const wanted = state.get(field.dataset.filter) || "";
      if (field.type === "checkbox") field.checked = wanted === "1";
      else if (field.tagName === "SELECT") field.value = [...field.options].some((option) => option.value === wanted) ? wanted : "";
      else field.value = wanted;
    }
    const hidden = hiddenBy(state);
    for (const box of boxes) box.checked = !hidden.has(box.dataset.column);
    const [, id, direction] = /^(.*)\.(asc|desc)$/.exec(state.get("sort") || "") || [];
    table.order(ids.includes(id) ? [[ids.indexOf(id), direction]] : []);
    // Without an order DataTables leaves the rows as they are, not as they were.
    table.settings()[0].aiDisplayMaster.sort((a, b) => a - b);
    fold();
    filter();
  };
  for (const field of [search, ...fields]) field.addEventListener("input", filter);
  for (const box of boxes) box.addEventListener("change", () => { fold(); write(); });
  for (const group of groups) group.addEventListener("change", () => {
    for (const box of boxes) if (box.dataset.of === group.dataset.group) box.checked = group.checked;
    fold();
    write();
  });
  table.on("order", write);
  by("reset").addEventListener("click", () => { history.replaceState(null, "", location.pathname + location.search); read(); });
  addEventListener("hashchange", read);
  for (const hidden of document.querySelectorAll(".controls")) hidden.hidden = false;
  read();
})();
