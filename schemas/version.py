"""The version of ftc: written here, read by packaging, reports and the headers of artifacts."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
