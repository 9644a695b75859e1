"""SQL as tokens, made plain: parameters in their places, no casts, no needless qualifiers.

There is no parser here: a statement may be cut off, malformed or hostile. Tokens are read by the
lexical rules of PostgreSQL (https://www.postgresql.org/docs/current/sql-syntax-lexical.html), and
what is not understood stays as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<string>[eE]'(?:[^'\\]|\\.|'')*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'
        |\$(?P<tag>[^\W\d]?\w*)\$.*?\$(?P=tag)\$)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<parameter>\$\d+|%s)
    |(?P<number>\d[\d.]*(?:[eE][-+]?\d+)?)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<cast>::)
    |(?P<operator>(?:[-+*/<>=~!@\#^&|?]|%(?!s\b))+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
OPENING, CLOSING = {"(", "["}, {")", "]"}
COMPARISONS = {"=", "<", ">", "<=", ">=", "<>", "!="}
BEFORE_TABLES = {"FROM", "JOIN", "INTO", "UPDATE"}
NO_TABLE_AFTER = {("FOR", "UPDATE"), ("KEY", "UPDATE"), ("DO", "UPDATE")}
AFTER_TABLES = {"SET", "WHERE", "VALUES", "SELECT", "RETURNING", "ON", "USING", "ORDER", "GROUP"}
AFTER_TABLES |= {"LIMIT", "OFFSET", "FOR", "HAVING", "UNION", "JOIN", "LEFT", "RIGHT", "INNER"}
AFTER_TABLES |= {"CROSS", "FULL", "NATURAL", "DEFAULT", "OVERRIDING", "FETCH", "WINDOW"}
TYPE_WORDS = {"varying", "precision", "with", "without", "time", "zone"}


@dataclass(frozen=True, kw_only=True)
class Token:
    kind: str
    text: str
    spaced: bool = False
    """Something separates it from the token before it."""

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text


def plain_tokens(sql: str, parameters: Sequence[str | None]) -> list[Token]:
    """The statement as one would have typed it."""
    tokens = with_values(tokens_of(sql), parameters)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    tokens = _without_brackets(without_casts([_bare(token) for token in tokens]))
    return _evenly_spaced(without_owners(tokens))


def tokens_of(sql: str) -> list[Token]:
    tokens, spaced = [], False
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind != "space":
            tokens.append(Token(kind=kind, text=match.group(), spaced=spaced))
        spaced = kind == "space"
    return tokens


def with_values(tokens: list[Token], parameters: Sequence[str | None]) -> list[Token]:
    """Each `$1` (or `%s`) replaced by its parameter, if there is one."""
    nameless = iter(parameters)
    filled = []
    for token in tokens:
        text = token.text
        if token.kind == "parameter" and text == "%s":
            text = next((literal(value) for value in nameless), text)
        elif token.kind == "parameter" and 0 < int(text[1:]) <= len(parameters):
            text = literal(parameters[int(text[1:]) - 1])
        kind = token.kind
        if text is not token.text:
            kind = "string" if text.startswith("'") else "number"
        filled.append(replace(token, text=text, kind=kind))
    return filled


def literal(value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if NUMBER.fullmatch(value) else "'{}'".format(value.replace("'", "''"))


def _bare(token: Token) -> Token:
    """A quoted name without its quotes, where it is still seen to be one name."""
    if token.kind == "quoted" and re.fullmatch(r"\w+", token.text[1:-1]):
        return replace(token, kind="word", text=token.text[1:-1])
    return token


def without_casts(tokens: list[Token]) -> list[Token]:
    """Without `::type` and `CAST(… AS type)`: what a value is cast to says nothing here."""
    kept: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.kind == "cast":
            index = _after_type(tokens, index + 1)
        elif token.upper == "CAST" and upper_at(tokens, index + 1) == "(":
            end = end_of_group(tokens, index + 1)
            inner = _before_as(tokens[index + 2 : end])
            kept += [replace(t, spaced=token.spaced) if not n else t for n, t in enumerate(inner)]
            index = end + 1
        else:
            kept.append(token)
            index += 1
    return kept


def _after_type(tokens: list[Token], index: int) -> int:
    index += 1
    while index < len(tokens):
        token = tokens[index]
        if token.text == ".":
            index += 2
        elif token.text in OPENING and not token.spaced:
            index = end_of_group(tokens, index) + 1
        elif token.text.lower() in TYPE_WORDS:
            index += 1
        else:
            break
    return index


def _before_as(inside: list[Token]) -> list[Token]:
    depth = 0
    for index, token in enumerate(inside):
        depth += depth_change(token)
        if depth == 0 and token.upper == "AS":
            return without_casts(inside[:index])
    return without_casts(inside)


def _without_brackets(tokens: list[Token]) -> list[Token]:
    """`= (5)` becomes `= 5`."""
    kept: list[Token] = []
    for index, token in enumerate(tokens):
        around = (upper_at(tokens, index - 2), upper_at(tokens, index - 1))
        opens = token.text == "(" and upper_at(tokens, index + 2) == ")"
        closes = token.text == ")" and around[0] == "("
        before = upper_at(tokens, index - 1 if opens else index - 3)
        if not (opens or closes) or before not in COMPARISONS:
            kept.append(token)
    return kept


def without_owners(tokens: list[Token]) -> list[Token]:
    """Without the schema "public", and without the table's name where there is only one table."""
    tokens = _without(tokens, {"public"})
    tables = _tables(tokens)
    return _without(tokens, next(iter(tables.values()))) if len(tables) == 1 else tokens


def _without(tokens: list[Token], owners: set[str]) -> list[Token]:
    kept: list[Token] = []
    spaced: bool | None = None
    for index, token in enumerate(tokens):
        if token.text in owners and upper_at(tokens, index + 1) == ".":
            spaced = token.spaced
        elif spaced is None:
            kept.append(token)
        elif token.text != ".":
            kept.append(replace(token, spaced=spaced))
            spaced = None
    return kept


def _tables(tokens: list[Token]) -> dict[str, set[str]]:
    """Each table (or whatever stands in its place) with the names that it goes by."""
    tables: dict[str, set[str]] = {}
    for index, token in enumerate(tokens):
        pair = (upper_at(tokens, index - 1), token.upper)
        if token.upper not in BEFORE_TABLES or pair in NO_TABLE_AFTER:
            continue
        after = index + 2
        is_call = upper_at(tokens, after) == "(" and token.upper != "INTO"
        if index + 1 >= len(tokens) or is_call or tokens[index + 1].kind != "word":
            tables[f"another at {index}"] = set()  # A function, a subquery: no table's name.
            continue
        name = tokens[index + 1].text
        after += upper_at(tokens, after) == "AS"
        alias = tokens[after : after + 1]
        names = {t.text for t in alias if t.kind == "word" and t.upper not in AFTER_TABLES}
        tables.setdefault(name, {name}).update(names)
        if upper_at(tokens, after + len(names)) == ",":
            tables[f"another after {index}"] = set()
    return tables


def _evenly_spaced(tokens: list[Token]) -> list[Token]:
    """White space around comparisons and after commas, as one writes it for people."""
    spaced = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text if index else ""
        wanted = token.text in COMPARISONS or before in COMPARISONS | {","}
        spaced.append(replace(token, spaced=token.spaced or wanted))
    return spaced


def depth_change(token: Token) -> int:
    return (token.text in OPENING) - (token.text in CLOSING)


def upper_at(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].upper if 0 <= index < len(tokens) else ""


def end_of_group(tokens: Sequence[Token], opening: int) -> int:
    """The index of the bracket that closes this one; the last index when none does."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += depth_change(tokens[index])
        if depth == 0:
            return index
    return len(tokens) - 1


def joined(tokens: Sequence[Token]) -> str:
    text = ""
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text if index else "("
        close = before in OPENING or token.text in CLOSING | {",", "."}
        text += token.text if close or not token.spaced else f" {token.text}"
    # A string may hold line breaks.
    return " ".join(text.split())
