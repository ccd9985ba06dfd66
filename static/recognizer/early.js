// Before the first paint: the page with scripts looks different from the plain form. If a script cannot be loaded, it
// becomes the plain form again.
document.documentElement.classList.add("js");
addEventListener(
  "error",
  (event) => event.target instanceof HTMLScriptElement && document.documentElement.classList.remove("js"),
  true,
);
