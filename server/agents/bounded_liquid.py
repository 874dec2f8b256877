"""Bounded Liquid: limits the features and the work of a template, and records its faults.

Parses and fills one template; `templates.py` decides which texts are templates, and handles faulty ones.
"""

from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any, ClassVar, NamedTuple, TextIO

from liquid import Environment, Node, RenderContext
from liquid.builtin.expressions import primitive
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError
from liquid.template import BoundTemplate
from liquid.token import TOKEN_TAG
from liquid.undefined import UNDEFINED

from server.agents import liquid_filters
from server.agents.liquid_filters import printed
from server.content.json_values import length_of, size_of

_MOST_ROUNDS = 10_000
_MOST_WORK = 500_000
"""About half a second at worst: one is a node of a template rendered, a value read, or 16 characters of
one."""
_MOST_FAULTS = 20
_MOST_SHOWN = 60
INVALID, FAILED, COSTLY, TOO_LARGE, UNKNOWN_FILTER = (
    "invalid",
    "failed",
    "costly",
    "too_large",
    "unknown_filter",
)
"""A mark is not valid Liquid, or cannot be filled in; the text takes too much work, or is too large; what
`mark` names is no filter, and the value was passed on as it is."""
_LINEAR = frozenset(
    {
        "abs",
        "append",
        "at_least",
        "at_most",
        "base64_decode",
        "base64_encode",
        "base64_url_safe_decode",
        "base64_url_safe_encode",
        "capitalize",
        "ceil",
        "compact",
        "concat",
        "default",
        "downcase",
        "escape",
        "escape_once",
        "escapejs",
        "find",
        "find_index",
        "first",
        "floor",
        "has",
        "last",
        "lstrip",
        "map",
        "minus",
        "newline_to_br",
        "plus",
        "prepend",
        "raw",
        "reject",
        "reverse",
        "round",
        "rstrip",
        "safe",
        "size",
        "slice",
        "sort",
        "sort_natural",
        "squish",
        "strip",
        "strip_newlines",
        "sum",
        "to_integer",
        "truncate",
        "truncatewords",
        "upcase",
        "url_decode",
        "url_encode",
        "where",
    }
)
"""Their work is proportional to their input."""
_MULTIPLYING = frozenset(
    {
        "replace",
        "replace_first",
        "replace_last",
        "remove",
        "remove_first",
        "remove_last",
        "split",
        "join",
        "times",
        "divided_by",
        "modulo",
    }
)
"""Their work can be the product of their input and their argument."""
_SLOW = {"date": 256, "json": 8, "jsonify": 8, "inspect": 8}
"""Cost of one character relative to that of other filters."""
_SQUARING = frozenset({"uniq"})
"""Their work is the square of their input."""
FILTERS = _LINEAR | _MULTIPLYING | _SLOW.keys() | _SQUARING
"""Filters with known work. Others return the value unchanged, as in LiquidJS."""
_OF_TEXT = frozenset(
    {
        "append",
        "base64_decode",
        "base64_encode",
        "base64_url_safe_decode",
        "base64_url_safe_encode",
        "capitalize",
        "downcase",
        "escape",
        "escape_once",
        "escapejs",
        "lstrip",
        "newline_to_br",
        "prepend",
        "remove",
        "remove_first",
        "remove_last",
        "replace",
        "replace_first",
        "replace_last",
        "rstrip",
        "safe",
        "split",
        "squish",
        "strip",
        "strip_newlines",
        "truncate",
        "truncatewords",
        "upcase",
        "url_decode",
        "url_encode",
    }
)
"""Their values are read as they are printed."""
TAGS = frozenset(
    {
        "#",
        "assign",
        "break",
        "capture",
        "case",
        "comment",
        "content",
        "continue",
        "cycle",
        "decrement",
        "doc",
        "echo",
        "for",
        "if",
        "ifchanged",
        "illegal",
        "increment",
        "liquid",
        "output",
        "tablerow",
        "unless",
    }
)
"""Likewise. Their work is that of their values, which are counted, and loops are counted by their rounds."""
# A filter can raise other errors than LiquidError for a value that it does not expect.
UNFIT = (
    LiquidError,
    LiquidInterrupt,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Fault(NamedTuple):
    """A part of a template that was left as written, or passed on."""

    code: str
    mark: str
    """The mark as written; empty if the fault concerns the whole text."""


class Allowance:
    """The work that templates may do together, and their faults."""

    def __init__(self, work: int = _MOST_WORK, whole: "Allowance | None" = None) -> None:
        self._whole = whole or self
        self._left = work
        self.faults: list[Fault] = []

    @property
    def left(self) -> int:
        """The remaining work."""
        return self._whole._left

    @property
    def is_used_up(self) -> bool:
        """Whether no work remains."""
        return self.left < 0

    def part(self) -> "Allowance":
        """Return the same allowance for some of the templates, with only their faults."""
        return Allowance(whole=self._whole)

    def spend(self, work: int) -> None:
        """Consume work. Raises ResourceLimitError when too little remains; then nothing remains for other
        templates either."""
        self._whole._left -= work
        if self.left < 0:
            raise ResourceLimitError("the templates take too much work", token=None)

    def note(self, code: str, mark: str = "") -> None:
        """Record a fault; once, however often a loop meets it, and at most `_MOST_FAULTS`."""
        fault = Fault(code, _shown(mark))
        if len(self.faults) < _MOST_FAULTS and fault not in self.faults:
            self.faults.append(fault)


def _shown(mark: str) -> str:
    line = " ".join(mark.split())
    return line if len(line) <= _MOST_SHOWN else line[: _MOST_SHOWN - 1] + "…"


def template_of(text: str) -> "Template | None":
    """Return the parsed template; None when it is not valid Liquid."""
    try:
        matter = {"most_nodes": len(text) // 8, "text": text}
        return _environment.from_string(text, matter=matter)  # type: ignore[return-value]  # what its template_class makes
    except UNFIT:
        return None


class _Context(RenderContext):
    """Ends a rendering that takes too much work: loops, filters and every value that is read consume the
    allowance.

    Outputs, operators and tags cost no more than reading their values.
    """

    allowance: Allowance
    env: "_Bounded"
    template: "Template"
    _allocated = 0

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        value = super().get(path, token=token, default=default)
        self.allowance.spend(size_of(value, self.allowance.left))
        return value

    def assign(self, key: str, val: Any) -> None:
        # The library would sum all variables at every assignment.
        self._allocated += getsizeof(val, 1) - (getsizeof(self.locals[key], 1) if key in self.locals else 0)
        if self._allocated > self.env.local_namespace_limit:
            raise ResourceLimitError("the template keeps too much", token=None)
        self.locals[key] = val

    def get_size_of_locals(self) -> int:
        return self._allocated

    def raise_for_loop_limit(self, length: int = 1) -> None:
        super().raise_for_loop_limit(length)
        self.allowance.spend(length * self.template.matter["most_nodes"])

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        function, allowance = super().filter(name, token), self.allowance
        if name not in FILTERS:
            allowance.note(UNKNOWN_FILTER, name)

        def spending(value: object, *arguments: object, **named: object) -> object:
            read, given = length_of(value), max(map(length_of, (*arguments, *named.values())), default=0)
            allowance.spend(size_of(value, allowance.left) * _SLOW.get(name, 1))
            allowance.spend(read * given // 16 if name in _MULTIPLYING else given * _SLOW.get(name, 1) // 16)
            if name in _SQUARING:
                allowance.spend(read * size_of(value, allowance.left))
            if name in _OF_TEXT:
                value, *read_as_text = (
                    printed(one) if isinstance(one, bool | dict | list) else one
                    for one in (value, *arguments)
                )
                arguments = tuple(read_as_text)
            made = function(value, *arguments, **named)
            allowance.spend(size_of(made, allowance.left))
            return made

        return spending


class Template(BoundTemplate):
    """A parsed template with limits."""

    matter: Mapping[str, Any]

    def fill(self, variables: Mapping[str, Any], allowance: Allowance) -> str:
        """Return the text with variables filled in; consumes the allowance."""
        # no keywords: a variable may be named `self`
        context = _Context(self, globals=self.make_globals(variables))
        context.allowance = allowance
        written = self._get_buffer()
        for index, node in enumerate(self.nodes):
            before = written.tell()
            try:
                node.render(context, written)
            except ResourceLimitError:
                raise
            except UNFIT:
                written.seek(before)
                written.truncate()
                written.write(self._source(index))
                allowance.note(FAILED, self._source(index))
        return written.getvalue()

    def _source(self, index: int) -> str:
        """Return the source text of one of the template's nodes."""
        behind = self.nodes[index + 1 : index + 2]
        text: str = self.matter["text"]
        return text[self._start(self.nodes[index]) : self._start(behind[0]) if behind else None]

    def _start(self, node: Node) -> int:
        token = node.token
        text: str = self.matter["text"]
        return text.rfind("{%", 0, token.start_index) if token.kind == TOKEN_TAG else token.start_index


class _OutputNode(OutputNode):
    """Prints values as LiquidJS does. An output whose value is unavailable is left as written."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        try:
            text = printed(self.expression.evaluate(context))
        except ResourceLimitError:
            raise
        except UNFIT:
            assert isinstance(context, _Context)
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
    template_class = Template
    context_depth_limit = 16
    loop_iteration_limit = _MOST_ROUNDS
    output_stream_limit = 1_000_000
    local_namespace_limit: ClassVar[int] = 100_000


class _Range(RangeLiteral):
    """A bounded range, because filters and `contains` also iterate over ranges, not only loops."""

    def evaluate(self, context: RenderContext) -> range:
        assert isinstance(context, _Context)
        made = super().evaluate(context)
        if len(made) > _MOST_ROUNDS:
            raise ResourceLimitError("the range is too long", token=None)
        context.allowance.spend(len(made))
        return made


primitive.RangeLiteral = _Range  # type: ignore[misc]  # the environment has no setting for it


def _offering() -> Environment:
    """Return the supported subset of Liquid. New filters and tags of later versions are excluded until their
    cost is known."""
    made = _Bounded(strict_filters=False)
    made.add_tag(_Output)
    made.add_tag(_Echo)
    made.filters = {
        name: function
        for name, function in {**made.filters, **liquid_filters.FILTERS}.items()
        if name in FILTERS
    }
    made.tags = {name: tag for name, tag in made.tags.items() if name in TAGS}
    return made


_environment = _offering()
