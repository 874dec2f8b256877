"""`parley completion`: prints what makes a shell complete the commands and options of `parley`."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PARLEY_COMPLETE"
"""By which click recognizes that a shell asks."""


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion of commands and options for bash, zsh or fish.

    \b
    bash: echo 'eval "$(parley completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(parley completion zsh)"' >> ~/.zshrc
    fish: parley completion fish > ~/.config/fish/completions/parley.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(click.Command("parley"), {}, "parley", VARIABLE).source())
