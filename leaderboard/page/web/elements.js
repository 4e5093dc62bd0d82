"use strict";

/* Elements and number formats. Texts are added as text nodes, so results cannot inject markup. */
const $ = id => document.getElementById(id);
const SVG = new Set(["svg", "g", "path", "line", "circle", "rect", "text", "title"]);
const inSvg = tag => document.createElementNS("http://www.w3.org/2000/svg", tag);

function make(tag, attributes = {}, ...children) {
  const node = SVG.has(tag) ? inSvg(tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child != null));
  return node;
}

/* A legend: pairs of class and text. */
const key = (...entries) =>
  make(
    "p", { class: "key" },
    ...entries.filter(Boolean).map(([kind, text]) => make("span", { class: kind }, text)),
  );

function segments(id, entries, current, choose) {
  const focused = $(id).contains(document.activeElement);
  $(id).replaceChildren(
    ...entries.map(([value, label, enabled = true]) =>
      make(
        "label",
        {},
        make("input", {
          type: "radio", name: id, value, checked: value === current ? "" : null,
          disabled: enabled ? null : "", onchange: () => choose(value),
        }),
        make("span", {}, label),
      ),
    ),
  );
  if (focused) $(id).querySelector("input:checked")?.focus();
}

function options(select, entries, current) {
  select.replaceChildren(...entries.map(([value, label]) => make("option", { value }, label)));
  select.value = current;
}

const MINUS = "\u2212";
const signed = text => (/^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", MINUS));
const decimals = metric => Math.min(4, INDEX.metrics[metric].decimals);
const figure = (value, metric) => (value == null ? "–" : signed(value.toFixed(decimals(metric))));
const range = (score, metric) => `${figure(score[1], metric)} – ${figure(score[2], metric)}`;
const count = value => value.toLocaleString("en");
const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const moment = k => (k === 0 ? "before training" : `after ${k} epoch${k > 1 ? "s" : ""}`);
const last = list => list[list.length - 1];

function seconds(value) {
  if (value == null) return "–";
  if (value > 0 && value < 0.01) return "< 0.01";
  return value >= 100 ? count(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2);
}
