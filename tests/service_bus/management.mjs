// `ENTITY/$management`: requests about locks, schedules, sessions and looking without taking.
// https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response

import { types } from './amqp_library.mjs'
import { AmqpContent } from './content.mjs'
import { encode } from './outlet.mjs'
import { Refusal, malformed } from './refusal.mjs'

const UUID = 0x98
const TIMESTAMP = 0x83
const LONG = 0x81
const OK = { status: 200, description: 'OK' }
const PEEK_MAX = 250

const number = (value) => (Buffer.isBuffer(value) ? Number(value.readBigInt64BE()) : Number(value))
const numbers = (list) => [list ?? []].flat().map(number)
const tokens = (list) => [list ?? []].flat().map((uuid) => Buffer.from(uuid).toString('hex'))

export class Management {
  constructor(store) {
    this.store = store
  }

  /** Refuses an entity that is not there. A topic can only be sent to, a subscription only be read. */
  check(path) {
    try {
      this.store.queue(path)
    } catch {
      this.store.entity(path)
    }
  }

  answer(path, request) {
    const operation = String(request.application_properties?.operation).replace('com.microsoft:', '')
    const handle = OPERATIONS[operation]
    if (handle === undefined) throw new Refusal(501, 'amqp:not-implemented', `the operation '${operation}'`)
    return { ...OK, ...handle(this.store, path, request.body ?? {}) }
  }
}

const OPERATIONS = {
  'renew-lock': (store, path, body) => {
    const queue = store.queue(path)
    const until = tokens(body['lock-tokens']).map((token) => queue.renew(token))
    return { body: { expirations: types.wrap_array(until, TIMESTAMP) } }
  },

  'renew-session-lock': (store, path, body) => ({ body: { expiration: types.wrap_timestamp(store.queue(path).renewSession(body['session-id'])) } }),

  'peek-message': (store, path, body) => {
    const found = []
    const most = Math.min(number(body['message-count'] ?? 1), PEEK_MAX)
    for (const message of store.queue(path).from(number(body['from-sequence-number'] ?? 0), body['session-id'])) {
      if (found.length >= most) break
      found.push({ message: encode(message) })
    }
    return found.length > 0 ? { body: { messages: found } } : { status: 204, description: 'No content', condition: 'com.microsoft:message-not-found' }
  },

  'schedule-message': (store, path, body) => {
    const entity = store.entity(path)
    const contents = (body.messages ?? []).map(({ message }) => new AmqpContent(message))
    entity.check(contents)
    const sequences = contents.map((content) => entity.put(content) ?? 0)
    return { body: { 'sequence-numbers': types.wrap_array(sequences, LONG) } }
  },

  'cancel-scheduled-message': (store, path, body) => {
    const sequences = numbers(body['sequence-numbers'])
    for (const queue of store.entity(path).outlets()) queue.cancelScheduled(sequences)
    return {}
  },

  'receive-by-sequence-number': (store, path, body) => {
    const settled = number(body['receiver-settle-mode'] ?? 0) === 0
    const found = store.queue(path).takeDeferred(numbers(body['sequence-numbers']), settled)
    const messages = found.map((message) => {
      const token = settled ? {} : { 'lock-token': types.wrap_uuid(Buffer.from(message.lockToken, 'hex')) }
      return { message: encode(message), ...token }
    })
    return { body: { messages } }
  },

  'update-disposition': (store, path, body) => {
    const queue = store.queue(path)
    for (const token of tokens(body['lock-tokens'])) settle(queue, token, body)
    return {}
  },

  'get-session-state': (store, path, body) => ({ body: { 'session-state': store.queue(path).sessionState(body['session-id']) } }),

  'set-session-state': (store, path, body) => {
    store.queue(path).setSessionState(body['session-id'], body['session-state'] ?? null)
    return {}
  },
}

const settle = (queue, token, body) => {
  const status = body['disposition-status']
  const added = Object.entries(body['properties-to-modify'] ?? {}).map(([name, value]) => [name, types.wrap(value)])
  if (status === 'completed') queue.complete(token)
  else if (status === 'abandoned') queue.abandon(token, added)
  else if (status === 'defered') queue.defer(token)
  else if (status === 'suspended') queue.deadLetter(token, body['deadletter-reason'] ?? undefined, body['deadletter-description'] ?? undefined, added)
  else throw malformed(`the disposition '${status}'`)
}

