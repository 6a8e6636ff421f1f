"""ClickHouse's HTTP interface over the in-process chDB engine, for machines on which no ClickHouse server can be installed.

Belongs here: the protocol's requests and answers, users with their rights and limits, the one engine on one folder.
Does not belong here: any table or view (deploy/clickhouse), who writes (clickhouse_sink). Production has a real server; what is
written for this endpoint runs there unchanged, because clients, statements, settings and errors are ClickHouse's own.

Answered: statements by POST and GET, by body, URL or form; every format of the engine; content encodings lz4, zstd, gzip and
deflate both ways, ClickHouse's checked blocks (`compress=1`, `decompress=1`); parameters, settings, databases, sessions, query
ids; KILL QUERY by query id; a client's going away cancels what it read; errors with code, name and status, also amid an answer;
`/ping`, `/replicas_status`, `/metrics`. clickhouse-connect, its SQLAlchemy dialect and Grafana's client speak to it unmodified.

Not answered: the native protocol (port 9000), TLS, other machines, replication and Keeper, the Kafka engine, external tables,
progress headers, more than one statement at a time; users, roles and quotas by SQL (users.py has them from a file); columns of
type AggregateFunction, Variant, Dynamic or JSON in Native for a client that names a protocol version since 54454.

Three kinds of users. An administrator may do everything, files of this machine included. A writer reads and inserts into its
databases. A reader reads them, with limits of time, rows, bytes and memory; settings that it may change come as URL
parameters or in the text (settings.py says which). What keeps both within their rights is in statement_policy.py;
docs/security.md has the limits. `currentUser()` is `default` for everybody: the engine knows one user, who takes the role of
whoever asks.

Durable: an insert is answered after its part is synced to disk. Insert and materialized view are not one step: after a crash
between them a repeated insert with the same `insert_deduplication_token` and
`deduplicate_blocks_in_dependent_materialized_views=1` completes the view. The engine itself remembers a token before its rows
are in place; deduplication_logs.py takes back, at each start, what it remembers without having it (ADR 18).
"""
