// Requests to the server of this page, and small helpers for the document.

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
  const content = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Error(content.detail || `The server answers ${response.status}.`);
  return content;
}

const TYPES = { u1: Uint8Array, u2: Uint16Array, i4: Int32Array, f4: Float32Array };

// Columns of songs: a header of JSON, and typed arrays that share the memory of the response.
export async function askColumns(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json()).detail);
  const data = await response.arrayBuffer();
  const length = new DataView(data).getUint32(0, true), begin = Math.ceil((4 + length) / 8) * 8;
  const { arrays, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  for (const [name, [kind, offset, count]] of Object.entries(arrays)) header[name] = new TYPES[kind](data, begin + offset, count);
  return header;
}

export const lines = (bytes) => new TextDecoder().decode(bytes).split("\n");

export const find = (id) => document.getElementById(id);

// An element whose texts are set as text: names come from strangers.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

// An arrow for the eyes, a word for the ears.
export const becomes = () => [make("span", { class: "arrow", "aria-hidden": "true" }, "→"), make("span", { class: "unseen" }, " becomes ")];

export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// CSS forbids inline styles here, so colours are set through the object model.
export function paint(element, colour) {
  element.style.background = colour;
  return element;
}
