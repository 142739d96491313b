-- All messages of all queues. A message waits while `visible_at` is past, and is in flight while it is to come; times are
-- microseconds since 1970. With `id`, `receives` names one delivery. Ids are never used twice: a handle of a message that is
-- gone must not fit a later one.

CREATE TABLE message (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT NOT NULL,
    visible_at INTEGER NOT NULL,
    receives   INTEGER NOT NULL DEFAULT 0,
    body       TEXT NOT NULL
) STRICT;
CREATE INDEX message_next ON message (queue, visible_at, id);
