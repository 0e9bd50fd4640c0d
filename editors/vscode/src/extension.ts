import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";
import { type Settings, planArguments, serverCommand, serverOptions, whyNotStarted } from "./server";

const YAML = "redhat.vscode-yaml";
const RECIPES = [
  { language: "yaml", pattern: "**/*.ftc.yaml" },
  { language: "yaml", pattern: "**/*.ftc.yml" },
  { language: "yaml", pattern: "**/ftc.yaml" },
];
const LARGEST_PAGE = 64 * 1024 * 1024;

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.commands.registerCommand("ftc.restart", restart),
    vscode.commands.registerCommand("ftc.showPlan", showPlan),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("ftc.path")) void restart();
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void restart()),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await client?.dispose();
  client = undefined;
}

async function restart(): Promise<void> {
  await deactivate();
  await start();
}

async function start(): Promise<void> {
  const command = program();
  const run: ServerOptions = { command, args: ["lsp"] };
  client = new LanguageClient("ftc", "ftc", run, clientOptions());
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    void vscode.window.showErrorMessage(whyNotStarted(command, error));
  }
}

function clientOptions(): LanguageClientOptions {
  return {
    documentSelector: RECIPES,
    initializationOptions: options(),
    synchronize: { configurationSection: "ftc" },
    middleware: {
      // The server asks for its settings; whether the YAML extension is there only we know.
      workspace: { configuration: (params) => params.items.map(() => options()) },
    },
  };
}

function settings(): Settings {
  const said = vscode.workspace.getConfiguration("ftc");
  return {
    path: said.get<string>("path", ""),
    target: said.get<string>("target", ""),
    gpu: said.get<string>("gpu", ""),
    schemaDiagnostics: said.get<boolean | null>("schemaDiagnostics", null),
  };
}

function options(): ReturnType<typeof serverOptions> {
  return serverOptions(settings(), vscode.extensions.getExtension(YAML) !== undefined);
}

function program(): string {
  return serverCommand(settings(), {
    folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
    trusted: vscode.workspace.isTrusted,
    platform: process.platform,
    home: homedir(),
    exists: existsSync,
  });
}

/** The page of `ftc plan` beside the recipe: it has no script and asks for nothing. */
async function showPlan(): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || document.isUntitled) {
    void vscode.window.showInformationMessage("ftc: open a recipe that is saved first.");
    return;
  }
  await document.save();
  const page = await planPage(document.fileName);
  if (page.html) {
    const title = `Plan of ${vscode.workspace.asRelativePath(document.uri)}`;
    const panel = vscode.window.createWebviewPanel("ftc.plan", title, vscode.ViewColumn.Beside, { enableScripts: false });
    panel.webview.html = page.html;
  } else {
    void vscode.window.showErrorMessage(`ftc: ${page.problem}`);
  }
}

function planPage(file: string): Promise<{ html?: string; problem?: string }> {
  return new Promise((resolve) => {
    execFile(program(), planArguments(file, settings()), { maxBuffer: LARGEST_PAGE }, (error, stdout, stderr) => {
      // A plan that does not fit ends with 3, and has a page that says so.
      if (stdout.trimStart().startsWith("<!")) resolve({ html: stdout });
      else resolve({ problem: (stderr || stdout || error?.message || "no plan").trim().slice(0, 2000) });
    });
  });
}
