// As much of the module `vscode` as the extension and its language client use, without a window: documents that a test opens and changes, settings that
// it sets, and what is shown. What is left out answers with an inert value, so that a client that looks for more does not fail for it.
"use strict";

const path = require("node:path");
const { fileURLToPath, pathToFileURL } = require("node:url");

class Emitter {
  #listeners = new Set();
  event = (listener, self, disposables) => {
    const bound = listener.bind(self);
    this.#listeners.add(bound);
    const disposable = new Disposable(() => this.#listeners.delete(bound));
    disposables?.push(disposable);
    return disposable;
  };
  fire(event) {
    for (const listener of [...this.#listeners]) listener(event);
  }
  dispose() {
    this.#listeners.clear();
  }
}

class Disposable {
  constructor(dispose) {
    this.dispose = dispose ?? (() => {});
  }
}

class Uri {
  constructor(text) {
    this.text = text;
    this.scheme = text.slice(0, text.indexOf(":"));
    this.fsPath = this.scheme === "file" ? fileURLToPath(text) : text;
    this.path = this.fsPath;
  }
  static parse = (text) => new Uri(text);
  static file = (file) => new Uri(pathToFileURL(file).href);
  toString() {
    return this.text;
  }
}

class Position {
  constructor(line, character) {
    Object.assign(this, { line, character });
  }
}

class Range {
  constructor(...ends) {
    if (ends.length === 4) ends = [new Position(ends[0], ends[1]), new Position(ends[2], ends[3])];
    [this.start, this.end] = ends;
  }
}

class Diagnostic {
  constructor(range, message, severity) {
    Object.assign(this, { range, message, severity });
  }
}

class Kind {
  constructor(value) {
    this.value = value;
  }
  append = (part) => new Kind(this.value ? `${this.value}.${part}` : part);
}

class CancellationTokenSource {
  token = { isCancellationRequested: false, onCancellationRequested: () => new Disposable() };
  cancel() {}
  dispose() {}
}

/** Classes, enumerations and functions that nothing here depends on: any member of any of them is one more of the kind. */
function inert(name) {
  class Inert {
    constructor(...values) {
      this.values = values;
    }
  }
  return new Proxy(Inert, {
    get: (target, member) => (member in target || typeof member === "symbol" ? target[member] : inert(`${name}.${member}`)),
    apply: () => new Disposable(),
  });
}

const lenient = (name, known) =>
  new Proxy(known, { get: (target, member) => (member in target || typeof member === "symbol" ? target[member] : inert(`${name}.${String(member)}`)) });

/** The module, and what a test does and sees. `settings` are those of the section `racefree`. */
exports.editor = function editor(folder, settings) {
  const emitters = {};
  const on = (name) => (emitters[name] ??= new Emitter());
  const silent = () => new Disposable();
  const documents = [];
  const diagnostics = new Map();
  const shown = new Emitter();
  const told = [];
  const commands = new Map();
  const providers = { actions: [] };
  const tell = (message) => {
    told.push(String(message));
    return Promise.resolve(undefined);
  };
  const root = { uri: Uri.file(folder), name: path.basename(folder), index: 0 };

  const workspace = lenient("workspace", {
    textDocuments: documents,
    notebookDocuments: [],
    workspaceFolders: [root],
    getWorkspaceFolder: () => root,
    getConfiguration: (section) => ({ get: (name, otherwise) => (section === "racefree" ? settings[name] : undefined) ?? otherwise }),
    createFileSystemWatcher: () => ({ onDidCreate: silent, onDidChange: silent, onDidDelete: silent, dispose() {} }),
    applyEdit: () => Promise.resolve(true),
    isTrusted: true,
    ...Object.fromEntries(
      ["OpenTextDocument", "ChangeTextDocument", "CloseTextDocument", "SaveTextDocument", "ChangeConfiguration", "ChangeWorkspaceFolders"].map((name) => [
        `onDid${name}`,
        on(name).event,
      ]),
    ),
  });
  const channel = { append() {}, appendLine() {}, replace() {}, clear() {}, show() {}, hide() {}, dispose() {}, name: "Racefree" };
  const window = lenient("window", {
    activeTextEditor: undefined,
    visibleTextEditors: [],
    onDidChangeActiveTextEditor: silent,
    onDidChangeVisibleTextEditors: silent,
    tabGroups: { all: [], onDidChangeTabs: silent, onDidChangeTabGroups: silent },
    createOutputChannel: () => channel,
    showErrorMessage: tell,
    showWarningMessage: tell,
    showInformationMessage: tell,
    withProgress: (_options, task) => task({ report() {} }, new CancellationTokenSource().token),
  });
  const collection = {
    set(uri, found) {
      for (const [key, value] of Array.isArray(uri) ? uri : [[uri, found]]) diagnostics.set(String(key), value ?? []);
      shown.fire();
    },
    delete: (uri) => diagnostics.delete(String(uri)),
    clear: () => diagnostics.clear(),
    dispose: () => diagnostics.clear(),
  };
  const languages = lenient("languages", {
    createDiagnosticCollection: () => collection,
    match: (selector, document) => {
      const fits = ({ scheme, language }) => (!scheme || scheme === document.uri.scheme) && (!language || language === document.languageId);
      return [selector].flat().some(fits) ? 10 : 0;
    },
    registerCodeActionsProvider: (_selector, provider) => {
      providers.actions.push(provider);
      return new Disposable(() => providers.actions.splice(providers.actions.indexOf(provider), 1));
    },
  });
  const module = lenient("vscode", {
    version: "1.82.0",
    workspace,
    window,
    languages,
    commands: {
      registerCommand: (name, run) => {
        commands.set(name, run);
        return new Disposable(() => commands.delete(name));
      },
      executeCommand: async (name, ...values) => commands.get(name)(...values),
    },
    env: { language: "en", appName: "a test", openExternal: () => Promise.resolve(true) },
    l10n: { t: (text) => text },
    EventEmitter: Emitter,
    CancellationTokenSource,
    CancellationError: Error,
    CodeActionKind: lenient("CodeActionKind", { Empty: new Kind(""), QuickFix: new Kind("quickfix") }),
    DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
    DiagnosticTag: { Unnecessary: 1, Deprecated: 2 },
    Disposable,
    Uri,
    Position,
    Range,
    Diagnostic,
    CodeAction: class CodeAction {
      constructor(title, kind) {
        Object.assign(this, { title, kind });
      }
    },
    WorkspaceEdit: class WorkspaceEdit {
      edits = [];
      replace(uri, range, text) {
        this.edits.push({ uri, range, text });
      }
    },
    DiagnosticRelatedInformation: class DiagnosticRelatedInformation {
      constructor(location, message) {
        Object.assign(this, { location, message });
      }
    },
    Location: class Location {
      constructor(uri, range) {
        Object.assign(this, { uri, range });
      }
    },
  });

  return {
    module,
    settings,
    told,
    commands,
    providers,
    diagnostics,
    /** Waits until `condition` holds of what is shown. */
    until: (condition) =>
      new Promise((resolve) => {
        const look = () => condition(diagnostics) && resolve(listening.dispose());
        const listening = shown.event(look);
        look();
      }),
    open(file, text) {
      const document = { uri: Uri.file(file), languageId: "elixir", version: 1, isDirty: false, isClosed: false, fileName: file, getText: () => text };
      documents.push(document);
      on("OpenTextDocument").fire(document);
      return document;
    },
    /** Puts `text` in the place of `lines` lines from `line` on. */
    change(document, line, lines, text) {
      const all = document.getText().split("\n");
      all.splice(line, lines, ...text.split("\n").slice(0, -1));
      document.version += 1;
      document.getText = () => all.join("\n");
      on("ChangeTextDocument").fire({ document, contentChanges: [{ range: new Range(line, 0, line + lines, 0), text }] });
    },
    configure(changes) {
      Object.assign(settings, changes);
      on("ChangeConfiguration").fire({ affectsConfiguration: (section) => section === "racefree" });
    },
  };
};
