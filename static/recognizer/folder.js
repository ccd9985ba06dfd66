// A chosen folder is packed here and goes as the form's zip: of its files a form would send names without folders.
import { MOST_FILES, zipped } from "./zip.js";

const folder = document.querySelector("input[webkitdirectory]");
const archive = document.querySelector("input[name=archive]");

if (folder && archive) start();

function start() {
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  (folder.closest(".field-folder")?.lastElementChild ?? folder.parentElement).append(status);
  folder.removeAttribute("name"); // its files are sent in the zip
  folder.disabled = false;
  folder.addEventListener("change", async () => {
    if (!folder.files.length) return;
    give([]);
    try {
      status.textContent = await pack([...folder.files], (words) => (status.textContent = words));
    } catch {
      status.textContent = "A file of the folder cannot be read. Choose the folder again, or pack it as a zip.";
    }
    show(nameOf(folder.files[0]));
  });
}

// What to say about it, and as long as it takes.
async function pack(files, say) {
  const photos = files.filter(mayBePhoto);
  const numBytes = photos.reduce((sum, photo) => sum + photo.size, 0);
  const most = Number(folder.dataset.maxBytes);
  if (!photos.length) return "There are no photos in this folder.";
  if (numBytes > most || photos.length > MOST_FILES) {
    return `${amount(photos, numBytes)} are too many for a page, which takes ${megabytes(most)}. Import them with manage.py dataset import.`;
  }
  say(`Packing ${amount(photos, numBytes)} …`);
  const name = `${nameOf(photos[0])}.zip`;
  const packed = await zipped(photos.map((file) => ({ name: file.webkitRelativePath, file })));
  give([new File([packed], name, { type: packed.type })]);
  return `${amount(photos, numBytes)} are packed as ${name}.`;
}

// Not hidden, and of no kind that the browser knows to be something else. The server judges what they are.
function mayBePhoto(file) {
  const isHidden = file.webkitRelativePath.split("/").some((part) => part.startsWith("."));
  return !isHidden && file.size > 0 && (!file.type || file.type.startsWith("image/"));
}

function give(files) {
  const given = new DataTransfer();
  for (const file of files) given.items.add(file);
  archive.files = given.files;
  archive.dispatchEvent(new Event("change", { bubbles: true }));
}

// Where the admin's page says what was chosen: it would name one of the files.
function show(name) {
  const shown = folder.closest("label")?.querySelector("input[type=text]");
  if (shown) shown.value = name;
}

const nameOf = (file) => file.webkitRelativePath.split("/")[0] || "photos";
const amount = (photos, numBytes) => `${photos.length} file${photos.length === 1 ? "" : "s"}, ${megabytes(numBytes)},`;
const megabytes = (numBytes) => `${(Math.max(numBytes, 1e5) / 1e6).toFixed(numBytes < 1e7 ? 1 : 0)} MB`;
