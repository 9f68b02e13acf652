"use strict";
// "Would it be so for me?": the sliders' load, looked up in the grid that the bench computed. No predictor: between the
// grid's points of load and distance it interpolates, elsewhere it says why it tells nothing. what_if.py packs the grid.
(() => {
  const panel = document.getElementById("what-if-panel");
  if (!panel || !packing.isPossible) return; // the table of a few loads is there

  const grid = JSON.parse(document.querySelector('script[data-for="what-if-panel"]').textContent);
  const { axes } = grid;
  const shape = [axes.requests_per_connection, axes.slow_share, axes.load, axes.rtt_ms].map((values) => values.length);
  const points = shape.reduce((product, length) => product * length, 1);
  const PLANES = { p50: 0, p99: 3, mean: 6, all: 7 }; // of a deployment; p50 and p99: estimate, below, above
  const logits = axes.load.map((load) => Math.log(load / (1 - load)));
  let levels; // Uint16Array, by deployment, plane and the grid's axes

  const unpack = async () => {
    const bytes = new Uint8Array(await packing.unpack(grid.latencies).arrayBuffer());
    const count = bytes.length / 2;
    const row = axes.rtt_ms.length;
    levels = new Uint16Array(count);
    for (let at = 0; at < count; at += 1) {
      levels[at] = bytes[at] + 256 * bytes[count + at] + (at % row ? levels[at - 1] : 0);
    }
  };

  // The last point that is not above the value, and how far the value is on the way to the next. Only within the axis.
  const between = (values, value) => {
    let at = 0;
    while (at < values.length - 2 && value >= values[at + 1]) at += 1;
    return [at, (value - values[at]) / (values[at + 1] - values[at])];
  };

  // Between an end and none there is none.
  const mix = (one, other, share) => {
    if (share <= 0) return one;
    if (one === Infinity || other === Infinity) return Infinity;
    return one + share * (other - one);
  };

  // Estimate, low and high (µs) of a point; null: not told.
  const point = (deployment, plane, at) => {
    const start = (deployment * PLANES.all + plane) * points + at;
    const level = levels[start];
    if (level === grid.none) return null;
    const us = (value) => Math.exp(value / grid.steps);
    if (plane === PLANES.mean) return [us(level)];
    const [below, above] = [levels[start + points], levels[start + 2 * points]];
    return [us(level), below === grid.none ? 0 : us(level - below), above === grid.none ? Infinity : us(level + above)];
  };

  // The same between the points: along the distance as it is, along the load by logarithms.
  const interpolated = (deployment, plane, requests, slow, load, rttMs) => {
    const [l, onLoad] = between(logits, Math.log(load / (1 - load)));
    const [r, onRtt] = between(axes.rtt_ms, rttMs);
    const alongDistance = (where) => {
      const at = ((requests * shape[1] + slow) * shape[2] + where) * shape[3] + r;
      const [near, far] = [point(deployment, plane, at), point(deployment, plane, at + 1)];
      return near && far && near.map((value, i) => mix(value, far[i], onRtt));
    };
    const [low, high] = [alongDistance(l), alongDistance(l + 1)];
    if (onLoad === 0) return low; // the point itself, whatever is next to it
    return low && high && low.map((value, i) => (value > 0 ? Math.exp(mix(Math.log(value), Math.log(high[i]), onLoad)) : 0));
  };

  // What one deployment takes. workload: requests, slow (positions on the grid's axes), rttMs, ratePerS, cores and
  // clients (0: as few, as many as it takes). Answers: cpu [estimate, low, high] µs, busy (the same in processors),
  // cores, p50 and p99 (as cpu), beyond: why there is no latency.
  const predict = (deployment, workload) => {
    const { requests, slow, rttMs, ratePerS, clients } = workload;
    const about = grid.deployments[deployment];
    const cpu = about.cpu_us[requests][slow];
    if (!cpu) return { beyond: "not told: this was not measured" };
    const busy = cpu.map((value) => (value === null ? null : (ratePerS * value) / 1e6));
    const cores = workload.cores || Math.max(1, Math.ceil(busy[0] / grid.busiest));
    const found = { cpu, busy, cores };
    const most = about.capacity_per_s[requests][slow];
    const load = ratePerS / cores / most;
    if (load >= 1) {
      const short = about.limit[requests][slow] === "threads" ? "threads are too few" : "processors are too few";
      return { ...found, beyond: `beyond capacity: ${short}; ${number(cores * most)} a second is the most` };
    }
    const [least, top] = [axes.load[0], axes.load[axes.load.length - 1]];
    if (load > top) return { ...found, beyond: `not told: over ${number(100 * top)} % of capacity` };
    if (rttMs < axes.rtt_ms[0] || rttMs > axes.rtt_ms[axes.rtt_ms.length - 1]) {
      return { ...found, beyond: "not told: the grid has no such distance" };
    }
    const [p50, p99, mean] = [PLANES.p50, PLANES.p99, PLANES.mean].map((plane) =>
      interpolated(deployment, plane, requests, slow, Math.max(least, load), rttMs),
    );
    if (!p50 || !p99) return { ...found, beyond: "not told: the grid has nothing here" };
    if (clients && mean && ratePerS >= (clients * 1e6) / mean[0]) {
      const who = clients === 1 ? "1 client asks" : `${number(clients)} clients ask`;
      return { ...found, beyond: `${who} at most ${number((clients * 1e6) / mean[0])} times a second` };
    }
    return { ...found, p50, p99, beyond: "" };
  };

  const formats = new Map();
  const number = (value, digits = 3) => {
    if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en", { maximumSignificantDigits: digits }));
    return formats.get(digits).format(value);
  };
  const unit = (us) => (us < 999.5 ? [1, "µs"] : us < 999_500 ? [1e3, "ms"] : [1e6, "s"]);
  const time = (us) => {
    const [scale, name] = unit(us);
    return `${number(us / scale)}\u202f${name}`;
  };
  // Both ends in the estimate's unit; an end that is not known has its word.
  const range = ([estimate, low, high]) => {
    if (!Number.isFinite(high) || high === null) return low > 0 ? "perhaps without bound" : "no interval";
    const [scale] = unit(estimate);
    return `${number(low / scale)} – ${number(high / scale)}`;
  };

  const table = document.getElementById("what-if-table").tBodies[0];
  const sorting = document.getElementById("what-if-sort");
  const said = document.getElementById("what-if-said");
  const sliders = grid.sliders.map((slider) => {
    const input = document.getElementById(`what-if-${slider.name}`);
    return { ...slider, input, output: document.querySelector(`output[for="${input.id}"]`), start: Number(input.value) };
  });
  const position = (name) => Number(sliders.find((slider) => slider.name === name).input.value);
  const value = (name) => sliders.find((slider) => slider.name === name).values[position(name)];

  const part = (name, text) => {
    const made = document.createElement("span");
    made.className = name;
    made.textContent = text;
    return made;
  };
  // A bar from zero to the estimate, and the interval upon it; longest: what the whole width stands for.
  const bar = ([estimate, low, high], longest) => {
    const made = part("what-if-bar", "");
    const percent = (amount) => `${Math.min(100, Math.max(0, (100 * amount) / longest)).toFixed(2)}%`;
    made.style.setProperty("--to", percent(estimate));
    made.style.setProperty("--low", percent(low ?? estimate));
    made.style.setProperty("--high", percent(Number.isFinite(high) && high !== null ? high : longest));
    return made;
  };
  const figure = (text, more) => [part("what-if-figure", text), part("small", more)];
  const longestOf = (found, key) =>
    Math.max(...found.filter((one) => one[key]).map((one) => (Number.isFinite(one[key][2]) && one[key][2] ? one[key][2] : one[key][0])));

  // What tables.js saves.
  const keep = (cell, [value, low, high], unit) => {
    for (const [name, number] of Object.entries({ value, low, high })) {
      if (Number.isFinite(number)) cell.dataset[name] = number.toPrecision(6);
      else delete cell.dataset[name];
    }
    cell.dataset.unit = unit;
  };

  const rows = [...table.rows].map((row, index) => ({ row, index, label: grid.deployments[index].label }));
  const fill = (row, found, longest) => {
    const [p50, p99, cpu, busy] = row.cells.length > 4 ? [...row.cells].slice(1) : [];
    row.className = found.beyond ? "beyond" : "";
    p50.colSpan = found.beyond ? 2 : 1;
    p99.hidden = Boolean(found.beyond);
    const none = [undefined, undefined, undefined];
    keep(p50, found.beyond ? none : found.p50, "µs");
    keep(p99, found.beyond ? none : found.p99, "µs");
    keep(cpu, found.cpu ?? none, "µs");
    keep(busy, found.busy ?? none, "");
    if (found.beyond) {
      p50.replaceChildren(part("what-if-beyond", found.beyond));
      p99.replaceChildren();
    } else {
      p50.replaceChildren(...figure(time(found.p50[0]), range(found.p50)));
      p99.replaceChildren(...figure(time(found.p99[0]), range(found.p99)), bar(found.p99, longest.p99));
    }
    cpu.replaceChildren(...(found.cpu ? [...figure(time(found.cpu[0]), range(found.cpu)), bar(found.cpu, longest.cpu)] : ["–"]));
    const ends = found.busy && found.busy[1] !== null && found.busy[2] !== null;
    busy.replaceChildren(
      ...(found.busy ? figure(`${number(found.busy[0], 2)} of ${found.cores}`, ends ? `${number(found.busy[1])} – ${number(found.busy[2])}` : "no interval") : ["–"]),
    );
  };

  const ask = () => ({
    requests: position("requests"),
    slow: position("slow"),
    rttMs: value("rtt"),
    ratePerS: value("rate"),
    cores: value("cores"),
    clients: value("clients"),
  });

  // Those with a latency first; of the others those whose costs are known.
  const order = (key) => (one, other) => {
    const rank = ({ found }) => (!found.beyond ? 0 : found.cpu ? 1 : 2);
    const by = key === "cpu" || rank(one) ? "cpu" : key;
    return rank(one) - rank(other) || (one.found[by]?.[0] ?? 0) - (other.found[by]?.[0] ?? 0) || one.index - other.index;
  };

  const summary = (ranked) => {
    const able = ranked.filter(({ found }) => !found.beyond);
    if (!able.length) return "No deployment here has a latency to tell for this load.";
    const least = (key) => able.reduce((best, one) => (one.found[key][0] < best.found[key][0] ? one : best));
    const [quick, thrifty] = [least("p99"), least("cpu")];
    const who = able.length === ranked.length ? (able.length === 1 ? "" : `All ${able.length} take it. `) : `${able.length} of ${ranked.length} take it. `;
    const fast = `99 % within ${time(quick.found.p99[0])}: ${quick.label}.`;
    return `${who}${able.length > 1 ? "Soonest " : ""}${fast} ${able.length > 1 ? "Least CPU" : "CPU"}, ${time(thrifty.found.cpu[0])} a request: ${thrifty.label}.`;
  };

  let later;
  const show = (isMoved = true) => {
    for (const slider of sliders) {
      const text = slider.said[Number(slider.input.value)];
      slider.output.textContent = text;
      slider.input.setAttribute("aria-valuetext", text);
    }
    const workload = ask();
    const ranked = rows.map((one) => ({ ...one, found: predict(one.index, workload) })).sort(order(sorting.value));
    const found = ranked.map((one) => one.found);
    const longest = { p99: longestOf(found, "p99"), cpu: longestOf(found, "cpu") };
    for (const one of ranked) fill(one.row, one.found, longest);
    table.append(...ranked.map((one) => one.row));
    // Said, and kept in the address, once the slider rests: a screen reader is not to hear each step.
    clearTimeout(later);
    later = setTimeout(() => {
      said.textContent = summary(ranked);
      if (isMoved) history.replaceState(null, "", `#what-if?${fragment()}`);
    }, 500);
  };

  const fragment = () => [...sliders.map((slider) => `${slider.name}=${slider.values[Number(slider.input.value)] ?? "open"}`), `by=${sorting.value}`].join("&");

  // A link to a load: values that no slider stops at are left as they are.
  const follow = () => {
    if (!location.hash.startsWith("#what-if?")) return false;
    const wanted = new URLSearchParams(location.hash.slice("#what-if?".length));
    for (const slider of sliders) {
      const at = slider.values.findIndex((one) => String(one ?? "open") === wanted.get(slider.name));
      if (at >= 0) slider.input.value = at;
    }
    if ([...sorting.options].some((option) => option.value === wanted.get("by"))) sorting.value = wanted.get("by");
    show(false);
    document.getElementById("what-if").scrollIntoView({ behavior: "instant" });
    return true;
  };

  const begin = async () => {
    await unpack();
    panel.hidden = false;
    const few = document.getElementById("what-if-few");
    if (few) few.open = false;
    panel.addEventListener("input", () => show());
    document.getElementById("what-if-load").addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("what-if-reset").addEventListener("click", () => {
      for (const slider of sliders) slider.input.value = slider.start;
      sorting.value = "p99";
      show();
    });
    addEventListener("hashchange", follow);
    if (!follow()) show(false);
    window.whatIf = { predict, ask };
    panel.dataset.ready = "true";
  };
  begin();
})();
