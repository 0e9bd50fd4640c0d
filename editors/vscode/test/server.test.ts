import assert from "node:assert/strict";
import { test } from "node:test";
import { type Settings, type Surroundings, planArguments, serverCommand, serverOptions, whyNotStarted } from "../src/server";

const NOTHING: Settings = { path: "", target: "", gpu: "", schemaDiagnostics: null };

function around(changes: Partial<Surroundings> = {}, files: string[] = []): Surroundings {
  return {
    folders: ["/home/me/project"],
    trusted: true,
    platform: "linux",
    home: "/home/me",
    exists: (file) => files.includes(file),
    ...changes,
  };
}

test("the program of the settings comes first", () => {
  const files = ["/home/me/project/.venv/bin/ftc"];
  assert.equal(serverCommand({ ...NOTHING, path: " /opt/ftc " }, around({}, files)), "/opt/ftc");
  assert.equal(
    serverCommand({ ...NOTHING, path: "${workspaceFolder}/env/bin/ftc" }, around()),
    "/home/me/project/env/bin/ftc",
  );
  assert.equal(serverCommand({ ...NOTHING, path: "~/bin/ftc" }, around()), "/home/me/bin/ftc");
});

test("then that of a workspace's own environment, in any of its folders", () => {
  const second = around({ folders: ["/a", "/b"] }, ["/b/.venv/bin/ftc"]);
  assert.equal(serverCommand(NOTHING, second), "/b/.venv/bin/ftc");
  const windows = around({ folders: ["C:\\w"], platform: "win32" }, ["C:\\w\\.venv\\Scripts\\ftc.exe"]);
  assert.equal(serverCommand(NOTHING, windows), "C:\\w\\.venv\\Scripts\\ftc.exe");
});

test("else the one in PATH", () => {
  assert.equal(serverCommand(NOTHING, around()), "ftc");
  assert.equal(serverCommand(NOTHING, around({ folders: [] })), "ftc");
});

test("nothing that a workspace brings is started before it is trusted", () => {
  const files = ["/home/me/project/.venv/bin/ftc"];
  const untrusted = around({ trusted: false }, files);
  assert.equal(serverCommand({ ...NOTHING, path: "${workspaceFolder}/evil" }, untrusted), "ftc");
});

test("the server stands alone where the YAML extension is not there, or the settings say so", () => {
  assert.deepEqual(serverOptions(NOTHING, true), { schemaDiagnostics: false });
  assert.deepEqual(serverOptions(NOTHING, false), { schemaDiagnostics: true });
  assert.deepEqual(serverOptions({ ...NOTHING, schemaDiagnostics: true, gpu: "t4", target: "axolotl" }, true), {
    target: "axolotl",
    gpu: "t4",
    schemaDiagnostics: true,
  });
});

test("a plan is for one target", () => {
  assert.deepEqual(planArguments("r.ftc.yaml", NOTHING), ["plan", "r.ftc.yaml", "--format", "html"]);
  const asked = { ...NOTHING, target: "unsloth", gpu: "h100" };
  assert.deepEqual(planArguments("r", asked).slice(4), ["--target", "unsloth", "--gpu", "h100"]);
  assert.deepEqual(planArguments("r", { ...NOTHING, target: "all" }).slice(4), []);
});

test("what is missing is named with the remedy", () => {
  const missing = Object.assign(new Error("spawn ftc ENOENT"), { code: "ENOENT" });
  assert.match(whyNotStarted("ftc", missing), /no program "ftc".*extra "lsp".*ftc\.path/);
  assert.match(whyNotStarted("ftc", new Error("write EPIPE")), /did not start \(write EPIPE\).*pip install/);
});
