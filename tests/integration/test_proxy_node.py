"""node-postgres through the proxy and around it: the same JSON.

Needs Node.js and npm: see the fixture `node_modules`.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.stores import PostgresServer
from tests.integration.proxy_gates import Orders, proxied

pytestmark = pytest.mark.node

DATABASE = "proxy_node"
RUN_S = 60
SCRIPT = """
const { Client, Pool } = require('pg');
const connectionString = process.argv[2];
const seen = [];
const shown = (r) => ({ rows: r.rows, count: r.rowCount, command: r.command,
                        fields: r.fields.map((f) => [f.name, f.dataTypeID]) });

async function main() {
  const client = new Client({ connectionString });
  client.on('notice', (n) => seen.push(['notice', n.message]));
  await client.connect();
  seen.push(shown(await client.query('SELECT id, name FROM coins ORDER BY id')));
  seen.push(shown(await client.query('SELECT $1::int + id AS sum FROM coins WHERE name = $2',
                                     [5, 'one'])));
  const named = { name: 'named', text: 'SELECT name FROM coins WHERE id = $1' };
  for (const id of [1, 2, 1]) {
    seen.push(shown(await client.query({ ...named, values: [id] })));
  }
  seen.push((await client.query("SELECT 1 AS a; SELECT 2 AS b")).map(shown));
  await client.query("DO $$BEGIN RAISE NOTICE 'hello'; END$$");
  await client.query('BEGIN');
  for (const text of ["INSERT INTO coins VALUES (1, 'again')", 'SELECT 1', 'ROLLBACK']) {
    try {
      seen.push(shown(await client.query(text)));
    } catch (error) {
      seen.push([error.code, error.message, error.constraint, error.severity]);
    }
  }
  try {
    await client.query({ text: 'SELECT 1 / $1::int', values: [0] });
  } catch (error) {
    seen.push([error.code, error.message]);
  }
  const all = await Promise.all([1, 2, 3].map((n) => client.query('SELECT $1::text AS n', [n])));
  seen.push(all.map(shown));
  const long = await client.query('SELECT repeat($1, 5000000) AS long', ['x']);
  seen.push(long.rows[0].long.length);
  await client.end();

  const pool = new Pool({ connectionString, max: 4 });
  const many = await Promise.all(
    [...Array(40).keys()].map((n) => pool.query('SELECT $1::int * 2 AS n', [n])));
  seen.push(many.map((r) => r.rows[0].n));
  await pool.end();
  console.log(JSON.stringify(seen));
}
main().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def script(node_modules: Path) -> Path:
    file = node_modules / "script.js"
    file.write_text(SCRIPT)
    return file


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with psycopg.connect(created) as connection:
        connection.execute("CREATE TABLE coins (id int PRIMARY KEY, name text)")
        connection.execute("INSERT INTO coins VALUES (1, 'one'), (2, 'two')")
    yield created
    postgres.drop_database(DATABASE)


def run(script: Path, url: str) -> Any:
    done = subprocess.run(
        ["node", str(script), url], capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("gate", [None, Orders()])
def test_node_postgres_sees_no_difference(script: Path, url: str, gate: Orders | None) -> None:
    with proxied(url, gate) as place:
        direct = run(script, place.direct_url)
        assert run(script, place.url) == direct
        named = "SELECT name FROM coins WHERE id = $1"
        executed = [r.step for r in place.recorded if r.step.sql == named]
        assert [step.kind for step in executed] == ["execute"] * 3
        assert [step.parameters for step in executed] == [("1",), ("2",), ("1",)]
        assert {r.step.kind for r in place.recorded} == {"query", "execute"}
        assert not place.proxy.problems
    assert direct[-1] == [2 * number for number in range(40)]
