#!/usr/bin/env node
// Headless LSP probe: drives a REAL language server over stdio (default: yaml-language-server)
// and prints completion / hover / diagnostics / code actions for cursor positions in a YAML file.
// No npm dependency of its own: `npm ci` in this folder's package.json brings yaml-language-server alone.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL, fileURLToPath } from 'node:url';

const USAGE = `usage:
  yls_probe.mjs --yaml FILE [--schema FILE|URL] [--at L:C]... [--complete] [--hover] [--actions] [--json]
  yls_probe.mjs --cases CASES.json|CASES.mjs [--schema FILE|URL]... [--jobs N] [--json]
options:
  --schema S      JSON Schema (file or URL). Bound through settings yaml.schemas; omit it to test the
                  file's own "# yaml-language-server: $schema=" modeline.
  --at L:C        1-based line:column of the cursor (repeatable). Without it, every <|> marker in the
                  YAML text is a cursor (markers are removed before the text is sent).
  --complete/--hover/--actions/--symbols/--inlay   what to ask for (default: complete + hover). Diagnostics always print.
  --apply LABEL   also print the document after accepting the completion whose label is LABEL
  --server CMD    server command line (default: node <yls> --stdio; searched in $YLS, beside this file and in
                  ./node_modules). e.g. --server "ftc lsp" to test a server of our own.
  --settings F    JSON file merged into the "yaml" settings section
  --doc-uri U     URI given to the document (default: the real file's URI)
  --no-snippets   client declares no snippet support
  --wait MS       how long to wait for diagnostics (default 4000, settles 250 ms after the last)
  --cases F       array of {name, yaml|yaml_file, accept?, expect:{...}}, as JSON or exported by a module; exit 1 if any
                  expectation fails. accept: the completion that is taken; expect.text is the text after it, and
                  expect.then what is expected of that text. uri: the document's own, for a file that names its schema
  --jobs N        cases at a time (default 1); with several --schema each is run in turn, with --json as a list of lists
`;

function parseArgs(argv) {
  const a = { at: [], want: new Set(), schemas: [] };
  for (let i = 0; i < argv.length; i++) {
    const k = argv[i];
    const next = () => { if (++i >= argv.length) die(`${k} needs a value`); return argv[i]; };
    if (k === '--schema') a.schemas.push(next());
    else if (k === '--jobs') a.jobs = Number(next());
    else if (k === '--yaml') a.yaml = next();
    else if (k === '--at') a.at.push(next());
    else if (k === '--complete' || k === '--hover' || k === '--actions' || k === '--symbols' || k === '--inlay') a.want.add(k.slice(2));
    else if (k === '--apply') { a.apply = next(); a.want.add('complete'); }
    else if (k === '--server') a.server = next();
    else if (k === '--settings') a.settings = next();
    else if (k === '--doc-uri') a.docUri = next();
    else if (k === '--no-snippets') a.noSnippets = true;
    else if (k === '--wait') a.wait = Number(next());
    else if (k === '--cases') a.cases = next();
    else if (k === '--json') a.json = true;
    else if (k === '--trace') a.trace = true;
    else if (k === '-h' || k === '--help') { console.log(USAGE); process.exit(0); }
    else die(`unknown option ${k}`);
  }
  a.schema = a.schemas[0];
  if (!a.yaml && !a.cases) die('give --yaml or --cases');
  if (!a.want.size) { a.want.add('complete'); a.want.add('hover'); }
  return a;
}
function die(m) { console.error(`yls_probe: ${m}\n${USAGE}`); process.exit(2); }

export function findYls() {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const roots = [process.env.YLS, path.join(here, 'node_modules'), path.join(process.cwd(), 'node_modules')];
  for (const r of roots.filter(Boolean)) {
    for (const p of [r, path.join(r, 'yaml-language-server/bin/yaml-language-server')]) {
      if (fs.existsSync(p) && fs.statSync(p).isFile()) return p;
    }
  }
  return null;
}

/** Minimal LSP client over stdio with Content-Length framing. */
export class Lsp {
  constructor(cmd, { settings, trace, snippets = true } = {}) {
    this.settings = settings; this.trace = trace; this.snippets = snippets;
    this.p = spawn(cmd[0], cmd.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.buf = Buffer.alloc(0); this.id = 0; this.pending = new Map(); this.diags = new Map(); this.stderr = '';
    this.versions = new Map(); this.heard = new Map();
    this.p.stderr.on('data', d => { this.stderr += d; if (trace) process.stderr.write(d); });
    this.p.stdout.on('data', d => { this.buf = Buffer.concat([this.buf, d]); this.#drain(); });
    this.p.on('exit', c => { for (const { reject } of this.pending.values()) reject(new Error(`server exited (${c}): ${this.stderr.slice(-800)}`)); });
    this.p.on('error', e => { for (const { reject } of this.pending.values()) reject(e); });
  }
  #drain() {
    for (;;) {
      const h = this.buf.indexOf('\r\n\r\n'); if (h < 0) return;
      const m = /content-length:\s*(\d+)/i.exec(this.buf.slice(0, h).toString()); if (!m) { this.buf = this.buf.slice(h + 4); continue; }
      const n = +m[1]; if (this.buf.length < h + 4 + n) return;
      const msg = JSON.parse(this.buf.slice(h + 4, h + 4 + n).toString('utf8')); this.buf = this.buf.slice(h + 4 + n);
      if (this.trace) console.error('<-', JSON.stringify(msg).slice(0, 600));
      this.#handle(msg);
    }
  }
  #handle(m) {
    if (m.id !== undefined && m.method) return this.#send({ jsonrpc: '2.0', id: m.id, result: this.#serverRequest(m) });
    if (m.id !== undefined) { const p = this.pending.get(m.id); if (!p) return; this.pending.delete(m.id); return m.error ? p.reject(Object.assign(new Error(m.error.message), m.error)) : p.resolve(m.result); }
    if (m.method === 'textDocument/publishDiagnostics') { this.diags.set(m.params.uri, m.params.diagnostics); this.heard.set(m.params.uri, Date.now()); }
  }
  #serverRequest(m) {
    if (m.method === 'workspace/configuration') return m.params.items.map(it => (it.section ? it.section.split('.').reduce((o, k) => (o == null ? null : o[k] ?? null), this.settings) : this.settings));
    return null; // client/registerCapability, window/workDoneProgress/create, ...
  }
  #send(o) { const b = Buffer.from(JSON.stringify(o)); if (this.trace) console.error('->', b.toString().slice(0, 600)); this.p.stdin.write(`Content-Length: ${b.length}\r\n\r\n`); this.p.stdin.write(b); }
  notify(method, params) { this.#send({ jsonrpc: '2.0', method, params }); }
  request(method, params, ms = 20000) {
    const id = ++this.id;
    return new Promise((resolve, reject) => {
      const t = setTimeout(() => { this.pending.delete(id); reject(new Error(`${method}: no answer in ${ms} ms`)); }, ms);
      this.pending.set(id, { resolve: v => { clearTimeout(t); resolve(v); }, reject: e => { clearTimeout(t); reject(e); } });
      this.#send({ jsonrpc: '2.0', id, method, params });
    });
  }
  async start(root = os.tmpdir()) {
    const uri = pathToFileURL(root).href;
    this.init = await this.request('initialize', {
      processId: process.pid, rootUri: uri, workspaceFolders: [{ uri, name: 'w' }],
      capabilities: {
        textDocument: {
          synchronization: { didSave: true, dynamicRegistration: true },
          completion: { completionItem: { snippetSupport: this.snippets, documentationFormat: ['markdown', 'plaintext'], insertReplaceSupport: false, deprecatedSupport: true, resolveSupport: { properties: ['documentation', 'detail'] } }, completionItemKind: { valueSet: [...Array(25).keys()].map(i => i + 1) } },
          hover: { contentFormat: ['markdown', 'plaintext'] },
          publishDiagnostics: { relatedInformation: true, tagSupport: { valueSet: [1, 2] } },
          codeAction: { codeActionLiteralSupport: { codeActionKind: { valueSet: ['', 'quickfix', 'refactor', 'source'] } } },
          documentSymbol: { hierarchicalDocumentSymbolSupport: true }, inlayHint: {},
        },
        workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true }, workspaceFolders: true, applyEdit: true },
        window: { workDoneProgress: true },
      },
    });
    this.notify('initialized', {});
    this.notify('workspace/didChangeConfiguration', { settings: this.settings });
    return this.init;
  }
  open(uri, text) { this.versions.set(uri, 1); this.diags.delete(uri); this.heard.delete(uri); this.notify('textDocument/didOpen', { textDocument: { uri, languageId: 'yaml', version: 1, text } }); }
  change(uri, text) { const v = (this.versions.get(uri) || 1) + 1; this.versions.set(uri, v); this.diags.delete(uri); this.heard.delete(uri); this.notify('textDocument/didChange', { textDocument: { uri, version: v }, contentChanges: [{ text }] }); }
  close(uri) { this.notify('textDocument/didClose', { textDocument: { uri } }); }
  async diagnostics(uri, wait = 4000, settle = 250) {
    const t0 = Date.now();
    while (Date.now() - t0 < wait) { const last = this.heard.get(uri); if (last && Date.now() - last >= settle) break; await new Promise(r => setTimeout(r, 20)); }
    return this.diags.has(uri) ? this.diags.get(uri) : null; // null = server published nothing
  }
  async stop() { try { await this.request('shutdown', null, 2000); this.notify('exit'); } catch { /* going away anyway */ } setTimeout(() => this.p.kill(), 300).unref(); }
}

export function takeMarkers(text) {
  const pos = []; let out = ''; let line = 0, col = 0;
  for (let i = 0; i < text.length; i++) {
    if (text.startsWith('<|>', i)) { pos.push({ line, character: col }); i += 2; continue; }
    out += text[i]; if (text[i] === '\n') { line++; col = 0; } else col++;
  }
  return { text: out, pos };
}
const off = (t, p) => { const L = t.split('\n'); let n = 0; for (let i = 0; i < p.line; i++) n += L[i].length + 1; return n + p.character; };
// What a client does with an item: tab stops become what stands in them, and lines after the first are indented as the
// first one's line is.
export const plain = s => s.replace(/(?<!\\)\$\{\d+\|([^,|]*)[^}]*\}/g, '$1').replace(/(?<!\\)\$\{\d+:((?:\\.|[^}\\])*)\}/g, '$1').replace(/(?<!\\)\$(\d+|\{\d+\})/g, '').replace(/\\([$}\\])/g, '$1');
export function applyItem(text, pos, it) {
  const r = it.textEdit ? (it.textEdit.range ?? it.textEdit.insert) : { start: pos, end: pos };
  const indent = /^ */.exec(text.split('\n')[r.start.line])[0];
  const s = plain(it.textEdit ? it.textEdit.newText : (it.insertText ?? it.label)).replace(/\n/g, '\n' + indent);
  let out = text.slice(0, off(text, r.start)) + s + text.slice(off(text, r.end));
  for (const e of it.additionalTextEdits ?? []) out = out.slice(0, off(out, e.range.start)) + e.newText + out.slice(off(out, e.range.end));
  return out;
}
const md = d => d == null ? '' : typeof d === 'string' ? d : Array.isArray(d) ? d.map(md).join('\n') : d.value ?? '';
const KIND = ['', 'Text', 'Method', 'Function', 'Constructor', 'Field', 'Variable', 'Class', 'Interface', 'Module', 'Property', 'Unit', 'Value', 'Enum', 'Keyword', 'Snippet', 'Color', 'File', 'Reference', 'Folder', 'EnumMember', 'Constant', 'Struct', 'Event', 'Operator', 'TypeParameter'];
const SEV = ['', 'error', 'warning', 'info', 'hint'];

export function serverCommand(server) {
  if (server) return server.split(/\s+/);
  const y = findYls(); if (!y) die('yaml-language-server not found; npm install yaml-language-server, or set $YLS / --server');
  return [process.execPath, y, '--stdio'];
}
export function makeSettings(schema, docGlob, extra = {}) {
  const yaml = { validate: true, hover: true, completion: true, format: { enable: false }, schemaStore: { enable: false, url: '' }, schemas: {}, ...extra };
  if (schema) yaml.schemas = { ...yaml.schemas, [/^[a-z]+:\/\//.test(schema) ? schema : pathToFileURL(path.resolve(schema)).href]: docGlob };
  return { yaml, http: { proxy: '', proxyStrictSSL: false }, editor: { tabSize: 2, detectIndentation: false }, files: { associations: {} }, '[yaml]': {} };
}

export async function probe(lsp, uri, raw, { at = [], want, wait, apply } = {}) {
  let { text, pos } = takeMarkers(raw);
  if (at.length) pos = at.map(s => { const [l, c] = s.split(':').map(Number); return { line: l - 1, character: (c || 1) - 1 }; });
  lsp.open(uri, text);
  const diags = await lsp.diagnostics(uri, wait);
  const res = { uri, diagnostics: (diags ?? []).map(d => ({ line: d.range.start.line + 1, col: d.range.start.character + 1, endLine: d.range.end.line + 1, endCol: d.range.end.character + 1, severity: SEV[d.severity ?? 1], code: d.code, source: d.source, message: d.message, tags: d.tags })), published: diags !== null, cursors: [] };
  for (const p of pos) {
    const c = { line: p.line + 1, col: p.character + 1 }; const td = { textDocument: { uri }, position: p };
    if (want.has('complete') && !lsp.init?.capabilities?.completionProvider) c.completions = [], c.ms = 0;
    else if (want.has('complete')) {
      const t0 = process.hrtime.bigint(); const r = await lsp.request('textDocument/completion', td); c.ms = Number(process.hrtime.bigint() - t0) / 1e6;
      const items = Array.isArray(r) ? r : r?.items ?? [];
      c.completions = items.map(i => ({ label: i.label, kind: KIND[i.kind] ?? i.kind, insert: i.textEdit?.newText ?? i.insertText ?? i.label, detail: i.detail, documentation: md(i.documentation), deprecated: i.deprecated || (i.tags ?? []).includes(1) || undefined, sortText: i.sortText }));
      if (apply) { const it = items.find(i => i.label === apply); c.applied = it ? applyItem(text, p, it) : null; }
    }
    if (want.has('hover') && !lsp.init?.capabilities?.hoverProvider) c.hover = null;
    else if (want.has('hover')) { const h = await lsp.request('textDocument/hover', td); c.hover = h ? md(h.contents) : null; }
    if (want.has('actions')) {
      const here = (diags ?? []).filter(d => d.range.start.line <= p.line && p.line <= d.range.end.line);
      const r = await lsp.request('textDocument/codeAction', { textDocument: { uri }, range: { start: p, end: p }, context: { diagnostics: here } });
      c.actions = (r ?? []).map(a => ({ title: a.title, kind: a.kind, edit: a.edit, command: a.command?.command }));
    }
    res.cursors.push(c);
  }
  if (want.has('symbols')) res.symbols = (await lsp.request('textDocument/documentSymbol', { textDocument: { uri } }) ?? []).map(s => s.name);
  if (want.has('inlay') && lsp.init?.capabilities?.inlayHintProvider) {
    const end = text.split('\n').length;
    res.inlay = (await lsp.request('textDocument/inlayHint', { textDocument: { uri }, range: { start: { line: 0, character: 0 }, end: { line: end, character: 0 } } }) ?? [])
      .map(h => ({ line: h.position.line + 1, col: h.position.character + 1, label: typeof h.label === 'string' ? h.label : h.label.map(x => x.value).join('') }));
  }
  lsp.close(uri);
  return res;
}

function show(r) {
  console.log(`diagnostics: ${r.published ? r.diagnostics.length : 'none published'}`);
  for (const d of r.diagnostics) console.log(`  ${d.line}:${d.col}-${d.endLine}:${d.endCol} ${d.severity}${d.code !== undefined ? ` [${d.code}]` : ''}${d.source ? ` (${d.source})` : ''}: ${d.message.replace(/\n/g, ' ⏎ ')}`);
  for (const c of r.cursors) {
    console.log(`cursor ${c.line}:${c.col}`);
    if (c.completions) { console.log(`  completions: ${c.completions.length} (${c.ms.toFixed(0)} ms)`); for (const i of c.completions) console.log(`    ${i.label}  <${i.kind}${i.deprecated ? ', deprecated' : ''}>  insert=${JSON.stringify(i.insert)}${i.documentation ? `  doc=${JSON.stringify(i.documentation.slice(0, 110))}` : ''}`); }
    if ('applied' in c) console.log(`  applied:\n${(c.applied ?? '(no such label)').replace(/^/gm, '    | ')}`);
    if (c.hover !== undefined) console.log(`  hover: ${c.hover === null ? '(none)' : JSON.stringify(c.hover)}`);
    if (c.actions) for (const a of c.actions) console.log(`  action: ${a.title}${a.kind ? ` [${a.kind}]` : ''}`);
  }
  for (const h of r.inlay ?? []) console.log(`inlay ${h.line}:${h.col} ${JSON.stringify(h.label)}`);
  if (r.symbols) console.log(`symbols: ${r.symbols.join(', ')}`);
}

// expectations: labels_all, labels_none, labels_exact, labels_max, doc_contains{label:text}, insert_contains{label:text},
// hover_contains[], hover_not_contains[], diag_contains[], diag_not_contains[], diag_count, diag_max, diag_at["L"], actions_contains[], inlay_contains[], text (after accept), text_contains[], then{...} (of that text)
export function check(e, r) {
  const f = []; const c = r.cursors[0] ?? {}; const labels = (c.completions ?? []).map(i => i.label); const D = r.diagnostics.map(d => d.message);
  const by = l => (c.completions ?? []).find(i => i.label === l); const A = (c.actions ?? []).map(a => a.title);
  for (const l of e.labels_all ?? []) if (!labels.includes(l)) f.push(`completion lacks "${l}" (has: ${labels.join(', ')})`);
  for (const l of e.labels_none ?? []) if (labels.includes(l)) f.push(`completion offers "${l}"`);
  if (e.labels_exact && JSON.stringify([...labels].sort()) !== JSON.stringify([...e.labels_exact].sort())) f.push(`completions are [${labels.join(', ')}], wanted [${e.labels_exact.join(', ')}]`);
  if (e.labels_max !== undefined && labels.length > e.labels_max) f.push(`${labels.length} completions > ${e.labels_max}`);
  for (const [l, t] of Object.entries(e.doc_contains ?? {})) if (!by(l)?.documentation?.includes(t)) f.push(`doc of "${l}" lacks "${t}"`);
  for (const [l, t] of Object.entries(e.insert_contains ?? {})) if (!by(l)?.insert?.includes(t)) f.push(`insert of "${l}" lacks ${JSON.stringify(t)}: ${JSON.stringify(by(l)?.insert)}`);
  for (const t of e.hover_contains ?? []) if (!(c.hover ?? '').includes(t)) f.push(`hover lacks "${t}": ${JSON.stringify(c.hover)}`);
  for (const t of e.hover_not_contains ?? []) if ((c.hover ?? '').includes(t)) f.push(`hover has "${t}"`);
  for (const t of e.diag_contains ?? []) if (!D.some(m => m.includes(t))) f.push(`no diagnostic contains "${t}" (has: ${D.join(' | ') || 'none'})`);
  for (const t of e.diag_not_contains ?? []) if (D.some(m => m.includes(t))) f.push(`a diagnostic contains "${t}"`);
  if (e.diag_count !== undefined && D.length !== e.diag_count) f.push(`${D.length} diagnostics, wanted ${e.diag_count}: ${D.join(' | ')}`);
  if (e.diag_max !== undefined && D.length > e.diag_max) f.push(`${D.length} diagnostics > ${e.diag_max}: ${D.join(' | ')}`);
  for (const l of e.diag_at ?? []) if (!r.diagnostics.some(d => d.line === +l)) f.push(`no diagnostic on line ${l}`);
  for (const t of e.inlay_contains ?? []) if (!(r.inlay ?? []).some(h => h.label.includes(t))) f.push(`no inlay hint contains "${t}" (has: ${(r.inlay ?? []).map(h => h.label).join(' | ') || 'none'})`);
  for (const t of e.actions_contains ?? []) if (!A.some(x => x.includes(t))) f.push(`no code action contains "${t}" (has: ${A.join(' | ') || 'none'})`);
  const after = c.applied;
  if ((e.text !== undefined || e.text_contains || e.then) && after == null) f.push(`no completion could be taken (has: ${labels.join(', ')})`);
  if (e.text !== undefined && after != null && after.trimEnd() !== e.text.trimEnd()) f.push(`text after it is ${JSON.stringify(after)}, wanted ${JSON.stringify(e.text)}`);
  for (const t of e.text_contains ?? []) if (!(after ?? '').includes(t)) f.push(`text after it lacks ${JSON.stringify(t)}: ${JSON.stringify(after)}`);
  return f;
}

async function runCases(a, schema, cases, base, extra) {
  const lsp = new Lsp(serverCommand(a.server), { settings: makeSettings(schema, ['*.yaml', '*.yml', '/**/*.yaml'], extra), trace: a.trace, snippets: !a.noSnippets });
  await lsp.start();
  const out = new Array(cases.length); let at = 0;
  const one = async n => {
    const k = cases[n], e = k.expect ?? {}, file = k.yaml_file && path.resolve(base, k.yaml_file);
    const raw = k.yaml ?? fs.readFileSync(file, 'utf8');
    const want = new Set(['complete', 'hover']); if (e.actions_contains) want.add('actions'); if (e.inlay_contains) want.add('inlay');
    const uri = k.uri ?? (k.yaml_file && !schema ? pathToFileURL(file).href : pathToFileURL(path.join(os.tmpdir(), `case-${process.pid}-${n}.yaml`)).href);
    const r = await probe(lsp, uri, raw, { want, wait: a.wait, apply: k.accept });
    const f = check(e, r);
    const after = r.cursors[0]?.applied;
    if (e.then && after != null) { const next = await probe(lsp, uri.replace(/\.yaml$/, '-then.yaml'), after, { want, wait: a.wait }); f.push(...check(e.then, next).map(x => `after it: ${x}`)); }
    out[n] = { name: k.name, ok: !f.length, failures: f, result: r };
  };
  await Promise.all([...Array(a.jobs ?? 1)].map(async () => { while (at < cases.length) await one(at++); }));
  await lsp.stop();
  return out;
}

async function main() {
  const a = parseArgs(process.argv.slice(2));
  const extra = a.settings ? JSON.parse(fs.readFileSync(a.settings, 'utf8')) : {};
  let bad = 0;
  if (a.cases) {
    const file = path.resolve(a.cases);
    const cases = file.endsWith('.mjs') ? (await import(pathToFileURL(file).href)).default : JSON.parse(fs.readFileSync(file, 'utf8'));
    const runs = [];
    for (const schema of a.schemas.length ? a.schemas : [undefined]) runs.push(await runCases(a, schema, cases, path.dirname(file), extra));
    bad = runs.flat().filter(x => !x.ok).length;
    if (a.json) console.log(JSON.stringify(runs.length > 1 ? runs : runs[0]));
    else for (const out of runs) {
      for (const { name, failures } of out) { console.log(`${failures.length ? 'FAIL' : 'ok  '} ${name}`); for (const x of failures) console.log(`       ${x}`); }
      console.log(`${out.filter(x => x.ok).length}/${out.length} passed`);
    }
  } else {
    const lsp = new Lsp(serverCommand(a.server), { settings: makeSettings(a.schema, ['*.yaml', '*.yml', '/**/*.yaml'], extra), trace: a.trace, snippets: !a.noSnippets });
    await lsp.start();
    const file = path.resolve(a.yaml);
    const r = await probe(lsp, a.docUri ?? pathToFileURL(file).href, fs.readFileSync(file, 'utf8'), { at: a.at, want: a.want, wait: a.wait, apply: a.apply });
    if (a.json) console.log(JSON.stringify(r, null, 1)); else show(r);
    await lsp.stop();
  }
  process.exitCode = bad ? 1 : 0;
}
if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main().catch(e => { console.error(`yls_probe: ${e.message}`); process.exit(3); });
