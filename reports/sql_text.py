"""SQL shortened for people: the verb, the table, the values, WHERE and locks stay longest.

What comes out is to be read, not to be run; the whole text is kept in the evidence.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from reports.sql_tokens import (
    CLOSING,
    OPENING,
    Token,
    depth_change,
    end_of_group,
    joined,
    literal,
    plain_tokens,
    tokens_of,
    upper_at,
    without_owners,
)

CLAUSES = {"SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "WHERE", "SET", "VALUES", "RETURNING"}
CLAUSES |= {"ORDER", "GROUP", "LIMIT", "OFFSET", "FOR", "ON", "HAVING", "UNION"}
WITHIN_CLAUSES = {("DELETE", "FROM"), ("FOR", "UPDATE"), ("KEY", "UPDATE"), ("DO", "UPDATE")}
LONGEST_LITERAL = 20
LITERAL_KEPT = 8
LONGEST_GROUP = 10
NO_BREAK = "\N{NO-BREAK SPACE}"
COMPARISON = re.compile(r" (=|<|>|<=|>=|<>|!=) |(?<=WHERE) ")

Clause = tuple[Token, ...]
DOTS = Token(kind="dots", text="…", spaced=True)


def short_sql(sql: str, parameters: Sequence[str | None], width: int) -> str:
    """The statement in at most `width` characters, with its parameters in their places."""
    clauses = _with_open_where(_with_arrays(_clauses(plain_tokens(sql, parameters))))
    shortenings: tuple[Callable[[list[Clause]], list[Clause]], ...] = (
        _main_first, _short_literals, _no_select_list, _no_afterthought, _two_of_set,
        _no_insert_columns, _short_groups, _one_of_set,
    )  # fmt: skip
    for shorten in shortenings:
        text = _text(clauses)
        if len(text) <= width:
            return text
        clauses = shorten(clauses)
    return _cut(clauses, width)


def full_sql(sql: str, parameters: Sequence[str | None]) -> str:
    """All of it, with the parameters listed beneath as they were sent."""
    lines = [line.rstrip() for line in sql.strip().splitlines()]
    values = [f"${n} = {literal(value)}" for n, value in enumerate(parameters, start=1)]
    return "\n".join([*lines, *values])


def unbroken(text: str) -> str:
    """The same with spaces that break no line around comparisons, and after WHERE."""
    return COMPARISON.sub(lambda match: match.group().replace(" ", NO_BREAK), text)


def is_only(sql: str, *words: str) -> bool:
    """True for a statement that is one of these words alone, e.g. COMMIT."""
    tokens = [token for token in tokens_of(sql) if token.text != ";"]
    return len(tokens) == 1 and tokens[0].upper in words


def _clauses(tokens: Sequence[Token]) -> list[Clause]:
    clauses: list[list[Token]] = [[]]
    depth = 0
    for index, token in enumerate(tokens):
        depth += depth_change(token)
        pair = (upper_at(tokens, index - 1), token.upper)
        if depth == 0 and token.upper in CLAUSES and pair not in WITHIN_CLAUSES:
            clauses.append([])
        clauses[-1].append(token)
    return [tuple(clause) for clause in clauses if clause]


def _word(clause: Clause) -> str:
    return clause[0].upper


def _with_open_where(clauses: list[Clause]) -> list[Clause]:
    """`WHERE (a = 1 AND 1 = 1)`, as some libraries write it, becomes `WHERE a = 1`."""
    return [_opened(clause) if _word(clause) == "WHERE" else clause for clause in clauses]


def _opened(clause: Clause) -> Clause:
    whole = upper_at(clause, 1) == "(" and end_of_group(clause, 1) == len(clause) - 1
    if whole and clause[-1].text == ")":
        clause = (clause[0], replace(clause[2], spaced=True), *clause[3:-1])
    idle = [token.upper for token in clause[-4:]] == ["AND", "1", "=", "1"]
    return clause[:-4] if idle else clause


def _with_arrays(clauses: list[Clause]) -> list[Clause]:
    """`SET a = new.a FROM unnest(ARRAY[1, 2]) AS new (a)` becomes `SET a = [1, 2]`."""
    for index, clause in enumerate(clauses):
        if _word(clause) != "FROM" or not any(_word(c) == "SET" for c in clauses):
            continue
        if values := _unnested(clause):
            rest = [*clauses[:index], *clauses[index + 1 :]]
            tokens = [token for other in rest for token in other]
            return _clauses(without_owners(_filled(tokens, values)))
    return clauses


def _unnested(clause: Clause) -> dict[tuple[str, str], Token]:
    """The values that `FROM unnest(…) AS name (column, …)` gives to (name, column)."""
    if [token.text.lower() for token in clause[1:3]] != ["unnest", "("]:
        return {}
    end = end_of_group(clause, 2)
    rest = [token for token in clause[end + 1 :] if token.upper != "AS"]
    if len(rest) < 3 or rest[1].text != "(":
        return {}
    arrays = _items(clause[3:end])
    columns = _items(rest[2 : end_of_group(rest, 1)])
    if len(arrays) != len(columns):
        return {}
    return {
        (rest[0].text, joined(column)): Token(kind="array", text=_array(array), spaced=True)
        for column, array in zip(columns, arrays, strict=True)
    }


def _items(tokens: Sequence[Token]) -> list[list[Token]]:
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += depth_change(token)
        if depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
    return items


def _array(tokens: Sequence[Token]) -> str:
    text = joined(tokens)
    if text.startswith("'{") and text.endswith("}'"):
        text = f"[{text[2:-2].replace(',', ', ')}]"
    text = text.removeprefix("ARRAY")
    only_one = text.startswith("[") and "," not in text
    return text[1:-1] if only_one else text


def _filled(tokens: Sequence[Token], values: dict[tuple[str, str], Token]) -> list[Token]:
    filled: list[Token] = []
    index = 0
    while index < len(tokens):
        name = (tokens[index].text, tokens[index + 2].text) if index + 2 < len(tokens) else None
        if name in values and tokens[index + 1].text == ".":
            filled.append(replace(values[name], spaced=tokens[index].spaced))
            index += 3
        else:
            filled.append(tokens[index])
            index += 1
    return filled


def _main_first(clauses: list[Clause]) -> list[Clause]:
    """`WITH a AS (INSERT INTO t …) UPDATE u …` becomes `UPDATE u … + INSERT INTO t`."""
    if len(clauses) == 1 or _word(clauses[0]) != "WITH":
        return clauses
    parts = []
    for index, token in enumerate(clauses[0]):
        verb = upper_at(clauses[0], index + 1)
        if token.text == "(" and verb in {"INSERT", "UPDATE", "DELETE"}:
            words = 2 if verb == "UPDATE" else 3
            named = (replace(t, spaced=True) for t in clauses[0][index + 1 : index + 1 + words])
            parts.append((Token(kind="operator", text="+", spaced=True), *named))
    main = _clauses(without_owners([token for clause in clauses[1:] for token in clause]))
    return [*main, *parts]


def _short_literals(clauses: list[Clause]) -> list[Clause]:
    return [tuple(_short_literal(token) for token in clause) for clause in clauses]


def _short_literal(token: Token) -> Token:
    if token.kind != "string" or len(token.text) <= LONGEST_LITERAL:
        return token
    return replace(token, text=f"{token.text[: LITERAL_KEPT + 1]}…'")


def _no_select_list(clauses: list[Clause]) -> list[Clause]:
    """Which columns are read is seen from the values that came back."""
    return [
        (clause[0], DOTS)
        if _word(clause) == "SELECT" and any(_word(after) == "FROM" for after in clauses[n:])
        else clause
        for n, clause in enumerate(clauses)
    ]


def _no_afterthought(clauses: list[Clause]) -> list[Clause]:
    return [c for c in clauses if _word(c) not in {"RETURNING", "ORDER", "LIMIT", "OFFSET"}]


def _two_of_set(clauses: list[Clause]) -> list[Clause]:
    return [_first_items(c, 2) if _word(c) == "SET" else c for c in clauses]


def _one_of_set(clauses: list[Clause]) -> list[Clause]:
    return [_first_items(c, 1) if _word(c) == "SET" else c for c in clauses]


def _first_items(clause: Clause, most: int) -> Clause:
    depth = commas = 0
    for index, token in enumerate(clause):
        depth += depth_change(token)
        commas += depth == 0 and token.text == ","
        if commas == most:
            return (*clause[: index + 1], DOTS)
    return clause


def _no_insert_columns(clauses: list[Clause]) -> list[Clause]:
    shortened = []
    for clause in clauses:
        opening = next((n for n, token in enumerate(clause) if token.text == "("), None)
        if _word(clause) == "INSERT" and opening is not None:
            shortened.append(clause[:opening])
        else:
            shortened.append(_first_items(clause, 1) if _word(clause) == "VALUES" else clause)
    return shortened


def _short_groups(clauses: list[Clause]) -> list[Clause]:
    return [clause if _word(clause) == "VALUES" else _short_group(clause) for clause in clauses]


def _short_group(clause: Clause) -> Clause:
    kept: list[Token] = []
    index = 0
    while index < len(clause):
        kept.append(clause[index])
        end = end_of_group(clause, index) if clause[index].text in OPENING else index
        if end > index and len(joined(clause[index + 1 : end])) > LONGEST_GROUP:
            closed = clause[end].text in CLOSING
            kept.append(DOTS)
            index = end - 1 if closed else end
        index += 1
    return tuple(kept)


def _cut(clauses: list[Clause], width: int) -> str:
    """Cut where it hurts least: what stands before WHERE, then WHERE; a lock is never cut."""
    locks = _text([clause for clause in clauses if _word(clause) == "FOR"])
    if locks and len(locks) < width // 2:
        others = [clause for clause in clauses if _word(clause) != "FOR"]
        return f"{_cut(others, width - len(locks) - 1)} {locks}"
    text = _text(clauses)
    where = next((n for n, clause in enumerate(clauses) if n and _word(clause) == "WHERE"), None)
    if len(text) <= width or where is None:
        return _ended(text, width)
    head, tail = _text(clauses[:where]), _text(clauses[where:])
    tail = _ended(tail, max(width // 2, width - len(head) - 1))
    return f"{_ended(head, width - len(tail) - 1)} {tail}"


def _ended(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)].rstrip(' ,')}…"


def _text(clauses: Sequence[Clause]) -> str:
    return joined([token for clause in clauses for token in clause])
