"""LLaMA-Factory imports torchaudio for sound only; there is no build of it for every machine."""
