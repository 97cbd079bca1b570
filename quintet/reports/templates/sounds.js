(() => {
  "use strict";
  const every = (selector) => [...document.querySelectorAll(selector)];
  const sounds = JSON.parse(document.getElementById("sounds").textContent);
  every(".play").forEach((button) => { if (!sounds[button.dataset.clip]) button.remove(); });
  const player = document.querySelector(".clip-player");
  const audio = player.querySelector("audio");
  const label = player.querySelector("output");
  const play = (clip, text) => {
    if (!sounds[clip]) return false;
    player.hidden = false;
    label.textContent = text;
    audio.src = sounds[clip];
    audio.play().catch(() => { label.textContent = text + " (cannot be played)"; });
    every(".play").forEach((b) => b.classList.toggle("on", b.dataset.clip === clip));
    return true;
  };
  every(".play").forEach((button) => button.addEventListener("click", () => {
    if (button.classList.contains("on") && !audio.paused) { audio.pause(); return; }
    play(button.dataset.clip, button.dataset.clip);
  }));
  every(".plot .hot, .matrix td").forEach((spot) => { // a finger cannot point: a tap shows the words
    const inside = spot.querySelector("title");
    const text = inside ? inside.textContent : spot.title;
    if (!text) return;
    const clip = text.split(": ")[0];
    if (sounds[clip]) spot.style.cursor = "pointer";
    spot.addEventListener("click", () => {
      if (play(clip, text)) return;
      player.hidden = false;
      label.textContent = text;
    });
  });
})();
