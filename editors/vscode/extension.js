// Starts `racefree lsp` and hands it Elixir files. All else is the language client's and the server's work.
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const settings = vscode.workspace.getConfiguration("racefree");
  const server = { command: settings.get("path"), args: ["lsp", ...settings.get("arguments")] };
  client = new LanguageClient("racefree", "Racefree", server, {
    documentSelector: [{ scheme: "file", language: "elixir" }],
  });
  await client.start();
}

async function stop() {
  const running = client;
  client = undefined;
  if (running) {
    await running.stop();
  }
}

exports.activate = async function activate(context) {
  const restart = vscode.commands.registerCommand("racefree.restart", async () => {
    await stop();
    await start();
  });
  const reconfigured = vscode.workspace.onDidChangeConfiguration((change) => {
    if (change.affectsConfiguration("racefree")) {
      vscode.commands.executeCommand("racefree.restart");
    }
  });
  context.subscriptions.push(restart, reconfigured);
  await start();
};

exports.deactivate = stop;
