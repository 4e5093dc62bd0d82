"""The command `peephole`, which gathers the commands of the four folders.

Run as `peephole`, or as `python -m peephole` from a plain source tree. Exit codes: 0 fine,
1 failed, 2 wrong input, 3 ended by its budget with work left.
"""

from typing import IO, Any

import click

from benchmark.cli import sample
from generators.cli import generate, images
from leaderboard.cli import board

__version__ = "0.1.0"

WRONG_INPUT = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError)


class CommandError(click.ClickException):
    """What the user is told, on one line, when a command ends badly."""

    def __init__(self, error: Exception) -> None:
        """Take the message of an error of the library or the operating system."""
        message = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            message = f"{error.strerror}: {str(error.filename)!r}"
        super().__init__("; ".join(message.splitlines()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line to stderr."""
        click.echo(f"peephole: error: {self.format_message()}", file=file, err=True)


class InputError(CommandError):
    """Likewise, where the input is to blame."""

    exit_code = 2


class Root(click.Group):
    """The group of all commands; the one place where errors of the library become a line."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a broken pipe is left to click, which ends quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except click.ClickException as error:
            if type(error) is not click.ClickException:  # a usage error shows itself
                raise
            raise CommandError(error) from error
        except WRONG_INPUT as error:
            raise InputError(error) from error
        except OSError as error:
            raise CommandError(error) from error


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="peephole")
def main() -> None:
    """Predict how well neural networks will perform, before or early in their training."""


for command in (sample, images, generate, board):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="peephole")
