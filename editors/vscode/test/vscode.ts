// As much of VS Code as an extension with a language client asks for: events that can be fired, classes that hold what
// they are given, and providers that can be called.

/* eslint-disable @typescript-eslint/no-explicit-any */
type Any = any;

class Disposable {
  constructor(private readonly end: () => void = () => undefined) {}
  static from(...all: { dispose(): unknown }[]): Disposable {
    return new Disposable(() => all.forEach((one) => one.dispose()));
  }
  dispose(): void {
    this.end();
  }
}

class EventEmitter {
  private readonly listeners = new Set<(value: Any) => Any>();
  readonly event = (listener: (value: Any) => Any, self?: Any): Disposable => {
    const bound = self ? listener.bind(self) : listener;
    this.listeners.add(bound);
    return new Disposable(() => this.listeners.delete(bound));
  };
  fire(value: Any): void {
    for (const listener of this.listeners) listener(value);
  }
  dispose(): void {
    this.listeners.clear();
  }
}

class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}

class Range {
  readonly start: Position;
  readonly end: Position;
  constructor(first: Any, second: Any, third?: number, fourth?: number) {
    this.start = third === undefined ? first : new Position(first, second);
    this.end = third === undefined ? second : new Position(third, fourth ?? 0);
  }
}

class Uri {
  constructor(
    readonly scheme: string,
    readonly path: string,
  ) {}
  static file(path: string): Uri {
    return new Uri("file", path);
  }
  static parse(text: string): Uri {
    const url = new URL(text);
    return new Uri(url.protocol.slice(0, -1), decodeURIComponent(url.pathname));
  }
  get fsPath(): string {
    return this.path;
  }
  toString(): string {
    return `${this.scheme}://${this.path.split("/").map(encodeURIComponent).join("/")}`;
  }
}

class Diagnostic {
  constructor(
    readonly range: Range,
    readonly message: string,
    readonly severity: number,
  ) {}
}

class Hover {
  constructor(
    readonly contents: Any,
    readonly range?: Range,
  ) {}
}

class MarkdownString {
  constructor(public value = "") {}
  appendMarkdown(text: string): this {
    this.value += text;
    return this;
  }
}

class CancellationTokenSource {
  readonly token = { isCancellationRequested: false, onCancellationRequested: new EventEmitter().event };
  cancel(): void {}
  dispose(): void {}
}

class CodeActionKind {
  static readonly Empty = new CodeActionKind("");
  static readonly QuickFix = new CodeActionKind("quickfix");
  constructor(readonly value: string) {}
  append(part: string): CodeActionKind {
    return new CodeActionKind(this.value ? `${this.value}.${part}` : part);
  }
}

/** A class that keeps what it was made of, for all that the test does not look into. */
function kept(name: string): Any {
  return { [name]: class { constructor(...given: Any[]) { Object.assign(this, { given }); } } }[name];
}

export class Stub {
  readonly opened = new EventEmitter();
  readonly changed = new EventEmitter();
  readonly configured = new EventEmitter();
  readonly commands = new Map<string, (...given: Any[]) => Any>();
  readonly providers = new Map<string, Any>();
  readonly diagnostics = new Map<string, Diagnostic[]>();
  readonly published = new EventEmitter();
  readonly shown: string[] = [];
  readonly panels: { webview: { html: string } }[] = [];
  readonly settings: Record<string, Any> = {};
  documents: Any[] = [];
  active: Any;
  yaml = false;

  constructor(private readonly folder: string) {}

  document(file: string, text: string): Any {
    const lines = text.split("\n");
    return {
      uri: Uri.file(file),
      fileName: file,
      isUntitled: false,
      languageId: "yaml",
      version: 1,
      lineCount: lines.length,
      getText: () => text,
      lineAt: (line: number) => ({ text: lines[line] ?? "" }),
      save: async () => true,
    };
  }

  module(): Any {
    const quiet = new EventEmitter().event;
    const lenient = (named: Any): Any =>
      new Proxy(named, {
        get: (target, name: string) => {
          if (name in target) return target[name];
          if (name.startsWith("on")) return quiet;
          if (name.startsWith("register"))
            return (...given: Any[]) => {
              this.providers.set(name, given.find((one) => one && typeof one === "object" && !Array.isArray(one) && Object.keys(one).some((key) => key.startsWith("provide"))));
              return new Disposable();
            };
          return undefined;
        },
      });
    const channel = { append() {}, appendLine() {}, clear() {}, show() {}, dispose() {}, name: "ftc" };
    const named: Any = {
      version: "1.91.0",
      Disposable, EventEmitter, Position, Range, Uri, Diagnostic, Hover, MarkdownString, CancellationTokenSource, CodeActionKind,
      ViewColumn: { Beside: -2 },
      DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
      CancellationError: Error,
      workspace: lenient({
        isTrusted: true,
        workspaceFolders: [{ uri: Uri.file(this.folder), name: "folder", index: 0 }],
        textDocuments: this.documents,
        notebookDocuments: [],
        onDidOpenTextDocument: this.opened.event,
        onDidChangeTextDocument: this.changed.event,
        onDidChangeConfiguration: this.configured.event,
        getWorkspaceFolder: () => ({ uri: Uri.file(this.folder), name: "folder", index: 0 }),
        asRelativePath: (uri: Uri) => uri.path.split("/").pop(),
        createFileSystemWatcher: () => ({ onDidCreate: quiet, onDidChange: quiet, onDidDelete: quiet, dispose() {} }),
        getConfiguration: (section: string) => ({
          get: (name: string, otherwise: Any) => this.settings[`${section}.${name}`] ?? otherwise,
        }),
      }),
      languages: lenient({
        match: (_: Any, document: Any) => (/\.ftc\.ya?ml$/.test(document.fileName) ? 10 : 0),
        createDiagnosticCollection: () => ({
          set: (uri: Uri, found: Diagnostic[]) => {
            this.diagnostics.set(uri.path, found);
            this.published.fire(found);
          },
          delete() {}, clear() {}, dispose() {},
        }),
      }),
      window: lenient({
        visibleTextEditors: [],
        tabGroups: { all: [], onDidChangeTabs: quiet, onDidChangeTabGroups: quiet },
        createOutputChannel: () => channel,
        showErrorMessage: async (text: string) => void this.shown.push(text),
        showWarningMessage: async (text: string) => void this.shown.push(text),
        showInformationMessage: async (text: string) => void this.shown.push(text),
        createWebviewPanel: (_: string, title: string) => {
          const panel = { title, webview: { html: "" } };
          this.panels.push(panel);
          return panel;
        },
      }),
      commands: lenient({
        registerCommand: (name: string, run: Any) => {
          this.commands.set(name, run);
          return new Disposable(() => this.commands.delete(name));
        },
      }),
      env: lenient({ appName: "stub", language: "en" }),
      extensions: lenient({ getExtension: () => (this.yaml ? {} : undefined) }),
      l10n: { t: (text: string) => text },
    };
    Object.defineProperty(named.window, "activeTextEditor", { get: () => this.active && { document: this.active } });
    return new Proxy(named, {
      get: (target, name: string) => (name in target ? target[name] : (target[name] = kept(String(name)))),
    });
  }
}
