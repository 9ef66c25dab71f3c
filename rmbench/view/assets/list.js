"use strict";
/* A list of any length, of which only the rows in sight, and the chosen one, are in the document. All have one height. */
class LongList {
  constructor(box, height, draw, choose) {
    Object.assign(this, { box, height, draw, choose, items: [], place: -1, drawn: new Map() });
    this.inner = document.createElement("div");
    this.inner.className = "inner";
    this.inner.setAttribute("role", "presentation");
    box.replaceChildren(this.inner);
    box.addEventListener("scroll", () => requestAnimationFrame(() => this.fill()), { passive: true });
    new ResizeObserver(() => this.fill()).observe(box);
    this.inner.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(Number(option.dataset.place));
    });
  }

  /* Show these items, the one at `place` chosen. */
  show(items, place) {
    this.items = items;
    this.box.setAttribute("role", items.length ? "listbox" : "group");  // a list box without options is none
    this.clear();
    this.inner.style.height = `${items.length * this.height}px`;
    this.select(place);
  }

  select(place) {
    this.place = place;
    for (const [at, option] of this.drawn) option.setAttribute("aria-selected", String(at === place));
    if (place >= 0) {
      const top = place * this.height, bottom = top + this.height;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      else if (bottom > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = bottom - this.box.clientHeight;
    }
    this.fill();
  }

  clear() {
    for (const option of this.drawn.values()) option.remove();
    this.drawn.clear();
  }

  fill() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 6);
    const last = Math.min(this.items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + 6);
    for (const [at, option] of this.drawn) {
      if ((at < first || at >= last) && at !== this.place) {
        option.remove();
        this.drawn.delete(at);
      }
    }
    for (let at = first; at < last; at++) this.add(at);
    if (this.place >= 0 && this.place < this.items.length) {
      this.add(this.place);
      this.box.setAttribute("aria-activedescendant", `option-${this.place}`);
    } else {
      this.box.removeAttribute("aria-activedescendant");
    }
  }

  add(at) {
    if (this.drawn.has(at)) return;
    const option = document.createElement("div");
    option.id = `option-${at}`;
    option.dataset.place = at;
    option.setAttribute("role", "option");
    option.setAttribute("aria-posinset", at + 1);
    option.setAttribute("aria-setsize", this.items.length);
    option.setAttribute("aria-selected", String(at === this.place));
    option.style.transform = `translateY(${at * this.height}px)`;
    this.draw(option, this.items[at]);
    this.drawn.set(at, option);
    this.inner.append(option);
  }
}
