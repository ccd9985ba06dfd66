// A zip of files as they are: photos are compressed already. Format: APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.16.
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20; // 2.0: folders
const UTF8 = 0x0800; // names are
const STORED = 0;
const DAY = 33; // 1980-01-01, the first that the format knows
export const MOST_FILES = 65_535; // what the end of a plain zip can count
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

// A Blob with each of these {name, file}; names have slashes. Reads one file at a time.
export async function zipped(entries) {
  const parts = [];
  const listed = [];
  let offset = 0;
  for (const { name, file } of entries) {
    const bytes = new TextEncoder().encode(name);
    const facts = [VERSION, UTF8, STORED, 0, DAY];
    const sizes = [await crc32(file), file.size, file.size];
    const local = record([[4, [LOCAL]], [2, facts], [4, sizes], [2, [bytes.length, 0]]]);
    parts.push(local, bytes, file);
    listed.push(
      record([[4, [CENTRAL]], [2, [VERSION, ...facts]], [4, sizes], [2, [bytes.length, 0, 0, 0, 0]], [4, [0, offset]]]),
      bytes,
    );
    offset += local.length + bytes.length + file.size;
  }
  const length = listed.reduce((sum, part) => sum + part.length, 0);
  const end = record([[4, [END]], [2, [0, 0, entries.length, entries.length]], [4, [length, offset]], [2, [0]]]);
  return new Blob([...parts, ...listed, end], { type: "application/zip" });
}

// Numbers of so many bytes each, the lowest byte first.
function record(fields) {
  return Uint8Array.from(
    fields.flatMap(([width, values]) =>
      values.flatMap((value) => Array.from({ length: width }, (_, place) => (value >>> (8 * place)) & 255)),
    ),
  );
}

async function crc32(file) {
  let value = 0xffffffff;
  for (const byte of new Uint8Array(await file.arrayBuffer())) value = CRC_TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
