"""The recipe language, version 1: what a person writes. Shapes only; what spans several fields is a rule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.method import Method
from schemas.section import Auto, Dtype, Names, Positive, Section, Share, Text

Attention = Literal["sdpa", "flash_attention_2", "flash_attention_3", "flex", "eager"]
DataFormat = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "text", "preference", "kto"]
Overlong = Literal["truncate", "drop", "split", "error"]
BadRows = Literal["error", "drop"]
LossOn = Literal["assistant", "last_assistant", "completion", "all"]
Objective = Literal["sft", "pretrain", "dpo", "orpo", "kto"]
Scheduler = Literal["cosine", "linear", "constant", "polynomial"]
Optimizer = Literal[
    "adamw",
    "adamw_8bit",
    "adamw_4bit",
    "paged_adamw_8bit",
    "paged_adamw",
    "adafactor",
    "lion_8bit",
    "sgd",
    "muon",
]
Checkpointing = Literal["selective", "offload"] | bool
Loss = Literal["full", "chunked"]
Kernels = Literal["none", "liger"]
Strategy = Literal["single", "ddp", "fsdp", "zero2", "zero3"]
Offload = Literal["none", "optimizer", "all"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]

Every = Literal["epoch"] | Positive | Share | None
SizeText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B$")]
Size = SizeText | Positive


class Tokens(Section):
    pad: Text | None = Field(
        default=None, description="The padding token, where it is not the tokenizer's.", examples=["<|pad|>"]
    )
    eos: Text | None = Field(
        default=None,
        description="The end-of-sequence token, where it is not the tokenizer's.",
        examples=["<|im_end|>"],
    )
    bos: Text | None = Field(
        default=None,
        description="The beginning-of-sequence token, where it is not the tokenizer's.",
        examples=["<s>"],
    )
    add: Names = Field(
        default=(), description="New tokens; their embeddings are trained.", examples=[["<tool>", "</tool>"]]
    )


class Model(Section):
    base: Text = Field(
        description="A hub id, a catalog name, or a local folder relative to the recipe.",
        examples=["meta-llama/Llama-3.1-8B-Instruct", "./base"],
    )
    revision: Text = Field(
        default="main", description="The branch, tag or commit of the base on the hub.", examples=["main"]
    )
    dtype: Auto | Dtype = Field(
        default="auto",
        description="Type of the base's weights; auto: bfloat16 where the GPU has it, else float16; float32 on a cpu.",
    )
    attention: Auto | Attention = Field(default="auto", description="The attention implementation.")
    trust_remote_code: bool = Field(default=False, description="Whether Python code that ships with the base may run.")
    tokenizer: Text | None = Field(
        default=None, description="Another tokenizer than the base's: a hub id or a folder.", examples=["./tokenizer"]
    )
    chat_template: Auto | Text = Field(
        default="auto",
        description="auto, tokenizer (its own), a known name, or the path of a .jinja file.",
        examples=["auto", "chatml", "alpaca", "./chat.jinja"],
    )
    tokens: Tokens = Field(default_factory=Tokens, description="Special tokens that differ from the tokenizer's.")


class Fields(Section):
    messages: Text | None = Field(default=None, description="The column with the turns.", examples=["conversation"])
    role: Text | None = Field(default=None, description="The key of a turn's speaker.", examples=["from"])
    content: Text | None = Field(default=None, description="The key of a turn's text.", examples=["value"])
    thinking: Text | None = Field(default=None, description="The key of a turn's reasoning.")
    tools: Text | None = Field(default=None, description="The column with tool definitions.")
    system: Text | None = Field(default=None, description="The column with the system text.")
    instruction: Text | None = Field(default=None, description="alpaca: the column with the task.")
    input: Text | None = Field(default=None, description="alpaca: the column with the task's input.")
    output: Text | None = Field(default=None, description="alpaca: the column with the answer.")
    prompt: Text | None = Field(default=None, description="The column with the prompt.", examples=["question"])
    completion: Text | None = Field(default=None, description="The column with the completion.", examples=["answer"])
    chosen: Text | None = Field(default=None, description="The column with the preferred answer.")
    rejected: Text | None = Field(default=None, description="The column with the other answer.")
    label: Text | None = Field(default=None, description="kto: the column that says whether the answer is good.")
    text: Text | None = Field(default=None, description="The column with raw text.", examples=["body"])


class Source(Section):
    path: Text = Field(
        description="A file or glob relative to the recipe, or a hub dataset.",
        examples=["data/train.jsonl", "tatsu-lab/alpaca"],
    )
    format: Auto | DataFormat = Field(default="auto", description="What a row looks like.")
    split: Text = Field(default="train", description="The split of a hub dataset, by name.", examples=["train"])
    subset: Text | None = Field(default=None, description="The configuration of a hub dataset.", examples=["main"])
    revision: Text | None = Field(default=None, description="The branch, tag or commit of a hub dataset.")
    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="The share of this source against the others.", examples=[2.0]
    )
    limit: Positive | Share | None = Field(
        default=None,
        description="Only the first rows: an integer is a count, a float in (0, 1) a share.",
        examples=[1000, 0.1],
    )
    fields: Fields = Field(default_factory=Fields, description="Our column name: theirs.")


Sources = Source | Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]


class Data(Section):
    train: Sources = Field(description="What is learnt from: one source, or several mixed by weight.")
    validation: Share | Positive | Sources | None = Field(
        default=0.05,
        description="A share of the training rows, a number of them, or sources of their own.",
        examples=[0.05, 500],
    )
    system: Text | None = Field(default=None, description="Put in front of conversations that have no system message.")
    max_length: Positive = Field(default=2048, description="The longest row, in tokens.", examples=[2048])
    overlong: Auto | Overlong = Field(
        default="auto", description="What happens to longer rows; auto: split for text, else drop."
    )
    bad_rows: BadRows = Field(
        default="error",
        description="What happens where rows cannot be trained on: nothing is trained, or they are left out.",
        examples=["drop"],
    )
    packing: Auto | bool = Field(default="auto", description="Whether short rows share one, attention kept apart.")
    loss_on: Auto | LossOn = Field(default="auto", description="The tokens that are trained.")
    shuffle: bool = Field(default=True, description="Whether rows are visited in random order.")


class Preference(Section):
    beta: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="How far the model may move from its start.", examples=[0.1]
    )
    loss: Literal["sigmoid", "ipo", "hinge"] = Field(default="sigmoid", description="dpo: the loss over preferences.")


class Training(Section):
    objective: Objective = Field(default="sft", description="What is optimised.")
    epochs: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Passes over the training data.", examples=[1, 3]
    )
    max_steps: Positive | None = Field(default=None, description="Optimizer steps, instead of epochs.", examples=[1000])
    global_batch_size: Positive = Field(
        default=16, description="Rows an optimizer step sees over all devices.", examples=[16, 64]
    )
    micro_batch_size: Auto | Positive = Field(
        default="auto", description="Rows per device and forward pass.", examples=[4]
    )
    learning_rate: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto", description="The highest learning rate; auto: by method and objective.", examples=[2.0e-4]
    )
    scheduler: Scheduler = Field(default="cosine", description="How the learning rate falls.")
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="cosine, polynomial: end at this fraction of the learning rate.", examples=[0.1]
    )
    warmup: Positive | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="A float in [0, 1): that share of the steps; an integer: steps.", examples=[0.1, 100]
    )
    optimizer: Optimizer = Field(default="adamw", description="The optimizer, by what it does.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Decoupled weight decay.", examples=[0.01]
    )
    betas: (
        Auto
        | Annotated[
            tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
            Field(strict=False),
        ]
    ) = Field(default="auto", description="Decay of the optimizer's running means.", examples=[[0.9, 0.95]])
    epsilon: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto", description="The optimizer's guard against division by zero.", examples=[1.0e-8]
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="Gradients are scaled down to this norm; 0: never.", examples=[1.0]
    )
    gradient_checkpointing: Auto | Checkpointing = Field(
        default="auto", description="Recompute activations in the backward pass to save memory."
    )
    loss: Auto | Loss = Field(default="auto", description="chunked: the logits are never there as a whole.")
    compile: bool = Field(default=False, description="Compile the decoder layers with torch.compile.")
    kernels: Auto | Kernels = Field(default="auto", description="Replacement kernels.")
    neftune_alpha: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Noise added to embeddings in training.", examples=[5.0]
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = Field(
        default=42, description="The seed of everything random.", examples=[42]
    )
    preference: Preference = Field(default_factory=Preference, description="dpo, orpo, kto: the loss over preferences.")


class Evaluation(Section):
    every: Every = Field(
        default="epoch",
        description="epoch, a share of an epoch, a number of steps, or null: never.",
        examples=["epoch", 0.25, 100],
    )
    batch_size: Auto | Positive = Field(
        default="auto", description="Rows per device in evaluation; auto: as in training.", examples=[4]
    )


class Checkpoint(Section):
    every: Every = Field(
        default="epoch",
        description="epoch, a share of an epoch, a number of steps, or null: never.",
        examples=["epoch", 0.25, 500],
    )
    keep: Positive = Field(default=2, description="How many checkpoints stay.", examples=[2])
    best: bool = Field(default=False, description="Keep the best by validation loss, and end with it.")
    weights_only: bool = Field(
        default=False, description="Leave the optimizer's state out: smaller, cannot be resumed."
    )
    resume: Literal["auto", "never"] | Text = Field(
        default="auto", description="auto (the newest complete checkpoint of the same plan), never, or a path."
    )


class Logging(Section):
    every: Positive = Field(default=10, description="Optimizer steps between two log lines.", examples=[10])
    to: Annotated[tuple[Tracker, ...], Field(strict=False)] = Field(
        default=(), description="Experiment trackers.", examples=[["tensorboard"]]
    )
    project: Text | None = Field(default=None, description="The tracker's project; null: the recipe's name.")


class Output(Section):
    dir: Text = Field(
        default="outputs", description="Where runs are written, relative to the recipe.", examples=["outputs"]
    )
    merge: bool = Field(default=False, description="Merge the adapter into the base after training.")


class Hardware(Section):
    gpu: Text | None = Field(
        default=None, description="A catalog name, cpu, or null: not said.", examples=["a100-40gb", "rtx-4090", "cpu"]
    )
    count: Positive = Field(default=1, description="GPUs on a node.", examples=[1, 8])
    memory: Size | None = Field(
        default=None, description="Usable memory of one GPU, where it is not the catalog's.", examples=["22GiB"]
    )
    nodes: Positive = Field(default=1, description="Machines.", examples=[1])
    strategy: Auto | Strategy = Field(default="auto", description="How work is spread over GPUs; auto: single, or ddp.")
    offload: Offload = Field(default="none", description="fsdp, zero2, zero3: what is kept in CPU memory.")
    reserve: Auto | SizeText | Annotated[int, Field(ge=0)] = Field(
        default="auto", description="Memory left free for others; auto: none.", examples=["1GiB"]
    )


class Targets(Section):
    axolotl: dict[str, object] = Field(default_factory=dict, description="Raw keys, merged last into Axolotl's YAML.")
    llamafactory: dict[str, object] = Field(
        default_factory=dict, description="Raw keys, merged last into LLaMA-Factory's YAML."
    )


class Recipe(Section):
    schema_: str | None = Field(default=None, alias="$schema", description="The editor's schema; ignored.")
    version: Literal[1] = Field(description="The version of this language.")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        description="Names folders and runs.", examples=["llama31-8b-support-qlora"]
    )
    model: Model = Field(description="The base model.")
    method: Method = Field(description="What is trained.")
    data: Data = Field(description="What it is trained on.")
    training: Training = Field(default_factory=Training, description="How it is trained.")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="When it is evaluated.")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="When it is saved.")
    logging: Logging = Field(default_factory=Logging, description="When and where it reports.")
    output: Output = Field(default_factory=Output, description="Where results go.")
    hardware: Hardware = Field(default_factory=Hardware, description="What it runs on.")
    targets: Targets = Field(default_factory=Targets, description="Raw keys for what this language leaves out.")
