"""Template variables in an assistant's messages: Liquid, one pass, missing values empty.

Values are never expanded again. A mark that is not valid Liquid (of a prompt that shows code, say) is left as it is, and
so is a text that is too large or would take too much work. `variables_of` is given the time; only `"now" | date` reads the
clock.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from sys import getsizeof
from typing import Any, ClassVar, NamedTuple, TextIO

from liquid import Environment, Node, RenderContext
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import primitive
from liquid.builtin.expressions.filtered import FilteredExpression
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError
from liquid.template import BoundTemplate
from liquid.token import TOKEN_TAG
from liquid.undefined import UNDEFINED

from server.agents import liquid_filters
from server.agents.liquid_filters import printed
from server.agents.template_marks import is_bounded, mended
from server.content.json_values import length_of, size_of

MOST_CHARACTERS = 32_768
_MOST_ROUNDS = 10_000
_MOST_WORK = 500_000
"""About half a second at worst: one is a node of a template rendered, a value read, or 16 characters of one."""
_MOST_FAULTS = 20
_MOST_SHOWN = 60
INVALID, FAILED, COSTLY, TOO_LARGE, UNKNOWN_FILTER = "invalid", "failed", "costly", "too_large", "unknown_filter"
"""A mark is not valid Liquid, or cannot be filled in; the text takes too much work, or is too large; what `mark` names is no
filter, and the value was passed on as it is."""
BRIEF = 2_000
"""Work that the event loop can do, some milliseconds of it at worst."""
_MARK_WORK = 20
"""What it takes to parse a mark and to render it."""
_MENDING_WORK = 60
"""What it takes to find out whether a mark is at fault, beside its characters."""
_MOST_PIECES = 16
_LINEAR = frozenset({
    "abs", "append", "at_least", "at_most", "base64_decode", "base64_encode", "base64_url_safe_decode",
    "base64_url_safe_encode", "capitalize", "ceil", "compact", "concat", "default", "downcase", "escape", "escape_once",
    "escapejs", "find", "find_index", "first", "floor", "has", "last", "lstrip", "map", "minus", "newline_to_br", "plus",
    "prepend", "raw", "reject", "reverse", "round", "rstrip", "safe", "size", "slice", "sort", "sort_natural", "squish",
    "strip", "strip_newlines", "sum", "to_integer", "truncate", "truncatewords", "upcase", "url_decode", "url_encode",
    "where"})
"""Their work is what they read."""
_MULTIPLYING = frozenset({"replace", "replace_first", "replace_last", "remove", "remove_first", "remove_last", "split",
                          "join", "times", "divided_by", "modulo"})
"""Their work can be what they read times what they are told."""
_SLOW = {"date": 256, "json": 8, "jsonify": 8, "inspect": 8}
"""How many times as much one character costs as with others."""
_SQUARING = frozenset({"uniq"})
"""Their work is the square of what they read."""
FILTERS = _LINEAR | _MULTIPLYING | _SLOW.keys() | _SQUARING
"""Those whose work is known. Others pass the value on as it is, as in LiquidJS."""
_OF_TEXT = frozenset({
    "append", "base64_decode", "base64_encode", "base64_url_safe_decode", "base64_url_safe_encode", "capitalize", "downcase",
    "escape", "escape_once", "escapejs", "lstrip", "newline_to_br", "prepend", "remove", "remove_first", "remove_last",
    "replace", "replace_first", "replace_last", "rstrip", "safe", "split", "squish", "strip", "strip_newlines", "truncate",
    "truncatewords", "upcase", "url_decode", "url_encode"})
"""Their values are read as they are printed."""
TAGS = frozenset({
    "#", "assign", "break", "capture", "case", "comment", "content", "continue", "cycle", "decrement", "doc", "echo", "for",
    "if", "ifchanged", "illegal", "increment", "liquid", "output", "tablerow", "unless"})
"""Likewise. Their work is that of their values, which are counted, and loops are counted by their rounds."""
NOT_OFFERED = frozenset({"strip_html", "include", "render"})
"""Filters and tags left out: Python's HTML parser takes the square of an unclosed tag, and there are no other templates."""
# What a filter raises where its value is not what it expects is not always a LiquidError.
_UNFIT = (LiquidError, LiquidInterrupt, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Fault(NamedTuple):
    """What of a template was left as it is written, or passed on."""

    code: str
    mark: str
    """As it is written; empty where it is the whole text."""


class Allowance:
    """How much work templates may take together, and what was at fault in them."""

    def __init__(self, work: int = _MOST_WORK, whole: "Allowance | None" = None) -> None:
        self._whole = whole or self
        self._left = work
        self.faults: list[Fault] = []

    @property
    def left(self) -> int:
        return self._whole._left

    @property
    def is_used_up(self) -> bool:
        return self.left < 0

    def part(self) -> "Allowance":
        """The same allowance for some of the templates, with the faults of those alone."""
        return Allowance(whole=self._whole)

    def spend(self, work: int) -> None:
        """Raises ResourceLimitError when there is no more left; then nothing is left for others either."""
        self._whole._left -= work
        if self.left < 0:
            raise ResourceLimitError("the templates take too much work", token=None)

    def note(self, code: str, mark: str = "") -> None:
        """Note a fault; once, however often a loop meets it, and not more than anybody reads."""
        fault = Fault(code, _shown(mark))
        if len(self.faults) < _MOST_FAULTS and fault not in self.faults:
            self.faults.append(fault)


def render(text: str, variables: Mapping[str, Any], allowance: Allowance | None = None) -> str:
    """`text` with its variables filled in. Templates that share an allowance are left as they are when it is used up.

    What is left as it is written is noted in the allowance.
    """
    marks = text.count("{{") + text.count("{%")
    if not marks:
        return text
    allowance = allowance or Allowance()
    noted = len(allowance.faults)
    try:
        allowance.spend(marks * _MARK_WORK)
        if (filled := _filled(text, variables, allowance)) is not None:
            return filled
        if (template := _parsed_or_mended(text, marks, allowance)) is not None:
            return template.fill(variables, allowance)
    except ResourceLimitError:
        del allowance.faults[noted:]
        allowance.note(COSTLY)
    except _UNFIT:
        del allowance.faults[noted:]
        allowance.note(FAILED)
    return text


def faults_of(text: str, allowance: Allowance) -> list[Fault]:
    """What can be seen to be at fault before any variable is there, noted in the allowance, too."""
    marks = text.count("{{") + text.count("{%")
    noted = len(allowance.faults)
    try:
        if marks:
            allowance.spend(marks * _MARK_WORK)
            _parsed_or_mended(text, marks, allowance)
    except ResourceLimitError:
        allowance.note(COSTLY)
    return allowance.faults[noted:]


def _parsed_or_mended(text: str, marks: int, allowance: Allowance) -> "_Template | None":
    template = _parsed(text)
    if template is not None:
        return template
    if len(text) > MOST_CHARACTERS:
        allowance.note(TOO_LARGE)
        return None
    allowance.spend(marks * _MENDING_WORK + len(text))
    template, faults = _mended(text)
    for fault in faults:
        allowance.note(INVALID, fault)
    return template


def _shown(mark: str) -> str:
    line = " ".join(mark.split())
    return line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN - 1] + "…"


def variables_of(values: Mapping[str, Any], now_ms: int, customer: Any = None, transport: Any = None) -> dict[str, Any]:
    """The caller's `variableValues` beside the built-in variables, which are in UTC; the caller's win."""
    return {**_of_minute(now_ms // 60_000), "customer": customer or {},
            "transport": {"conversationType": "chat", **(transport or {})}, **values}


@lru_cache(maxsize=2)
def _of_minute(minute: int) -> dict[str, str]:
    now = datetime.fromtimestamp(minute * 60, UTC)
    return {
        "now": f"{now:%b} {now.day}, {now.year}, {now:%I:%M %p} UTC",
        "date": f"{now:%b} {now.day}, {now.year}",
        "time": f"{now:%I:%M %p}",
        "month": f"{now:%B}",
        "day": str(now.day),
        "year": str(now.year),
    }


def _filled(text: str, variables: Mapping[str, Any], allowance: Allowance) -> str | None:
    """What the template makes of variables that are short texts, in a tenth of Liquid's time; None when it has others."""
    pieces = _pieces_of(text)
    if pieces is None:
        return None
    filled = []
    for piece, is_name in pieces:
        value = variables.get(piece) if is_name else piece
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            return None
        allowance.spend(len(value) // 16)
        filled.append(value)
    return "".join(filled)


@lru_cache(maxsize=1024)
def _pieces_of(text: str) -> list[tuple[str, bool]] | None:
    """A template's texts, and the names that stand between them; None when there is more to it, or to be said of it."""
    template = _parsed(text)
    if template is None or len(template.nodes) > _MOST_PIECES:
        return None
    pieces = []
    for node in template.nodes:
        if isinstance(node, ContentNode):
            pieces.append((node.text, False))
            continue
        expression = getattr(node, "expression", None)
        if not (isinstance(node, OutputNode) and type(expression) is FilteredExpression and not expression.filters
                and type(expression.left) is Path and len(expression.left.path) == 1
                and isinstance(expression.left.path[0], str)):
            return None
        pieces.append((expression.left.path[0], True))
    return pieces


@lru_cache(maxsize=1024)
def _parsed(text: str) -> "_Template | None":
    if len(text) > MOST_CHARACTERS or not is_bounded(text):
        return None
    return _template_of(text)


@lru_cache(maxsize=1024)
def _mended(text: str) -> "tuple[_Template | None, list[str]]":
    """A template with its faulty marks as plain text, and those; None and the text when it is none even so."""
    plain, faults = mended(text, lambda part: _template_of(part) is not None)
    template = _template_of(plain) if is_bounded(plain) else None
    return (template, faults) if template is not None else (None, [text])


def _template_of(text: str) -> "_Template | None":
    try:
        matter = {"most_nodes": len(text) // 8, "text": text}
        return _environment.from_string(text, matter=matter)  # type: ignore[return-value]  # what its template_class makes
    except _UNFIT:
        return None


class _Context(RenderContext):
    """Ends a rendering that takes too much work: loops, filters and every value that is read draw on the allowance.

    What outputs, operators and tags do with a value takes no more than reading all of it.
    """

    allowance: Allowance
    env: "_Bounded"
    template: "_Template"
    _held = 0

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        value = super().get(path, token=token, default=default)
        self.allowance.spend(size_of(value, self.allowance.left))
        return value

    def assign(self, key: str, val: Any) -> None:
        # The library adds up all variables with every assignment.
        self._held += getsizeof(val, 1) - (getsizeof(self.locals[key], 1) if key in self.locals else 0)
        if self._held > self.env.local_namespace_limit:
            raise ResourceLimitError("the template keeps too much", token=None)
        self.locals[key] = val

    def get_size_of_locals(self) -> int:
        return self._held

    def raise_for_loop_limit(self, length: int = 1) -> None:
        super().raise_for_loop_limit(length)
        self.allowance.spend(length * self.template.matter["most_nodes"])

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        function, allowance = super().filter(name, token), self.allowance
        if name not in FILTERS:
            allowance.note(UNKNOWN_FILTER, name)

        def spending(value: object, *arguments: object, **named: object) -> object:
            read, told = length_of(value), max(map(length_of, (*arguments, *named.values())), default=0)
            allowance.spend(size_of(value, allowance.left) * _SLOW.get(name, 1))
            allowance.spend(read * told // 16 if name in _MULTIPLYING else told * _SLOW.get(name, 1) // 16)
            if name in _SQUARING:
                allowance.spend(read * size_of(value, allowance.left))
            if name in _OF_TEXT:
                value, *read_as_text = (printed(one) if isinstance(one, bool | dict | list) else one
                                        for one in (value, *arguments))
                arguments = tuple(read_as_text)
            made = function(value, *arguments, **named)
            allowance.spend(size_of(made, allowance.left))
            return made

        return spending


class _Template(BoundTemplate):
    matter: Mapping[str, Any]

    def fill(self, variables: Mapping[str, Any], allowance: Allowance) -> str:
        context = _Context(self, globals=self.make_globals(variables))  # no keywords: a variable may be named `self`
        context.allowance = allowance
        written = self._get_buffer()
        for index, node in enumerate(self.nodes):
            before = written.tell()
            try:
                node.render(context, written)
            except ResourceLimitError:
                raise
            except _UNFIT:
                written.seek(before)
                written.truncate()
                written.write(self._source(index))
                allowance.note(FAILED, self._source(index))
        return written.getvalue()

    def _source(self, index: int) -> str:
        """What stands in the template for one of its nodes."""
        behind = self.nodes[index + 1:index + 2]
        text: str = self.matter["text"]
        return text[self._start(self.nodes[index]):self._start(behind[0]) if behind else None]

    def _start(self, node: Node) -> int:
        token = node.token
        text: str = self.matter["text"]
        return text.rfind("{%", 0, token.start_index) if token.kind == TOKEN_TAG else token.start_index


class _OutputNode(OutputNode):
    """Prints values as LiquidJS does. One that cannot be had is left as it is written."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        try:
            text = printed(self.expression.evaluate(context))
        except ResourceLimitError:
            raise
        except _UNFIT:
            text = self.token.value
            context.allowance.note(FAILED, text)
        return buffer.write(text)


class _EchoNode(EchoNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(printed(self.expression.evaluate(context)))


class _Output(Output):
    node_class = _OutputNode


class _Echo(EchoTag):
    node_class = _EchoNode


class _Bounded(Environment):
    template_class = _Template
    context_depth_limit = 16
    loop_iteration_limit = _MOST_ROUNDS
    output_stream_limit = 1_000_000
    local_namespace_limit: ClassVar[int] = 100_000


class _Range(RangeLiteral):
    """A range that filters and `contains` may walk through too: loops are not all that does."""

    def evaluate(self, context: RenderContext) -> range:
        assert isinstance(context, _Context)
        made = super().evaluate(context)
        if len(made) > _MOST_ROUNDS:
            raise ResourceLimitError("the range is too long", token=None)
        context.allowance.spend(len(made))
        return made


primitive.RangeLiteral = _Range  # type: ignore[misc]  # the environment has no setting for it


def _offering() -> Environment:
    """What is used of Liquid. A later version's new filters and tags are left out until it is known what they take."""
    made = _Bounded(strict_filters=False)
    made.add_tag(_Output)
    made.add_tag(_Echo)
    made.filters = {name: function for name, function in {**made.filters, **liquid_filters.FILTERS}.items()
                    if name in FILTERS}
    made.tags = {name: tag for name, tag in made.tags.items() if name in TAGS}
    return made


_environment = _offering()
