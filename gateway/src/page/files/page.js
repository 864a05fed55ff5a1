// Keeps the parts of a page that change in step with the engine. Without it the page works, and shows one moment.
"use strict";

const EVERY = 2000;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// Moments in the user's own time.
function tellTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = local.format(at);
  }
}

// Puts the parts of a newer page in place of the older ones and keeps the keyboard focus where it is.
function take(html) {
  const newer = new DOMParser().parseFromString(html, "text/html");
  tellTimes(newer);
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = newer.getElementById(old.id);
    if (!fresh || fresh.innerHTML === old.innerHTML) continue;
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    if (focus && focus.matches("input, select, textarea") && focus.value !== focus.defaultValue) continue;
    old.replaceWith(document.importNode(fresh, true));
    if (focus && focus.id) document.getElementById(focus.id)?.focus();
  }
  const said = newer.getElementById("said");
  const now = document.getElementById("said");
  if (said && said.textContent !== now.textContent) now.textContent = said.textContent;
}

async function look() {
  if (!document.querySelector("[data-live]")) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.pathname, { credentials: "same-origin" });
      if (answer.ok) take(await answer.text());
    } catch {
      // The engine was stopped, or starts again: the next look tells.
    }
  }
  setTimeout(look, EVERY);
}

// A switch is thrown without leaving the page.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("quiet" in form.dataset)) return;
  event.preventDefault();
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new URL(answer.url).pathname === location.pathname ? answer : await fetch(location.pathname);
    take(await page.text());
  } catch {
    form.submit();
  }
});

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  });
}

tellTimes(document);
setTimeout(look, EVERY);
