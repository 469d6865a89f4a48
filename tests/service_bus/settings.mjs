// What an entity may be told about itself, and what holds where it is not told.

export const DEFAULTS = {
  lock_seconds: 30,
  max_delivery_count: 10,
  dedup_seconds: 0, // 0: no duplicate detection
  sessions: false,
  ttl_seconds: 0, // 0: messages live for ever
  dead_letter_expired: false,
  max_message_bytes: 262_144,
  too_large_status: 413,
  too_large_detaches: false, // AMQP: detaches the link too, not only rejects
  max_messages: 0, // 0: as many as come
  discard: false, // counts what comes and keeps nothing, for benches
}
