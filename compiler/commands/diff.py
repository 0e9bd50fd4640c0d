"""`ftc diff`."""
import click
@click.command()
def command() -> None:
    """todo"""
