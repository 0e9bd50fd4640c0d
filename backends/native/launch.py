# pyright: basic
# Strict typing stops at torch, whose launcher is untyped.
"""What `torchrun` does, by its own command line, for who wants a run's exit code and nothing but its words: how the
processes ended they say themselves.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import logging
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main


def start(arguments: list[str]) -> int:
    """The exit code of the process that failed first; 128 + N where signal N stopped them all."""
    logging.disable(logging.CRITICAL)
    try:
        main(arguments)
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        code = failed.get_first_failure()[1].exitcode
        return code if code >= 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
