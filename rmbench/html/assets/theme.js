"use strict";
// In the head, so that the colours are right before anything is painted.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choices = ["auto", "light", "dark"];
  const recall = () => { try { return localStorage.getItem("rmbench-theme"); } catch { return null; } };
  const keep = (choice) => { try { localStorage.setItem("rmbench-theme", choice); } catch { /* private windows refuse */ } };
  let choice = choices.includes(recall()) ? recall() : "auto";
  const apply = () => {
    const isDark = choice === "dark" || (choice === "auto" && dark.matches);
    root.classList.toggle("dark", isDark);
    root.classList.toggle("light", !isDark);
  };
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = "Theme: " + choice; };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      keep(choice);
      apply();
      label();
    });
  });
})();
