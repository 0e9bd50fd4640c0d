// The extension as it is shipped, started in a VS Code of cardboard, with the real `ftc lsp` behind it.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import Module from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Stub } from "./vscode";

/* eslint-disable @typescript-eslint/no-explicit-any */
const FTC = process.env.FTC ?? "ftc";
const RECIPE = `version: 1
name: tiny
model: {base: llama-3.1-8b-instruct}
method: {kind: full}
data:
  train: {path: rows.jsonl}
hardware: {gpu: rtx-4090}
`;

const folder = mkdtempSync(path.join(tmpdir(), "ftc-vscode-"));
const file = path.join(folder, "tiny.ftc.yaml");
const stub = new Stub(folder);
const subscriptions: { dispose(): unknown }[] = [];
let extension: any;

before(async () => {
  writeFileSync(path.join(folder, "rows.jsonl"), '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n');
  writeFileSync(file, RECIPE);
  stub.settings["ftc.path"] = FTC;
  const vscode = stub.module();
  const load = (Module as any)._load;
  (Module as any)._load = (name: string, ...rest: unknown[]) => (name === "vscode" ? vscode : load(name, ...rest));
  extension = require("../dist/extension.js");
  await extension.activate({ subscriptions });
  assert.deepEqual(stub.shown, []);
});

after(async () => {
  await extension.deactivate();
  subscriptions.forEach((one) => one.dispose());
  rmSync(folder, { recursive: true });
});

/** The next findings that are such; the same ones may be told again in between. */
function published(wanted: (found: any[]) => boolean): Promise<any[]> {
  return new Promise((resolve) => {
    const listening = stub.published.event((found: any[]) => {
      if (!wanted(found)) return;
      listening.dispose();
      resolve(found);
    });
  });
}

const some = (found: any[]): boolean => found.length > 0;
const none = (found: any[]): boolean => found.length === 0;

test("a recipe that does not fit is marked at its card", async () => {
  const found = published(some);
  const document = stub.document(file, RECIPE);
  stub.documents.push(document);
  stub.opened.fire(document);
  const [misfit] = await found;
  assert.equal(misfit.code?.value ?? misfit.code, "FTC301");
  assert.match(misfit.message, /does not fit rtx-4090/);
  assert.deepEqual([misfit.range.start.line, misfit.range.start.character], [6, 16]);
});

test("a hover has the memory", async () => {
  const provider = stub.providers.get("registerHoverProvider");
  const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose() {} }) };
  const hover = await provider.provideHover(stub.documents[0], { line: 6, character: 3 }, token);
  assert.match(JSON.stringify(hover), /memory: does not fit/);
});

test("the other card of the settings is asked for, and weighed", async () => {
  stub.settings["ftc.gpu"] = "h200";
  const found = published(none);
  stub.configured.fire({ affectsConfiguration: (name: string) => name === "ftc" || "ftc.gpu".startsWith(name) });
  assert.deepEqual(await found, []);
  delete stub.settings["ftc.gpu"];
});

test("the plan is shown as a page, also of what does not fit", async () => {
  stub.active = stub.documents[0];
  await stub.commands.get("ftc.showPlan")?.();
  assert.deepEqual(stub.shown, []);
  assert.equal(stub.panels.length, 1);
  assert.match(stub.panels[0]?.webview.html ?? "", /does not fit/);
});

test("the server can be restarted", async () => {
  const found = published(some);
  await stub.commands.get("ftc.restart")?.();
  assert.match((await found)[0].message, /does not fit/);
});

test("a program that is not there is named with the remedy", async () => {
  stub.settings["ftc.path"] = path.join(folder, "no-ftc");
  await stub.commands.get("ftc.restart")?.();
  assert.match(stub.shown.at(-1) ?? "", /no program .*no-ftc.*extra "lsp"/);
  assert.equal(existsSync(path.join(folder, "no-ftc")), false);
});
