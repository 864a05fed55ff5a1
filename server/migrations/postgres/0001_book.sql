-- The same tables as in SQLite; see there.
CREATE TABLE charter (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    seed  BYTEA NOT NULL CHECK (length(seed) = 32),
    admin BYTEA NOT NULL CHECK (length(admin) = 32)
);

CREATE TABLE numbers (
    number  BIGINT PRIMARY KEY,
    record  BYTEA NOT NULL CHECK (length(record) = 192),
    code    BYTEA UNIQUE CHECK (length(code) = 32),
    epoch   BIGINT NOT NULL DEFAULT 0,
    listed  BIGINT NOT NULL DEFAULT 0 CHECK (listed IN (0, 1)),
    owner   BYTEA CHECK (length(owner) = 32),
    retired BIGINT,
    CHECK ((code IS NULL) = (owner IS NULL))
);

CREATE INDEX numbers_by_epoch ON numbers (epoch);

CREATE TABLE codes (
    digest  BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    number  BIGINT NOT NULL UNIQUE REFERENCES numbers (number),
    expires BIGINT NOT NULL
);

CREATE TABLE queue (
    number BIGINT PRIMARY KEY REFERENCES numbers (number),
    place  BIGINT NOT NULL UNIQUE,
    record BYTEA NOT NULL CHECK (length(record) = 192),
    listed BIGINT NOT NULL CHECK (listed IN (0, 1))
);

CREATE TABLE networks (
    digest   BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    settings BYTEA NOT NULL
);

CREATE TABLE epochs (
    epoch   BIGINT PRIMARY KEY CHECK (epoch > 0),
    root    BYTEA NOT NULL CHECK (length(root) = 257),
    network BYTEA NOT NULL REFERENCES networks (digest)
);

CREATE TABLE deltas (
    epoch BIGINT PRIMARY KEY REFERENCES epochs (epoch),
    delta BYTEA NOT NULL
);
