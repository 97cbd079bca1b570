// Corrections, a training on them, and whether they helped.
import { ask, becomes, find, make } from "./api.js";
import { artist, correct, name, songs, title } from "./songs.js";

const LOOK_MS = 700, MOST_SHOWN = 300;
let reload = async () => {};

export async function start(given) {
  reload = given.reload;
  find("retrain").addEventListener("click", () => begin("/api/retrain"));
  find("stop-retrain").addEventListener("click", stop);
  show(await ask("/api/retrain"));
}

// The score of the model in use, and whether the songs are unlike its training, on this view and before tags are written.
export function showScore() {
  const { model, score, drift } = songs.state;
  const known = (score ? `Genres come from a model that was judged on songs that it was not trained on: ${score}` : "How often the model of this library is right is not known.") + (drift && ` ${drift}`);
  for (const id of ["learn-score", "plan-score"]) find(id).textContent = model ? known : "This library has no model yet, so no genre is predicted. Retrain (under Learn) makes one from your tags.";
}

export function showCorrections() {
  const rows = Object.entries(songs.corrected).slice(0, MOST_SHOWN).map(([row, text]) => make("li", {},
    make("span", {}, title(row)), make("span", { class: "by" }, artist(row)),
    make("span", { class: "change" }, make("del", {}, name("genre", row) || name("verdict", row) || "no genre"), ...becomes(), make("ins", {}, text)),
    make("button", { type: "button", "aria-label": `Take back ${text} for ${title(row)}`, onclick: () => takeBack(row) }, "Take back")));
  find("corrections").replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, "None yet. Choose a song and give it the right genre.")]));
}

async function takeBack(row) {
  try {
    const kept = await ask("/api/corrections", { id: songs.id[row], label: "" });
    correct(kept.rows, kept.label);
  } catch (error) { say(error.message, true); }
}

async function begin(path) {
  try { show(await ask(path, {})); } catch (error) { say(error.message, true); }
}

// `look` shows the end, when the process has ended.
async function stop() {
  try { await ask("/api/retrain/stop", {}); } catch (error) { say(error.message, true); }
}

const ENDS = { used: "The songs are predicted with this model.", stopped: "The training was stopped. The library is as it was before, and your corrections are kept." };

function show(state) {
  const isRunning = state.phase === "running", bar = find("learn-progress"), button = find("stop-retrain");
  find("retrain").disabled = isRunning;
  bar.hidden = !isRunning;
  if (document.activeElement === button && !isRunning) find("retrain").focus();
  button.hidden = !(isRunning && state.can_stop);
  if (isRunning) {
    if (state.total) { bar.max = state.total; bar.value = state.done; } else bar.removeAttribute("value");
    say(state.total ? `${state.step}: ${state.done} of ${state.total}` : state.step);
    setTimeout(look, LOOK_MS);
  } else say(state.phase === "failed" ? state.reason : ENDS[state.phase] ?? "", state.phase === "failed");
  find("learn-outcome").replaceChildren(...(state.result && !isRunning ? [outcome(state.result, state.phase)] : []));
}

async function look() {
  try {
    const state = await ask("/api/retrain");
    show(state);
    if (state.phase === "used") await reload();
  } catch (error) { say(error.message, true); }
}

function outcome(result, phase) {
  const [answer, ...rest] = result.words, judged = result.judgement;
  const bars = judged && make("div", { class: "compare" }, ...[["Without", judged.before], ["With", judged.after]].flatMap(([text, { value }]) => [
    make("span", {}, `${text} the corrections`),
    make("meter", { min: 0, max: 1, value, "aria-label": `${text} the corrections: ${(100 * value).toFixed(1)} %` }),
    make("span", { class: "num" }, `${(100 * value).toFixed(1)} %`)]));
  return make("article", { class: "outcome" },
    make("h3", {}, answer), bars, ...rest.map((text) => make("p", {}, text.replaceAll(" %", "\u00a0%"))),
    make("p", {}, `The new model learnt from ${result.songs.toLocaleString("en")} songs. On artists that it does not know: ${result.score}`),
    ...result.notes.map((text) => make("p", { class: "hint" }, text)),
    phase === "done" && make("div", {}, make("button", { type: "button", id: "use-model", class: "main-button", onclick: () => begin("/api/retrain/use") }, "Use this model")));
}

function say(text, isBad = false) {
  find("learn-state").textContent = text;
  find("learn-state").className = isBad ? "bad" : "";
}
