"""Whether LLaMA-Factory's own parser takes a config, keeps every value as it is written, and can open its datasets.

Run by LLaMA-Factory's Python with the folders of artifacts: a line of JSON for each. The YAML path
of its parser checks neither types nor choices, so each value goes through the command line's parser as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import transformers.training_args
import transformers.utils
import transformers.utils.import_utils
from llamafactory.data.parser import get_dataset_list
from llamafactory.data.template import TEMPLATES
from llamafactory.hparams import parser
from omegaconf import OmegaConf
from transformers import HfArgumentParser

ENTRY = {"file_name", "hf_hub_url", "subset", "split", "formatting", "columns", "tags"}
COLUMNS = {"prompt", "query", "response", "messages", "system", "tools"}
TAGS = {"role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"}


def pretend() -> None:
    """Answer as a card with all types would: the config is for such a card, and this machine may have none."""
    for module in (transformers.utils, transformers.utils.import_utils, transformers.training_args, parser):
        module.is_torch_bf16_gpu_available = lambda *_, **__: True
        module.is_torch_tf32_available = lambda *_, **__: True
    transformers.training_args.enable_tf32 = lambda *_, **__: None


def main(path: str) -> list[str]:
    """What is wrong with the config and the datasets; nothing where they are accepted."""
    written = OmegaConf.to_container(OmegaConf.load(path))
    sys.argv = ["llamafactory-cli", path]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read = parser.get_train_args()
    except (Exception, SystemExit) as error:
        return [f"{type(error).__name__}: {error}"]
    return [*typed(written), *changed(written, read), *datasets(written)]


def typed(written: dict[str, object]) -> list[str]:
    """Values that the command line would not take: it looks at types and choices."""
    found: list[str] = []
    for key, value in written.items():
        first = value[0] if isinstance(value, list) else value
        words = [json.dumps(first) if isinstance(first, dict | bool) else str(first)]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.suppress(Exception):
            required = ["--output_dir=out", "--model_name_or_path=base"]
            try:
                HfArgumentParser(parser._TRAIN_ARGS).parse_args([*required, f"--{key}", *words])
            except SystemExit:
                found.append(f"{key}: {value!r}: {said.getvalue().strip().splitlines()[-1]}")
    return found


COMPUTED = {"cutoff_len", "packing", "lora_target", "additional_target", "dataset", "eval_dataset", "report_to"}
"""Read into another form: names parted at commas, the length less one where rows are packed."""


def changed(written: dict[str, object], read: tuple[object, ...]) -> list[str]:
    """Values that do not arrive as they are written."""
    arrived = {field.name: getattr(part, field.name) for part in read for field in dataclasses.fields(part)}
    pairs = ((key, value, arrived.get(key)) for key, value in written.items() if key not in COMPUTED)
    return [
        f"{key}: {value!r} arrives as {seen!r}" for key, value, seen in pairs if getattr(seen, "value", seen) != value
    ]


def datasets(written: dict[str, object]) -> list[str]:
    """Unknown words in `dataset_info.json`, which are ignored, and a template that is not registered."""
    folder = Path(str(written["dataset_dir"]))
    names = [name for key in ("dataset", "eval_dataset") for name in str(written.get(key) or "").split(",") if name]
    get_dataset_list(names, str(folder))
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    found = [f"template: {written['template']!r} is not registered"] if written["template"] not in TEMPLATES else []
    for name in names:
        entry = info[name]
        words = [*(set(entry) - ENTRY), *(set(entry["columns"]) - COLUMNS), *(set(entry.get("tags", ())) - TAGS)]
        found += [f"dataset_info.json: {word} of {name} is ignored" for word in words]
        if "file_name" in entry and not (folder / entry["file_name"]).is_file():
            found.append(f"dataset_info.json: {entry['file_name']} is not there")
    return found


if __name__ == "__main__":
    pretend()
    for folder in sys.argv[1:]:
        os.chdir(folder)
        print(json.dumps([folder, main("config.yaml")]), flush=True)
    os._exit(0)  # threads of the tool would wait for the network
