// The page works without this: it only spares a click and shows that something is being done.
"use strict";
const compose = document.getElementById("compose");
const suggest = document.getElementById("suggest");
compose.addEventListener("submit", () => {
  suggest.disabled = true;
  suggest.textContent = "Looking …";
});
window.addEventListener("pageshow", () => {
  suggest.disabled = false;
  suggest.textContent = "Suggest a route";
});
compose.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    compose.requestSubmit();
  }
});
