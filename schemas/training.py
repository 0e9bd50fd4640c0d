"""The recipe's `training` section: what is optimised, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, about

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


class Preference(Section):
    beta: Annotated[float, Field(gt=0)] = Field(
        default=0.1,
        description="dpo, kto: how firmly the model is held to its start; orpo: the weight of the comparison.",
        examples=[0.1, 0.3],
        json_schema_extra=about(
            "0.1 is usual; less lets a dpo or kto model move farther from where it began.", unit="plain number"
        ),
    )
    loss: Literal["sigmoid", "ipo", "hinge"] = Field(
        default="sigmoid",
        description="dpo: the loss over preferences.",
        examples=["sigmoid"],
        json_schema_extra=about(
            "Keep sigmoid unless the model overfits its pairs; orpo and kto have losses of their own.",
            values={
                "sigmoid": "DPO's own: the log-likelihood of the preferred answer being preferred.",
                "ipo": "A squared distance to a fixed margin; where few pairs that always agree are learnt by heart.",
                "hinge": "No more gradient once the margin is reached.",
            },
        ),
    )


class Training(Section):
    objective: Objective = Field(
        default="sft",
        description="What is optimised.",
        examples=["sft"],
        json_schema_extra=about(
            "Begin with sft; the others need rows of their own formats, or a model that sft has made.",
            values={
                "sft": "Answers are learnt as they stand: conversations, tasks, completions.",
                "pretrain": "Raw text is learnt: a new domain or language, from much text.",
                "dpo": "Of two answers the better one becomes likelier, against the model's start; after sft.",
                "orpo": "Answers are learnt and compared in one run, without a reference model.",
                "kto": "Single answers marked good or bad; where there are no pairs.",
            },
        ),
    )
    epochs: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="Passes over the training data.",
        examples=[1, 3],
        json_schema_extra=about(
            "1 to 3; watch the validation loss, which rises where rows are learnt by heart.", unit="passes"
        ),
    )
    max_steps: Positive | None = Field(
        default=None,
        description="Optimizer steps, instead of epochs.",
        examples=[1000],
        json_schema_extra=about(
            "Write either this or epochs, not both.", unit="optimizer steps", values={"null": "epochs decides."}
        ),
    )
    global_batch_size: Positive = Field(
        default=16,
        description="Rows an optimizer step sees over all devices.",
        examples=[16, 64],
        json_schema_extra=about(
            "A multiple of micro_batch_size x devices; with packing a row holds several conversations.", unit="rows"
        ),
    )
    micro_batch_size: Auto | Positive = Field(
        default="auto",
        description="Rows per device and forward pass.",
        examples=["auto", 4],
        json_schema_extra=about(
            "Leave it to auto: the result is the same, only memory and speed change.",
            unit="rows",
            values={"auto": "The largest that fits the GPU, as far as that is faster; 1 where no GPU is named."},
        ),
    )
    learning_rate: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto",
        description="The highest learning rate.",
        examples=["auto", 2.0e-4],
        json_schema_extra=about(
            "Halve it where the loss jumps; full fine-tuning wants a tenth of LoRA's.",
            unit="plain number",
            values={"auto": "By method and objective: 2e-4 for LoRA with sft, 2e-5 for full; `ftc plan` shows it."},
        ),
    )
    scheduler: Scheduler = Field(
        default="cosine",
        description="How the learning rate falls after the warmup.",
        examples=["cosine"],
        json_schema_extra=about(
            "cosine suits a run of known length; constant one that is stopped by hand.",
            values={
                "cosine": "Slowly, fast, slowly: down to min_lr_ratio.",
                "linear": "Evenly down to 0.",
                "constant": "Not at all.",
                "polynomial": "Evenly down to min_lr_ratio.",
            },
        ),
    )
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="cosine, polynomial: end at this fraction of the learning rate.",
        examples=[0.1],
        json_schema_extra=about(
            "0.1 keeps late rows from counting for nothing; no other schedule has it.",
            unit="share of the learning rate",
        ),
    )
    warmup: Positive | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="How long the learning rate rises. A float in [0, 1): that share of the steps; an integer: steps.",
        examples=[0.1, 100],
        json_schema_extra=about(
            "0.03 to 0.1; more where the loss jumps at the start.", unit="share of the steps, or optimizer steps"
        ),
    )
    optimizer: Auto | Optimizer = Field(
        default="adamw",
        description="The optimizer, by what it does.",
        examples=["adamw", "auto"],
        json_schema_extra=about(
            "With adapters its state is small: keep adamw; for full fine-tuning adamw_8bit saves half of it or more.",
            values={
                "auto": "adamw where it fits; else the variant of it that rounds least, its state in 8 bit or in main "
                "memory.",
                "adamw": "AdamW, two states for each weight in its own type; the safe choice.",
                "adamw_8bit": "AdamW with states in 8 bit; for full fine-tuning that is short of memory.",
                "adamw_4bit": "AdamW with states in 4 bit; needs torchao.",
                "paged_adamw_8bit": "adamw_8bit whose states may move to main memory where the card is full.",
                "paged_adamw": "AdamW whose states may move to main memory where the card is full.",
                "adafactor": "Second moments by rows and columns: hardly any state.",
                "lion_8bit": "The sign of the update, one state in 8 bit; wants a smaller learning rate than AdamW.",
                "sgd": "Plain gradient steps, no state; rarely right for language models.",
                "muon": "Orthogonal updates for matrices, AdamW for the rest; one state for matrices.",
            },
        ),
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Decoupled weight decay.",
        examples=[0.01],
        json_schema_extra=about("0 for adapters, 0.01 to 0.1 for full fine-tuning of much data.", unit="plain number"),
    )
    betas: (
        Auto
        | Annotated[
            tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
            Field(strict=False),
        ]
    ) = Field(
        default="auto",
        description="Decay of the optimizer's running means.",
        examples=["auto", [0.9, 0.95]],
        json_schema_extra=about(
            "A lower second one forgets sooner, which calms long runs; AdamW's variants and lion_8bit have them.",
            unit="share kept each step",
            values={"auto": "0.9 and 0.999 for AdamW's variants, 0.9 and 0.99 for lion_8bit; the others have none."},
        ),
    )
    epsilon: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto",
        description="The optimizer's guard against division by zero.",
        examples=["auto", 1.0e-8],
        json_schema_extra=about(
            "Only AdamW's variants have it; leave it to auto.",
            unit="plain number",
            values={"auto": "1e-8 for AdamW's variants; the others have none that is set."},
        ),
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="Gradients are scaled down to this norm; 0: never.",
        examples=[1.0, 0],
        json_schema_extra=about("1.0 catches the odd bad batch; 0.3 is often used with QLoRA.", unit="plain number"),
    )
    gradient_checkpointing: Auto | Checkpointing = Field(
        default="auto",
        description="Compute activations again in the backward pass instead of keeping them.",
        examples=[True],
        json_schema_extra=about(
            "Leave it to auto, which uses it only where the run does not fit well without.",
            values={
                "auto": "Where memory asks for it; on where no GPU is named.",
                "selective": "As true, with some results kept (natively attention's): between true and false.",
                "offload": "As true, with the layers' inputs in main memory.",
                "true": "Only the layers' inputs are kept: far less memory, and the forward pass is done twice.",
                "false": "All is kept: the fastest.",
            },
        ),
    )
    loss: Auto | Loss = Field(
        default="auto",
        description="Whether the logits of all tokens are there at once.",
        examples=["auto"],
        json_schema_extra=about(
            "The result is the same; chunked saves gibibytes with large vocabularies and long rows.",
            values={
                "auto": "Whichever is faster and fits; without a GPU as the target does it by itself.",
                "full": "The logits are made as a whole.",
                "chunked": "The logits are made in pieces; natively the head is applied twice.",
            },
        ),
    )
    compile: bool = Field(
        default=False,
        description="Compile the decoder layers with torch.compile.",
        examples=[True],
        json_schema_extra=about(
            "An H100 was a third faster with it; the first steps are slow.",
            values={"true": "Layers are compiled at the first steps.", "false": "Layers run as they are written."},
        ),
    )
    kernels: Auto | Kernels = Field(
        default="auto",
        description="Replacement kernels for parts of the model.",
        examples=["liger"],
        json_schema_extra=about(
            "An H100 was a fifth faster with liger; with compile it is no faster than compile alone.",
            values={
                "auto": "liger where the target has it for this model and the card is faster with it; else none.",
                "none": "The model's own.",
                "liger": "Fused norms, rotations and mlp from the package liger-kernel; needs a GPU.",
            },
        ),
    )
    neftune_alpha: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Noise added to embeddings in training (NEFTune).",
        examples=[5.0],
        json_schema_extra=about(
            "5 is the least that its paper tried; for chat models tuned on few rows.",
            unit="plain number",
            values={"null": "No noise."},
        ),
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = Field(
        default=42,
        description="The seed of everything random.",
        examples=[42],
        json_schema_extra=about("Change it to see how much of a difference is luck.", unit="plain number"),
    )
    preference: Preference = Field(
        default_factory=Preference, description="dpo, orpo, kto: the loss over preferences.", examples=[{"beta": 0.1}]
    )
