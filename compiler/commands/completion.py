"""`ftc completion`: what makes a shell complete ftc."""

from __future__ import annotations

import click

from compiler.completion.shells import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print what makes a shell complete ftc.

    Commands and options, recipes, targets, GPUs, models, settings after --set, codes, and folders of runs.

    \b
    bash, in ~/.bashrc:      source <(ftc completion bash)
    zsh, in ~/.zshrc:        source <(ftc completion zsh)
    fish, once:              ftc completion fish > ~/.config/fish/completions/ftc.fish
    """
    click.echo(script(shell), nl=False)
