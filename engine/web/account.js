/** The user's own account: who it is, and the PIN. */

import { call } from "/ui/api.js";
import { h } from "/ui/dom.js";
import { FieldError, form, pinField } from "/ui/forms.js";
import { say } from "/ui/notices.js";
import { card, facts } from "/ui/tables.js";

export async function accountPage(context) {
  const { build, user } = context;
  return [
    h("h1", {}, "Account"),
    facts([["Username", user.username], ["User", user.id], ["E-mail", user.email || "–"], ["Role", user.role]]),
    build.pin && card("PIN", pinForm()),
  ];
}

function pinForm() {
  const current = pinField("Current PIN", { name: "current_pin", required: false, hint: "Leave it empty if none is set." });
  const next = pinField("New PIN", { name: "new_pin", autocomplete: "off" });
  const again = pinField("New PIN again", { name: "new_pin_again", autocomplete: "off" });
  return form([current, next, again], {
    button: "Set PIN",
    submit: async () => {
      if (next.text !== again.text) throw new FieldError(again, "The two are not the same.");
      await call("PUT", "/users/me/pin", { json: { pin: next.text }, pin: current.text || undefined });
      for (const each of [current, next, again]) each.input.value = "";
      say("The PIN is set.");
    },
  });
}
