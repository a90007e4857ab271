// One key for each thing to do. The pages work without this file, by mouse, Tab and Enter.
"use strict";
const writing = (place) => place.closest("input:not([type=hidden]):not([type=radio]), textarea, select, [contenteditable]") !== null;

function moveThroughList(step) {
  const lines = [...document.querySelectorAll("a.open")];
  if (lines.length === 0) return false;
  const here = lines.indexOf(document.activeElement);
  lines[here < 0 ? 0 : Math.min(Math.max(here + step, 0), lines.length - 1)].focus();
  return true;
}

// Browsers give the clipboard to pages on https and on this machine only; elsewhere the text is selected and copied.
async function copyFrom(source) {
  if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent);
  const panel = source.closest("details");
  if (panel) panel.open = true;
  getSelection().selectAllChildren(source);
  document.execCommand("copy");
}

function use(target) {
  const panel = target.closest("details");
  if (panel) panel.open = true;
  if (target.matches("input, select")) {
    target.focus();
    if (target.matches("input")) target.select();
  } else {
    target.click();
  }
}

// A correction has a reason: a number picks one and saves, except for the last, which is written by hand.
const reasons = (form) => [...form.querySelectorAll("[data-pick]")];

function pick(form, one) {
  one.checked = true;
  one.dispatchEvent(new Event("change", { bubbles: true }));
  if (one.value) form.requestSubmit();
  else form.querySelector("[name=other_reason]").focus();
}

function save(form) {
  const offered = reasons(form);
  if (offered.length && !offered.some((one) => one.checked)) offered[0].focus();
  else form.requestSubmit();
}

function keyAmongReasons(event, form) {
  const named = reasons(form).find((one) => one.dataset.pick === event.key);
  if (named) pick(form, named);
  else if (event.key === "Enter") pick(form, event.target);
  else if (event.key === "Escape") event.target.blur();
  else if (["t", "c", "g"].includes(event.key)) use(form.querySelector(`[data-key="${event.key}"]`));
  else return;  // the arrows, Tab and the space bar do what they always do
  event.preventDefault();
}

document.addEventListener("keydown", (event) => {
  const place = event.target;
  if (event.key === "Escape" && writing(place)) {
    place.blur();
    return;
  }
  // A key that is held down walks through the list, and does nothing else: it would judge one ticket after another.
  if (event.repeat && !["j", "k"].includes(event.key)) return;
  if (place.matches("[data-pick]") && !event.ctrlKey && !event.metaKey && !event.altKey) {
    keyAmongReasons(event, place.form);
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && place.form) {
    event.preventDefault();
    place.form.requestSubmit();
    return;
  }
  if (event.key === "Enter" && place.matches("select") && place.closest(".correct-form")) {
    event.preventDefault();
    save(place.form);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || writing(place) || document.querySelector("dialog[open]")) return;
  if ((event.key === "j" || event.key === "k") && moveThroughList(event.key === "j" ? 1 : -1)) {
    event.preventDefault();
    return;
  }
  const target = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  if (!target) return;
  event.preventDefault();
  use(target);
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const copier = event.target.closest("[data-copies]");
  if (copier) copyFrom(document.getElementById(copier.dataset.copies)).then(() => { copier.textContent = "Copied"; });
});

document.addEventListener("input", (event) => {
  if (event.target.name !== "other_reason") return;
  reasons(event.target.form).at(-1).checked = true;
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick]")) event.target.form.elements.other_reason.required = event.target.value === "";
});

// A verdict is sent once, however often the key is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  else if (event.target.method === "post") event.target.dataset.sent = "1";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// What somebody has opened, closed or scrolled stays so when news take the place of what is around it. A log that was
// read to its end goes on at its end.
const unfolded = new Map();
const scrolled = new Map();
const atItsEnd = (one) => one.scrollTop + one.clientHeight >= one.scrollHeight - 4;
document.addEventListener("htmx:beforeSwap", () => {
  unfolded.clear();
  scrolled.clear();
  for (const one of document.querySelectorAll("details[id]")) unfolded.set(one.id, one.open);
  for (const one of document.querySelectorAll("pre[id]")) scrolled.set(one.id, atItsEnd(one) ? Infinity : one.scrollTop);
});
for (const swapped of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
  document.addEventListener(swapped, () => {
    for (const one of document.querySelectorAll("details[id]")) one.open = unfolded.get(one.id) ?? one.open;
    for (const one of document.querySelectorAll("pre[id]")) {
      if (scrolled.has(one.id)) one.scrollTop = Math.min(scrolled.get(one.id), one.scrollHeight);
    }
    const jobs = document.querySelector("[data-says]");
    // Who listens to the page hears of a job when it begins and ends, not whenever its log grows.
    if (jobs && document.getElementById("jobs-say").textContent !== jobs.dataset.says) {
      document.getElementById("jobs-say").textContent = jobs.dataset.says;
    }
  });
}

// What could not be looked up anew is said: nothing may go on looking as if it were of now.
const PROBLEMS = {
  0: "The service does not answer.",
  401: "You are signed out: keep a copy of what you have written, and sign in again.",
  403: "You may not do this, or have signed in anew since: keep a copy of what you have written, and load the page again.",
  413: "This text is too large to be looked at.",
};

function notice(sentence) {
  const said = document.createElement("p");
  said.className = "banner";
  said.setAttribute("role", "alert");
  said.textContent = sentence;
  return said;
}

function standStill(sentence) {
  goOn();
  const said = notice(`${sentence} What you see may be out of date. `);
  const again = document.createElement("a");
  again.href = location.href;
  again.textContent = "Load the page again";
  said.id = "stands-still";
  said.append(again);
  document.getElementById("main").prepend(said);
}

function goOn() {
  document.getElementById("stands-still")?.remove();
}

for (const failed of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(failed, (event) => {
    const { elt, target, xhr } = event.detail;
    const sentence = PROBLEMS[xhr.status] ?? `The service could not answer (${xhr.status}).`;
    // A form shows what would come of what is written in it: that of an earlier text goes.
    if (elt.matches("form")) target.replaceChildren(notice(sentence));
    else standStill(sentence);
  });
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && !event.detail.elt.matches("form")) goOn();
});

// The browser connects again by itself after a restart; what has not come back by then stands still.
const PATIENCE_MS = 10_000;
let silence = 0;
document.addEventListener("htmx:sseError", (event) => {
  const ended = event.detail.source.readyState === EventSource.CLOSED;
  if (ended) standStill("The connection to the service has ended.");
  else silence ||= setTimeout(standStill, PATIENCE_MS, PROBLEMS[0]);
});
document.addEventListener("htmx:sseOpen", () => {
  clearTimeout(silence);
  silence = 0;
  goOn();
});

for (const hidden of document.querySelectorAll("button[data-opens], button[data-copies]")) hidden.hidden = false;
