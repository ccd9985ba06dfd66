// The service draws few pictures at once and refuses the rest for a moment: ask for a missing one again, a few times. Loaded
// before the pictures are, or their errors would come first.
const PAUSES_MS = [1500, 3000, 6000];

addEventListener(
  "error",
  ({ target }) => {
    if (!(target instanceof HTMLImageElement)) return;
    const tries = Number(target.dataset.tries ?? 0);
    if (tries >= PAUSES_MS.length) return;
    target.dataset.tries = tries + 1;
    setTimeout(() => target.setAttribute("src", target.getAttribute("src")), PAUSES_MS[tries] * (1 + Math.random()));
  },
  true,
);
