"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const view = at("view"), box = at("list"), article = at("row"), search = at("search"), order = at("order");
  const two = data.models.length > 1;
  const drawer = new RowView(data);
  const state = { outcomes: new Set(), groups: new Map(), change: "" };
  let shown = [], place = -1;
  view.classList.add("live");

  /* Texts: each is in the page once, and rows hold numbers. */
  const lower = [];
  const numbersOf = data.rows.map(() => null);
  const numbers = (number) => {
    if (numbersOf[number] === null) {
      const row = data.rows[number], found = new Set();
      const ofTurns = (turns) => turns.forEach(([, parts, further]) => [...parts, ...further].forEach(([, each]) => found.add(each)));
      if (row.prompt) ofTurns(row.prompt);
      (row.candidates ?? []).forEach(([, own, messages]) => [own, messages].forEach(ofTurns));
      (row.context ?? []).forEach(([, each]) => found.add(each));
      row.answers.forEach((answer) => (answer.verdicts ?? []).forEach(([, each]) => each !== null && found.add(each)));
      numbersOf[number] = [...found];
    }
    return numbersOf[number];
  };
  const holding = (wanted) => {
    const found = data.texts.map((text, number) => (lower[number] ??= text.toLowerCase()).includes(wanted));
    return (row, number) => named(row).includes(wanted) || numbers(number).some((each) => found[each]);
  };
  const named = (row) => (row.lower ??= [row.id, ...row.groups.map((pair) => pair.join("=")), ...row.answers.map((answer) => answer.error ?? "")].join("\n").toLowerCase());
  const start = (row) => {
    const turn = row.prompt?.findLast(([role]) => role === "user") ?? row.prompt?.[0];
    const text = turn?.[1].find(([kind]) => kind === "text");
    return text ? data.texts[text[1]].slice(0, 200) : row.groups.map((pair) => pair.join(": ")).join(", ");
  };

  /* Filters and orders. */
  const change = (row) => Math.sign((row.answers[1]?.credit ?? 0) - (row.answers[0].credit ?? 0));
  const missingLast = (sign) => (a, b) => {
    const x = data.rows[a].answers[0].margin, y = data.rows[b].answers[0].margin;
    return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);
  };
  const ORDERS = { given: null, lowest: missingLast(1), highest: missingLast(-1) };
  const filtered = () => {
    const wanted = search.value.trim().toLowerCase();
    const holds = wanted ? holding(wanted) : null;
    const kept = [];
    data.rows.forEach((row, number) => {
      if (state.outcomes.size && !state.outcomes.has(data.outcomes[row.answers[0].outcome])) return;
      for (const [name, value] of state.groups) if (!row.groups.some((pair) => pair[0] === name && pair[1] === value)) return;
      if (state.change && String(change(row)) !== state.change) return;
      if (!holds || holds(row, number)) kept.push(number);
    });
    return ORDERS[order.value] ? kept.sort(ORDERS[order.value]) : kept;
  };

  const list = new LongList(box, 62, (option, number) => {
    const row = data.rows[number];
    const marks = element("span", "marks");
    row.answers.forEach((answer) => {
      const outcome = data.outcomes[answer.outcome];
      marks.append(element("span", `mark ${OUTCOME_KINDS[outcome] ?? ""}`, OUTCOME_SIGNS[outcome], element("span", "hidden-text", ` ${outcome} `)));
    });
    const margin = row.answers[0].margin;
    option.append(
      element("span", "line", marks, element("span", "id", row.id), margin === null ? "" : element("span", "figure", decimal(margin, true, row.answers[0].unit))),
      element("span", "start", start(row)),
    );
  }, (at) => choose(at, true));

  const choose = (at, reading) => {
    place = Math.max(-1, Math.min(at, shown.length - 1));
    list.select(place);
    view.classList.toggle("reading", reading && place >= 0);
    draw();
    keep();
  };
  const draw = () => {
    at("place").textContent = place < 0 ? "" : `${count(place + 1)} of ${count(shown.length)}`;
    at("previous").disabled = place <= 0;
    at("next").disabled = place < 0 || place >= shown.length - 1;
    at("content").replaceChildren(place < 0 ? element("p", "soft", "No row is chosen.") : drawer.of(data.rows[shown[place]]));
    article.scrollTop = 0;
    mark();
  };
  /* What was searched for, marked without touching the document. */
  const mark = () => {
    if (!globalThis.Highlight) return;
    CSS.highlights.delete("found");
    const wanted = search.value.trim().toLowerCase();
    if (!wanted) return;
    const ranges = [];
    const walk = document.createTreeWalker(at("content"), NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node && ranges.length < 1000; node = walk.nextNode()) {
      const text = node.data.toLowerCase();
      if (text.length !== node.data.length) continue;
      for (let from = text.indexOf(wanted); from >= 0 && ranges.length < 1000; from = text.indexOf(wanted, from + wanted.length)) {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, from + wanted.length);
        ranges.push(range);
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  };
  article.addEventListener("grown", mark);

  const refresh = (wantedRow) => {
    const before = wantedRow ?? data.rows[shown[place]]?.id;
    shown = filtered();
    const again = before === undefined ? -1 : shown.findIndex((number) => data.rows[number].id === before);
    place = again >= 0 ? again : shown.length ? 0 : -1;
    list.show(shown, place);
    at("count").textContent = shown.length === data.rows.length ? `${count(shown.length)} rows` : `${count(shown.length)} of ${count(data.rows.length)} rows`;
    for (const button of at("outcomes").querySelectorAll("button")) button.setAttribute("aria-pressed", String(state.outcomes.has(button.dataset.name)));
    draw();
    keep();
  };

  /* The address says what is shown, so that it can be shared. */
  const keep = () => {
    const said = new URLSearchParams();
    if (search.value.trim()) said.set("q", search.value.trim());
    if (state.outcomes.size) said.set("outcome", [...state.outcomes].join(","));
    for (const [name, value] of state.groups) said.append("group", `${name}=${value}`);
    if (state.change) said.set("change", state.change);
    if (order.value !== "given") said.set("order", order.value);
    if (place > 0) said.set("row", data.rows[shown[place]].id);
    try {
      history.replaceState(null, "", said.size ? `#${said}` : "#");
    } catch { /* a browser may refuse so many changes */ }
  };
  const recall = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    search.value = said.get("q") ?? "";
    const outcomes = (said.get("outcome") ?? "").split(",");
    state.outcomes = new Set(data.outcomes.filter((name) => outcomes.includes(name)));
    state.groups = new Map();
    for (const select of view.querySelectorAll("select[data-group]")) {
      const given = said.getAll("group").find((text) => text.startsWith(`${select.dataset.group}=`));
      select.value = "";
      if (given !== undefined) select.value = `=${given.slice(select.dataset.group.length + 1)}`;
      if (select.value) state.groups.set(select.dataset.group, select.value.slice(1));
    }
    state.change = ["1", "-1", "0"].includes(said.get("change")) ? said.get("change") : "";
    if (two) at("change").value = state.change;
    order.value = Object.hasOwn(ORDERS, said.get("order")) ? said.get("order") : "given";
    refresh(said.get("row") ?? undefined);
  };

  /* Controls. */
  const tally = (values) => values.reduce((counts, value) => counts.set(value, (counts.get(value) ?? 0) + 1), new Map());
  const outcomes = tally(data.rows.map((row) => data.outcomes[row.answers[0].outcome]));
  for (const name of data.outcomes) {
    if (!outcomes.has(name) || outcomes.size < 2) continue;
    const button = element("button", "", `${OUTCOME_SIGNS[name]} ${name} `, element("small", "", count(outcomes.get(name))));
    button.type = "button";
    button.dataset.name = name;
    button.addEventListener("click", () => {
      if (!state.outcomes.delete(name)) state.outcomes.add(name);
      refresh();
    });
    at("outcomes").append(button);
  }
  const option = (value, text) => {
    const made = element("option", "", text);
    made.value = value;
    return made;
  };
  const groups = new Map();
  for (const row of data.rows) for (const [name, value] of row.groups) groups.set(name, [...(groups.get(name) ?? []), value]);
  for (const [name, values] of groups) {
    const counts = tally(values);
    if (counts.size < 2) continue;
    const select = element("select", "", option("", `any (${count(counts.size)})`));
    for (const value of [...counts.keys()].sort()) select.append(option(`=${value}`, `${value} (${count(counts.get(value))})`));
    select.dataset.group = name;
    select.addEventListener("change", () => {
      if (select.value) state.groups.set(name, select.value.slice(1));
      else state.groups.delete(name);
      refresh();
    });
    at("groups").append(element("label", "", element("span", "", name), select));
  }
  at("groups-box").hidden = !at("groups").childElementCount;
  if (data.rows.every((row) => row.answers[0].margin === null)) order.closest("label").hidden = true;
  order.addEventListener("change", () => {
    place = -1;  // another order begins at its first row
    refresh();
  });
  if (two) {
    at("change").addEventListener("change", () => {
      state.change = at("change").value;
      refresh();
    });
  }
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 120);
  });
  at("previous").addEventListener("click", () => choose(place - 1, true));
  at("next").addEventListener("click", () => choose(place + 1, true));
  at("back").addEventListener("click", () => {
    view.classList.remove("reading");
    list.select(place);
    box.focus();
  });

  /* Keys: letters work everywhere but where one types, arrows in the list. */
  const screenful = () => Math.max(1, Math.floor(box.clientHeight / list.height) - 1);
  const MOVES = { j: () => 1, k: () => -1 };
  const LIST_MOVES = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: screenful, PageUp: () => -screenful(), Home: () => -shown.length, End: () => shown.length };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (event.target === search) box.focus();
      else at("back").click();
    } else if (event.target === search && event.key === "Enter") {
      box.focus();
    } else if (!typing && event.key === "/") {
      view.classList.remove("reading");
      search.focus();
      search.select();
    } else if (event.target === box && event.key === "Enter") {
      choose(place, true);
      article.focus();
    } else {
      const move = (!typing && MOVES[event.key]) || (event.target === box && LIST_MOVES[event.key]);
      if (!move) return;
      choose(Math.max(0, Math.min(place + move(), shown.length - 1)), view.classList.contains("reading"));
    }
    event.preventDefault();
  });
  addEventListener("hashchange", recall);
  recall();
})();
