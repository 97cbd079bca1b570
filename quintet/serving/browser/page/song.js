// The panel of one song: facts, probabilities, more like this, why this genre, corrections.
import { ask, clock, find, make } from "./api.js";
import { artist, correct, name, songs, title, verdict } from "./songs.js";

let handlers = {}, shownRow = -1;

export function start(given) { handlers = given; }

export const shown = () => shownRow;

export function close() {
  const box = find("song");
  box.classList.add("empty");
  box.replaceChildren(make("p", { class: "hint" }, "Choose a song in the list or on the map. A double click plays it."));
  shownRow = -1;
}

export async function show(row) {
  shownRow = row;
  const box = find("song");
  box.classList.remove("empty");
  const genre = verdict(row), p = songs.verdict_probability[row];
  const facts = make("dl");
  const add = (term, text) => { if (text) facts.append(make("dt", {}, term), make("dd", {}, text)); };
  add("Album", name("album", row));
  add("Genre tag", name("genre", row));
  add("Predicted", genre && (row in songs.corrected ? `${genre} (yours)` : `${genre}${p >= 0 ? `, ${Math.round(100 * p)} %` : ""}`));
  add("Mood", name("mood", row));
  add("Tempo", songs.tempo[row] > 0 && `${Math.round(songs.tempo[row])} bpm`);
  add("Key", name("key", row));
  add("Energy", songs.energy[row] >= 0 && `${Math.round(100 * songs.energy[row])} %`);
  add("Length", clock(songs.seconds[row]));
  const more = make("div", { "aria-live": "polite" }), hint = make("p", { class: "hint", role: "status" });
  box.replaceChildren(
    make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => { close(); find("rows").focus(); } }, "×"),
    make("h2", {}, title(row)), make("p", { class: "by" }, artist(row)),
    make("div", { class: "actions" },
      make("button", { type: "button", class: "main-button", onclick: () => handlers.play(row) }, "Play"),
      make("button", { type: "button", id: "more-like", onclick: () => similar(row, more) }, "More like this"),
      songs.state.model && make("a", { href: `/api/songs/${songs.id[row]}/why`, target: "_blank", rel: "noopener", id: "why", onclick: () => { hint.textContent = "The explanation is being computed. It opens in another tab, some seconds later."; } }, "Why this genre?"),
      make("button", { type: "button", onclick: () => handlers.enlist(row) }, "Add to playlist")),
    hint, facts, correction(row), more);
  try {
    const details = await ask(`/api/songs/${songs.id[row]}`);
    if (row !== shownRow) return;
    if (details.probabilities.length) more.append(make("h3", {}, "Probabilities"), bars(details.probabilities.slice(0, 6)));
    add("File", details.path);
    if (details.reason) add("Note", details.reason);
  } catch (error) { more.append(make("p", { class: "bad" }, error.message)); }
}

function bars(pairs) {
  return make("ul", { class: "bars" }, ...pairs.map(([label, p]) => make("li", {},
    make("span", { class: "name" }, label),
    make("meter", { min: 0, max: 1, value: p ?? 0, "aria-label": `${label}: ${Math.round(100 * p)} %` }),
    make("span", {}, `${Math.round(100 * p)} %`))));
}

function correction(row) {
  const list = make("datalist", { id: "genres" }, ...songs.state.genres.map((text) => make("option", { value: text })));
  const input = make("input", { list: "genres", id: "correct-genre", value: songs.corrected[row] ?? "", placeholder: verdict(row) || "genre", autocomplete: "off" });
  const state = make("span", { class: "hint", role: "status" });
  return make("form", { class: "bar", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const kept = await ask("/api/corrections", { id: songs.id[row], label: input.value });
      correct(kept.rows, kept.label);
      state.textContent = kept.label ? `Kept: ${kept.label}.` : "Taken back.";
    } catch (error) { state.textContent = error.message; }
  } }, make("label", {}, "Right genre", input), list, make("button", { type: "submit" }, "Keep"), state);
}

async function similar(row, box) {
  try {
    const found = (await ask(`/api/songs/${songs.id[row]}/similar?n=12`)).similar;
    const items = found.map(({ row: other, similarity }) => make("li", {},
      make("button", { type: "button", onclick: () => { handlers.select(other); handlers.play(other); } },
        make("span", {}, `${title(other)} · ${artist(other)}`), make("span", { class: "hint" }, `${Math.round(100 * similarity)} %`))));
    box.replaceChildren(make("h3", {}, "More like this"), make("ul", { class: "plain", id: "similar" }, ...items));
  } catch (error) { box.replaceChildren(make("p", { class: "bad" }, error.message)); }
}
