// A chosen folder is packed here and goes as the form's zip: of its files a form would send names without folders.
import { MOST_FILES, zipped } from "./zip.js";

const folder = document.querySelector("input[webkitdirectory]");
const archive = document.querySelector("input[name=archive]");

const ROOM = 65_536; // bytes for the other fields and what stands between them: the limit is that of the whole form
let choice = 0; // counts what was chosen, folders and zips: the newest one wins, however long an older one packs
let isGiving = false;

if (folder && archive) start();

function start() {
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  (folder.closest(".field-folder")?.lastElementChild ?? folder.parentElement).append(status);
  folder.removeAttribute("name"); // its files are sent in the zip
  folder.disabled = false;
  const say = (words) => (status.textContent = words);
  folder.addEventListener("change", () => folder.files.length && take([...folder.files], say));
  archive.addEventListener("change", () => {
    if (isGiving) return;
    choice += 1;
    say("");
    show("");
  });
}

async function take(files, say) {
  const mine = ++choice;
  give([]);
  const { zip, words } = await pack(files, say).catch(() => ({
    words: "A file of the folder cannot be read. Choose the folder again, or pack it as a zip.",
  }));
  if (mine !== choice) return;
  if (zip) give([zip]);
  say(words);
  show(nameOf(files[0]));
}

// The zip, where there is one, and what to say about it.
async function pack(files, say) {
  const photos = files.filter(mayBePhoto);
  const numBytes = photos.reduce((sum, photo) => sum + photo.size, 0);
  const most = Number(folder.dataset.maxBytes) - ROOM;
  const tooMany = `${amount(photos, numBytes)} are too many for a page, which takes ${megabytes(most)}. Import them with manage.py dataset import.`;
  if (!photos.length) return { words: "There are no photos in this folder." };
  if (numBytes > most || photos.length > MOST_FILES) return { words: tooMany };
  say(`Packing ${amount(photos, numBytes)} …`);
  const name = `${nameOf(photos[0])}.zip`;
  const packed = await zipped(photos.map((file) => ({ name: file.webkitRelativePath, file })));
  if (packed.size > most) return { words: tooMany }; // each file's name stands in it twice
  const zip = new File([packed], name, { type: packed.type });
  return { zip, words: `${amount(photos, numBytes)} are packed as ${name}.` };
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
  isGiving = true;
  archive.dispatchEvent(new Event("change", { bubbles: true }));
  isGiving = false;
}

// Where the admin's page says what was chosen: it would name one of the files.
function show(name) {
  const shown = folder.closest("label")?.querySelector("input[type=text]");
  if (shown) shown.value = name;
}

const nameOf = (file) => file.webkitRelativePath.split("/")[0] || "photos";
const amount = (photos, numBytes) => `${photos.length} file${photos.length === 1 ? "" : "s"}, ${megabytes(numBytes)},`;
const megabytes = (numBytes) => `${(Math.max(numBytes, 1e5) / 1e6).toFixed(numBytes < 1e7 ? 1 : 0)} MB`;
