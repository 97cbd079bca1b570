(() => {
  "use strict";
  const every = (selector) => [...document.querySelectorAll(selector)];
  const sounds = JSON.parse(document.getElementById("sounds").textContent);
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
  every(".plot .hot").forEach((dot) => {
    const title = dot.querySelector("title");
    if (!title) return;
    const clip = title.textContent.split(": ")[0];
    if (sounds[clip]) dot.style.cursor = "pointer";
    dot.addEventListener("click", () => {
      if (play(clip, title.textContent)) return;
      player.hidden = false;
      label.textContent = title.textContent;
    });
  });
})();
