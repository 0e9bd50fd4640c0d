// What a person sees while typing a recipe, with the schema that `ftc schema` prints and a real yaml-language-server.
// `<|>` is the cursor. Expectations are listed above `check()` in yls_probe.mjs.

const TOP = `version: 1
name: support
model:
  base: Qwen/Qwen3-8B
`;
const METHOD = `method:
  kind: qlora
`;
const DATA = `data:
  train:
    path: data/train.jsonl
`;
const WHOLE = TOP + METHOD + DATA;
const KINDS = ['lora', 'qlora', 'dora', 'qdora', 'full', 'ia3', 'prefix_tuning', 'prompt_tuning', 'p_tuning', 'adapter', 'hosted'];
const SECTIONS = ['training', 'evaluation', 'checkpoint', 'logging', 'output', 'hardware', 'targets'];
const LORA = ['rank', 'alpha', 'dropout', 'target_modules', 'modules_to_save', 'rslora', 'init', 'lora_plus_ratio', 'adapter_dtype'];
const clean = { diag_count: 0 };

const offers = [
  {
    name: 'an empty file: every section, a whole recipe, and nothing that is no key',
    yaml: '<|>',
    expect: { labels_all: ['a whole recipe', 'version', 'name', 'model', 'method', 'data', ...SECTIONS], labels_none: ['$schema', 'recipe', 'object(recipe)', 'Lora', 'LoraMethod', 'null'] },
  },
  {
    name: 'sections that are there are not offered again',
    yaml: WHOLE + '<|>',
    expect: { labels_all: SECTIONS, labels_none: ['version', 'name', 'model', 'method', 'data'], insert_contains: { training: 'training:' } },
  },
  {
    name: 'half a section name',
    yaml: WHOLE + 'trai<|>',
    accept: 'training',
    expect: { labels_all: ['training'], text: WHOLE + 'training:\n  ' },
  },
  { name: 'method: only kind before a kind is chosen', yaml: TOP + 'method:\n  <|>', expect: { labels_exact: ['kind'] } },
  {
    name: 'method.kind: every kind, each explained',
    yaml: TOP + 'method:\n  kind: <|>',
    expect: { labels_exact: KINDS, doc_contains: { qlora: '4 bit', full: 'Every weight', adapter: 'cannot be merged' } },
  },
  { name: 'method.kind: half a word', yaml: TOP + 'method:\n  kind: ql<|>\n', accept: 'qlora', expect: { text: TOP + 'method:\n  kind: qlora\n' } },
  {
    name: 'method: the leaves of qlora',
    yaml: TOP + METHOD + '  <|>',
    expect: { labels_exact: [...LORA, 'quantization', 'quantization: 8 bits'] },
  },
  {
    name: 'method: the leaves of lora, which has no quantization',
    yaml: TOP + 'method:\n  kind: lora\n  <|>',
    expect: { labels_exact: LORA },
  },
  {
    name: 'method: the leaves of full',
    yaml: TOP + 'method:\n  kind: full\n  <|>',
    expect: { labels_exact: ['freeze', 'train_only', 'weights_dtype'] },
  },
  {
    name: 'method: the leaves of prefix_tuning, half a word typed',
    yaml: TOP + 'method:\n  kind: prefix_tuning\n  virt<|>',
    expect: { labels_exact: ['virtual_tokens', 'init_text', 'projection'] },
  },
  {
    name: 'method.quantization: its leaves',
    yaml: TOP + METHOD + '  quantization:\n    <|>',
    expect: { labels_exact: ['bits', 'type', 'double_quant', 'compute_dtype'], doc_contains: { bits: 'Default `4`' } },
  },
  { name: 'method.quantization.bits: two numbers, explained', yaml: TOP + METHOD + '  quantization:\n    bits: <|>', expect: { labels_exact: ['4', '8'], doc_contains: { 8: 'Closer to the base' } } },
  {
    name: 'target_modules: words as suggestions, and a list',
    yaml: TOP + METHOD + '  target_modules: <|>',
    expect: { labels_all: ['all-linear', 'attention', 'mlp', 'experts', '["q_proj","v_proj"]'], doc_contains: { mlp: 'feed-forward' }, labels_none: ['null', 'Default value'] },
  },
  { name: 'target_modules: words as items of a list', yaml: TOP + METHOD + '  target_modules:\n    - <|>', expect: { labels_all: ['attention', 'mlp'] } },
  {
    name: 'model: its leaves, without pseudo-items',
    yaml: 'version: 1\nmodel:\n  <|>',
    expect: { labels_exact: ['base', 'revision', 'dtype', 'attention', 'trust_remote_code', 'tokenizer', 'chat_template', 'tokens', 'tokens: pad'] },
  },
  {
    name: 'model.base: the catalog, with sizes',
    yaml: 'version: 1\nmodel:\n  base: <|>',
    expect: { labels_all: ['Qwen/Qwen3-8B', 'meta-llama/Llama-3.1-8B-Instruct', 'openai/gpt-oss-20b'], doc_contains: { 'Qwen/Qwen3-8B': '8.19 B parameters' } },
  },
  { name: 'model.base: half a name', yaml: 'version: 1\nmodel:\n  base: Qwen/Qwen3<|>', accept: 'Qwen/Qwen3-8B', expect: { text: 'version: 1\nmodel:\n  base: Qwen/Qwen3-8B' } },
  { name: 'model.base: any other name is valid', yaml: WHOLE.replace('Qwen/Qwen3-8B', './my<|>-model'), expect: clean },
  { name: 'model.dtype', yaml: 'version: 1\nmodel:\n  base: x\n  dtype: <|>', expect: { labels_exact: ['auto', 'bfloat16', 'float16', 'float32'], doc_contains: { float16: 'T4' } } },
  { name: 'model.chat_template: known names as suggestions', yaml: 'version: 1\nmodel:\n  base: x\n  chat_template: <|>', expect: { labels_all: ['auto', 'tokenizer', 'chatml', 'alpaca', './chat.jinja'], doc_contains: { chatml: 'Qwen' } } },
  { name: 'model.trust_remote_code: both explained', yaml: 'version: 1\nmodel:\n  base: x\n  trust_remote_code: <|>', expect: { labels_exact: ['true', 'false'], doc_contains: { true: 'your machine' } } },
  { name: 'model.tokenizer: no null among the values', yaml: 'version: 1\nmodel:\n  base: x\n  tokenizer: <|>', expect: { labels_exact: ['./tokenizer'] } },
  {
    name: 'data: its leaves and beginnings',
    yaml: TOP + METHOD + 'data:\n  <|>',
    expect: { labels_all: ['train', 'validation', 'max_length', 'packing', 'train: a file', 'train: a hub dataset', 'train: several'], labels_none: ['path', 'data'] },
  },
  {
    name: 'data.train: the leaves of a source',
    yaml: TOP + METHOD + 'data:\n  train:\n    path: x.jsonl\n    <|>',
    expect: { labels_exact: ['format', 'split', 'subset', 'revision', 'weight', 'limit', 'fields'] },
  },
  {
    name: 'data.train: the leaves of an item',
    yaml: TOP + METHOD + 'data:\n  train:\n    - path: a.jsonl\n    - path: b.jsonl\n      <|>',
    expect: { labels_exact: ['format', 'split', 'subset', 'revision', 'weight', 'limit', 'fields'] },
  },
  {
    name: 'data.train: a new item, its first key',
    yaml: TOP + METHOD + 'data:\n  train:\n    - <|>',
    expect: { labels_all: ['path', 'format', 'weight'], labels_none: ['- (array item) data.train'] },
  },
  { name: 'data.train.format: each explained', yaml: WHOLE + '    format: <|>', expect: { labels_exact: ['auto', 'messages', 'sharegpt', 'alpaca', 'prompt_completion', 'text', 'preference', 'kto'], doc_contains: { sharegpt: 'from, value' } } },
  { name: 'data.train.fields: columns', yaml: WHOLE + '    fields:\n      <|>', expect: { labels_all: ['messages', 'chosen', 'text'], labels_none: ['null'], insert_contains: { messages: 'conversation' } } },
  { name: 'training: leaves and nothing else', yaml: WHOLE + 'training:\n  <|>', expect: { labels_all: ['objective', 'learning_rate', 'optimizer', 'preference: beta'], labels_max: 22, labels_none: ['training', 'null'] } },
  { name: 'training.optimizer: when to take which', yaml: WHOLE + 'training:\n  optimizer: <|>', expect: { labels_max: 10, doc_contains: { adamw_8bit: 'short of memory', adamw_4bit: 'torchao', sgd: 'rarely' } } },
  { name: 'training.objective: when to take which', yaml: WHOLE + 'training:\n  objective: <|>', expect: { labels_exact: ['sft', 'pretrain', 'dpo', 'orpo', 'kto'], doc_contains: { kto: 'no pairs', dpo: 'after sft' } } },
  { name: 'training.learning_rate: auto and a number', yaml: WHOLE + 'training:\n  learning_rate: <|>', expect: { labels_exact: ['auto', '0.0002'], doc_contains: { auto: '2e-4' } } },
  { name: 'training.max_steps: a number, no null', yaml: WHOLE + 'training:\n  max_steps: <|>', expect: { labels_exact: ['1000'] } },
  { name: 'training.gradient_checkpointing: words and truth values in one list', yaml: WHOLE + 'training:\n  gradient_checkpointing: <|>', expect: { labels_exact: ['auto', 'selective', 'offload', 'true', 'false'], doc_contains: { offload: 'main memory' } } },
  { name: 'training.preference: its leaves', yaml: WHOLE + 'training:\n  preference:\n    <|>', expect: { labels_exact: ['beta', 'loss'] } },
  { name: 'evaluation.every: null where it means something', yaml: WHOLE + 'evaluation:\n  every: <|>', expect: { labels_exact: ['epoch', '0.25', '100', 'null'], doc_contains: { null: 'Never' } } },
  { name: 'checkpoint: its leaves', yaml: WHOLE + 'checkpoint:\n  <|>', expect: { labels_exact: ['every', 'keep', 'best', 'weights_only', 'resume'] } },
  { name: 'logging.to: trackers in a flow list', yaml: WHOLE + 'logging:\n  to: [<|>]', expect: { labels_exact: ['tensorboard', 'wandb', 'mlflow', 'trackio'] } },
  { name: 'output: its leaves', yaml: WHOLE + 'output:\n  <|>', expect: { labels_exact: ['dir', 'merge'] } },
  { name: 'hardware.gpu: the catalog, with memory', yaml: WHOLE + 'hardware:\n  gpu: <|>', expect: { labels_all: ['t4', 'rtx-4090', 'a100-80gb', 'h100', 'cpu'], doc_contains: { 't4': 'no bfloat16', 'rtx-4090': '23.5 GiB' }, labels_none: ['null'] } },
  { name: 'hardware.strategy: each explained', yaml: WHOLE + 'hardware:\n  strategy: <|>', expect: { labels_exact: ['auto', 'single', 'ddp', 'fsdp', 'zero2', 'zero3'], doc_contains: { zero3: 'not with qlora' } } },
];

const halfTyped = [
  { name: 'kind in a flow mapping', yaml: TOP + DATA + 'method: {kind: <|>}\n', expect: { labels_exact: KINDS } },
  { name: 'kind is what is missing, with a leaf below', yaml: TOP + DATA + 'method:\n  <|>\n  rank: 8\n', expect: { labels_exact: ['kind'] } },
  { name: 'kind is what is missing, with a leaf above', yaml: TOP + DATA + 'method:\n  rank: 8\n  k<|>\n', accept: 'kind', expect: { labels_exact: ['kind'], text: TOP + DATA + 'method:\n  rank: 8\n  kind: ' } },
  { name: 'an empty line of method, with sections below', yaml: TOP + METHOD + '  <|>\n' + DATA, accept: 'rslora', expect: { text: TOP + METHOD + '  rslora: \n' + DATA } },
  { name: 'a line without indentation below a section', yaml: TOP + METHOD + 'training:\n<|>\n' + DATA, expect: { labels_all: ['optimizer', 'epochs'] } },
  { name: 'half a leaf between others', yaml: WHOLE + 'training:\n  epochs: 3\n  opt<|>\n  seed: 1\n', expect: { labels_all: ['optimizer'], labels_none: ['epochs', 'training'] } },
  { name: 'half a word before a comment', yaml: WHOLE + 'training:\n  optimizer: ada<|> # which?\n', accept: 'adafactor', expect: { labels_max: 10, text: WHOLE + 'training:\n  optimizer: adafactor # which?\n' } },
  { name: 'a value between others', yaml: WHOLE + 'training:\n  scheduler: <|>\n  seed: 1\n', accept: 'linear', expect: { labels_exact: ['cosine', 'linear', 'constant', 'polynomial'], text: WHOLE + 'training:\n  scheduler: linear\n  seed: 1\n' } },
  { name: 'another item of a list', yaml: WHOLE + 'logging:\n  to:\n    - tensorboard\n    - <|>\n', expect: { labels_exact: ['tensorboard', 'wandb', 'mlflow', 'trackio'] } },
  { name: 'another source, with a section below', yaml: TOP + 'data:\n  train:\n    - path: a.jsonl\n    - <|>\n' + METHOD, expect: { labels_all: ['path', 'weight'], labels_none: ['kind', 'train'] } },
  { name: 'validation with sources of its own', yaml: WHOLE + '  validation:\n    - path: b.jsonl\n      <|>\n', expect: { labels_exact: ['format', 'split', 'subset', 'revision', 'weight', 'limit', 'fields'] } },
  { name: 'raw keys: the tools, and no guess at their keys', yaml: WHOLE + 'targets:\n  <|>\n', expect: { labels_exact: ['axolotl', 'llamafactory'] } },
  { name: 'a leaf of a mapping that is merged in', yaml: WHOLE + 'training:\n  <<: {epochs: 3}\n  <|>\n', expect: { labels_all: ['optimizer'], diag_count: 0 } },
];

const accepted = [
  { name: 'accepting method leaves a colon and a place', yaml: TOP + '<|>', accept: 'method', expect: { text: TOP + 'method:\n  ' } },
  { name: 'accepting data leaves a colon and a place', yaml: TOP + '<|>', accept: 'data', expect: { text: TOP + 'data:\n  ' } },
  { name: 'accepting a section writes no defaults', yaml: WHOLE + '<|>', accept: 'checkpoint', expect: { text: WHOLE + 'checkpoint:\n  ' } },
  { name: 'accepting a whole recipe gives a valid one', yaml: '<|>', accept: 'a whole recipe', expect: { text_contains: ['version: 1\n', '  kind: qlora\n', '  gpu: rtx-4090'], then: clean } },
  { name: 'a whole recipe writes only what is missing', yaml: TOP + '<|>', accept: 'a whole recipe', expect: { text_contains: ['base: Qwen/Qwen3-8B\nmethod:'], then: clean } },
  ...KINDS.map(kind => ({
    name: `accepting the beginning of ${kind}`,
    yaml: TOP + DATA + '<|>',
    accept: `method: ${kind}`,
    expect: { text_contains: [`method:\n  kind: ${kind}`], then: clean },
  })),
  { name: 'accepting train leaves a colon and a place', yaml: TOP + METHOD + 'data:\n  <|>', accept: 'train', expect: { text: TOP + METHOD + 'data:\n  train:\n    ' } },
  { name: 'accepting a file of rows', yaml: TOP + METHOD + 'data:\n  <|>', accept: 'train: a file', expect: { text: WHOLE, then: clean } },
  { name: 'accepting several sources', yaml: TOP + METHOD + 'data:\n  <|>', accept: 'train: several', expect: { text_contains: ['  train:\n    - path: data/train.jsonl\n    - path: data/more.jsonl\n      weight: 0.5'], then: clean } },
  { name: 'accepting a hub dataset', yaml: TOP + METHOD + 'data:\n  <|>', accept: 'train: a hub dataset', expect: { text_contains: ['  train:\n    path: tatsu-lab/alpaca\n    format: alpaca'], then: clean } },
  { name: 'accepting validation rows', yaml: WHOLE + '  <|>', accept: 'validation: a file', expect: { text_contains: ['  validation:\n    path:'], then: clean } },
  { name: 'accepting quantization: 8 bits', yaml: TOP + DATA + METHOD + '  <|>', accept: 'quantization: 8 bits', expect: { text: TOP + DATA + METHOD + '  quantization:\n    bits: 8', then: clean } },
  { name: 'accepting quantization leaves a colon', yaml: TOP + DATA + METHOD + '  <|>', accept: 'quantization', expect: { text: TOP + DATA + METHOD + '  quantization:\n    ' } },
  { name: 'accepting a leaf that may be null writes no null', yaml: TOP + DATA + METHOD + '  <|>', accept: 'lora_plus_ratio', expect: { text: TOP + DATA + METHOD + '  lora_plus_ratio: 16', then: clean } },
  { name: 'accepting a list writes its first item', yaml: TOP + DATA + METHOD + '  <|>', accept: 'modules_to_save', expect: { text: TOP + DATA + METHOD + '  modules_to_save:\n    - ' } },
  ...[
    ['training: epochs, batch, rate', 'learning_rate: 2.0e-4'],
    ['training: dpo', '  preference:\n    beta: 0.1'],
    ['evaluation: every', 'every: 0.25'],
    ['checkpoint: the best', 'best: true'],
    ['logging: a tracker', '  to:\n    - tensorboard'],
    ['output: merged', 'merge: true'],
    ['hardware: several cards', 'count: 8'],
  ].map(([accept, text]) => ({ name: `accepting ${accept}`, yaml: WHOLE + '<|>', accept, expect: { text_contains: [text], then: clean } })),
  { name: 'accepting a card', yaml: WHOLE + 'hardware:\n  gpu: a100<|>', accept: 'a100-80gb', expect: { text: WHOLE + 'hardware:\n  gpu: a100-80gb', then: clean } },
  { name: 'accepting two numbers', yaml: WHOLE + 'training:\n  betas: <|>', accept: '[0.9,0.95]', expect: { text_contains: ['betas: \n    - 0.9\n    - 0.95'], then: clean } },
];

const hovers = [
  { name: 'hover of a number: path, unit, default, range, advice', yaml: WHOLE + '  max_<|>length: 4096\n', expect: { hover_contains: ['#### data.max\\_length', 'The longest row.', 'Default `2048`', 'unit: tokens', 'an integer >= 1', '`ftc data` shows'], hover_not_contains: ['||'], diag_count: 0 } },
  { name: 'hover of a word or a number: once', yaml: WHOLE + 'training:\n  learning_<|>rate: 1.0e-4\n', expect: { hover_contains: ['#### training.learning\\_rate', 'Default `auto`', 'a number > 0'], hover_not_contains: ['||', 'Auto'], diag_count: 0 } },
  { name: 'hover of a word: what each does', yaml: WHOLE + 'training:\n  opti<|>mizer: adamw_8bit\n', expect: { hover_contains: ['#### training.optimizer', '* `adamw_8bit`: AdamW with states in 8 bit'], hover_not_contains: ['||'] } },
  { name: 'hover of kind: what each does', yaml: TOP + DATA + 'method:\n  kin<|>d: qlora\n', expect: { hover_contains: ['#### method.kind', '* `qlora`: LoRA on a base kept in 4 bit'], hover_not_contains: ['||', 'Low-rank'] } },
  { name: 'hover of a leaf of an arm', yaml: TOP + DATA + METHOD + '  ra<|>nk: 8\n', expect: { hover_contains: ['#### method.rank', 'inner dimension', 'Default `16`', 'unit: dimensions'], hover_not_contains: ['||'] } },
  { name: 'hover of the same name in another arm', yaml: TOP + DATA + 'method:\n  kind: ia3\n  target_<|>modules: auto\n', expect: { hover_contains: ['Modules that are scaled'], hover_not_contains: ['regular expression'] } },
  { name: 'hover of a leaf of a list item', yaml: TOP + METHOD + 'data:\n  train:\n    - path: a.jsonl\n      wei<|>ght: 2.0\n', expect: { hover_contains: ['#### data.train.weight', 'every second one', 'Default `1.0`'], hover_not_contains: ['||'], diag_count: 0 } },
  { name: 'hover of a card: no list of all cards', yaml: WHOLE + 'hardware:\n  g<|>pu: t4\n', expect: { hover_contains: ['#### hardware.gpu', 'Default `null`', '`ftc gpus`'], hover_not_contains: ['||', 'rtx-3060'], diag_count: 0 } },
  { name: 'hover of a column', yaml: WHOLE + '    fields:\n      messa<|>ges: talk\n', expect: { hover_contains: ['#### data.train.fields.messages', 'Default `null` (messages'], diag_count: 0 } },
  { name: 'hover of a section', yaml: WHOLE + 'train<|>ing:\n  seed: 1\n', expect: { hover_contains: ['#### training', 'How it is trained.'], hover_not_contains: ['||'] } },
  { name: 'hover of null that means something', yaml: WHOLE + 'evaluation:\n  ev<|>ery: null\n', expect: { hover_contains: ['* `null`: Never.'], hover_not_contains: ['||'], diag_count: 0 } },
  { name: 'hover of a nested section\'s leaf', yaml: WHOLE + 'training:\n  objective: dpo\n  preference:\n    be<|>ta: 0.1\n', expect: { hover_contains: ['#### training.preference.beta', 'Default `0.1`'], diag_count: 0 } },
];

const diagnostics = [
  { name: 'a misspelt kind: all kinds named and offered as fixes', yaml: TOP + DATA + 'method:\n  kind: qlr<|>oa\n  rank: 8\n', expect: { diag_count: 1, diag_contains: ['"qlora"'], diag_not_contains: ['LoraMethod', 'rank'], actions_contains: ['qlora', 'lora', 'full'] } },
  { name: 'a misspelt kind alone', yaml: TOP + DATA + 'method:\n  kind: ful<|>\n', expect: { diag_count: 1, diag_at: [9], diag_contains: ['"prefix_tuning"'], actions_contains: ['full'] } },
  { name: 'a leaf of another kind, at its own line', yaml: TOP + DATA + 'method:\n  kind: lora\n  quantiz<|>ation: {bits: 4}\n', expect: { diag_count: 1, diag_at: [10], diag_contains: ['only qlora and qdora have it'] } },
  { name: 'a misspelt leaf of an arm: its fixes', yaml: TOP + DATA + METHOD + '  rn<|>ak: 8\n', expect: { diag_count: 1, diag_contains: ['rnak is not allowed'], actions_contains: ['rank'] } },
  { name: 'a misspelt leaf of a section: its fixes', yaml: WHOLE + 'training:\n  learnin_r<|>ate: 1.0e-4\n', expect: { diag_count: 1, diag_contains: ['learnin_rate'], actions_contains: ['learning_rate'] } },
  { name: 'a misspelt optimizer: its fixes', yaml: WHOLE + 'training:\n  optimizer: adam<|>w8\n', expect: { diag_count: 1, diag_contains: ['"adamw_8bit"'], actions_contains: ['adamw_8bit'] } },
  { name: 'a word where a number belongs, in ftc\'s own words', yaml: WHOLE + 'training:\n  micro_batch_size: fo<|>ur\n', expect: { diag_count: 1, diag_contains: ['expected auto or an integer >= 1'], actions_contains: ['auto'], hover_contains: ['#### training.micro\\_batch\\_size', 'Rows per device'], hover_not_contains: ['||'] } },
  { name: 'out of range', yaml: WHOLE + 'training:\n  epochs: 0\nhardware:\n  count: 0\n', expect: { diag_count: 2, diag_at: [11, 13] } },
  { name: 'quoted truth value', yaml: WHOLE + '  shuffle: "yes"\n', expect: { diag_count: 1, diag_contains: ['true, false'] } },
  { name: 'a name that no folder can have', yaml: WHOLE.replace('support', 'My Recipe'), expect: { diag_count: 1, diag_contains: ['lower-case letters'] } },
  { name: 'a size without its unit\'s last letter', yaml: WHOLE + 'hardware:\n  memory: 22G\n', expect: { diag_count: 1, diag_contains: ['22GiB'] } },
  { name: 'an item that is no source', yaml: TOP + METHOD + 'data:\n  train:\n    - 5\n', expect: { diag_count: 1, diag_at: [9], diag_contains: ['expected a source'] } },
  { name: 'a word where a source belongs', yaml: TOP + METHOD + 'data:\n  tra<|>in: data/train.jsonl\n', expect: { diag_count: 1, diag_at: [8], diag_contains: ['expected a source or a list of sources'], hover_not_contains: ['||'] } },
  { name: 'a source without a path', yaml: TOP + METHOD + 'data:\n  train:\n    format: text\n', expect: { diag_count: 1, diag_contains: ['"path"'] } },
  { name: 'what must be there', yaml: 'version: 1\nname: a\n', expect: { diag_count: 3, diag_contains: ['"model"', '"method"', '"data"'] } },
  { name: 'an empty section is fine', yaml: WHOLE + 'training:\nevaluation: {}\nhardware:\n', expect: clean },
  { name: 'null is fine where it is, and elsewhere not', yaml: WHOLE + 'hardware:\n  gpu: null\n  count: null\n', expect: { diag_count: 1, diag_at: [12] } },
  { name: 'a leaf of another kind may say nothing', yaml: TOP + DATA + 'method:\n  kind: lora\n  quantiz<|>ation: null\n', expect: { diag_count: 0, hover_contains: ['How the frozen base is kept'] } },
  { name: 'raw keys are free', yaml: WHOLE + 'targets:\n  axolotl: {anything: [1, {a: b}]}\n', expect: clean },
  { name: 'an unknown section: its fixes', yaml: WHOLE + 'optimi<|>zer: adamw\n', expect: { diag_count: 1, diag_contains: ['optimizer is not allowed'], actions_contains: ['training', 'hardware'] } },
];

export default [...offers, ...halfTyped, ...accepted, ...hovers, ...diagnostics];
