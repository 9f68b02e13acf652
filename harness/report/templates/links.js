"use strict";
// A link leads to its target also where that is folded or packed, and what comes late above it does not move it away.
(() => {
  const follow = async () => {
    const name = decodeURIComponent(location.hash.slice(1));
    if (!name) return null;
    const packed = document.querySelector(`details[data-holds="${CSS.escape(name)}"]`);
    if (packed) await packing.fill(packed);
    const target = document.getElementById(name);
    const folded = target?.closest("details:not([open])");
    if (folded) {
      folded.open = true;
      target.scrollIntoView({ behavior: "instant" });
    }
    return target;
  };

  // What is drawn or shown late moves what is below it, and not every browser keeps in place what is in view: the target
  // is held there until the reader does something, or everything must have come.
  const hold = (target) => {
    if (!target || !("ResizeObserver" in window)) return;
    const growing = new ResizeObserver(() => target.scrollIntoView({ behavior: "instant" }));
    growing.observe(document.querySelector("main"));
    const release = () => growing.disconnect();
    const acts = ["wheel", "touchmove", "keydown", "pointerdown", "hashchange", "beforeprint"];
    for (const act of acts) addEventListener(act, release, { once: true, passive: true });
    setTimeout(release, 5000);
  };

  addEventListener("hashchange", follow);
  follow().then(hold);
})();
