"""ZeRO by DeepSpeed, by two processes on a CPU. `make zero` installs it and runs these, which are left out without."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from native_base import full, lora, write_artifact
from test_spread import goes_on_alike, learns_alike, shared, told
from test_train import summary_of
from together import Together

from backends.native import spread
from schemas.plan import Plan

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not here: make zero"
)


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    os.environ["DS_ACCELERATOR"] = "cpu"
    server = Together()
    yield server
    server.close()


CASES: dict[str, dict[str, Any]] = {
    "lora": {"training": {"gradient_checkpointing": True}, "output": {"merge": True}},
    "full": {"method": full()},
    "lora plus": {"method": lora(lora_plus_ratio=4.0)},
}


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
@pytest.mark.parametrize("case", CASES)
def test_weights_that_are_parted_learn_what_whole_ones_do(
    case: str, strategy: str, plan: Callable[..., Plan], tmp_path: Path, together: Together
) -> None:
    two = shared(plan, strategy, **CASES[case])
    learns_alike(shared(plan, "single", count=1, **CASES[case]), two, tmp_path, together, 1e-5)
    saved = Path(two.output.dir) / "checkpoints/checkpoint-6/global_step6"
    assert len(list(saved.glob("*optim_states.pt"))) == 2  # each a part
    goes_on_alike(two, tmp_path, together)


@pytest.mark.parametrize(("strategy", "offload"), [("zero2", "optimizer"), ("zero3", "optimizer"), ("zero3", "all")])
def test_what_is_kept_in_main_memory(
    strategy: str, offload: str, plan: Callable[..., Plan], tmp_path: Path, together: Together
) -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig  # pyright: ignore[reportMissingImports]

    made = shared(plan, strategy, method=full(), hardware={"offload": offload})
    said = spread.zero(told(made))["zero_optimization"]
    read = DeepSpeedZeroConfig(**said).model_dump(by_alias=True)  # its own parser refuses words that it does not know
    assert {name: read[name] for name in said if not isinstance(said[name], dict)} == {
        name: value for name, value in said.items() if not isinstance(value, dict)
    }
    assert (read["offload_optimizer"] is not None, read["offload_param"] is not None) == (True, offload == "all")
    ended = together.run(write_artifact(made, tmp_path / "artifact") / "plan.json")
    assert ended.codes == [0, 0], ended.said
    assert summary_of(made)["loss"]["last"] < summary_of(made)["loss"]["first"] - 0.5
