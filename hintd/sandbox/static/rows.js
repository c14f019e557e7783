// One row of the page: both records of a person, each synced field an input of its own.  Values only ever get into
// the document as text or as an input's value, never as markup.

import { FIELDS, display } from "./fields.js";
import { linkState, nameOf, problemOf } from "./pairs.js";

const FLASH_MS = 6000;

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Row {
  // `save(side, id, changes)` returns a promise that is rejected with a sentence.
  constructor(pair, save) {
    this.save = save;
    this.node = element("article", "person");
    this.title = element("h2");
    this.state = element("span", "state");
    this.trouble = element("span", "trouble");
    const head = element("div", "head");
    head.append(this.title, this.state, this.trouble);
    const sides = element("div", "pair");
    this.sides = { hint: element("section", "side"), salesforce: element("section", "side") };
    sides.append(this.sides.hint, this.sides.salesforce);
    this.node.append(head, sides);
    this.cells = { hint: null, salesforce: null };
    this.show(pair, () => null);
  }

  // Show a pair's present state; cells that changed say for a while who did it, as `originOf(id)` knows.
  show(pair, originOf) {
    this.pair = pair;
    const [kind, words] = linkState(pair);
    this.title.textContent = nameOf(pair);
    this.state.textContent = words;
    this.state.dataset.kind = kind;
    this.trouble.textContent = problemOf(pair);
    this.showSide("hint", pair.patient, pair.patient?.id, originOf);
    this.showSide("salesforce", pair.contact, pair.contact?.Id, originOf);
  }

  showSide(side, record, id, originOf) {
    const section = this.sides[side];
    if (!record) {
      section.replaceChildren(element("p", "none", side === "hint" ? "No patient in Hint" : "No Contact in Salesforce"));
      this.cells[side] = null;
      return;
    }
    const fresh = this.cells[side]?.id !== id;
    if (fresh) this.cells[side] = { id, inputs: this.build(side, id) };
    for (const [half, input] of this.cells[side].inputs) {
      const value = display(half, record);
      if (!fresh && input.known !== value) flash(input.parentNode, originOf(id));
      // What a person is typing stays; Escape brings the record's value.
      if (document.activeElement !== input || fresh) put(input, value);
      input.known = value;
    }
  }

  build(side, id) {
    const cells = FIELDS.filter((field) => field[side]).map((field) => this.cell(side, field, field[side]));
    const foot = element("p", "id", id);
    this.sides[side].replaceChildren(...cells.map(([label]) => label), foot);
    return cells.map(([, half, input]) => [half, input]);
  }

  cell(side, field, half) {
    const label = element("label", half.tall ? "cell tall" : "cell");
    if (half.span) label.style.gridColumn = `span ${half.span}`;
    label.append(element("span", "name", half.label ?? field.label));
    const input = element(half.lines ? "textarea" : "input");
    if (half.lines) input.rows = 2;
    else input.type = half.flag ? "checkbox" : "text";
    input.spellcheck = false;
    input.autocomplete = "off";
    if (half.put) this.listen(side, half, input);
    else input.readOnly = true;
    label.append(input);
    return [label, half, input];
  }

  listen(side, half, input) {
    if (half.flag) {
      input.addEventListener("change", () => this.commit(side, half, input));
      return;
    }
    input.addEventListener("blur", () => this.commit(side, half, input));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.commit(side, half, input);
      } else if (event.key === "Escape") {
        put(input, input.known);
      }
    });
  }

  async commit(side, half, input) {
    const value = half.flag ? input.checked : input.value;
    if (value === input.known) return;
    const record = side === "hint" ? this.pair.patient : this.pair.contact;
    const before = input.known;
    // Known at once, so that Enter and the blur after it are one edit.
    input.known = value;
    input.parentNode.classList.remove("refused");
    try {
      await this.save(side, this.cells[side].id, half.put(record, value === "" ? null : value));
      flash(input.parentNode, side === "hint" ? "clinic staff" : "Salesforce user");
    } catch {
      input.known = before;
      input.parentNode.classList.add("refused");
      put(input, before);
    }
  }
}

function put(input, value) {
  if (input.type === "checkbox") input.checked = value;
  else input.value = input.title = value;
}

function flash(cell, origin) {
  if (!origin) return;
  clearTimeout(cell.calm);
  cell.removeAttribute("data-origin");
  void cell.offsetWidth; // starts the animation anew where it still runs
  cell.dataset.origin = origin;
  cell.calm = setTimeout(() => cell.removeAttribute("data-origin"), FLASH_MS);
}
