// A page of work that a worker does: looked at again every few seconds until it is done, as long as somebody sees it.
const SECONDS = 3;

const lookAgain = () => {
  if (!document.querySelector("[data-waiting]")) return;
  if (document.visibilityState === "visible") location.reload();
  else document.addEventListener("visibilitychange", lookAgain, { once: true });
};

setTimeout(lookAgain, SECONDS * 1000);
