// First in the script: an error anywhere below is shown, not only logged.
"use strict";
window.addEventListener("error", (event) => {
  const place = document.getElementById("errors");
  place.hidden = false;
  place.append(`This page could not be drawn in full: ${event.message}. `);
  document.documentElement.dataset.errors = Number(document.documentElement.dataset.errors ?? 0) + 1;
});
