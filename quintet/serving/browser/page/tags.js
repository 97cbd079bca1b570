// The plan of tags: proposals, which are accepted one by one or together, written, and taken back.
import { ask, becomes, find, make } from "./api.js";
import { artist, songs } from "./songs.js";

const MOST_SHOWN = 500;
let plan = { rows: [] }, accepted = new Set();

export function start() {
  find("plan-form").addEventListener("submit", propose);
  find("plan-filter").addEventListener("input", render);
  find("plan-all").addEventListener("click", () => { shownRows().forEach((at) => accepted.add(at)); render(); });
  find("plan-none").addEventListener("click", () => { shownRows().forEach((at) => accepted.delete(at)); render(); });
  find("plan-apply").addEventListener("click", write);
}

export function showJournals() {
  const rows = songs.state.journals.map((journal) => make("li", {}, `${journal} `,
    make("button", { type: "button", onclick: (event) => takeBack(journal, event.target) }, "Take back")));
  find("journals").replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, "Nothing has been written yet.")]));
}

async function propose(event) {
  event.preventDefault();
  say("Reading the tags of the files…");
  try {
    plan = await ask("/api/plan", {
      fields: [find("plan-field").value], mode: find("plan-mode").value, confidence: Number(find("plan-confidence").value),
    });
    accepted = new Set();
    const reasons = Object.values(plan.left_out).flatMap((counts) => Object.entries(counts)).map(([reason, count]) => `${reason} (${count.toLocaleString("en")})`);
    say(`${plan.proposals} proposals for ${plan.files} of ${plan.songs} songs.`
      + (reasons.length ? ` Without one: ${reasons.join(", ")}.` : "") + (plan.advice ? ` ${plan.advice}` : "")
      + (plan.refused.length ? ` ${plan.refused.length} files cannot be written: ${plan.refused[0].reason}` : ""));
    render();
  } catch (error) { say(error.message, true); }
}

function shownRows() {
  const words = find("plan-filter").value.toLowerCase();
  return plan.rows.map((_, at) => at).filter((at) => {
    const row = plan.rows[at];
    return `${row.file} ${row.now} ${row.proposed} ${row.row >= 0 ? artist(row.row) : ""}`.toLowerCase().includes(words);
  });
}

function render() {
  const shown = shownRows();
  find("plan-tools").hidden = !plan.rows.length;
  const body = shown.slice(0, MOST_SHOWN).map((at) => {
    const row = plan.rows[at];
    return make("tr", { role: "row" },
      make("td", { role: "cell" }, make("input", { type: "checkbox", "aria-label": `Accept ${row.proposed} for ${row.file}`, checked: accepted.has(at),
        onchange: (event) => { if (event.target.checked) accepted.add(at); else accepted.delete(at); count(); } })),
      make("td", { role: "cell" }, row.file.split("/").slice(-2).join(" / ")),
      make("td", { role: "cell" }, row.field),
      make("td", { role: "cell" }, row.now ? make("del", {}, row.now) : make("span", { class: "hint" }, "empty"), ...becomes(), make("ins", {}, row.proposed)),
      make("td", { role: "cell", class: "num" }, row.confidence === null ? "" : `${Math.round(100 * row.confidence)} %`));
  });
  // Roles, because a phone shows each row as two lines, and a table that is no table for the eyes loses its own.
  const head = make("tr", { role: "row" }, ...["Accept", "File", "Field", "Now → proposed", "Confidence"].map((text) => make("th", { role: "columnheader", scope: "col", class: text === "Confidence" ? "num" : "" }, text)));
  find("plan").replaceChildren(...(plan.rows.length ? [make("table", { role: "table" }, make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, ...body))] : []));
  if (shown.length > MOST_SHOWN) find("plan").append(make("p", { class: "hint" }, `${MOST_SHOWN} of ${shown.length} are listed; the buttons mean all.`));
  count();
}

function count() {
  const button = find("plan-apply");
  button.disabled = !accepted.size;
  button.textContent = accepted.size ? `Write ${accepted.size} accepted tags` : "Write accepted tags";
}

async function write() {
  say("Writing…");
  find("plan-apply").disabled = true;
  try {
    const done = await ask("/api/plan/apply", { rows: [...accepted] });
    plan = { rows: [] };
    render();
    say(`${done.fields} tags of ${done.files} songs written.` + left(done));
    await refreshState();
  } catch (error) { say(error.message, true); count(); }
}

async function takeBack(journal, button) {
  button.disabled = true;
  try {
    const done = await ask("/api/undo", { journal });
    say(`${done.fields} tags of ${done.files} songs taken back.` + left(done));
    await refreshState();
  } catch (error) { say(error.message, true); button.disabled = false; }
}

const left = (done) => (done.left.length ? ` ${done.left.length} left as they are: ${done.left[0].reason}` : "");

async function refreshState() {
  songs.state = await ask("/api/state");
  showJournals();
}

function say(text, isBad = false) {
  find("plan-state").textContent = text;
  find("plan-state").className = isBad ? "bad" : "";
}
