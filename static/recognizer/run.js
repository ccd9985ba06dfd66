// The page of a training run while it goes: asks how it goes and redraws the curves; shows the finished page at its end.
const PAUSE_MS = 2000;

const live = document.querySelector("[data-progress]");
const log = document.querySelector("[data-told=log]");
if (log) log.scrollTop = log.scrollHeight; // the newest lines are the last ones
if (live) watch();

async function watch() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (document.visibilityState === "hidden") continue;
    const told = await ask();
    if (told === null) continue; // no network: go on asking
    if (told.status !== "pending" && told.status !== "running") break;
    show(told);
  }
  location.reload();
}

async function ask() {
  try {
    const response = await fetch(live.dataset.progress, { headers: { Accept: "application/json" }, cache: "no-store" });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

function show(told) {
  write("status", told.status);
  write("progress", told.progress);
  write("eta", told.eta);
  write("attempts", String(told.attempts));
  write("epochs", `${told.epoch} of ${told.num_epochs}`);
  document.querySelector("[data-told=bar]").value = told.epoch;
  for (const chart of told.charts) {
    write(`${chart.key}-top`, chart.top);
    for (const line of chart.lines) {
      document.querySelector(`[data-line=${chart.key}-${line.part}]`).setAttribute("d", line.path);
      write(`${chart.key}-${line.part}`, line.newest);
    }
  }
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  write("log", told.log);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function write(name, words) {
  const found = document.querySelector(`[data-told="${name}"]`);
  const place = found?.firstElementChild ?? found; // the status is a chip inside
  // What has not changed is left alone, or a screen reader says it every two seconds.
  if (place && place.textContent !== words) place.textContent = words;
}
