/* The layers of one network as a drawing and as text. `parse` returns groups of layers:
   [{where, words: [{word, kind, channels, stride}]}]. */
function parse(text) {
  return text.split(";").map(group => {
    const [where, list] = group.split("=");
    return {
      where,
      words: list.split(" ").map(word => {
        const kind = /^(conv|linear)/.test(word)
          ? "conv"
          : /^(max|avg|mean)/.test(word)
            ? "pool"
            : word === "add"
              ? "add"
              : "thin";
        return {
          word, kind, channels: Number(/:(\d+)/.exec(word)?.[1]),
          stride: Number(/\/(\d+)$/.exec(word)?.[1] ?? 1),
        };
      }),
    };
  });
}

/* Draws a network from left (input) to right: a bar for each layer, whose height grows with its
   channels; arcs are shortcuts, and the numbers below are resolutions. */
function picture(text) {
  const blocks = parse(text),
    widths = { conv: 11, pool: 7, add: 7, thin: 3 },
    gap = 7;
  const wide = blocks.reduce(
    (sum, b) => sum + gap + b.words.reduce((s, w) => s + widths[w.kind] + 1, 0),
    0,
  );
  const most = Math.max(...blocks.flatMap(b => b.words.map(w => w.channels || 0)));
  const svg = make("svg", {
    class: "picture", viewBox: `0 0 ${Math.max(wide, 260)} 96`, "aria-hidden": "true",
  });
  let x = 0,
    channels = 3,
    resolution = images().resolution,
    since = 0;
  const side = to => {
    svg.append(
      make("text", { x: (since + to) / 2, y: 94, class: "middle" }, `${resolution}×${resolution}`),
      make("line", { class: "axis", x1: since + 2, x2: to - 2, y1: 80, y2: 80 }),
    );
    since = to;
  };
  for (const block of blocks) {
    const start = x;
    for (const w of block.words) {
      if (w.word === "mean") {
        side(x);
        resolution = 1;
      }
      if (w.stride > 1) {
        side(x);
        resolution = Math[w.kind === "conv" ? "ceil" : "floor"](resolution / w.stride);
      }
      channels = w.channels || channels;
      const high = 10 + 46 * Math.sqrt(channels / most);
      svg.append(
        make("rect", {
          class: `layer ${w.kind}`, x, y: 74 - high, width: widths[w.kind], height: high,
          rx: w.kind === "thin" ? 0 : 1.5,
        }),
      );
      if (w.kind === "add")
        svg.append(
          make("path", {
            class: "arc",
            d: `M${start - gap / 2} 16C${start} 2 ${x} 2 ${x + 3} ${70 - high}`,
          }),
        );
      x += widths[w.kind] + 1;
    }
    x += gap;
  }
  return svg;
}

const KINDS = {
  conv: "convolution, linear", pool: "pooling", thin: "other", add: "addition of a shortcut",
};
function pictureKey(text) {
  const present = new Set(parse(text).flatMap(block => block.words.map(w => w.kind)));
  const kinds = Object.keys(KINDS).filter(kind => present.has(kind));
  const square = kind => make("span", {}, make("span", { class: `swatch ${kind}` }), KINDS[kind]);
  const more = make("span", {}, "height: channels; below: pixels");
  return make("p", { class: "key" }, ...kinds.map(square), more);
}

function layers(text) {
  const rows = parse(text).flatMap(({ where, words: list }) => [
    make("dt", {}, where),
    make("dd", {}, ...list.map(w => make("span", { class: w.kind }, w.word))),
  ]);
  const example = "conv3x5:24/2 is a convolution with a kernel of 3 by 5, 24 channels, stride 2.";
  return make("div", {}, make("dl", { class: "layers" }, ...rows), key(["", example]));
}
