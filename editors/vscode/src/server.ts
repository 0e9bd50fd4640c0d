// How the server is found and what it is told. Nothing here knows VS Code, so that all of it can be tested.

import * as path from "node:path";

export interface Settings {
  path: string;
  target: string;
  gpu: string;
  schemaDiagnostics: boolean | null;
}

export interface Surroundings {
  folders: readonly string[];
  trusted: boolean;
  platform: NodeJS.Platform;
  home: string;
  exists(file: string): boolean;
}

/** The program: what the settings name, else that of a workspace's own environment, else the one in PATH. */
export function serverCommand(settings: Settings, around: Surroundings): string {
  if (around.trusted) {
    const named = spelledOut(settings.path.trim(), around);
    if (named) return named;
    const own = around.folders.map((folder) => inEnvironment(folder, around.platform)).find((file) => around.exists(file));
    if (own) return own;
  }
  return "ftc";
}

function inEnvironment(folder: string, platform: NodeJS.Platform): string {
  return platform === "win32"
    ? path.win32.join(folder, ".venv", "Scripts", "ftc.exe")
    : path.posix.join(folder, ".venv", "bin", "ftc");
}

function spelledOut(text: string, around: Surroundings): string {
  const folder = around.folders[0] ?? "";
  const named = text.replaceAll("${workspaceFolder}", folder);
  return named.startsWith("~/") ? path.posix.join(around.home, named.slice(2)) : named;
}

/** What the server is told at its start, and each time that it asks. */
export interface Options {
  target?: string;
  gpu?: string;
  schemaDiagnostics: boolean;
}

export function serverOptions(settings: Settings, yamlIsThere: boolean): Options {
  return {
    ...(settings.target.trim() ? { target: settings.target.trim() } : {}),
    ...(settings.gpu.trim() ? { gpu: settings.gpu.trim() } : {}),
    schemaDiagnostics: settings.schemaDiagnostics ?? !yamlIsThere,
  };
}

/** The arguments of `ftc plan` for a page; one target at a time has a plan. */
export function planArguments(file: string, settings: Settings): string[] {
  const target = settings.target.trim();
  return [
    "plan",
    file,
    "--format",
    "html",
    ...(target && target !== "all" ? ["--target", target] : []),
    ...(settings.gpu.trim() ? ["--gpu", settings.gpu.trim()] : []),
  ];
}

/** What to say where the server did not start. */
export function whyNotStarted(command: string, error: unknown): string {
  const code = (error as { code?: string } | null)?.code;
  const said = error instanceof Error ? error.message : String(error);
  return code === "ENOENT" || said.includes("ENOENT")
    ? `ftc: there is no program "${command}". Install it with its extra "lsp", or name it in ftc.path.`
    : `ftc: the language server did not start (${said}). It needs pip install 'ftc[lsp]'.`;
}
