// Node's own HTTP server over node-postgres, its pool of 4.
const http = require('http');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4 });

async function pay({ payer, payee, cents }, lock) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const found = await client.query(
      `SELECT cents FROM account WHERE holder = $1${lock}`, [payer]);
    const left = Number(found.rows[0].cents) - cents;
    if (left < 0) {
      await client.query('ROLLBACK');
      return [409, { error: 'not enough money' }];
    }
    await client.query('UPDATE account SET cents = $1 WHERE holder = $2', [left, payer]);
    await client.query(
      'UPDATE account SET cents = cents + $1 WHERE holder = $2', [cents, payee]);
    await client.query('COMMIT');
    return [200, { left }];
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    return [500, { error: error.message }];
  } finally {
    client.release();
  }
}

http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', async () => {
    const lock = request.url === '/pay/right' ? ' FOR UPDATE' : '';
    const [status, value] = request.method === 'POST'
      ? await pay(JSON.parse(body), lock) : [200, {}];
    const text = JSON.stringify(value);
    response.writeHead(status, { 'Content-Type': 'application/json',
                                 'Content-Length': Buffer.byteLength(text) });
    response.end(request.method === 'HEAD' ? undefined : text);
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
