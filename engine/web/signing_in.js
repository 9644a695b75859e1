/** The first page: signing up, logging in; where nobody is asked for a name, choosing one. */

import { call, get } from "/ui/api.js";
import { h } from "/ui/dom.js";
import { field, form, pinField } from "/ui/forms.js";
import { say } from "/ui/notices.js";
import * as session from "/ui/session.js";
import { card } from "/ui/tables.js";

const LARGEST_PAGE = 1000;

export async function signInPage(context) {
  if (!context.build.identity) return choosing(context);
  return [
    h("h1", {}, "Welcome"),
    h("p", { className: "lead" }, "Log in, or sign up: a wallet is opened for you."),
    h("div", { className: "columns" }, card("Log in", logInForm(context)), card("Sign up", signUpForm(context))),
  ];
}

function logInForm(context) {
  const username = nameField({ autocomplete: "username" });
  const password = field("Password", { name: "password", type: "password", required: true, autocomplete: "current-password" });
  return form([username, password], {
    button: "Log in",
    submit: async () => {
      await logIn(username.text, password.text);
      await context.refresh();
    },
  });
}

function signUpForm(context) {
  const { build } = context;
  const username = nameField({ autocomplete: "username" });
  const email = field("E-mail (optional)", { name: "email", maxLength: 200, autocomplete: "email" });
  const password = field("Password", {
    name: "password", type: "password", required: true, minLength: 8, maxLength: 200,
    autocomplete: "new-password", hint: "At least 8 characters.",
  });
  const pin = pinField("PIN", { hint: "Four digits, asked for with every payment.", autocomplete: "off" });
  return form([username, email, password, ...(build.pin ? [pin] : [])], {
    button: "Sign up",
    submit: async () => {
      const json = { username: username.text.trim(), email: email.text.trim(), password: password.text };
      await call("POST", "/users", { json });
      await logIn(json.username, json.password);
      // From here on there is a user: what goes wrong now can be done later.
      const problem = await equip(build, pin.text).catch((error) => error);
      if (problem) say(`You are signed up, but not all is set: ${problem.title}.`, "bad");
      else say(`Welcome, ${json.username}.`);
      await context.refresh();
    },
  });
}

async function equip(build, pin) {
  if (build.pin) await call("PUT", "/users/me/pin", { json: { pin } });
  await call("POST", "/wallets", { json: { asset: build.assets[0].code } });
}

async function logIn(username, password) {
  const { body } = await call("POST", "/auth/token", { json: { username: username.trim(), password } });
  session.begin(null, body.access_token);
  session.begin(await get("/users/me"));
}

/** Builds without identity believe whoever asks. */
async function choosing(context) {
  const { users } = await get(`/users?limit=${LARGEST_PAGE}`);
  const people = users.filter((user) => user.role === "user" || user.role === "operator");
  return [
    h("h1", {}, "Who are you?"),
    h("p", { className: "lead" }, "This build asks nobody for a password: whoever you choose, you are believed."),
    h(
      "div",
      { className: "columns" },
      card("New user", newUserForm(context)),
      card("Someone who is there", people.length ? choiceForm(context, people) : h("p", { className: "empty" }, "Nobody yet.")),
    ),
  ];
}

function choiceForm(context, people) {
  const who = field("User", { name: "user", options: people.map((user) => [String(user.id), `${user.username} (${user.id})`]) });
  return form([who], {
    button: "Go on",
    submit: async () => {
      session.begin(people.find((user) => String(user.id) === who.text));
      await context.refresh();
    },
  });
}

function newUserForm(context) {
  const username = nameField();
  return form([username], {
    button: "Create user and wallet",
    submit: async () => {
      const { body } = await call("POST", "/users", { json: { username: username.text.trim() } });
      await call("POST", "/wallets", { json: { user_id: body.id, asset: context.build.assets[0].code } });
      session.begin(body);
      await context.refresh();
    },
  });
}

function nameField(properties = {}) {
  return field("Username", {
    name: "username", required: true, maxLength: 100, pattern: "[\\p{L}\\p{N}_.@+\\-]+",
    title: "Letters, digits and . _ @ + -", ...properties,
  });
}
