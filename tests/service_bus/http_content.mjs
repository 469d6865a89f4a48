// What came by HTTP, in both of its forms. The sections of AMQP are made when an AMQP consumer takes the message, so that a face
// that only counts pays nothing for them.

import { types } from './amqp_library.mjs'
import { encodeApplication, encodeData, encodeProperties } from './content.mjs'
import { malformed } from './refusal.mjs'

// The names that Service Bus documents for BrokerProperties; any other is refused, so that a misspelt one is noticed.
const KNOWN = new Set([
  'ContentType', 'CorrelationId', 'DeliveryCount', 'EnqueuedSequenceNumber', 'EnqueuedTimeUtc', 'ForcePersistence', 'Label', 'LockToken',
  'LockedUntilUtc', 'MessageId', 'PartitionKey', 'ReplyTo', 'ReplyToSessionId', 'ScheduledEnqueueTimeUtc', 'SequenceNumber', 'SessionId',
  'State', 'TimeToLive', 'TimeToLiveTimeSpan', 'To', 'ViaPartitionKey',
])
const ID_MAX = 128 // characters of a message id, a session id or a partition key

const timeSpan = (given) => {
  const parts = /^(?:(\d+)\.)?(\d\d):(\d\d):(\d\d(?:\.\d+)?)$/.exec(given)
  if (!parts) throw malformed(`TimeToLiveTimeSpan '${given}' is no time span`)
  const [days, hours, minutes, seconds] = parts.slice(1).map((part) => Number(part ?? 0))
  return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
}

const instant = (given) => {
  const at = Date.parse(given)
  if (Number.isNaN(at)) throw malformed(`ScheduledEnqueueTimeUtc '${given}' is no time`)
  return at
}

/** An application property's value, typed as the service types a JSON value. */
const typed = (value, name) => {
  if (value === null) return types.Null()
  if (typeof value === 'string') return types.wrap_string(value)
  if (typeof value === 'boolean') return types.wrap_boolean(value)
  if (typeof value !== 'number') throw malformed(`the user property '${name}' is neither text, number nor truth value`)
  if (!Number.isInteger(value)) return types.wrap_double(value)
  return value >= -(2 ** 31) && value < 2 ** 31 ? types.wrap_int(value) : types.wrap_long(value)
}

export class HttpContent {
  #broker
  #user
  #body

  /** `body` is text or bytes, `size` what the entity's limit is about. */
  constructor(body, broker, user, size) {
    for (const name in broker) if (!KNOWN.has(name)) throw malformed(`'${name}' is no broker property`)
    for (const name of ['MessageId', 'SessionId', 'PartitionKey']) {
      if (broker[name] !== undefined && String(broker[name]).length > ID_MAX) throw malformed(`${name} is longer than ${ID_MAX} characters`)
    }
    for (const name in user) if (typeof user[name] === 'object' && user[name] !== null) typed(user[name], name)
    this.#body = body
    this.#broker = broker
    this.#user = user
    this.size = size
    this.id = broker.MessageId === undefined ? undefined : String(broker.MessageId)
    this.session = broker.SessionId
    this.partitionKey = broker.PartitionKey
    if (this.session !== undefined && this.partitionKey !== undefined && this.session !== this.partitionKey) {
      throw malformed('PartitionKey and SessionId of one message must be the same')
    }
    if (broker.TimeToLive !== undefined) this.ttl = Number(broker.TimeToLive) * 1000
    if (broker.TimeToLiveTimeSpan !== undefined) this.ttl = timeSpan(broker.TimeToLiveTimeSpan)
    if (broker.ScheduledEnqueueTimeUtc !== undefined) this.scheduledAt = instant(broker.ScheduledEnqueueTimeUtc)
  }

  get annotationPairs() {
    const pairs = []
    if (this.partitionKey !== undefined) pairs.push(['x-opt-partition-key', types.wrap_string(this.partitionKey)])
    if (this.scheduledAt !== undefined) pairs.push(['x-opt-scheduled-enqueue-time', types.wrap_timestamp(this.scheduledAt)])
    return pairs
  }

  get applicationPairs() {
    return Object.entries(this.#user).map(([name, value]) => [name, typed(value, name)])
  }

  bare(added = []) {
    const named = new Set(added.map(([name]) => name))
    const pairs = [...this.applicationPairs.filter(([name]) => !named.has(name)), ...added]
    const parts = [encodeProperties(this.#amqpProperties())]
    if (pairs.length > 0) parts.push(encodeApplication(pairs))
    parts.push(encodeData(this.bodyBytes()))
    return parts
  }

  #amqpProperties() {
    const fields = {}
    for (const [name, value] of Object.entries(this.propertyFields())) {
      const wrap = name === 'content_type' ? types.wrap_symbol : types.wrap_string
      fields[name] = wrap(String(value))
    }
    return fields
  }

  propertyFields() {
    const broker = this.#broker
    const fields = {
      message_id: this.id, to: broker.To, subject: broker.Label, reply_to: broker.ReplyTo, correlation_id: broker.CorrelationId,
      content_type: broker.ContentType, session_id: this.session, reply_to_session_id: broker.ReplyToSessionId,
    }
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null))
  }

  bodyBytes() {
    return Buffer.isBuffer(this.#body) ? this.#body : Buffer.from(this.#body, 'utf8')
  }

  view() {
    const bytes = this.bodyBytes()
    const decoded = bytes.toString('utf8')
    const types_ = Object.entries(this.#user).map(([name, value]) => [name, value === null ? 'null' : typeof value])
    return {
      ...this.propertyFields(),
      body_kind: 'data',
      body_base64: bytes.toString('base64'),
      ...(Buffer.from(decoded, 'utf8').equals(bytes) ? { body: decoded } : {}),
      application_properties: this.#user,
      application_property_types: Object.fromEntries(types_),
      partition_key: this.partitionKey,
      ttl: this.ttl,
    }
  }
}
