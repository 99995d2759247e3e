"""The command ``hoopjump``: its groups, loaded when they are used, and the one shape of its errors.

Whoever asks for help should not wait for cryptography, pydantic and requests to load; so the groups stand here by
name, with the line that the list of commands shows.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from hoopjump import __version__
from hoopjump.cli import output
from hoopjump.errors import HoopjumpError

# The default of hoopjump.config, which is not imported here: it loads pydantic.
DEFAULT_CONFIG: Final = "/etc/hoopjump/hoopjump.toml"

# Name of the command: (module below hoopjump.cli, its line in the list). The object has the command's name.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "ca": ("ca", "Make a certification authority for users."),
    "cert": ("cert", "Issue and inspect OpenSSH certificates."),
    "krl": ("krl", "Revoke certificates: key revocation lists for sshd."),
    "sshd": ("sshd", "The sshd in front: its block of configuration, and the proof of it."),
    "gateway": ("gateway", "The gateway behind: check it, take over its keys, make it trust hoopjump."),
    "logins": ("logins", "Who is logged in; end a login."),
    "explain": ("explain", "Say why a login was let in or refused."),
    "keys": ("keys", "The keys of the issuers of tokens, as hoopjumpd has them, or hoopjump-ca."),
    "login": ("login", "Log in at your identity provider, and get a certificate for ssh."),
    "logout": ("login", "Forget tokens and certificate, here and at the provider."),
    "whoami": ("login", "Show who is logged in here, for how long, and in which groups."),
    "token": ("token", "Make, look into and verify JSON Web Tokens."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"hoopjump.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = importlib.import_module("difflib").get_close_matches(args[0], COMMANDS, n=1)
            suggestion = f"; did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"no such command `{output.shown(args[0])}`{suggestion}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="FILE",
    help="The configuration file.",
)
@click.version_option(__version__, prog_name="hoopjump", message="%(prog)s %(version)s")
@click.pass_context
def hoopjump(ctx: click.Context, config: Path) -> None:
    """Make a stock OpenSSH bastion the entry to a Hoop gateway.

    Exit status: 0 done, 1 failed or refused, 2 wrong usage or configuration. HOOPJUMP_DEBUG=1 shows where an
    unforeseen error arose.
    """
    ctx.obj = {"config": config}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_guarded(lambda: hoopjump.main(args=arguments, prog_name="hoopjump", standalone_mode=False)))


def _guarded(command: Callable[[], object]) -> int:
    """Run ``command``; tell every failure in one shape and give the exit status."""
    try:
        status = command()
        sys.stdout.flush()
    except HoopjumpError as error:
        output.failed(error)
        return error.exit_status
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "hoopjump"
        text = error.format_message().removesuffix(".")
        output.failed(HoopjumpError(output.in_lower_case(text), f"{path} --help"))
        return output.EXIT_USAGE
    except click.ClickException as error:
        output.failed(HoopjumpError(error.format_message()))
        return output.EXIT_FAILURE
    except (click.Abort, KeyboardInterrupt):
        output.failed(HoopjumpError("interrupted"))
        return 130  # as a shell tells of SIGINT
    except BrokenPipeError:
        # The reader has gone; the interpreter must not try to flush to it once more. click does the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return output.EXIT_FAILURE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        output.failed(HoopjumpError(f"{place}{error.strerror or error}"))
        return _debug_or_failure()
    except Exception as error:
        # The last resort: whatever it is, a person reads a sentence and not a stack.
        output.failed(
            HoopjumpError(
                f"unforeseen error: {type(error).__name__}: {error}", "HOOPJUMP_DEBUG=1 shows where; please report it"
            )
        )
        return _debug_or_failure()
    return status if isinstance(status, int) else 0


def _debug_or_failure() -> int:
    if os.environ.get("HOOPJUMP_DEBUG") == "1":
        sys.excepthook(*sys.exc_info())
    return output.EXIT_FAILURE


if __name__ == "__main__":
    main()
