// The songs: columns from the server, groups of them, and which of them are shown.
import { askColumns, lines } from "./api.js";

const EMPTY = "none";
const OTHERS = -1;
const PALETTES = {
  light: ["#0072b2", "#c85200", "#00845f", "#b0528a", "#946400", "#6f7f00", "#6b4fa0", "#c0392b"],
  dark: ["#5fb2ee", "#f28b4b", "#3fc79b", "#e39ac4", "#e0b23e", "#b5d96b", "#b9a2ee", "#ff8f7a"],
};
const OTHER_COLOURS = { light: "#9aa1a9", dark: "#69727d" };

export const songs = {
  n: 0, names: {}, corrected: {}, id: [], title: [], path: [], visible: new Int32Array(0),
  group: "verdict", chosen: null, sort: "", search: "", where: null, hasTexts: false,
};
const listeners = [];
const cache = new Map();
let haystack = [];

export const onChange = (listener) => listeners.push(listener);

// Numbers and names, which the map and the groups need.
export async function load() {
  const { names, ...columns } = await askColumns("/api/songs");
  Object.assign(songs, columns, { names: { ...songs.names, ...names } });
  cache.clear();
  refresh();
}

// Texts, which the list and the search need.
export async function loadTexts() {
  const { names, id, title, path, ...columns } = await askColumns("/api/texts");
  Object.assign(songs, columns, { names: { ...songs.names, ...names }, hasTexts: true });
  [songs.id, songs.title, songs.path] = songs.n ? [lines(id), lines(title), lines(path)] : [[], [], []];
  haystack = [];
  cache.clear();
  refresh();
}

export const name = (column, row) => songs.names[column]?.[songs[column][row]] ?? "";
export const verdict = (row) => songs.corrected[row] ?? name("verdict", row);
export const title = (row) => songs.title[row] || (songs.path[row] ?? "").split("/").pop();
export const artist = (row) => name("artist", row) || (songs.path[row] ?? "").split("/").slice(0, -1).join("/");

// What the search looks in, made when it is first needed.
export function texts() {
  if (haystack.length || !songs.hasTexts) return haystack;
  const small = (column) => (songs.names[column] ?? []).map((text) => text.toLowerCase());
  const [artists, albums, genres, verdicts] = ["artist", "album", "genre", "verdict"].map(small);
  haystack = new Array(songs.n);
  for (let row = 0; row < songs.n; row++) {
    const found = songs.corrected[row]?.toLowerCase() ?? verdicts[songs.verdict[row]] ?? "";
    haystack[row] = `${songs.title[row].toLowerCase()}\n${artists[songs.artist[row]] ?? ""}\n${albums[songs.album[row]] ?? ""}\n`
      + `${genres[songs.genre[row]] ?? ""}\n${found}\n${songs.path[row].toLowerCase()}`;
  }
  return haystack;
}

// Codes and names of the groups of a kind, without a name for a code below zero.
function coded(kind) {
  if (kind === "tempo") {
    const from = Int32Array.from(songs.tempo, (tempo) => (tempo < 0 ? -1 : Math.floor(tempo / 20)));
    return [from, Array.from({ length: 1 + from.reduce((most, code) => Math.max(most, code), -1) }, (_, code) => `${20 * code}–${20 * code + 19}`)];
  }
  if (kind === "confidence") {
    const from = Int32Array.from(songs.verdict_probability, (p) => (p < 0 ? -1 : Math.min(9, Math.floor(p * 10 + 1e-6))));
    return [from, Array.from({ length: 10 }, (_, code) => `${10 * code}–${10 * code + 10} %`)];
  }
  const codes = Int32Array.from(songs[kind] ?? new Int32Array(songs.n).fill(-1)), names = [...(songs.names[kind] ?? [])];
  if (kind === "verdict") {
    for (const [row, text] of Object.entries(songs.corrected)) {
      if (!names.includes(text)) names.push(text);
      codes[row] = names.indexOf(text);
    }
  }
  return [codes, names];
}

// Groups of a kind: the code of each song, and names, counts and colours by code. Empty groups are left out of the order.
export function groups(kind = songs.group) {
  if (cache.has(kind)) return cache.get(kind);
  const [codes, names] = coded(kind), none = names.length, counts = new Array(none + 1).fill(0);
  names.push(EMPTY);
  for (let row = 0; row < codes.length; row++) {
    if (codes[row] < 0) codes[row] = none;
    counts[codes[row]]++;
  }
  const order = names.map((_, code) => code).filter((code) => counts[code]);
  const isNumeric = kind === "tempo" || kind === "confidence";
  order.sort((a, b) => (a === none) - (b === none) || (isNumeric ? a - b : counts[b] - counts[a] || (names[a] < names[b] ? -1 : 1)));
  const places = new Int32Array(names.length).fill(OTHERS);
  order.filter((code) => code !== none).slice(0, 8).forEach((code, place) => { places[code] = place; });
  const found = { codes, names, counts, order, places };
  cache.set(kind, found);
  return found;
}

export function colour(code) {
  const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  const place = groups().places[code];
  return place === OTHERS ? OTHER_COLOURS[theme] : PALETTES[theme][place];
}

export function set(changes) {
  Object.assign(songs, changes);
  refresh();
}

export function correct(rows, text) {
  for (const row of rows) {
    if (text) songs.corrected[row] = text;
    else delete songs.corrected[row];
  }
  haystack = [];
  cache.clear();
  refresh();
}

function refresh() {
  const words = songs.search.toLowerCase().split(/\s+/).filter(Boolean), hay = words.length ? texts() : [];
  const { codes, names } = groups();
  const chosen = songs.chosen === null ? -1 : names.indexOf(songs.chosen);
  let found = songs.where ? Int32Array.from(songs.where) : Int32Array.from({ length: songs.n }, (_, row) => row);
  if (chosen >= 0) found = found.filter((row) => codes[row] === chosen);
  if (words.length) found = found.filter((row) => words.every((word) => hay[row]?.includes(word)));
  if ((songs.sort === "title" || songs.sort === "artist") && songs.hasTexts) {
    const text = songs.sort === "title" ? title : artist;
    const keys = new Map(Array.from(found, (row) => [row, text(row).toLowerCase()]));
    found.sort((a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : a - b));
  } else if (songs.sort && songs[songs.sort]) {
    const values = songs[songs.sort], sign = songs.sort === "tempo" ? 1 : -1;
    found.sort((a, b) => (values[a] < 0) - (values[b] < 0) || sign * (values[a] - values[b]) || a - b);
  }
  songs.visible = found;
  listeners.forEach((listener) => listener());
}
