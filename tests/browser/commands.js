"use strict";

/* How a page of the tests is controlled: it asks for a command (GET command, which waits), carries it out, and reports events (POST event). */

const report = (kind, facts = {}) =>
  fetch("event", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind, ...facts }) });

async function obey(commands) {
  await report("loaded");
  for (;;) {
    const command = await (await fetch("command")).json();
    if (command.verb === "end") return;
    if (command.verb === "wait") continue;
    try {
      await commands[command.verb](command);
    } catch (error) {
      await report("error", { command: command.verb, why: String(error) });
    }
  }
}
