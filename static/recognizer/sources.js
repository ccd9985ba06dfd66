// Where files come from: chosen, taken with the camera, dropped anywhere on the page, pasted.

export function listen(form, give) {
  const giveSome = (files) => files.length > 0 && give([...files]);

  for (const input of form.querySelectorAll("input[type=file]")) {
    const take = () => {
      giveSome(input.files);
      input.value = ""; // the same file may be chosen again
    };
    input.addEventListener("change", take);
    queueMicrotask(take); // chosen while this script was still on its way
  }
  listenToDrops(document.getElementById("drop"), giveSome);
  addEventListener("paste", (event) => giveSome(event.clipboardData?.files ?? []));
  form.addEventListener("submit", (event) => event.preventDefault()); // Enter in a field: files go by themselves
}

function listenToDrops(zone, giveSome) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.add("is-over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || zone.classList.remove("is-over"));
  addEventListener("drop", (event) => {
    zone.classList.remove("is-over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    giveSome(event.dataTransfer.files);
  });
}
