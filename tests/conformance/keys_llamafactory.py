"""The keys of the installed LLaMA-Factory: its parser's fields for training and for export, and dataset_info.json's.

Run by LLaMA-Factory's Python: `python keys_llamafactory.py OUT.json`. Keys of an entry of dataset_info.json begin with
`dataset_info.`; those that the export knows are listed again under `export`.
"""

from __future__ import annotations

import inspect
import re
import typing

from keys_writing import spelled, write
from llamafactory.data import parser as data
from llamafactory.hparams import parser

INFO = "dataset_info."


def main() -> None:
    """Write the list."""
    keys = {**fields(parser._TRAIN_ARGS), **entries()}
    beside = ("transformers", "trl", "peft", "datasets")
    write("llamafactory", "llamafactory.hparams.parser", beside, keys, export=fields(parser._INFER_ARGS))


def fields(classes: list[type]) -> dict[str, str]:
    """The fields of its dataclasses that a YAML file may set, by their declared types."""
    found: dict[str, str] = {}
    for one in classes:
        hints = typing.get_type_hints(one)
        found |= {name: spelled(hints[name]) for name, field in one.__dataclass_fields__.items() if field.init}
    return found


def entries() -> dict[str, str]:
    """What an entry of dataset_info.json may say, as `join` and `get_dataset_list` read it."""
    hints = typing.get_type_hints(data.DatasetAttr)
    read = inspect.getsource(data.DatasetAttr.join)
    plain = re.findall(r'set_attr\("(\w+)", attr', read)
    columns = [name for line in re.findall(r"column_names \+?= \[(.*?)\]", read, re.S) for name in words(line)]
    tags = [name for line in re.findall(r"tag_names \+?= \[(.*?)\]", read, re.S) for name in words(line)]
    places = re.findall(r'"(\w+_url|\w*file_name)"', inspect.getsource(data.get_dataset_list))
    return {
        **{f"{INFO}{name}": "str" for name in places},
        **{f"{INFO}{name}": spelled(hints[name]) for name in plain},
        **{f"{INFO}columns.{name}": spelled(hints[name]) for name in columns},
        **{f"{INFO}tags.{name}": spelled(hints[name]) for name in tags},
    }


def words(text: str) -> list[str]:
    return re.findall(r'"(\w+)"', text)


if __name__ == "__main__":
    main()
