"""`parley load`: its options, the run, and where the report goes.

Light until a load runs: what makes calls and what draws is loaded then.
"""

import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from server.cli.console import data_option, fail, json_option, settings_of, show
from server.cli.load.plan import KINDS, Duration, Mix, Plan, Share

if TYPE_CHECKING:
    from server.cli.load.measured import Measured
    from server.cli.load.report import Ran

_FILES_BESIDE = 100
"""Open files that the process needs beside those of its calls."""
_INTERRUPTED = 128 + signal.SIGINT
_KINDS_HELP = "\n".join(f"  {kind:<19} {about}" for kind, about in KINDS.items())


@click.command(
    epilog=f"""\b
Kinds of calls in --mix; at the gRPC door each is the method of the same name:
{_KINDS_HELP}

Durations are written as 60s, 5m, 1m30s or 500ms. Ctrl-C ends the load and writes the report of what ran."""
)
@click.option("--rate", type=click.FloatRange(0, 100_000, min_open=True), help="Open loop: calls a second.")
@click.option(
    "--users", type=click.IntRange(1, 10_000), help="Closed loop: users, each with a call at a time."
)
@click.option(
    "--think", type=Duration(), default="0s", help="Pause of a user after an answer.  [default: 0s]"
)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="How calls of an open loop are spread.",
)
@click.option(
    "--mix", type=Mix(), default="chat", show_default=True, help="Kinds of calls, weighted: chat=3,stream=1."
)
@click.option(
    "--for", "seconds", type=Duration(0.1), default="30s", show_default=True, help="How long calls count."
)
@click.option(
    "--ramp", type=Duration(), default="0s", show_default=True, help="Before: from nothing to the full rate."
)
@click.option(
    "--warm-up", type=Duration(), default="0s", show_default=True, help="Then: at full rate, not counted."
)
@click.option("--timeout", type=Duration(0.001), default="30s", show_default=True, help="Of each call.")
@click.option(
    "--max-errors", type=Share(), default="1%", show_default=True, help="More errors make the exit code 1."
)
@click.option(
    "--url", metavar="URL", help="http(s):// or grpc(s)://, with a host.  [the server of this machine]"
)
@click.option("--door", type=click.Choice(["rest", "grpc"]), help="[by the URL, else rest]")
@click.option(
    "--key", envvar="PARLEY_KEY", metavar="KEY", help="An api key; or PARLEY_KEY.  [the development key]"
)
@click.option("--assistant", metavar="ID", help="The assistant that answers.  [the development assistant]")
@click.option(
    "--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Trusted certificates, PEM."
)
@click.option(
    "--input", "inputs", multiple=True, help="What is asked; several are drawn from.  [Hello, how are you?]"
)
@click.option(
    "--most-in-flight", type=click.IntRange(1, 50_000), default=4000, show_default=True, help="Calls at once."
)
@click.option("--seed", type=int, help="Makes arrivals and kinds the same again.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.json and index.html."
)
@data_option
@json_option
def load(
    data: Path | None,
    url: str | None,
    door: Literal["rest", "grpc"] | None,
    key: str | None,
    assistant: str | None,
    max_errors: float,
    out: Path | None,
    as_json: bool,
    inputs: tuple[str, ...],
    **options: Any,
) -> None:
    """Call a running service at a rate, or as so many users, and report what its callers see."""
    import uvloop

    from server.cli.load.execute import Unusable, execute
    from server.cli.load.target import check_certificates, target_of

    _check(options, out)
    check_certificates(options["ca"])
    target = target_of(settings_of(data=data), url, door, key, assistant)
    plan = Plan(**target._asdict(), inputs=inputs or ("Hello, how are you?",), **options)
    _raise_file_limit(min(plan.most_in_flight, plan.users or plan.most_in_flight))
    try:
        measured, ran = uvloop.run(execute(plan, shown=not as_json))
    except Unusable as error:
        fail(str(error))
    report = _written(measured, ran, out, as_json)
    if ran.interrupted:
        raise SystemExit(_INTERRUPTED)
    if report["errorRatio"] > max_errors:
        fail(
            f"{100 * report['errorRatio']:.3g} % of the calls failed, of which {100 * max_errors:g} % may (--max-errors)"
        )


def _check(options: dict[str, Any], out: Path | None) -> None:
    """Refuse options that do not go together, and a folder that cannot be written, before anything is called."""
    if (options["rate"] is None) == (options["users"] is None):
        raise click.UsageError("give either --rate (open loop) or --users (closed loop)")
    if options["think"] and options["users"] is None:
        raise click.UsageError("--think is for --users: calls of an open loop wait for no answer")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)


def _raise_file_limit(calls: int) -> None:
    """Each call that is under way has a connection of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = calls + _FILES_BESIDE
    if hard != resource.RLIM_INFINITY and wanted > hard:
        fail(
            f"--most-in-flight {calls}: this system allows {hard} open files; use at most {hard - _FILES_BESIDE}"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _written(measured: "Measured", ran: "Ran", out: Path | None, as_json: bool) -> dict[str, Any]:
    """Write the report to its folder and the standard output, and return it."""
    import orjson

    from server.cli.load.page import page_of
    from server.cli.load.report import report_of
    from server.cli.load.summary import print_summary

    report = report_of(measured, ran)
    if out is not None:
        (out / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
        (out / "index.html").write_text(page_of(report))
    if as_json:
        show(report, True, "")
        return report
    print_summary(report)
    if out is not None:
        click.echo(f"report: {out / 'index.html'}, {out / 'report.json'}")
    return report
