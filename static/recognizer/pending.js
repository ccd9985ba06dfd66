// A recognition that has no answer yet: look again at growing intervals, and show the finished page once it has.
const LONGEST_PAUSE_MS = 5000;

const { url } = document.getElementById("pending").dataset;
for (let pause = 500; ; pause = Math.min(pause * 1.4, LONGEST_PAUSE_MS)) {
  await new Promise((resolve) => setTimeout(resolve, pause));
  if (await hasEnded()) break;
}
location.reload();

async function hasEnded() {
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!response.ok) return response.status === 404; // gone: the reload says so
    const { status } = await response.json();
    return status !== "pending" && status !== "running";
  } catch {
    return false; // no network: go on looking
  }
}
