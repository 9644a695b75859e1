"""Little money services, each written as somebody else would, in a process of its own.

They take DATABASE_URL and PORT (and POOL) from the environment and know nothing of Assay. Each has
`POST /pay/racy` and `POST /pay/right` with {"payer", "payee", "cents"}, or says what it has.
"""
