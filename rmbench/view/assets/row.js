"use strict";
/* One row in full. Every text of others becomes the content of a text node, and nothing else. */
const LONG_PROMPT = 1000, LONG_ANSWER = 8000, MOST_LINES = 200;

const element = (tag, className, ...inside) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside.filter((each) => each !== null && each !== undefined && each !== "").map((each) => (each instanceof Node ? each : String(each))));
  return made;
};
const WON_LESS_LOST = "won less lost";  // whole numbers, unless votes were averaged
const decimal = (value, signed, unit) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = unit === WON_LESS_LOST && Number.isInteger(value) ? String(value) : size === 0 || (size >= 0.001 && size < 1e4) ? value.toFixed(3) : value.toExponential(2);
  return (signed && value > 0 ? "+" : "") + text.replace("-", "−");
};
const count = (value) => value.toLocaleString("en");

/* An outcome by its sign, its colour and its word. */
const OUTCOME_SIGNS = { right: "✓", "partly right": "◐", wrong: "✗", tie: "=", unparsed: "?", failed: "!", neither: "·" };
const OUTCOME_KINDS = { right: "good", wrong: "bad", failed: "bad", "partly right": "caution", tie: "caution", unparsed: "caution" };
const outcomeBadge = (name) => element("span", `badge ${OUTCOME_KINDS[name] ?? ""}`, `${OUTCOME_SIGNS[name]} ${name}`);

class RowView {
  constructor(data) {
    this.data = data;
    this.two = data.models.length > 1;
  }

  text(place) {
    return this.data.texts[place];
  }

  outcome(answer) {
    return this.data.outcomes[answer.outcome];
  }

  of(row) {
    const made = element("div", "");
    made.append(this.head(row));
    for (const answer of row.answers) if (answer.error) made.append(element("p", "error", answer.error));
    if (row.context?.length) made.append(this.folded("Context", row.context.map(([name, place]) => this.turn(name, [this.block(this.text(place), LONG_PROMPT)]))));
    if (row.prompt) made.append(this.section("Prompt", this.turns(row.prompt, LONG_PROMPT, row.prompt.length > 1 || row.prompt[0]?.[0] !== "user")));
    made.append(this.candidates(row));
    made.append(...this.verdicts(row), ...this.comparisons(row), ...this.parts(row));
    return made;
  }

  head(row) {
    const head = element("header", "row-head", element("h2", "", row.id));
    const badges = element("p", "badges");
    if (!this.two && this.outcome(row.answers[0]) !== "neither") badges.append(outcomeBadge(this.outcome(row.answers[0])));
    if (!this.two && row.answers[0].margin !== null) badges.append(element("span", "figure", `margin ${decimal(row.answers[0].margin, true, row.answers[0].unit)}`));
    if (!this.two && row.answers[0].credit > 0 && row.answers[0].credit < 1) badges.append(element("span", "figure", `credit ${decimal(row.answers[0].credit)}`));
    for (const [name, value] of [...row.groups, ...row.labels]) badges.append(element("span", "badge", `${name}: ${value}`));
    head.append(badges);
    if (this.two) head.append(this.sides(row));
    return head;
  }

  sides(row) {
    const body = element("tbody", "");
    row.answers.forEach((answer, side) => {
      const name = element("th", "", `${"AB"[side]}  `, element("span", "model", this.data.models[side]));
      name.scope = "row";
      const outcome = element("td", "", this.outcome(answer) === "neither" ? "–" : outcomeBadge(this.outcome(answer)));
      body.append(element("tr", "", name, outcome, element("td", "num", decimal(answer.credit)), element("td", "num", decimal(answer.margin, true, answer.unit))));
    });
    return element("div", "scroller", element("table", "sides", this.names(["model", "outcome", "credit", "margin"]), body));
  }

  names(labels) {
    const line = element("tr", "");
    labels.forEach((label, place) => {
      const cell = element("th", place > 1 ? "num" : "", label);
      cell.scope = "col";
      line.append(cell);
    });
    return element("thead", "", line);
  }

  section(title, inside) {
    return element("section", "part", element("h3", "", title), ...inside);
  }

  folded(title, inside) {
    return element("details", "part", element("summary", "", title), ...inside);
  }

  candidates(row) {
    const grid = element("div", "candidates");
    row.gold.forEach((gold, k) => grid.append(this.candidate(row, gold, k)));
    return grid;
  }

  candidate(row, gold, k) {
    const known = row.candidates?.[k];
    const head = element("header", "", element("h3", "", `Candidate ${k}`));
    if (gold) head.append(element("span", `badge${gold.startsWith("preferred") ? " good" : ""}`, `${gold.startsWith("preferred") ? "★ " : ""}${gold}`));
    const facts = element("p", "facts-line");
    row.answers.forEach((answer, side) => {
      if (answer.scores) facts.append(this.score(answer, side, k));
      if (answer.truncated?.[k]) facts.append(element("span", "badge caution", "truncated"));
    });
    const length = row.answers[0].lengths?.[k];
    if (length !== undefined) facts.append(element("span", "", `length ${count(length)}`));
    if (known?.[0]) facts.append(element("span", "", `by ${known[0]}`));
    const card = element("section", `candidate${gold.startsWith("preferred") ? " preferred" : ""}`, head, facts);
    if (known?.[1].length) card.append(...this.turns(known[1], LONG_PROMPT));
    if (known) card.append(...this.turns(known[2], LONG_ANSWER, known[2].length > 1));
    return card;
  }

  score(answer, side, k) {
    const best = answer.scores[k] !== null && answer.scores.length > 1 && answer.scores.every((each, other) => other === k || each === null || each < answer.scores[k]);
    const label = this.two ? `${"AB"[side]} ${answer.unit}` : answer.unit;
    return element("span", best ? "score best" : "score", `${label} `, element("b", "", decimal(answer.scores[k], false, answer.unit)), best ? element("span", "hidden-text", " highest") : "");
  }

  turns(turns, long, named = true) {
    return turns.map(([role, parts, further]) => {
      const inside = [];
      for (const [kind, place, picture] of parts) {
        if (kind === "text") inside.push(this.block(this.text(place), long));
        else inside.push(this.medium(kind, this.text(place), picture));
      }
      for (const [key, place] of further) inside.push(element("p", "key", key), this.block(this.text(place), long));
      return this.turn(named ? role : "", inside);
    });
  }

  /* A picture is the number of one that this page holds; a text says why there is none. */
  medium(kind, name, picture) {
    const shown = element("div", "medium", element("span", "badge accent", kind), " ", name);
    if (typeof picture === "string") shown.append(element("p", "error", picture));
    if (typeof picture === "number") {
      const image = element("img", "thumbnail");
      image.alt = "";
      image.src = this.data.pictures[picture];
      image.addEventListener("load", () => image.dispatchEvent(new CustomEvent("grown", { bubbles: true })));
      shown.append(image);
    }
    return shown;
  }

  turn(name, inside) {
    return element("div", "turn", name ? element("p", "role", name) : "", ...inside);
  }

  block(text, long) {
    const shown = element("div", "text", text.length > long * 1.2 ? text.slice(0, long) : text);
    shown.dir = "auto";
    if (text.length <= long * 1.2) return shown;
    const more = element("button", "more", `Show all ${count(text.length)} characters`);
    more.type = "button";
    more.addEventListener("click", () => {
      shown.textContent = text;
      more.remove();
      shown.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
    });
    return element("div", "", shown, more);
  }

  verdicts(row) {
    return row.answers.flatMap((answer, side) => {
      if (!answer.verdicts) return [];
      const lines = answer.verdicts.map(([words, place]) => {
        if (place === null) return element("p", "verdict", words);
        return element("details", "verdict", element("summary", "", words), this.block(this.text(place), LONG_ANSWER));
      });
      return [this.section(this.two ? `Verdicts of ${"AB"[side]}` : "Verdicts", lines)];
    });
  }

  comparisons(row) {
    if (row.edges.length < 2) return [];
    const body = element("tbody", "");
    for (const [i, j, strength, named] of row.edges.slice(0, MOST_LINES)) {
      const [high, low] = strength >= 0 ? [i, j] : [j, i];
      const line = element("tr", "", element("td", "", `${high} ${strength === 0 ? "ties" : ">"} ${low}`), element("td", "", named));
      row.answers.forEach((answer) => line.append(element("td", "num", this.margin(answer, high, low))));
      body.append(line);
    }
    const labels = ["people say", "of", ...row.answers.map((_, side) => (this.two ? `margin ${"AB"[side]}` : "margin"))];
    const table = element("div", "scroller", element("table", "", this.names(labels), body));
    const left = row.edges.length - MOST_LINES;
    return [this.folded(`${count(row.edges.length)} comparisons`, [table, left > 0 ? element("p", "soft", `and ${count(left)} more`) : ""])];
  }

  margin(answer, i, j) {
    if (answer.directed) return decimal((answer.directed[i][j] - answer.directed[j][i]) / 2, true);
    const [one, other] = [answer.scores?.[i] ?? null, answer.scores?.[j] ?? null];
    return one === null || other === null ? "–" : decimal(one - other, true, answer.unit);
  }

  parts(row) {
    return row.answers.flatMap((answer, side) => {
      const tables = [...(answer.parts ?? [])];
      if (answer.directed) tables.push(["margin of the candidate shown first (row) over the other (column)", answer.directed]);
      if (!tables.length) return [];
      const made = tables.map(([name, lines]) => {
        const body = element("tbody", "");
        lines.forEach((line, k) => {
          const label = element("th", "", `candidate ${k}`);
          label.scope = "row";
          body.append(element("tr", "", label, ...line.map((value) => element("td", "num", decimal(value)))));
        });
        return element("div", "scroller", element("table", "", element("caption", "", name), body));
      });
      return [this.folded(this.two ? `Further figures of ${"AB"[side]}` : "Further figures", made)];
    });
  }
}
