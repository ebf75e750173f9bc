// Starts `racefree lsp` and hands it Elixir files. All else is the language client's and the server's work.
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;
/** Starts and stops come one after the other: settings may change while a server is starting. */
let turn = Promise.resolve();

async function start() {
  const settings = vscode.workspace.getConfiguration("racefree");
  const server = { command: settings.get("path"), args: ["lsp", ...settings.get("arguments")] };
  const starting = new LanguageClient("racefree", "Racefree", server, {
    documentSelector: [{ scheme: "file", language: "elixir" }],
  });
  try {
    await starting.start();
    client = starting;
  } catch {
    // The client has told why. What did not start cannot be stopped: once the settings are right, a new one is started.
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

function inTurn(...steps) {
  for (const step of steps) {
    turn = turn.then(step, step);
  }
  return turn;
}

exports.activate = async function activate(context) {
  const restart = vscode.commands.registerCommand("racefree.restart", () => inTurn(stop, start));
  const reconfigured = vscode.workspace.onDidChangeConfiguration((change) => {
    if (change.affectsConfiguration("racefree")) {
      vscode.commands.executeCommand("racefree.restart");
    }
  });
  context.subscriptions.push(restart, reconfigured);
  await inTurn(start);
};

exports.deactivate = () => inTurn(stop);
