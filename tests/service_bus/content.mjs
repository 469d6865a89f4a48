// What a message holds. Both faces make one of these from what they received; both read from it what they send. The parts that
// AMQP calls the bare message (properties, application properties, body) stay the sender's bytes.

import { types } from './amqp_library.mjs'
import { malformed } from './refusal.mjs'

const HEADER = 0x70
const DELIVERY_ANNOTATIONS = 0x71
const MESSAGE_ANNOTATIONS = 0x72
const PROPERTIES = 0x73
const APPLICATION_PROPERTIES = 0x74
const DATA = 0x75
const SEQUENCE = 0x76
const VALUE = 0x77
const FOOTER = 0x78
const SECTIONS = {
  'amqp:header:list': HEADER,
  'amqp:delivery-annotations:map': DELIVERY_ANNOTATIONS,
  'amqp:message-annotations:map': MESSAGE_ANNOTATIONS,
  'amqp:properties:list': PROPERTIES,
  'amqp:application-properties:map': APPLICATION_PROPERTIES,
  'amqp:data:binary': DATA,
  'amqp:amqp-sequence:list': SEQUENCE,
  'amqp:amqp-value:*': VALUE,
  'amqp:value:*': VALUE,
  'amqp:footer:map': FOOTER,
}
const PROPERTY_NAMES = [
  'message_id', 'user_id', 'to', 'subject', 'reply_to', 'correlation_id', 'content_type', 'content_encoding',
  'absolute_expiry_time', 'creation_time', 'session_id', 'group_sequence', 'reply_to_session_id',
]
const BODY_KINDS = { [DATA]: 'data', [SEQUENCE]: 'sequence', [VALUE]: 'value' }

export const section = (code, typed) => {
  const writer = new types.Writer()
  writer.write(types.described(types.wrap_ulong(code), typed))
  return writer.toBuffer()
}

/** A map section of pairs [key, typed value]; keys are symbols in annotations, strings in application properties. */
export const mapSection = (code, pairs) => {
  const wrapKey = code === APPLICATION_PROPERTIES ? types.wrap_string : types.wrap_symbol
  return section(code, types.Map32(pairs.flatMap(([key, value]) => [wrapKey(key), value])))
}

export const pairsOf = (map) => {
  const pairs = []
  for (let i = 0; map?.value && i + 1 < map.value.length; i += 2) pairs.push([String(map.value[i].value), map.value[i + 1]])
  return pairs
}

/** A message as an AMQP sender encoded it. */
export class AmqpContent {
  constructor(bytes) {
    this.size = bytes.length
    this.body = []
    const reader = new types.Reader(bytes)
    while (reader.remaining() > 0) {
      const start = reader.position
      const part = reader.read()
      if (!part.descriptor) throw malformed('a message section without a descriptor')
      const code = SECTIONS[part.descriptor.value] ?? Number(part.descriptor.value)
      this.#keep(code, part, bytes.subarray(start, reader.position))
    }
    if (this.body.length === 0) throw malformed('a message without a body')
    this.#name()
  }

  #keep(code, part, bytes) {
    if (code === HEADER) this.header = part
    else if (code === MESSAGE_ANNOTATIONS) this.annotations = part
    else if (code === PROPERTIES) [this.properties, this.propertiesBytes] = [part, bytes]
    else if (code === APPLICATION_PROPERTIES) [this.application, this.applicationBytes] = [part, bytes]
    else if (code in BODY_KINDS) this.body.push({ kind: BODY_KINDS[code], part, bytes })
    else if (code !== DELIVERY_ANNOTATIONS && code !== FOOTER) throw malformed(`a message section of descriptor ${code}`)
  }

  // What the store itself looks at.
  #name() {
    const annotations = Object.fromEntries(pairsOf(this.annotations))
    const scheduled = annotations['x-opt-scheduled-enqueue-time']?.value
    this.scheduledAt = scheduled === undefined || scheduled === null ? undefined : Number(scheduled)
    this.partitionKey = annotations['x-opt-partition-key']?.value ?? undefined
    this.ttl = this.header?.value[2]?.value ?? undefined
    this.id = text(this.properties?.value[0])
    this.session = this.properties?.value[10]?.value ?? undefined
  }

  /** The annotations that the sender set and the broker hands on. */
  get annotationPairs() {
    return pairsOf(this.annotations)
  }

  get applicationPairs() {
    return pairsOf(this.application)
  }

  /** Properties and body as sent; `added` are application properties of the broker's own (a dead letter's reason). */
  bare(added = []) {
    const parts = this.propertiesBytes ? [this.propertiesBytes] : []
    if (added.length > 0) {
      const names = new Set(added.map(([name]) => name))
      const kept = this.applicationPairs.filter(([name]) => !names.has(name))
      parts.push(mapSection(APPLICATION_PROPERTIES, [...kept, ...added]))
    } else if (this.applicationBytes) parts.push(this.applicationBytes)
    for (const { bytes } of this.body) parts.push(bytes)
    return parts
  }

  /** The same for a reader of JSON. */
  view() {
    const fields = {}
    this.properties?.value.forEach((value, index) => {
      if (value.value !== null && value.value !== undefined) fields[PROPERTY_NAMES[index]] = plain(value)
    })
    return { ...fields, ...bodyView(this.body), ...propertyView(this.applicationPairs), partition_key: this.partitionKey, ttl: this.ttl }
  }

  /** The body for a face that knows only bytes. */
  bodyBytes() {
    if (this.body.every(({ kind }) => kind === 'data')) return Buffer.concat(this.body.map(({ part }) => part.value))
    return Buffer.from(JSON.stringify(bodyView(this.body).body_value) ?? '')
  }

  propertyFields() {
    const fields = {}
    this.properties?.value.forEach((value, index) => {
      if (value.value !== null && value.value !== undefined) fields[PROPERTY_NAMES[index]] = plain(value)
    })
    return fields
  }
}

// A message id may be a string, a number, a UUID or bytes.
const text = (typed) => {
  if (typed === undefined || typed.value === null || typed.value === undefined) return undefined
  return String(plain(typed))
}

const uuidText = (bytes) => bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

/** A typed value as JSON can say it. */
export const plain = (typed) => {
  if (typed === null || typed === undefined) return null
  const name = typed.type?.name
  if (name === undefined) return Buffer.isBuffer(typed) ? typed.toString('base64') : typed
  const value = typed.value
  if (name.startsWith('Map')) return Object.fromEntries(pairsOf(typed).map(([key, one]) => [key, plain(one)]))
  if (name.startsWith('List') || name.startsWith('Array')) return value.map(plain)
  if (name === 'Uuid') return uuidText(value)
  if (Buffer.isBuffer(value) && value.length === 8 && /ong/.test(name)) return (name.includes('U') ? value.readBigUInt64BE() : value.readBigInt64BE()).toString()
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'bigint' ? value.toString() : value ?? null
}

/** The name that the AMQP specification gives to a value's type. */
export const typeName = (typed) => {
  const name = typed.type.name
  const plainNames = { True: 'boolean', False: 'boolean', Str8: 'string', Str32: 'string', Sym8: 'symbol', Sym32: 'symbol', Vbin8: 'binary', Vbin32: 'binary' }
  return plainNames[name] ?? name.replace(/^Small/, '').replace(/\d+$/, '').toLowerCase()
}

const propertyView = (pairs) => ({
  application_properties: Object.fromEntries(pairs.map(([name, value]) => [name, plain(value)])),
  application_property_types: Object.fromEntries(pairs.map(([name, value]) => [name, typeName(value)])),
})

const bodyView = (body) => {
  const kind = body[0].kind
  if (kind === 'data') return bytesView(Buffer.concat(body.map(({ part }) => part.value)))
  return { body_kind: kind, body_value: plain(body[0].part), body_type: typeName(body[0].part) }
}

const bytesView = (bytes) => {
  const decoded = bytes.toString('utf8')
  const view = { body_kind: 'data', body_base64: bytes.toString('base64') }
  if (Buffer.from(decoded, 'utf8').equals(bytes)) view.body = decoded
  return view
}

/** The message's first sections as the broker writes them: header and annotations. */
export const brokerSections = (content, deliveries, annotations) => {
  const priority = content.header?.value[1] ?? types.Null()
  const ttl = content.ttl === undefined ? types.Null() : types.Uint(content.ttl)
  const header = [types.wrap_boolean(true), priority, ttl, types.wrap_boolean(deliveries === 0), types.wrap_uint(deliveries)]
  const names = new Set(annotations.map(([name]) => name))
  const kept = content.annotationPairs.filter(([name]) => !names.has(name))
  return [section(HEADER, types.List32(header)), mapSection(MESSAGE_ANNOTATIONS, [...kept, ...annotations])]
}

export const encodeProperties = (fields) => {
  const values = PROPERTY_NAMES.map((name) => fields[name] ?? types.Null())
  return section(PROPERTIES, types.List32(values))
}

export const encodeApplication = (pairs) => mapSection(APPLICATION_PROPERTIES, pairs)
export const encodeData = (bytes) => section(DATA, types.wrap_binary(bytes))
