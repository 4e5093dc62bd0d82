/* Names of predictors in charts: beside their points, and at the pointer. */
const RINGS = [10, 20, 32, 46, 62, 80, 100, 125, 150, 180, 215]; // pixels between a point and its name
const DIRECTIONS = Array.from({ length: 16 }, (_, i) => (i * Math.PI) / 8);
const SIDEWAYS_FIRST = [0, 8, 15, 1, 9, 7, 14, 2, 10, 6, 13, 3, 11, 5, 12, 4];
const meets = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];

/* Adds names beside points, each with a line to its point; earlier points come first. Neither names
   nor lines lie on other points or names. Returns the points for which there was no room. */
function placeLabels(svg, points, box) {
  const taken = [], // by names and lines
    around = p => [p.x - 4, p.y - 4, p.x + 4, p.y + 4],
    inside = f => f[0] >= box.left && f[2] <= box.right && f[1] >= 14 && f[3] <= box.bottom;
  const line = (p, end) => {
    const steps = Math.ceil(Math.hypot(end[0] - p.x, end[1] - p.y) / 5);
    return Array.from({ length: steps }, (_, i) => {
      const [x, y] = [0, 1].map(k => [p.x, p.y][k] + ((i + 1) / steps) * (end[k] - [p.x, p.y][k]));
      return [x - 0.5, y - 0.5, x + 0.5, y + 0.5];
    }).slice(0, -1);
  };
  const isFree = (p, frame, along) => {
    const others = points.filter(o => Math.hypot(o.x - p.x, o.y - p.y) > 4).map(around),
      blocked = [...others, ...taken];
    return (
      inside(frame) &&
      ![around(p), ...blocked].some(o => meets(frame, o)) &&
      !along.some(spot => blocked.some(o => meets(spot, o)))
    );
  };
  const spots = RINGS.flatMap(ring => SIDEWAYS_FIRST.map(i => [ring, DIRECTIONS[i]]));
  return points.filter(p => {
    const wide = p.text.length * (p.strong ? 7.1 : 6.5);
    for (const [ring, angle] of spots) {
      const end = [p.x + ring * Math.cos(angle), p.y + ring * Math.sin(angle)],
        left = end[0] - { "-1": wide, 0: wide / 2, 1: 0 }[Math.round(1.2 * Math.cos(angle))],
        frame = [left, end[1] - 7, left + wide, end[1] + 6];
      const along = line(p, end);
      if (!isFree(p, frame, along)) continue;
      taken.push(frame, ...along);
      const kind = p.strong ? "start strong" : "start";
      svg.append(
        make("path", { class: "leader", d: `M${p.x} ${p.y}L${end[0]} ${end[1]}` }),
        make("text", { x: left, y: end[1] + 4, class: kind }, p.text),
      );
      return false;
    }
    return true;
  });
}

/* Says below a chart which predictors are not in it, or not named in it. */
function note(holder, text, names) {
  if (names.length) holder.append(make("p", { class: "key" }, `${text}: ${names.join(", ")}.`));
}

/* A label that follows the pointer within the chart. */
function tooltip(svg, width) {
  const back = make("rect", { class: "tip", rx: 4, height: 24 }),
    text = make("text", { class: "strong" });
  const group = make("g", { class: "floating", visibility: "hidden" }, back, text);
  svg.append(group);
  return (at, words) => {
    group.setAttribute("visibility", at ? "visible" : "hidden");
    if (!at) return;
    text.textContent = words;
    const wide = text.getComputedTextLength() + 16,
      left = clamp(at[0] - wide / 2, [0, width - wide]),
      top = at[1] < 50 ? at[1] + 14 : at[1] - 38;
    back.setAttribute("x", left);
    back.setAttribute("y", top);
    back.setAttribute("width", wide);
    text.setAttribute("x", left + 8);
    text.setAttribute("y", top + 16);
    svg.append(group);
  };
}

/* Shows the name at the pointer, and `text` of its point; a click chooses it as `key` of the view. */
function naming(svg, width, points, text, key = "predictor") {
  const tip = tooltip(svg, width);
  pointing(
    svg,
    width,
    points,
    p => tip(p && [p.x, p.y], p && `${p[key]}${text(p)}`),
    p => p && go({ [key]: p[key] }),
  );
}
